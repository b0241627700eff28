"""Recipes: the same module bit for bit, without data; and files that are refused with a reason."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
import tvm
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from torch import nn

from tvm_book import quantize
from tvm_book._signature import bind_params
from tvm_book.frontend import from_pytorch
from tvm_book.quantize import QConfig, Recipe, Rule
from tvm_book.quantize import rules as rule_helpers
from tvm_book.quantize.evaluate import evaluate


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        y = torch.relu(self.norm(self.first(x)))
        y = torch.nn.functional.gelu(self.second(y)) + y
        return self.head(y.mean((2, 3)))


def network(seed=0):
    return from_pytorch(Net(seed).eval(), [("data", (1, 3, 8, 8))])


def data(count=6):
    rng = np.random.default_rng(0)
    return [{"data": rng.standard_normal((1, 3, 8, 8)).astype("float32")} for _ in range(count)]


CONFIGS = {
    "accurate": {"preset": "accurate"},
    "bias correction only": {"preset": "accurate", "weight_rounding": "nearest"},
    "no correction": {
        "preset": "accurate",
        "weight_rounding": "nearest",
        "bias_correction": False,
    },
    "equalized": {"preset": "accurate", "equalize": True, "calibrate_mode": "minmax"},
    "float requantize": {"preset": "accurate", "requantize": "float"},
    "simulation": {"preset": "accurate", "do_simulation": True},
    "partitioned": {"preset": "accurate", "partition_conversions": "enabled"},
    "five bits": {"preset": "accurate", "nbit_weight": 5, "nbit_input": 5},
    "skip": {"preset": "accurate", "skip": ["second"]},
    "layers": {"preset": "accurate", "calibrate_layers": {"head": "mse", "first": "minmax"}},
    "relay": {"skip_conv_layers": []},
    "relay, kl": {"calibrate_mode": "kl_divergence"},
}


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("opt_level", [2, 3])
def test_a_saved_recipe_makes_the_same_module(options, opt_level, tmp_path):
    mod, params = network()
    with tvm.transform.PassContext(opt_level=opt_level):
        qmod = quantize.quantize(mod, params, data(), config=QConfig(**options))
    recipe = Recipe.of(qmod)
    recipe.save(tmp_path / "a.safetensors")
    loaded = Recipe.load(tmp_path / "a.safetensors")
    for again in (recipe.apply(mod, params), loaded.apply(mod, params)):
        assert tvm_ffi.structural_equal(qmod, again)
    assert loaded.config == recipe.config
    assert loaded.to_bytes() == recipe.to_bytes()
    assert Recipe.of(loaded.apply(mod, params)).to_bytes() == recipe.to_bytes()


class TwoByTwo(nn.Module):
    """Two inputs of one shape, and a tuple of two results, one of which is read on."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x, y):
        z = self.left(x) - self.right(y)
        return z, self.right(torch.relu(z))


def test_parameters_may_be_given_or_bound_and_inputs_renamed():
    def imported(names):
        return from_pytorch(TwoByTwo().eval(), [(name, (2, 4)) for name in names])

    mod, params = imported("xy")
    rng = np.random.default_rng(0)
    batch = {name: rng.standard_normal((2, 4)).astype("float32") for name in "xy"}
    bound = bind_params(mod, params)
    for config in (QConfig(preset="accurate"), QConfig(skip_dense_layer=False)):
        qmod = quantize.quantize(mod, params, [batch], config)
        assert tvm_ffi.structural_equal(quantize.quantize(bound, None, [batch], config), qmod)
        recipe = Recipe.from_bytes(Recipe.of(qmod).to_bytes())
        assert tvm_ffi.structural_equal(recipe.apply(bound), qmod)
        shuffled = dict(reversed(params.items()))
        assert tvm_ffi.structural_equal(recipe.apply(mod, shuffled), qmod)
        renamed = recipe.apply(*imported("ab"))
        assert [param.name for param in renamed["main"].params] == ["a", "b"]
        assert tvm_ffi.structural_equal(renamed, qmod, map_free_vars=True)


def test_the_data_decide_the_recipe_only():
    """Other data make other grids: a recipe that ignored its own numbers would be found here."""
    mod, params = network()
    config = QConfig(preset="accurate")
    one = quantize.quantize(mod, params, data(), config=config)
    other = quantize.quantize(mod, params, [{"data": data(1)[0]["data"] * 3}], config=config)
    assert not tvm_ffi.structural_equal(one, other)
    assert tvm_ffi.structural_equal(Recipe.of(other).apply(mod, params), other)


def test_statistics_without_data_make_a_recipe_without_corrections():
    mod, params = network()
    config = QConfig(preset="accurate")
    seen = quantize.observe(mod, params, data(), config)
    qmod = quantize.quantize(mod, params, config=config, statistics=seen)
    recipe = Recipe.of(qmod)
    assert not recipe.corrections
    assert tvm_ffi.structural_equal(recipe.apply(mod, params), qmod)


