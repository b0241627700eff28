"""Spell operators as torch's decompositions would, but at once, node by node.

Decomposing traces the whole program several times, which takes longer than all other steps of the
import together. The commonest networks can do without.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import fx

from ._torch_nodes import arguments
from ._torch_to_relax import is_convertible

aten = torch.ops.aten


class Spelling(NamedTuple):
    """How to write an operator anew; both take its arguments by their names in the schema.

    ``write`` also gets a function that adds a call with the given arguments, whose result has the
    type of the operator's own result, or of ``like``.
    """

    write: Callable[..., fx.Node]
    covers: Callable[..., bool] = lambda **_: True


def spell_core(graph: fx.Graph) -> bool:
    """Rewrite all that Relax has no operator for; if that takes more than this table, nothing."""
    calls = [node for node in graph.nodes if node.op == "call_function"]
    if not all(map(_is_covered, calls)):
        return False
    for node in calls:
        node.target = _FUNCTIONAL.get(node.target, node.target)
        if node.target in _SPELLINGS:
            with graph.inserting_before(node):
                write = _SPELLINGS[node.target].write
                result = write(_adder(graph, node), **arguments(node))
            node.replace_all_uses_with(result)
            graph.erase_node(node)
    return True


def _is_covered(node: fx.Node) -> bool:
    if node.target in _FUNCTIONAL:
        return _is_own(node.args[0]) and _is_uniform(node)
    if node.target in _SPELLINGS:
        return _SPELLINGS[node.target].covers(**arguments(node))
    return node.target is operator.getitem or is_convertible(node)


def _is_own(value: fx.Node) -> bool:
    """Whether no other node would see it if the only reader of a value overwrote it."""
    return len(value.users) == 1 and value.target in _NEW


def _is_uniform(node: fx.Node) -> bool:
    """Whether all operands have one dtype: the result has it, too, if it may choose."""
    return len({_value(source).dtype for source in node.all_input_nodes}) == 1


def _adder(graph: fx.Graph, node: fx.Node) -> Callable[..., fx.Node]:
    def add(target: Callable, *args: Any, like: torch.Tensor | None = None) -> fx.Node:
        result = graph.call_function(target, args)
        result.meta = {**node.meta, "original_aten": node.target}
        if like is not None:
            result.meta["val"] = like
        return result

    return add


def _value(node: fx.Node) -> torch.Tensor:
    return node.meta["val"]


def _convolution(transposed: bool) -> Spelling:
    def write(
        add, input, weight, bias, stride, padding, dilation, groups, output_padding=(0,)
    ) -> fx.Node:
        rank = _value(weight).dim() - 2
        strides, pads, dilations, ends = (
            list(sizes) * (rank // len(sizes))
            for sizes in (stride, padding, dilation, output_padding)
        )
        options = (strides, pads, dilations, transposed, ends, groups)
        return add(aten.convolution.default, input, weight, bias, *options)

    def covers(input, weight, **_) -> bool:
        return _value(input).dim() == _value(weight).dim()  # else it is a single image

    return Spelling(write, covers)


def _batch_norm(add, input, weight, bias, running_mean, running_var, momentum, eps, **_) -> fx.Node:
    tensors = (input, weight, bias, running_mean, running_var)
    results = add(aten._native_batch_norm_legit_no_training.default, *tensors, momentum, eps)
    return add(operator.getitem, results, 0)


def _reshape(add, self, shape) -> fx.Node:
    return add(aten.view.default, self, shape)  # in Relax, memory has no order to respect


def _transpose(add, self, dim0, dim1) -> fx.Node:
    axes = list(range(_value(self).dim()))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return add(aten.permute.default, self, axes, like=_value(self).transpose(dim0, dim1))


def _chunk(add, self, chunks, dim) -> fx.Node:
    sizes = [part.shape[dim] for part in _value(self).chunk(chunks, dim)]
    return add(aten.split_with_sizes.default, self, sizes, dim)


def _silu(add, self) -> fx.Node:
    return add(aten.mul.Tensor, self, add(aten.sigmoid.default, self))


def _attention(add, query, key, value, scale, **_) -> fx.Node:
    # The same as `_torch_attention.attention`, for the arguments that this covers.
    scores = _value(query) @ _value(key).transpose(-2, -1)
    result = add(aten.matmul.default, query, _transpose(add, key, -2, -1), like=scores)
    scale = _value(query).shape[-1] ** -0.5 if scale is None else scale
    result = add(aten.mul.Tensor, result, scale, like=scores)
    result = add(aten._softmax.default, result, -1, False, like=scores)
    return add(aten.matmul.default, result, value)


def _is_plain_attention(attn_mask, dropout_p, is_causal, enable_gqa, **_) -> bool:
    return attn_mask is None and dropout_p == 0 and not is_causal and not enable_gqa


_SPELLINGS: dict[Any, Spelling] = {
    aten.batch_norm.default: Spelling(_batch_norm, lambda training, **_: not training),
    aten.chunk.default: Spelling(_chunk),
    aten.conv1d.default: _convolution(transposed=False),
    aten.conv2d.default: _convolution(transposed=False),
    aten.conv3d.default: _convolution(transposed=False),
    aten.conv_transpose1d.default: _convolution(transposed=True),
    aten.conv_transpose2d.input: _convolution(transposed=True),
    aten.conv_transpose3d.input: _convolution(transposed=True),
    aten.dropout.default: Spelling(lambda add, input, **_: input, lambda train, **_: not train),
    aten.relu6.default: Spelling(lambda add, self: add(aten.hardtanh.default, self, 0, 6)),
    aten.reshape.default: Spelling(_reshape),
    aten.scaled_dot_product_attention.default: Spelling(_attention, _is_plain_attention),
    aten.silu.default: Spelling(_silu),
    aten.softmax.int: Spelling(
        lambda add, self, dim, **_: add(aten._softmax.default, self, dim, False),
        lambda dtype, **_: dtype is None,
    ),
    aten.transpose.int: Spelling(_transpose),
}

_FUNCTIONAL = {
    aten.add_.Tensor: aten.add.Tensor,
    aten.hardsigmoid_.default: aten.hardsigmoid.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.leaky_relu_.default: aten.leaky_relu.default,
    aten.mul_.Tensor: aten.mul.Tensor,
    aten.relu6_.default: aten.relu6.default,
    aten.relu_.default: aten.relu.default,
    aten.silu_.default: aten.silu.default,
}

# What these return is no view of an operand, or else (those in place) nobody else has it.
_NEW = {
    aten.batch_norm.default,
    aten.conv1d.default,
    aten.conv2d.default,
    aten.conv3d.default,
    aten.linear.default,
    aten.sigmoid.default,
    *_FUNCTIONAL,
    *_FUNCTIONAL.values(),
}
