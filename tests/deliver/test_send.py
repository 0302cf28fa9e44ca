"""Sent to a real server on loopback: what arrives, how often, in which order, and what we remember of it."""

import functools
import json
import threading
import time

import pytest
from sqlalchemy import event, select

from tests.support.outbox import SECRET, put_answers
from tests.support.receiver import Receiver
from ticketbot.db.models import Answer, Attempt, EndpointState, Switch
from ticketbot.deliver import admin, alerts, endpoints, sign
from ticketbot.deliver.claim import Claim, shares
from ticketbot.deliver.finish import Report, clock_skew_s, finish
from ticketbot.deliver.retry import Outcome
from ticketbot.deliver.send import deliver_due
from ticketbot.errors import AddressRefused
from ticketbot.net import fetch


class Clock:
    """Our time: the real one, moved."""

    def __init__(self):
        self.ahead_s = 0.0

    def __call__(self):
        return time.time() + self.ahead_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def desk():
    with Receiver(SECRET) as receiver:
        yield receiver


@pytest.fixture
def settings_for(settings_with):
    """Settings whose endpoint "desk" is that receiver; no jitter, so that waits are exact."""

    def make(receiver, **overrides):
        values = {
            "endpoints.desk.url": receiver.url,
            "endpoints.desk.secret": SECRET,
            "endpoints.desk.mode": "live",
            "endpoints.desk.allow": ["127.0.0.1"],
            "deliver.jitter": 0,
            "deliver.timeout_s": 3,
        }
        return settings_with({**values, **{name.replace("__", "."): value for name, value in overrides.items()}})

    return make


def rows_of(db, model=Answer):
    with db.read() as session:
        return session.scalars(select(model)).all()


def one(db, model=Answer):
    (row,) = rows_of(db, model)
    return row


def alert_codes(db):
    with db.read() as session:
        return [alert.code for alert in alerts.current(session)]


def test_an_answer_arrives_signed_and_byte_for_byte(db, desk, settings_for):
    (id_,) = put_answers(db, [("desk", "T1", 1)], now=time.time())
    body = '{"data":{"ticket":"ä 🎫 \u2028 \\u0000","seq":1}}'.encode()
    with db.write() as session:
        session.get(Answer, id_).body = body
    assert deliver_due(db, settings_for(desk)) == {"delivered": 1}
    (request,) = desk.requests
    assert (request.id, request.body, request.verified) == (id_, body, True)
    assert request.headers["content-type"] == "application/json"
    row = one(db)
    assert (row.state, row.attempts, row.last_status, row.lease_until) == ("delivered", 1, 200, 0.0)
    attempt = one(db, Attempt)
    assert (attempt.number, attempt.status, attempt.error) == (1, 200, None)
    assert attempt.response.endswith(b"\n\nok")


def test_a_failure_is_tried_again_under_the_same_id_with_a_new_timestamp(db, desk, settings_for, clock):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    desk.script(500, "reset", 200)
    settings = settings_for(desk)
    assert deliver_due(db, settings, clock) == {"retry": 1}
    assert deliver_due(db, settings, clock) == {}, "not before its time"
    clock.ahead_s += 6
    desk.secrets = []  # our clock runs ahead of the receiver's from here on
    assert deliver_due(db, settings, clock) == {"retry": 1}
    clock.ahead_s += 301
    assert deliver_due(db, settings, clock) == {"delivered": 1}
    first, second, third = desk.requests
    assert first.id == second.id == third.id
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
    assert first.body == second.body == third.body
    assert [attempt.error for attempt in rows_of(db, Attempt)] == [None, "fetch_failed", None]


def test_an_answer_dies_after_its_last_attempt_and_frees_the_next(db, desk, settings_for, clock):
    put_answers(db, [("desk", "T1", 1), ("desk", "T1", 2)], now=time.time())
    desk.script(500, 500)
    settings = settings_for(desk, deliver__schedule_s=[0, 1])
    assert deliver_due(db, settings, clock) == {"retry": 1}
    clock.ahead_s += 2
    assert deliver_due(db, settings, clock) == {"dead": 1, "delivered": 1}
    assert [row.state for row in sorted(rows_of(db), key=lambda row: row.seq)] == ["dead", "delivered"]
    assert "dead" in alert_codes(db)


