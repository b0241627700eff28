"""CorrectBias: the mean error that rounding makes is taken out of each layer's bias."""

import numpy as np
import pytest
import tvm
from tvm import relax

from tests.quantize.graphs import array, listing, module
from tvm_book.quantize import QConfig
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._graph import Graph
from tvm_book.quantize._passes import annotate_passes
from tvm_book.quantize.bias_correction import CorrectBias, first_batches, mean_errors
from tvm_book.quantize.calibrate import Calibrate

# three bits leave an error that is seen; plain rounding, so that only the bias is corrected
CONFIG = QConfig(
    preset="accurate", calibrate_mode="minmax", nbit_weight=3, weight_rounding="nearest"
)
conv2d, relu, add = relax.op.nn.conv2d, relax.op.nn.relu, relax.op.add


def const(x):
    return relax.const(np.asarray(x, np.float32))


def calibrated(build, data):
    mod = module(build, x=data[0]["x"].shape)
    passes = [*annotate_passes(CONFIG), Calibrate.as_pass(CONFIG, data)]
    return mod, tvm.transform.Sequential(passes)(mod)


def images(count=6, batch=2, seed=0):
    """Batches whose mean is not zero, as behind a ReLU."""
    shape = (batch, 3, 6, 6)
    return [{"x": np.abs(array(*shape, seed=seed + i))} for i in range(count)]


def evaluate(mod, data):
    graph = Graph(mod["main"])
    return np.concatenate([Evaluator(graph, [graph.output])(x)[0] for x in data])


def mean_error(mod, exact, data, axes):
    return (evaluate(mod, data).astype("float64") - evaluate(exact, data)).mean(axis=axes)


def one_conv(emit, x):
    y = emit(conv2d(x, const(array(4, 3, 3, 3, seed=7))))
    return emit(add(y, const(array(4, 1, 1, seed=8))))


def two_convs(emit, x):
    y = emit(relu(one_conv(emit, x)))
    return emit(add(emit(conv2d(y, const(array(5, 4, 1, 1, seed=9)))), const(array(5, 1, 1))))


def without_bias(emit, x):
    return emit(conv2d(x, const(array(4, 3, 3, 3, seed=7))))


def transposed(emit, x):
    return emit(relax.op.nn.conv2d_transpose(x, const(array(3, 2, 3, 3, seed=7)), groups=3))


@pytest.mark.parametrize("build", [one_conv, two_convs, without_bias, transposed])
def test_the_mean_error_of_the_result_vanishes(build):
    data = images()
    exact, rounded = calibrated(build, data)
    corrected = CorrectBias.as_pass(data)(rounded)
    before = np.abs(mean_error(rounded, exact, data, (0, 2, 3)))
    after = np.abs(mean_error(corrected, exact, data, (0, 2, 3)))
    assert before.max() > 0.02
    # the correction is a float32 of about 0.1 beside sums of about 10: 2**-24 of those
    assert after.max() < 2e-6


def test_a_linear_layer():
    def build(emit, x):
        return emit(relax.op.matmul(x, const(array(6, 4, seed=7))))

    data = [{"x": np.abs(array(2, 3, 6, seed=i))} for i in range(4)]
    exact, rounded = calibrated(build, data)
    corrected = CorrectBias.as_pass(data)(rounded)
    assert np.abs(mean_error(rounded, exact, data, (0, 1))).max() > 0.02
    assert np.abs(mean_error(corrected, exact, data, (0, 1))).max() < 2e-6


def test_corrections_become_part_of_biases():
    data = images()
    _, rounded = calibrated(two_convs, data)
    corrected = CorrectBias.as_pass(data)(rounded)
    assert listing(corrected) == listing(rounded)
    _, rounded = calibrated(without_bias, data)
    corrected = CorrectBias.as_pass(data)(rounded)
    assert listing(corrected)[-2:] == ["add(%2, const)", "%3"]


def read_twice(emit, x):
    y = emit(conv2d(x, const(array(4, 3, 3, 3, seed=7))))
    return relax.Tuple([emit(add(y, const(array(4, 1, 1)))), y])


def test_a_layer_with_two_readers_is_corrected_for_both():
    data = images()
    exact, rounded = calibrated(read_twice, data)
    corrected = CorrectBias.as_pass(data)(rounded)
    for i in (0, 1):
        graphs = [Graph(mod["main"]) for mod in (exact, corrected)]
        a, b = (np.concatenate([Evaluator(g, [g.output])(x)[0][i] for x in data]) for g in graphs)
        assert np.abs((b.astype("float64") - a).mean(axis=(0, 2, 3))).max() < 2e-6


def test_batches_count_by_their_samples():
    """A batch of 30 and one of 2: the mean is that of 32 samples."""
    data = [*images(1, 30), *images(1, 2, seed=5)]
    exact, rounded = calibrated(lambda emit, x: one_conv(emit, x), images(1, 30))
    errors = mean_errors(Graph(rounded["main"]), data)
    (error,) = errors.values()
    assert error.shape == (4, 1, 1)
    measured = mean_error(rounded, exact, data, (0, 2, 3))
    np.testing.assert_allclose(error.ravel(), measured, rtol=0, atol=2e-6)


def test_64_samples_are_enough():
    _, rounded = calibrated(one_conv, images())
    seen = []

    def stream():
        for i in range(1000):
            seen.append(i)
            yield images(1, 16, seed=i)[0]

    mean_errors(Graph(rounded["main"]), stream())
    assert len(seen) == 4


def test_layers_that_stay_in_float_are_not_corrected():
    config = QConfig(preset="accurate", calibrate_mode="minmax", skip=["relax.nn.conv2d@1"])
    mod = module(two_convs, x=(2, 3, 6, 6))
    passes = [*annotate_passes(config), Calibrate.as_pass(config, images())]
    graph = Graph(tvm.transform.Sequential(passes)(mod)["main"])
    assert [int(var.ty.shape[1]) for var in mean_errors(graph, images())] == [4]


@pytest.mark.parametrize("shape, taken", [((1, 3, 8, 8), 64), ((1, 3, 512, 512), 16), ((40, 2), 2)])
def test_batches_that_are_looked_at(shape, taken):
    batches = [{"data": np.broadcast_to(np.float32(0), shape)}] * 100
    assert len(first_batches(batches)) == taken
