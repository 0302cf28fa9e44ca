"""How does a list of addresses become a folder of pictures?

    urls_<class>.csv    one address a line (the bookmarklet of docs/bookmarklet.md writes such files)
    OUT/<class>/<first 24 of the sha256>.jpg|png|…    what was a picture, byte for byte
    OUT/urls.jsonl      the journal: what became of each address, a JSON object a line

An address is fetched once: what the journal knows is not asked for again, so a run that was killed goes on and a second
one fetches nothing. Everything goes through the service's guard (net/) and its decoder: no address of this machine or
its network, no file:///, and a page that calls itself a .jpg is no picture.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ticketbot.contracts.files import write_whole
from ticketbot.errors import AddressRefused, ImageError, Refused, UsageError
from ticketbot.imaging.decode import DecoderPool
from ticketbot.net import fetch
from trainer.progress import Progress, shown

JOURNAL = "urls.jsonl"
LIST_NAME = re.compile(r"urls_([A-Za-z0-9_-]{1,40})\.(?:csv|txt)")
RESERVED = ("unsure", "junk")  # words of the service that are no classes
TAKEN, NO_PICTURE, REFUSED, GONE, DUPLICATE, FAILED = OUTCOMES = (
    "taken",
    "not a picture",
    "refused",
    "gone",
    "duplicate",
    "failed",
)
NAME_CHARS = 24  # of the sha256: 96 bits tell any number of pictures apart
AT_ONCE = 8
DECODERS = 2


@dataclass(frozen=True)
class Wish:
    """An address and the class it is said to show."""

    category: str
    url: str

    @property
    def host(self) -> str:
        try:
            return urlsplit(self.url).hostname or ""
        except ValueError:
            return ""


@dataclass(frozen=True)
class Entry:
    """A line of the journal: what became of an address. `code` says why it was not taken; `file` is below OUT."""

    category: str
    url: str
    outcome: str
    code: str = ""
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Reply:
    """What came back: a picture's bytes and its suffix, or an outcome and its code."""

    data: bytes = b""
    suffix: str = ""
    outcome: str = TAKEN
    code: str = ""


def class_of(path: Path) -> str:
    """The class a list is for: `urls_errors.csv` -> "errors". Raises UsageError for any other name."""
    match = LIST_NAME.fullmatch(path.name)
    if match is None or match[1] in RESERVED:
        raise UsageError(f"{path}: call it urls_<class>.csv, the class 1 to 40 of A-Z a-z 0-9 _ -, not {RESERVED[0]}")
    return match[1]


def addresses(path: Path) -> list[str]:
    """One a line, without repeats. A line in quotes is one cell of CSV; a first line "url" is a heading."""
    try:
        lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    cells = [next(csv.reader([line]), [""])[0] if line.startswith('"') else line for line in map(str.strip, lines)]
    found = list(dict.fromkeys(cell.strip() for cell in cells if cell.strip()))
    return found[1:] if found and found[0].lower() in ("url", "urls") else found


def collect(
    lists: Sequence[Path],
    out: Path,
    progress: Progress,
    *,
    most: int = 200,
    allow: Sequence[str] = (),
    at_once: int = AT_ONCE,
    per_host: int = 2,
    again: bool = False,
    get: Callable[..., bytes] = fetch.get,
) -> dict[str, list[Entry]]:
    """Fetch the first `most` addresses of each list into OUT/<class>/. -> class -> what became of each address.

    per_host: connections to one host at a time. again: ask once more for what failed for a passing reason.
    Raises UsageError.
    """
    wishes = [Wish(class_of(path), url) for path in lists for url in addresses(path)[:most]]
    out.mkdir(parents=True, exist_ok=True)
    with _journal(out) as journal, DecoderPool(DECODERS) as pool:
        known = Known(out, journal, again)
        wanted = [one for one in dict.fromkeys(wishes) if known.is_news(one)]
        work = _fetching(get, allow, pool)
        for number, (wish, reply) in enumerate(in_parallel(wanted, work, at_once, per_host), 1):
            entry = known.keep(wish, reply)
            progress.say("fetching", number, len(wanted))
            if entry.outcome != TAKEN:
                progress.note(f"{entry.category}: {entry.outcome} {entry.code} {shown(entry.url)}")
    return known.of(wishes)


