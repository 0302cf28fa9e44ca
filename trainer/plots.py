"""How do figures become pictures? PNG files, drawn without a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ticketbot.judge.calibration import Bin

DPI = 110


def confusion(counts: Mapping[str, Mapping[str, int]], path: Path) -> None:
    """counts: {what it is: {what was said: n}}. Coloured by the share of each row, numbered by pictures."""
    rows, columns = list(counts), list(next(iter(counts.values())))
    figure, axes = _figure(1.1 * len(columns) + 2.5, 0.9 * len(rows) + 1.8)
    shares = [[n / max(1, sum(row.values())) for n in row.values()] for row in counts.values()]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(counts.values()):
        for x, n in enumerate(row.values()):
            axes.text(x, y, str(n), ha="center", va="center", color="white" if shares[y][x] > 0.5 else "black")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel("what the model says")
    axes.set_ylabel("what it is")
    _save(figure, path)


def reliability(curves: Mapping[str, Sequence[Bin]], path: Path) -> None:
    """How often was it right, by how sure it was; a curve for each name."""
    figure, axes = _figure(5, 5)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", label="as it should be")
    for name, bins in curves.items():
        axes.plot([one.confidence for one in bins], [one.accuracy for one in bins], marker="o", label=name)
    axes.set_xlabel("how sure it was")
    axes.set_ylabel("how often it was right")
    axes.legend()
    _save(figure, path)


def learning_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float | None, path: Path) -> None:
    """The loss by learning rate, with the suggested one marked."""
    figure, axes = _figure(6, 4)
    axes.plot(rates, losses)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    if suggestion is not None:
        axes.axvline(suggestion, color="#b45309", linestyle="--", label=f"suggested: {suggestion:.1e}")
        axes.legend()
    _save(figure, path)


def _figure(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", dpi=DPI)
