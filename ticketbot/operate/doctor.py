"""Is all well, and if not: what is wrong, and what to do about it?

Looks at everything an installation stands on, at once, without changing it: a broken part is one finding more, never
the end of the examination. `fault` is what keeps it from working; `note` is what a person should know and may want so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from ticketbot.operate import plainly
from ticketbot.operate.checks import broker, chat, database, endpoints, model, place, trees, web
from ticketbot.operate.checks.finding import Finding, Patient, fault
from ticketbot.settings import Settings

log = logging.getLogger(__name__)

Check = Callable[[Patient], Iterator[Finding]]
# In the order in which a person would look.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("settings file", place.settings_file),
    ("data folder", place.data_folder),
    ("disk", place.disk),
    ("clock", place.clock),
    ("database", database.answers),
    ("rules of the database", database.rules),
    ("backup", database.backed_up),
    ("broker", broker.answering),
    ("tree", trees.readable),
    ("tickets", trees.tickets),
    ("decoder", model.decoder),
    ("model", model.champion),
    ("trainer", model.trainer),
    ("endpoint", endpoints.answering),
    ("chat", chat.addresses),
    ("page", web.listening),
    ("proxy", web.proxy),
    ("work", database.stuck),
)


def examine(settings: Settings, config: Path | None, now: Callable[[], float]) -> list[Finding]:
    """Every finding, in the order of CHECKS. `config`: the settings file, None when there is none."""
    patient = Patient(settings, config, now)
    try:
        return [finding for name, check in CHECKS for finding in _safely(name, check, patient)]
    finally:
        if patient.db is not None:
            patient.db.close()


def _safely(name: str, check: Check, patient: Patient) -> Iterator[Finding]:
    try:
        yield from check(patient)
    except plainly.EXPECTED as error:
        yield fault(name, plainly.said(error)[0])
    except Exception as error:
        log.debug("the check %s failed", name, exc_info=True)
        yield fault(name, f"could not be looked at: {type(error).__name__}: {error}", "report this as a bug")
