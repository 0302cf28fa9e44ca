"""How much of a reviewer's time does the machine take, and does a page get slower the more there is?

    python -m bench.review [--keys 300] [--staged 50000] [--total 100000]

A real browser, scripted keys. Key to next picture is measured inside the page: from the keydown to the frame in which
the next picture stands. The goals of people (60 labels a minute one at a time, 120 in the grid) leave the machine a
twentieth of that time. Then the weight of each page without its pictures, and the time the server takes for each page
and each call of the label pages, with a tenth of the pictures and with all; half of them are labelled, those the model
is least sure of, as it comes when people work through the queue, and up to 10,000 of the labels are suspect.
"""

import argparse
import hashlib
import os
import random
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import insert, text

from bench import table
from tests.support import showmodels
from tests.support.chromium import chromium
from tests.support.served import STAGES, equip, served
from tests.support.settings import make_settings
from tests.support.site import PASSWORD, Site
from ticketbot.contracts import store
from ticketbot.db import connect, migrate
from ticketbot.db.models import (
    Cleaning,
    File,
    FileTicket,
    Label,
    LabelEvent,
    Picture,
    Prediction,
    Source,
    Suspect,
    Ticket,
)
from ticketbot.operate import classes, endpoints
from ticketbot.render import render_jpeg
from ticketbot.web.tally import Tallies

MODEL = "20261118-champion"
SUSPECTS = 10_000
PAGES = (
    "/", "/label", "/label/grid", "/clean", "/clean?list=conflicts", "/clean?list=opinions", "/tickets",
    "/tickets/of?at=&ticket=T-7", "/models", "/try", "/setup", "/setup/endpoints", "/setup/classes", "/setup/audit",
    "/account",
)  # fmt: skip
CALLS = ("/label/next", "/label/alike", "/clean/next")
PAGE = "abcdef0123456789"
RUNS = 9
# What a label takes at 60 and at 120 a minute, people and machine together.
ONE_MS, GRID_MS = 60_000 / 60, 60_000 / 120
P95_MS, WEIGHT_KB, SERVER_MS = 50, 150, 100

