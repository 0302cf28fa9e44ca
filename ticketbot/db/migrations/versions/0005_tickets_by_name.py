"""tickets by their name, for the page that looks for them"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_ticket_ticket", "ticket", ["ticket"])
