"""Transcendental functions of float32 vectors: range reduction, then a polynomial or a quotient.

Products and sums are left for LLVM to contract where the CPU has a fused multiply-add; the
accuracy does not depend on it. Limits stand first in `T.max` and `T.min`, which return their second
operand if one is no number: so NaN passes through.

The coefficients come from ``scripts/fit_functions.py``. Splitting the logarithm of 2 follows Cody
and Waite; the relative error stays below 1.2e-7 for `exp` and 1e-6 for all.

References
----------
W. J. Cody and W. Waite, "Software Manual for the Elementary Functions", Prentice-Hall 1980.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T

__all__ = ["FUNCTIONS", "exp", "exp_normal", "fence", "held", "log_normal", "splat"]

Expr = Any

# Added to a float of at most 22 bits, it leaves the nearest integer in the low bits.
MAGIC = 1.5 * 2**23
MAGIC_BITS = 0x4B400000
LOG2_E = 1 / math.log(2)
LN2_HIGH = 355 / 512  # nine bits, so that a product with an exponent is exact
LN2_LOW = math.log(2) - LN2_HIGH
SQRT_HALF_BITS = 0x3F3504F3
SMALLEST_NORMAL = 2.0**-126
# G. Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017: the fixed point.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805

EXP = (0.49999997, 0.16666542, 0.041667204, 0.008366706, 0.0013882485)
LOG = (0.3333333, -0.25000837, 0.20001292, -0.16622765)
LOG += (0.14199696, -0.1316419, 0.12779106, -0.07646083)
ERF = (1.1283791, 0.19040227, 0.0527482, 0.0037654487, 0.00028488087, 2.050142e-06)
ERF_UNDER = (1.0, 0.50207233, 0.11410741, 0.014968875, 0.0011624986, 3.8092192e-05)
MILLS = (0.5, 0.4372542, 0.18246433, 0.04037342, 0.004077747)
MILLS_UNDER = (1.0, 1.6723933, 1.1993009, 0.46743572, 0.101207964, 0.010221266)


def splat(value: float, dtype: str, lanes: int) -> Expr:
    """Return a vector of equal constants."""
    scalar = tirx.const(value, dtype)
    return scalar if lanes == 1 else T.broadcast(scalar, lanes)


def fence(value: Expr, lanes: int) -> Expr:
    """Keep LLVM from contracting a float32 product with what follows."""
    return T.call_llvm_pure_intrin(_vector("float32", lanes), "llvm.arithmetic.fence", value)


def held(value: Expr, lanes: int) -> Expr:
    """Return a float32 value by way of memory, which LLVM removes.

    TVM looks through names at the expressions that they stand for: it would cancel additions that
    are there to round, and take exponentially long for names that are used often.
    """
    memory = T.alloc_buffer((lanes,), "float32", scope="local")
    where = [0 if lanes == 1 else T.ramp(0, 1, lanes)]
    T.buffer_store(memory, value, where)
    return T.bind(memory[where[0]])


def _vector(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def _polynomial(coefficients: Sequence[float], x: Expr) -> Expr:
    """Horner's scheme; coefficients from the constant on."""
    value: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = T.bind(value * x + coefficient)
    return value


def _between(low: float, high: float, x: Expr, lanes: int) -> Expr:
    low, high = splat(low, "float32", lanes), splat(high, "float32", lanes)
    return T.bind(T.max(low, T.min(high, x)))


def _reduce(x: Expr, lanes: int) -> tuple[Expr, Expr]:
    """Return integers ``n`` and ``exp(x - n log 2) - 1``."""
    shifted = held(x * LOG2_E + MAGIC, lanes)
    whole = T.bind(shifted - MAGIC)
    n = T.bind(T.reinterpret(_vector("int32", lanes), shifted) - MAGIC_BITS)
    r = T.bind(x - whole * LN2_HIGH)
    r = T.bind(r - whole * LN2_LOW)
    return n, T.bind(r + r * r * _polynomial(EXP, r))


def _power_of_two(n: Expr, lanes: int) -> Expr:
    """Return ``2**n`` for -126 <= n <= 127, and 0 for -127."""
    bits = T.shift_left(n + 127, splat(23, "int32", lanes))
    return T.bind(T.reinterpret(_vector("float32", lanes), bits))


def exp(x: Expr, lanes: int) -> Expr:
    """Return the exponential, subnormal results among them."""
    n, rest = _reduce(_between(-104.0, 89.0, x, lanes), lanes)
    # 2**n itself may be out of range.
    half = T.bind(T.shift_right(n, splat(1, "int32", lanes)))
    scale = _power_of_two(half, lanes)
    return T.bind((rest * scale + scale) * _power_of_two(n - half, lanes))


def exp_normal(x: Expr, lanes: int) -> Expr:
    """Return the exponential for x <= 88; results that are not normal are 0. Cheaper."""
    n, rest = _reduce(_between(-88.02, 88.02, x, lanes), lanes)
    scale = _power_of_two(n, lanes)
    return T.bind(rest * scale + scale)


