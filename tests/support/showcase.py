"""A site with everything on it, served for a browser: rendered pictures, a model, people, deliveries, some trouble."""

import random
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.support import showmodels, showsuspects, showtickets
from tests.support.gallery import champion, predicted, staged
from tests.support.served import STAGES, equip, served
from tests.support.settings import make_settings
from tests.support.site import Site
from ticketbot.db import connect
from ticketbot.db.models import Base, File, Label, LabelEvent, Model, Picture, Source, Training
from ticketbot.deliver import outbox
from ticketbot.operate import classes, endpoints
from ticketbot.render import render_jpeg
from ticketbot.retrain import launch, run
from ticketbot.review import labels

CATEGORIES = ("reports", "errors", "screens", "tickets")
MODEL, PREVIOUS, CHALLENGER = "20261121-0214-resnet34", "20261107-0203-resnet34", "20261124-0512-resnet34"
METRICS = {
    "accuracy": 0.931,
    "accuracy_low": 0.894,
    "accuracy_high": 0.958,
    "n": 274,
    "on": "274 pictures held back from training",
}


@contextmanager
def running(folder: Path, n: int = 24, *, blind_share: float = 0.1, rich: bool = False, more: dict | None = None):
    """Serve a site with n pictures to label; `rich` adds history, deliveries and troubles, `more` are other settings.
    -> (site, its address)."""
    rules = {
        "web.port": 0,
        "review.blind_share": blind_share,
        "sources.erp.root": "/srv/erp/attach",
        "sources.erp.endpoint": "desk",
        "endpoints.desk.url": "https://desk.example.com/hooks/ticketbot",
        "endpoints.desk.mode": "live",
        "endpoints.archive.url": "https://archive.example.com/in",
        **(more or {}),
    }
    settings = make_settings(folder, rules)
    db = connect(settings.database_url)
    Base.metadata.create_all(db.engine)
    site = Site(db, settings, (*STAGES, endpoints.blueprint, classes.blueprint))
    site.clock.now = time.time()
    site.services.announce = lambda session, sha256, now: outbox.announce(session, db, settings, sha256, now)
    equip(site)
    if rich:
        _models(site)
    else:
        champion(site.db, MODEL, metrics=METRICS)
    truth = _fill(site, n)
    if rich:
        _past(site, 1580)
        _enrich(site, truth)
    with served(site) as address:
        yield site, address


def _models(site: Site) -> None:
    """Champion, the one before, and one that waits for a person; each with all the figures a bundle has."""
    now, day_s = site.clock.now, 86400.0
    known = (
        (PREVIOUS, 17 * day_s, 0.88, 1, 900, "the first model; its lower bound is above guessing"),
        (MODEL, 3 * day_s, 0.93, 2, 1200, "better than the model before on the same pictures (p = 0.003)"),
        (CHALLENGER, 6 * 3600, 0.96, 5, 1580, "as good, and trained on 1,580 labels, not 1,200: offered"),
    )
    for name, ago_s, right, seed, n_labels, reason in known:
        serves = name != CHALLENGER
        more = {"right": right, "seed": seed, "n_labels": n_labels, "reason": reason, "arch": "resnet34"}
        if not serves:
            more["compared"] = {"n": 400, "right": 383, "champion_right": 377}
        showmodels.put(site.db, site.settings, name, champion=serves, now=now - ago_s, **more)
        with site.db.write() as session:
            session.get(Model, name).reason = reason


@cache
def _drawn(n: int) -> tuple[tuple[str, bytes], ...]:
    """(category, JPEG) of n pictures, always the same: drawing one takes longer than all else a test does with it."""
    dice = random.Random(11)
    names = [CATEGORIES[number % 4] for number in range(n)]
    return tuple((name, render_jpeg(name, dice)) for name in names)


def _fill(site: Site, n: int) -> dict[str, str]:
    """n pictures and what the champion says of them. -> {sha256: what it is}"""
    dice = random.Random(12)
    truth = {}
    for number, (category, drawn) in enumerate(_drawn(n)):
        name = f"{dice.randint(100, 999)}/2026/IMG {number:04}.jpg".encode()
        days = (number - 20) % 9 if number > 20 else 0
        at = site.clock.now - 60 * number - 86400 * days
        sha256 = staged(site.db, site.settings, drawn, name=name, at=at)
        best = category if dice.random() < 0.85 else dice.choice(CATEGORIES)
        confidence = dice.uniform(0.45, 0.995)
        predicted(site.db, sha256, MODEL, best, confidence, unsure=confidence < 0.7, margin=2 * confidence - 1)
        truth[sha256] = category
    return truth


