"""The broker: with engine.kind = "celery", does it take what the leader hands out? Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ticketbot.engine import broker
from ticketbot.errors import NotReady, SettingsError
from ticketbot.operate.checks.finding import Finding, Patient, fault, ok


def answering(patient: Patient) -> Iterator[Finding]:
    engine = patient.settings.engine
    if engine.kind != "celery":
        return
    shown = urlsplit(engine.broker).hostname
    try:
        broker.reach(patient.settings)
    except SettingsError as error:
        yield fault("broker", str(error), 'or set engine.kind = "local"')
    except NotReady as error:
        yield fault(
            "broker", f"{error}, at {shown}", "is it running, is its password right, does the firewall let us through?"
        )
    else:
        yield ok("broker", f"{shown} answers, and takes us")
