"""Which CPU the code is for, and whether this machine can run it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tvm.target import Target, codegen

from .isa import LEVELS, select

# LLVM lists instruction sets and tuning hints ("fast-lzcnt") together. Only an instruction set
# that is missing makes a program die.
_INSTRUCTION_SETS = re.compile(
    r"sse\d|ssse3|avx|amx|fma|f16c|bmi|lzcnt|popcnt|movbe|gfni|neon|sve|sme|dotprod|i8mm|bf16|fullfp16"
)


def resolve_target(target: str | Mapping | Target = "llvm") -> Target:
    """Turn what a user writes for `target` into a TVM target that this machine can run.

    Parameters
    ----------
    target : str, mapping or tvm.target.Target, optional
        ``"llvm"`` is this CPU without fused multiply-add. Anything else is taken as it is.

    Returns
    -------
    tvm.target.Target
        A target of kind ``llvm``.

    Raises
    ------
    ValueError
        The target is malformed, is not a CPU target of LLVM, names a CPU that LLVM does not
        know, or needs instructions that this machine does not have.

    Examples
    --------
    >>> from tvm_book.backend import resolve_target
    >>> resolve_target("llvm").kind.name
    'llvm'
    >>> resolve_target("cuda")
    Traceback (most recent call last):
        ...
    ValueError: target 'cuda': code is generated for CPUs through LLVM only; use target="llvm"
    """
    if target == "llvm":
        return _host()
    kind = target.get("kind") if isinstance(target, Mapping) else target
    # Before Target() sees the name: making a cuda target looks for a GPU and warns.
    if isinstance(kind, str) and kind != "llvm" and kind in Target.list_kinds():
        raise _not_a_cpu(target)
    try:
        resolved = target if isinstance(target, Target) else Target(target)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f'target {target!r} is not a valid target: {error} Use target="llvm" for this CPU'
        ) from None
    if resolved.kind.name != "llvm":
        raise _not_a_cpu(target)
    _check_cpu_name(resolved)
    if missing := missing_features(resolved):
        raise ValueError(
            f"target {target!r}: this CPU cannot run code that uses {', '.join(missing)}; "
            'use target="llvm" for code that it can run'
        )
    return resolved


def missing_features(target: Target) -> list[str]:
    """Return the instruction sets of a target that this machine lacks.

    Parameters
    ----------
    target : tvm.target.Target
        An LLVM target.

    Returns
    -------
    list of str
        LLVM's names for them, sorted; empty when code for `target` runs here.

    Examples
    --------
    >>> from tvm_book.backend import missing_features, resolve_target
    >>> missing_features(resolve_target("llvm"))
    []
    """
    here = Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})
    lacking = codegen.llvm_get_cpu_features(target) - codegen.llvm_get_cpu_features(here)
    return sorted(name for name in lacking if _INSTRUCTION_SETS.match(name))


def cannot_run(targets: Iterable[Target], isa: str, needs: Sequence[str]) -> str | None:
    """Say why this machine cannot run code that was compiled elsewhere.

    Parameters
    ----------
    targets : iterable of tvm.target.Target
        What its parts were compiled for.
    isa : str
        Name of the kernels' instruction set.
    needs : sequence of str
        LLVM's names of the CPU features that kernels use.

    Returns
    -------
    str or None
        None if it can.

    Examples
    --------
    >>> from tvm_book.backend import cannot_run, resolve_target
    >>> cannot_run([resolve_target("llvm")], "portable", [])
    """
    missing = {name for target in targets for name in missing_features(target)}
    level = replace(LEVELS.get(isa, LEVELS["portable"]), name=isa, needs=(*needs, *missing))
    try:
        select(_host(), level)  # knows also what the operating system allows
    except ValueError as error:
        return str(error)
    return None


def _host() -> Target:
    """Return this CPU, without fused multiply-add where that can be switched off.

    With FMA, LLVM contracts `x * a + b` to one rounding wherever it meets it (measured: a quarter
    of random float32 results differ from NumPy), so the same model would give other bits on
    another CPU, and other bits than Relay, whose x86 code had no FMA. TVM sets that mode itself
    and offers no option against it. On x86 dropping FMA drops AVX-512 as well; AVX2 stays. Plain
    "llvm" is as exact but means SSE2: int8 convolutions take 2.4 times as long, float ones the
    same. Arm has FMA in its base instructions, so there the contraction stays.
    """
    config = {"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()}
    if codegen.llvm_get_system_triple().startswith(("x86_64", "i386", "i686", "amd64")):
        config["mattr"] = ["-fma", "-fma4"]
    return Target(config)


def _check_cpu_name(target: Target) -> None:
    cpu = target.attrs.get("mcpu")
    known = codegen.llvm_get_cpu_archlist(target)
    if cpu is None or cpu in known:  # LLVM takes an unknown name for "generic", with a log line
        return
    near = difflib.get_close_matches(cpu, known, 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"target: LLVM knows no CPU named {cpu!r}{hint}")


def _not_a_cpu(target: object) -> ValueError:
    return ValueError(
        f'target {target!r}: code is generated for CPUs through LLVM only; use target="llvm"'
    )