def test_a_failing_event_holds_back_its_ticket_and_no_other(db, desk, settings_for, clock):
    put_answers(db, [("desk", "T1", 1), ("desk", "T1", 2), ("desk", "T2", 1), ("desk", "T2", 2)], now=time.time())
    settings = settings_for(desk)
    desk.usual = lambda request: 500 if (request.ticket, request.seq) == ("T1", 1) else 200
    assert deliver_due(db, settings, clock) == {"retry": 1, "delivered": 2}
    assert [(request.ticket, request.seq) for request in desk.requests if request.ticket == "T2"] == [
        ("T2", 1),
        ("T2", 2),
    ]
    assert ("T1", 2) not in [(request.ticket, request.seq) for request in desk.requests]
    desk.usual = 200
    desk.secrets = []
    clock.ahead_s += 6
    assert deliver_due(db, settings, clock) == {"delivered": 2}
    assert desk.order_violations() == 0


def test_a_redirect_is_a_failure_and_is_not_followed(db, desk, settings_for):
    with Receiver() as elsewhere:
        put_answers(db, [("desk", "T1", 1)], now=time.time())
        for status in (301, 302, 303, 307, 308):
            desk.script((status, {"Location": elsewhere.url}))
        assert deliver_due(db, settings_for(desk, deliver__schedule_s=[0, 0, 0, 0, 0, 0])) == {
            "retry": 5,
            "delivered": 1,
        }
        assert elsewhere.requests == []
    assert "redirected" in alert_codes(db)


def test_a_refusal_is_said_at_once_and_heals(db, desk, settings_for, clock):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    desk.script(404)
    settings = settings_for(desk)
    deliver_due(db, settings, clock)
    assert alert_codes(db) == ["refused"]
    desk.secrets = []
    clock.ahead_s += 301
    assert deliver_due(db, settings, clock) == {"delivered": 1}
    assert "refused" not in alert_codes(db)


def test_410_switches_the_endpoint_off_until_a_person_switches_it_on(db, desk, settings_for, clock):
    put_answers(db, [("desk", f"T{n}", 1) for n in range(30)], now=time.time())
    desk.script(410)
    settings = settings_for(desk, deliver__workers=1)
    assert deliver_due(db, settings, clock) == {"disabled": 1}
    assert len(desk.requests) == 1
    assert one(db, EndpointState).disabled_why == "it answered 410 Gone"
    assert alert_codes(db) == ["disabled"]
    admin.enable(db, "desk", "ann", clock())
    assert alert_codes(db) == []
    first = deliver_due(db, settings, clock)["delivered"]
    assert 1 <= first < 30, "a backlog goes out slowly"
    desk.secrets = []
    clock.ahead_s += 5
    assert deliver_due(db, settings, clock) == {"delivered": 30 - first}
    assert one(db, EndpointState).slow_since is None


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_pauses_the_whole_endpoint(db, desk, settings_for, clock, status):
    put_answers(db, [("desk", "T1", 1), ("desk", "T2", 1)], now=time.time())
    desk.script((status, {"Retry-After": "120"}))
    settings = settings_for(desk, deliver__workers=1)
    assert deliver_due(db, settings, clock) == {"retry": 1}
    clock.ahead_s += 115
    assert deliver_due(db, settings, clock) == {}
    desk.secrets = []
    clock.ahead_s += 6
    assert deliver_due(db, settings, clock) == {"delivered": 2}


def test_a_gigabyte_of_answer_is_read_up_to_64_kb_and_kept_up_to_4(db, desk, settings_for):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    desk.script("huge")
    assert deliver_due(db, settings_for(desk)) == {"delivered": 1}
    assert len(one(db, Attempt).response) == 4096
    assert desk.sent_bytes < 20 * 2**20, "what fits into socket buffers, not more"


@pytest.mark.parametrize("answer", ["slow", "drip"])
def test_a_slow_receiver_costs_no_more_than_the_deadline(db, desk, settings_for, answer):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    desk.script(answer)
    began = time.monotonic()
    assert deliver_due(db, settings_for(desk, deliver__timeout_s=0.5)) == {"retry": 1}
    assert time.monotonic() - began < 2
    assert one(db, Attempt).error == "fetch_timeout"


def test_what_is_kept_of_an_answer_names_headers_but_no_secret_ones(db, desk, settings_for):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    desk.script((500, {"Set-Cookie": "s=1", "Authorization": "Bearer x", "X-Trace": "t"}))
    deliver_due(db, settings_for(desk))
    kept = one(db, Attempt).response
    assert b"x-trace" in kept
    for secret in (b"cookie", b"authorization", b"Bearer", b"s=1"):
        assert secret not in kept


