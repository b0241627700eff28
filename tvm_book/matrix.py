"""Take known architectures through the whole library, and measure how each comes out.

Each network of `tvm_book.testing.models.MODELS` is converted, compiled in float, quantized, and
compiled in integers. The tests hold every one to what it reached, and a chapter prints the table.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import tvm
from torch import nn
from tvm import IRModule, relax

import tvm_book

from ._signature import bind_params
from .frontend import from_pytorch
from .quantize import QConfig, quantize
from .quantize._graph import Graph, op_name
from .quantize._layers import LAYERS
from .quantize.annotate import Annotate
from .quantize.rules.rule import leave_float
from .quantize.schemes import scheme_for
from .testing import cosine_similarity, max_abs_error, sqnr_db
from .testing.models import MODELS, ModelSpec

__all__ = ["InFloat", "ModelResult", "float_operators", "run_matrix", "run_model"]

CALIBRATION, HELD_BACK = 32, 4  # samples
CLOSE = 1e-5  # of the largest output; below, float32 sums in another order are the same result
NOT_READ = "no integer operator reads its result"
FLOAT_OPERANDS = "its operands are in float"
SKIPPED = "the configuration says so"
NO_RULE = "no rule"


class InFloat(NamedTuple):
    """Operators of one name that stay in float for one reason.

    Parameters
    ----------
    op : str
    count : int
    why : str
        Of the rule, where that says why; else one of the four reasons of this module.
    """

    op: str
    count: int
    why: str


@dataclass(frozen=True)
class ModelResult:
    """How one network came through.

    Attributes
    ----------
    name : str
    float_error, float_bound : float
        Largest difference of the compiled float network from torch, relative to the largest output,
        and what it may be: `CLOSE`, or four times the error that torch itself makes against
        float64, if that is more. Of the output that is nearest to its bound.
    cosine, sqnr_db : float
        Of the quantized network against torch in float32, on samples that did not calibrate; of
        several outputs, the worst.
    layers, int8_layers : int
        Convolutions and matrix products, and how many of them read int8.
    in_float : tuple of InFloat
        Operators that stay in float.
    seconds : dict of str to float
        By step: ``"convert"``, ``"compile float"``, ``"quantize"``, ``"compile int8"``.
    """

    name: str
    float_error: float
    float_bound: float
    cosine: float
    sqnr_db: float
    layers: int
    int8_layers: int
    in_float: tuple[InFloat, ...]
    seconds: Mapping[str, float] = field(compare=False)


def run_model(spec: ModelSpec, config: QConfig | None = None) -> ModelResult:
    """Convert, compile, quantize and compile a network, and compare both results with torch's.

    Parameters
    ----------
    spec : ModelSpec
    config : QConfig, optional
        The preset ``"accurate"`` by default.

    Returns
    -------
    ModelResult

    Raises
    ------
    UnsupportedModelError
        As `from_pytorch` does; other errors as `tvm_book.quantize.quantize` raises them.

    Examples
    --------
    >>> from tvm_book.testing.models import MODELS
    >>> result = run_model(MODELS["lstm"])
    >>> result.float_error <= result.float_bound, result.sqnr_db > 30
    (True, True)
    """
    config = QConfig(preset="accurate") if config is None else config
    seconds: dict[str, float] = {}
    model, samples = spec.build(), spec.sample(seed=1, count=HELD_BACK)
    wanted = _outputs(_torch(model), samples)
    exact = _outputs(_torch(spec.build().double()), [_double(sample) for sample in samples])

    mod, params = _timed(seconds, "convert", from_pytorch, model, list(spec.inputs))
    run = _timed(seconds, "compile float", tvm_book.compile, mod, params=params)
    error, bound = _float_error(wanted, exact, _outputs(run, samples))

    calibration = spec.sample(seed=0, count=CALIBRATION)
    qmod = _timed(seconds, "quantize", quantize, mod, params, calibration, config)
    qrun = _timed(seconds, "compile int8", tvm_book.compile, qmod)
    pairs = list(zip(wanted, _outputs(qrun, samples), strict=True))
    layers = _layer_types(mod).total()
    return ModelResult(
        name=spec.name,
        float_error=error,
        float_bound=bound,
        cosine=min(cosine_similarity(a, b) for a, b in pairs),
        sqnr_db=min(sqnr_db(a, b) for a, b in pairs),
        layers=layers,
        int8_layers=layers - _layer_types(qmod)["float32"],
        in_float=float_operators(bind_params(mod, params), config),
        seconds=seconds,
    )


def run_matrix(
    models: Mapping[str, ModelSpec] = MODELS, config: QConfig | None = None
) -> Iterator[ModelResult]:
    """Run one network after the other; see `run_model`.

    Examples
    --------
    >>> [result.name for result in run_matrix({"lstm": MODELS["lstm"]})]
    ['lstm']
    """
    return (run_model(spec, config) for spec in models.values())


def float_operators(mod: IRModule, config: QConfig) -> tuple[InFloat, ...]:
    """Say which operators a configuration leaves in float, and why.

    Parameters
    ----------
    mod : IRModule
        In float, with its parameters bound.
    config : QConfig
        Of the scheme ``"affine"``; that of Relay marks its integers in another way.

    Returns
    -------
    tuple of InFloat
        In the order in which the network first uses them.

    Examples
    --------
    >>> from tvm import relax
    >>> x = relax.Var("x", relax.TensorType((1, 4), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     y = builder.emit(relax.op.matmul(x, relax.const(np.eye(4, dtype="float32"))))
    ...     _ = builder.emit_func_output(builder.emit(relax.op.tanh(y)))
    >>> float_operators(builder.get(), QConfig(preset="accurate"))
    (InFloat(op='tanh', count=1, why='no integer operator reads its result'),)
    """
    scheme = scheme_for(config)
    annotate = Annotate(tvm.transform.Sequential(scheme.prepare(config))(mod), scheme, config)
    annotate.run()
    found: Counter[tuple[str, str]] = Counter()
    for var in annotate.graph.post_order():
        name = op_name(annotate.graph.bindings[var])
        if name and _is_float(var) and annotate[var].kind is None:
            found[name.removeprefix("relax."), _why(annotate, var)] += 1
    return tuple(InFloat(op, count, why) for (op, why), count in found.items())


def _is_float(var: relax.Var) -> bool:
    return isinstance(var.ty, relax.TensorType) and str(var.ty.dtype) == "float32"


def _why(annotate: Annotate, var: relax.Var) -> str:
    expr = annotate.graph.bindings[var]
    rule = annotate.scheme.rule_for(expr)
    if rule.annotate is leave_float:
        return rule.why or NO_RULE
    if var in annotate.skipped:
        return SKIPPED
    return FLOAT_OPERANDS if var in annotate.demand else NOT_READ


def _layer_types(mod: IRModule) -> Counter[str]:
    """Count the layers by the type of what they read; ``main`` may have been quantized or not."""
    graph = Graph(mod["main"])
    calls = (graph.bindings[var] for var in graph.post_order())
    return Counter(str(call.args[0].ty.dtype) for call in calls if op_name(call) in LAYERS)


def _timed(seconds: dict[str, float], step: str, function: Callable, *args: Any, **options: Any):
    start = time.perf_counter()
    result = function(*args, **options)
    seconds[step] = time.perf_counter() - start
    return result


def _torch(model: nn.Module) -> Callable[..., Any]:
    def run(**inputs):
        with torch.no_grad():
            return model(*map(torch.from_numpy, inputs.values()))

    return run


def _double(sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: v.astype("float64") if v.dtype == "float32" else v for k, v in sample.items()}


def _outputs(run: Callable[..., Any], samples: list) -> list[np.ndarray]:
    """Return each output for all samples in one array."""
    results = [run(**sample) for sample in samples]
    results = [r if isinstance(r, (tuple, list)) else (r,) for r in results]
    return [np.stack([np.asarray(part) for part in parts]) for parts in zip(*results, strict=True)]


def _float_error(wanted: list, exact: list, results: list) -> tuple[float, float]:
    rows = []
    for a, b, c in zip(wanted, exact, results, strict=True):
        scale = float(np.abs(a).max())
        bound = max(CLOSE, 4 * max_abs_error(a, b) / scale)
        rows.append((max_abs_error(a, c) / scale, bound))
    return max(rows, key=lambda row: row[0] / row[1])
