"""Where does a person decide about suspects, without a service? On one HTML file with everything in it.

Keys decide, the browser remembers, a button saves decisions.csv; nothing is loaded and nothing is sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ticketbot.contracts.suspects import Suspect
from ticketbot.imaging.decode import encode_jpeg
from trainer.sheet import thumbnails

PAGE = Path(__file__).with_suffix(".html")
THUMBNAIL_PX, QUALITY = 320, 70


def page(suspects: Sequence[Suspect], paths: Mapping[str, Path], classes: Sequence[str]) -> str:
    """The file's text. paths: name -> picture."""
    pictures = thumbnails([paths[one.name] for one in suspects], THUMBNAIL_PX)
    rows = [
        {**asdict(one), "thumbnail": base64.b64encode(encode_jpeg(rgb, QUALITY)).decode() if rgb is not None else ""}
        for one, rgb in zip(suspects, pictures, strict=True)
    ]
    # What the browser remembers belongs to these pictures with these labels.
    name = hashlib.sha256(json.dumps([(one.sha256, one.label) for one in suspects]).encode()).hexdigest()[:16]
    data = json.dumps({"id": name, "classes": list(classes), "suspects": rows})
    # Inside a script element only "<" could end it.
    return PAGE.read_text("utf-8").replace("__DATA__", data.replace("<", "\\u003c"))