def _enrich(site: Site, truth: dict[str, str]) -> None:
    """Three days of work: labels, some of them wrong, trainings, answers, files that are not taken, an endpoint that
    fails."""
    showtickets.fill(site)
    now, dice = site.clock.now, random.Random(5)
    with site.db.write() as session:
        source = session.query(Source).filter_by(name="erp").one()
        source.scanned_at = now - 42
        reasons = ["extension"] * 31 + ["empty"] * 4 + ["not_regular"] * 2
        for number in range(45):
            state, reason = ("refused", reasons[number]) if number < len(reasons) else ("settling", None)
            times = {"first_seen_at": now - 30, "observed_at": now - dice.randint(2, 9)}
            session.add(File(source_id=source.id, path=b"9/%d.jpg" % number, state=state, reason=reason, **times))
    wrong = _label(site, truth, dice)
    _clean(site, truth, wrong)
    outbox.decide_tickets(site.db, site.settings, now)
    with site.db.write() as session:
        before = {"started_at": now - 3.1 * 86400, "finished_at": now - 3.1 * 86400 + 800}
        better = f"{MODEL}: better than the model before on the same pictures (p = 0.003)"
        learned = {"labels_until": 1200, "model_id": MODEL, "message": better}
        session.add(Training(state="succeeded", cause="labels", **learned, **before))
        session.flush()
        messages = [
            (
                "failed",
                "the trainer ran out of memory (limit 12288 MB); lower the batch size or raise retrain.memory_mb",
            ),
            ("refused", "not better than the champion on the same 400 pictures (p = 0.31)"),
            ("succeeded", f"{CHALLENGER}: as good, and trained on more labels; it waits for a person"),
        ]
        for number, (state, message) in enumerate(messages):
            began = now - (2 - number) * 86400 - 6 * 3600
            times = {"started_at": began, "finished_at": began + 900}
            seen = {"labels_until": 1580, "model_id": CHALLENGER} if state == "succeeded" else {}
            session.add(Training(state=state, cause="labels", message=message, **times, **seen))
        progress = {"stage": "training", "done": 3, "total": 8}
        running = Training(state="running", cause="labels", started_at=now - 300, progress=progress)
        session.add(running)
        session.flush()
        log = run.folder_of(site.settings, running.id) / launch.LOG
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"pass {one}: loss {0.71 / one:.3f}, right {0.93 - 0.08 / one:.3f}\n" for one in (1, 2, 3)))


def _past(site: Site, n: int) -> None:
    """n pictures that were labelled in the weeks before."""
    now, dice = site.clock.now, random.Random(8)
    words = [dice.choices(CATEGORIES, (27, 22, 30, 21))[0] for _ in range(n)]
    past = [(number, f"{number:064x}", word) for number, word in enumerate(words, 1)]
    at = {number: now - 86400 * (4 + 30 * (1 - number / n)) for number, _, _ in past}
    own = {"size_bytes": 90_000, "state": "staged", "model_id": MODEL}
    with site.db.write() as session:
        session.add_all(Picture(sha256=sha256, staged_at=at[number], **own) for number, sha256, _ in past)
        session.flush()
        said = {"who": "otto", "how": "page"}
        session.add_all(
            LabelEvent(id=number, key=f"past-{number:05}", sha256=sha256, new=word, at=at[number], **said)
            for number, sha256, word in past
        )
        session.flush()
        session.add_all(
            Label(sha256=sha256, category=word, version=number, who="otto", at=at[number])
            for number, sha256, word in past
        )


def _label(site: Site, truth: dict[str, str], dice: random.Random) -> list[str]:
    """A third has a person's word, one in six of them a wrong one. -> whose is wrong"""
    wrong = []
    for number, sha256 in enumerate(sorted(truth)[::3]):
        word = truth[sha256] if number % 6 != 1 else dice.choice([one for one in CATEGORIES if one != truth[sha256]])
        wrong += [sha256] if word != truth[sha256] else []
        with site.db.write() as session:
            labels.record(
                session, sha256=sha256, new=word, who="nora", at=site.clock.now - 900, how="page",
                blind=number % 2 == 0, key=f"key-{number:04}", on_label=site.services.announce,
            )  # fmt: skip
    return wrong


def _clean(site: Site, truth: dict[str, str], wrong: list[str]) -> None:
    """What the last look at the labels found: the wrong ones, each beside look-alikes with the right one."""
    with site.db.read() as session:
        said = {row.sha256: row.category for row in session.query(Label) if row.sha256 in truth}
    right = [sha256 for sha256 in said if sha256 not in wrong]
    rows = []
    for number, sha256 in enumerate(wrong):
        alike = [one for one in right if truth[one] == truth[sha256]][: 3 + number % 3]
        right = [one for one in right if one not in alike]
        rows.append((sha256, truth[sha256], round(0.02 + 0.03 * number, 2), number, bool(alike)))
        rows += [(one, said[one], 0.9, number, True) for one in alike]
    rows.sort(key=lambda row: row[2])
    showsuspects.cleaning(site, rows)
    for first in sorted(truth)[1:9:3]:
        showsuspects.differ(site, first, truth[first], CATEGORIES[CATEGORIES.index(truth[first]) - 1])
