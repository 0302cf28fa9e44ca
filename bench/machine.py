"""On what was it measured?"""

import os
import platform
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("ticketbot", "onnxruntime", "numpy", "pillow", "sqlalchemy", "fastai", "torch")


def facts():
    """Processor, memory, kernel, versions, and how busy the machine was with other things when the measuring began."""
    return {
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions(),
    }


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def versions():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
