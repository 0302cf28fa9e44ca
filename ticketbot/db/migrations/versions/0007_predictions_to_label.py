"""an index of the predictions nobody labelled, instead of all"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prediction", sa.Column("labelled", sa.Boolean(), nullable=False, server_default=sa.false()))
    prediction = sa.table("prediction", sa.column("sha256"), sa.column("labelled", sa.Boolean()))
    label = sa.table("label", sa.column("sha256"))
    has_label = sa.exists().where(label.c.sha256 == prediction.c.sha256)
    op.execute(prediction.update().where(has_label).values(labelled=sa.true()))
    op.drop_index("ix_prediction_margin", table_name="prediction")
    unlabelled = sa.text("NOT labelled")
    op.create_index(
        "ix_prediction_to_label",
        "prediction",
        ["model_id", "margin"],
        sqlite_where=unlabelled,
        postgresql_where=unlabelled,
    )