WATCH = """
window.took = [];
let pressed = 0, old = "";
addEventListener("keydown", (event) => {
  if (event.repeat) return;
  pressed = performance.now();
  old = document.querySelector(SELECTOR)?.src || "";
}, true);
const look = () => {
  const image = document.querySelector(SELECTOR);
  if (pressed && image && image.src !== old && image.complete && image.naturalWidth) {
    window.took.push(performance.now() - pressed);
    pressed = 0;
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""


def rows(keys=300, staged=50_000, total=100_000):
    with tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder, chromium() as browser:
        with site_of(Path(folder) / "a", staged, labelled=0) as (site, address):
            one_ms, alike_ms, alike_each_ms = by_keys(browser, site, address, keys)
            weights = weights_of(browser, address)
        few = server_ms(Path(folder) / "b", total // 10)
        many = server_ms(Path(folder) / "c", total)
    p50, p95 = statistics.median(one_ms), statistics.quantiles(one_ms, n=20)[-1]
    heaviest, slowest = max(weights, key=weights.get), max(many, key=many.get)
    # A page of nothing takes a few milliseconds: below ten, a ratio is noise.
    growth = {path: max(many[path], 10) / max(few[path], 10) for path in many}
    grown = max(growth, key=growth.get)
    return [
        table.row(
            f"review: key to next picture, p95 of {len(one_ms)}, {staged:,} staged", p95 / P95_MS, "<= 50 ms",
            table.at_most(1), f"p50 {p50:.1f} ms, p95 {p95:.1f} ms", p50_ms=p50, p95_ms=p95,
        ),
        table.row(
            "review: the machine's part at 60 labels a minute", statistics.mean(one_ms) / ONE_MS,
            "<= 0.05", table.at_most(0.05), f"{60_000 / statistics.mean(one_ms):,.0f} labels a minute by scripted keys",
        ),
        table.row(
            "review: the machine's part at 120 labels a minute in the grid", alike_each_ms / GRID_MS,
            "<= 0.05", table.at_most(0.05),
            f"{60_000 / alike_each_ms:,.0f} labels a minute by keys, p50 {statistics.median(alike_ms):.0f} ms a page",
        ),
        table.row(
            "review: weight of a page without pictures", weights[heaviest] / WEIGHT_KB, "<= 150 KB", table.at_most(1),
            f"the heaviest is {heaviest}: {weights[heaviest]:.0f} KB", **{f"{k}_kb": v for k, v in weights.items()},
        ),
        table.row(
            f"review: server time of a page, {total:,} pictures", many[slowest] / SERVER_MS, "<= 100 ms",
            table.at_most(1), f"the slowest is {slowest}: {many[slowest]:.0f} ms",
            **{f"{k}_ms": v for k, v in many.items()},
        ),
        table.row(
            f"review: {total:,} pictures against {total // 10:,}", growth[grown], "<= 1.5", table.at_most(1.5),
            f"{grown}: {few[grown]:.0f} ms, then {many[grown]:.0f} ms", **{f"{k}_ms": v for k, v in few.items()},
        ),
    ]  # fmt: skip


# --- what people and browsers see ---


def by_keys(browser, site, address, keys):
    """-> (ms of each key one at a time, ms of each page of look-alikes, ms of it a label)"""
    site.person("rita", "admin")
    page = signed_in(browser, address, "#frame > img", "/label")
    page.wait_for_selector("#frame > img")
    press(page, keys, lambda number: "1234"[number % 4], 100)
    one_ms = page.evaluate("window.took")
    page.context.close()
    page = signed_in(browser, address, ".cell img", "/label/grid")
    page.wait_for_selector(".cell img")
    n = 0

    def key(_):
        nonlocal n
        n += page.locator(".cell").count()
        return "1"

    press(page, max(10, keys // 24), key, 1500)
    alike_ms = page.evaluate("window.took")
    page.context.close()
    return one_ms, alike_ms, sum(alike_ms) / max(1, n)


def signed_in(browser, address, selector, path):
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.add_init_script(WATCH.replace("SELECTOR", repr(selector)))
    page.goto(path)
    page.fill("[name=name]", "rita")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    return page


def press(page, keys, key, look_ms):
    """`look_ms`: a person looks at the picture (a second), at a page (twelve): meanwhile the next ones are fetched."""
    page.wait_for_load_state("networkidle")
    page.evaluate("window.took = []")
    for number in range(keys):
        page.keyboard.press(key(number))
        page.wait_for_function("(n) => window.took.length > n", arg=number)
        page.wait_for_timeout(look_ms)


def weights_of(browser, address):
    """KB of each page with its styles and scripts, as sent, without pictures."""
    page = signed_in(browser, address, "img", "/")
    page.wait_for_selector(".who")
    found = {}
    for path in PAGES:
        context = browser.new_context(base_url=address, storage_state=page.context.storage_state())
        fresh, sizes = context.new_page(), []
        fresh.on("response", lambda one, sizes=sizes: sizes.append(one) if "/picture/" not in one.url else None)
        fresh.goto(path)
        fresh.wait_for_load_state("networkidle")
        found[path] = sum(len(one.body()) for one in sizes if one.status == 200) / 1000
        context.close()
    page.context.close()
    return found


# --- what the server takes ---


def server_ms(folder, total):
    """{page or call: median ms of its requests} with so many pictures, half of them labelled."""
    with site_of(folder, total, labelled=total // 2, serve=False) as (site, _):
        site.person("rita", "admin")
        browser = site.sign_in("rita")
        bodies = {"/clean/next": {"list": "suspects"}, "/label/alike": {"n": 24}}
        deeds = {path: lambda path=path: browser.get(path) for path in PAGES}
        for path in CALLS:
            body = {"page": PAGE, "n": 16, **bodies.get(path, {})}
            deeds[path] = lambda path=path, body=body: browser.send(path, body)
        return {path: median_ms(site, deed) for path, deed in deeds.items()}


def median_ms(site, deed):
    took = []
    assert deed().status_code == 200
    for _ in range(RUNS):
        with site.db.write() as session:  # as if another page asked: nothing is held already
            session.execute(text("UPDATE picture SET review_until = 0 WHERE review_until > 0"))
        started = time.perf_counter()
        deed()
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


@contextmanager
def site_of(folder, n, *, labelled, serve=True):
    """-> (site, address) with n pictures; those the model is least sure of are labelled."""
    settings = make_settings(folder, {"web.port": 0, "review.blind_share": 0.1, "sources.erp.root": "/srv/erp/attach"})
    db = connect(settings.database_url)
    migrate.upgrade(db)
    site = Site(db, settings, (*STAGES, endpoints.blueprint, classes.blueprint))
    site.clock.now = time.time()
    site.services.tallies = Tallies()
    equip(site, decoders=2)
    showmodels.put(db, settings, MODEL, champion=True, now=site.clock.now - 86400)
    fill(site, n, labelled, files=serve)
    with served(site) as address:
        yield site, address


def fill(site, n, labelled, *, files):
    dice, now = random.Random(7), site.clock.now
    samples = [render_jpeg(name, dice) for name in site.settings.categories for _ in range(3)]
    hashes = sorted(hashlib.sha256(b"%d" % number).hexdigest() for number in range(n))
    if files:
        link(site.settings.data_dir, hashes, samples)
    margins = [dice.random() for _ in hashes]
    by_margin = sorted(range(n), key=margins.__getitem__)
    done = set(by_margin[:labelled])
    with site.db.write() as session:
        session.add(Source(name="erp", scanned_at=now))
        session.flush()
        put(session, Picture, (
            {"sha256": sha256, "size_bytes": 50_000, "staged_at": now - number, "state": "staged",
             "phash": dice.randbytes(32), "model_id": MODEL}
            for number, sha256 in enumerate(hashes)
        ))  # fmt: skip
        put(session, File, (
            {"id": number + 1, "source_id": 1, "path": b"%d/%s.jpg" % (number % 500, sha256[:12].encode()),
             "user": str(number % 500), "state": "staged", "sha256": sha256, "first_seen_at": now, "observed_at": now}
            for number, sha256 in enumerate(hashes)
        ))  # fmt: skip
        put(session, Prediction, (
            {"sha256": sha256, "model_id": MODEL, "state": "done", "category": "screens", "best": "screens",
             "confidence": (1 + margins[number]) / 2, "margin": margins[number], "created_at": now,
             "labelled": number in done}
            for number, sha256 in enumerate(hashes)
        ))  # fmt: skip
        put(session, LabelEvent, (
            {"id": count, "key": f"key-{count}", "sha256": hashes[number], "new": "screens", "who": "nora",
             "at": now - 1e6, "how": "page", "suggested": "screens"}
            for count, number in enumerate(sorted(done), 1)
        ))  # fmt: skip
        put(session, Label, (
            {"sha256": hashes[number], "category": "screens", "version": count, "who": "nora", "at": now - 1e6}
            for count, number in enumerate(sorted(done), 1)
        ))  # fmt: skip
        fill_tickets(session, hashes, now)
        if done:
            fill_suspects(session, [hashes[number] for number in sorted(done)], now)


def fill_tickets(session, hashes, now):
    half = range(1, len(hashes) // 2)
    put(session, Ticket, ({"endpoint": "", "ticket": f"T-{number}", "category": "screens"} for number in half))
    put(session, FileTicket, ({"file_id": number, "ticket": f"T-{number}", "resolved_at": now} for number in half))


def fill_suspects(session, hashes, now):
    times = {"started_at": now - 100, "finished_at": now}
    session.add(Cleaning(state="succeeded", cause="bench", n_pictures=len(hashes), **times))
    session.flush()
    put(session, Suspect, (
        {"cleaning_id": 1, "rank": number + 1, "sha256": sha256, "label": "screens", "suggested": "errors",
         "p_label": number / 1e5, "p_suggested": 0.9, "cluster": number // 3,
         "conflict": number // 3 % 5 == 0}
        for number, sha256 in enumerate(hashes[:SUSPECTS])
    ))  # fmt: skip


def put(session, kind, values):
    found = list(values)
    for start in range(0, len(found), 2000):
        session.execute(insert(kind), found[start : start + 2000])


def link(data_dir, hashes, samples):
    """A file for every picture; they share the bytes of a few, which nobody's eyes are here to notice."""
    kept = []
    for number, data in enumerate(samples):
        path = data_dir / f"sample-{number}.jpg"
        path.write_bytes(data)
        kept.append(path)
    for number, sha256 in enumerate(hashes):
        target = store.path_of(data_dir, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(kept[number % len(kept)], target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--staged", type=int, default=50_000)
    parser.add_argument("--total", type=int, default=100_000)
    arguments = parser.parse_args()
    found = rows(arguments.keys, arguments.staged, arguments.total)
    table.show(found)
    for one in found:
        print({key: value for key, value in one.items() if key.endswith(("_ms", "_kb"))})


if __name__ == "__main__":
    main()
