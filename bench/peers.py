"""What do we measure ourselves against? One resnet34 at 224 px, as fastai keeps it and as a bundle of ours.

The weights are drawn at random: how long an answer takes does not depend on them. The pictures are drawn screenshots,
saved as JPEGs of 1920 x 1080.
"""

import functools
import io
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.bundles import make_bundle
from ticketbot.contracts import bundle
from ticketbot.judge import golden
from ticketbot.judge.engine import Engine
from ticketbot.render import CATEGORIES, render

PX, SIZE, QUALITY = 224, (1920, 1080), 85


def screenshots(count, seed=0):
    """JPEG bytes, all different."""
    found = []
    for number in range(count):
        dice = random.Random(f"{seed}-{number}")
        image = render(CATEGORIES[number % len(CATEGORIES)], dice).resize(SIZE, Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=QUALITY)
        found.append(stream.getvalue())
    return found


@functools.cache
def models():
    """-> (export.pkl of fastai, folder of the bundle); made once and kept in the trainer's cache."""
    from trainer.data.cache import default_folder

    kept = default_folder() / f"bench-resnet34-{PX}"
    if not kept.is_dir():
        warnings.simplefilter("ignore")
        kept.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=kept.parent))
        learn = learner(place / "pictures")
        learn.export(place / "export.pkl")
        write_bundle(learn.model, place / "model.onnx", place / "bundle")
        place.rename(kept)
    return kept / "export.pkl", kept / "bundle"


def learner(folder):
    """vision_learner as in fastai's book, on a few pictures: it needs some to know its classes."""
    from fastai.vision.all import (
        ImageDataLoaders,
        Normalize,
        Resize,
        ResizeMethod,
        imagenet_stats,
        resnet34,
        set_seed,
        vision_learner,
    )

    for number, data in enumerate(screenshots(8 * len(CATEGORIES))):
        place = folder / CATEGORIES[number % len(CATEGORIES)]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(data)
    set_seed(1)
    loaders = ImageDataLoaders.from_folder(
        folder,
        valid_pct=0.5,
        seed=1,
        bs=4,
        num_workers=0,
        item_tfms=Resize(PX, method=ResizeMethod.Squish),
        batch_tfms=Normalize.from_stats(*imagenet_stats),
    )
    return vision_learner(loaders, resnet34, pretrained=False)


def write_bundle(model, path, folder):
    from trainer import body, graphs

    graphs.to_onnx(body.Served(model), PX, path)
    classes = tuple(sorted(CATEGORIES))
    manifest = make_bundle(
        folder, graph=path.read_bytes(), input_px=PX, classes=classes, golden=False, model_id="bench-resnet34"
    )
    inputs = np.random.default_rng(0).integers(0, 256, (2, PX, PX, 3), dtype=np.uint8)
    golden.write(folder, [(inputs, Engine(folder).probabilities(inputs))])
    bundle.write(folder, manifest)


def fastai_predict(pickle):
    """A function from JPEG bytes to a category, as a program would ask fastai."""
    from fastai.vision.all import load_learner

    warnings.simplefilter("ignore")
    learn = load_learner(pickle)

    def predict(data):
        with learn.no_bar():
            return str(learn.predict(data)[0])

    return predict
