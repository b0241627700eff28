"""What is known of a quantized layer after data went through it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["LayerError", "LayerErrors", "Operand"]


@dataclass(frozen=True)
class Operand:
    """A rounded tensor that a layer reads, and how well its grid fits what was seen there.

    Attributes
    ----------
    kind : str
        ``"input"``, ``"symmetric"``, ``"weight"``, ``"activation"`` or ``"table"``, as of a
        `tvm_book.quantize.calibrate.Grid`.
    source : str
        Name of the layer, operator or input that makes the tensor; ``"const"`` for weights.
    scale : numpy.ndarray of float32
        0-d, or of a shape that broadcasts to the tensor's.
    zero_point : int
        The stored integer that stands for 0.
    low, high : int
        Ends of the grid as whole steps around zero; stored are these plus ``zero_point``.
    minimum, maximum : float
        Of the float values seen.
    saturated : float
        Share of the values that lie beyond the ends of the grid, by more than half a step.
    used : float
        Share of the grid's steps that lie between the smallest and the largest rounded value.
    channels : numpy.ndarray of float64, shape (c,)
        The largest magnitude seen in each channel: of a weight, its output channels; of an
        activation, axis 1, or the last axis if that is where a matrix product reads it.
    calibrated : bool
        Whether the grid was chosen from data (an activation's) or from the tensor itself.
    """

    kind: str
    source: str
    scale: np.ndarray = field(compare=False)
    zero_point: int
    low: int
    high: int
    minimum: float
    maximum: float
    saturated: float
    used: float
    channels: np.ndarray = field(compare=False, repr=False)
    calibrated: bool = True


@dataclass(frozen=True)
class LayerError:
    """The error of one quantized layer: an operator that reads at least one rounded tensor.

    Attributes
    ----------
    name : str
        Path of the layer in the source model; where that is unknown or not unique, the operator
        and its number in visiting order, such as ``"relax.matmul@3"``.
    selector : str
        By which ``QConfig.skip`` and ``QConfig.calibrate_layers`` mean this layer.
    op : str
        Such as ``"conv2d"``.
    path : str
        Of the source model's module, ``""`` if it is not known.
    shape : tuple of int
        Of the result.
    isolated_sqnr_db, isolated_cosine : float
        Result of this layer with its operands rounded, all before it in float, against float.
    accumulated_sqnr_db, accumulated_cosine : float
        Result of this layer in the quantized model, against float.
    operands : tuple of Operand
        Left to right.
    accumulator : float
        Largest magnitude of the int32 sums, as a share of ``2**31``; NaN where the result is no sum
        of integers.
    reads : tuple of int
        Positions, in the list of layers, of those whose results reach this one without another
        layer between; -1 stands for an input of the model.
    operations : int
        Multiplications of one sample; 0 for what is no convolution and no product.
    """

    name: str
    selector: str
    op: str
    path: str
    shape: tuple[int, ...]
    isolated_sqnr_db: float
    isolated_cosine: float
    accumulated_sqnr_db: float
    accumulated_cosine: float
    operands: tuple[Operand, ...]
    accumulator: float
    reads: tuple[int, ...]
    operations: int = 0


@dataclass(frozen=True)
class LayerErrors:
    """All quantized layers of a model, in the order in which they run.

    Attributes
    ----------
    layers : tuple of LayerError
    output_sqnr_db, output_cosine : float
        Of what ``main`` returns; of several outputs, the worst.
    outputs : tuple of int
        Positions of the layers whose results reach the output without another layer between; -1
        stands for an input of the model.
    samples : int
        How many were looked at.
    """

    layers: tuple[LayerError, ...]
    output_sqnr_db: float
    output_cosine: float
    outputs: tuple[int, ...]
    samples: int
