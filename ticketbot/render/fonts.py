"""Which letters can this machine draw? The TrueType files it has, and Pillow's own font where it has none."""

from __future__ import annotations

import os
import random
import sys
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

from PIL import ImageFont

# Only families known to hold Latin letters: a symbol font picked by chance would draw boxes. Regular and bold.
_SANS = [
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("DejaVuSansCondensed.ttf", "DejaVuSansCondensed-Bold.ttf"),
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("LiberationSansNarrow-Regular.ttf", "LiberationSansNarrow-Bold.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("OpenSans-Regular.ttf", "OpenSans-Bold.ttf"),
    ("Roboto-Regular.ttf", "Roboto-Bold.ttf"),
    ("Lato-Regular.ttf", "Lato-Bold.ttf"),
    ("Ubuntu-R.ttf", "Ubuntu-B.ttf"),
    ("FreeSans.ttf", "FreeSansBold.ttf"),
    ("arial.ttf", "arialbd.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
    ("segoeui.ttf", "segoeuib.ttf"),
    ("tahoma.ttf", "tahomabd.ttf"),
    ("verdana.ttf", "verdanab.ttf"),
    ("Verdana.ttf", "Verdana Bold.ttf"),
    ("calibri.ttf", "calibrib.ttf"),
]
_SERIF = [
    ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    ("LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf"),
    ("NotoSerif-Regular.ttf", "NotoSerif-Bold.ttf"),
    ("FreeSerif.ttf", "FreeSerifBold.ttf"),
    ("times.ttf", "timesbd.ttf"),
    ("Times New Roman.ttf", "Times New Roman Bold.ttf"),
    ("georgia.ttf", "georgiab.ttf"),
]
_MONO = [
    ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
    ("LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf"),
    ("NotoSansMono-Regular.ttf", "NotoSansMono-Bold.ttf"),
    ("UbuntuMono-R.ttf", "UbuntuMono-B.ttf"),
    ("FreeMono.ttf", "FreeMonoBold.ttf"),
    ("cour.ttf", "courbd.ttf"),
    ("consola.ttf", "consolab.ttf"),
    ("Courier New.ttf", "Courier New Bold.ttf"),
]
_KINDS = {"sans": _SANS, "serif": _SERIF, "mono": _MONO}


def font_folders() -> list[Path]:
    """Where operating systems keep fonts; those that do not exist are harmless."""
    home = Path.home()
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".fonts", home / ".local/share/fonts"]
    if sys.platform == "darwin":
        folders += [Path("/Library/Fonts"), Path("/System/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        folders += [Path(r"C:\Windows\Fonts")]
    return folders


@lru_cache(maxsize=1)
def _files() -> dict[str, str]:
    """File name -> path of every font file here."""
    found: dict[str, str] = {}
    for folder in font_folders():
        for place, _, names in os.walk(folder):
            found.update({name: os.path.join(place, name) for name in names if name.endswith(".ttf")})
    return found


@dataclass(frozen=True)
class Face:
    """A family in two weights; without files it is the font inside Pillow, which knows ASCII only."""

    regular: str | None = None
    bold: str | None = None

    def at(self, size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
        return _load(self.bold if bold else self.regular, max(6, size_px))

    def spell(self, text: str) -> str:
        """The text in letters this face has: without files, umlauts lose their dots and signs become words."""
        if self.regular is not None:
            return text
        text = text.replace("ß", "ss").replace("€", "EUR").replace("£", "GBP")
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


@lru_cache(maxsize=512)
def _load(path: str | None, size_px: int) -> ImageFont.FreeTypeFont:
    if path is None:
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size_px))
    return ImageFont.truetype(path, size_px, layout_engine=ImageFont.Layout.BASIC)  # raqm takes three times as long


@lru_cache(maxsize=8)
def faces(kind: str) -> tuple[Face, ...]:
    """The families of a kind ("sans", "serif", "mono") found here; at least one."""
    files = _files()
    found = [Face(files[r], files[b]) for r, b in _KINDS[kind] if r in files and b in files]
    return tuple(found) or (Face(),)


def pick_face(rng: random.Random, kind: str) -> Face:
    return rng.choice(faces(kind))
