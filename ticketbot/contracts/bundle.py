"""What is a model, as files?

A bundle is a folder: `manifest.json`, the ONNX file(s) it names, `report.html`, and whatever else is listed in
`files` with its sha256. The ONNX graph takes `pixels` (uint8, N x px x px x 3, RGB) and gives `logits` (float32,
N x classes); scaling and normalising happen inside the graph, so that no caller can do them differently.

Format versions:
    1  the first one
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ticketbot.contracts.files import canonical_json, sha256_of, write_json
from ticketbot.errors import BundleRefused

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 2 * 2**20
MAX_FILE_BYTES = 500 * 2**20
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
GEOMETRIES = ("squish", "pad")


@dataclass(frozen=True)
class Stage:
    """One network. With several, a picture leaves at the first whose best probability reaches `exit_threshold`."""

    file: str
    input_px: int
    geometry: str
    exit_threshold: float | None = None


@dataclass(frozen=True)
class Threshold:
    """From which probability a class is tagged by itself. `threshold` is None when nothing could be proven."""

    threshold: float | None
    proven: bool
    accepted: int
    errors: int
    # Accepted pictures still missing for a proof, if those are all right; 0 when proven.
    needed: int


@dataclass(frozen=True)
class Manifest:
    """The bundle's manifest.json. Times are Unix seconds, sizes pixels or bytes as named."""

    model_id: str
    arch: str
    weights: str
    classes: tuple[str, ...]
    # Longest side of the canonical picture the network was trained on (imaging.decode's max_px).
    canonical_px: int
    stages: tuple[Stage, ...]
    temperature: float
    thresholds: dict[str, Threshold]
    # {"precision": 0.95, "delta": 0.05}
    promise: dict[str, float]
    # As `trainer evaluate --json`, plus "on": what was measured on, in words, and "majority_share".
    metrics: dict[str, Any]
    # {"max_abs_diff": …, "n": …}: ONNX against torch on the validation pictures.
    parity: dict[str, Any]
    # {"promote": bool, "reason": str, "champion": model id or null, "p_value": …}
    gate: dict[str, Any]
    # {"hash": …, "n": …, "per_class": {…}, "holdout": n}
    snapshot: dict[str, Any]
    recipe: dict[str, Any]
    versions: dict[str, str]
    created_at: float
    took_s: float
    files: dict[str, str] = field(default_factory=dict)
    # {"key": base64 public key, "value": base64 ed25519 signature} over canonical_json of everything else
    signature: dict[str, str] | None = None
    format_version: int = FORMAT_VERSION

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def signed_bytes(self) -> bytes:
        """What the signature is made over: the manifest without it."""
        value = self.as_json()
        del value["signature"]
        return canonical_json(value)


def write(folder: Path, manifest: Manifest) -> Manifest:
    """Write manifest.json last, with the sha256 of every other file in the folder; returns it with `files` filled."""
    files = {
        path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST
    }
    complete = Manifest(**{**_shallow(manifest), "files": files})
    write_json(folder / MANIFEST, complete.as_json())
    return complete


def read(folder: Path, *, check_files: bool = True) -> Manifest:
    """Read and check a bundle's manifest and, by default, the hash of every file it lists.

    Raises BundleRefused with a sentence that says what is wrong. Nothing is executed or loaded here.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleRefused(f"{path}: larger than {MAX_MANIFEST_BYTES} bytes")
        value = json.loads(path.read_bytes(), parse_constant=_no_constant)
    except FileNotFoundError:
        raise BundleRefused(f"{folder} is not a bundle: it has no {MANIFEST}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleRefused(f"{path} cannot be read: {error}") from None
    manifest = parse(value)
    if check_files:
        check_hashes(folder, manifest)
    return manifest


def parse(value: Any) -> Manifest:
    """A manifest from its JSON value; raises BundleRefused."""
    if not isinstance(value, dict):
        raise BundleRefused("manifest: not an object")
    if value.get("format_version") != FORMAT_VERSION:
        found = value.get("format_version")
        raise BundleRefused(f"manifest: format_version {found!r}; this program reads {FORMAT_VERSION}")
    known = {one.name for one in fields(Manifest)}
    if unknown := sorted(set(value) - known):
        raise BundleRefused(f"manifest: unknown keys {', '.join(unknown)}")
    try:
        manifest = Manifest(
            **{
                **value,
                "classes": tuple(value["classes"]),
                "stages": tuple(Stage(**stage) for stage in value["stages"]),
                "thresholds": {name: Threshold(**one) for name, one in value["thresholds"].items()},
            }
        )
        _check(manifest)
    except (TypeError, KeyError, AttributeError) as error:
        raise BundleRefused(f"manifest: {error}") from None
    return manifest


def check_hashes(folder: Path, manifest: Manifest) -> None:
    """Every listed file is there with its hash, and every stage's file is listed; raises BundleRefused."""
    for stage in manifest.stages:
        if stage.file not in manifest.files:
            raise BundleRefused(f"manifest: stage file {stage.file} has no hash in files")
    for name, expected in manifest.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise BundleRefused(f"{name} is missing from the bundle")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BundleRefused(f"{name} is larger than {MAX_FILE_BYTES} bytes")
        if sha256_of(path) != expected:
            raise BundleRefused(f"{name} is not the file the manifest was made for (its sha256 differs)")


def check_nothing_else(folder: Path, manifest: Manifest) -> None:
    """Nothing lies in the folder that the manifest does not list: no hash and no signature would speak of it.

    Raises BundleRefused.
    """
    for name in sorted({path.name for path in folder.iterdir()} - {*manifest.files, MANIFEST}):
        raise BundleRefused(f"{name!r} is in the bundle, but not in its manifest")


def _check(manifest: Manifest) -> None:
    def need(condition: bool, message: str) -> None:
        if not condition:
            raise BundleRefused(f"manifest: {message}")

    need(isinstance(manifest.model_id, str) and bool(MODEL_ID.fullmatch(manifest.model_id)), "bad model_id")
    need(len(manifest.classes) >= 2, "needs two or more classes")
    need(len(set(manifest.classes)) == len(manifest.classes), "a class is named twice")
    need(all(isinstance(name, str) and name for name in manifest.classes), "classes must be names")
    need(len(manifest.stages) >= 1, "needs a stage")
    for stage in manifest.stages:
        need(bool(FILE_NAME.fullmatch(stage.file)), f"bad file name {stage.file!r}")
        need(stage.geometry in GEOMETRIES, f"geometry {stage.geometry!r} is not one of {', '.join(GEOMETRIES)}")
        need(isinstance(stage.input_px, int) and 16 <= stage.input_px <= 1024, "input_px must be 16 to 1024")
    need(isinstance(manifest.canonical_px, int) and 64 <= manifest.canonical_px <= 4096, "bad canonical_px")
    need(isinstance(manifest.temperature, (int, float)) and 0.01 <= manifest.temperature <= 100, "bad temperature")
    need(set(manifest.thresholds) <= set(manifest.classes), "thresholds name an unknown class")
    for name in manifest.files:
        need(bool(FILE_NAME.fullmatch(name)), f"bad file name {name!r}")


def _shallow(manifest: Manifest) -> dict[str, Any]:
    return {one.name: getattr(manifest, one.name) for one in fields(manifest)}


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
