"""Alembic's entry: run migrations on the engine that ticketbot.db.migrate hands over."""

from alembic import context

from ticketbot.db.models import Base

engine = context.config.attributes["engine"]

with engine.connect() as connection:
    # SQLite changes tables by copying them (batch), which needs foreign keys off while it does.
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
