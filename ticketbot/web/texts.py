"""How are numbers, times and names written on a page?"""

from __future__ import annotations

from datetime import UTC, datetime

from ticketbot.logs import visible

STEPS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def number(value: float | None) -> str:
    """12,345; a dash for nothing."""
    return "–" if value is None else f"{value:,.0f}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share as 93 %. 99.97 % stays below 100 %."""
    if value is None:
        return "–"
    shown = f"{value * 100:.{digits}f}"
    if value < 1 and float(shown) >= 100:
        shown = f"{100 - 10**-digits:.{digits}f}" if digits else "99"
    return f"{shown} %"


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
        return "never"
    if abs(now - at) < 1.5:
        return "just now"
    return f"{duration(now - at)} ago" if now >= at else f"in {duration(at - now)}"


def when(at: float | None) -> str:
    """2026-11-24 14:03, in the time zone of the server."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def name(value: str | bytes) -> str:
    """A file, user or ticket name as it can be shown: what cannot be seen, or turns the text round, is spelt out."""
    return visible(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)


FILTERS = {"number": number, "percent": percent, "duration": duration, "ago": ago, "when": when, "name": name}
