"""`layerwise`: measure, and report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tvm import IRModule

from ..quantize import Recipe, layer_errors
from ._layer_report import LayerReport

__all__ = ["layerwise"]


def layerwise(
    mod: IRModule,
    qmod: IRModule | None = None,
    data: Iterable[Mapping[str, Any]] | None = None,
    params: Mapping[str, Any] | None = None,
    recipe: Recipe | None = None,
) -> LayerReport:
    """Report how far each layer of a quantized model is from float, and why.

    Parameters
    ----------
    mod : tvm.IRModule
        The float model that was quantized.
    qmod : tvm.IRModule
        What `tvm_book.quantize.quantize` made of it.
    data : iterable of mappings from input name to array
        Gone through once; better not the data that calibrated.
    params : mapping from name to array, optional
        Values of the parameters of ``main``.
    recipe : tvm_book.quantize.Recipe, optional
        Instead of ``qmod``.

    Returns
    -------
    LayerReport

    Raises
    ------
    TypeError, ValueError
        As of `tvm_book.quantize.layer_errors`.

    Examples
    --------
    >>> import numpy as np
    >>> from tvm import relax
    >>> from tvm_book import quantize
    >>> x = relax.Var("x", relax.TensorType((1, 2), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.matmul(x, relax.const(np.eye(2, dtype="float32"))))
    ...     _ = builder.emit_func_output(y)
    >>> data = [{"x": np.array([[1, -2.55]], "float32")}]
    >>> config = quantize.QConfig(preset="accurate", calibrate_mode="minmax")
    >>> qmod = quantize.quantize(builder.get(), dataset=data, config=config)
    >>> report = layerwise(builder.get(), qmod, data)
    >>> [(row["layer"], row["finding"]) for row in report.rows()]
    [('relax.matmul@0', 'fine')]
    """
    return LayerReport(layer_errors(mod, qmod, data, params, recipe))
