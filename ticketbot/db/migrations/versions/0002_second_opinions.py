"""second opinions, and indexes of the tickets page"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "second_opinion",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("first", sa.String(length=40), nullable=False),
        sa.Column("first_who", sa.Text(), nullable=False),
        sa.Column("first_event", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("second", sa.String(length=40), nullable=True),
        sa.Column("second_who", sa.Text(), nullable=True),
        sa.Column("second_event", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["first_event"], ["label_event.id"], name=op.f("fk_second_opinion_first_event_label_event")
        ),
        sa.ForeignKeyConstraint(
            ["second_event"], ["label_event.id"], name=op.f("fk_second_opinion_second_event_label_event")
        ),
        sa.ForeignKeyConstraint(["sha256"], ["picture.sha256"], name=op.f("fk_second_opinion_sha256_picture")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_second_opinion")),
    )
    op.create_index("ix_second_opinion_second_event", "second_opinion", ["second_event"])
    op.create_index("ix_ticket_category", "ticket", ["category", "id"])
    op.create_index("ix_answer_state_id", "answer", ["state", "id"])
