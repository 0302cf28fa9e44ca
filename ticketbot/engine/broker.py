"""How do ids travel? Through Celery; this is the one file that knows it.

A message is a list of ids and nothing else: no state, no names, no secrets. It is acknowledged before the work begins
and never tried again by Celery: what becomes of the work is in the rows, and a message that is lost, doubled or late
does no harm (engine/handout.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ticketbot.errors import NotReady, SettingsError
from ticketbot.settings import Settings

CONNECT_S = 5.0
# A broker that accepts and then says nothing must not hold the leader up.
PUBLISH_S = 10.0

Work = Callable[[list[str]], object]


def check(settings: Settings) -> None:
    """Raises SettingsError when Celery is not installed."""
    _celery()


def send(settings: Settings, kind: str, batches: Sequence[Sequence[str]]) -> None:
    """Put batches of ids into the queue of this kind. Raises NotReady when the broker does not take them."""
    from kombu.exceptions import KombuError, OperationalError

    app = _sender(settings.engine.broker)
    name = queue(settings, kind)
    try:
        for ids in batches:
            app.send_task(name, args=[list(ids)], queue=name, retry=False, ignore_result=True)
    except (OperationalError, KombuError, OSError) as error:
        # Its text may hold the broker's address with a password.
        raise NotReady(f"the broker (engine.broker) does not take work: {type(error).__name__}") from None


def reach(settings: Settings) -> None:
    """Raises SettingsError when Celery is not installed, NotReady when the broker does not answer, or not to us."""
    connection = _sender(settings.engine.broker).connection_for_write()
    refusals = (*connection.connection_errors, *connection.channel_errors)
    from kombu.exceptions import KombuError

    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
    except (KombuError, OSError, *refusals) as error:
        # Its text may hold the broker's address with a password.
        raise NotReady(f"the broker (engine.broker) does not answer: {type(error).__name__}") from None


def consume(settings: Settings, kind: str, work: Work, *, at_once: int) -> None:
    """Work on what comes in the queue of this kind until SystemExit, as SIGTERM raises it; then end what is begun.

    work: gets the ids of a message, in one of `at_once` threads.
    """
    name = queue(settings, kind)
    app = _app(settings.engine.broker)

    @app.task(name=name, ignore_result=True)
    def run(ids: Any) -> None:
        work([one for one in ids if isinstance(one, str)] if isinstance(ids, list) else [])

    app.WorkController(
        app=app,
        pool="threads",
        concurrency=at_once,
        queues=[name],
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
    ).start()


def queue(settings: Settings, kind: str) -> str:
    """The queue's name: several installations may share a broker."""
    return f"{settings.engine.queue}.{kind}"


def _celery() -> Any:
    try:
        import celery
    except ModuleNotFoundError as error:
        if error.name not in ("celery", "kombu", "redis"):
            raise
        raise SettingsError(
            "engine.kind is 'celery', which is not installed: pip install 'ticketbot[celery]'"
        ) from None
    return celery


@cache
def _sender(broker: str) -> Any:
    return _app(broker, sends=True)


def _app(broker: str, *, sends: bool = False) -> Any:
    options: dict[str, Any] = {}
    if broker.startswith(("redis:", "rediss:")):
        options = {"socket_connect_timeout": CONNECT_S, "socket_keepalive": True}
        if sends:
            options["socket_timeout"] = PUBLISH_S
    app = _celery().Celery("ticketbot", broker=broker, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=2,  # one in work, one at hand: fetched only when free, a worker waits for it
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_timeout=CONNECT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=options,
    )
    return app
