"""QConfig: defaults, checks of every option, scopes."""

import contextvars
import copy
import dataclasses
import pickle
import re
import threading

import numpy as np
import pytest

from tvm_book.quantize import QConfig, Rule, current_qconfig, qconfig
from tvm_book.quantize.presets import PRESETS

FIELDS = dataclasses.fields(QConfig)

# Relay's defaults (relay/quantize/quantize.py), and the two options that Relay did not have.
DEFAULTS = {
    "nbit_input": 8,
    "nbit_weight": 8,
    "nbit_activation": 32,
    "dtype_input": "int8",
    "dtype_weight": "int8",
    "dtype_activation": "int32",
    "calibrate_mode": "global_scale",
    "global_scale": 8.0,
    "weight_scale": "power2",
    "skip_dense_layer": True,
    "skip_conv_layers": (0,),
    "do_simulation": False,
    "round_for_shift": True,
    "debug_enabled_ops": None,
    "rounding": "UPWARD",
    "calibrate_chunk_by": -1,
    "partition_conversions": "disabled",
    "preset": "relay",
    "rules": (),
}

# option, bad value, error, what the message must say
BAD_VALUES = [
    ("nbit_input", 1, ValueError, "nbit_input is 1; give an integer from 2 to 32"),
    ("nbit_input", 33, ValueError, "give an integer from 2 to 32"),
    ("nbit_input", 8.0, TypeError, "nbit_input is 8.0; give an integer"),
    ("nbit_input", True, TypeError, "nbit_input is True; give an integer"),
    ("nbit_input", None, TypeError, "nbit_input is None; give an integer"),
    ("nbit_input", 9, ValueError, "nbit_input=9 does not fit dtype_input='int8'; widen it"),
    ("nbit_input", 16, ValueError, "dtype_input='int16'"),
    ("nbit_input", 17, ValueError, "dtype_input='int32'"),
    ("nbit_weight", 0, ValueError, "nbit_weight is 0; give an integer from 2 to 32"),
    ("nbit_weight", "8", TypeError, "nbit_weight is '8'; give an integer"),
    ("nbit_weight", 16, ValueError, "nbit_weight=16 does not fit dtype_weight='int8'; widen it"),
    ("nbit_activation", 64, ValueError, "nbit_activation is 64; give an integer from 2 to 32"),
    ("nbit_activation", [32], TypeError, "give an integer from 2 to 32"),
    ("dtype_input", "uint8", ValueError, "need a signed type: dtype_input='int8'"),
    ("dtype_input", "int9", ValueError, "did you mean 'int8'?"),
    ("dtype_input", "float32", ValueError, "dtype_input is 'float32'"),
    ("dtype_input", np.int8, TypeError, "choose from int8, int16, int32"),
    ("dtype_weight", "uint16", ValueError, "need a signed type: dtype_weight='int16'"),
    ("dtype_weight", "Int8", ValueError, "did you mean 'int8'?"),
    ("dtype_weight", 8, TypeError, "dtype_weight is 8; choose from int8"),
    ("dtype_activation", "int8", ValueError, "dtype_activation is 'int8'"),
    ("dtype_activation", "i32", ValueError, "did you mean 'int32'?"),
    ("dtype_activation", None, TypeError, "choose from int32"),
    ("calibrate_mode", "kl", ValueError, "choose from global_scale, kl_divergence, percentile"),
    ("calibrate_mode", "kl_divergance", ValueError, "did you mean 'kl_divergence'?"),
    ("calibrate_mode", None, TypeError, "choose from global_scale"),
    ("calibrate_layers", "fc", TypeError, "give a mapping from layers to algorithms such as"),
    ("calibrate_layers", {"fc"}, TypeError, "give a mapping from layers to algorithms such as"),
    ("calibrate_layers", {"": "mse"}, TypeError, "give a list of module paths or operators"),
    ("calibrate_layers", {"fc": "mes"}, ValueError, "calibrate_layers['fc'] is 'mes'; did you"),
    ("calibrate_layers", {"fc": None}, TypeError, "calibrate_layers['fc'] is None; choose from"),
    ("global_scale", 0, ValueError, "global_scale is 0; give a positive number"),
    ("global_scale", -8.0, ValueError, "give a positive number"),
    ("global_scale", float("inf"), ValueError, "give a positive number"),
    ("global_scale", float("nan"), ValueError, "give a positive number"),
    ("global_scale", 1e-40, ValueError, "from 1e-20 to 1e20"),
    ("global_scale", "8", TypeError, "global_scale is '8'; give a positive number"),
    ("global_scale", True, TypeError, "give a positive number"),
    ("weight_scale", "pow2", ValueError, "did you mean 'power2'?"),
    ("weight_scale", 2, TypeError, "choose from power2, max"),
    ("skip_dense_layer", "no", TypeError, "skip_dense_layer is 'no'; give True or False"),
    ("skip_dense_layer", 2, TypeError, "give True or False"),
    ("skip_dense_layer", None, TypeError, "give True or False"),
    ("skip_conv_layers", 0, TypeError, "skip_conv_layers is 0; give a list of convolution numbers"),
    ("skip_conv_layers", 1.5, TypeError, "give a list of convolution numbers, or None"),
    ("skip_conv_layers", "01", TypeError, "give a list of convolution numbers, or None"),
    ("skip_conv_layers", [0, 1.0], TypeError, "give a list of convolution numbers, or None"),
    ("skip_conv_layers", [True], TypeError, "give a list of convolution numbers, or None"),
    ("skip_conv_layers", [-1], ValueError, "convolutions are numbered from 0"),
    ("do_simulation", "yes", TypeError, "do_simulation is 'yes'; give True or False"),
    ("round_for_shift", 0.5, TypeError, "round_for_shift is 0.5; give True or False"),
    ("debug_enabled_ops", "nn.conv2d", TypeError, "give a list of operator names such as"),
    ("debug_enabled_ops", 5, TypeError, "debug_enabled_ops is 5; give a list of operator names"),
    ("debug_enabled_ops", ["add", 1], TypeError, "give a list of operator names"),
    ("rounding", "upward", ValueError, "choose from UPWARD, TONEAREST"),
    ("rounding", "TO_NEAREST", ValueError, "did you mean 'TONEAREST'?"),
    ("rounding", 1, TypeError, "choose from UPWARD, TONEAREST"),
    ("calibrate_chunk_by", 0, ValueError, "give -1 for all tensors at once"),
    ("calibrate_chunk_by", -2, ValueError, "give an integer from -1"),
    ("calibrate_chunk_by", 1.0, TypeError, "give an integer from -1"),
    ("partition_conversions", "enable", ValueError, "did you mean 'enabled'?"),
    ("partition_conversions", True, TypeError, "choose from disabled, enabled, fully_integral"),
    ("preset", "accurat", ValueError, "preset is 'accurat'"),
    ("preset", None, TypeError, "choose from relay"),
    ("scheme", "afine", ValueError, "did you mean 'affine'?"),
    ("percentile", 42, ValueError, "percentile is 42.0; give a share in percent, from 50 to 100"),
    ("percentile", "99", TypeError, "percentile is '99'; give a positive number"),
    ("weight_granularity", "channels", ValueError, "did you mean 'channel'?"),
    ("weight_granularity", "channel", ValueError, "has no meaning in scheme='relay'"),
    ("weight_rounding", "compensate", ValueError, "did you mean 'compensated'?"),
    ("symmetric_input", False, ValueError, "choose preset='accurate'"),
    ("requantize", "fixedpoint", ValueError, "did you mean 'fixed_point'?"),
    ("bias_correction", "on", TypeError, "give True or False"),
    ("equalize", 2, TypeError, "give True or False"),
    ("skip", 3, TypeError, "skip is 3; give a list of module paths or operators"),
    ("skip", [""], TypeError, "give a list of module paths or operators"),
    ("rules", None, TypeError, "rules is None; give a list of tvm_book.quantize.Rule"),
    ("rules", Rule("relax.negative"), TypeError, "give a list of tvm_book.quantize.Rule"),
    ("rules", ["relax.negative"], TypeError, "give a list of tvm_book.quantize.Rule"),
]


