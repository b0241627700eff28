"""Moving a quantized value to another scale, the way Relay did it.

Ties depend on the way taken: shifts round them up, fixed-point multiplications as
``QConfig.rounding`` says, and only the step from float rounds them away from zero.
Follows ``src/relay/quantize/realize.cc``.
"""

from __future__ import annotations

import numpy as np
from tvm import relax

from ...numerics import fixed_point
from ...realize import Quantized, Realize

__all__ = ["narrow_to_grid", "quantize_float", "rescale", "unify"]

ONE = np.float32(1)
LARGEST_INT32 = np.nextafter(np.float32(2**31), ONE)  # among the float32 numbers
MOST_BITS = 31  # shifted further, nothing of an integer is left


def _power_of_two(factor: np.float32) -> int | None:
    """Return log2 of the factor if it is a whole number in float32, which Relay tested."""
    exponent = np.log2(factor)
    return int(exponent) if exponent == np.trunc(exponent) else None


def quantize_float(
    r: Realize, x: relax.Expr, scale: np.float32, low: float, high: float
) -> Quantized:
    """``clip(round(x * (1 / scale)))``: from float onto a grid, not yet cast to an integer."""
    steps = r.arith.round(r.arith.multiply(x, ONE / scale))
    # float32 rounds the end of the 32-bit grid up to 2**31, which int32 does not hold: in Relay the
    # conversion was undefined there. The other end, -2**31, is as Relay had it.
    high = min(high, LARGEST_INT32)
    return Quantized(r.arith.clip(steps, low, high), scale, "float32")


def narrow_to_grid(
    r: Realize, x: Quantized, scale: np.float32, low: float, high: float
) -> Quantized:
    """Requantize an integer value: same scale, shift, or fixed-point multiplication; then clip."""
    arith, activation = r.arith, r.config.dtype_activation
    if scale == x.scale:
        return x._replace(expr=arith.clip(x.expr, low, high))
    bits = _power_of_two(scale / x.scale)
    if bits is None:
        product = multiply_fixed_point(r, x.expr, x.scale / scale)
        return Quantized(arith.cast(arith.clip(product, low, high), x.dtype), scale, x.dtype)
    data = arith.cast(x.expr, activation)  # Relay failed on narrower data; widened, it is right
    if bits > MOST_BITS:
        data = arith.multiply(data, 0)
    elif bits < 0:
        data = arith.left_shift(data, -bits)
    else:
        if r.config.round_for_shift:
            data = arith.add(data, 1 << (bits - 1))
        data = arith.right_shift(data, bits)
    return Quantized(arith.clip(data, low, high), scale, activation)


def multiply_fixed_point(r: Realize, x: relax.Expr, factor: np.float32) -> relax.Expr:
    """Multiply by ``factor`` in 64-bit integers; the result has 32 bits.

    The same computation as `tvm_book.quantize.numerics.fixed_point_multiply`.
    """
    arith = r.arith
    multiplier, exponent = fixed_point(float(factor))
    if exponent < -MOST_BITS - 1:
        return arith.multiply(arith.cast(x, "int32"), 0)
    left, right = max(exponent, 0), 31 + max(-exponent, 0)
    product = arith.cast(x, "int64")
    if left:
        product = arith.left_shift(product, left)
    product = arith.multiply(product, multiplier)
    half = 1 << (right - 1)
    if r.config.rounding == "TONEAREST":
        # half away from zero: the addend is one less for negative products
        product = arith.add(product, arith.right_shift(product, 63))
    product = arith.add(product, half)
    return arith.cast(arith.right_shift(product, right), "int32")


def rescale(r: Realize, x: Quantized, scale: np.float32, dtype: str) -> relax.Expr:
    """Express ``x`` in steps of ``scale``, usually a finer one, within ``dtype``; nothing clips."""
    data, factor = r.arith.cast(x.expr, dtype), x.scale / scale
    if factor == 1:
        return data
    bits = _power_of_two(factor)
    if bits is not None and bits > 0:
        return r.arith.left_shift(data, bits)
    if factor == np.trunc(factor) and factor <= np.iinfo(dtype).max:
        return r.arith.multiply(data, int(factor))
    return r.arith.cast(multiply_fixed_point(r, data, factor), dtype)


def unify(
    r: Realize, values: list[Quantized], scale: np.float32, dtype: str, narrowed: list[bool]
) -> list[relax.Expr]:
    """Bring values to one scale and dtype; ``narrowed`` ones pass through ``dtype_input``."""
    unified = []
    for value, narrow in zip(values, narrowed, strict=True):
        if narrow and value.dtype == dtype:
            value = value._replace(expr=r.arith.cast(value.expr, r.config.dtype_input))
        unified.append(rescale(r, value, scale, dtype))
    return unified
