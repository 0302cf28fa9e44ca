"""cleanings: when labels were searched for errors, and what was suspect"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cleaning",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("labels_until", sa.Integer(), nullable=False),
        sa.Column("n_pictures", sa.Integer(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('running', 'succeeded', 'failed')", name=op.f("ck_cleaning_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cleaning")),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "uq_cleaning_running", "cleaning", ["state"], unique=True, sqlite_where=running, postgresql_where=running
    )
    op.create_table(
        "suspect",
        sa.Column("cleaning_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("suggested", sa.String(length=40), nullable=False),
        sa.Column("p_label", sa.Float(precision=53), nullable=True),
        sa.Column("p_suggested", sa.Float(precision=53), nullable=True),
        sa.Column("cluster", sa.Integer(), nullable=False),
        sa.Column("conflict", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["cleaning_id"], ["cleaning.id"], name=op.f("fk_suspect_cleaning_id_cleaning")),
        sa.ForeignKeyConstraint(["sha256"], ["picture.sha256"], name=op.f("fk_suspect_sha256_picture")),
        sa.PrimaryKeyConstraint("cleaning_id", "rank", name=op.f("pk_suspect")),
    )
    op.create_index("ix_suspect_cluster", "suspect", ["cleaning_id", "cluster"])
    op.create_index("ix_suspect_sha256", "suspect", ["sha256"])
