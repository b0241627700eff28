"""`quantize`: the passes in order, and the checks around them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import tvm
from tvm import IRModule

from .._signature import bind_params, signature
from ._dataset import check_dataset
from ._graph import Graph
from ._passes import annotate_passes, correction_passes, integer_passes
from ._unruled import operators_without_rule
from .calibrate import Calibrate, Grid, Statistics
from .calibrate._grid import simulated
from .calibrate._modes import looks_at_data
from .config import QConfig, current_qconfig
from .corrections import Corrections
from .qdq import has_grids, realize_grids
from .recipe import Recipe

__all__ = ["finish", "quantize"]


def quantize(
    mod: IRModule,
    params: Mapping[str, Any] | None = None,
    dataset: Iterable[Mapping[str, Any]] | None = None,
    config: QConfig | None = None,
    statistics: Statistics | None = None,
) -> IRModule:
    """Quantize a float model after training.

    The passes are those of Relay: prepare, partition, annotate, calibrate, realize. In Relay's
    scheme, what is done at which ``opt_level`` of the surrounding `tvm.transform.PassContext` is
    Relay's, too: from 3 on, batch norms and biases are folded so that they stay in integers.

    A model that brings its own grids (``relax.quantize`` and ``relax.dequantize``, as quantized
    ONNX models do) keeps them: nothing is calibrated, see `realize_grids`.

    Parameters
    ----------
    mod : IRModule
        With a Relax function ``main``, static shapes, no control flow. Never changed.
    params : mapping from name to array, optional
        Values of the parameters of ``main``; NumPy, torch or TVM arrays. Never changed.
    dataset : iterable of mappings from input name to array, optional
        Calibration batches, which every algorithm but ``"global_scale"`` needs: a list, or
        anything that can be gone through. A generator is kept in memory only if the data has to be
        looked at more than once.
    config : QConfig, optional
        Instead of the `current_qconfig`.
    statistics : Statistics, optional
        What `observe` saw, instead of looking at the dataset again. With a dataset beside them,
        weights are compensated and biases corrected on it; without one they are not.

    Returns
    -------
    IRModule
        With parameters bound. If nothing is to be quantized: the float module, and a warning. One
        warning names the operators that the scheme has no rule about; they stay in float. What was
        found out on the way comes with it: `Recipe.of`.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        If the module, the parameters or the dataset do not fit, or a shape is dynamic; the message
        says what to do.

    Examples
    --------
    >>> import numpy as np, tvm
    >>> from tvm import relax
    >>> x = relax.Var("x", relax.TensorType((1, 4), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     with builder.dataflow():
    ...         w = relax.const(np.eye(4, dtype="float32"))
    ...         y = builder.emit_output(relax.op.matmul(x, w))
    ...     _ = builder.emit_func_output(y)
    >>> qmod = quantize(builder.get(), config=QConfig(skip_dense_layer=False))
    >>> "int8" in qmod.script()
    True
    """
    config = current_qconfig() if config is None else config
    if not isinstance(config, QConfig):
        raise TypeError(f"config is a {type(config).__name__}; make one with qconfig(...)")
    mod = bind_params(mod, params)
    inputs, _ = signature(mod)
    if has_grids(mod):
        return Recipe.made(mod, config).attach(realize_grids(mod, config=config))
    annotated = tvm.transform.Sequential(annotate_passes(config), name="Annotate")(mod)
    if not simulated(Graph(annotated["main"])):
        warnings.warn(_nothing_to_quantize(config), UserWarning, stacklevel=2)
        return Recipe.made(mod, config).attach(mod.clone())
    if unruled := operators_without_rule(annotated, config):
        warnings.warn(unruled, UserWarning, stacklevel=2)
    batches = None
    mode = looks_at_data(config)
    if mode is not None and (dataset is not None or statistics is None):
        batches = check_dataset(dataset, inputs, mode)
        looks_again = config.bias_correction or config.weight_rounding == "compensated"
        batches = batches.repeatable() if looks_again else batches
    return finish(
        mod, annotated, config, batches, partial(Calibrate.as_pass, config, batches, statistics)
    )


def finish(
    mod: IRModule,
    annotated: IRModule,
    config: QConfig,
    batches: Iterable[Mapping[str, Any]] | None,
    calibrate: Callable[[Callable[[list[Grid]], None]], tvm.transform.Pass],
) -> IRModule:
    """Go on from an annotated module to the result, which knows its recipe.

    ``calibrate(keep)`` returns the pass that sets the grids, and that tells ``keep`` which.
    """
    grids: list[Grid] = []
    corrections: list[Corrections] = []
    passes = [
        calibrate(grids.extend),
        *correction_passes(config, batches, corrections.append),
        *integer_passes(config),
    ]
    result = tvm.transform.Sequential(passes, name="Realize")(annotated)
    return Recipe.made(mod, config, grids, *corrections).attach(result)


def _nothing_to_quantize(config: QConfig) -> str:
    reasons = []
    if config.skip_conv_layers:
        reasons.append(f"skip_conv_layers={list(config.skip_conv_layers)}")
    if config.skip_dense_layer:
        reasons.append("skip_dense_layer=True")
    if config.debug_enabled_ops is not None:
        reasons.append(f"debug_enabled_ops={list(config.debug_enabled_ops)}")
    excluded = " and ".join(reasons)
    return "nothing was quantized, the module stays in float" + (
        f"; {excluded} may exclude its layers" if excluded else ": no rule covers its operators"
    )
