"""What does an ERP leave on disk? `attach/<user id>/<name>`, and a database that knows whose ticket a file is.

    root/attach/1003/Fehler beim Öffnen.jpg     names as people give them: blanks, umlauts, what a shell would run
    root/erp.db                                 uploads(user_id, file_name, ticket)
    root/outside/                               what a link in the tree points at, and nobody may read

The tree also holds what goes wrong: two users with the same file name, a link that leads out, a text file, a picture
the ERP is still writing; later a picture cut off in the middle and a document named .jpg.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from ticketbot.demo.pictures import Part, Picture, Pictures, RenderedPictures
from ticketbot.errors import UsageError
from ticketbot.render import render_jpeg

_STEMS = [
    "Fehler beim Öffnen",
    "captura de pantalla",
    "Bildschirmfoto 2026-03-01 um 09.41.12",
    "Rechnung März",
    "état des stocks",
    "año nuevo",
    "IMG_4711",
    "scan",
    "screen & form",
    "it's broken!",
    "100% fail; help me",
    "$HOME $(whoami)",
    "`uptime`",
    "before|after",
    "what?",
    'the "final" one',
    "-n",
    "~backup",
    "[draft] (1)",
    "<b>bold<b>",
    "tab\there",
]
_SUFFIXES = [".jpg", ".jpg", ".jpg", ".JPG", ".jpeg"]
_SAME_NAME = "Fehler beim Öffnen.jpg"
_FIRST_USER, _FIRST_TICKET = 1001, 10_001
_PICTURES_OF_A_SOURCE_PER_USER = 20
_MANY = 100
_PIECES = 8  # in which the second half of a growing file arrives


@dataclass(frozen=True)
class Upload:
    """A picture on disk, the ticket the ERP's database has for it, and what it truly is."""

    path: Path
    user: str
    name: str
    ticket: str
    category: str


class Growing:
    """A file that is being written: half of it at once, the rest in pieces until `grow_s` seconds are over."""

    def __init__(self, path: Path, data: bytes, grow_s: float) -> None:
        self.path = path
        half = len(data) // 2
        path.write_bytes(data[:half])
        self._rest, self._pause_s = data[half:], grow_s / _PIECES
        self._thread = threading.Thread(target=self._write, name="growing-upload", daemon=True)
        self._thread.start()

    def _write(self) -> None:
        size = len(self._rest) // _PIECES + 1
        for start in range(0, len(self._rest), size):
            time.sleep(self._pause_s)
            with self.path.open("ab") as file:
                file.write(self._rest[start : start + size])

    @property
    def finished(self) -> bool:
        return not self._thread.is_alive()

    def wait(self, timeout_s: float) -> bool:
        """True when the file is whole."""
        self._thread.join(timeout_s)
        return self.finished


@dataclass
class Tree:
    """What was made. `strange`: broken, document, link, text, outside -> path; none of these is in `uploads`."""

    root: Path
    seed: int
    pictures: Pictures
    users: int
    uploads: list[Upload] = field(default_factory=list)
    strange: dict[str, Path] = field(default_factory=dict)
    growing: Growing | None = None
    waiting: dict[Part, Picture] = field(default_factory=dict)  # drawn from the stream, for the next ticket
    seen_of: dict[str, int] = field(default_factory=dict)  # source -> pictures so far
    person_numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    _streams: dict[Part, Iterator[Picture]] = field(default_factory=dict)

    @property
    def attach(self) -> Path:
        return self.root / "attach"

    @property
    def database(self) -> Path:
        return self.root / "erp.db"

    def truth(self) -> dict[Path, str]:
        """Path -> category of every readable picture."""
        return {upload.path: upload.category for upload in self.uploads}

    def truth_of_tickets(self) -> dict[str, set[str]]:
        """Ticket -> the categories of its pictures."""
        answers: dict[str, set[str]] = {}
        for upload in self.uploads:
            answers.setdefault(upload.ticket, set()).add(upload.category)
        return answers

    def stream(self, part: Part) -> Iterator[Picture]:
        return self._streams.setdefault(part, self.pictures.of(part))


def make_tree(
    root: Path,
    seed: int,
    tickets: int | None = 120,
    *,
    users: int = 12,
    pictures: Pictures | None = None,
    grow_s: float = 8.0,
) -> Tree:
    """The tree with `tickets` tickets of the known pictures; None: all of them, which only a folder has an end of.

    The same seed gives the same names, tickets and bytes. `grow_s` 0: nothing is still being written. Raises UsageError
    when there is something already.
    """
    tree = Tree(root, seed, pictures or RenderedPictures(seed), max(2, users))
    if tree.attach.exists():
        raise UsageError(f"{tree.attach} is there already; give an empty folder")
    tree.attach.mkdir(parents=True)
    with closing(sqlite3.connect(tree.database)) as erp:
        erp.execute(
            "CREATE TABLE uploads (user_id TEXT, file_name TEXT, ticket TEXT, PRIMARY KEY (user_id, file_name))"
        )
        erp.commit()
    _same_name_twice(tree)
    more_tickets(tree, tickets, part="known")
    _add_strange(tree)
    if grow_s > 0:
        _add_growing(tree, grow_s)
    return tree


