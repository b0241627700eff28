"""What a run calls, in order: kernels, and the loops that TVM made of the other operators."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import tvm
from tvm import relax

from ..quantize._graph import module_path, op_name
from ..quantize.rules import rules_table
from ..quantize.schemes import SCHEMES
from .graph import KernelCall

__all__ = ["Step", "leftovers", "record_steps"]

TVM = "TVM loops"
FLOAT = "float operator"
MOVES = ("copy", "pack")  # kernels that only move elements
CALLS = ("relax.call_tir", "relax.call_tir_inplace", "relax.call_dps_packed")
RULES = [rule for scheme in SCHEMES.values() for rule in rules_table(scheme.rules)]
INTEGER = {rule["op"] for rule in RULES if rule["integer"]} | {"relax.astype"}
# Why an operator is not quantized, in the quantizer's words.
WHY = {rule["op"]: rule["why"] for rule in RULES if rule["why"] and rule["op"] not in INTEGER}
WHY |= {
    rule["op"]: "not quantized, by skip, skip_conv_layers or skip_dense_layer of QConfig"
    for rule in RULES
    if rule["skippable"]
}


@dataclass(frozen=True)
class Step:
    """One call of a run.

    Attributes
    ----------
    function : str
        Symbol of the kernel, or of TVM's function.
    layer : str
        Module path of the source model, ``""`` if unknown.
    operators : tuple of str
        What it computes, in Relax's names, the most expensive first; of TVM's function its name.
    shape : tuple of int or None
        Of the result; None if it is not one tensor of a static shape.
    dtype : str
        What is multiplied; of the result, if nothing is.
    isa : str
        Instruction set of the kernel, or ``"TVM loops"``.
    operations : int
        Multiplications and additions, as far as they are counted.
    reason : str
        Why it is not an int8 kernel; ``""`` if it is one.
    """

    function: str
    layer: str
    operators: tuple[str, ...]
    shape: tuple[int, ...] | None
    dtype: str
    isa: str
    operations: int
    reason: str


def record_steps(
    mod: tvm.IRModule,
    kernels: Iterable[KernelCall],
    isa: str,
    left: Sequence[tuple[str, str]],
) -> list[Step]:
    """List the calls of a module whose operators have become calls.

    Parameters
    ----------
    mod : tvm.IRModule
        After fusion, before memory is planned.
    kernels : iterable of KernelCall
        What `tvm_book.backend.graph.lower` called, in order.
    isa : str
        Instruction set of the kernels.
    left : sequence of (str, str)
        What `leftovers` returns.
    """
    known: dict[str, list[KernelCall]] = defaultdict(list)
    for kernel in kernels:
        known[kernel.function].append(kernel)
    left = list(left)
    quantized = any(k.dtype == "int8" and k.operations for ks in known.values() for k in ks)
    steps = []
    for binding in _bindings(mod):
        name = getattr(getattr(binding.value, "op", None), "name", "")
        if name not in CALLS:
            continue
        callee = binding.value.args[0]
        symbol = str(getattr(callee, "global_symbol", None) or callee.name_hint)
        if known[symbol]:
            kernel = known[symbol].pop(0)
            reads = [str(arg.ty.dtype) for arg in _tensors(binding.value.args[1])]
            dtype, reason = _reason(kernel, reads, quantized)
            steps.append(Step(**{**vars(kernel), "dtype": dtype}, isa=isa, reason=reason))
        else:
            steps.append(_loops(symbol, binding.var.ty, left))
    return steps


def leftovers(mod: tvm.IRModule, lowered: tvm.IRModule) -> list[tuple[str, str]]:
    """List the operators without a kernel, in order: name and module path.

    Parameters
    ----------
    mod, lowered : tvm.IRModule
        Before and after kernels took their operators. TVM's builder spells the names of variables
        without dots, and makes them unique by digits at the end.
    """
    before, found = list(_bindings(mod)), []
    for binding in _bindings(lowered):
        name = op_name(binding.value)
        if not name or name in CALLS:
            continue
        for place, old in enumerate(before):
            spelled = old.var.name.replace(".", "_")
            if op_name(old.value) == name and binding.var.name.startswith(spelled):
                found.append((name.removeprefix("relax."), module_path(old.var)))
                before = before[place + 1 :]
                break
        else:
            found.append((name.removeprefix("relax."), ""))
    return found


def _bindings(mod: tvm.IRModule) -> Iterator[relax.Binding]:
    """Return the bindings of `main`, then of other Relax functions."""
    functions = {var.name_hint: func for var, func in mod.functions.items()}
    for name in sorted(functions, key=lambda name: name != "main"):
        if isinstance(functions[name], relax.Function):
            for block in getattr(functions[name].body, "blocks", ()):
                yield from block.bindings


def _tensors(arguments: relax.Expr) -> list[relax.Var]:
    fields = getattr(arguments, "fields", [arguments])
    return [a for a in fields if isinstance(a, relax.Var) and isinstance(a.ty, relax.TensorType)]


def _reason(call: KernelCall, reads: Sequence[str], quantized: bool) -> tuple[str, str]:
    """Return what a kernel computes in, and why that is not int8."""
    if call.operators[0].startswith(MOVES):
        return call.dtype, "copy: a reader takes another layout"
    real = [dtype.startswith("float") for dtype in reads]
    told = WHY.get(f"relax.{call.operators[0]}")
    if not call.dtype.startswith("float"):
        if call.operations or not any(real):
            return call.dtype, ""
        if told:
            return "float32", f"{FLOAT}: {told}"
        return call.dtype, "entry: float values become integers"
    if not quantized:
        return call.dtype, f"{FLOAT}: nothing is quantized"
    if not call.operations and reads and not any(real):
        return call.dtype, "exit: integers become float values"
    return call.dtype, f"{FLOAT}: {told}" if told else FLOAT


def _loops(symbol: str, ty: tvm.ir.Type, left: list[tuple[str, str]]) -> Step:
    """Describe a function of TVM; operators that its name tells are taken from `left`."""
    if isinstance(ty, tvm.ir.TupleType) and len(ty.fields):
        ty = ty.fields[0]
    shape = getattr(ty, "shape", None)
    sizes = list(shape) if isinstance(shape, relax.ShapeExpr) else None
    static = sizes is not None and all(isinstance(n, tvm.tirx.IntImm) for n in sizes)
    plain = re.sub(r"\d+$", "", symbol.removeprefix("fused_"))
    found = []
    for name in dict.fromkeys(name for name, _ in left):
        if name.split(".")[-1] in plain:
            place = [known for known, _ in left].index(name)
            found.append(left.pop(place))
    return Step(
        symbol,
        next((path for _, path in found if path), ""),
        tuple(name for name, _ in found) or (plain,),
        tuple(int(n) for n in sizes) if static else None,
        str(getattr(ty, "dtype", "")),
        TVM,
        0,
        f"{TVM}: no kernel for {', '.join(name for name, _ in found) or plain}",
    )