def log_normal(x: Expr, lanes: int) -> Expr:
    """Return the logarithm of normal positive numbers."""
    bits = T.bind(T.reinterpret(_vector("int32", lanes), x))
    exponent = T.bind(T.shift_right(bits - SQRT_HALF_BITS, splat(23, "int32", lanes)))
    bits = T.bind(bits - T.shift_left(exponent, splat(23, "int32", lanes)))
    m = T.bind(T.reinterpret(_vector("float32", lanes), bits) - 1.0)
    power = T.bind(T.cast(exponent, _vector("float32", lanes)))
    square = T.bind(m * m)
    rest = T.bind(_polynomial(LOG, m) * m * square + power * LN2_LOW - square * 0.5)
    return T.bind(power * LN2_HIGH + (m + rest))


def _log(x: Expr, lanes: int) -> Expr:
    def floats(value: float) -> Expr:
        return splat(value, "float32", lanes)

    tiny = x < SMALLEST_NORMAL
    normal = held(tirx.Select(tiny, x * 2.0**23, x), lanes)
    value = log_normal(normal, lanes) - tirx.Select(tiny, floats(23 * math.log(2)), floats(0.0))
    zero = tirx.EQ(x, floats(0.0))
    edge = tirx.Select(zero, floats(-math.inf), floats(math.nan))
    return tirx.Select(x > 0.0, tirx.Select(x < math.inf, value, x), edge)


def _tanh(x: Expr, lanes: int) -> Expr:
    # With e = exp(2x) - 1, which has all its digits near 0 too, it is e / (e + 2).
    n, rest = _reduce(_between(-9.1, 9.1, x, lanes) * 2.0, lanes)
    scale = _power_of_two(n, lanes)
    e = T.bind(rest * scale + (scale - 1.0))
    return e / (e + 2.0)


def _sigmoid(x: Expr, lanes: int) -> Expr:
    return splat(1.0, "float32", lanes) / (exp_normal(-x, lanes) + 1.0)


def _erf(x: Expr, lanes: int) -> Expr:
    x = _between(-3.92, 3.92, x, lanes)
    square = T.bind(x * x)
    return x * _polynomial(ERF, square) / _polynomial(ERF_UNDER, square)


def _silu(x: Expr, lanes: int) -> Expr:
    # Below -104 the result is 0 whatever x is.
    return T.max(splat(-104.0, "float32", lanes), x) / (exp_normal(-x, lanes) + 1.0)


def _gelu(x: Expr, lanes: int) -> Expr:
    # max(x, 0) - a Phi(-a), a = |x|: unlike 1 + erf(x), it has all digits for negative x.
    a = _between(0.0, 14.0, T.fabs(x), lanes)
    tail = _polynomial(MILLS, a) / _polynomial(MILLS_UNDER, a)
    tail = T.bind(tail * a * exp_normal(a * a * -0.5, lanes))
    return T.max(splat(0.0, "float32", lanes), x) - tail


def _gelu_tanh(x: Expr, lanes: int) -> Expr:
    # (1 + tanh(u)) / 2 = sigmoid(2u)
    x = T.bind(T.max(splat(-20.0, "float32", lanes), x))
    twice = x * (x * x * 0.044715 + 1.0) * (2 * math.sqrt(2 / math.pi))
    return x / (exp_normal(-twice, lanes) + 1.0)


def _softplus(x: Expr, lanes: int) -> Expr:
    # log(1 + exp(x)), without the exponential of a large number.
    e = exp_normal(T.fabs(x) * -1.0, lanes)
    return T.max(splat(0.0, "float32", lanes), x) + log_normal(held(e + 1.0, lanes), lanes)


def _selu(x: Expr, lanes: int) -> Expr:
    n, rest = _reduce(_between(-88.0, 0.0, x, lanes), lanes)
    scale = _power_of_two(n, lanes)
    below = T.bind((rest * scale + (scale - 1.0)) * (SELU_SCALE * SELU_ALPHA))
    return tirx.Select(x > 0.0, x * SELU_SCALE, below)


FUNCTIONS: dict[str, Callable[[Expr, int], Expr]] = {
    "relax.exp": exp,
    "relax.log": _log,
    "relax.tanh": _tanh,
    "relax.sigmoid": _sigmoid,
    "relax.erf": _erf,
    "relax.nn.silu": _silu,
    "relax.nn.gelu": _gelu,
    "relax.nn.gelu_tanh": _gelu_tanh,
    "relax.nn.selu": _selu,
    "relax.nn.softplus": _softplus,
    "relax.sqrt": lambda x, lanes: T.sqrt(x),
    "relax.rsqrt": lambda x, lanes: splat(1.0, "float32", lanes) / T.sqrt(x),
}
