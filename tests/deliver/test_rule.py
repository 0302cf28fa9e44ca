"""What is said about a picture, and which category does its ticket get?"""

import pytest

from ticketbot.deliver.rule import Word, change, choose

CATEGORIES = ("reports", "errors", "screens", "tickets")


def model(category, confidence=0.9, by="m1"):
    return Word(category, confidence, by)


def person(category):
    return Word(category, None, "person")


@pytest.mark.parametrize(
    ("said", "word", "expected"),
    [
        (None, model("errors"), "first"),
        (None, person("errors"), "first"),
        (None, person(None), None),
        (model("errors"), model("errors", by="m2"), None),
        (model("errors"), model("screens", by="m2"), None),
        (model("errors"), person("errors"), "confirmed"),
        (model("errors"), person("screens"), "corrected"),
        (model("errors"), person(None), "withdrawn"),
        (person("screens"), person("screens"), None),
        (person("screens"), person("reports"), "corrected"),
        (person("screens"), model("errors", by="m2"), None),
        (person(None), person("errors"), "first"),
        (person(None), person(None), None),
        (person(None), model("errors"), "first"),
    ],
)
def test_only_a_person_corrects(said, word, expected):
    assert change(said, word) == expected


@pytest.mark.parametrize("rule", ["most_confident", "priority", "all"])
def test_without_a_word_there_is_no_answer(rule):
    assert choose([], rule, CATEGORIES) is None
    assert choose([model("gone")], rule, CATEGORIES) is None


@pytest.mark.parametrize(
    ("rule", "words", "categories", "confidence", "by"),
    [
        ("most_confident", [model("errors", 0.8), model("screens", 0.9)], ("screens",), 0.9, "m1"),
        ("most_confident", [model("screens", 0.9), model("errors", 0.9)], ("errors",), 0.9, "m1"),
        ("most_confident", [model("errors", 0.99), person("screens")], ("screens",), None, "person"),
        ("most_confident", [person("tickets"), person("screens")], ("screens",), None, "person"),
        ("priority", [model("tickets", 0.99), model("errors", 0.7)], ("errors",), 0.7, "m1"),
        ("priority", [model("errors", 0.7), model("errors", 0.9)], ("errors",), 0.9, "m1"),
        ("priority", [model("reports", 0.99), person("tickets")], ("tickets",), None, "person"),
        ("all", [model("tickets", 0.9), model("errors", 0.7)], ("errors", "tickets"), 0.7, "m1"),
        ("all", [model("tickets", 0.9), model("tickets", 0.7)], ("tickets",), 0.7, "m1"),
        ("all", [model("tickets", 0.9), person("reports")], ("reports", "tickets"), 0.9, "person"),
        ("all", [person("reports")], ("reports",), None, "person"),
    ],
)
def test_the_answer_follows_the_rule(rule, words, categories, confidence, by):
    choice = choose(words, rule, CATEGORIES)
    assert (choice.categories, choice.confidence, choice.by) == (categories, confidence, by)
    assert choose(list(reversed(words)), rule, CATEGORIES).categories == categories, "the order of arrival is no matter"
