"""Weight rounding that makes up for itself: each weight takes on the errors of those before it.

Rounding to the nearest step minimizes the error of each weight. What counts is the error of the
layer's output, ``E |(W_q - W) x|^2 = tr((W_q - W) H (W_q - W)^T)`` with ``H = E[x x^T]``. Weights
are rounded one input at a time, and what each rounding did to the output is taken back, as far as
it goes, by the weights still to come. After E. Frantar et al., "GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers", ICLR 2023, which solves the problem of
B. Hassibi and D. Stork, "Second Order Derivatives for Network Pruning", NIPS 1992.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from tvm import IRModule, relax

from ._graph import Graph, op_name, to_numpy
from ._layers import channel_axis
from .bias_correction import mean_errors
from .corrections import Correct, Corrections, on_steps, rounded_layers

__all__ = ["CompensateRounding", "compensate_layer", "compensated", "second_moments"]

MOST_INPUTS = 1152  # of one output; the work grows with their third power
MOST_POSITIONS = 16384  # of one layer whose inputs are multiplied: large images have too many
BLOCK = 32  # inputs between two updates of all weights that are still to come
DAMPING = 0.01  # of the mean diagonal, added to it: for inputs that hardly vary


class CompensateRounding(Correct):
    """The pass: move weights to the steps on which they make up for each other's rounding.

    What is left of a layer's mean error goes into its bias, at once: once weights are moved, nobody
    can tell any more what they were.

    Parameters
    ----------
    mod : IRModule
        Annotated and calibrated. Grids stay as they are.
    dataset : iterable of mappings from input name to array
        Calibration batches; the first ones are looked at.
    correct_bias : bool
    keep : callable (Corrections) -> None, optional
        Told what was found.
    """

    def __init__(
        self,
        mod: IRModule,
        dataset: Iterable[Mapping[str, np.ndarray]],
        correct_bias: bool = True,
        keep: Callable[[Corrections], None] | None = None,
    ):
        corrections = _measure(Graph(mod["main"]), dataset, correct_bias)
        if keep is not None:
            keep(corrections)
        super().__init__(mod, corrections)


def _measure(
    graph: Graph, dataset: Iterable[Mapping[str, np.ndarray]], correct_bias: bool
) -> Corrections:
    import torch

    steps: dict[relax.Var, np.ndarray] = {}

    def compensate(layer: relax.Call, values: list[dict]) -> None:
        x, weight = layer.args
        moments = second_moments(layer, [value[x] for value in values])
        if moments is not None:
            rounding = graph.bindings[weight]
            found = compensate_layer(rounding, channel_axis(layer), moments)
            steps[weight] = found
            new = torch.from_numpy(on_steps(found, to_numpy(rounding.args[1])))
            for value in values:
                value[weight] = new

    errors = mean_errors(graph, dataset, compensate, correct_bias)
    layers = rounded_layers(graph)
    weights = [graph.bindings[var].args[1] for var in layers]
    return Corrections(
        {number: steps[weight] for number, weight in enumerate(weights) if weight in steps},
        {number: errors[var] for number, var in enumerate(layers) if var in errors},
    )


def compensate_layer(rounding: relax.Call, axis: int, moments) -> np.ndarray:
    """Return the steps of a weight's rounding, whose grid is set, as `compensated` finds them."""
    weight, scale, low, high = map(to_numpy, rounding.args)
    rows = np.moveaxis(weight, axis, 0)
    spacing = scale.reshape(-1, 1) if scale.size > 1 else scale.reshape(())
    flat = rows.reshape(len(rows), -1)
    steps = compensated(flat, spacing, float(low), float(high), moments).reshape(rows.shape)
    dtype = np.min_scalar_type(-1 - int(max(-low - 1, high)))
    return np.ascontiguousarray(np.moveaxis(steps, 0, axis), dtype)