def more_tickets(tree: Tree, tickets: int | None, *, part: Part = "new") -> list[Upload]:
    """Lets tickets arrive, with one to three pictures each; None: as many as pictures of the part are left."""
    rng = random.Random(f"{tree.seed}-{part}-{len(tree.uploads)}")
    first = _FIRST_TICKET + len({upload.ticket for upload in tree.uploads})
    arrived: list[Upload] = []
    pictures: list[Picture] = []
    for number in count(first) if tickets is None else range(first, first + tickets):
        batch = _batch(tree, part, rng.choices([1, 2, 3], weights=[7, 2, 1])[0])
        if not batch:
            break
        user = _user_of(tree, batch, rng)
        for picture in batch:
            name = _name(len(tree.uploads) + len(arrived), picture.suffix, rng)
            path = tree.attach / user / name
            arrived.append(Upload(path, user, name, f"T-{number}", picture.category))
            pictures.append(picture)
    _save_all(arrived, pictures)
    _record(tree, arrived)
    tree.uploads += arrived
    return arrived


def _batch(tree: Tree, part: Part, most: int) -> list[Picture]:
    """Up to `most` pictures of one source; the first of another source is left for the next ticket."""
    batch: list[Picture] = []
    stream = tree.stream(part)
    while len(batch) < most and (picture := tree.waiting.pop(part, None) or next(stream, None)):
        if batch and picture.source != batch[0].source:
            tree.waiting[part] = picture
            break
        batch.append(picture)
    return batch


def _user_of(tree: Tree, batch: list[Picture], rng: random.Random) -> str:
    """A user by chance; but the pictures of a source come from the same few users, so that whoever splits by user
    splits by source."""
    source = batch[0].source
    if not source:
        return str(_FIRST_USER + rng.randrange(tree.users))
    tree.seen_of[source] = tree.seen_of.get(source, 0) + len(batch)
    person = (source, tree.seen_of[source] // _PICTURES_OF_A_SOURCE_PER_USER)
    return str(_FIRST_USER + tree.person_numbers.setdefault(person, len(tree.person_numbers)))


def _name(position: int, suffix: str, rng: random.Random) -> str:
    """A name nobody has yet; the first uses every kind of name once."""
    stem = _STEMS[position] if position < len(_STEMS) else rng.choice(_STEMS)
    return f"{stem} {position}{rng.choice(_SUFFIXES) if suffix == '.jpg' else suffix}"


def _save_all(uploads: list[Upload], pictures: list[Picture]) -> None:
    """Many are drawn on all processors; starting a second process for a few would take longer than they do."""
    jobs = [(upload.path, picture.read) for upload, picture in zip(uploads, pictures, strict=True)]
    for folder in {path.parent for path, _ in jobs}:
        folder.mkdir(exist_ok=True)
    if len(jobs) < _MANY:
        for job in jobs:
            _write(job)
        return
    with get_context("spawn").Pool() as pool:
        for _ in pool.imap_unordered(_write, jobs, chunksize=8):
            pass


def _write(job: tuple[Path, Callable[[], bytes]]) -> None:
    path, read = job
    path.write_bytes(read())


def _record(tree: Tree, uploads: Iterable[Upload]) -> None:
    rows = [(upload.user, upload.name, upload.ticket) for upload in uploads]
    with closing(sqlite3.connect(tree.database, timeout=10)) as erp, erp:
        erp.executemany("INSERT INTO uploads (user_id, file_name, ticket) VALUES (?, ?, ?)", rows)


def _same_name_twice(tree: Tree) -> None:
    """Two users give their pictures the same name: only user and name together tell the ticket."""
    for user in ("1001", "1002"):
        picture = next(tree.stream("known"), None)
        if picture is not None:
            upload = Upload(tree.attach / user / _SAME_NAME, user, _SAME_NAME, f"T-9{user}", picture.category)
            _save_all([upload], [picture])
            _record(tree, [upload])
            tree.uploads.append(upload)


def _add_strange(tree: Tree) -> None:
    """What is in the tree and nobody's picture: a text, and a link that leads out."""
    user = _user_folder(tree)
    outside = tree.root / "outside"
    outside.mkdir()
    tree.strange |= {"text": user / "read me.txt", "outside": outside / "not yours.jpg", "link": user / "link out.jpg"}
    tree.strange["text"].write_bytes(b"not a picture\n")
    tree.strange["outside"].write_bytes(_some_error(tree))
    tree.strange["link"].symlink_to(tree.strange["outside"])


def add_unreadable(tree: Tree) -> None:
    """Lets a ticket arrive whose pictures are none: one was cut off in the middle, one is a document."""
    user, whole = _user_folder(tree), _some_error(tree)
    tree.strange |= {"broken": user / "cut off.jpg", "document": user / "contract.pdf.jpg"}
    tree.strange["broken"].write_bytes(whole[: len(whole) // 3])
    tree.strange["document"].write_bytes(b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n")
    paths = [tree.strange[name] for name in ("broken", "document")]
    _record(tree, [Upload(path, user.name, path.name, "T-90001", "") for path in paths])


def _user_folder(tree: Tree) -> Path:
    user = tree.attach / str(_FIRST_USER)
    user.mkdir(exist_ok=True)
    return user


def _some_error(tree: Tree) -> bytes:
    return render_jpeg("errors", random.Random(f"{tree.seed}-strange"))


def _add_growing(tree: Tree, grow_s: float) -> None:
    """The last upload is still on its way."""
    picture = next(tree.stream("known"), None)
    if picture is None:
        return
    upload = Upload(
        tree.attach / "1002" / "still growing.jpg", "1002", "still growing.jpg", "T-90002", picture.category
    )
    _record(tree, [upload])
    tree.growing = Growing(upload.path, picture.read(), grow_s)
    tree.uploads.append(upload)
