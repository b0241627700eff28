"""`quantize` as users call it: what goes in, what comes out, and what is refused."""

import re
import sys
import threading

import numpy as np
import pytest
import torch
import tvm
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.script import tirx as T
from tvm_ffi import structural_hash

import tvm_book
from tests.quantize.graphs import array, constant, conv, module, op_names, run
from tvm_book.quantize import QConfig, Rule, qconfig, quantize, rules
from tvm_book.quantize.calibrate import list_grids
from tvm_book.testing import integer_reference
from tvm_book.testing.metric import sqnr_db

SHAPE = (1, 3, 6, 6)
WEIGHTS = {"w1": array(4, 3, 3, 3, scale=0.3), "b1": array(4), "w2": array(3, 4, 1, 1, scale=0.3)}
ALL = QConfig(skip_conv_layers=None)
PERCENTILE = QConfig(skip_conv_layers=None, calibrate_mode="percentile")


def network(emit, x, w1, b1, w2):
    """Two convolutions, the first with a bias, as an importer writes them."""
    first = emit(relax.op.nn.conv2d(x, w1, padding=1))
    biased = emit(relax.op.add(first, emit(relax.op.reshape(b1, (1, 4, 1, 1)))))
    return emit(relax.op.nn.conv2d(emit(relax.op.nn.relu(biased)), w2))


def model():
    """The network with its weights as inputs, as an importer returns it."""
    return module(network, x=SHAPE, **{name: w.shape for name, w in WEIGHTS.items()})


X = array(*SHAPE, seed=9, scale=2)
DATASET = [{"x": array(*SHAPE, seed=seed)} for seed in range(2)]


def same(a, b):
    tvm.ir.assert_structural_equal(a, b)
    return True


# what comes out


def test_the_result_is_an_integer_model_near_the_float_one():
    mod = model()
    qmod = quantize(mod, WEIGHTS, config=ALL)
    assert [param.name for param in qmod["main"].params] == ["x"]
    out = run(qmod, X)
    np.testing.assert_array_equal(out, integer_reference(qmod, X))
    assert sqnr_db(tvm_book.compile(mod, params=WEIGHTS)(X), out) > 25  # 8 bits, two layers


def test_weights_end_as_int8_constants_and_biases_as_int32():
    with tvm.transform.PassContext(opt_level=3):
        qmod = quantize(model(), WEIGHTS, config=ALL)
    constants = {}
    for block in qmod["main"].body.blocks:
        for binding in block.bindings:
            for arg in getattr(binding.value, "args", []):
                if isinstance(arg, tvm.ir.GenericConst) and arg.ty.shape:
                    shape = tuple(int(extent) for extent in arg.ty.shape)
                    constants[shape] = str(arg.ty.dtype)
    assert constants == {(4, 3, 3, 3): "int8", (4, 1, 1): "int32", (3, 4, 1, 1): "int8"}


def test_config_argument_and_scope_do_the_same():
    with qconfig(skip_conv_layers=None, nbit_input=6):
        by_scope = quantize(model(), WEIGHTS)
    config = QConfig(skip_conv_layers=None, nbit_input=6)
    assert same(quantize(model(), WEIGHTS, config=config), by_scope)
    with qconfig(skip_conv_layers=[0, 1]):  # the argument wins over the scope
        assert same(quantize(model(), WEIGHTS, config=config), by_scope)


def test_outside_of_a_scope_the_first_convolution_is_quantized_inside_it_is_not():
    assert op_names(quantize(model(), WEIGHTS))[0] == "multiply"
    with qconfig():
        assert op_names(quantize(model(), WEIGHTS))[0] == "nn.conv2d"


def test_opt_level_of_the_pass_context_counts():
    low = quantize(model(), WEIGHTS, config=ALL)
    with tvm.transform.PassContext(opt_level=2):
        assert same(quantize(model(), WEIGHTS, config=ALL), low)
    with tvm.transform.PassContext(opt_level=3):
        high = quantize(model(), WEIGHTS, config=ALL)
    # rounded before the bias, in float; or after it, in integers
    assert op_names(low)[4:8] == ["nn.conv2d", "add", "right_shift", "clip"]
    assert op_names(low).count("round_half_away") == 2
    assert op_names(high)[4:7] == ["nn.conv2d", "add", "nn.relu"]
    assert op_names(high).count("round_half_away") == 1


