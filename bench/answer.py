"""How soon is one picture answered? JPEG bytes of 1920 x 1080 to a category: ours beside fastai's `learner.predict`.

    python -m bench.answer [--pictures 40]

The same resnet34, the same pictures, in turn, in one process. Ours decodes in the guarded child and infers on two
threads, as the web process does; in fp32, and in int8 as the exporter makes it. Whether int8 says the same is not asked
here, of weights drawn at random: the exporter asks, of each model (docs/training.md).
"""

import argparse
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from bench import peers, table
from tests.support.bundles import make_bundle
from ticketbot.imaging.decode import DecoderPool
from ticketbot.imaging.resize import to_input
from ticketbot.judge.decide import category_of
from ticketbot.judge.engine import Engine

GOAL, GOAL_INT8 = 1.9, 3.0
WARM = 4
CALIBRATION = 20


def rows(pictures=40):
    pickle, bundle = peers.models()
    predict, engine = peers.fastai_predict(pickle), Engine(bundle, intra_threads=2)
    data = peers.screenshots(pictures + WARM, seed=1)
    with DecoderPool(2) as decoders, tempfile.TemporaryDirectory(prefix="ticketbot-bench-") as folder:
        coarse = in_int8(engine, Path(folder), decoders)

        def ours(one, engine=engine):
            rgb = decoders.decode(one, max_px=engine.manifest.canonical_px).rgb
            answer = engine.answer([rgb])[0]
            return category_of(answer, engine.classes, engine.manifest.thresholds, "tag", 0.0).best

        ways = {"ours": ours, "int8": partial(ours, engine=coarse), "fastai": predict}
        took = {name: [] for name in ways}
        for number, one in enumerate(data):
            for name, ask in ways.items():
                started = time.perf_counter()
                ask(one)
                if number >= WARM:
                    took[name].append(time.perf_counter() - started)
        decode_ms = statistics.median(timed_ms(lambda one: decoders.decode(one), one) for one in data)
    ours_ms, int8_ms, fastai_ms = (1000 * statistics.median(took[name]) for name in ways)
    return [
        table.row(
            "answer: one picture, fp32", table.ratio(took["fastai"], took["ours"]), f">= {GOAL} x fastai predict",
            table.at_least(GOAL), f"{ours_ms:.1f} ms, {decode_ms:.1f} of them decoding; fastai {fastai_ms:.1f} ms",
            ours_ms=ours_ms, fastai_ms=fastai_ms, decode_ms=decode_ms,
        ),
        table.row(
            "answer: one picture, int8", table.ratio(took["fastai"], took["int8"]),
            f">= {GOAL_INT8:.0f} x fastai predict", table.at_least(GOAL_INT8),
            f"{int8_ms:.1f} ms; fastai {fastai_ms:.1f} ms", ours_ms=int8_ms, fastai_ms=fastai_ms,
        ),
    ]  # fmt: skip


def in_int8(engine, folder, decoders):
    """The same network as the exporter would have it."""
    from trainer import quantize

    px, geometry = engine.manifest.stages[0].input_px, engine.manifest.stages[0].geometry
    seen = (decoders.decode(one).rgb for one in peers.screenshots(CALIBRATION, seed=5))
    samples = np.stack([to_input(rgb, px, geometry) for rgb in seen])
    quantize.to_int8(engine.folder / "model.onnx", folder / "int8.onnx", samples)
    graph, classes = (folder / "int8.onnx").read_bytes(), engine.classes
    make_bundle(folder / "bundle", graph=graph, input_px=px, geometry=geometry, classes=classes, golden=False)
    return Engine(folder / "bundle", intra_threads=2)


def timed_ms(deed, *arguments):
    started = time.perf_counter()
    deed(*arguments)
    return 1000 * (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    table.show(rows(parser.parse_args().pictures))


if __name__ == "__main__":
    main()
