"""What trainings and cleanings need: decoders, and settings that call a stand-in for the trainer's child."""

import pytest

from ticketbot.imaging.decode import DecoderPool


@pytest.fixture
def decoders():
    pool = DecoderPool(1, timeout_s=10)
    yield pool
    pool.close()


@pytest.fixture
def settings(settings_with):
    return lambda mode="ok", **more: settings_with(
        {
            "retrain.command": ["{python}", "-m", "tests.support.fake_trainer", mode],
            "retrain.min_per_category": 2,
            "retrain.min_new_labels": 8,
            "retrain.memory_mb": 2048,
            "retrain.timeout_s": 60,
            "model.first": "auto",
            **more,
        }
    )