class Known:
    """What the journal says, and what is added to it."""

    def __init__(self, out: Path, journal: IO[str], again: bool) -> None:
        self._out, self._journal = out, journal
        entries = [one for one in _entries(journal) if not (again and one.outcome == FAILED)]
        self._of = {Wish(one.category, one.url): one for one in entries}
        self._first = {one.url: one.category for one in reversed(entries)}
        self._files = {one.sha256: one.file for one in reversed(entries) if one.outcome == TAKEN}

    def is_news(self, wish: Wish) -> bool:
        """Is it to be fetched? An address that another class has already is not: it is noted as a duplicate."""
        if wish in self._of:
            return False
        owner = self._first.setdefault(wish.url, wish.category)
        if owner == wish.category:
            return True
        self._note(Entry(wish.category, wish.url, DUPLICATE, f"also in {owner}"))
        return False

    def keep(self, wish: Wish, reply: Reply) -> Entry:
        """Write the picture, then the journal: killed in between, the picture is fetched again to the same name."""
        if reply.outcome != TAKEN:
            return self._note(Entry(wish.category, wish.url, reply.outcome, reply.code))
        sha256 = hashlib.sha256(reply.data).hexdigest()
        file = f"{wish.category}/{sha256[:NAME_CHARS]}.{reply.suffix}"
        if sha256 in self._files:
            return self._note(Entry(wish.category, wish.url, DUPLICATE, f"of {self._files[sha256]}", sha256=sha256))
        (self._out / wish.category).mkdir(exist_ok=True)
        write_whole(self._out / file, reply.data)
        self._files[sha256] = file
        return self._note(Entry(wish.category, wish.url, TAKEN, file=file, sha256=sha256))

    def of(self, wishes: Sequence[Wish]) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {one.category: [] for one in wishes}
        for one in dict.fromkeys(wishes):
            found[one.category].append(self._of[one])
        return found

    def _note(self, entry: Entry) -> Entry:
        self._of[Wish(entry.category, entry.url)] = entry
        self._journal.write(json.dumps(asdict(entry)) + "\n")
        self._journal.flush()
        return entry


def in_parallel(
    wishes: Sequence[Wish], work: Callable[[Wish], Reply], at_once: int, per_host: int
) -> Iterator[tuple[Wish, Reply]]:
    """Each wish with its reply, as they come; never more than `per_host` of one host under way."""
    waiting: dict[str, deque[Wish]] = defaultdict(deque)
    for wish in wishes:
        waiting[wish.host].append(wish)
    running: dict[Future[Reply], Wish] = {}
    pool = ThreadPoolExecutor(at_once)
    try:
        while waiting or running:
            for wish in _startable(waiting, Counter(one.host for one in running.values()), at_once, per_host):
                running[pool.submit(work, wish)] = wish
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _startable(waiting: dict[str, deque[Wish]], running: Counter[str], at_once: int, per_host: int) -> Iterator[Wish]:
    """Takes from `waiting` what may start now, one host after the other."""
    for host in list(waiting):
        while waiting[host] and running[host] < per_host and running.total() < at_once:
            running[host] += 1
            yield waiting[host].popleft()
        if waiting[host]:
            waiting[host] = waiting.pop(host)  # to the end: another host comes first next time
        else:
            del waiting[host]


def summary(entries: Sequence[Entry]) -> dict[str, dict[str, int]]:
    """outcome -> code -> how many ("" where there is nothing to say)."""
    found: dict[str, Counter[str]] = {outcome: Counter() for outcome in OUTCOMES}
    for one in entries:
        found[one.outcome][one.code if one.outcome != DUPLICATE else ""] += 1
    return {outcome: dict(codes) for outcome, codes in found.items()}


def _fetching(get: Callable[..., bytes], allow: Sequence[str], pool: DecoderPool) -> Callable[[Wish], Reply]:
    def work(wish: Wish) -> Reply:
        try:
            data = get(wish.url, allow=allow)
            return Reply(data, _suffix(pool.decode(data).format))
        except Refused as error:
            return Reply(outcome=outcome_of(error), code=error.code)

    return work


def outcome_of(error: Refused) -> str:
    """Which word of the report is this? `failed` may be better another time; the others stay as they are."""
    if isinstance(error, ImageError):
        return NO_PICTURE
    if isinstance(error, AddressRefused):
        return REFUSED
    if error.code == "upstream_status":
        return GONE
    return FAILED if error.retryable else REFUSED


def _suffix(format_: str) -> str:
    return {"JPEG": "jpg"}.get(format_, format_.lower())


@contextmanager
def _journal(out: Path) -> Iterator[IO[str]]:
    """The journal, to read and to add to; one program at a time."""
    with open(out / JOURNAL, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{out}: another trainer is fetching into it") from None
        yield file


def _entries(journal: IO[str]) -> list[Entry]:
    """Its lines; one that a kill cut off counts as not written."""
    journal.seek(0)
    found = []
    for line in (text := journal.read()).splitlines():
        try:
            found.append(Entry(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    if text and not text.endswith("\n"):
        journal.write("\n")
    return found
