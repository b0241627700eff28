"""Who takes part, and what is prepared for them. A new contestant is a row."""

from __future__ import annotations

from dataclasses import dataclass

from contest.table import OURS, Contestant

__all__ = ["CONTESTANTS", "ISAS", "SOURCES", "Racer"]

ISAS = ("avx512-vnni", "portable")  # the levels of instructions that targets are about
ISA_NETWORK = "resnet18"  # on which


@dataclass(frozen=True)
class Racer(Contestant):
    """One row: something prepared, and run if it is in `CONTESTANTS`.

    Parameters
    ----------
    source : str, optional
        The row that is prepared first; its folder is given to `prepare`.
    reads : tuple of str
        Patterns of files, from the root of the repository, that the outcome depends on, beside the
        module itself and the networks.
    """

    source: str = ""
    reads: tuple[str, ...] = ()


_QUANTIZER = ("tvm_book/frontend/**/*.py", "tvm_book/quantize/**/*.py")
_COMPILER = ("tvm_book/*.py", "tvm_book/backend/**/*.py", "tvm_book/runtime/**/*.py")
_ONNX = {
    "needs": ("onnx", "onnxruntime", "onnxscript"),
    "reads": ("benchmarks/contest/onnxruntime_.py",),
}
_OPENVINO = {"needs": ("openvino", "nncf"), "reads": ("benchmarks/contest/nncf_.py",)}
# Constants differ from those of the preset as it stands, code does not; this takes seconds.
_QUICK = {
    "preset": "accurate",
    "calibrate_mode": "minmax",
    "weight_scale": "max",
    "weight_rounding": "nearest",
    "bias_correction": False,
}

SOURCES: dict[str, Racer] = {
    "reference": Racer("race.reference"),
    "relax/float32": Racer("race.relax_", reads=_QUANTIZER),
    "relax/int8": Racer("race.relax_", {"qconfig": _QUICK}, reads=_QUANTIZER),
}


def _tvm_book(kind: str, isa: str = "") -> tuple[str, Racer]:
    name = "/".join(filter(None, (OURS, kind, isa)))
    options, networks = ({"isa": isa}, ISA_NETWORK) if isa else ({}, "*")
    source = f"relax/{kind}"
    return name, Racer("race.tvm_book_", options, (), networks, source, _COMPILER)


CONTESTANTS: dict[str, Racer] = dict(
    [
        ("torch/float32", Racer("race.torch_")),
        ("tvm/float32", Racer("race.tvm_", source="relax/float32")),
        ("onnxruntime/float32", Racer("race.onnxruntime_", **_ONNX)),
        ("onnxruntime/int8", Racer("race.onnxruntime_", {"int8": True}, **_ONNX)),
        ("openvino/float32", Racer("race.openvino_", **_OPENVINO)),
        ("openvino/int8", Racer("race.openvino_", {"int8": True}, **_OPENVINO)),
        _tvm_book("float32"),
        _tvm_book("int8"),
        *(_tvm_book(kind, isa) for isa in ISAS for kind in ("float32", "int8")),
    ]
)
