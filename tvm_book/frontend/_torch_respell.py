"""Respell calls of a captured program before torch decomposes it."""

from __future__ import annotations

import math

import torch
from torch import fx

from ._torch_nodes import arguments
from ._torch_resize import RESIZING

aten = torch.ops.aten


def respell(graph: fx.Graph) -> None:
    """Give flatten and resizing the one form that the rest of the importer expects."""
    _flatten(graph)
    _resize(graph)


def _flatten(graph: fx.Graph) -> None:
    """Write flatten as a reshape that keeps the rank, then a squeeze.

    Relay's importer did so, and its quantizer treats a squeeze differently from a reshape.
    A view that the model spells itself stays a reshape.
    """
    for node in graph.find_nodes(op="call_function", target=aten.flatten.using_ints):
        call = arguments(node)
        source, value = call["self"], call["self"].meta["val"]
        rank = max(value.dim(), 1)  # torch lets a 0-d tensor be flattened to one element
        start, end = call["start_dim"] % rank, call["end_dim"] % rank
        flat = math.prod(value.shape[start : end + 1])
        ones = [1] * (end - start)
        shape = [*value.shape[:start], flat, *ones, *value.shape[end + 1 :]]
        axes = list(range(start + 1, end + 1))
        with graph.inserting_before(node):
            result = graph.call_function(aten.reshape.default, (source, shape))
            result.meta = {**node.meta, "val": value.reshape(shape)}
            if axes:
                result = graph.call_function(aten.squeeze.dims, (result, axes))
                result.meta = dict(node.meta)
        node.replace_all_uses_with(result)
        graph.erase_node(node)


def _resize(graph: fx.Graph) -> None:
    """Use the overloads that torch keeps whole; a traced module comes with the other ones."""
    for name in RESIZING:
        packet = getattr(aten, name.removesuffix(".vec"))
        for node in graph.find_nodes(op="call_function", target=packet.default):
            call = arguments(node)
            given = [call[key] for key in call if key.startswith("scales")]
            factors = None if None in given else given
            size = call["output_size"] if factors is None else None
            corners = [call["align_corners"]] if "align_corners" in call else []
            with graph.inserting_before(node):
                result = graph.call_function(packet.vec, (call["self"], size, *corners, factors))
            result.meta = dict(node.meta)
            node.replace_all_uses_with(result)
            graph.erase_node(node)