def second_moments(call: relax.Call, inputs: list):
    """Return ``E[x x^T]`` of what each output of a layer reads.

    Parameters
    ----------
    call : tvm.relax.Call
        A convolution or a product with a constant weight.
    inputs : list of torch.Tensor
        Batches of its data. Of large images every n-th position counts, about `MOST_POSITIONS`
        in all.

    Returns
    -------
    torch.Tensor of float64, shape (groups, d, d), or None
        None for layers that this does not cover: transposed ones, weights of three or more axes,
        more than `MOST_INPUTS` inputs.
    """
    columns = _COLUMNS.get(op_name(call))
    weight = [int(extent) for extent in call.args[1].ty.shape]
    size = int(np.prod(weight[1:])) if op_name(call) != "relax.matmul" else weight[-2]
    if (
        columns is None
        or size > MOST_INPUTS
        or (op_name(call) == "relax.matmul" and len(weight) > 2)
    ):
        return None
    total, count = 0.0, 0
    for x in inputs:
        rows = columns(call, x)  # (groups, d, samples)
        step = -(-rows.shape[2] * len(inputs) // MOST_POSITIONS) | 1  # odd: no column of an image
        rows = rows[:, :, ::step].double()
        total = total + rows @ rows.transpose(1, 2)
        count += rows.shape[2]
    return total / count


def _matmul_columns(_call, x):
    return x.reshape(-1, x.shape[-1]).T[None]


def _conv_columns(call, x):
    from torch.nn import functional

    attrs, spatial = call.attrs, x.ndim - 2
    kernel = [int(extent) for extent in call.args[1].ty.shape][2:]
    strides, dilation, padding = (
        [int(n) for n in getattr(attrs, name)] for name in ("strides", "dilation", "padding")
    )
    ends = zip(reversed(padding[:spatial]), reversed(padding[spatial:]), strict=True)
    x = functional.pad(x, [n for pair in ends for n in pair])
    if spatial == 1:
        x, kernel, strides, dilation = x[:, :, None], [1, *kernel], [1, *strides], [1, *dilation]
    columns = functional.unfold(x, kernel, dilation=dilation, stride=strides)
    groups = int(attrs.groups)
    return columns.reshape(len(x), groups, -1, columns.shape[-1]).permute(1, 2, 0, 3).flatten(2)


_COLUMNS = {
    "relax.nn.conv1d": _conv_columns,
    "relax.nn.conv2d": _conv_columns,
    "relax.matmul": _matmul_columns,
}


def compensated(
    weight: np.ndarray, scale: np.ndarray, low: float, high: float, moments
) -> np.ndarray:
    """Round a weight so that the output of its layer changes least.

    Parameters
    ----------
    weight : numpy.ndarray of float32, shape (outputs, d)
        Outputs of one group after the other.
    scale : numpy.ndarray, shape (outputs, 1) or ()
    low, high : float
        Ends of the grid, in steps.
    moments : torch.Tensor of float64, shape (groups, d, d)

    Returns
    -------
    numpy.ndarray of float64, shape (outputs, d)
        Whole numbers: steps of the scale.

    Examples
    --------
    Two inputs that are always equal: the second weight takes back what the first one lost.

    >>> import torch
    >>> moments = torch.ones(1, 2, 2, dtype=torch.float64)
    >>> compensated(np.array([[1.4, 1.4]]), np.array(1.0), -127, 127, moments)
    array([[1., 2.]])
    """
    import torch

    groups, size, _ = moments.shape
    diagonal = moments.diagonal(dim1=1, dim2=2)
    damping = DAMPING * diagonal.mean(dim=1, keepdim=True) + 1e-12
    factor = torch.linalg.cholesky(moments + torch.diag_embed(damping.expand(-1, size)))
    inverse = torch.cholesky_inverse(factor)
    # row i: how the inputs after i make up for an error in input i
    upper = torch.linalg.cholesky(inverse, upper=True).numpy()
    upper = upper / upper.diagonal(axis1=1, axis2=2)[:, :, None]
    steps = np.array(weight / scale, np.float64).reshape(groups, -1, size)
    for start in range(0, size, BLOCK):
        block = slice(start, min(start + BLOCK, size))
        errors = _round_block(steps[:, :, block], upper[:, block, block], low, high)
        # contiguous, or NumPy would multiply without BLAS
        rest = np.ascontiguousarray(upper[:, block, block.stop :])
        steps[:, :, block.stop :] -= errors @ rest
    return steps.reshape(weight.shape)


def _round_block(steps: np.ndarray, upper: np.ndarray, low: float, high: float) -> np.ndarray:
    """Round a block of inputs in place, one after the other; return what each rounding changed."""
    errors = np.empty_like(steps)
    for i in range(steps.shape[2]):
        rounded = np.clip(np.rint(steps[:, :, i]), low, high)
        errors[:, :, i] = steps[:, :, i] - rounded
        steps[:, :, i] = rounded
        steps[:, :, i + 1 :] -= errors[:, :, i, None] * upper[:, i, None, i + 1 :]
    return errors
