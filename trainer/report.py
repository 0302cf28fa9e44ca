"""What should a person see who is asked to let this model go live? One page that needs nothing else: report.html."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ticketbot.contracts.bundle import Manifest, Stage
from ticketbot.judge.calibration import expected_error, reliability
from ticketbot.judge.temperature import softmax
from trainer.data.pictures import Dataset, name_of
from trainer.trained import Trained

if TYPE_CHECKING:
    from trainer.run import Measured

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:right}
td:first-child,th:first-child{text-align:left}.yes{color:#17633a}.no{color:#a12622}pre{white-space:pre-wrap}
svg{background:#fafafa;border:1px solid #ddd}"""


def page(manifest: Manifest, trained: Trained, data: Dataset, measured: Measured) -> str:
    """The whole page."""
    good = bool(manifest.gate["promote"])
    parts = [
        f"<h1>{escape(manifest.model_id)}</h1>",
        f'<p class="{"yes" if good else "no"}"><b>{"Passes the gate" if good else "Refused by the gate"}:</b> '
        f"{escape(manifest.gate['reason'])}</p>",
        _accuracy(manifest),
        _data(manifest, data),
        _confusion(manifest),
        _suspects(manifest, trained, data, measured),
        _promises(manifest),
        _reliability(measured),
        _curve(trained.curve),
        "<h2>Recipe</h2><pre>" + escape(json.dumps(manifest.recipe, indent=1)) + "</pre>",
        _network(manifest),
        "<h2>Versions</h2>" + table(["package", "version"], sorted(manifest.versions.items())),
    ]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(manifest.model_id)}</title>'
    return head + f"<style>{STYLE}</style>" + "\n".join(parts) + "</html>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f"<th>{escape(str(one))}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(one))}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def line(points: Sequence[tuple[float, float]], high: float, colour: str, width: int = 420, height: int = 200) -> str:
    """A polyline: x from 0 to 1, y from 0 to `high`."""
    at = " ".join(f"{x * width:.1f},{height - min(y / high, 1) * height:.1f}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{at}"/>'


def svg(lines: Iterable[str], width: int = 420, height: int = 200) -> str:
    return f'<svg width="{width}" height="{height}" viewBox="-4 -4 {width + 8} {height + 8}">{"".join(lines)}</svg>'


def _accuracy(manifest: Manifest) -> str:
    found = manifest.metrics
    if not found["n"]:
        return "<h2>Accuracy</h2><p>Nothing was held out, so nothing could be measured.</p>"
    text = (
        f"<p>{found['accuracy']:.1%} right ({found['accuracy_low']:.1%} to {found['accuracy_high']:.1%}) on "
        f"{escape(found['on'])}; always the most frequent class: {found['majority_share']:.1%}.</p>"
    )
    text += "".join(f"<p>{escape(note)}.</p>" for note in found.get("notes", []))
    rows = [
        (name, one["n"], *(f"{one[key]:.1%} ({one[key + '_low']:.1%} to {one[key + '_high']:.1%})" for key in KEYS))
        for name, one in found["per_class"].items()
    ]
    return "<h2>Accuracy</h2>" + text + table(["class", "pictures", *KEYS], rows)


KEYS = ("precision", "recall")


def _data(manifest: Manifest, data: Dataset) -> str:
    facts = manifest.snapshot
    groups = len({one.group for one in data.pictures})
    text = f"<p>{facts['n']} pictures in {groups} groups, {facts['holdout']} held out"
    text += f", {len(data.unreadable)} could not be read" if data.unreadable else ""
    return f"<h2>Data</h2>{text}. Hash {facts['hash'][:16]}.</p>" + table(
        ["class", "pictures"], facts["per_class"].items()
    )


def _confusion(manifest: Manifest) -> str:
    found = manifest.metrics.get("confusion")
    if not found:
        return ""
    rows = [(name, *row.values()) for name, row in found.items()]
    return "<h2>Confusion</h2><p>Rows: what it is; columns: what the model says.</p>" + table(
        ["", *next(iter(found.values()))], rows
    )


SUSPECTS = 25


def _suspects(manifest: Manifest, trained: Trained, data: Dataset, measured: Measured) -> str:
    """Names, no pictures: a report is kept when a user's pictures are long erased."""
    held = [one for one in data.pictures if one.split == "holdout"]
    asked = list(zip(held, measured.probs, strict=True))
    if trained.judged:
        asked += zip(trained.judged, softmax(trained.calibration[0], measured.temperature), strict=True)
    doubted = [(one, row) for one, row in asked if row.argmax() != one.label]
    doubted.sort(key=lambda pair: float(pair[1][pair[0].label]))
    rows = [
        (
            name_of(one, data.root),
            "held out" if one in held else "learned from",
            manifest.classes[one.label],
            f"{row[one.label]:.1%}",
            f"{manifest.classes[row.argmax()]} {row.max():.1%}",
        )
        for one, row in doubted[:SUSPECTS]
    ]
    text = (
        f"<p>Wrong labels, or hard pictures: {len(doubted)} of {len(asked)} are called something else by a model "
        "that did not learn from them; the likeliest wrong first. <code>trainer clean</code> shows them.</p>"
    )
    head = ["picture", "", "label", "how likely", "called"]
    return "<h2>Suspects</h2>" + text + (table(head, rows) if rows else "")


def _network(manifest: Manifest) -> str:
    found = manifest.parity
    stages = ", ".join(f"{one.file} ({one.input_px} px, {one.geometry}{_exit(one)})" for one in manifest.stages)
    text = (
        f"<p>{escape(manifest.arch)}, weights to begin with: {escape(manifest.weights)}. Serves: {escape(stages)} in "
        f"{found['precision']}: {escape(found['reason'])}. ONNX differs from torch by {found['max_abs_diff']:.1e} at "
        f"most (logits of {found['n']} pictures).</p>"
    )
    if "cascade" in found and manifest.stages[0].exit_threshold is None:
        text += f"<p>No cascade: {escape(found['cascade']['reason'])}.</p>"
    return "<h2>Network</h2>" + text


def _exit(stage: Stage) -> str:
    return "" if stage.exit_threshold is None else f", answers from {stage.exit_threshold:.4f} on"


def _promises(manifest: Manifest) -> str:
    rows = [
        (
            name,
            f"from {one.threshold:.3f} on" if one.proven else "not proven",
            one.accepted,
            one.errors,
            "" if one.proven else f"{one.needed} more held-out pictures of this answer",
        )
        for name, one in manifest.thresholds.items()
    ]
    text = f"<p>Promised precision {manifest.promise['precision']:.0%}, risk {manifest.promise['delta']:.0%}.</p>"
    return "<h2>Promises</h2>" + text + table(["class", "tagged by itself", "accepted", "errors", "needs"], rows)


def _reliability(measured: Measured) -> str:
    if not len(measured.y):
        return ""
    bins = reliability(measured.probs, measured.y)
    curve = line([(one.confidence, one.accuracy) for one in bins], 1, "#2563a8", 200, 200)
    ideal = line([(0, 0), (1, 1)], 1, "#bbb", 200, 200)
    error = expected_error(measured.probs, measured.y)
    return (
        f"<h2>Does its confidence come true?</h2><p>Temperature {measured.temperature:.2f}, expected error {error:.3f}."
        f" Across: confidence; up: how often it was right.</p>{svg([ideal, curve], 200, 200)}"
    )


def _curve(curve: Sequence[dict[str, Any]]) -> str:
    if not curve:
        return "<h2>Training</h2><p>A linear head on frozen features: no curve.</p>"
    count = max(1, len(curve) - 1)
    top = max(one["train_loss"] for one in curve)
    lines = [line([(at / count, one["train_loss"]) for at, one in enumerate(curve)], top, "#2563a8")]
    right = [(at / count, one["valid_accuracy"]) for at, one in enumerate(curve) if one.get("valid_accuracy")]
    lines.append(line(right, 1, "#17633a"))
    rows = [(one["pass"], one["px"], *(_number(one.get(key)) for key in COLUMNS)) for one in curve]
    text = f"<p>Blue: training loss (top {top:.2f}); green: right on validation (top 100 %).</p>"
    return (
        f"<h2>Training</h2>{text}{svg(lines)}<details><summary>numbers</summary>"
        + table(["pass", "px", *COLUMNS], rows)
        + "</details>"
    )


COLUMNS = ("train_loss", "valid_loss", "valid_accuracy")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
