"""How far may the true share lie from the one we counted?

Exact (Clopper-Pearson) bounds, without scipy: the binomial tail is a regularised incomplete beta function (continued
fraction, Lentz's method), and a bound is found on it by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

STEPS = 60  # of bisection: 2**-60 is below what a float can tell apart here
TINY = 1e-300


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval for k successes of n; (0, 1) when nothing was counted."""
    alpha = (1 - confidence) / 2
    return lower_bound(k, n, alpha), upper_bound(k, n, alpha)


@lru_cache(maxsize=4096)
def lower_bound(k: int, n: int, delta: float) -> float:
    """The share that k or more of n would still be seen under with probability `delta`: one-sided, exact."""
    _check(k, n)
    if k == 0:
        return 0.0
    return _solve(lambda p: tail(k, n, p) < delta)


def upper_bound(k: int, n: int, delta: float) -> float:
    """One-sided exact upper bound."""
    _check(k, n)
    return 1.0 - lower_bound(n - k, n, delta) if n else 1.0


@lru_cache(maxsize=4096)
def enough(errors: int, promise: float, delta: float) -> int:
    """How many must be counted, with so many errors among them, to prove that at least `promise` are right?

    59 without an error for 95 % (delta .05); 93 with one.
    """
    low, high = errors, max(1, 2 * errors)
    while not _proves(errors, high, promise, delta):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _proves(errors, middle, promise, delta) else (middle, high)
    return high


def tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X binomial(n, p)."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    return incomplete_beta(k, n - k + 1, p)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # there the fraction converges slowly: use the mirror image
        return 1.0 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _not_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return result


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


def _proves(errors: int, n: int, promise: float, delta: float) -> bool:
    return tail(n - errors, n, promise) <= delta


def _solve(is_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def _check(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a share")