def test_fields_and_defaults_are_those_of_relay():
    options = dataclasses.asdict(QConfig())
    assert {name: options[name] for name in DEFAULTS} == DEFAULTS
    assert qconfig() == QConfig()


def test_every_field_has_a_bad_value_here():
    assert {name for name, *_ in BAD_VALUES} == {field.name for field in FIELDS}


def test_presets_name_every_option_but_their_own_name():
    for preset in PRESETS.values():
        assert {"preset", *preset} == {field.name for field in FIELDS}


def test_an_option_overrides_the_preset():
    config = qconfig(preset="accurate", calibrate_mode="minmax", nbit_weight=4)
    assert (config.calibrate_mode, config.nbit_weight) == ("minmax", 4)
    assert config == dataclasses.replace(
        QConfig(preset="accurate"), calibrate_mode="minmax", nbit_weight=4
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [("nbit_activation", 16), ("rounding", "TONEAREST"), ("round_for_shift", False)],
)
def test_the_affine_scheme_refuses_what_only_relay_reads(option, value):
    with pytest.raises(ValueError, match=f"{option}=.*no meaning in scheme='affine'"):
        qconfig(preset="accurate", **{option: value})


@pytest.mark.parametrize(
    "options", [{"nbit_input": 9, "dtype_input": "int16"}, {"dtype_weight": "int16"}]
)
def test_the_affine_scheme_has_at_most_8_bits(options):
    with pytest.raises(ValueError, match="at most 8 bits"):
        qconfig(preset="accurate", **options)


