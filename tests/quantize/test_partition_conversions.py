"""partition_conversions: what goes into the three functions, and that they compute the same."""

import dataclasses

import numpy as np
import pytest
import tvm
from tvm import relax

import tvm_book
from tests.quantize.graphs import array, constant, conv, module, op_names, run
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, quantize
from tvm_book.testing.models import MODELS

SHAPE = (1, 3, 4, 4)
X = array(*SHAPE, scale=2)
RELU, SIGMOID = relax.op.nn.relu, relax.op.sigmoid


def two_layers(emit, x):
    return emit(conv(emit(RELU(emit(conv(x))))))


def with_a_float_layer_between(emit, x):
    return emit(conv(emit(SIGMOID(emit(conv(x))))))


def with_a_float_tail(emit, x):
    return emit(relax.op.add(emit(SIGMOID(emit(conv(x)))), constant(3, 1, 1)))


def with_several_results(emit, x):
    first = emit(conv(x))
    second = emit(conv(emit(RELU(first))))
    return relax.Tuple([second, x, emit(SIGMOID(first)), second, constant(2)])


def with_a_float_value_read_twice(emit, x):
    gate = emit(SIGMOID(emit(conv(x))))
    return relax.Tuple([gate, emit(conv(gate))])


def with_an_input_that_stays_float(emit, x):
    return emit(relax.op.add(emit(SIGMOID(emit(conv(x)))), emit(relax.op.exp(x))))


NETWORKS = {
    build.__name__: build
    for build in (
        two_layers,
        with_a_float_layer_between,
        with_a_float_tail,
        with_several_results,
        with_a_float_value_read_twice,
        with_an_input_that_stays_float,
    )
}


def quantized(build, mode, opt_level=3, **options):
    config = QConfig(skip_conv_layers=None, partition_conversions=mode, **options)
    with tvm.transform.PassContext(opt_level=opt_level):
        return quantize(module(build, x=SHAPE), config=config)


def types(parameters):
    return [str(parameter.ty.dtype) for parameter in parameters]


@pytest.mark.parametrize(
    "name, skip",
    [*((name, None) for name in NETWORKS), ("two_layers", [0]), ("with_several_results", [0])],
)
def test_the_numbers_stay_the_same(name, skip):
    config = {"skip_conv_layers": skip}
    mod = module(NETWORKS[name], x=SHAPE)
    whole = quantize(mod, config=QConfig(**config))
    parts = quantize(mod, config=QConfig(**config, partition_conversions="enabled"))
    relax.analysis.check_well_formed(parts)
    expected, outputs = run(whole, X), run(parts, X)
    if isinstance(expected, tuple):
        for a, b in zip(outputs, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_array_equal(outputs, expected)


def test_the_first_function_quantizes_the_last_returns_to_float():
    parts = quantized(two_layers, "enabled")
    assert op_names(parts, "quantize_inputs") == ["multiply", "round_half_away", "clip", "astype"]
    assert op_names(parts, "dequantize_outputs") == ["astype", "multiply"]
    middle = parts["quantized_main"]
    assert types(middle.params) == ["int8"]
    assert not any(name.startswith("nn.") for name in op_names(parts, "quantize_inputs"))
    assert "float" not in str(middle)


def test_main_calls_the_three_in_order():
    parts = quantized(two_layers, "enabled")
    calls = [
        binding.value.op.name_hint
        for block in parts["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, relax.Call)
    ]
    assert calls == ["quantize_inputs", "quantized_main", "dequantize_outputs"]
    assert parts["main"].attrs["global_symbol"] == "main"


def test_the_float_tail_is_in_the_last_function():
    parts = quantized(with_a_float_tail, "enabled")
    assert op_names(parts, "dequantize_outputs") == ["astype", "multiply", "sigmoid", "add"]


def test_float_operators_between_layers_stay_in_the_middle():
    parts = quantized(with_a_float_layer_between, "enabled")
    assert "sigmoid" in op_names(parts, "quantized_main")


def test_a_float_value_that_layers_and_the_result_need_is_computed_once():
    parts = quantized(with_a_float_value_read_twice, "enabled")
    names = [name for var in parts.get_global_vars() for name in op_names(parts, var.name_hint)]
    assert names.count("sigmoid") == 1


def test_fully_integral_accepts_integers_only():
    assert "float" not in str(quantized(two_layers, "fully_integral")["quantized_main"])
    for build in (with_a_float_layer_between, with_an_input_that_stays_float):
        with pytest.raises(ValueError, match="the quantized part computes .* float32; quantize"):
            quantized(build, "fully_integral")


def test_fully_integral_needs_biases_in_integers():
    def biased(emit, x):
        first = emit(conv(x))
        bias = emit(relax.op.reshape(constant(3), (1, 3, 1, 1)))
        return emit(conv(emit(RELU(emit(relax.op.add(first, bias))))))

    with pytest.raises(ValueError, match=r"PassContext\(opt_level=3\)"):
        quantized(biased, "fully_integral", opt_level=2)
    quantized(biased, "fully_integral")


def test_other_functions_are_kept():
    mod = module(two_layers, x=SHAPE)
    other = module(lambda emit, x: emit(relax.op.exp(x)), x=(2,))["main"]
    mod["other"] = other.with_attr("global_symbol", "other")
    parts = quantize(mod, config=QConfig(skip_conv_layers=None, partition_conversions="enabled"))
    tvm.ir.assert_structural_equal(parts["other"], mod["other"])


def test_the_affine_scheme_splits_at_its_quantize_and_dequantize():
    """Its ResNet is integral in the middle, whatever the opt_level."""
    mod, params = from_pytorch(MODELS["resnet18"].build(), list(MODELS["resnet18"].inputs))
    config = QConfig(preset="accurate", calibrate_mode="global_scale")
    whole = quantize(mod, params, config=config)
    parts = quantize(
        mod, params, config=dataclasses.replace(config, partition_conversions="fully_integral")
    )
    assert op_names(parts, "quantize_inputs") == ["quantize"]
    assert op_names(parts, "dequantize_outputs") == ["dequantize"]
    (x,) = MODELS["resnet18"].sample(0, 1)
    np.testing.assert_array_equal(tvm_book.compile(parts)(**x), tvm_book.compile(whole)(**x))
