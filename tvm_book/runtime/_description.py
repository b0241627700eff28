"""What is known of a compiled model, and how a file keeps it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import tvm

from ..backend import Built, Step, TensorSpec, cannot_run

__all__ = ["Code", "describe", "described", "parsed", "refused"]


@dataclass(frozen=True)
class Code:
    """Machine code: for which CPU, and what it calls.

    Attributes
    ----------
    target, kernel_target : tvm.target.Target
        What kernels, and what the rest, was compiled for.
    isa : str
        Instruction set of the kernels.
    needs : tuple of str
        LLVM's names of the CPU features that this instruction set is.
    steps : tuple of Step
        What a run calls.
    """

    target: tvm.target.Target
    kernel_target: tvm.target.Target
    isa: str
    needs: tuple[str, ...]
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, built: Built, target: tvm.target.Target) -> Code:
        """Keep what the run time needs of a build."""
        isa = built.isa
        return cls(target, built.kernel_target, isa.name, tuple(isa.needs), tuple(built.steps))


def describe(
    code: Code, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> dict[str, Any]:
    """Return the description that a file keeps, of what JSON has."""
    return {
        "tvm": tvm.__version__,
        "target": str(code.target),
        "kernel_target": str(code.kernel_target),
        "isa": code.isa,
        "needs": list(code.needs),
        "steps": [asdict(step) for step in code.steps],
        "inputs": [asdict(spec) for spec in inputs],
        "outputs": [asdict(spec) for spec in outputs],
    }


def described(
    path: str | os.PathLike[str], description: dict[str, Any]
) -> tuple[list[TensorSpec], list[TensorSpec], Code]:
    """Read a description again: inputs, outputs, code.

    Raises
    ------
    ValueError
        This machine cannot run the code.
    """
    if why := refused(description):
        raise ValueError(
            f"{path} was compiled for another CPU, its kernels for {description['isa']}: {why}. "
            "Compile and save the model again here"
        )
    return parsed(description)


def refused(description: dict[str, Any]) -> str | None:
    """Say why this machine cannot run the code, if it cannot."""
    targets = [tvm.target.Target(description[key]) for key in _TARGETS]
    return cannot_run(targets, description["isa"], tuple(description["needs"]))


def parsed(description: dict[str, Any]) -> tuple[list[TensorSpec], list[TensorSpec], Code]:
    """Read a description again: inputs, outputs, code, of whatever machine."""
    targets = [tvm.target.Target(description[key]) for key in _TARGETS]
    steps = tuple(Step(**_tuples(row)) for row in description["steps"])
    inputs, outputs = ([TensorSpec(**_tuples(r)) for r in description[k]] for k in _SPECS)
    code = Code(*targets, description["isa"], tuple(description["needs"]), steps)
    return inputs, outputs, code


_TARGETS = ("target", "kernel_target")
_SPECS = ("inputs", "outputs")


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
