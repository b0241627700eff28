"""Which instruction sets there are, and which one to use."""

from __future__ import annotations

from tvm.target import Target, codegen

from . import avx512_vnni, portable
from ._isa import Isa

__all__ = ["LEVELS", "available", "select"]

LEVELS = {isa.name: isa for isa in (avx512_vnni.ISA, portable.ISA)}


def available(target: Target) -> list[Isa]:
    """Return the instruction sets that both a target and this CPU have, best first."""
    here = Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})
    features = set(codegen.llvm_get_cpu_features(here))
    if target.attrs.get("mcpu") != codegen.llvm_get_system_cpu():
        features &= set(codegen.llvm_get_cpu_features(target))
    return [isa for isa in LEVELS.values() if features.issuperset(isa.needs)]


def select(target: Target, name: str | None = None) -> Isa:
    """Return the instruction set of that name, or the best one.

    Raises
    ------
    ValueError
        There is none of that name, or this CPU lacks it.
    """
    usable = available(target)
    if name is None:
        return usable[0]
    if name not in LEVELS:
        raise ValueError(f"isa={name!r} is unknown; the levels are {', '.join(LEVELS)}")
    if LEVELS[name] not in usable:
        raise ValueError(
            f"isa={name!r}: this CPU has no {name}; it has {', '.join(i.name for i in usable)}"
        )
    return LEVELS[name]
