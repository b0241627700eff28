"""Small modules for the tests of this folder, and a way to write down what a pass made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tvm
from tvm import IRModule, relax
from tvm.ir import GenericConst

import tvm_book
from tvm_book.quantize._emitter import Emitter
from tvm_book.quantize._graph import Graph, Rebuilder, op_name, operands, to_numpy

SHORT = {"relax.qnn.simulated_quantize": "round", "relax.round_half_away": "round_half_away"}


def module(build: Callable, **inputs) -> IRModule:
    """Make ``main(inputs)``: each input is a shape (then float32) or a pair (shape, dtype).

    ``build(emit, *inputs)`` returns the result; ``emit`` binds an expression, however nested.
    """
    params = []
    for name, spec in inputs.items():
        shape, dtype = spec if spec and isinstance(spec[-1], str) else (spec, "float32")
        params.append(relax.Var(name, relax.TensorType(shape, dtype)))
    emitter = Emitter()

    def emit(expr):
        if isinstance(expr, relax.Call):
            args = [leaf(arg) for arg in expr.args]
            expr = relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return emitter.emit(expr)

    def leaf(expr):
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([leaf(field) for field in expr.fields])
        return emit(expr) if isinstance(expr, relax.Call) else expr

    function = emitter.function(params, build(emit, *params), {"global_symbol": "main"})
    return IRModule({"main": function})


def array(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Random float32 numbers, the same for the same seed."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype("float32")


def constant(*shape: int, seed: int = 0, scale: float = 1.0) -> GenericConst:
    """Return `array` as a Relax constant."""
    return relax.const(array(*shape, seed=seed, scale=scale))


def conv(x: relax.Expr, out_channels: int = 3, kernel: int = 1, **options) -> relax.Expr:
    """Convolve with a constant weight."""
    in_channels = int(x.ty.shape[1]) // options.get("groups", 1)
    weight = constant(out_channels, in_channels, kernel, kernel, seed=7, scale=0.3)
    return relax.op.nn.conv2d(x, weight, **options)


def run(mod: IRModule, *args: np.ndarray):
    """Compile and call ``main``."""
    return tvm_book.compile(mod)(*args)


def apply(mod: IRModule, *passes: tvm.transform.Pass) -> IRModule:
    """Run passes; then drop what they left unread, and bind in visiting order."""
    return tvm.transform.Sequential([*passes, Rebuilder.as_pass()])(mod)


def assert_rewrites(passes, before: IRModule, expected: IRModule) -> None:
    """Compare module structures, constants bit for bit."""
    passes = passes if isinstance(passes, list) else [passes]
    after = apply(before, *passes)
    tvm.ir.assert_structural_equal(after, apply(expected), map_free_vars=True)


def op_names(mod: IRModule, function: str = "main") -> list[str]:
    """Operators in visiting order, without ``relax.``."""
    graph = Graph(mod[function])
    return [op_name(graph.bindings[var]).removeprefix("relax.") for var in graph.post_order()]


def listing(mod: IRModule) -> list[str]:
    """``main`` in visiting order, one line a binding: ``conv2d(x, const)``, ``relu(%0)``.

    ``%n`` is the value of line n; constants are ``const``, 0-d ones their number. Only attributes
    that the quantizer chooses are shown. The last line is the result.
    """
    graph = Graph(mod["main"])
    names = {param: param.name for param in graph.params}
    lines = []
    for number, var in enumerate(graph.post_order()):
        lines.append(_line(graph.bindings[var], names))
        names[var] = f"%{number}"
    leaves = ", ".join(_name(leaf, names) for leaf in operands(graph.output))
    tuple_output = isinstance(graph.output, relax.Tuple)
    return [*lines, f"({leaves})" if tuple_output else leaves]


def _line(expr: relax.Expr, names: dict) -> str:
    name = op_name(expr)
    short = SHORT.get(name, name.rpartition(".")[2])
    arguments = [_name(leaf, names) for leaf in operands(expr)]
    attrs = getattr(expr, "attrs", None)
    if name == "relax.clip":
        arguments += [f"{float(bound.value):g}" for bound in expr.args[1:]]
    elif name == "relax.astype":
        arguments.append(str(expr.ty.dtype))
    elif name == "relax.qnn.simulated_quantize":
        arguments.insert(1, str(attrs["kind"]))
    elif name == "relax.annotation.cast_hint":
        arguments.append(str(attrs["dtype"]))
    elif isinstance(expr, relax.TupleGetItem):
        short, arguments = "item", [*arguments, str(expr.index)]
    return f"{short}({', '.join(arguments)})"


def _name(leaf: relax.Expr, names: dict) -> str:
    if not isinstance(leaf, GenericConst):
        return names[leaf]
    return "const" if leaf.ty.shape else f"{to_numpy(leaf)[()]:g}"
