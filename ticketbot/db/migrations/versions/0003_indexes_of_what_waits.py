"""indexes of what waits instead of everything"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("ix_file_state", "ix_file_resolve", "ix_file_sha256"):
        op.drop_index(name, table_name="file")
    some("ix_file_unsettled", ["source_id", "history", "id", "observed_at"], "state IN ('seen', 'settling')")
    some("ix_file_refused", ["source_id", "reason", "observed_at"], "state = 'refused'")
    some("ix_file_resolve", ["resolve_due_at"], "resolve_due_at IS NOT NULL")
    some("ix_file_sha256", ["sha256"], "sha256 IS NOT NULL")


def some(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "file", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
