"""Webhooks to a real receiver on loopback: what arrives, how often, and what we remember of it.

The input is a sentence; SCENES of webhook_scenes.py finds who plays it. Our clock can be put forward, so that three
days of retries take a second; what is claimed, signed, sent and written down is the real thing.
"""

import contextlib
import functools
import re
import socket
import time
from dataclasses import dataclass, field

from sqlalchemy import select

from tests.acceptance import databases
from tests.acceptance.webhook_scenes import SCENES
from tests.support.outbox import SECRET, put_answers
from tests.support.receiver import Receiver
from tests.support.settings import make_settings
from ticketbot.db.models import Answer, Attempt, EndpointState
from ticketbot.deliver import alerts
from ticketbot.deliver.send import deliver_due
from ticketbot.net import fetch

EXPECT = {
    *("state", "attempts", "followed", "next_attempt_s", "next_attempt_s_max", "same_webhook_id", "read_bytes_max"),
    *("status", "code", "signatures", "old_receiver", "new_receiver", "lost", "duplicates_same_id", "signature"),
    *("order", "effects", "alert"),
}
GIVEN = set()
ROUNDS = 15
# What http.client reads ahead, and the head of an answer.
READ_AHEAD_BYTES = 16_384


class CountingSocket(socket.socket):
    """Counts the bytes that were really taken from the network."""

    received = 0

    def recv_into(self, *arguments):
        count = super().recv_into(*arguments)
        CountingSocket.received += count
        return count


@dataclass
class Office:
    """One endpoint "desk", its receiver, our clock; `seen` is what a scene measured by itself."""

    folder: object
    db: object
    desk: Receiver
    patch: object
    clock_ahead_s: float = 0.0
    overrides: dict = field(default_factory=dict)
    connect: object = None
    resolve: object = None
    seen: dict = field(default_factory=dict)
    # What to do after the first round; a scene that plays everything itself says False.
    play: bool = True
    first: dict = field(default_factory=dict)
    elsewhere: Receiver | None = None
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def settings(self):
        values = {
            "endpoints.desk.url": self.desk.url,
            "endpoints.desk.secret": SECRET,
            "endpoints.desk.mode": "live",
            "endpoints.desk.allow": ["127.0.0.1"],
            "deliver.timeout_s": 2,
            **self.overrides,
        }
        return make_settings(self.folder, values)

    def now(self):
        return time.time() + self.clock_ahead_s

    def put(self, *places, state="pending"):
        return put_answers(self.db, places or [("desk", "T1", 1)], now=self.now() - 1, state=state)

    def later(self, seconds):
        """Time passes; the receiver's own clock does not, so it no longer looks at timestamps."""
        self.clock_ahead_s += seconds
        self.desk.secrets = []

    def round(self):
        post = functools.partial(fetch.post, resolve=self.resolve, connect=self.connect or counted)
        return deliver_due(self.db, self.settings, self.now, post)

    def rows(self):
        with self.db.read() as session:
            return session.scalars(select(Answer).order_by(Answer.ticket, Answer.seq)).all()

    def endpoint(self):
        with self.db.read() as session:
            return session.get(EndpointState, "desk")

    def wait_s(self):
        """From the end of the last attempt until the next one may be made."""
        (row,) = self.rows()
        with self.db.read() as session:
            last = session.scalars(select(Attempt).order_by(Attempt.id.desc())).first()
        paused = self.endpoint().paused_until if self.endpoint() else 0.0
        return max(row.due_at, paused) - (last.at + last.took_ms / 1000)

    def to_the_end(self):
        """Rounds until the first answer is delivered, dead, or waits for a person."""
        for _ in range(ROUNDS):
            row, endpoint = self.rows()[0], self.endpoint()
            if row.state != "pending" or (endpoint is not None and endpoint.disabled_at is not None):
                return
            due_at = max(row.due_at, row.lease_until, endpoint.paused_until if endpoint else 0.0)
            if endpoint is not None and endpoint.opened_at is not None:
                due_at = max(due_at, endpoint.probe_at or 0.0)
            self.later(max(0.0, due_at - self.now()) + 0.01)
            self.round()

    def state(self):
        endpoint = self.endpoint()
        if endpoint is not None and endpoint.disabled_at is not None:
            return "disabled"
        return self.rows()[0].state


def counted(address, timeout_s):
    return CountingSocket(fileno=fetch.dial(address, timeout_s).detach())


def run(case, request):
    scene = scene_of(case.input)
    with databases.each(request) as grounds:
        for folder, db in grounds:
            CountingSocket.received = 0
            with Receiver(SECRET, slow_s=3.0) as desk, request.getfixturevalue("monkeypatch").context() as patch:
                office = Office(folder, db, desk, patch)
                with office.closing:
                    scene(office)
                    if office.play:
                        _play(office, case.expect)
                    check(case.expect, office)


def scene_of(text):
    """Who plays what the sentence says. Raises LookupError."""
    for pattern, scene in SCENES:
        if match := re.search(pattern, text, re.IGNORECASE):
            return lambda office: scene(office, match)
    raise LookupError(f"nobody knows how to play {text!r}")


def _play(office, expect):
    """The first round, and the others unless the case is about what comes after the first attempt."""
    office.first = office.round()
    if office.rows()[0].state == "pending" and len(office.rows()) == 1:
        office.seen["wait_s"] = office.wait_s()
    only_first = expect.get("state") == "retry" or {"next_attempt_s", "next_attempt_s_max"} & set(expect)
    if not only_first:
        office.to_the_end()


def check(expect, office):
    seen, desk = office.seen, office.desk
    if expect.get("state") == "retry":
        assert office.first.get("retry"), office.first
        assert office.rows()[0].state == "pending"
    elif "state" in expect:
        assert seen.get("state", office.state()) == expect["state"]
    if "attempts" in expect:
        assert seen.get("attempts", office.rows()[0].attempts) == expect["attempts"]
    if "followed" in expect:
        assert bool(office.elsewhere.requests) == expect["followed"]
    if "next_attempt_s" in expect:
        low, high = expect["next_attempt_s"]
        assert low - 0.5 <= seen["wait_s"] <= high + 0.5
    if "next_attempt_s_max" in expect:
        assert seen["wait_s"] <= expect["next_attempt_s_max"] + 0.5
    if "read_bytes_max" in expect:
        assert CountingSocket.received <= expect["read_bytes_max"] + READ_AHEAD_BYTES
    if "same_webhook_id" in expect:
        ids = [request.id for request in desk.requests]
        assert ids and ({row.id for row in office.rows()} == set(ids)) == expect["same_webhook_id"]
    if "order" in expect:
        assert desk.order_violations() == 0 and seen["order"], expect["order"]
    if "alert" in expect:
        with office.db.read() as session:
            raised = {one.code for one in alerts.current(session)}
        wanted = expect["alert"]
        assert wanted in raised if isinstance(wanted, str) else bool(raised) == wanted, raised
    if "effects" in expect:
        assert {desk.effects.count(one) for one in desk.effects} == {expect["effects"]}
    for key in ("status", "code", "signatures", "old_receiver", "new_receiver", "lost", "duplicates_same_id"):
        if key in expect:
            assert seen[key] == expect[key], key
    if "signature" in expect:
        assert "verif" in expect["signature"] and seen["verified"] is ("not" not in expect["signature"].split())
