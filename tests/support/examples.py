"""The commands of a page of the documentation, run as they stand.

    said = run(page, folder, replaced={"8788": "41237"}, skip="pip install")

All ```sh blocks of a page are one shell, so that what one sets the next one knows; a block that begins with
`# in a second terminal` (or third…) runs in the background from there on. A ```text block is what the blocks before it
say: its lines must come in this order, `…` stands for anything.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.loopback import free_port

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.S | re.M)
TERMINAL = re.compile(r"# in a \w+ terminal")
MARK = "=== example"


@dataclass
class Example:
    """Commands, and the lines that must come of them."""

    code: str
    lines: list[str] = field(default_factory=list)

    @property
    def background(self) -> bool:
        return TERMINAL.match(self.code) is not None


def examples(page: str) -> list[Example]:
    found: list[Example] = []
    for language, text in BLOCK.findall(page):
        if language == "sh":
            found.append(Example(text))
        elif found:
            found[-1].lines += text.splitlines()
    return found


def run(page, folder, *, replaced=None, skip="pip install", after="", timeout_s=280, **environment):
    """Run the page in `folder`; -> what was said, all of it. `after`: more commands at the end."""
    text = page.read_text()
    for old, new in (replaced or {}).items():
        text = text.replace(old, new)
    parts, found = [], [one for one in examples(text) if skip not in one.code]
    for number, example in enumerate(found):
        if example.background:
            parts.append(f"(\n{example.code}\n) >> terminal-{number}.out 2>&1 &\n")
        else:
            parts.append(f"echo '{MARK} {number}'\n{example.code}\n")
    script = folder / "page.sh"
    script.write_text("set -e\n" + "".join(parts) + f"echo '{MARK} end'\n{after}\n")
    said = _shell(script, folder, timeout_s, environment)
    outputs = dict(re.findall(rf"^{MARK} (\d+)\n(.*?)(?=^{MARK} )", said, re.S | re.M))
    assert len(outputs) == len([one for one in found if not one.background]), said
    for number, example in enumerate(found):
        if not example.background:
            holds(example, outputs[str(number)])
    return said


def holds(example, output):
    """Do the promised lines come, in their order?"""
    shown = iter(re.sub(r" +", " ", line).strip() for line in output.splitlines())
    for line in example.lines:
        wanted = re.sub(r" +", " ", line).strip()
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("…")))
        assert any(pattern.fullmatch(one) for one in shown), f"{line!r} was not said by\n{example.code}\n{output}"


def _shell(script, folder, timeout_s, environment):
    """stdout and stderr of the script; everything it began ends with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKETBOT_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", str(script)],
        cwd=folder,
        env={
            **kept,
            "PATH": path,
            "HOME": str(folder),
            "PYTHONUNBUFFERED": "1",
            "no_proxy": "127.0.0.1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"not done in {timeout_s} s:\n{(error.stdout or b'').decode()[-4000:]}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    logs = "".join(f"\n--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(folder.rglob("terminal-*.out")))
    assert process.returncode == 0, said[-6000:] + logs
    return said


def tutorial(home, **more):
    """Run docs/tutorial.md below the folder `home`, on free ports, with what is installed here. -> what was said"""
    root = Path(__file__).parent.parent.parent
    house = home / "ticketbot-tutorial"
    (house / "venv" / "bin").mkdir(parents=True)
    (house / "venv" / "bin" / "activate").write_text("")
    port = str(free_port())
    replaced = {"8788": port, "8800": str(free_port()), "CHECKOUT=~/ticketbot\n": f"CHECKOUT={root}\n"}
    # `init` writes the usual port: the environment wins over it.
    own = {"TICKETBOT_WEB__PORT": port, "TICKETBOT_GENERAL__BASE_URL": f"http://127.0.0.1:{port}"}
    more["after"] = more.get("after", "").replace("8788", port)
    return run(root / "docs" / "tutorial.md", home, replaced=replaced, timeout_s=1700, **own, **more)
