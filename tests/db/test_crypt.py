"""How do secrets lie in the database, and where is the key?"""

import multiprocessing
import stat

import pytest

from ticketbot.db import crypt
from ticketbot.errors import SettingsError


def test_a_text_comes_back_and_is_not_in_what_is_kept(settings_with):
    settings = settings_with()
    kept = crypt.encrypt(settings, "endpoint secrets", "whsec_abc")
    assert "whsec" not in kept
    assert crypt.decrypt(settings, "endpoint secrets", kept) == "whsec_abc"


def test_the_key_is_made_once_and_only_its_owner_may_read_it(settings_with):
    settings = settings_with()
    first = crypt.derived_key(settings, "session")
    path = settings.data_dir / "secret.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert crypt.derived_key(settings, "session") == first
    assert [left.name for left in settings.data_dir.iterdir() if "secret" in left.name] == ["secret.key"]


def test_each_purpose_has_a_key_of_its_own(settings_with):
    settings = settings_with()
    assert crypt.derived_key(settings, "session") != crypt.derived_key(settings, "endpoint secrets")
    kept = crypt.encrypt(settings, "session", "x")
    with pytest.raises(SettingsError, match="another key"):
        crypt.decrypt(settings, "endpoint secrets", kept)


def test_a_key_in_the_settings_needs_no_file(settings_with):
    settings = settings_with({"web.secret_key": "long and random"})
    kept = crypt.encrypt(settings, "session", "x")
    assert not (settings.data_dir / "secret.key").exists()
    assert crypt.decrypt(settings_with({"web.secret_key": "long and random"}), "session", kept) == "x"
    with pytest.raises(SettingsError, match=r"web\.secret_key"):
        crypt.decrypt(settings_with({"web.secret_key": "another"}), "session", kept)


def test_a_broken_key_file_is_said_and_never_replaced(settings_with):
    settings = settings_with()
    path = settings.data_dir / "secret.key"
    path.write_bytes(b"short")
    with pytest.raises(SettingsError, match="32 bytes"):
        crypt.derived_key(settings, "session")
    assert path.read_bytes() == b"short"


def _ask(settings, queue):
    queue.put(crypt.derived_key(settings, "session"))


def test_processes_that_start_at_once_agree_on_one_key(settings_with):
    settings = settings_with()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    children = [context.Process(target=_ask, args=(settings, queue)) for _ in range(3)]
    for child in children:
        child.start()
    keys = {queue.get(timeout=60) for _ in children}
    for child in children:
        child.join()
    assert len(keys) == 1
