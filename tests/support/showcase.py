"""A site with everything on it, served for a browser: rendered pictures, a model, people, deliveries, some trouble."""

import random
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tests.support import showtickets
from tests.support.gallery import champion, predicted, staged
from tests.support.settings import make_settings
from tests.support.site import Site
from ticketbot.classify import api, trying
from ticketbot.classify.serving import Serving
from ticketbot.db import connect
from ticketbot.db.models import Base, File, Model, Source, Training
from ticketbot.deliver import outbox
from ticketbot.imaging.decode import DecoderPool
from ticketbot.operate import classes, endpoints, overview, tickets
from ticketbot.render import render_jpeg
from ticketbot.retrain import pages as models
from ticketbot.review import clean, labels, pages, pictures
from ticketbot.web.serving import WebServer

CATEGORIES = ("reports", "errors", "screens", "tickets")
METRICS = {
    "accuracy": 0.931,
    "accuracy_low": 0.894,
    "accuracy_high": 0.958,
    "n": 274,
    "on": "274 pictures held back from training",
}


@contextmanager
def running(folder: Path, n: int = 24, *, blind_share: float = 0.1, rich: bool = False):
    """Serve a site with n pictures to label; `rich` adds history, deliveries and troubles. -> (site, its address)."""
    rules = {
        "web.port": 0,
        "review.blind_share": blind_share,
        "sources.erp.root": "/srv/erp/attach",
        "sources.erp.endpoint": "desk",
        "endpoints.desk.url": "https://desk.example.com/hooks/ticketbot",
        "endpoints.desk.mode": "live",
        "endpoints.archive.url": "https://archive.example.com/in",
    }
    settings = make_settings(folder, rules)
    db = connect(settings.database_url)
    Base.metadata.create_all(db.engine)
    stages = (
        overview.blueprint,
        pages.blueprint,
        pictures.blueprint,
        clean.blueprint,
        models.blueprint,
        trying.blueprint,
    )
    site = Site(db, settings, (*stages, tickets.blueprint, endpoints.blueprint, classes.blueprint))
    site.clock.now = time.time()
    site.services.announce = lambda session, sha256, now: outbox.announce(session, db, settings, sha256, now)
    site.services.decoders = DecoderPool(1)
    site.services.classify = api.Answers(Serving(db, settings), settings)
    _fill(site, n)
    if rich:
        _enrich(site)
    server = WebServer(site.app, settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield site, f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
        thread.join()
        site.services.decoders.close()
        db.close()


def _fill(site: Site, n: int) -> list[str]:
    dice = random.Random(11)
    model = champion(site.db, "resnet34-20261121-8f3a", metrics=METRICS)
    with site.db.write() as session:
        session.get(Model, model).promoted_at = site.clock.now - 3 * 86400
        session.get(Model, model).reason = "better than the model before on the same pictures (p = 0.003)"
    hashes = []
    for number in range(n):
        category = CATEGORIES[number % 4]
        name = f"{dice.randint(100, 999)}/2026/IMG {number:04}.jpg".encode()
        days = (number - 20) % 9 if number > 20 else 0
        at = site.clock.now - 60 * number - 86400 * days
        sha256 = staged(site.db, site.settings, render_jpeg(category, dice), name=name, at=at)
        best = category if dice.random() < 0.85 else dice.choice(CATEGORIES)
        confidence = dice.uniform(0.45, 0.995)
        predicted(site.db, sha256, model, best, confidence, unsure=confidence < 0.7, margin=2 * confidence - 1)
        hashes.append(sha256)
    return hashes


def _enrich(site: Site) -> None:
    """Three days of work: labels, trainings, answers, files that are not taken, an endpoint that fails."""
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
        for number, sha256 in enumerate(
            sorted(row.sha256 for row in session.query(File.sha256).distinct() if row.sha256)
        ):
            if number % 3 == 0:
                word = dice.choice([*CATEGORIES, "junk"])
                labels.record(
                    session,
                    sha256=sha256,
                    new=word,
                    who="nora",
                    at=now - 900,
                    how="page",
                    blind=number % 2 == 0,
                    key=f"key-{number:04}",
                    on_label=site.services.announce,
                )
    outbox.decide_tickets(site.db, site.settings, now)
    with site.db.write() as session:
        messages = [
            (
                "failed",
                "the trainer ran out of memory (limit 12288 MB); lower the batch size or raise retrain.memory_mb",
            ),
            ("refused", "not better than the champion on the same 274 pictures (p = 0.31)"),
            ("succeeded", "accuracy 93.1 % (89.4 to 95.8)"),
        ]
        for number, (state, message) in enumerate(messages):
            began = now - (5 - number) * 86400
            session.add(
                Training(state=state, cause="labels", started_at=began, finished_at=began + 900, message=message)
            )
        session.add(
            Training(
                state="running",
                cause="labels",
                started_at=now - 300,
                progress={"stage": "fine-tune", "done": 3, "total": 8},
            )
        )