@pytest.mark.parametrize("name, value, error, message", BAD_VALUES)
def test_bad_value_is_named_with_what_to_do(name, value, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        qconfig(**{name: value})
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"nbit_input": 9, "dtype_input": "int16"},
        {"nbit_input": 16, "dtype_input": "int16"},
        {"nbit_weight": 17, "dtype_weight": "int32"},
        {"nbit_input": 2},
        {"nbit_activation": 32, "dtype_activation": "int16"},  # Relay wraps around; golden cases do
    ],
)
def test_grid_that_fits_its_storage_is_accepted(options):
    config = qconfig(**options)
    assert {name: getattr(config, name) for name in options} == options


@pytest.mark.parametrize(
    "name, given, kept",
    [
        ("skip_conv_layers", [], ()),
        ("skip_conv_layers", [2, 0], (2, 0)),
        ("skip_conv_layers", range(3), (0, 1, 2)),
        ("skip_conv_layers", iter([1, 3]), (1, 3)),
        ("skip_conv_layers", {4}, (4,)),
        ("skip_conv_layers", np.array([1, 2]), (1, 2)),
        ("skip_conv_layers", None, None),
        ("debug_enabled_ops", (name for name in ["add"]), ("add",)),
        ("debug_enabled_ops", [], ()),
        ("rules", [], ()),
        ("global_scale", 4, 4.0),
        ("global_scale", np.float32(0.5), 0.5),
        ("nbit_input", np.int64(6), 6),
        ("skip_dense_layer", np.bool_(False), False),
        ("do_simulation", 1, True),
    ],
)
def test_values_are_kept_in_one_form(name, given, kept):
    value = getattr(qconfig(**{name: given}), name)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    "wrong, near",
    [
        ("nbit_inputs", "nbit_input"),
        ("skip_conv_layer", "skip_conv_layers"),
        ("calibration_mode", "calibrate_mode"),
        ("round", "rounding"),
    ],
)
def test_unknown_option_names_the_nearest(wrong, near):
    with pytest.raises(TypeError, match=f"no option '{wrong}'; did you mean '{near}'\\?"):
        qconfig(**{wrong: 1})


def test_unknown_option_that_resembles_none_lists_all():
    with pytest.raises(TypeError, match="no option 'xyzzy'; options are preset, scheme, .*rules"):
        qconfig(xyzzy=1)


