"""Every configuration that Relay's quantizer computed, computed here, and in NumPy."""

import functools
from pathlib import Path

import numpy as np
import pytest
import tvm

from tvm_book import conformance
from tvm_book._signature import bind_params
from tvm_book.quantize import QConfig, qconfig
from tvm_book.quantize._evaluate import Evaluator
from tvm_book.quantize._graph import Graph
from tvm_book.quantize._passes import annotate_passes
from tvm_book.quantize.calibrate import choose_grids, kl_divergence
from tvm_book.quantize.calibrate._grid import simulated
from tvm_book.quantize.calibrate.kl_divergence import KLDivergence
from tvm_book.testing import integer_reference
from tvm_book.testing.golden import golden_cases

ROOT = Path(__file__).parents[1] / "golden"
CASES = {case.name: case for case in golden_cases(ROOT)}
CALIBRATED = {
    name: keys
    for name, case in CASES.items()
    if (
        keys := [
            key
            for key in conformance.comparable(case)
            if "calibrate_mode" in case.configs[key]["qconfig"]
        ]
    )
}


def test_the_record_is_complete():
    assert len(CASES) == 127
    assert sum(len(case.configs) for case in CASES.values()) == 758
    # Undefined: what Relay computed depended on how LLVM treats out-of-range conversions.
    assert sum(len(conformance.comparable(case)) for case in CASES.values()) == 747
    assert sum(len(keys) for keys in CALIBRATED.values()) == 78


@pytest.fixture
def runs(monkeypatch):
    """What `conformance` compiles and computes: modules, outputs, and whether code is optimized."""
    run_all, found = conformance._run_all, []

    def recorded(modules, data, optimize):
        outputs = run_all(modules, data, optimize)
        found.append((modules, outputs, optimize))
        return outputs

    monkeypatch.setattr(conformance, "_run_all", recorded)
    return found


@pytest.mark.parametrize("name", [name for name in CASES if conformance.comparable(CASES[name])])
def test_outputs_are_those_of_relay_and_of_the_reference(name, monkeypatch, runs):
    """``exact``: equal bits. ``float``: within 1e-6 of the maximum, as `conformance` defines.

    Once more with the compiler that users have, for the configuration that quantizes most.
    """
    case = CASES[name]
    monkeypatch.setattr(conformance, "import_case", functools.cache(conformance.import_case))
    outcomes = conformance.check_case(case)
    assert [outcome.key for outcome in outcomes] == conformance.comparable(case)
    key = max(conformance.comparable(case), key=lambda key: case.configs[key]["n_int8_conv"])
    outcomes += conformance.check_case(case, [key], optimize=True)
    assert not [outcome for outcome in outcomes if not outcome.holds]
    for modules, outputs, optimize in runs:
        for key, mod in modules.items():
            is_float = case.configs[key]["exactness"] == "float"
            check_reference(mod, case.data, outputs[key], is_float, optimize)


def check_reference(mod, data, out, is_float, optimize):
    """Compare bits, unless code may round floats otherwise than the reference.

    Optimized code adds floats in another order, or by fused multiply-add; it is off by at most
    1.2e-7, one unit in the last place, of the largest output of these networks. So is the sigmoid.
    """
    reference = integer_reference(mod, data)
    if is_float and (optimize or "R.sigmoid" in mod.script()):
        atol = 2**-22 * np.abs(reference).max()
        np.testing.assert_allclose(out, reference, rtol=0, atol=atol)
    else:
        np.testing.assert_array_equal(out, reference)


@pytest.fixture
def remember_divergences(monkeypatch):
    """Many configurations of a case share their activations: search each histogram once."""
    search, known = kl_divergence.divergences, {}

    def remembered(histogram):
        key = histogram.tobytes()
        if key not in known:
            known[key] = search(histogram)
        return known[key]

    monkeypatch.setattr(kl_divergence, "divergences", remembered)


@pytest.mark.parametrize("name", CALIBRATED)
def test_calibration_finds_the_scales_of_relay(name, remember_divergences):
    case = CASES[name]
    mod, params = conformance.import_case(case)
    bound = bind_params(mod, params)
    for key in CALIBRATED[name]:
        config = qconfig(**case.configs[key]["qconfig"])
        with tvm.transform.PassContext(opt_level=case.configs[key]["opt_level"]):
            annotated = tvm.transform.Sequential(annotate_passes(config))(bound)
        found = choose_grids(annotated, config, case.dataset)
        recorded = conformance.recorded_grids(case, key)
        assert [grid.kind for grid in found] == [grid.kind for grid in recorded]
        for number, (mine, theirs) in enumerate(zip(found, recorded, strict=True)):
            assert (mine.low, mine.high) == (theirs.low, theirs.high)
            # Activations are float32 sums, whose last bits depend on the order of adding.
            if not np.isclose(mine.scale, theirs.scale, rtol=1e-6, atol=0):
                assert (name, config.calibrate_mode) == ("cal_res", "kl_divergence")
                values = observed_values(annotated, case, number)
                assert is_reachable(theirs.scale, values)


def observed_values(annotated, case, number):
    """What the data looks like at ``simulated_quantize`` number ``number``."""
    call = simulated(Graph(annotated["main"]))[number]
    evaluator = Evaluator(Graph(annotated["main"]), [call.args[0]])
    return np.concatenate([evaluator(batch)[0].reshape(-1) for batch in case.dataset])


def is_reachable(scale, values):
    """Whether the KL search finds ``scale`` when activations are off by an ulp or two.

    The search is ill-conditioned: a value at the edge of a bin decides between two windows.
    """
    rng = np.random.default_rng(0)
    for _ in range(16):
        noise = rng.integers(-2, 3, values.shape) * np.spacing(np.abs(values))
        watcher = KLDivergence(QConfig())
        for number in range(KLDivergence.passes):
            watcher.update((values + noise).astype(np.float32), number)
        if np.isclose(watcher.limits()[1] / 128, scale, rtol=1e-6, atol=0):
            return True
    return False
