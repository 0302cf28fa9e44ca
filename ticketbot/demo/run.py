"""The whole loop in five minutes: an ERP's tree, people who label, a training, new tickets, answers at a ticket desk.

Nothing is played: the service is `ticketbot serve` with its own settings, the people move files in folders, the desk is
an HTTP server that checks signatures. Only the pictures are drawn (or come from --data).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from ticketbot.db.models import File, Label, Model, Picture, Prediction, Source, Training
from ticketbot.deliver.sign import new_secret
from ticketbot.demo import report as reports
from ticketbot.demo.desk import RunningDesk
from ticketbot.demo.pictures import FolderPictures, Pictures, RenderedPictures
from ticketbot.demo.report import Report
from ticketbot.demo.service import Service, free_port, write_settings
from ticketbot.demo.tree import Tree, Upload, add_unreadable, make_tree, more_tickets
from ticketbot.errors import NotReady, UsageError
from ticketbot.operate import pending

KNOWN_TICKETS, NEW_TICKETS = 750, 210
TRAIN_S, STEP_S = 3600, 180
GROW_S = 5.0  # seen half-written by at least one scan
TELL_EVERY_S = 5.0
# What is strange in the tree, and what becomes of it; the text file is no picture by its name.
REFUSED = {"not_regular": 1, "image_truncated": 1, "not_an_image": 1}
# A few passes fewer and more to learn from than the recipe has, for five minutes in all; and nothing drawn to learn
# from, or the small body would know the hand that draws its test. No export.pkl, which nobody here loads.
RECIPE = """\
[data]
valid_share = 0.08
[resnet34.scratch]
passes = 18
[efficientnet_lite0]
rendered = 0
[export]
fastai = false
"""
MARK = ".made-by-ticketbot-demo"
# Fixed, and said so: with some hundred labels no class can have a proven promise yet.
TAG_THRESHOLD = 0.5


def run(*, exit_: bool, seed: int, arch: str, data: Path | None, folder: Path, json_file: Path | None) -> int:
    """The demo. -> 0 when every promise was kept, 1 otherwise. Raises UsageError when `folder` is somebody's."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError("the demo trains a model, which needs torch: pip install 'ticketbot[train]'")
    if json_file:
        json_file.touch()  # not after five minutes
    folder = _fresh(folder)
    # Told to end, it ends the service too, by the way out of the `with` below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    pictures: Pictures = FolderPictures(data, seed) if data else RenderedPictures(seed)
    report = Report()
    demo = Demo(folder, seed, arch, pictures, rendered=data is None, report=report)
    with demo.step("draw the ERP's pictures"):
        tree = make_tree(
            folder / "erp", seed, KNOWN_TICKETS if data is None else None, pictures=pictures, grow_s=GROW_S
        )
    with RunningDesk(demo.secret) as desk, Service(demo.write_settings(tree, desk)) as service:
        demo.play(tree, desk, service)
        say("\n" + reports.table(report))
        if json_file:
            json_file.write_text(json.dumps(asdict(report), indent=2) + "\n")
        if not exit_:
            _stay(service)
    return 1 if report.missed else 0


