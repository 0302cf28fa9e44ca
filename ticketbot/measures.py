"""How often did it happen, and how long did it take? Counters and histograms, added up over all processes of a host.

`count` and `observe` only add to numbers in memory. A process that called `keep` writes them every few seconds to
data_dir/measures/<kind>.json, and goes on from there after a restart, so counters never fall. `read` adds the files up;
operate/metrics.py shows them. A kill loses the last seconds of counting and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

FLUSH_S = 5.0
MOST_PROCESSES = 32
QUICK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_S = (0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

# Everything that is counted: name -> (help, names of the labels). Prometheus's conventions: base units, _total.
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ticketbot_delivery_attempts_total": (
        "Attempts to deliver an answer, by what came of them.",
        ("endpoint", "outcome"),
    ),
    "ticketbot_pictures_classified_total": ("Pictures a model answered in bulk, by category.", ("category",)),
    "ticketbot_http_requests_total": ("Requests answered, by method and status.", ("method", "status")),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "ticketbot_scan_duration_seconds": ("One look through a tree.", ("source",), LONG_S),
    "ticketbot_predict_duration_seconds": ("The model's time for one picture, without decoding.", ("way",), QUICK_S),
    "ticketbot_http_request_duration_seconds": ("From a request's head to its answer.", ("method",), QUICK_S),
    "ticketbot_delivery_duration_seconds": ("One attempt to deliver.", ("endpoint",), QUICK_S),
}

Key = tuple[str, tuple[str, ...]]
_lock = threading.Lock()
# A counter is [value]; a histogram [count a bucket…, count above all, sum].
_values: dict[Key, list[float]] = {}
_place: Path | None = None
_held: Any = None


def count(name: str, *labels: str, n: float = 1) -> None:
    """Add n. The labels in the order of COUNTERS."""
    with _lock:
        _values.setdefault((name, _fitting(labels, COUNTERS[name][1])), [0.0])[0] += n


def observe(name: str, seconds: float, *labels: str, n: int = 1) -> None:
    """It took so long, n times. The labels in the order of HISTOGRAMS."""
    _, names, bounds = HISTOGRAMS[name]
    with _lock:
        found = _values.setdefault((name, _fitting(labels, names)), [0.0] * (len(bounds) + 2))
        found[bisect_left(bounds, seconds)] += n
        found[-1] += seconds * n


def keep(data_dir: Path, kind: str) -> None:
    """From now on write this process's numbers under data_dir; `kind` is web or worker. Once a process."""
    global _place, _held
    folder = data_dir / "measures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, MOST_PROCESSES + 1):
            path = folder / f"{kind}-{number}.json"
            _held = open(path.with_suffix(".lock"), "w")  # noqa: SIM115 - held as long as the process lives
            try:
                fcntl.flock(_held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _held.close()
                continue
            _place = path
            with _lock:
                _values.clear()
                _values.update(_read(path))
            threading.Thread(target=_flush_on, name="measures", daemon=True).start()
            return
    except OSError as error:
        log.warning("figures are not kept", extra={"reason": error.strerror})


def flush() -> None:
    """Write the numbers now. A disk that is full is no reason to stop working."""
    if _place is None:
        return
    with _lock:
        rows = [[name, list(labels), value] for (name, labels), value in _values.items()]
    draft = _place.with_suffix(f".{os.getpid()}.tmp")
    try:
        draft.write_text(json.dumps(rows))
        os.replace(draft, _place)
    except OSError as error:
        log.debug("figures were not written", extra={"reason": error.strerror})


def read(data_dir: Path) -> dict[Key, list[float]]:
    """The sum of all processes that keep their numbers under data_dir."""
    total: dict[Key, list[float]] = {}
    for path in sorted((data_dir / "measures").glob("*.json")):
        for key, value in _read(path).items():
            before = total.get(key, [0.0] * len(value))
            total[key] = [one + other for one, other in zip(before, value, strict=True)]
    return total


def _read(path: Path) -> dict[Key, list[float]]:
    """The numbers of a file; what this version does not know is left out, what cannot be read is nothing."""
    try:
        rows = json.loads(path.read_bytes())
        return dict(_known(rows))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _known(rows: Any) -> Iterator[tuple[Key, list[float]]]:
    for name, labels, value in rows:
        length = len(HISTOGRAMS[name][2]) + 2 if name in HISTOGRAMS else 1 if name in COUNTERS else 0
        if length == len(value):
            yield (name, tuple(str(label) for label in labels)), [float(one) for one in value]


def _fitting(labels: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    if len(labels) != len(names):
        raise TypeError(f"labels are {names}, not {labels}")
    return labels


def _flush_on() -> None:
    while not threading.Event().wait(FLUSH_S):
        flush()
