"""How does a browser see a picture? Never its own bytes: what the guarded decoder made of them, encoded anew.

    GET /picture/<sha256>.jpg?size=thumb|canonical|page|zoom        for everybody who may read
    GET /picture/<sha256>/original                                  for administrators, as a download

Renderings are kept in <data_dir>/cache/<size>/<aa>/<sha256>.jpg; losing them costs only time.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from flask import Blueprint, Response, request
from sqlalchemy import select

from ticketbot.contracts import store
from ticketbot.db.models import File, Picture
from ticketbot.errors import Refused
from ticketbot.imaging.decode import encode_jpeg
from ticketbot.web import texts
from ticketbot.web.access import needs
from ticketbot.web.context import Services, services
from ticketbot.web.headers import PICTURE_CSP

blueprint = Blueprint("picture", __name__, url_prefix="/picture")

# Longest side in pixels.
SIZES = {"thumb": 320, "canonical": 640, "page": 1280, "zoom": 2560}
QUALITY = 88
KEEP_S = 3600


@blueprint.get("/<sha256>.jpg")
@needs("read")
def show(sha256: str) -> Response:
    size = request.args.get("size", "page")
    if size not in SIZES:
        raise Refused("bad_request", f"size is one of {', '.join(SIZES)}.")
    _check(services(), sha256)
    response = Response(rendering(services(), sha256, size), mimetype="image/jpeg")
    response.headers["Content-Disposition"] = f'inline; filename="{sha256}.jpg"'
    response.headers["Cache-Control"] = f"private, max-age={KEEP_S}"
    response.headers["Content-Security-Policy"] = PICTURE_CSP
    return response


@blueprint.get("/<sha256>/original")
@needs("admin")
def original(sha256: str) -> Response:
    made = services()
    _check(made, sha256)
    with made.db.read() as session:
        path = session.scalar(select(File.path).where(File.sha256 == sha256).order_by(File.id).limit(1))
    response = Response(_bytes(made, sha256), mimetype="application/octet-stream")
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{download_name(path, sha256)}"
    response.headers["Content-Security-Policy"] = PICTURE_CSP
    return response


def download_name(path: bytes | None, sha256: str) -> str:
    """The file's own name, as it may stand in a header."""
    name = texts.name((path or b"").rpartition(b"/")[2]).replace("\\", "_")
    return quote(name[:150] or f"{sha256}.jpg", safe="")


def _check(made: Services, sha256: str) -> None:
    """Raises Refused not_found unless it is the hash of a picture that is here."""
    if store.SHA256.fullmatch(sha256):
        with made.db.read() as session:
            if session.scalar(select(Picture.state).where(Picture.sha256 == sha256)) == "staged":
                return
    raise Refused("not_found", "There is no such picture, or it is not kept any more.")


def rendering(made: Services, sha256: str, size: str) -> bytes:
    """JPEG bytes of this picture in this size. Raises ImageError, Refused not_found."""
    kept = cache_path(made.settings.data_dir, sha256, size)
    try:
        return kept.read_bytes()
    except OSError:
        pass  # not there, or the cache is broken: it is only a cache
    if made.decoders is None:
        raise TypeError("the app was built without decoders")
    data = encode_jpeg(made.decoders.decode(_bytes(made, sha256), max_px=SIZES[size]).rgb, quality=QUALITY)
    _keep(kept, data)
    return data


def cache_path(data_dir: Path, sha256: str, size: str) -> Path:
    return data_dir / "cache" / size / sha256[:2] / f"{sha256}.jpg"


def forget(data_dir: Path, sha256: str) -> None:
    """Remove every rendering: the picture was erased."""
    for size in SIZES:
        cache_path(data_dir, sha256, size).unlink(missing_ok=True)


def tidy(data_dir: Path, now: float, *, unused_s: float = 7 * 86400.0) -> int:
    """Remove renderings made longer ago than unused_s. -> how many."""
    # By size: the trainer keeps other things in the same folder.
    made = (path for size in SIZES for path in (data_dir / "cache" / size).glob("*/*"))
    old = [path for path in made if path.stat().st_mtime < now - unused_s]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _keep(path: Path, data: bytes) -> None:
    """Whole or not at all. A full disk is no reason not to show the picture."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _bytes(made: Services, sha256: str) -> bytes:
    try:
        with store.open_staged(made.settings.data_dir, sha256) as file:
            return file.read()
    except FileNotFoundError:
        raise Refused("not_found", "The picture is not kept any more.") from None