def test_a_fresh_process_applies_it_to_the_same_bits(tmp_path):
    mod, params = network()
    qmod = quantize.quantize(mod, params, data(), config=QConfig(preset="accurate"))
    Recipe.of(qmod).save(tmp_path / "a.safetensors")
    expected = evaluate(qmod, data(2))
    np.save(tmp_path / "expected.npy", expected)
    program = f"""
        import sys
        sys.path.insert(0, {str(__file__.rsplit("/", 1)[0])!r})
        import numpy as np
        from test_recipe import data, network
        from tvm_book.quantize import Recipe
        from tvm_book.quantize.evaluate import evaluate
        qmod = Recipe.load({str(tmp_path / "a.safetensors")!r}).apply(*network())
        expected = np.load({str(tmp_path / "expected.npy")!r})
        assert evaluate(qmod, data(2)).tobytes() == expected.tobytes()
        print("same")
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.stdout == "same\n", done.stderr


def test_another_model_is_refused():
    mod, params = network()
    recipe = Recipe.of(quantize.quantize(mod, params, data(), config=QConfig(preset="accurate")))
    changed = dict(params)
    name = next(iter(params))
    changed[name] = np.nextafter(np.asarray(params[name].numpy()), np.float32(9))
    with pytest.raises(ValueError, match="of another model: an operator, a shape or a weight"):
        recipe.apply(mod, changed)
    larger, weights = from_pytorch(Net().eval(), [("data", (1, 3, 9, 8))])
    with pytest.raises(ValueError, match=r"takes data: float32 \(1, 3, 8, 8\), and this one"):
        recipe.apply(larger, weights)


def test_a_module_that_went_on_has_no_recipe():
    mod, params = network()
    qmod = quantize.quantize(mod, params, data(), config=QConfig(preset="accurate"))
    with pytest.raises(ValueError, match="does not know its recipe"):
        Recipe.of(tvm.relax.transform.DeadCodeElimination()(qmod))


def test_rules_are_asked_for():
    rule = Rule(
        "relax.negative",
        annotate=rule_helpers.keep_kind,
        realize=rule_helpers.on_data,
        partition=rule_helpers.keep_group,
    )
    mod, params = network()
    config = QConfig(rules=[rule], skip_conv_layers=[])
    qmod = quantize.quantize(mod, params, config=config)
    recipe = Recipe.of(qmod)
    assert tvm_ffi.structural_equal(recipe.apply(mod, params), qmod)
    loaded = Recipe.from_bytes(recipe.to_bytes())
    for use in (
        lambda: loaded.apply(mod, params),
        lambda: quantize.layer_errors(mod, None, data(), params, recipe=loaded),
    ):
        with pytest.raises(ValueError, match=r"with rules for relax.negative, .* rules=\[...\]"):
            use()
    assert tvm_ffi.structural_equal(loaded.apply(mod, params, rules=[rule]), qmod)
    with pytest.raises(ValueError, match="with rules for no operator"):
        plain = quantize.quantize(mod, params, config=QConfig(skip_conv_layers=[]))
        Recipe.of(plain).apply(mod, params, rules=[rule])


def small_recipe() -> bytes:
    mod, params = from_pytorch(nn.Linear(3, 2).eval(), [("x", (1, 3))])
    samples = [{"x": np.ones((1, 3), "float32")}]
    return Recipe.of(
        quantize.quantize(mod, params, samples, config=QConfig(preset="accurate"))
    ).to_bytes()


CONTENT = small_recipe()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(CONTENT) - 1))
def test_cut_anywhere_it_is_refused(size):
    with pytest.raises(ValueError, match="r.safetensors (is|has) "):
        Recipe.from_bytes(CONTENT[:size], "r.safetensors")


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position, change):
    damaged = bytearray(CONTENT)
    damaged[position] ^= change
    try:
        read = Recipe.from_bytes(bytes(damaged), "r.safetensors")
    except ValueError as error:
        assert str(error).startswith("r.safetensors ")
    else:  # blanks between the head and the tensors, which say nothing
        assert read.to_bytes() == CONTENT


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"PK\x03\x04 something else", "is no safetensors file"),
        (bytes(100), "is no safetensors file"),
        (save({"weight": np.zeros(3)}), "is a safetensors file, but holds no recipe"),
        (
            save({}, {"tvm_book.recipe": json.dumps({"format": 2})}),
            "has format 2, and this version",
        ),
    ],
)
def test_foreign_files_are_refused_with_the_reason(content, message, tmp_path):
    path = tmp_path / "r.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"r.safetensors {message}"):
        Recipe.load(path)


def test_files_are_never_overwritten_unasked(tmp_path):
    recipe, path = Recipe.from_bytes(CONTENT), tmp_path / "r.safetensors"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        recipe.save(path)
    assert path.read_text() == "mine"
    recipe.save(path, overwrite=True)
    assert Recipe.load(path).to_bytes() == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == ["r.safetensors"]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        recipe.save(tmp_path / "none" / "r.safetensors")
    with pytest.raises(IsADirectoryError):
        Recipe.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Recipe.load(tmp_path / "none")


def test_an_option_of_a_newer_version_is_named():
    from tvm_book.quantize import _recipe_file

    document, tensors = _recipe_file.parse(CONTENT, "r")
    document["config"]["magic"] = 1
    del document["format"]
    content = _recipe_file.dump(document, tensors)
    with pytest.raises(ValueError, match="r was made by a newer .* has magic, which"):
        Recipe.from_bytes(content, "r")
