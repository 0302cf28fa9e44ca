"""Files for /classify: a picture is answered with predictions, anything else with a code, and no decoder dies."""

import random
import re
import time

from tests.support import mutations, pictures
from ticketbot.errors import Refused
from ticketbot.imaging.decode import DecoderPool

EXPECT = {"status", "code", "has", "worker_deaths", "timeouts_at_most", "max_rss_mb", "wall_s_per_file_max"}
GIVEN = set()
CORPUS = {"worker_deaths", "timeouts_at_most", "max_rss_mb", "wall_s_per_file_max"}


def run(case, request):
    if CORPUS & set(case.expect):
        _run_corpus(case)
        return
    data = _bytes_of(case)
    answer = request.getfixturevalue("classifier").classify(data)
    assert answer.status_code == case.expect["status"], answer.text
    assert answer.json.get("code") == case.expect.get("code")
    assert case.expect.get("has", "code") in answer.json


def _bytes_of(case) -> bytes:
    """A file of that path beside the list, else the picture that the name describes."""
    beside = case.file.parent / case.input
    plain = re.sub(r"(^|/)ok\.", r"\1ok_rgb.", case.input)  # the plainest picture of its format
    return beside.read_bytes() if beside.is_file() else pictures.make(plain)


def _run_corpus(case):
    """Everything we can draw, and 2,000 damaged files."""
    dice = random.Random(59)
    seeds = [pictures.make(name) for name in mutations.SEEDS]
    files = [pictures.make(name) for name in pictures.NAMES]
    files += [mutations.mutated(dice.choice(seeds), dice) for _ in range(2000)]
    seen = {"worker_deaths": 0, "timeouts_at_most": 0, "max_rss_mb": 0.0, "wall_s_per_file_max": 0.0}
    with DecoderPool(1, recycle_after=2 * len(files)) as pool:
        pool.decode(pictures.make("ok_rgb.jpg"))
        for data in files:
            before = mutations.decoder_pid(pool)
            code, took_s = _timed(pool, data)
            seen["timeouts_at_most"] += code == "decode_timeout"
            seen["wall_s_per_file_max"] = max(seen["wall_s_per_file_max"], took_s)
            if mutations.decoder_pid(pool) != before:
                seen["worker_deaths"] += code != "decode_timeout"
                pool.decode(pictures.make("ok_rgb.jpg"))
            seen["max_rss_mb"] = max(seen["max_rss_mb"], mutations.peak_mb(pool))
    for key, most in case.expect.items():
        assert seen[key] <= most, seen


def _timed(pool, data):
    started_at = time.monotonic()
    try:
        pool.decode(data)
        code = None
    except Refused as refused:
        code = refused.code
    return code, time.monotonic() - started_at
