"""Where may a process die and nothing be lost? The named places, each with the reason it was chosen.

`failpoint(name)` does nothing: one look at a variable that is None. Nothing outside a test can arm it (no setting, no
environment variable); tests/faults arm it in a child process that then kills itself, raises, runs out of disk or stands
still just there. A name that is reached but not listed here, or listed and never reached, fails those tests.
"""

from __future__ import annotations

from collections.abc import Callable

# In a transaction: what it wrote must vanish with the process. After it: what follows must be done by somebody else.
POINTS: dict[str, str] = {
    "scan.listed": "a folder was read, its rows are not written",
    "scan.batch": "in the transaction of a batch: files and that their folder was listed go together",
    "scan.flushed": "everything found is written, the scan is not marked complete",
    "scan.gone": "a complete scan knows what is gone, and has not written it",
    "scan.finish": "in the last transaction: complete, history and root go together",
    "store.copying": "part of a file is copied",
    "store.written": "all bytes are in the temporary file, not on the disk",
    "store.synced": "the bytes are on the disk under a temporary name",
    "store.renamed": "the name is there, its folder is not synced",
    "stage.kept": "the pictures are in the store, no row knows",
    "stage.rows": "in the transaction of a batch of staged files",
    "stage.committed": "rows are written, the batch's temporary files are still there",
    "resolve.asked": "the ERP named the ticket, nothing is written",
    "resolve.known": "in the transaction: the ticket is written, nobody is told",
    "resolve.announced": "in the transaction: the ticket is written and the outbox knows",
    "resolve.waiting": "in the transaction of a ticket that is not there yet",
    "classify.claim": "in the transaction of a claim: a lease nobody holds",
    "classify.claimed": "a lease is held and nothing done",
    "classify.decoded": "pictures are decoded, not answered",
    "classify.answered": "answers are known, not written",
    "classify.taken": "in the transaction: the picture is marked, its prediction is not written",
    "classify.predicted": "in the transaction: the prediction is written, nobody is told",
    "classify.announced": "in the transaction: predictions and outbox, not committed",
    "classify.written": "predictions are written, the worker dies before it looks for more",
    "outbox.said": "in the transaction: what was said is noted, the event is not in the outbox",
    "outbox.put": "in the transaction: the event is in the outbox, not committed",
    "decide.taken": "in the transaction: the ticket is not due any more, its answer is not in the outbox",
    "decide.answered": "in the transaction: the ticket's answer is in the outbox, the ticket does not know",
    "decide.committed": "the answer is in the outbox, other tickets wait",
    "claim.taken": "in the transaction of a claim: token counted up, nobody holds it",
    "claim.committed": "an answer is held and not sent",
    "send.signed": "signed, not sent",
    "send.posted": "the receiver has it, nothing is written down: the moment every webhook sender fears",
    "preset.asked": "steps before are done on the ticket, this one is not sent",
    "preset.answered": "the ticket system has done a step, nobody has read its answer",
    "finish.settled": "in the transaction: delivered, its attempt and the endpoint's health are not written",
    "finish.noted": "in the transaction: all is written, not committed",
    "finish.committed": "written down, the sender dies before it looks for more",
    "labels.said": "in the transaction: the word is appended, the label is not brought up to date",
    "labels.recorded": "in the transaction: label and outbox, not committed",
    "folders.recorded": "words of the folders are written, the copies are not remembered",
    "offer.copied": "a copy for to-label has no name yet",
    "import.kept": "an imported picture is in the store, no row knows",
    "import.part": "a part of an import is written, the rest is not",
    "export.written": "an export is written under a temporary name",
    "files.written": "a file of ours (manifest, snapshot) is written under a temporary name, not on the disk",
    "files.synced": "it is on the disk under a temporary name",
    "files.renamed": "it has its name, its folder is not synced",
    "shelf.copied": "a bundle is copied beside its place, not checked",
    "shelf.renamed": "a bundle is in its place, no row knows",
    "shelf.row": "in the transaction of its row",
    "promote.abdicated": "in the transaction: the old champion is none, the new one is not yet",
    "promote.crowned": "in the transaction: there is a new champion, not committed",
    "training.begun": "a training is said to run, nothing is made",
    "training.snapshot": "the snapshot is written, the trainer did not start",
    "training.trained": "the trainer has ended, its bundle is not on the shelf",
    "training.shelved": "its bundle is on the shelf, nobody decided about it",
    "training.decided": "the decision is made, the training is still said to run",
    "slot.taken": "a slot of the schedule is ours, its job did not run",
    "slot.ran": "its job has run, the slot is not marked finished",
    "migrate.locked": "alone with an old schema",
    "migrate.made": "in the transaction of a migration: tables are made, the version is not written",
}

_armed: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    if _armed is not None:
        _armed(name)


def arm(deed: Callable[[str], None] | None) -> None:
    """Let `deed(name)` happen at every failpoint of this process; None disarms. For tests."""
    global _armed
    _armed = deed
