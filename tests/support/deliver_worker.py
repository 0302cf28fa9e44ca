"""A delivering process to kill: `python -m tests.support.deliver_worker URL SETTINGS.json [die|stop]`.

Loops `deliver_due`. With "die" it kills itself, with "stop" it stops itself (SIGSTOP), right after the first answer of
the receiver and before anything is written down. Prints "ready", then the counts of each round that did something.
"""

import os
import signal
import sys
import time
from pathlib import Path

from ticketbot.db import connect
from ticketbot.deliver.send import deliver_due
from ticketbot.net import fetch
from ticketbot.settings import Settings

AFTER_POST = {"die": signal.SIGKILL, "stop": signal.SIGSTOP}


def main(url: str, settings_file: str, what: str = "") -> None:
    settings = Settings.model_validate_json(Path(settings_file).read_text())
    db = connect(url)

    def post(*args, **kwargs):
        reply = fetch.post(*args, **kwargs)
        if what:
            os.kill(os.getpid(), AFTER_POST[what])
            time.sleep(0.1)  # SIGSTOP may reach this thread last; without this it could stop inside a transaction
        return reply

    print("ready", flush=True)
    while True:
        counts = deliver_due(db, settings, post=post)
        if counts:
            print(counts, flush=True)
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
