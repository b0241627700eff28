"""Networks that hypothesis makes up: compiled code computes the bits of the integer reference.

A float operator whose rounding is left open (`tests.testing.cut`) is cut out: what it reads is
compared, and what it computes is given. That the library quantizes and compiles each network at all
is tested with it. The suite tries a few networks, always the same; more in each profile, and other
ones for each seed, with

    TVM_BOOK_FUZZ=200 python -m pytest tests/testing/test_fuzz.py --hypothesis-seed=1
"""

import os
import warnings

import numpy as np
import pytest
import tvm
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from tvm.relax import op

import tvm_book
from tests.backend.levels import LEVELS
from tests.backend.traps import TRAPPED, why_not
from tests.quantize.graphs import array, module, op_names
from tests.testing.cut import cut
from tests.testing.networks import networks
from tvm_book.quantize import QConfig, quantize
from tvm_book.testing import integer_reference

ISAS = [None, None, *LEVELS, *([] if why_not() else [TRAPPED])]
MORE = os.environ.get("TVM_BOOK_FUZZ")
EXAMPLES = settings(
    max_examples=int(MORE or 12),
    derandomize=MORE is None,
    # Each attempt to shrink compiles a network, and a network is small and says how it was made.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def with_storage(options):
    """Spell bits and types as options."""
    for kind in ("input", "weight"):
        options[f"nbit_{kind}"], options[f"dtype_{kind}"] = options.pop(kind)
    return options


BITS = st.sampled_from([8, 8, 8, 7, 5, 4, 3, 2])
STORED = st.sampled_from([8, 8, 7, 5, 4, 3, 2]).map(lambda bits: (bits, "int8"))
WIDER = st.sampled_from([(16, "int16"), (12, "int16"), (9, "int16")])
RELAY = st.fixed_dictionaries(
    {
        "input": st.one_of(STORED, STORED, STORED, WIDER),
        "weight": st.one_of(STORED, STORED, STORED, WIDER),
        "calibrate_mode": st.sampled_from(["global_scale", "percentile", "minmax"]),
        "global_scale": st.sampled_from([8.0, 1.0, 6.0, 16.0, 0.3]),
        "weight_scale": st.sampled_from(["power2", "max"]),
        "skip_conv_layers": st.sampled_from([(), (), (), (0,), (1,)]),
        "skip_dense_layer": st.sampled_from([False, False, False, True]),
        "round_for_shift": st.booleans(),
        "rounding": st.sampled_from(["UPWARD", "TONEAREST"]),
        "dtype_activation": st.sampled_from(["int32", "int32", "int32", "int64"]),
    }
).map(with_storage)
AFFINE = st.fixed_dictionaries(
    {
        "preset": st.just("accurate"),
        "nbit_input": BITS,
        "nbit_weight": BITS,
        "calibrate_mode": st.sampled_from(["minmax", "minmax", "percentile", "mse"]),
        "weight_scale": st.sampled_from(["max", "mse", "power2"]),
        "weight_granularity": st.sampled_from(["channel", "channel", "tensor"]),
        "weight_rounding": st.sampled_from(["nearest", "nearest", "compensated"]),
        "symmetric_input": st.sampled_from([False, False, True]),
        "bias_correction": st.booleans(),
        "equalize": st.sampled_from([False, False, True]),
        "skip_conv_layers": st.sampled_from([(), (), (), (1,)]),
    }
)
FIXED_POINT, FLOAT = (
    AFFINE.map(lambda options, form=form: options | {"requantize": form})
    for form in ("fixed_point", "float")
)
IMAGES, SEQUENCES = ("image",), ("signal", "rows", "flat")
PROFILES = {
    "relay, images": (RELAY, IMAGES),
    "relay, sequences": (RELAY, SEQUENCES),
    "accurate, images": (FIXED_POINT, IMAGES),
    "accurate, sequences": (FIXED_POINT, SEQUENCES),
    "accurate in float, images": (FLOAT, IMAGES),
    "accurate in float, sequences": (FLOAT, SEQUENCES),
}
CODE = st.fixed_dictionaries({"isa": st.sampled_from(ISAS), "threads": st.sampled_from([1, 1, 2])})


@pytest.mark.parametrize("profile", PROFILES)
def test_compiled_code_computes_the_bits_of_the_reference(profile):
    options, kinds = PROFILES[profile]

    @EXAMPLES
    @given(networks(kinds), options, st.sampled_from([3, 3, 2]), st.booleans(), CODE)
    def check(network, options, opt_level, split, code):
        whole = quantized(network, opt_level, **options, partition_conversions="disabled")
        event("quantized" if "int8" in whole.script() else "stayed in float")
        exact, inputs = cut(whole, [network.data[0], network.beyond])
        event(f"{len(inputs[0]) - 1} operators cut out")
        if split and len(inputs[0]) == 1:
            exact = quantized(network, opt_level, **options, partition_conversions="enabled")
        assert_equal_bits(exact, inputs, code)

    check()


def quantized(network, opt_level, **options):
    data = [{"x": batch} for batch in network.data]
    with tvm.transform.PassContext(opt_level=opt_level), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "nothing was quantized")
        warnings.filterwarnings("ignore", ".*no rule")
        return quantize(network.mod, dataset=data, config=QConfig(**options))


def assert_equal_bits(mod, inputs, code):
    run = tvm_book.compile(mod, **code)
    for arrays in inputs:
        outputs, reference = run(*arrays), integer_reference(mod, *arrays)
        if not isinstance(reference, tuple):
            outputs, reference = (outputs,), (reference,)
        for out, expected in zip(outputs, reference, strict=True):
            assert out.dtype == expected.dtype
            np.testing.assert_array_equal(out, expected)


def test_a_cut_keeps_all_other_operators():
    mod = module(lambda emit, x: emit(op.nn.relu(op.nn.softmax(op.negative(x), axis=1))), x=(2, 3))
    x = array(2, 3)
    exact, ((data, softmax),) = cut(mod, [x])
    assert sorted(op_names(exact)) == ["negative", "nn.relu"]
    result, read = integer_reference(exact, data, softmax)
    np.testing.assert_array_equal(read, -x)
    np.testing.assert_array_equal(result, softmax)
    np.testing.assert_array_equal(result, integer_reference(mod, x))
