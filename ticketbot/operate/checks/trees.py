"""The watched trees: can we read them, how many files are there, and is a ticket found for some of them?"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ticketbot.collect import ticket
from ticketbot.collect.lookups import LookupFailed, Lookups, NotText
from ticketbot.logs import visible
from ticketbot.operate.checks.finding import Finding, Patient, fault, note, ok
from ticketbot.operate.checks.place import me
from ticketbot.settings import Source

# Long enough to say something about a large tree, short enough to wait for.
COUNT_S = 5.0
SAMPLE = 5


@dataclass
class Count:
    """What a look into a tree saw. `pictures`: by the suffixes of the settings; `sample`: some of their paths."""

    files: int = 0
    pictures: int = 0
    folders: int = 0
    closed: list[str] = field(default_factory=list)
    sample: list[bytes] = field(default_factory=list)
    complete: bool = True


def readable(patient: Patient) -> Iterator[Finding]:
    if not patient.settings.sources:
        yield note("tree", "none is watched", "add a section [sources.erp] with its root")
    for name, source in patient.settings.sources.items():
        yield from _readable(name, source, patient)


def _readable(name: str, source: Source, patient: Patient) -> Iterator[Finding]:
    check = f"tree {name}"
    if not source.root.is_dir():
        what = "is no folder" if source.root.exists() else "does not exist"
        yield fault(check, f"{source.root} {what}", f"mount it, or correct sources.{name}.root")
        return
    if problem := overlap(source.root, patient.settings.data_dir):
        yield fault(check, problem, "pictures we stage would be collected again: move general.data_dir")
        return
    try:
        seen = count(source)
    except PermissionError:
        yield fault(
            check, f"{me()} may not read {source.root}", f"let {me()} read it (group, or setfacl -m u:{me()}:rx)"
        )
        return
    if seen.closed:
        shown, more = visible(seen.closed[0]), len(seen.closed) - 1
        also = f" and {more} more" if more else ""
        yield fault(check, f"{me()} may not read the folder {shown}{also}", f"setfacl -R -m u:{me()}:rX {source.root}")
        return
    amount = f"{'' if seen.complete else 'more than '}{seen.pictures:,} pictures of {seen.files:,} files"
    if not seen.pictures:
        suffixes = " ".join(source.suffixes)
        yield note(
            check, f"{source.root}: {amount} ({suffixes})", "is this the right folder, and are these the suffixes?"
        )
    else:
        yield ok(check, f"{source.root}: {amount} in {seen.folders:,} folders")


def tickets(patient: Patient) -> Iterator[Finding]:
    lookups = Lookups()
    try:
        for name, source in patient.settings.sources.items():
            yield from _tickets(name, source, lookups)
    finally:
        lookups.close()


def _tickets(name: str, source: Source, lookups: Lookups) -> Iterator[Finding]:
    check = f"tickets of {name}"
    if not source.require_ticket:
        yield ok(check, "not looked up here: the receiver finds them by user and path")
        return
    if not source.ticket:
        do = f"set sources.{name}.ticket, or require_ticket = false"
        yield fault(check, "nothing says whose ticket a file is, so no answer would ever be sent", do)
        return
    try:
        sample = count(source, at_most=SAMPLE).sample
    except OSError:
        return  # said by the tree's check
    if not sample:
        yield note(check, "no file to try it with yet")
        return
    found: dict[str, list[str]] = {}
    for path in sample:
        stat = (Path(os.fsdecode(os.path.join(os.fsencode(source.root), path)))).stat()
        try:
            sha256, sha1 = (ticket.digest_of(source.root, path, one) for one in ("sha256", "sha1"))
            variables = ticket.variables_of(source.path, path, stat.st_size, sha256, stat.st_mtime, sha1)
            found[visible(os.fsdecode(path))] = ticket.find(source.ticket, variables, lookups)
        except LookupFailed as error:
            yield fault(
                check, f"the lookup failed: {error}", f"correct sources.{name}.ticket, or let us ask that database"
            )
            return
        except NotText:
            continue
    good = [path for path, tickets in found.items() if tickets]
    if good:
        shown = f"{good[0]} is on {visible(found[good[0]][0])}"
        yield ok(check, f"{len(good)} of {len(found)} tried files have one; {shown}")
    else:
        example = next(iter(found), "")
        do = f"try the query by hand; look at sources.{name}.path and .ticket"
        yield fault(check, f"none of {len(found)} tried files has one, {example} for example", do)


def overlap(root: Path, data_dir: Path) -> str | None:
    """A sentence when one of the two lies in the other."""
    one, other = root.resolve(), data_dir.resolve()
    if one == other or one in other.parents:
        return f"general.data_dir ({data_dir}) lies inside it"
    return f"it lies inside general.data_dir ({data_dir})" if other in one.parents else None


def count(source: Source, *, at_most: int | None = None) -> Count:
    """Look through a tree for COUNT_S at most, or until `at_most` pictures were seen. Raises OSError for the root."""
    seen, ends = Count(), time.monotonic() + COUNT_S
    root = os.fsencode(source.root)
    suffixes = tuple(suffix.lower().encode() for suffix in source.suffixes) if source.match == "suffix" else (b"",)
    todo = [(root, 0)]
    while todo:
        folder, depth = todo.pop()
        seen.folders += 1
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < source.max_depth:
                            todo.append((entry.path, depth + 1))
                    elif entry.is_file(follow_symlinks=False):
                        _note_file(seen, entry, suffixes, root)
                        if at_most is not None and seen.pictures >= at_most:
                            return seen
        except PermissionError:
            if folder == root:
                raise
            seen.closed.append(os.fsdecode(folder))
        if time.monotonic() > ends:
            seen.complete = False
            break
    return seen


def _note_file(seen: Count, entry: os.DirEntry[bytes], suffixes: tuple[bytes, ...], root: bytes) -> None:
    seen.files += 1
    if entry.name.lower().endswith(suffixes):
        seen.pictures += 1
        if len(seen.sample) < SAMPLE:
            seen.sample.append(os.path.relpath(entry.path, root))
