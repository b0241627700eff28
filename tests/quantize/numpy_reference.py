"""Run a quantized Relax module in NumPy, one operator after the other.

Integers are computed exactly and wrapped to the operator's type; float32 sums run in index order,
as the compiled loops do, so that results can be compared bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from tvm import IRModule, relax
from tvm.ir import GenericConst

from tvm_book.quantize._graph import Graph, op_name, operands, to_numpy
from tvm_book.quantize.numerics import round_half_away

__all__ = ["evaluate"]


def evaluate(mod: IRModule, *inputs: np.ndarray) -> np.ndarray | tuple:
    """Return what ``main`` computes; several outputs as a flat tuple."""
    graph = Graph(mod["main"])
    values = dict(zip(graph.params, inputs, strict=True))

    def read(leaf):
        return to_numpy(leaf) if isinstance(leaf, GenericConst) else values[leaf]

    for var in graph.post_order():
        expr = graph.bindings[var]
        args = [read(leaf) for leaf in operands(expr)]
        with np.errstate(all="ignore"):
            value = np.asarray(OPERATORS[op_name(expr)](expr, *args))
        assert value.shape == tuple(int(extent) for extent in var.ty.shape), expr
        assert str(value.dtype) == str(var.ty.dtype), expr
        values[var] = value
    outputs = tuple(read(leaf) for leaf in operands(graph.output))
    return outputs if isinstance(graph.output, relax.Tuple) else outputs[0]


def _integers(values) -> list[int]:
    return [int(value) for value in values]


def _wide(x: np.ndarray) -> np.ndarray:
    """Integers in 64 bits, where no sum here overflows; floats as they are."""
    return x if x.dtype.kind == "f" else x.astype(np.int64)


def _result_type(call, x: np.ndarray) -> str:
    return str(call.attrs.out_dtype or x.dtype)


def _cast(x: np.ndarray, dtype: str) -> np.ndarray:
    if x.dtype.kind == "f" and np.dtype(dtype).kind == "i":
        x = x.astype(np.int64)  # truncates
    return x.astype(dtype)  # wraps


def _windows(x, kernel, strides, dilation):
    """Per kernel position: the input that it meets at every output position (last axes)."""
    axes = len(kernel)
    extents = [
        (size - (k - 1) * d - 1) // s + 1
        for size, k, s, d in zip(x.shape[-axes:], kernel, strides, dilation, strict=True)
    ]
    for position in product(*map(range, kernel)):
        slices = [
            slice(p * d, p * d + (extent - 1) * s + 1, s)
            for p, d, s, extent in zip(position, dilation, strides, extents, strict=True)
        ]
        yield position, x[(..., *slices)]


def _pad(x, padding, value):
    """Pad the last axes by (all befores, all afters)."""
    axes = len(padding) // 2
    pairs = list(zip(padding[:axes], padding[axes:], strict=True))
    return np.pad(x, [(0, 0)] * (x.ndim - axes) + pairs, constant_values=value)


def _conv(call, x, w):
    attrs = call.attrs
    dtype, groups = _result_type(call, x), int(attrs.groups)
    x, w = _pad(_wide(x), _integers(attrs.padding), 0), _wide(w)
    options = _integers(attrs.strides), _integers(attrs.dilation)
    inner, outer = w.shape[1], w.shape[0] // groups
    spatial = (1,) * (w.ndim - 2)
    parts = []
    for group in range(groups):
        kernel = w[group * outer : (group + 1) * outer]
        total = 0
        for channel in range(inner):  # sums run over channels, then over the kernel
            plane = x[:, group * inner + channel]
            for position, seen in _windows(plane, w.shape[2:], *options):
                weights = kernel[(slice(None), channel, *position)].reshape(1, -1, *spatial)
                total = total + seen[:, None] * weights
        parts.append(total)
    return _cast(np.concatenate(parts, 1), dtype)


def _matmul(call, a, b):
    dtype, a, b = _result_type(call, a), _wide(a), _wide(b)
    total = 0
    for k in range(a.shape[-1]):
        total = total + a[..., :, k, None] * b[..., None, k, :]
    return _cast(total, dtype)


def _pool(call, x, fill):
    """Padded input, its windows, and how far windows reach with ceil_mode."""
    attrs = call.attrs
    kernel, strides = _integers(attrs.pool_size), _integers(attrs.strides)
    padding, dilation = _integers(attrs.padding), _integers(attrs.dilation)
    rows, columns = _integers(call.ty.shape)[2:]
    for axis, extent in enumerate((rows, columns)):  # as far as the last window reaches
        needed = (extent - 1) * strides[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        padding[axis + 2] += max(0, needed - x.shape[axis + 2] - padding[axis] - padding[axis + 2])
    return [
        seen[..., :rows, :columns]
        for _, seen in _windows(_pad(x, padding, fill), kernel, strides, dilation)
    ]


def _max_pool(call, x):
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return np.maximum.reduce(_pool(call, x, lowest))


def _divide(total, count, dtype):
    if np.dtype(dtype).kind == "f":
        return (total / np.asarray(count, dtype)).astype(dtype)
    return (np.sign(total) * (np.abs(total) // count)).astype(dtype)


def _avg_pool(call, x):
    assert not call.attrs.ceil_mode or not any(_integers(call.attrs.padding))
    total = sum(_pool(call, _wide(x), 0))
    count = sum(_pool(call, np.ones(x.shape, np.int64), int(call.attrs.count_include_pad)))
    if call.attrs.count_include_pad and call.attrs.ceil_mode:
        count = sum(_pool(call, np.ones(x.shape, np.int64), 0))
    return _divide(total, count, str(x.dtype))


def _global_avg_pool(_call, x):
    wide = _wide(x).reshape(*x.shape[:2], -1)
    total = 0
    for index in range(wide.shape[-1]):
        total = total + wide[..., index]
    return _divide(total, wide.shape[-1], str(x.dtype)).reshape(*x.shape[:2], 1, 1)


def _clip(call, x):
    low, high = (float(bound.value) for bound in call.args[1:])
    return np.clip(x, x.dtype.type(low), x.dtype.type(high))


def _sigmoid(_call, x):
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(x.dtype)


def _shaped(call, x):
    return x.reshape([int(extent) for extent in call.ty.shape])


def _permute(call, x):
    axes = call.attrs.axes
    return np.transpose(x, None if axes is None else _integers(axes))


OPERATORS: dict[str, Callable] = {
    "relax.add": lambda call, a, b: a + b,
    "relax.multiply": lambda call, a, b: a * b,
    "relax.left_shift": lambda call, a, b: a << b,
    "relax.right_shift": lambda call, a, b: a >> b,
    "relax.round_half_away": lambda call, x: round_half_away(x),
    "relax.negative": lambda call, x: -x,
    "relax.clip": _clip,
    "relax.astype": lambda call, x: _cast(x, str(call.ty.dtype)),
    "relax.sigmoid": _sigmoid,
    "relax.matmul": _matmul,
    "relax.nn.conv1d": _conv,
    "relax.nn.conv2d": _conv,
    "relax.nn.relu": lambda call, x: np.maximum(x, x.dtype.type(0)),
    "relax.nn.max_pool2d": _max_pool,
    "relax.nn.avg_pool2d": _avg_pool,
    "relax.nn.adaptive_avg_pool2d": _global_avg_pool,
    "relax.nn.global_avg_pool2d": _global_avg_pool,
    "relax.concat": lambda call, *x: np.concatenate(x, int(call.attrs.axis)),
    "relax.reshape": _shaped,
    "relax.squeeze": _shaped,
    "relax.expand_dims": _shaped,
    "relax.permute_dims": _permute,
}
