"""F10: the service under steady load. Memory and descriptors stay what they are, and nothing waits long.

The slope of the memory is judged at night only: a minute says nothing about an hour. In a minute, memory after the
warm-up may grow by little, descriptors not at all.
"""

import time

import numpy as np
import psutil
import pytest
from sqlalchemy import select

from tests.faults.sizes import SIZE
from tests.support.crew import Crew
from tests.support.installation import Installation
from tests.support.outbox import SECRET
from tests.support.receiver import Receiver
from ticketbot.db.models import Answer

NIGHT_S = 600
MB = 2**20
UPLOADS_A_ROUND = 5


def rss_and_fds(crew):
    """(bytes, open descriptors) of each process of the crew."""
    found = [psutil.Process(process.pid) for process in crew.processes]
    return [(one.memory_info().rss, one.num_fds()) for one in found]


def queue_ages(crew, since):
    """Seconds from an answer's birth to its delivery, of all that were born since."""
    with crew.db.read() as session:
        rows = session.execute(
            select(Answer.created_at, Answer.delivered_at).where(Answer.created_at > since, Answer.state == "delivered")
        )
        return [delivered_at - created_at for created_at, delivered_at in rows]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_memory_descriptors_and_queues_stay_small(tmp_path, capsys):
    with Receiver(SECRET) as desk:
        world = Installation(tmp_path / "world", desk)
        with Crew(world, desk, ["worker", "web"]) as crew:
            samples, warm_s, began = [], SIZE.soak_s / 3, time.monotonic()
            since = time.time() + warm_s
            while (passed_s := time.monotonic() - began) < SIZE.soak_s:
                crew.feed(UPLOADS_A_ROUND)
                crew.get("/readyz")
                crew.get("/login")
                if passed_s > warm_s:
                    samples.append((passed_s, rss_and_fds(crew)))
                crew.nap(0.2)
            crew.wait_until_idle(120)
            ages = sorted(queue_ages(crew, since))
        assert world.wrongs(desk) == []
    p99_s = ages[int(len(ages) * 0.99)]
    at, memory = np.array([one[0] for one in samples]), np.array([[rss for rss, _ in one[1]] for one in samples])
    slopes = [np.polyfit(at / 3600, memory[:, column] / MB, 1)[0] for column in range(len(crew.roles))]
    grown = (memory[-len(memory) // 5 :].mean(axis=0) - memory[: len(memory) // 5].mean(axis=0)) / MB
    descriptors = [[fds for _, fds in one[1]] for one in samples]
    with capsys.disabled():
        print(
            f"\nsoak of {SIZE.soak_s:.0f} s: {len(desk.effects) / SIZE.soak_s:.0f} deliveries/s,"
            f" p99 of a queue {p99_s:.2f} s, {memory[-1] // MB} MB, grown {grown.round(1)} MB,"
            f" slope {np.round(slopes, 1)} MB/h, descriptors {descriptors[-1]}"
        )
    assert p99_s < 5 + crew.lag_s
    quarter = max(1, len(descriptors) // 4)
    # Medians: a moment with more deliveries under way than another has more sockets open. What leaks, stays.
    first, last = np.median(descriptors[:quarter], axis=0), np.median(descriptors[-quarter:], axis=0)
    assert (last <= first + 2).all(), f"descriptors {first} became {last}"
    assert (grown < 10).all(), f"memory grew by {grown} MB"
    if SIZE.soak_s >= NIGHT_S:
        assert max(slopes) < 1.0, f"memory grows by {slopes} MB an hour"
