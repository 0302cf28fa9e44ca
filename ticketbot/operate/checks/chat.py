"""The team's chat: can notices be sent to the addresses that are set? Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator

from ticketbot.errors import SettingsError
from ticketbot.operate import notices
from ticketbot.operate.checks.finding import Finding, Patient, fault, ok


def addresses(patient: Patient) -> Iterator[Finding]:
    urls = patient.settings.chat.urls
    if not urls:
        return
    try:
        notices.check(patient.settings)
    except SettingsError as error:
        yield fault("chat", str(error), "correct chat.urls: https://appriseit.com lists how each chat is written")
        return
    yield ok("chat", f"{len(urls)} addresses for notices")