class Demo:
    def __init__(
        self, folder: Path, seed: int, arch: str, pictures: Pictures, *, rendered: bool, report: Report
    ) -> None:
        self.folder, self.seed, self.arch, self.pictures = folder, seed, arch, pictures
        self.rendered, self.report = rendered, report
        self.secret = new_secret()
        self._told_at, self._told = 0.0, ""

    def write_settings(self, tree: Tree, desk: RunningDesk) -> Path:
        """As an admin would write them, but with short waits and without waiting for a proven promise."""
        port = free_port()
        self.report.urls = {"page": f"http://127.0.0.1:{port}/", "desk": desk.url}
        lookup = {
            "kind": "sql",
            "url": f"sqlite:///{tree.database.resolve()}",
            "query": "SELECT ticket FROM uploads WHERE user_id = :user AND file_name = :name",
        }
        (self.folder / "recipe.toml").write_text(RECIPE)
        # The two that walk folders are left some rest: while a training wants both cores, they would hold it up.
        fast = {"poll_s": 3, "labels_s": 3, "classify_s": 1, "deliver_s": 1}
        return write_settings(
            self.folder,
            {
                "general": {
                    "data_dir": "var",
                    "base_url": f"http://127.0.0.1:{port}",
                    "categories": list(self.pictures.categories),
                },
                "web": {"port": port},
                "log": {"format": "json"},
                "sources.erp": {
                    "root": "erp/attach",
                    "settle_s": 2,
                    "ticket_retry_s": [1, 2, 4, 8, 16, 32],
                    "endpoint": "desk",
                    "ticket": [lookup],
                },
                "endpoints.desk": {
                    "url": desk.hook_url,
                    "secret": self.secret,
                    "mode": "live",
                    "allow": [desk.hook_url.split("/")[2]],
                },
                "review": {"to_label_max": 5000},
                "retrain": {
                    "arch": self.arch,
                    "recipe": "recipe.toml",
                    "min_new_labels": len(tree.uploads),
                    "min_interval_s": 0,
                    "holdout_share": 0.1,
                },
                "model": {"first": "auto", "unproven": "tag", "tag_threshold": TAG_THRESHOLD},
                "deliver": {"ticket_quiet_s": 2},
                "schedule": {**fast, "retrain_s": 2},
            },
        )

    def play(self, tree: Tree, desk: RunningDesk, service: Service) -> None:
        """The story, in order."""
        known = list(tree.uploads)
        with self.step("start and look at the tree"):
            if tree.growing:
                tree.growing.wait(STEP_S)
            self.wait_for_staging(service, known)
        with self.step("label, as people do, by sorting copies into folders"):
            self.sort_into_folders(service, known)
        with self.step("train and promote"):
            self.wait_for_champion(service)
        with self.step("let new tickets arrive"):
            add_unreadable(tree)
            new = more_tickets(tree, NEW_TICKETS if self.rendered else None)
        with self.step("find, classify and deliver them"):
            self.wait_for_silence(service, new)
        reports.count_files(service.db, self.report)
        reports.judge(service.db, self.report, new)
        with self.step("people answer what the model left to them"):
            self.sort_into_folders(service, _unsure(service, new))
            self.wait_for_silence(service, new)
        self.count(tree, desk, service, new)

    def count(self, tree: Tree, desk: RunningDesk, service: Service, new: list[Upload]) -> None:
        found = self.report
        reports.count_files(service.db, found)
        tickets = {upload.ticket for upload in new}
        truth = {ticket: right for ticket, right in tree.truth_of_tickets().items() if ticket in tickets}
        reports.judge_desk(found, desk.desk.tickets(), truth)
        found.lost += reports.torn(service.db, service.settings.data_dir)
        found.signatures_refused = desk.desk.counts()["refused"]
        if link := service.first_admin():
            found.urls["set a password"] = link
        found.missed = reports.promises(found, rendered=self.rendered, expected_refused=REFUSED)

    # --- what people and time do ---

    def wait_for_staging(self, service: Service, uploads: list[Upload]) -> None:
        hashes = set(_contents(uploads))

        def staged() -> bool | None:
            with service.db.read() as session:
                if not session.scalar(select(Source.history_until)):
                    return None
                settling = session.scalar(select(func.count()).where(File.state.in_(("seen", "settling"))))
                found = hashes.intersection(session.scalars(select(Picture.sha256)))
            self.tell(f"{len(found)} of {len(hashes)} staged")
            return True if found == hashes and not settling else None

        service.wait_for("staged pictures", lambda: _when_there(staged), STEP_S, lambda: None)

    def sort_into_folders(self, service: Service, uploads: list[Upload]) -> None:
        """Every copy waiting in to-label goes to the folder of what it shows; then the service reads them back."""
        truth = _contents(uploads)
        waiting, labelled = service.settings.data_dir / "to-label", service.settings.data_dir / "labelled"
        sorted_ = set[str]()

        def move() -> bool | None:
            for copy in waiting.glob("[!.]*") if waiting.is_dir() else ():
                sha256 = hashlib.sha256(copy.read_bytes()).hexdigest()
                if sha256 in truth:
                    target = labelled / truth[sha256]
                    target.mkdir(parents=True, exist_ok=True)
                    copy.rename(target / copy.name)
                    sorted_.add(sha256)
            with service.db.read() as session:
                said = session.scalars(select(Label.sha256)).all()
            return True if set(truth) <= set(said) else None

        tell = lambda: self.tell(f"{len(sorted_)} of {len(truth)} sorted")  # noqa: E731
        service.wait_for("labels", move, STEP_S, tell)

    def wait_for_champion(self, service: Service) -> None:
        def ended() -> Training | None:
            with service.db.read() as session:
                return session.scalar(select(Training).where(Training.state != "running"))

        training = service.wait_for("end of the training", ended, TRAIN_S, lambda: self.tell(_training(service)))
        say(f"  {training.message}")
        with service.db.read() as session:
            if session.scalar(select(Model.id).where(Model.state == "champion")) is None:
                raise NotReady(f"no model went into service: {training.message}")

    def wait_for_silence(self, service: Service, new: list[Upload]) -> None:
        """Until the pictures are answered and nothing is on its way any more."""
        hashes = set(_contents(new))

        def silent() -> bool | None:
            with service.db.read() as session:
                waits = pending.look(session, service.settings, time.time())
                done = session.scalars(select(Prediction.sha256)).all()
            left = len(hashes - set(done))
            self.tell(
                f"{left} pictures without an answer, {waits.unresolved} without a ticket yet, "
                f"{waits.to_deliver} answers on their way"
            )
            return True if not left and not waits.total else None

        service.wait_for("end of the deliveries", silent, STEP_S, lambda: None)

    # --- telling ---

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        say(f"{name} …")
        started = time.monotonic()
        yield
        self.report.seconds[name] = round(time.monotonic() - started, 1)
        say(f"  {self.report.seconds[name]:.1f} s")

    def tell(self, text: str) -> None:
        if text and text != self._told and time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at, self._told = time.monotonic(), text
            say(f"  {text}")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _fresh(folder: Path) -> Path:
    """An empty folder with our mark; an old demo is removed, anything else is left alone."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise UsageError(f"{folder} is not empty and was not made by the demo; give another with --dir")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    return folder


def _contents(uploads: list[Upload]) -> dict[str, str]:
    """sha256 -> category."""
    return {hashlib.sha256(upload.path.read_bytes()).hexdigest(): upload.category for upload in uploads}


def _unsure(service: Service, uploads: list[Upload]) -> list[Upload]:
    with service.db.read() as session:
        unsure = set(session.scalars(select(Prediction.sha256).where(Prediction.category.is_(None))))
    return [one for one in uploads if hashlib.sha256(one.path.read_bytes()).hexdigest() in unsure]


def _training(service: Service) -> str:
    with service.db.read() as session:
        running = session.scalar(select(Training).where(Training.state == "running"))
    said: dict[str, Any] = (running.progress if running else None) or {}
    total = said.get("total")
    return f"{said['stage']}: {said['done']:.0f} of {total:.0f}" if total else str(said.get("stage", "waiting"))


def _when_there(look: Any) -> Any:
    """The answer of `look`; None while the service has not made its tables yet."""
    try:
        return look()
    except OperationalError:
        return None


def _stay(service: Service) -> None:
    say("\nThe service and the desk go on; Ctrl+C ends them.")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        say("")
