"""Realized matrix products and biases, compiled, are NumPy's integer arithmetic bit for bit."""

import numpy as np
import pytest
from tvm import relax

from tests.quantize.affine.integer_layers import (
    INPUT_BITS,
    RESULT_BITS,
    check_layer,
    draw_steps,
    draw_weight,
    layer_module,
    on_grid,
    realize,
    rounded,
)
from tests.quantize.graphs import op_names, run


@pytest.mark.parametrize(
    "x_shape, w_shape",
    [
        ((1, 1), (1, 1)),
        ((3, 17), (17, 5)),
        ((2, 3, 5), (5, 17)),
        ((2, 1, 3, 5), (5, 3)),
        ((2, 3, 5), (2, 5, 4)),
        ((3, 5), (2, 5, 4)),
    ],
)
@pytest.mark.parametrize("ends", [(-128, 127), (-37, 218)])
def test_matmul_with_a_constant(x_shape, w_shape, ends):
    rng = np.random.default_rng(0)
    x, (w, bits) = draw_steps(rng, x_shape, ends), draw_weight(rng, w_shape, -1)
    check_layer(relax.op.matmul, x, ends, w, bits, (-255, 0), x @ w, bits.ravel())


@pytest.mark.parametrize(
    "shapes", [((3, 5), (5, 4)), ((2, 3, 17), (2, 17, 1)), ((2, 1, 4), (4, 3))]
)
@pytest.mark.parametrize("ends", [(-127, 127), (-37, 218), (0, 255)])
def test_matmul_of_two_tensors(shapes, ends):
    rng = np.random.default_rng(0)
    y_ends = (-255, 0) if ends[0] != -127 else ends
    x, y = draw_steps(rng, shapes[0], ends), draw_steps(rng, shapes[1], y_ends)

    def build(emit, left, right):
        left = on_grid(left, 2.0**-INPUT_BITS, ends)
        right = on_grid(right, 2.0**-9, y_ends)
        total = relax.op.matmul(emit(left), emit(right))
        return emit(on_grid(total, 2.0**-RESULT_BITS, (-37, 218)))

    mod = realize(build, inputs={"x": shapes[0], "y": shapes[1]})
    arrays = (x * 2.0**-INPUT_BITS).astype("float32"), (y * 2.0**-9).astype("float32")
    expected = rounded(x @ y, INPUT_BITS + 9, (-37, 218))
    np.testing.assert_array_equal(run(mod, *arrays), expected)
    # sums of rows and columns are needed only against a zero point that is not 0
    assert op_names(mod).count("sum") == (0 if ends[0] == -127 else 2)


# a bias, and limits behind it


@pytest.mark.parametrize("limits", [None, (0.0, np.inf), (0.0, 6.0), (-1.0, 2.5)])
@pytest.mark.parametrize("ends", [(-128, 127), (-37, 218)])
def test_a_bias_is_rounded_to_the_steps_of_its_accumulator(ends, limits):
    """So it is an int32 of the accumulator; limits are applied where that is rounded."""
    rng = np.random.default_rng(0)
    x, (w, bits) = draw_steps(rng, (3, 5), ends), draw_weight(rng, (5, 17), -1)
    bias = rng.uniform(-3, 3, 17).astype("float32")
    steps = np.ldexp(1.0, -INPUT_BITS - bits.ravel())

    def layer(data, kernel):
        total = relax.op.add(relax.op.matmul(data, kernel), relax.const(bias))
        return total if limits is None else relax.op.clip(total, *limits)

    total = x @ w + np.rint(bias / steps).astype(np.int64)
    expected = rounded(total, INPUT_BITS + bits.ravel(), (-128, 127))
    expected = np.clip(expected, *(limits or (-np.inf, np.inf))).astype("float32")
    mod = layer_module(layer, x, ends, w, bits, (-128, 127))
    np.testing.assert_array_equal(run(mod, (x * 2.0**-INPUT_BITS).astype("float32")), expected)
    assert op_names(mod).count("add") == 2  # the bias, and the constant that rounds


# functions, by tables


@pytest.mark.parametrize("ends", [(-128, 127), (-37, 218)])
@pytest.mark.parametrize("name", ["sigmoid", "silu", "leakyrelu"])
def test_a_function_of_a_narrow_tensor_is_looked_up(name, ends):
    """All steps of the grid, each the function's nearest step; ties do not occur."""
    functions = {
        "sigmoid": (relax.op.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
        "silu": (relax.op.nn.silu, lambda x: x / (1 + np.exp(-x))),
        "leakyrelu": (relax.op.nn.leakyrelu, lambda x: np.where(x > 0, x, np.float32(0.01) * x)),
    }
    operator, exact = functions[name]
    scale, step = 0.0371, 0.0043
    steps = np.arange(ends[0], ends[1] + 1)

    def build(emit, data):
        y = emit(operator(emit(on_grid(data, scale, ends))))
        return emit(on_grid(y, step, (-128, 127)))

    mod = realize(build, inputs={"x": steps.shape})
    result = run(mod, (steps * np.float32(scale)).astype("float32"))
    wanted = np.clip(
        np.rint(exact(steps * np.float64(np.float32(scale))) / np.float32(step)), -128, 127
    )
    np.testing.assert_array_equal(np.rint(result / np.float32(step)), wanted)
    assert op_names(mod) == ["quantize", "astype", "add", "take", "dequantize"]
