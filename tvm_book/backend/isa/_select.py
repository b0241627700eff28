"""Which instruction sets there are, and which one to use."""

from __future__ import annotations

import functools
import re
import warnings
from pathlib import Path

from tvm.target import Target, codegen

from . import amx, avx2, avx512, avx512_vnni, avx_vnni, portable
from ._isa import Isa

__all__ = ["LEVELS", "available", "select"]

_BEST_FIRST = (amx, avx512_vnni, avx512, avx_vnni, avx2, portable)
LEVELS = {level.ISA.name: level.ISA for level in _BEST_FIRST}
_VECTORS = re.compile("avx|amx|fma")  # Linux spells these as LLVM does, but for dashes
CPU_FLAGS = Path("/proc/cpuinfo")


def available(target: Target) -> list[Isa]:
    """Return the instruction sets that a target, this CPU and its system allow, best first.

    Examples
    --------
    >>> from tvm_book.backend import isa, resolve_target
    >>> isa.available(resolve_target("llvm"))[-1].name
    'portable'
    """
    features = _features(target)
    return [
        isa for isa in LEVELS.values() if features.issuperset(isa.needs) and isa.refusal() is None
    ]


def select(target: Target, isa: str | Isa | None = None) -> Isa:
    """Return the best instruction set, or the one that is asked for.

    Parameters
    ----------
    target : tvm.target.Target
        What other code is compiled for; kernels use none of the instructions that it lacks,
        except that `resolve_target` leaves fused multiply-add out for other code only.
    isa : str or Isa, optional
        A key of `LEVELS`, or an instruction set of one's own.

    Raises
    ------
    ValueError
        There is none of that name; the target or this CPU lacks it; the system forbids it.

    Examples
    --------
    >>> from tvm_book.backend import isa, resolve_target
    >>> isa.select(resolve_target("llvm"), "portable").lanes
    8
    """
    usable = available(target)
    if isa is None:
        for level in LEVELS.values():
            if level in usable:
                return level
            if _features(target).issuperset(level.needs):
                _warn_once(
                    f"kernels use {usable[0].name} instead of {level.name}: {level.refusal()}"
                )
    if isinstance(isa, str):
        if isa not in LEVELS:
            raise ValueError(f"isa={isa!r} is unknown; the levels are {', '.join(LEVELS)}")
        isa = LEVELS[isa]
    missing = sorted(set(isa.needs) - _features(target))
    has = ", ".join(level.name for level in usable)
    if missing:
        raise ValueError(
            f"isa={isa.name!r}: the target or this CPU lacks {', '.join(missing)}; it has {has}"
        )
    if (refusal := isa.refusal()) is not None:
        raise ValueError(f"isa={isa.name!r}: {refusal}; use one of {has}")
    return isa


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=4)


def _features(target: Target) -> set[str]:
    """Return LLVM's names of the features that both a target and this CPU have."""
    here = Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})
    features = set(codegen.llvm_get_cpu_features(here))
    if "mattr" in target.attrs:
        config = {k: v for k, v in target.attrs.items() if not k.startswith("feature.")}
        config["mattr"] = [a for a in target.attrs["mattr"] if a not in ("-fma", "-fma4")]
        target = Target({"kind": "llvm", **config})
    features &= set(codegen.llvm_get_cpu_features(target))
    # LLVM knows the CPU by its model; a virtual machine may hide some of its features.
    flags = _flags()
    hidden = {n for n in features if _VECTORS.match(n) and _plain(n) not in flags}
    return features - hidden if flags else features


@functools.cache
def _flags() -> frozenset[str]:
    """Return what the system calls the features of this CPU; nothing if it does not tell."""
    if not CPU_FLAGS.exists():
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", CPU_FLAGS.read_text(), re.MULTILINE)
    return frozenset(map(_plain, found[1].split())) if found else frozenset()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]", "", name)
