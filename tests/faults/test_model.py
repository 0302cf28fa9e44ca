"""F15: whatever happens in whatever order, the invariants hold after each step, and all is said at the end.

Hypothesis makes up stories of uploads, growing files, labels, failing receivers, redeliveries, new secrets, crashes at
failpoints and jumping clocks, and shortens those that end badly. In one process on SQLite, with a clock of our own.
"""

import io
import itertools
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from PIL import Image
from sqlalchemy import func, select

from tests.faults.sizes import SIZE
from tests.support.bundles import CLASSES, make_bundle, picture
from tests.support.installation import Inline
from tests.support.outbox import SECRET
from tests.support.settings import make_settings
from ticketbot import failpoints, flow
from ticketbot.app import App
from ticketbot.db.models import Answer, Attempt, File, Label, Model, Picture, Prediction, Ticket
from ticketbot.deliver import admin, outbox, send, sign
from ticketbot.errors import FetchError
from ticketbot.judge.engine import Engine
from ticketbot.net.fetch import Reply
from ticketbot.retrain import shelf
from ticketbot.review import labels

START = 1_800_000_000.0
DAY_S = 86_400.0
# Every failpoint that the steps below pass.
CRASHES = [
    name
    for name in failpoints.POINTS
    if name.split(".")[0] in {"scan", "store", "stage", "resolve", "classify", "outbox", "decide", "claim", "finish"}
] + ["send.signed", "send.posted", "labels.said", "labels.recorded"]


class Crash(BaseException):
    """The process is gone."""