def test_an_address_that_is_not_allowed_is_refused_at_send_time(db, desk, settings_for):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    settings = settings_for(desk, endpoints__desk__allow=[])
    assert deliver_due(db, settings) == {"retry": 1}
    assert desk.requests == []
    assert (one(db).last_error, alert_codes(db)) == ("address_refused", ["refused"])
    with pytest.raises(AddressRefused) as error:
        endpoints.check_url(settings.endpoints["desk"])
    assert (error.value.code, error.value.status) == ("address_refused", 400)
    assert endpoints.refused(settings) == {"desk": "address_refused"}
    assert endpoints.refused(settings_for(desk)) == {}


def test_a_private_address_on_the_allow_list_is_delivered_to(db, desk, settings_for):
    """10.0.0.0/8 is allowed and the connection to 10.1.2.3 led to the desk: internal systems are the normal case."""
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    settings = settings_for(
        desk, endpoints__desk__url="http://desk.internal/hook", endpoints__desk__allow=["10.0.0.0/8"]
    )
    called = []

    def connect(address, timeout_s):
        called.append(address)
        return fetch.dial(desk.server.server_address, timeout_s)

    post = functools.partial(fetch.post, resolve=lambda host, port: ["10.1.2.3"], connect=connect)
    assert deliver_due(db, settings, post=post) == {"delivered": 1}
    assert called == [("10.1.2.3", 80)]


def test_both_secrets_sign_for_a_day_after_a_rotation(db, desk, settings_for, clock):
    settings = settings_for(desk)
    new = admin.rotate_secret(db, settings, "desk", "ann", clock())
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    deliver_due(db, settings, clock)
    (request,) = desk.requests
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, new):
        sign.verify(request.body, request.headers, secret)
    clock.ahead_s += 86401
    put_answers(db, [("desk", "T1", 2)], now=time.time())
    deliver_due(db, settings, clock)
    last = desk.requests[-1]
    assert len(last.headers["webhook-signature"].split(" ")) == 1
    sign.verify(last.body, last.headers, new, now=clock())


def test_without_a_secret_nothing_is_sent_and_it_is_said(db, desk, settings_for):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    settings = settings_for(desk, endpoints__desk__secret="")
    assert deliver_due(db, settings) == {}
    assert deliver_due(db, settings) == {}
    assert alert_codes(db) == ["no_secret"]
    admin.rotate_secret(db, settings, "desk", "ann", time.time())
    assert alert_codes(db) == []
    desk.secrets = []
    assert deliver_due(db, settings) == {"delivered": 1}


@pytest.mark.parametrize("endpoint", ["", "desk"])
def test_a_pause_stops_deliveries_and_resume_lets_them_go(db, desk, settings_for, endpoint):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    settings = settings_for(desk)
    admin.pause(db, "ann", time.time(), endpoint)
    assert deliver_due(db, settings) == {}
    admin.resume(db, "ann", time.time(), endpoint)
    assert deliver_due(db, settings) == {"delivered": 1}


def test_a_dry_run_endpoint_gets_nothing(db, desk, settings_for):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    assert deliver_due(db, settings_for(desk, endpoints__desk__mode="dry_run")) == {}


def test_the_breaker_opens_burns_no_attempts_and_closes_again(db, desk, settings_for, clock):
    put_answers(db, [("desk", f"T{n}", 1) for n in range(40)], now=time.time())
    desk.usual = 500
    settings = settings_for(desk, deliver__workers=1)
    assert deliver_due(db, settings, clock) == {"retry": 10}
    assert sum(row.attempts for row in rows_of(db)) == 10
    clock.ahead_s += 29
    assert deliver_due(db, settings, clock) == {}
    clock.ahead_s += 2
    assert deliver_due(db, settings, clock) == {"retry": 1}, "one probe"
    clock.ahead_s += 59
    assert deliver_due(db, settings, clock) == {}
    clock.ahead_s += 2
    desk.usual = 200
    desk.secrets = []
    assert deliver_due(db, settings, clock) == {"delivered": 40}, "three probes, then everything"
    assert one(db, EndpointState).opened_at is None


def test_an_endpoint_without_success_for_120_hours_is_switched_off(db, desk, settings_for, clock):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    desk.usual = 500
    settings = settings_for(desk, deliver__schedule_s=[0, 431_000, 1_001, 5])
    deliver_due(db, settings, clock)
    clock.ahead_s += 431_000
    deliver_due(db, settings, clock)
    assert one(db, EndpointState).disabled_at is None
    clock.ahead_s += 1_001
    deliver_due(db, settings, clock)
    assert one(db, EndpointState).disabled_why.startswith("no success since")
    assert "disabled" in alert_codes(db)
    assert one(db).state == "pending", "it waits for the endpoint, it is not lost"


