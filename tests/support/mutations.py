"""Damaged files, and what a decoder child looks like from outside."""

from pathlib import Path

SEEDS = (
    *("ok_rgb.jpg", "ok_prog.jpg", "ok_cmyk.jpg", "orient_6.jpg", "mode_P.png", "mode_RGBA.png", "anim.apng.png"),
    *("ok_l.gif", "anim.gif", "ok_rgb.webp", "ok_lossless.webp", "anim.webp", "ok_rgb.bmp"),
)


def mutated(data: bytes, dice) -> bytes:
    """`data` with one to eight places changed, cut out, doubled or cut off."""
    data = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        at, how = dice.randrange(len(data)), dice.random()
        if how < 0.6:
            data[at] = dice.choice([0, 0xFF, 0x7F, 0x80, dice.randrange(256)])
        elif how < 0.75:
            del data[at : at + dice.randint(1, 20)]
        elif how < 0.9:
            data[at:at] = data[at : at + dice.randint(1, 40)]
        else:
            del data[dice.randrange(len(data)) :]
        data = data or bytearray(b"\xff")
    return bytes(data)


def decoder_pid(pool) -> int | None:
    """The process of a pool of one; None when it was ended."""
    return next((child._process.pid for child in pool._crew.idle if child.alive), None)


def peak_mb(pool) -> float:
    """The most memory that process ever held."""
    status = Path(f"/proc/{decoder_pid(pool)}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