def test_two_runs_give_the_same():
    for config in (ALL, PERCENTILE):
        first, second = (quantize(model(), WEIGHTS, DATASET, config) for _ in range(2))
        assert same(first, second)


def test_simulation_rounds_in_float():
    config = QConfig(skip_conv_layers=None, do_simulation=True)
    simulated = quantize(model(), WEIGHTS, config=config)
    assert "int8" not in simulated.script()
    kinds = ["input", "weight", "input", "input", "weight", "input"]
    assert [grid.kind for grid in list_grids(simulated)] == kinds
    exact, rounded = run(quantize(model(), WEIGHTS, config=ALL), X), run(simulated, X)
    assert sqnr_db(exact, rounded) > 25  # differs in ties and in float sums


@pytest.mark.parametrize("mode", ["enabled", "fully_integral"])
@pytest.mark.parametrize("simulate", [False, True])
def test_partition_conversions_keeps_the_numbers(mode, simulate):
    options = {"skip_conv_layers": None, "do_simulation": simulate}
    with tvm.transform.PassContext(opt_level=3):
        whole = quantize(model(), WEIGHTS, config=QConfig(**options))
        config = QConfig(**options, partition_conversions=mode)
        if simulate and mode == "fully_integral":
            with pytest.raises(ValueError, match="the quantized part computes"):
                quantize(model(), WEIGHTS, config=config)
            return
        parts = quantize(model(), WEIGHTS, config=config)
    names = {var.name_hint for var in parts.get_global_vars()}
    assert names == {"main", "quantize_inputs", "quantized_main", "dequantize_outputs"}
    np.testing.assert_array_equal(run(parts, X), run(whole, X))
    if not simulate:
        assert op_names(parts, "quantized_main")[0] == "nn.conv2d"
        assert {str(p.ty.dtype) for p in parts["quantized_main"].params} == {"int8"}


def test_several_inputs_and_outputs():
    def build(emit, a, b):
        total = emit(relax.op.add(emit(conv(a)), emit(conv(b))))
        return relax.Tuple([total, emit(relax.op.nn.relu(emit(conv(b)))), a])

    mod = module(build, a=SHAPE, b=SHAPE)
    qmod = quantize(mod, config=ALL)
    a, b = X, array(*SHAPE, seed=8)
    outputs = run(qmod, a, b)
    for number, float_out in enumerate(run(mod, a, b)):
        np.testing.assert_array_equal(outputs[number], integer_reference(qmod, a, b)[number])
        assert sqnr_db(float_out, outputs[number]) > 25
    np.testing.assert_array_equal(outputs[2], a)


def test_integer_inputs_that_are_not_quantized():
    table = constant(10, 8)

    def build(emit, indices):
        rows = emit(relax.op.take(table, indices, axis=0))
        return emit(relax.op.matmul(rows, constant(8, 3, scale=0.3)))

    mod = module(build, indices=((5,), "int64"))
    indices = np.array([3, 0, 9, 3, 7])
    config = QConfig(skip_dense_layer=False, calibrate_mode="percentile")
    qmod = quantize(mod, dataset=[{"indices": indices}], config=config)
    assert "int8" in qmod.script()
    assert sqnr_db(run(mod, indices), run(qmod, indices)) > 30


def test_a_weight_shared_by_two_layers_stays_shared():
    shared = constant(3, 3, 1, 1, scale=0.3)

    def build(emit, x):
        return emit(relax.op.nn.conv2d(emit(relax.op.nn.conv2d(x, shared)), shared))

    mod = module(build, x=SHAPE)
    qmod = quantize(mod, config=ALL)
    np.testing.assert_array_equal(run(qmod, X), integer_reference(qmod, X))
    assert sqnr_db(run(mod, X), run(qmod, X)) > 20
    weights = [b.value.args[1] for b in qmod["main"].body.blocks[0].bindings if "conv2d" in str(b)]
    assert len(weights) == 2
    tvm.ir.assert_structural_equal(*weights)


