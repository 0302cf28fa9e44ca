"""What do receivers get to read? Every body fits the schema, whatever people name their files."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketbot.contracts import events
from ticketbot.contracts.events import Event, EventPicture, body, shown_path

SCHEMA = json.loads(events.SCHEMA.read_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def event(**changes):
    picture = EventPicture("a" * 64, "u1", "u1/a.jpg", "errors", 0.91, "m1")
    values = {"type": "ticket.answered", "at": 1_800_000_000.25, "ticket": "T1", "seq": 1, "categories": ("errors",)}
    return Event(**{**values, "confidence": 0.91234567, "by": "m1", "pictures": [picture], **changes})


def read(event):
    raw = body(event)
    assert len(raw) < events.MAX_BYTES
    value = json.loads(raw)
    CHECK.validate(value)
    return value


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("type_", events.TYPES)
def test_each_type_fits_the_schema(type_):
    value = read(event(type=type_, previous="reports"))
    assert value["timestamp"] == "2027-01-15T08:00:00.250Z"
    assert value["data"]["confidence"] == 0.9123


def test_a_test_fits_the_schema_and_is_about_nothing():
    value = json.loads(events.test_body(1_800_000_000.25))
    CHECK.validate(value)
    assert (value["type"], value["data"]["ticket"], value["data"]["category"]) == ("endpoint.test", None, None)
    for name, something in (("ticket", "T1"), ("category", "errors"), ("seq", 1)):
        with pytest.raises(jsonschema.ValidationError):
            CHECK.validate({**value, "data": {**value["data"], name: something}})
    with pytest.raises(jsonschema.ValidationError):
        CHECK.validate({**value, "type": "ticket.answered"})


def test_the_same_event_is_the_same_bytes():
    assert body(event()) == body(event())
    assert b'"category":"errors"' in body(event())


def test_the_schema_refuses_what_is_not_an_event():
    value = json.loads(body(event()))
    with pytest.raises(jsonschema.ValidationError):
        CHECK.validate({**value, "type": "ticket.deleted"})
    with pytest.raises(jsonschema.ValidationError):
        CHECK.validate({**value, "data": {**value["data"], "extra": 1}})


TEXT = st.text(min_size=1, max_size=3000)


@given(TEXT, TEXT, TEXT, st.integers(1, 400))
def test_any_name_fits_and_stays_under_20_kb(ticket, user, path, n):
    pictures = [EventPicture("b" * 64, user, path, "errors", None, "person")] * n
    value = read(event(ticket=ticket, pictures=pictures))
    assert value["data"]["pictures_total"] == n


def test_the_worst_names_stay_under_20_kb():
    worst = EventPicture("b" * 64, "\0" * 9000, "\0" * 9000, "c" * 40, 0.5, "\0" * 9000)
    many = tuple(f"{'c' * 37}{number:03}" for number in range(40))
    read(event(ticket="\0" * 9000, by="\0" * 9000, pictures=[worst] * 9, categories=many, previous="c" * 40))


def test_lone_surrogates_become_text_every_parser_takes():
    assert read(event(ticket="a\udcffb"))["data"]["ticket"] == "a\\udcffb"


def test_pictures_that_do_not_fit_are_counted():
    pictures = [EventPicture(f"{number:064x}", "u1", "x" * 200, "errors", 0.9, "m1") for number in range(100)]
    data = read(event(pictures=pictures))["data"]
    assert 20 < len(data["pictures"]) < data["pictures_total"] == 100


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"u1/a b;c.jpg", "u1/a b;c.jpg"),
        ("u1/Übung 🎫.jpg".encode(), "u1/Übung 🎫.jpg"),
        (b"u1/\xff\xfe.jpg", "u1/\\xff\\xfe.jpg"),
        (b"a\nb\rc\x00d\x1b[31m", "a\\nb\\rc\\x00d\\x1b[31m"),
        ("gpj.\u202eexe".encode(), "gpj.\\u202eexe"),
        ("a\u2028b\u2066c".encode(), "a\\u2028b\\u2066c"),
    ],
)
def test_a_path_is_shown_without_what_could_fool_a_reader(path, shown):
    assert shown_path(path) == shown
