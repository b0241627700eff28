"""Where the output channels of the operators that have weights are."""

from __future__ import annotations

from tvm import relax

from ._graph import op_name

__all__ = ["LAYERS", "channel_axis"]

# operator: the axis of its weight that holds the output channels, and that of its result
LAYERS = {
    "relax.nn.conv1d": (0, 1),
    "relax.nn.conv2d": (0, 1),
    "relax.nn.conv3d": (0, 1),
    "relax.nn.conv1d_transpose": (1, 1),
    "relax.nn.conv2d_transpose": (1, 1),
    "relax.matmul": (-1, -1),
}


def channel_axis(call: relax.Call) -> int:
    """Return the axis of a layer's weight that holds its output channels."""
    return LAYERS[op_name(call)][0] % len(call.args[1].ty.shape)
