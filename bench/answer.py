"""How soon is one picture answered? JPEG bytes of 1920 x 1080 to a category: ours beside fastai's `learner.predict`.

    python -m bench.answer [--pictures 40]

The same resnet34, the same pictures, in turn, in one process. Ours decodes in the guarded child and infers on two
threads, as the web process does.
"""

import argparse
import statistics
import time

from bench import peers, table
from ticketbot.imaging.decode import DecoderPool
from ticketbot.judge.decide import category_of
from ticketbot.judge.engine import Engine

GOAL = 1.9
WARM = 4


def rows(pictures=40):
    pickle, bundle = peers.models()
    predict, engine = peers.fastai_predict(pickle), Engine(bundle, intra_threads=2)
    data = peers.screenshots(pictures + WARM, seed=1)
    with DecoderPool(2) as decoders:

        def ours(one):
            rgb = decoders.decode(one, max_px=engine.manifest.canonical_px).rgb
            answer = engine.answer([rgb])[0]
            return category_of(answer, engine.classes, engine.manifest.thresholds, "tag", 0.0).best

        took = {"ours": [], "fastai": []}
        for number, one in enumerate(data):
            for name, ask in (("ours", ours), ("fastai", predict)):
                started = time.perf_counter()
                ask(one)
                if number >= WARM:
                    took[name].append(time.perf_counter() - started)
        decode_ms = statistics.median(timed_ms(lambda one: decoders.decode(one), one) for one in data)
    ours_ms, fastai_ms = (1000 * statistics.median(took[name]) for name in ("ours", "fastai"))
    return [
        table.row(
            "answer: one picture, fp32", table.ratio(took["fastai"], took["ours"]), f">= {GOAL} x fastai predict",
            table.at_least(GOAL), f"{ours_ms:.1f} ms, {decode_ms:.1f} of them decoding; fastai {fastai_ms:.1f} ms",
            ours_ms=ours_ms, fastai_ms=fastai_ms, decode_ms=decode_ms,
        )
    ]  # fmt: skip


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