def test_defaults_differ_outside_of_any_scope():
    assert current_qconfig().skip_conv_layers is None
    assert dataclasses.replace(current_qconfig(), skip_conv_layers=(0,)) == QConfig()
    with qconfig():
        assert current_qconfig().skip_conv_layers == (0,)


def test_scopes_nest_and_do_not_inherit():
    with qconfig(nbit_input=6, global_scale=2.0) as outer:
        assert current_qconfig() is outer
        with qconfig(nbit_weight=5) as inner:
            assert current_qconfig() is inner
            assert (inner.nbit_input, inner.global_scale) == (8, 8.0)
        assert current_qconfig() is outer
    assert current_qconfig() == QConfig(skip_conv_layers=None)


def test_scope_is_restored_after_an_exception():
    with qconfig(nbit_input=6) as outer:
        with pytest.raises(ZeroDivisionError):
            with qconfig(nbit_input=5):
                _ = 1 / 0
        assert current_qconfig() is outer
        with pytest.raises(ValueError, match="nbit_input is 1"):
            with qconfig(nbit_input=1):
                pass
        assert current_qconfig() is outer
    assert current_qconfig().skip_conv_layers is None


def test_one_config_may_be_entered_again_within_itself():
    config, other = qconfig(nbit_input=6), qconfig(nbit_input=5)
    with config, other, config:
        assert current_qconfig() is config
        with config:
            assert current_qconfig() is config
        assert current_qconfig() is config
    assert current_qconfig().nbit_input == 8


def test_threads_see_only_their_own_scope():
    seen, entered = {}, threading.Barrier(3, timeout=30)

    def work(bits):
        seen[bits, "before"] = current_qconfig().nbit_input
        with qconfig(nbit_input=bits):
            entered.wait()  # all scopes are open at once from here ...
            seen[bits, "inside"] = current_qconfig().nbit_input
            entered.wait()  # ... to here
        seen[bits, "after"] = current_qconfig().nbit_input

    threads = [threading.Thread(target=work, args=(bits,)) for bits in (5, 6)]
    with qconfig(nbit_input=4):
        for thread in threads:
            thread.start()
        entered.wait()
        assert current_qconfig().nbit_input == 4
        entered.wait()
        for thread in threads:
            thread.join()
    expected = {(5, "inside"): 5, (6, "inside"): 6}
    assert seen == expected | {(bits, when): 8 for bits in (5, 6) for when in ("before", "after")}


def test_a_copied_context_carries_the_scope_and_keeps_changes_to_itself():
    with qconfig(nbit_input=6):
        context = contextvars.copy_context()

    def read_and_enter():
        before = current_qconfig().nbit_input
        qconfig(nbit_input=5).__enter__()
        return before, current_qconfig().nbit_input

    assert context.run(read_and_enter) == (6, 5)
    assert current_qconfig().nbit_input == 8


def test_config_is_frozen():
    config = QConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.nbit_input = 4
    layers = [1]
    config = QConfig(skip_conv_layers=layers)
    layers.append(2)
    assert config.skip_conv_layers == (1,)


def test_equal_configs_hash_equally():
    rule = Rule("relax.negative")
    a = qconfig(skip_conv_layers=[1], rules=[rule])
    b = qconfig(skip_conv_layers=(1,), rules=(rule,))
    assert a == b and hash(a) == hash(b)
    assert len({a, b, qconfig(), QConfig()}) == 2
    assert a != qconfig(skip_conv_layers=[1])


def test_config_survives_copy_pickle_and_replace():
    config = qconfig(skip_conv_layers=None, debug_enabled_ops=["add"])
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert dataclasses.replace(config, debug_enabled_ops=None).debug_enabled_ops is None
    with pytest.raises(ValueError, match="widen it"):
        dataclasses.replace(config, nbit_input=9)


def test_bits_and_types_by_kind():
    config = qconfig(nbit_input=6, nbit_weight=5, nbit_activation=24, dtype_weight="int16")
    kinds = ("input", "weight", "activation")
    assert [config.get_nbit_by_kind(kind) for kind in kinds] == [6, 5, 24]
    assert [config.get_dtype_by_kind(kind) for kind in kinds] == ["int8", "int16", "int32"]