def test_other_functions_of_the_module_are_kept():
    mod = model()
    mod["other"] = module(lambda emit, x: emit(relax.op.exp(x)), x=(2,))["main"].with_attr(
        "global_symbol", "other"
    )
    assert same(quantize(mod, WEIGHTS, config=ALL)["other"], mod["other"])


# passes are seen


@tvm.instrument.pass_instrument
class Names:
    def __init__(self):
        self.names = []

    def run_before_pass(self, mod, info):
        self.names.append(info.name)


def pass_names(opt_level=3, **options):
    seen = Names()
    with tvm.transform.PassContext(opt_level=opt_level, instruments=[seen]):
        quantize(model(), WEIGHTS, config=QConfig(skip_conv_layers=None, **options))
    return seen.names


PREPARE = ["RecogniseBias", "SimplifyInference", "GroupedConv1dToConv2d", "FoldConstant"]
FOLD = ["BackwardFoldScaleAxis", "ForwardFoldScaleAxis", "CanonicalizeBias"]


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [*PREPARE, *FOLD, "QuantizePartition", "QuantizeAnnotate", "QuantizeCalibrate"]),
        ({"opt_level": 2}, [*PREPARE, "QuantizePartition", "QuantizeAnnotate"]),
    ],
)
def test_an_instrument_sees_every_pass_in_order(options, expected):
    names = pass_names(**options)
    assert [name for name in names if name in expected] == expected
    assert names.index("QuantizeCalibrate") < names.index("QuantizeRealize")
    assert ("CanonicalizeBias" in names) == ("opt_level" not in options)


def test_an_instrument_sees_what_options_change():
    assert pass_names(partition_conversions="enabled")[-1] == "PartitionConversions"
    names = pass_names(do_simulation=True)
    assert "Simulate" in names and "QuantizeRealize" not in names


# nothing of the caller changes


@pytest.mark.parametrize("opt_level", [2, 3])
@pytest.mark.parametrize("mode", ["global_scale", "percentile"])
def test_module_and_arrays_are_left_alone(opt_level, mode):
    mod = model()
    before = (structural_hash(mod), mod.script())
    params = {name: value.copy() for name, value in WEIGHTS.items()}
    dataset = [{"x": batch["x"].copy()} for batch in DATASET]
    config = QConfig(skip_conv_layers=None, calibrate_mode=mode)
    with tvm.transform.PassContext(opt_level=opt_level):
        quantize(mod, params, dataset, config)
    assert (structural_hash(mod), mod.script()) == before
    assert {name: value.tobytes() for name, value in params.items()} == {
        name: value.tobytes() for name, value in WEIGHTS.items()
    }
    assert [b["x"].tobytes() for b in dataset] == [b["x"].tobytes() for b in DATASET]


def as_torch(value):
    return torch.from_numpy(value.copy())


@pytest.mark.parametrize("make", [np.copy, as_torch, tvm.runtime.tensor])
@pytest.mark.parametrize("skip", [[], [0]])
def test_arrays_changed_afterwards_do_not_reach_the_result(make, skip):
    params = {name: make(value) for name, value in WEIGHTS.items()}
    with qconfig(skip_conv_layers=skip):
        qmod = quantize(model(), params)
    before = run(qmod, X)
    for value in params.values():
        if isinstance(value, tvm.runtime.Tensor):
            value.copyfrom(np.zeros(value.shape, "float32"))
        else:
            value[:] = 0
    np.testing.assert_array_equal(run(qmod, X), before)
    assert np.abs(before).max() > 0


def test_changing_the_result_does_not_change_the_given_module():
    mod = module(lambda emit, x: emit(relax.op.exp(x)), x=(2,))
    with pytest.warns(UserWarning, match="nothing was quantized"):
        result = quantize(mod)
    result["another"] = mod["main"].with_attr("global_symbol", "another")
    assert len(mod.functions) == 1


def test_torch_and_tvm_arrays_are_taken():
    reference = quantize(model(), WEIGHTS, DATASET, PERCENTILE)
    for make in (as_torch, tvm.runtime.tensor):
        params = {name: make(value) for name, value in WEIGHTS.items()}
        dataset = [{"x": make(batch["x"])} for batch in DATASET]
        assert same(quantize(model(), params, dataset, PERCENTILE), reference)
    params = {n: torch.nn.Parameter(as_torch(value)) for n, value in WEIGHTS.items()}
    assert same(quantize(model(), params, DATASET, PERCENTILE), reference)


