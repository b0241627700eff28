"""Compare what this library computes with what Relay's quantizer computed.

The recorded cases (`tvm_book.testing.golden`) go through the importer, the quantizer and the
compiler, and the outputs are compared with Relay's. The tests do so for all of them, and a chapter
prints the table.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import IRModule, relax

from . import backend
from ._signature import bind_params
from .frontend import from_pytorch
from .quantize import QConfig, ops, qconfig
from .quantize._graph import Graph, Rebuilder, op_name
from .quantize._passes import annotate_passes, integer_passes
from .quantize._pipeline import quantize
from .quantize.calibrate import Grid, SetGrids
from .quantize.calibrate._grid import simulated
from .testing.golden import GoldenCase

__all__ = ["Outcome", "check_case", "import_case", "quantize_case", "summary"]

CLOSE = 1e-6  # of the output's maximum; the golden README measured at most 6.3e-7
NEAR_TIE = 1e-4  # steps; below, another order of float32 sums may round a value the other way
KINDS = {1: "input", 2: "weight", 3: "activation"}


@dataclass(frozen=True)
class Outcome:
    """How one recorded configuration compares.

    Attributes
    ----------
    case, key : str
        Of the record.
    exactness : str
        What the record promises: ``"exact"`` (equal bits) or ``"float"`` (equal but for the order
        of float sums).
    calibrate_mode : str
    equal : bool
        All output bits are equal.
    error : float
        Largest difference, relative to the largest recorded output.
    share_off : float
        Share of elements that differ by more than `CLOSE`.
    holds : bool
        Whether the promise is kept.
    """

    case: str
    key: str
    exactness: str
    calibrate_mode: str
    equal: bool
    error: float
    share_off: float
    holds: bool


class _UseGlobalPool(Rebuilder):
    """Torch has no global pooling of its own; Relay had, and treated it in its own way."""

    def visit(self, var, expr):
        """Rewrite one binding."""
        if op_name(expr) != "relax.nn.adaptive_avg_pool2d":
            return self.copy(expr)
        return self.builder.emit(ops.global_avg_pool2d(self[expr.args[0]]))


def import_case(case: GoldenCase) -> tuple[IRModule, dict[str, tvm.runtime.Tensor]]:
    """Import the network of a case.

    Parameters
    ----------
    case : GoldenCase

    Returns
    -------
    mod : IRModule
    params : dict
        As `tvm_book.frontend.from_pytorch` returns them.
    """
    mod, params = from_pytorch(case.torch_module(), [("data", case.data.shape)])
    if any(node["op"] == "global_avg_pool2d" for node in case.graph["nodes"]):
        mod = _UseGlobalPool(mod).run()
    return mod, params


def recorded_grids(case: GoldenCase, key: str) -> list[Grid]:
    """Return the grids that Relay used for a configuration, in visiting order."""
    rows = case.expected[f"scales_{key}"]
    return [Grid(KINDS[int(kind)], *map(np.float32, numbers)) for kind, *numbers in rows]


def quantize_case(
    case: GoldenCase,
    key: str,
    mod: IRModule,
    params: dict[str, tvm.runtime.Tensor],
    recorded_scales: bool = False,
) -> IRModule:
    """Quantize an imported case the way one of its configurations says.

    Parameters
    ----------
    case : GoldenCase
    key : str
        Which configuration.
    mod, params
        From `import_case`.
    recorded_scales : bool
        Take the scales that Relay found instead of calibrating.

    Returns
    -------
    IRModule
    """
    record = case.configs[key]
    config = qconfig(**record["qconfig"])
    with tvm.transform.PassContext(opt_level=record["opt_level"]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nothing was quantized")  # some cases are about that
        if not recorded_scales:
            return quantize(mod, params, case.dataset, config)
        return _with_grids(bind_params(mod, params), config, recorded_grids(case, key))


def _with_grids(mod: IRModule, config: QConfig, grids: list[Grid]) -> IRModule:
    annotated = tvm.transform.Sequential(annotate_passes(config))(mod)
    if not simulated(Graph(annotated["main"])):
        return mod
    passes = [SetGrids.as_pass(grids), *integer_passes(config)]
    return tvm.transform.Sequential(passes)(annotated)


def comparable(case: GoldenCase) -> list[str]:
    """List the configurations whose output is defined."""
    return [key for key, record in case.configs.items() if record["exactness"] != "undefined"]


def check_case(
    case: GoldenCase, keys: Sequence[str] | None = None, optimize: bool = False
) -> list[Outcome]:
    """Quantize, compile and run configurations of a case, and compare the outputs.

    Scales that Relay calibrated on data are taken from the record: their last bits depend on the
    order in which a convolution adds.

    Parameters
    ----------
    case : GoldenCase
    keys : sequence of str, optional
        Which configurations; all that are `comparable` by default.
    optimize : bool
        Compile as `tvm_book.compile` does. The default lowers each operator for itself and has
        LLVM optimize nothing, which takes a tenth of the time and shows the same integers.

    Returns
    -------
    list of Outcome
    """
    mod, params = import_case(case)
    keys = comparable(case) if keys is None else keys
    modules = {
        key: quantize_case(case, key, mod, params, _mode(case, key) != "global_scale")
        for key in keys
    }
    return [_compare(case, key, out) for key, out in _run_all(modules, case.data, optimize).items()]


def _mode(case: GoldenCase, key: str) -> str:
    return case.configs[key]["qconfig"].get("calibrate_mode", "global_scale")


def _run_all(
    modules: dict[str, IRModule], data: np.ndarray, optimize: bool
) -> dict[str, np.ndarray]:
    """Compile everything in one go, which shares the loops that are alike, and run it."""
    together, functions = relax.BlockBuilder(), {}
    for key, mod in modules.items():
        if len(mod.get_global_vars()) > 1:  # split by partition_conversions: on its own
            functions[key] = _machine(mod, optimize)["main"]
        else:
            function = relax.utils.copy_with_new_vars(mod["main"])
            together.add_func(function.with_attr("global_symbol", f"f_{key}"), f"f_{key}")
    if len(functions) < len(modules):
        machine = _machine(together.get(), optimize)
        functions |= {key: machine[f"f_{key}"] for key in modules if key not in functions}
    return {key: functions[key](tvm.runtime.tensor(data)).numpy() for key in modules}


def _machine(mod: IRModule, optimize: bool) -> relax.VirtualMachine:
    if optimize:
        executable = backend.build(mod, backend.resolve_target("llvm")).executable
    else:
        # the checks of arguments are most of the code, and would be most of the time
        with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
            executable = tvm.compile(mod, tvm.target.Target({"kind": "llvm", "opt-level": 0}))
    return relax.VirtualMachine(executable, tvm.cpu())


def _compare(case: GoldenCase, key: str, out: np.ndarray) -> Outcome:
    record, expected = case.configs[key], case.expected[f"out_{key}"]
    largest = float(np.abs(expected).max()) or 1.0
    errors = np.abs(out.astype(np.float64) - expected) / largest
    equal, off = bool(np.array_equal(out, expected)), float((errors > CLOSE).mean())
    if record["exactness"] == "exact":
        holds = equal
    else:
        margin = record["min_tie_margin"]
        few = 0.02 if margin is not None and margin < NEAR_TIE else 0.0
        holds = off <= few
    mode = _mode(case, key)
    return Outcome(
        case.name, key, record["exactness"], mode, equal, float(errors.max()), off, holds
    )


def summary(outcomes: Iterable[Outcome]) -> list[dict[str, object]]:
    """Count the outcomes by promise and calibration mode.

    Returns
    -------
    list of dict
        With the keys ``exactness``, ``calibrate_mode``, ``configurations``, ``equal`` (bits),
        ``holds`` and ``largest error``.

    Examples
    --------
    >>> (row,) = summary([Outcome("a", "k", "exact", "global_scale", True, 0.0, 0.0, True)])
    >>> row["configurations"], row["equal"], row["holds"]
    (1, 1, 1)
    """
    outcomes = list(outcomes)
    groups = Counter((outcome.exactness, outcome.calibrate_mode) for outcome in outcomes)
    rows = []
    for (exactness, mode), count in sorted(groups.items()):
        group = [o for o in outcomes if (o.exactness, o.calibrate_mode) == (exactness, mode)]
        rows.append(
            {
                "exactness": exactness,
                "calibrate_mode": mode,
                "configurations": count,
                "equal": sum(o.equal for o in group),
                "holds": sum(o.holds for o in group),
                "largest error": max(o.error for o in group),
            }
        )
    return rows
