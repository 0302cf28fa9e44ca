"""Does this bundle load and answer, in a process that may die of it?

A foreign model's first run happens in a child with limits on memory and time: a 69-byte ONNX file asked for 34 GB in a
trial. `probe` starts the child (`python -m ticketbot.judge.probe BUNDLE`), which loads the bundle, checks the golden
pictures and says so as one line of JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ticketbot.errors import BundleRefused

TIMEOUT_S = 120.0
MEMORY_MB = 2048


def probe(folder: Path | str, *, timeout_s: float = TIMEOUT_S, memory_mb: int = MEMORY_MB) -> dict[str, Any]:
    """First load and first answers of a bundle, in a child: {"model", "worst", "seconds", "rss_mb"}.

    Raises BundleRefused when the child refuses it, dies or takes too long.
    """
    command = [sys.executable, "-m", "ticketbot.judge.probe", str(Path(folder).resolve())]
    command += [str(memory_mb), str(int(timeout_s))]
    root = Path(__file__).resolve().parents[2]  # so that the child finds this very package
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise BundleRefused(f"it did not answer within {timeout_s:.0f} s") from None
    try:
        said = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise BundleRefused(f"it killed the process that tried it (status {done.returncode})") from None
    if "refused" in said:
        raise BundleRefused(said["refused"])
    return said


def main(arguments: list[str]) -> int:
    """The child."""
    folder, memory_mb, cpu_s = arguments[0], int(arguments[1]), int(arguments[2])
    # Data, not address space: mapped libraries are large and harmless.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 2**20, memory_mb * 2**20))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    sys.stdout.write(json.dumps(_try(Path(folder))) + "\n")
    return 0


def _try(folder: Path) -> dict[str, Any]:
    from ticketbot.judge import golden  # after the limits are set
    from ticketbot.judge.engine import Engine

    started = time.monotonic()
    try:
        engine = Engine(folder)
        worst = golden.check(engine)
    except (BundleRefused, MemoryError) as error:
        return {"refused": str(error) or "it needs too much memory"}
    except Exception as error:  # whatever a hostile model makes onnxruntime raise is a refusal, not a crash of ours
        return {"refused": f"it fails: {type(error).__name__}: {str(error)[:200]}"}
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"model": engine.model_id, "worst": worst, "seconds": time.monotonic() - started, "rss_mb": rss_mb}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
