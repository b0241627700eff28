"""What the rules say and advise, to the letter."""

import numpy as np
import pytest

from tests.report.records import ONE_LARGE, findings, layer, only, tensor
from tvm_book.quantize import QConfig


def test_a_good_layer_needs_nothing():
    (found,) = only()
    assert vars(found) == {
        "layer": "conv",
        "position": 0,
        "kind": "fine",
        "severity": "none",
        "sentence": "41.0 dB alone, 40.0 dB with all before it",
        "advice": "nothing to do",
        "path": "conv",
    }


# What is said, to the letter, where the numbers and the option's name matter.
SENTENCES = {
    "clipped": (
        [tensor(saturated=0.034, maximum=99.0)],
        "3.4% of its input from relu is clipped: the grid ends at -12.8 and 12.7, the values at "
        "-12 and 99",
        "calibrate on data like these; calibrate_layers={'conv': \"minmax\"} keeps every value "
        "that calibration saw",
    ),
    "clipped by a constant": (
        [tensor(saturated=0.034, minimum=-99.0, calibrated=False)],
        "3.4% of its input from relu is clipped: the grid ends at -12.8 and 12.7, the values at "
        "-99 and 12.5",
        'calibrate on data: calibrate_mode="mse", or preset="accurate", or give a wider constant: '
        "global_scale=128",
    ),
    "clipped weight": (
        [tensor("weight", saturated=0.034)],
        "3.4% of its weight is clipped: the grid ends at -12.8 and 12.7, the values at -12 and "
        "12.5",
        'weight_scale="max" keeps every weight on its grid',
    ),
    "few_steps": (
        [tensor(used=0.04, minimum=-0.5, maximum=0.5)],
        "only 4.0% of the 256 steps are used by its input from relu: the values lie between -0.5 "
        "and 0.5, the grid ends at -12.8 and 12.7",
        "calibrate on data like these, or calibrate_layers={'conv': \"percentile\"}, which leaves "
        "rare large values out",
    ),
    "few_steps of a constant": (
        [tensor(used=0.04, minimum=-0.5, maximum=0.5, calibrated=False)],
        "only 4.0% of the 256 steps are used by its input from relu: the values lie between -0.5 "
        "and 0.5, the grid ends at -12.8 and 12.7",
        'calibrate on data: calibrate_mode="mse", or preset="accurate", or give a smaller '
        "constant: global_scale=0.5",
    ),
    "few_steps of a weight": (
        [tensor("weight", used=0.04)],
        "only 4.0% of the 256 steps are used by its weight: the values lie between -12 and 12.5, "
        "the grid ends at -12.8 and 12.7",
        'weight_scale="mse" fits the grid to the weights',
    ),
    "dominating_channel": (
        [tensor(channels=ONE_LARGE)],
        "channel 0 of its input from relu stretches the grid of all 5: it reaches 80, the channel "
        "in the middle 10, 100 steps of that grid",
        'equalize=True with preset="accurate" evens channels out, '
        "calibrate_layers={'conv': \"kl_divergence\"} clips the largest, and "
        "qconfig(skip=['conv']) keeps the layer in float",
    ),
    "dominating_channel of a weight": (
        [tensor("weight", channels=np.array([0.1, 0.1, 0.1, 12.0]))],
        "channel 3 of its weight stretches the grid of all 4: it reaches 12, the channel in the "
        "middle 0.1, 1 step of that grid",
        'weight_granularity="channel" gives each its own scale; preset="accurate" has it',
    ),
    "dead_channel": (
        [tensor(channels=np.array([1.0, 0, 0, 1]))],
        "2 of 4 channels of its input from relu (1, 2) are 0 throughout",
        "see whether more calibration data wake them; otherwise train or prune the model: no "
        "option changes a channel that is 0",
    ),
    "dead_channel of a weight": (
        [tensor("weight", channels=np.array([1.0] + [0] * 6))],
        "6 of 7 channels of its weight (1, 2, 3, 4, 5, ...) are 0 throughout",
        "train or prune the model: no option changes a channel that is 0",
    ),
    "lost_channel": (
        [tensor("weight", channels=np.array([0.04, 0.3, 0.3, 0.3]))],
        "1 of 4 channels of its weight (0) is rounded to 0: no value reaches half a step, 0.05",
        'weight_granularity="channel" gives each its own scale; preset="accurate" has it',
    ),
    "constant_input": (
        [tensor(minimum=0.25, maximum=0.25)],
        "its input from relu is 0.25 in every place of 8 samples",
        "look at the data, and at what comes before conv: its error means nothing as long as its "
        "input says nothing",
    ),
    "not_finite": (
        [tensor("weight", minimum=-np.inf)],
        "its weight is not finite in float: its values end at -inf and 12.5",
        "look at the data and at the float model: what overflows in float32 cannot be quantized",
    ),
    "never_calibrated": (
        [tensor(calibrated=False)],
        "1 grid was not chosen from data: that of its input from relu ends at -12.8 and 12.7, the "
        "values at -12 and 12.5",
        'calibrate on data: calibrate_mode="mse", or preset="accurate"',
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_sentences(case):
    operands, sentence, advice = SENTENCES[case]
    found = only(*operands)
    (finding,) = [f for f in found if f.kind == case.split(" ")[0]]
    assert (finding.sentence, finding.advice) == (sentence, advice)


def test_beside_infinities_and_nan_nothing_else_is_said():
    """Of other rules, the channel would dominate, the range be clipped, and few steps be used."""
    channels = np.array([np.inf, 0.01, 0.0, 1.0])
    wrong = {"saturated": 0.5, "used": 0.1, "channels": channels, "calibrated": False}
    for ends in ((-1.0, np.inf), (np.nan, np.nan), (np.inf, np.inf)):
        operand = tensor(minimum=ends[0], maximum=ends[1], **wrong)
        (found,) = only(operand, isolated_sqnr_db=np.nan, accumulated_sqnr_db=np.nan)
        assert (found.kind, found.severity) == ("not_finite", "high")
    assert found.sentence == (
        "its input from relu is not finite in float: its values end at inf and inf"
    )


def test_grids_of_a_layer_that_were_not_chosen_are_one_finding():
    (found,) = only(tensor(calibrated=False), tensor(calibrated=False), tensor("weight"))
    assert found.sentence == (
        "2 grids were not chosen from data: that of its input from relu ends at -12.8 and 12.7, "
        "the values at -12 and 12.5"
    )


def test_a_channel_that_is_lost_on_its_own_grid_is_not_told_to_get_one():
    scale = np.float32([0.2, 0.1, 0.9, 0.1]).reshape(4, 1, 1, 1)
    found = only(tensor("weight", scale=scale, channels=np.array([0.04, 9, 9, 9])))
    (lost,) = [f for f in found if f.kind == "lost_channel"]
    assert lost.sentence == (
        "1 of 4 channels of its weight (0) is rounded to 0: no value reaches half a step, 0.1"
    )
    assert lost.advice == "qconfig(skip=['conv']) keeps conv in float"


def test_a_constant_of_no_product_has_no_scale_a_channel():
    weight = tensor("weight", channels=np.array([0.04, 0.3, 0.3, 0.3]))
    (found,) = only(weight, operations=0)
    assert found.advice == "qconfig(skip=['conv']) keeps conv in float"


def test_sums_that_wrap_weigh_more():
    (near,) = only(accumulator=0.75)
    (wrapped,) = only(accumulator=1.25)
    assert (near.severity, near.sentence) == ("medium", "its sums reach 75% of int32")
    assert wrapped.severity == "high"
    assert wrapped.sentence == "its sums reach 125% of int32's range and wrap around"
    assert wrapped.advice == (
        "nbit_input=7 or nbit_weight=7 halves them; qconfig(skip=['conv']) keeps the layer in float"
    )


def test_an_inherited_error_names_the_worst_layer_before():
    found = findings(
        layer("good"),
        layer("worst", isolated_sqnr_db=5.0, accumulated_sqnr_db=5.0),
        layer("between", accumulated_sqnr_db=5.5, reads=(1, 0)),
        layer("unrelated", isolated_sqnr_db=1.0, accumulated_sqnr_db=1.0),
        layer("last", isolated_sqnr_db=25.0, accumulated_sqnr_db=6.0, reads=(2, -1)),
    )
    (inherited,) = found.of("last")
    assert inherited.kind == "inherited"
    assert inherited.severity == "low"
    assert inherited.sentence == (
        "its error comes from before: 25.0 dB alone, 6.0 dB with all before it"
    )
    assert inherited.advice == "look at worst first (5.0 dB alone)"
    (alone,) = only(isolated_sqnr_db=25.0, accumulated_sqnr_db=6.0)
    assert alone.advice == "look at what is between layers"


def test_advice_names_options_that_exist():
    layers = [layer("conv", *case[0]) for case in SENTENCES.values()]
    advice = " ".join(f.advice for f in findings(*layers, layer("conv", accumulator=0.9)))
    for option, value in {
        "calibrate_mode": "mse",
        "calibrate_layers": {"conv": "minmax"},
        "preset": "accurate",
        "weight_granularity": "channel",
        "weight_scale": "max",
        "equalize": True,
        "skip": ["conv"],
        "nbit_input": 7,
        "nbit_weight": 7,
        "global_scale": 128,
    }.items():
        assert f"{option}=" in advice
        QConfig(**({"preset": "accurate"} | {option: value}))
