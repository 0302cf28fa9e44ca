"""Do the processes start, stop and come back as they should?"""

import os
import signal
import threading

import psutil
import pytest
import requests

from tests.support import pictures
from tests.support.bundles import make_bundle, picture
from tests.support.receiver import Receiver
from tests.support.service import Service, eventually
from tests.support.shelf import jpeg
from tests.support.world import World
from ticketbot.deliver.sign import new_secret


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_it_starts_answers_and_ends_cleanly(world):
    with Service(world) as service:
        service.wait_ready()
        eventually(lambda: any(event["event"] == "worker ready" for event in service.events()))
        assert service.get("/").status_code == 302
        assert service.stop() == 0
    assert not [event for event in service.events() if event["level"] == "error"]


def test_the_first_admin_gets_a_link_that_works(world):
    with Service(world) as service:
        service.wait_ready()
        line = eventually(lambda: [line for line in service.said().splitlines() if "/invite/" in line])[0]
        assert service.get(line[line.index("/invite/") :]).status_code == 200


def test_several_workers_on_sqlite_are_refused_in_a_sentence(world):
    done = world.run("worker", "--processes", "2")
    assert done.returncode == 2
    assert "several workers need PostgreSQL" in done.stderr


@pytest.mark.parametrize("which", [0, 1])
def test_a_child_that_dies_is_started_again(world, which):
    with Service(world) as service:
        service.wait_ready()
        before = eventually(lambda: len(service.children()) == 2 and service.children())
        victim = sorted(before)[which]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: len(service.children()) == 2 and victim not in service.children())
        eventually(lambda: _answers(service))
        assert service.stop() == 0


def test_nothing_is_left_when_the_parent_is_killed(world):
    with Service(world) as service:
        service.wait_ready()
        children = eventually(lambda: len(service.children()) == 2 and service.children())
        service.process.kill()
        service.process.wait()
        eventually(lambda: not any(child.is_running() and child.status() != "zombie" for child in children.values()))


def test_a_running_request_is_finished_before_the_end(tmp_path):
    """SIGTERM while a large picture is being decoded: its caller still gets the answer."""
    world = World(tmp_path)
    make_bundle(tmp_path / "bundle")
    world.run("models", "import", str(tmp_path / "bundle"), "--promote")
    bearer = {"Authorization": "Bearer " + world.run("tokens", "create", "test").stdout.strip()}
    slow = pictures.make("big_real_7000x7000_49MP.jpg")
    answers = []
    with Service(world) as service:
        service.wait_ready()

        def upload():
            answers.append(requests.post(service.url("/classify"), data=slow, headers=bearer, timeout=30))

        thread = threading.Thread(target=upload)
        thread.start()
        eventually(lambda: _decoders(service))
        assert service.stop() == 0
        thread.join()
    assert [answer.status_code for answer in answers] == [200]


def test_a_picture_reaches_its_ticket_while_the_service_runs(tmp_path):
    secret = new_secret()
    with Receiver(secrets=[secret]) as desk:
        world = World(tmp_path, desk.url, secret)
        world.once()
        make_bundle(tmp_path / "bundle")
        world.run("models", "import", str(tmp_path / "bundle"), "--promote")
        fast = {f"TICKETBOT_SCHEDULE__{name}_S": "0.3" for name in ("POLL", "CLASSIFY", "DELIVER")}
        with Service(world, **fast) as service:
            service.wait_ready()
            world.add("7", "a.jpg", jpeg(picture(2, px=96)), "T-1")
            eventually(lambda: "ticket.answered" in [one.json["type"] for one in desk.requests])
            assert service.stop() == 0
        about = [event for event in service.events() if event.get("picture")]
        assert len({event["picture"] for event in about}) == 1, "every step names the picture"
        said = [event["event"] for event in about]
        assert said[:2] == ["copied", "ticket known"] and {"classified", "answer written down"} < set(said)
        sent = [event for event in service.events() if event.get("answer") and event["event"].endswith("delivered")]
        assert sent and all(event["pictures"] == [about[0]["picture"]] for event in sent)


def _decoders(service):
    return [
        one for one in psutil.Process(service.process.pid).children(recursive=True) if "imaging" in str(one.cmdline())
    ]


def _answers(service):
    try:
        return service.get("/healthz").status_code == 200
    except requests.ConnectionError:
        return False