def settings_in(folder):
    return make_settings(
        folder,
        {
            "sources.erp.root": str(folder / "erp"),
            "sources.erp.settle_s": 5,
            "sources.erp.endpoint": "desk",
            "sources.erp.ticket": [{"kind": "path", "pattern": r"(?P<ticket>T-\d+)"}],
            "endpoints.desk.url": "http://127.0.0.1:9/hook",
            "endpoints.desk.secret": SECRET,
            "endpoints.desk.mode": "live",
            "endpoints.desk.allow": ["127.0.0.1"],
            "classify.workers": 1,
            "deliver.workers": 1,
            "deliver.ticket_quiet_s": 10,
            "model.unproven": "tag",
        },
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A data folder with a champion, whose source was scanned once; and the engine, loaded."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "erp").mkdir()
    made = settings_in(folder)
    app = App(made, now=lambda: START - 100)
    flow.scan(app)
    manifest = make_bundle(shelf.folder_of(made, "m1"), model_id="m1")
    with app.db.write() as session:
        session.add(Model(id="m1", state="champion", created_at=1.0, promoted_at=1.0, manifest=manifest.as_json()))
    app.close()
    return folder / "var", Engine(shelf.folder_of(made, "m1"))


class Story(RuleBasedStateMachine):
    template: Path
    engine: Engine

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ticketbot-story-"))
        shutil.copytree(self.template, self.folder / "var")
        (self.folder / "erp").mkdir()
        self.settings = settings_in(self.folder)
        self.clock = START
        self.app = None
        self.open()
        self.numbers = itertools.count()
        self.files = {}  # path -> number of its class
        self.secrets = [SECRET]
        self.answer = 200
        self.posts = []  # (ticket, seq, id) of every request that reached the receiver
        self.effects = []  # ids it acted on, each once
        self.used_keys = set()

    def open(self):
        """Start the process; the first one knows the tree by another inode, as after a restore."""
        if self.app is not None:
            self.app.db.close()
        self.app = App(self.settings, now=lambda: self.clock)
        self.app.__dict__.update(decoders=Inline(), serving=self)
        if not hasattr(self, "posts"):
            with self.app.db.write() as session:
                session.connection().exec_driver_sql("UPDATE source SET root_id = NULL")

    def current(self):
        return self.engine

    def teardown(self):
        if hasattr(self, "app"):
            try:
                self.settle_everything()
            finally:
                self.app.db.close()
                shutil.rmtree(self.folder, ignore_errors=True)

    # --- what happens ---------------------------------------------------------------------------------------------

    @rule(number=st.integers(0, 3), ticket=st.integers(1, 4))
    def upload(self, number, ticket):
        path = self.folder / "erp" / f"{ticket}" / f"T-{ticket} {next(self.numbers)}.jpg"
        path.parent.mkdir(exist_ok=True)
        stream = io.BytesIO()
        seed = len(self.files)
        Image.fromarray(picture(number, seed=seed)).save(stream, "JPEG", quality=80)
        path.write_bytes(stream.getvalue())
        self.files[path] = number

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def grow(self, data):
        path = data.draw(st.sampled_from(sorted(self.files, key=str)))
        with open(path, "ab") as file:
            file.write(b"more")

    @rule()
    def collect(self):
        self.clock += 6
        self.step(flow.sweep)

    @rule()
    def classify(self):
        self.step(flow.classify)

    @rule(answer=st.sampled_from([200, 200, 500, 429, 410, "taken, then broken", "refused"]))
    def deliver(self, answer):
        self.answer = answer
        self.step(self.send)

    @precondition(lambda self: self.pictures())
    @rule(data=st.data(), category=st.sampled_from([*CLASSES, "junk", None, "skip"]))
    def label(self, data, category):
        sha256 = data.draw(st.sampled_from(self.pictures()))
        self.step(lambda app: self.say(sha256, category))

    @precondition(lambda self: self.posts)
    @rule(key=st.sampled_from(["a", "b", "c"]))
    def redeliver(self, key):
        n = admin.redeliver(self.app.db, key, "ann", self.clock, since=0.0, states=("dead", "delivered"))
        assert not (n and key in self.used_keys), "the same wish twice"
        self.used_keys |= {key} if n else set()

    @rule()
    def rotate(self):
        self.secrets.append(admin.rotate_secret(self.app.db, self.settings, "desk", "ann", self.clock))

    @rule()
    def enable(self):
        admin.enable(self.app.db, "desk", "ann", self.clock)

    @rule(point=st.sampled_from(CRASHES), step=st.sampled_from(["collect", "classify", "send", "label"]))
    def crash(self, point, step):
        def strike(name):
            if name == point:
                raise Crash(point)

        steps = {"collect": flow.sweep, "classify": flow.classify, "send": self.send, "label": self.say_something}
        self.clock += 6
        failpoints.arm(strike)
        try:
            steps[step](self.app)
        except (Crash, Exception):
            pass
        finally:
            failpoints.arm(None)
        self.open()

    @rule(by_s=st.sampled_from([1.0, 11.0, 61.0, 3600.0, DAY_S, -61.0, -3600.0]))
    def time_jumps(self, by_s):
        self.clock += by_s

    # --- what must be true after each of them ---------------------------------------------------------------------

    @invariant()
    def one_effect_an_id_in_order(self):
        if not hasattr(self, "posts"):
            return
        assert max(Counter(self.effects).values(), default=1) == 1
        newest, seen = {}, set()
        for ticket, seq, id_ in self.posts:
            if id_ not in seen:
                assert seq > newest.get(ticket, 0), f"{ticket}: {seq} began after {newest[ticket]}"
                newest[ticket] = seq
                seen.add(id_)

    @invariant()
    def the_rows_fit_together(self):
        if not hasattr(self, "posts"):
            return
        with self.app.db.read() as session:
            delivered = set(session.scalars(select(Answer.id).where(Answer.state == "delivered")))
            assert delivered <= set(self.effects), "delivered and never arrived"
            counted = select(Answer.ticket, func.count(), func.max(Answer.seq)).group_by(Answer.ticket)
            assert all(n == highest for _, n, highest in session.execute(counted)), "a gap in seq"
            firsts = select(Answer.ticket, Answer.sha256).where(Answer.type == "picture.classified")
            assert max(Counter(session.execute(firsts).all()).values(), default=1) == 1, "classified twice"
            twice = select(Prediction.sha256).group_by(Prediction.sha256).having(func.count() > 1)
            assert session.execute(twice).first() is None
            for sha256 in session.scalars(select(Picture.sha256)):
                assert self.settings.staged_path(sha256).exists(), "a row without its picture"

    # --- the deeds ------------------------------------------------------------------------------------------------

    def step(self, deed):
        deed(self.app)

    def send(self, app):
        outbox.decide_tickets(app.db, self.settings, self.clock)
        send.deliver_due(app.db, self.settings, lambda: self.clock, self.post)

    def post(self, url, body, headers, **_):
        assert sign.verify(body, headers, self.secrets, now=self.clock) == headers["webhook-id"]
        if self.answer == "refused":
            raise FetchError("fetch_failed")  # nobody was there
        with self.app.db.read() as session:
            row = session.get(Answer, headers["webhook-id"])
        self.posts.append((row.ticket, row.seq, row.id))
        if self.answer in (200, "taken, then broken") and row.id not in self.effects:
            self.effects.append(row.id)
        if self.answer == "taken, then broken":
            raise FetchError("fetch_failed")
        return Reply(self.answer, {}, b"", 1)

    def pictures(self):
        with self.app.db.read() as session:
            return sorted(session.scalars(select(Picture.sha256)))

    def say_something(self, app):
        if known := self.pictures():
            self.say(known[0], "errors")

    def say(self, sha256, category):
        with self.app.db.write() as session:
            word = {"sha256": sha256, "new": category, "who": "ann", "at": self.clock, "how": "page"}
            labels.record(session, **word, key=f"k{next(self.numbers)}", on_label=self.app.announce)

    def settle_everything(self):
        """The receiver is well again and time goes by: everything is said, and rightly."""
        self.answer = 200
        self.app.stopping.clear()
        for _ in range(12):
            admin.enable(self.app.db, "desk", "ann", self.clock)
            self.clock += DAY_S
            flow.sweep(self.app)
            self.clock += 6
            flow.poll(self.app)
            flow.classify(self.app)
            self.send(self.app)
        with self.app.db.read() as session:
            left = session.execute(
                select(Answer.id, Answer.state).where(Answer.state.not_in(("delivered", "dead")))
            ).all()
            assert left == [], "still waiting when all is well"
            staged = session.scalar(select(func.count()).select_from(File).where(File.state == "staged"))
            assert staged == len(self.files), "a file was lost"
            attempts = dict(session.execute(select(Attempt.answer_id, func.count()).group_by(Attempt.answer_id)).all())
            dead = set(session.scalars(select(Answer.id).where(Answer.state == "dead")))
            assert dead <= set(attempts), "dead without an attempt"
            self.judge_tickets(session)
        self.one_effect_an_id_in_order()
        self.the_rows_fit_together()

    def judge_tickets(self, session):
        """A person's word wins; a ticket nobody said a word about has the class of one of its pictures."""
        said = {row.ticket: row.category for row in session.scalars(select(Ticket))}
        words = {row.sha256: row.category for row in session.scalars(select(Label))}
        told = session.execute(select(Answer.ticket, Answer.sha256).where(Answer.sha256.is_not(None)).distinct()).all()
        for path, number in self.files.items():
            ticket = path.parent.name
            own = {sha256 for name, sha256 in told if name == f"T-{ticket}"}
            by_people = {words[sha256] for sha256 in own if sha256 in words and words[sha256] in CLASSES}
            found = said.get(f"T-{ticket}")
            if by_people:
                assert found in by_people, f"T-{ticket} is {found}, people said {by_people}"
            elif not any(sha256 in words for sha256 in own) and len(self.classes_of(ticket)) == 1:
                assert found == CLASSES[number], f"T-{ticket} is {found}"

    def classes_of(self, ticket):
        return {number for path, number in self.files.items() if path.parent.name == ticket}


@pytest.mark.slow
@pytest.mark.timeout(14_400)
def test_any_story_ends_well(template):
    Story.template, Story.engine = template
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=SIZE.examples,
            stateful_step_count=SIZE.steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
