"""ONNX's recurrent layers, unrolled step by step, under the conventions of `_onnx_layers`.

The formulas are those of https://onnx.ai/onnx/operators/onnx__LSTM.html and of its neighbours GRU
and RNN. ONNX packs the weights of all gates and directions into one tensor; what is taken out of it
here is a constant.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tvm import relax
from tvm.relax import op

from ._onnx_node import Node
from ._torch_layers import Emit, add_bias, constant, shape_of

Expr = relax.Expr
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _recurrent(emit: Emit, node: Node, x, *_):
    kind = node.kind
    _check(node, shape_of(x))
    if node["layout"]:  # the batch comes first
        x = emit(op.permute_dims(x, [1, 0, 2]))
    length = shape_of(x)[0]
    results, states = [], []
    for direction in range(2 if node["direction"] == "bidirectional" else 1):
        weights = _Weights(emit, node, direction)
        inputs = weights.of_input(x)
        backward = node["direction"] == "reverse" or direction == 1
        order = range(length)[::-1] if backward else range(length)
        state = _first_state(emit, node, direction, kind == "LSTM", shape_of(x)[1])
        steps = {}
        for step in order:
            row = emit(op.strided_slice(inputs, [0], [step], [step + 1]))
            state = _STEPS[kind](emit, node, weights, emit(op.squeeze(row, [0])), *state)
            steps[step] = state[0]
        results.append([steps[step] for step in range(length)])
        states.append(state)
    return _outputs(emit, node, results, states)


def _check(node: Node, sizes: list[int]) -> None:
    usual, names = _ACTIVATIONS[node.kind], list(node["activations"] or [])
    if names not in ([], usual, usual * 2):
        raise NotImplementedError(f"activations {names}: use {usual}")
    if node["clip"] or node["input_forget"] or node.has(7):
        raise NotImplementedError("clip, input_forget and peepholes have no conversion")
    length = sizes[1 if node["layout"] else 0]
    if node.has(4) and (node.known(4, "lengths") != length).any():
        raise NotImplementedError(
            f"sequences shorter than {length}: pad them, and leave out sequence_lens"
        )


class _Weights:
    """The matrices and biases of one direction."""

    def __init__(self, emit: Emit, node: Node, direction: int):
        self.emit, self.size = emit, node["hidden_size"]
        self.matrices = [node.known(i, "weights")[direction] for i in (1, 2)]
        width = _GATES[node.kind] * self.size
        both = node.known(3, "biases")[direction] if node.has(3) else np.zeros(2 * width)
        self.biases = both[:width], both[width:]

    def of_input(self, x: Expr) -> Expr:
        """Return what all steps add from their inputs."""
        return self._linear(x, self.matrices[0], self.biases[0])

    def of_state(self, hidden: Expr, first: int = 0, last: int | None = None) -> Expr:
        """Return what the gates from `first` on, up to `last`, add from a state."""
        rows = slice(first * self.size, None if last is None else last * self.size)
        return self._linear(hidden, self.matrices[1][rows], self.biases[1][rows])

    def _linear(self, x: Expr, matrix: np.ndarray, bias: np.ndarray) -> Expr:
        product = self.emit(op.matmul(x, self.emit(op.permute_dims(constant(matrix)))))
        return add_bias(self.emit, product, constant(bias), axis=-1)


def _first_state(emit: Emit, node: Node, direction: int, has_cell: bool, batch: int):
    state, axis = [], 1 if node["layout"] else 0
    for position in (5, 6) if has_cell else (5,):
        if not node.has(position):
            state.append(constant(np.zeros((batch, node["hidden_size"]))))
        elif node.operands[position].is_stored:
            array = node.known(position, "states")
            state.append(constant(np.take(array, direction, axis)))
        else:
            every = node.operands[position].expr
            rows = emit(op.strided_slice(every, [axis], [direction], [direction + 1]))
            state.append(emit(op.squeeze(rows, [axis])))
    return state


def _split(emit: Emit, gates: Expr, count: int) -> list[Expr]:
    parts = emit(op.split(gates, count, axis=-1))
    return [emit(parts[i]) for i in range(count)]


def _lstm_step(emit: Emit, node: Node, weights: _Weights, row, hidden, cell):
    gates = emit(op.add(weights.of_state(hidden), row))
    into, out, forget, new = _split(emit, gates, 4)
    into, out, forget = (emit(op.sigmoid(gate)) for gate in (into, out, forget))
    kept = emit(op.multiply(forget, cell))
    cell = emit(op.add(kept, emit(op.multiply(into, emit(op.tanh(new))))))
    return emit(op.multiply(out, emit(op.tanh(cell)))), cell


def _gru_step(emit: Emit, node: Node, weights: _Weights, row, hidden):
    from_input = _split(emit, row, 3)
    from_state = _split(emit, weights.of_state(hidden, last=2), 2)
    keep, reset = (
        emit(op.sigmoid(emit(op.add(a, b))))
        for a, b in zip(from_input[:2], from_state, strict=True)
    )
    if node["linear_before_reset"]:
        old = emit(op.multiply(reset, weights.of_state(hidden, first=2)))
    else:
        old = weights.of_state(emit(op.multiply(reset, hidden)), first=2)
    new = emit(op.tanh(emit(op.add(from_input[2], old))))
    # (1 - keep) new + keep hidden
    return (emit(op.add(new, emit(op.multiply(keep, emit(op.subtract(hidden, new)))))),)


def _rnn_step(emit: Emit, node: Node, weights: _Weights, row, hidden):
    return (emit(op.tanh(emit(op.add(weights.of_state(hidden), row)))),)


_STEPS: dict[str, Callable] = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN": _rnn_step}


def _outputs(emit: Emit, node: Node, results: list[list[Expr]], states: list[tuple]) -> list[Expr]:
    """Return the hidden state of every step, and the last states, in ONNX's layout."""
    axes = (1, 2) if node["layout"] else (0, 1)
    every = [emit(op.stack(steps, axis=axes[0])) for steps in results]
    first = emit(op.stack(every, axis=axes[1]))
    last = [emit(op.stack(list(s), axis=axes[0])) for s in zip(*states, strict=True)]
    return [first, *last]


ONNX_RECURRENT: dict[str, Callable] = dict.fromkeys(_STEPS, _recurrent)
