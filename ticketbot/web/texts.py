"""How are numbers, times and names written on a page?"""

from __future__ import annotations

from datetime import UTC, datetime

from ticketbot.logs import visible
from ticketbot.web.i18n import N_, _, language

STEPS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
# Languages that write 12.345,6.
COMMA_LANGUAGES = ("es",)
SWAPPED = str.maketrans(",.", ".,")


def number(value: float | None, digits: int = 0) -> str:
    """12,345 (12.345 in Spanish); a dash for nothing."""
    if value is None:
        return "–"
    shown = f"{value:,.{digits}f}"
    return shown.translate(SWAPPED) if language() in COMMA_LANGUAGES else shown


def percent(value: float | None, digits: int = 0) -> str:
    """A share as 93 %. 99.97 % stays below 100 %."""
    if value is None:
        return "–"
    shown = f"{value * 100:.{digits}f}"
    if value < 1 and float(shown) >= 100:
        shown = f"{100 - 10**-digits:.{digits}f}" if digits else "99"
    return f"{number(float(shown), digits)} %"


def duration(seconds: float | None) -> str:
    """12 s, 5 min, 3 h, 2 d."""
    if seconds is None:
        return "–"
    for size_s, unit in STEPS:
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def ago(at: float | None, now: float) -> str:
    """5 min ago, in 3 h; never."""
    if at is None:
        return _("never")
    if abs(now - at) < 1.5:
        return _("just now")
    return _("%(time)s ago", time=duration(now - at)) if now >= at else _("in %(time)s", time=duration(at - now))


def when(at: float | None) -> str:
    """2026-11-24 14:03, in the time zone of the server."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def size(value: float | None) -> str:
    """812 MB, 1.4 GB."""
    if value is None:
        return "–"
    for unit, bytes_ in (("TB", 2**40), ("GB", 2**30), ("MB", 2**20)):
        if value >= bytes_:
            return f"{number(value / bytes_, 0 if value >= 100 * bytes_ else 1)} {unit}"
    return f"{number(value / 1024)} kB"


def name(value: str | bytes) -> str:
    """A file, user or ticket name as it can be shown: what cannot be seen, or turns the text round, is spelt out."""
    return visible(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)


# What the trainer says it is at.
STAGES = {
    "snapshot": N_("collecting labels"),
    "look-alikes": N_("looking for look-alikes"),
    "reading pictures": N_("reading pictures"),
    "drawing": N_("drawing pictures"),
    "features": N_("looking at the pictures"),
    "answering": N_("looking at the pictures"),
    "looking": N_("looking at the pictures"),
    "training": N_("training"),
    "head": N_("training"),
    "ranking": N_("ranking the labels"),
    "export": N_("writing the model"),
    "measuring what came back": N_("measuring what came back"),
}


def stage(said: object) -> str:
    """What a training or a cleaning is at, in the page's language; what we do not know stays as it is."""
    return _(STAGES[str(said)]) if str(said) in STAGES else str(said)


FILTERS = {
    "number": number,
    "percent": percent,
    "duration": duration,
    "ago": ago,
    "when": when,
    "size": size,
    "name": name,
    "stage": stage,
}
