"""Does the network's engine keep to itself which models it loads?"""

import os
import subprocess
import sys

import pytest

from ticketbot.judge import engine

LOAD = "import onnxruntime; onnxruntime.SessionOptions(); print(onnxruntime.__file__)"


def left_at_home(home, code):
    """What a process without CI's variables, in which onnxruntime is silent by itself, leaves in its home."""
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH", "LANG")}
    subprocess.run([sys.executable, "-c", code], env={**kept, "HOME": str(home)}, check=True, capture_output=True)
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def test_nothing_is_told_about_models(tmp_path):
    if not left_at_home(tmp_path / "alone", LOAD):
        pytest.skip("this onnxruntime notes nothing by itself")
    assert left_at_home(tmp_path / "ours", f"import {engine.__name__}; {LOAD}") == []
    assert left_at_home(tmp_path / "trainer", f"import trainer.cli; {LOAD}") == []