def test_a_receivers_clock_that_is_off_is_said_and_heals(db, settings_for):
    with Receiver(SECRET) as desk:
        desk.server.RequestHandlerClass.date_time_string = lambda self, timestamp=None: "Thu, 01 Jan 2026 00:00:00 GMT"
        put_answers(db, [("desk", "T1", 1)], now=time.time())
        settings = settings_for(desk)
        deliver_due(db, settings)
        assert one(db, EndpointState).clock_skew_s < -60
        assert "clock_skew" in alert_codes(db)
        del desk.server.RequestHandlerClass.date_time_string
        put_answers(db, [("desk", "T2", 1)], now=time.time())
        deliver_due(db, settings)
        assert abs(one(db, EndpointState).clock_skew_s) < 5
        assert "clock_skew" not in alert_codes(db)


@pytest.mark.parametrize("date", [None, "", "yesterday", "\x00", "9" * 1000, "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_a_date_that_makes_no_sense_says_nothing_about_the_clock(date):
    assert clock_skew_s({} if date is None else {"date": date}, time.time()) is None


def test_a_failed_older_answer_gives_way_under_latest(db, desk, settings_for, clock):
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    settings = settings_for(desk, endpoints__desk__ordering="latest")

    def newer_arrives(request):
        put_answers(db, [("desk", "T1", 2)], now=time.time())
        return 500

    desk.script(newer_arrives)
    assert deliver_due(db, settings, clock) == {"cancelled": 1, "delivered": 1}
    assert [request.seq for request in desk.requests] == [1, 2]


def test_who_lost_its_lease_can_no_longer_write_the_end(db, desk, settings_for, clock):
    """The first sender hangs past its lease; a second one delivers; the first one's end changes nothing."""
    (id_,) = put_answers(db, [("desk", "T1", 1)], now=time.time())
    settings = settings_for(desk)
    hanging, go_on = threading.Event(), threading.Event()

    def post(url, body, headers, **kwargs):
        reply = fetch.post(url, body, headers, **kwargs)
        hanging.set()
        go_on.wait(10)
        return fetch.Reply(500, {}, b"late", reply.ms)

    results = []
    first = threading.Thread(target=lambda: results.append(deliver_due(db, settings, post=post)))
    first.start()
    assert hanging.wait(10)
    assert deliver_due(db, settings) == {}, "it is still held"
    clock.ahead_s += settings.deliver.timeout_s + settings.deliver.lease_margin_s + 1
    desk.secrets = []
    assert deliver_due(db, settings, clock) == {"delivered": 1}
    go_on.set()
    first.join(10)
    assert results == [{"fenced": 1}]
    assert one(db).state == "delivered"
    assert len(rows_of(db, Attempt)) == 1
    assert desk.effects == [id_]
    assert len(desk.requests) == 2


def test_an_end_for_another_token_changes_nothing(db, desk, settings_for):
    (id_,) = put_answers(db, [("desk", "T1", 1)], now=time.time())
    claim = Claim(id_, "desk", "T1", 1, b"", token=7, attempts=0, probe=False, secrets=())
    report = Report(Outcome(200), 0.0, 1.0, {}, b"")
    assert finish(db, settings_for(desk), [(claim, report)]) == ["fenced"]
    assert one(db).state == "pending"
    assert rows_of(db, Attempt) == []


def test_two_processes_worth_of_senders_send_each_answer_once(db, desk, settings_for):
    ids = put_answers(db, [("desk", f"T{n % 20}", 1 + n // 20) for n in range(100)], now=time.time())
    settings = settings_for(desk)
    counts = []
    senders = [threading.Thread(target=lambda: counts.append(deliver_due(db, settings))) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sum(count.get("delivered", 0) for count in counts) == 100
    assert sorted(request.id for request in desk.requests) == sorted(ids)
    assert desk.order_violations() == 0


def test_an_error_in_our_own_code_is_an_attempt_and_stops_nobody(db, desk, settings_for, caplog):
    put_answers(db, [("desk", "T1", 1), ("desk", "T2", 1)], now=time.time())

    def post(url, body, headers, **kwargs):
        if json.loads(body)["data"]["ticket"] == "T1":
            raise RuntimeError("a bug")
        return fetch.post(url, body, headers, **kwargs)

    assert deliver_due(db, settings_for(desk), post=post) == {"retry": 1, "delivered": 1}
    assert "failed in our own code" in caplog.text


def test_stop_lets_attempts_end_and_begins_no_new_ones(db, desk, settings_for):
    put_answers(db, [("desk", f"T{n}", 1) for n in range(20)], now=time.time())
    stopping = threading.Event()
    desk.usual = lambda request: stopping.set() or 200
    counts = deliver_due(db, settings_for(desk, deliver__workers=2), stop=stopping.is_set)
    assert 1 <= counts["delivered"] <= 4
    assert {row.lease_until for row in rows_of(db)} == {0.0}


def test_a_quick_receiver_is_sent_to_over_as_many_connections_as_there_are_workers(db, desk, settings_for):
    put_answers(db, [("desk", f"T{n}", 1) for n in range(40)], now=time.time())
    desk.server.RequestHandlerClass.protocol_version = "HTTP/1.1"
    accept, callers = desk.server.get_request, []

    def counted():
        accepted = accept()
        callers.append(accepted[1])
        return accepted

    desk.server.get_request = counted
    assert deliver_due(db, settings_for(desk, deliver__workers=3)) == {"delivered": 40}
    assert len(callers) <= 3
    assert len({request.id for request in desk.requests}) == len(desk.requests) == 40


def test_what_was_claimed_ahead_goes_back_when_the_receiver_falls_ill(db, desk, settings_for):
    """No attempt is burnt beyond those that open the breaker, and nobody waits for a lease to end."""
    put_answers(db, [("desk", f"T{n}", 1) for n in range(60)], now=time.time())
    desk.usual = lambda _: 200 if len(desk.requests) < 30 else 500
    settings = settings_for(desk, deliver__workers=1, deliver__schedule_s=[0, 300, 300])
    assert deliver_due(db, settings) == {"delivered": 30, "retry": 10}
    answers = rows_of(db)
    assert {row.lease_until for row in answers} == {0.0}
    assert sum(row.attempts for row in answers) == len(desk.requests) == len(rows_of(db, Attempt))


@pytest.mark.parametrize(
    ("ready", "in_flight", "expected"),
    [
        (["a"], {}, {"a": 8}),
        (["a", "b"], {}, {"a": 4, "b": 4}),
        (["a", "b"], {"a": 4}, {"b": 4}),
        (["a", "b"], {"gone": 6}, {"a": 2}),
        (["a", "b", "c"], {"a": 1}, {"a": 1, "b": 2, "c": 2}),
        ([], {}, {}),
        (list("abcdefghijkl"), {}, dict.fromkeys("abcdefgh", 1)),
    ],
)
def test_workers_are_shared_between_endpoints(ready, in_flight, expected):
    assert shares(ready, in_flight, 8) == expected


@pytest.mark.slow
def test_a_dead_endpoint_with_10000_answers_does_not_starve_ten_of_a_live_one(db, desk, settings_for):
    now = time.time()
    put_answers(db, [("dead", f"D{n}", 1) for n in range(10_000)], now=now - 100)
    put_answers(db, [("desk", f"T{n}", 1) for n in range(10)], now=now)
    with Receiver(usual="slow", slow_s=60) as dead:
        settings = settings_for(
            desk,
            endpoints__dead__url=dead.url,
            endpoints__dead__secret=SECRET,
            endpoints__dead__mode="live",
            endpoints__dead__allow=["127.0.0.1"],
            deliver__timeout_s=2,
        )
        stopping = threading.Event()
        sender = threading.Thread(target=deliver_due, args=(db, settings), kwargs={"stop": stopping.is_set})
        began = time.monotonic()
        sender.start()
        try:
            desk.wait_for(10, timeout_s=10)
        finally:
            stopping.set()
            sender.join()
        assert time.monotonic() - began < 12


@pytest.mark.parametrize("db_url", ["sqlite"], indirect=True)
def test_the_queue_is_read_through_its_indexes(db, desk, settings_for):
    """A partial index is only used when SQLite can read its condition: a bound parameter would mean a full scan."""
    statements = []
    event.listen(db.reader, "before_cursor_execute", lambda _c, _u, sql, args, *_: statements.append((sql, args)))
    put_answers(db, [("desk", "T1", 1)], now=time.time())
    deliver_due(db, settings_for(desk))
    sql, args = next((sql, args) for sql, args in statements if "min(" in sql)
    with db.reader.connect() as connection:
        plan = " ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", args))
    assert "ix_answer_due" in plan
    assert "ix_answer_fifo" in plan


def test_alerts_survive_names_with_wildcards(db):
    with db.write() as session:
        alerts.alert(session, db, "a_b", "dead", "x", 1.0)
        alerts.alert(session, db, "a_b", "dead", "y", 2.0)
        session.add(Switch(name="deliver.paused", value="paused", who="ann", at=0.0))
    with db.read() as session:
        assert alerts.current(session) == [alerts.Alert("a_b", "dead", "x", 1.0)]
