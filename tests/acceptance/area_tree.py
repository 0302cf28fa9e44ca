"""What may lie in the tree: each case builds it for real, lets it be collected, and looks at what became of it.

The input is a sentence; SCENES finds, by pattern, who builds what it says. A sentence without a scene of its own is
read as file names ("1/x.JPG, x.JpG"; escapes, code points and bytes as they are commonly written).
"""

import contextlib
import os
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance import databases
from tests.acceptance.tree_names import names_of
from tests.acceptance.tree_scenes import SCENES, SECRET
from tests.collect.conftest import JPEG, Collector
from ticketbot import logs
from ticketbot.contracts.events import shown_path
from ticketbot.review.transfer import csv_cell

EXPECT = {"taken", "staged", "exists", "csv_cell", "skip_reason", "size", "secrets_read", "scan", "alert"}
GIVEN = set()


@dataclass
class Ground:
    """A tree under test. `subjects`: the paths that the case is about; `seen`: what was measured besides."""

    tree: Collector
    folder: Path
    patch: object
    subjects: list[bytes] = field(default_factory=list)
    collected: bool = False
    reasons: set[str] = field(default_factory=set)
    seen: dict = field(default_factory=dict)
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def file(self, name, content=None):
        """A picture of its own at this path (bytes or text), about which the case is."""
        path = os.fsencode(name)
        place = os.path.join(os.fsencode(self.tree.root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(JPEG + path if content is None else content)
        self.subjects.append(path)
        return Path(os.fsdecode(place))

    def place(self, name):
        """A path in the tree, whose folder is there, for something that is no file."""
        path = self.tree.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.subjects.append(os.fsencode(name))
        return path

    def collect(self):
        """Scan, settle, stage; twice, so that what was missed the first time is seen."""
        self.collected = True
        for _ in range(2):
            found = self.tree.scan(5)
            staged = self.tree.stage(self.tree.source.settle_s)
            self.reasons |= {reason for reason, count in (found.refused + staged.refused).items() if count}

    def states(self):
        """Of the case's files alone: (state, reason) by path."""
        return {path: found for path, found in self.tree.files().items() if path in set(self.subjects)}


def run(case, request):
    with databases.each(request) as grounds:
        for folder, db in grounds:
            with contextlib.ExitStack() as closing:
                patch = closing.enter_context(request.getfixturevalue("monkeypatch").context())
                tree = Collector(db, folder, {}).past_history()
                ground = Ground(tree, folder, patch, closing=closing)
                scene_of(case.input, case.why)(ground)
                if not ground.collected:
                    ground.collect()
                patch.undo()
                check(case.expect, ground)


def check(expect, ground):
    staged = [path for path, (state, _) in ground.tree.files().items() if state == "staged"]
    subjects = [path for path in staged if path in set(ground.subjects)]
    if isinstance(expect.get("taken"), bool):
        assert (set(subjects) == set(ground.subjects)) if expect["taken"] else not subjects, ground.tree.files()
    elif "taken" in expect:
        assert len(subjects) == expect["taken"], ground.tree.files()
    if "staged" in expect:
        assert len(ground.tree.stored()) == expect["staged"]
    if "skip_reason" in expect:
        found = {reason for _, reason in ground.states().values()} | ground.reasons
        assert expect["skip_reason"] in found, found
    for name, there in expect.get("exists", {}).items():
        places = [*ground.folder.rglob("*"), *Path.cwd().glob("*")]
        assert (name in {place.name for place in places}) == there
    if "csv_cell" in expect:
        assert csv_cell(os.fsdecode(ground.subjects[0].rpartition(b"/")[2])) == expect["csv_cell"]
    if "size" in expect:
        assert ground.seen["staged_bytes"] == ground.seen["final_bytes"]
    if "secrets_read" in expect:
        assert ground.seen["secrets_read"] == expect["secrets_read"]
    if "scan" in expect:
        assert ground.seen["incomplete"] and ground.seen["gone"] == 0
        assert ground.tree.row().incomplete == ground.seen["incomplete"]
    if "alert" in expect:
        assert bool(ground.seen["warnings"]) == expect["alert"]
    _names_are_harmless(ground)


def _names_are_harmless(ground):
    """Whatever a file is called: its bytes are what was kept, one line in the log, nothing invisible on a page."""
    for path in ground.tree.files():
        shown = shown_path(path)
        assert len(shown.splitlines()) <= 1 and logs.visible(shown) == shown
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in shown)
        assert not csv_cell(shown).startswith(("=", "+", "-", "@"))
    assert SECRET not in b"".join(place.read_bytes() for place in (ground.tree.data_dir / "staging").rglob("*.jpg"))


def scene_of(text, why=""):
    """Who builds what the sentence says; names alone are files, unless the reason tells what lies there."""
    kind = re.match(r"(an? |the )?(fifo|named pipe|(unix )?socket|\w+ device|directory|symlink|hard link)\b", why, re.I)
    texts = [text, f"{text} ({kind[0]})"] if kind else [text]
    for one in texts:
        for pattern, scene in SCENES:
            if match := re.search(pattern, one, re.IGNORECASE):
                return lambda ground, scene=scene, match=match: scene(ground, match)
    # A sentence that nobody knows is no file name.
    if not re.match(r"\d+/", text) or re.search(r"\.\w{2,5},? (an?|the|is|that|which|with|whose|without|after) ", text):
        raise LookupError(f"nobody knows how to build {text!r}")
    names = names_of(text)
    return lambda ground: [ground.file(name) for name in names]
