"""What Relay's quantizer could not do: refused with a clear error, or done and checked in NumPy."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tvm

import tvm_book
from tvm_book.conformance import import_case
from tvm_book.quantize import qconfig, quantize
from tvm_book.testing import integer_reference
from tvm_book.testing.golden import GoldenCase, golden_failures
from tvm_book.testing.metric import sqnr_db

GOLDEN = Path(__file__).parents[1] / "golden"
FAST_TO_COMPILE = {"kind": "llvm", "opt-level": 0}  # optimized code: test_golden.py
FAILURES = {(f["case"], f["cfgkey"]): f for f in golden_failures(GOLDEN)}

# category: what the error says
REFUSED = {
    "bad_option": "is 'nonsense'; choose from",
    "no_dataset": r"needs calibration data: pass dataset=\[",
    "not_fully_integral": r"computes relax.astype in float32; quantize under .*opt_level=3",
    "debug_ops_dtype": "without being rounded; enable 'annotation.cast_hint', too",
}
WARNED = {"nothing_to_quantize": r"nothing was quantized.*skip_conv_layers=\[0\]"}

# Signal to noise ratio in dB that the result has at least; 8-bit activations give 20 to 40.
WORKS = {
    ("cat2", "o3__default"): 24,
    ("cat_dense", "o3__default"): 27,
    ("debug_ops", "o3__skip_none__dbg_conv2d"): 33,
    (
        "debug_ops",
        "o3__skip_none__dbg_conv2d-annotationpcastphint-annotationpstoppfusion",
    ): 33,
    ("maxpool_relu_after", "o3__skip_none__gs_6p0"): 34,
    ("mul_se", "o3__default"): 19,
    ("mul_se", "o3__skip_none"): 16,
    ("mul_se_gap", "o3__default"): 26,
    ("skip_branch_cat", "o3__skip_1"): 37,
    ("sweep_a", "o3__skip_none__di_int16__ni_16"): 31,
    ("sweep_a", "o3__skip_none__dw_int16__nw_16"): 31,
}
# Values beyond global_scale end at it, as Relay's scheme wants. What is left then; the global_scale
# that holds the values, and the ratio with it.
SATURATES = {
    ("cat_input", "o3__skip_none"): (11, 16, 32),
    ("debug_ops_res", "o3__skip_none__dbg_conv2d"): (15, 16, 38),
    (
        "debug_ops_res",
        "o3__skip_none__dbg_conv2d-annotationpcastphint-annotationpstoppfusion",
    ): (15, 16, 38),
    ("maxpool_relu_after", "o3__skip_none__gs_4p0"): (13, 6, 34),
    # the product of two tensors reaches 189, and both share one scale with it
    ("mul_two_convs", "o3__skip_none"): (0.5, 256, 13),
    ("sweep_b", "o3__skip_none__di_int16__ni_16"): (6, 32, 31),
    ("sweep_b", "o3__skip_none__dw_int16__nw_16"): (6, 32, 31),
    ("sweep_chain", "o3__skip_none__di_int16__ni_16"): (9, 16, 28),
    ("sweep_chain", "o3__skip_none__dw_int16__nw_16"): (9, 16, 28),
}


@cache
def imported(name):
    case = GoldenCase(GOLDEN / name)
    return case, *import_case(case)


def quantized(failure, **changes):
    case, mod, params = imported(failure["case"])
    config = qconfig(**{**failure["qconfig"], **changes})
    with tvm.transform.PassContext(opt_level=failure["opt_level"]):
        return case, quantize(mod, params, case.dataset, config)


def keys(categories):
    return [key for key, failure in FAILURES.items() if failure["category"] in categories]


def named(keys):
    return [pytest.param(key, id="-".join(key)) for key in keys]


def test_every_failure_is_covered_once():
    covered = [*keys(REFUSED), *keys(WARNED), *WORKS, *SATURATES]
    assert sorted(covered) == sorted(FAILURES)
    assert len(FAILURES) == 34


@pytest.mark.parametrize("key", named(keys(REFUSED)))
def test_is_refused_with_what_to_do(key):
    with pytest.raises(ValueError, match=REFUSED[FAILURES[key]["category"]]):
        quantized(FAILURES[key])


@pytest.mark.parametrize("key", named(keys(WARNED)))
def test_warns_and_stays_float(key):
    with pytest.warns(UserWarning, match=WARNED[FAILURES[key]["category"]]):
        case, mod = quantized(FAILURES[key])
    assert "int8" not in mod.script()
    out = tvm_book.compile(mod, FAST_TO_COMPILE)(case.data)
    # float32 sums of 9 * 16 products in another order than Relay's
    np.testing.assert_allclose(out, case.expected["float_out"], rtol=1e-5, atol=1e-5)


def run_exactly(case, mod):
    """Run compiled code; it has to compute the bits of the NumPy reference."""
    out = tvm_book.compile(mod, FAST_TO_COMPILE)(case.data)
    np.testing.assert_array_equal(out, integer_reference(mod, case.data))
    return out


@pytest.mark.parametrize("key", named([*WORKS, *SATURATES]))
def test_works_and_equals_the_integer_computation(key):
    case, mod = quantized(FAILURES[key])
    assert "int8" in mod.script() or "int16" in mod.script()
    noise = sqnr_db(case.expected["float_out"], run_exactly(case, mod))
    floor = WORKS[key] if key in WORKS else SATURATES[key][0]
    assert floor < noise < floor + 1.5


@pytest.mark.parametrize("key", named(SATURATES))
def test_what_saturates_is_close_to_float_with_a_wider_scale(key):
    _, wider, floor = SATURATES[key]
    case, mod = quantized(FAILURES[key], global_scale=wider)
    noise = sqnr_db(case.expected["float_out"], integer_reference(mod, case.data))
    assert floor < noise < floor + 1.5


@pytest.mark.parametrize("skip", [[], [0], [1]])
def test_concat_of_two_branches_with_calibrated_scales(skip):
    """Relay rescaled int8 fields within int8, or failed; here they get a wider type."""
    case, mod, params = imported("cat2")
    rng = np.random.default_rng(0)
    dataset = [{"data": rng.standard_normal(case.data.shape).astype("float32")} for _ in range(4)]
    config = qconfig(calibrate_mode="percentile", skip_conv_layers=skip)
    with tvm.transform.PassContext(opt_level=3):
        out = run_exactly(case, quantize(mod, params, dataset, config))
    assert 25 < sqnr_db(case.expected["float_out"], out) < 27
