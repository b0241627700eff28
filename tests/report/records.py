"""Records of errors, written by hand: good layers, changed where a test needs it."""

import numpy as np

from tvm_book.quantize._layer_error import LayerError, LayerErrors, Operand
from tvm_book.report import LayerReport


def tensor(kind="input", **changes):
    """Return an operand whose grid of 256 steps fits: from -12.8 to 12.7."""
    fields = {
        "kind": kind,
        "source": "const" if kind == "weight" else "relu",
        "scale": np.float32(0.1),
        "zero_point": 0,
        "low": -128,
        "high": 127,
        "minimum": -12.0,
        "maximum": 12.5,
        "saturated": 0.0,
        "used": 0.96,
        "channels": np.array([12.5, 11.0, 12.0, 10.0]),
        "calibrated": True,
    }
    return Operand(**(fields | changes))


def layer(name="conv", *operands, **changes):
    """Return a layer of 41 dB that reads the model's input."""
    fields = {
        "name": name,
        "selector": name,
        "op": "conv2d",
        "path": name,
        "shape": (1, 4, 8, 8),
        "isolated_sqnr_db": 41.0,
        "isolated_cosine": 0.9999,
        "accumulated_sqnr_db": 40.0,
        "accumulated_cosine": 0.9998,
        "operands": operands or (tensor(), tensor("weight")),
        "accumulator": 0.01,
        "reads": (-1,),
        "operations": 1000,
    }
    return LayerError(**(fields | changes))


def record(*layers, outputs=None, sqnr=35.0):
    """Return the record of a model; its last layer is the output."""
    outputs = (len(layers) - 1,) if outputs is None else outputs
    return LayerErrors(layers, sqnr, 0.9997, outputs, samples=8)


def residual():
    """Return a block with a branch, its sum, and a classifier."""
    return record(
        layer("stem"),
        layer("block.conv1", isolated_sqnr_db=15.0, accumulated_sqnr_db=14.0, reads=(0,)),
        layer("block.conv2", accumulated_sqnr_db=16.0, reads=(1,)),
        layer(
            "relax.add@0",
            op="add",
            path="block",
            reads=(2, 0),
            accumulator=float("nan"),
            operations=0,
        ),
        layer("fc", op="matmul", shape=(1, 10), isolated_sqnr_db=float("inf"), reads=(3,)),
    )


def findings(*layers, **options):
    """Return what is said of a model."""
    return LayerReport(record(*layers, **options)).explain()


def only(*operands, **changes):
    """Return what is said of a layer that reads these."""
    return findings(layer("conv", *operands, **changes))


ONE_LARGE = np.array([80.0, 10.0, 10.0, 9.0, 11.0])  # magnitudes of channels