def test_a_generator_is_a_dataset():
    batches = (batch for batch in DATASET)
    reference = quantize(model(), WEIGHTS, DATASET, PERCENTILE)
    assert same(quantize(model(), WEIGHTS, batches, PERCENTILE), reference)


@pytest.fixture
def eager_switching():
    """Let threads interrupt one another as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_quantize_with_their_own_configurations(eager_switching):
    configs = [
        {"skip_conv_layers": None, "nbit_input": 6, "calibrate_mode": "percentile"},
        {"skip_conv_layers": [1], "calibrate_mode": "percentile"},
        {"skip_conv_layers": None, "weight_scale": "max"},
    ]
    start = threading.Barrier(len(configs), timeout=30)

    def work(options, results, wait):
        with qconfig(**options), tvm.transform.PassContext(opt_level=3):
            wait()
            for _ in range(3):
                results.append(quantize(model(), WEIGHTS, DATASET))

    alone, together = ([[] for _ in configs] for _ in range(2))
    for options, results in zip(configs, alone, strict=True):
        work(options, results, lambda: None)
    threads = [
        threading.Thread(target=work, args=(options, results, start.wait))
        for options, results in zip(configs, together, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, results in zip(alone, together, strict=True):
        assert len(results) == 3
        for result in results:
            same(result, expected[0])


# rules from outside


def test_a_rule_from_outside_in_five_lines():
    negative = Rule(
        "relax.negative",
        partition=rules.keep_group,
        annotate=rules.keep_kind,
        realize=rules.on_data,
    )

    def build(emit, x):
        return emit(conv(emit(relax.op.negative(emit(conv(x))))))

    mod = module(build, x=SHAPE)
    without = quantize(mod, config=ALL)
    qmod = quantize(mod, config=QConfig(skip_conv_layers=None, rules=[negative]))
    assert op_names(without).count("round_half_away") == 2
    assert op_names(qmod).count("round_half_away") == 1
    np.testing.assert_array_equal(run(qmod, X), integer_reference(qmod, X))
    assert sqnr_db(run(mod, X), run(qmod, X)) > 20


def test_a_rule_with_its_own_arithmetic():
    def realize_leaky(r, call, args):
        (x,) = args
        if not r.is_quantized(x):
            return rules.dequantize_all(r, call, args)
        # max(x, x >> 3): a slope of 1/8 for negative values, rounded down
        negative = r.builder.emit(relax.op.right_shift(x.expr, relax.const(3, "int32")))
        return x._replace(expr=r.builder.emit(relax.op.maximum(x.expr, negative)))

    leaky = Rule(
        "relax.nn.leakyrelu",
        partition=rules.keep_group,
        annotate=rules.keep_kind,
        realize=realize_leaky,
        when=lambda call: call.attrs.alpha == 0.125,
    )
    config = QConfig(skip_conv_layers=None, rules=[leaky])
    for alpha, kept in ((0.125, True), (0.1, False)):

        def build(emit, x, alpha=alpha):
            return emit(relax.op.nn.leakyrelu(emit(conv(x)), alpha))

        mod = module(build, x=SHAPE)
        qmod = quantize(mod, config=config)
        assert ("nn.leakyrelu" not in op_names(qmod)) == kept
        assert sqnr_db(run(mod, X), run(qmod, X)) > 25


# what is refused


def refused(error, message, *args, **options):
    with pytest.raises(error, match=message) as caught:
        quantize(*args, **options)
    assert type(caught.value) in (TypeError, ValueError, NotImplementedError)


def test_what_is_no_module_is_refused():
    refused(TypeError, "IRModule is needed, not Linear; convert", torch.nn.Linear(2, 2))
    refused(TypeError, r"importers return \(mod, params\)", (model(), WEIGHTS))
    refused(TypeError, "not Function", model()["main"])


@I.ir_module
class OnlyTir:
    @T.prim_func
    def main(a: T.Buffer((2,), "float32")):
        a[0] = T.float32(1)


def test_a_module_without_a_relax_main_is_refused():
    renamed = tvm.IRModule({"forward": model()["main"].with_attr("global_symbol", "forward")})
    refused(ValueError, "no Relax function named main.*it has forward", renamed)
    refused(ValueError, "it has no function at all", tvm.IRModule({}))
    refused(ValueError, "no Relax function named main", OnlyTir)


@I.ir_module
class Dynamic:
    @R.function
    def main(x: R.Tensor(("n", 3), "float32")) -> R.Tensor(("n", 3), "float32"):
        with R.dataflow():
            y = R.exp(x)
            R.output(y)
        return y


@I.ir_module
class UnknownShape:
    @R.function
    def main(x: R.Tensor(dtype="float32", ndim=2)) -> R.Tensor(dtype="float32", ndim=2):
        with R.dataflow():
            y = R.exp(x)
            R.output(y)
        return y


@I.ir_module
class TupleInput:
    @R.function
    def main(x: R.Tuple(R.Tensor((2,), "float32"))) -> R.Tensor((2,), "float32"):
        with R.dataflow():
            y = R.exp(x[0])
            R.output(y)
        return y


@I.ir_module
class Branch:
    @R.function
    def main(x: R.Tensor((2,), "float32"), c: R.Tensor((), "bool")):
        if c:
            y = R.exp(x)
        else:
            y = R.abs(x)
        return y


def test_modules_that_have_no_fixed_shapes_are_refused():
    for mod in (Dynamic, UnknownShape):
        refused(NotImplementedError, "'x' has a dynamic shape.*BindSymbolicVars", mod)
    refused(NotImplementedError, "'x' is not a tensor", TupleInput)


def test_control_flow_is_refused():
    refused(ValueError, "control flow.*export the model", Branch)


def test_a_batch_norm_in_training_is_refused():
    def build(emit, x):
        ones = [relax.const(np.ones(3, "float32"))] * 4
        pair = emit(relax.op.nn.batch_norm(emit(conv(x)), *ones, axis=1))
        return relax.Tuple([emit(relax.TupleGetItem(pair, i)) for i in range(3)])

    refused(ValueError, r"put the model into eval\(\)", module(build, x=SHAPE), config=ALL)


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"w_1": WEIGHTS["w1"]}, ValueError, "no input 'w_1'; did you mean 'w1'"),
        ({"something": WEIGHTS["w1"]}, ValueError, "no input 'something'; its inputs are x, w1"),
        ({"w1": WEIGHTS["w2"]}, ValueError, r"'w1' must have shape \(4, 3, 3, 3\)"),
        ({"b1": array(4).astype("float64")}, TypeError, "'b1' must be float32, not float64"),
        ({"b1": [0.0] * 4}, TypeError, "'b1' must be a NumPy array"),
        ({"w1": np.full((4, 3, 3, 3), np.nan, "float32")}, ValueError, "has a NaN or infinity"),
    ],
)
def test_wrong_parameters_are_refused(changes, error, message):
    refused(error, message, model(), {**WEIGHTS, **changes}, config=ALL)


def test_parameters_that_are_no_mapping_are_refused():
    refused(TypeError, "mapping from names to arrays, not list", model(), list(WEIGHTS.items()))


def test_a_config_that_is_a_dict_is_refused():
    refused(TypeError, "config is a dict; make one with qconfig", model(), config={"nbit_input": 8})


@pytest.mark.parametrize("mode", ["kl_divergence", "percentile"])
def test_missing_dataset_is_refused(mode):
    config = QConfig(skip_conv_layers=None, calibrate_mode=mode)
    message = f"calibrate_mode='{mode}' needs calibration data: pass dataset=.*'global_scale'"
    refused(ValueError, message, model(), WEIGHTS, config=config)


def changed(value):
    batch = array(*SHAPE)
    batch[0, 1, 2, 3] = value
    return [*DATASET, {"x": batch}]


BAD_DATASETS = [
    ([], ValueError, "dataset has no batch; give at least one"),
    (iter(()), ValueError, "dataset has no batch"),
    (DATASET[0], TypeError, r"dataset is a dict; give a list of batches, each a dict .*'x': array"),
    (7, TypeError, "dataset is a int; give a list of batches"),
    ("data", TypeError, "batch 0 of dataset is a str; give a dict such as"),
    ([DATASET[0]["x"]], TypeError, "batch 0 of dataset is a ndarray; give a dict such as"),
    ([{"X": X}], ValueError, "batch 0 of dataset has an input 'X'"),
    ([{"xx": X}], ValueError, "has an input 'xx'; did you mean 'x'"),
    ([{"x": X, "label": X}], ValueError, "has an input 'label'; inputs are x"),
    ([*DATASET, {}], ValueError, "batch 2 of dataset lacks the input 'x'"),
    ([{"x": X[0]}], ValueError, r"input 'x' must have shape \(1, 3, 6, 6\), not \(3, 6, 6\)"),
    ([{"x": np.zeros((0, 3, 6, 6), "float32")}], ValueError, r"not \(0, 3, 6, 6\)"),
    ([{"x": X.astype("float64")}], TypeError, r"must be float32, not float64: pass x.astype"),
    ([{"x": X.astype("int8")}], TypeError, "must be float32, not int8"),
    ([{"x": X.tolist()}], TypeError, "must be a NumPy array"),
    (changed(np.nan), ValueError, "batch 2 of dataset, input 'x' has a NaN or infinity; remove"),
    (changed(-np.inf), ValueError, "batch 2 of dataset, input 'x' has a NaN or infinity"),
]


@pytest.mark.parametrize("dataset, error, message", BAD_DATASETS, ids=[b[2] for b in BAD_DATASETS])
def test_bad_dataset_is_refused(dataset, error, message):
    refused(error, message, model(), WEIGHTS, dataset, PERCENTILE)


def test_an_input_without_elements_is_refused():
    mod = module(lambda emit, x: emit(conv(x)), x=(0, 3, 6, 6))
    dataset = [{"x": np.zeros((0, 3, 6, 6), "float32")}]
    refused(ValueError, "input 'x' has no element", mod, dataset=dataset, config=PERCENTILE)


def test_global_scale_does_not_look_at_the_dataset():
    assert same(quantize(model(), WEIGHTS, "anything", ALL), quantize(model(), WEIGHTS, config=ALL))


def test_a_refusal_leaves_no_output_and_no_state(capfd):
    for dataset, _, _ in BAD_DATASETS[:3]:
        with pytest.raises((TypeError, ValueError)):
            quantize(model(), WEIGHTS, dataset, PERCENTILE)
    assert capfd.readouterr() == ("", "")
    quantize(model(), WEIGHTS, DATASET, PERCENTILE)


# nothing to quantize


@pytest.mark.parametrize(
    "options, message",
    [
        ({"skip_conv_layers": [0, 1]}, r"skip_conv_layers=\[0, 1\] and skip_dense_layer=True may"),
        ({"skip_conv_layers": None, "debug_enabled_ops": ["add"]}, r"debug_enabled_ops=\['add'\]"),
        ({"skip_conv_layers": [0, 1], "calibrate_mode": "percentile"}, "stays in float"),
    ],
)
def test_nothing_to_quantize_warns_and_returns_the_float_module(options, message):
    with pytest.warns(UserWarning, match=message) as caught:
        result = quantize(model(), WEIGHTS, config=QConfig(**options))
    assert len(caught) == 1 and caught[0].filename == __file__
    assert same(result, relax.transform.BindParams("main", WEIGHTS)(model()))


def test_a_module_without_layers_warns_that_no_rule_covers_it():
    mod = module(lambda emit, x: emit(relax.op.exp(x)), x=(2,))
    config = QConfig(skip_conv_layers=None, skip_dense_layer=False)
    with pytest.warns(UserWarning, match="no rule covers its operators"):
        assert same(quantize(mod, config=config), mod)


def test_main_without_inputs():
    def build(emit):
        return emit(relax.op.add(constant(2), constant(2, seed=1)))

    with pytest.warns(UserWarning, match="nothing was quantized"):
        quantize(module(build))


def test_messages_are_single_lines():
    with pytest.raises(ValueError) as caught:
        quantize(model(), WEIGHTS, [], PERCENTILE)
    assert not re.search("\n", str(caught.value))
