"""ticket systems: the index of big lookups, calls of ticket systems, when to read a ticket again"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ticket_index",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("ticket", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "key", "ticket", name=op.f("pk_ticket_index")),
    )
    op.create_table(
        "index_cursor",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("read_at", sa.Float(precision=53), nullable=False),
        sa.Column("cursors", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_index_cursor")),
    )
    op.create_table(
        "inbound_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_event")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_inbound_event_source_key")),
    )
    op.create_index("ix_inbound_event_due", "inbound_event", ["due_at"])
    op.add_column("ticket", sa.Column("look_at", sa.Float(precision=53), nullable=True))
    op.create_index("ix_ticket_look", "ticket", ["look_at"])
