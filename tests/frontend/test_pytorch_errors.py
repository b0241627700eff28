"""What cannot be imported gets one error that says what is wrong, where, and what to do."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tvm_book.frontend import UnsupportedModelError, from_pytorch

SHAPES = [("data", (1, 3, 8, 8))]
DATA = torch.zeros(1, 3, 8, 8)
# What torch warns about when a test itself traces or exports.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")),
    "ignore::torch.jit.TracerWarning",
)


class Call(nn.Module):
    """Calls a function; the layers that it uses become submodules."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, data):
        return self.function(self, data)


class TwoArguments(nn.Module):
    def forward(self, left, right):
        return left + right


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, data):
        self.calls += 1
        return data * self.calls


class Airy(nn.Module):
    def forward(self, data):
        return torch.special.airy_ai(data + 1)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.ReLU(), Airy())

    def forward(self, data):
        return self.block(data)


# input_shapes


@pytest.mark.parametrize(
    ("input_shapes", "error", "message"),
    [
        ({"data": (1, 3)}, TypeError, r"not a dict.*list\(input_shapes.items\(\)\)"),
        ("data", TypeError, "list of .name, shape. pairs .* not str"),
        (None, TypeError, "list of .name, shape. pairs .* not NoneType"),
        ([("data",)], TypeError, r"contains \('data',\)"),
        ([(1, (1, 3))], TypeError, r"contains \(1, "),
        ((torch.zeros(1, 3),), TypeError, r"but contains a Tensor of shape \(1, 3\)$"),
        ([("data", torch.zeros(2, 3))], TypeError, r"contains a Tensor of shape \(3,\): every"),
        ([("data", 3)], TypeError, "shape of input 'data' must be a tuple of integers, not 3"),
        ([("data", "13")], TypeError, "must be a tuple of integers, not '13'"),
        ([("data", ("n", 3))], TypeError, "contains 'n'.*fixed integer"),
        ([("data", (None, 3))], TypeError, "contains None.*fixed integer"),
        ([("data", (1.5, 3))], TypeError, "contains 1.5.*fixed integer"),
        ([("data", (True, 3))], TypeError, "contains True.*fixed integer"),
        ([], ValueError, "input_shapes is empty"),
        ([("", (1, 3))], ValueError, "without a name"),
        ([("a", (1,)), ("a", (1,))], ValueError, "names 'a' twice"),
        ([("data", (0, 3))], ValueError, "contains 0.*at least 1"),
        ([("data", (-1, 3))], ValueError, "contains -1.*at least 1"),
        ([("data", ((1, 3), "float16"))], ValueError, "'float16': use one of float32"),
        ([("data", ((1, 3), "number"))], ValueError, "'number': use one of float32"),
    ],
)
def test_bad_input_shapes(input_shapes, error, message):
    with pytest.raises(error, match=message):
        from_pytorch(nn.ReLU(), input_shapes)


def test_symbolic_size_is_refused():
    size = torch.fx.experimental.symbolic_shapes.ShapeEnv().create_unbacked_symint()
    with pytest.raises(TypeError, match="fixed integer"):
        from_pytorch(nn.ReLU(), [("data", (size, 3))])


@pytest.mark.parametrize(
    "input_shapes",
    [
        (["data", [2, 3]],),
        [("data", torch.Size([2, 3]))],
        [("data", np.array([2, 3]))],
        [("data", ((2, 3), torch.float32))],
        [("data", ([2, 3], np.float32))],
        [("data", ((2, 3), np.dtype("float32")))],
        [("data", ((2, 3), "float"))],
    ],
)
def test_other_ways_to_write_input_shapes(input_shapes):
    module, _ = from_pytorch(nn.ReLU(), input_shapes)
    assert str(module["main"].params[0].ty) == 'R.Tensor((2, 3), dtype="float32")'


# model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU, "the class ReLU: pass an instance"),
        (lambda data: data, "a function: put the function into the forward of an nn.Module"),
        ({"weight": DATA}, "not an object of type dict"),
        ("model.pt", "not an object of type str"),
        (None, "not an object of type NoneType"),
    ],
)
def test_what_is_no_model(model, message):
    with pytest.raises(TypeError, match=message):
        from_pytorch(model, SHAPES)


def traced(model):
    return torch.jit.trace(model, DATA, check_trace=False)


def exported(model):
    return torch.export.export(model, (DATA,))


AS_GIVEN = [lambda model: model, traced, exported]


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_wrong_number_of_inputs(kind):
    with pytest.raises(ValueError, match=r"2 inputs \(data, more\), which do not fit .*input"):
        from_pytorch(kind(nn.Conv2d(3, 4, 3)), [*SHAPES, ("more", (1,))])


def test_missing_input():
    with pytest.raises(ValueError, match=r"1 inputs \(data\), .* forward\(left, right\)"):
        from_pytorch(TwoArguments(), SHAPES)


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_input_with_the_name_of_a_parameter(kind):
    with pytest.raises(ValueError, match="'weight' has the name of a parameter"):
        from_pytorch(kind(nn.Conv2d(3, 4, 3)), [("weight", (1, 3, 8, 8))])


@pytest.mark.parametrize("kind", AS_GIVEN[:2])
def test_shape_that_the_model_rejects(kind):
    message = r"rejects the inputs data: float32\[1, 4, 8, 8\].*expected input.*to have 3 channels"
    with pytest.raises(ValueError, match=message) as caught:
        from_pytorch(kind(nn.Conv2d(3, 4, 3)), [("data", (1, 4, 8, 8))])
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_dtype_that_the_model_rejects():
    with pytest.raises(ValueError, match=r'rejects .*indices.*\("ids", \(\(1, 8\), "int64"\)\)'):
        from_pytorch(nn.Embedding(5, 2), [("ids", (1, 8))])


@pytest.mark.parametrize(
    "described", [("data", (1, 3, 9, 8)), ("data", (1, 3, 8)), ("data", ((1, 3, 8, 8), "int64"))]
)
def test_input_that_a_program_was_not_exported_for(described):
    with pytest.raises(ValueError, match=r"exported for float32\[1, 3, 8, 8\].*export it again"):
        from_pytorch(exported(nn.ReLU()), [described])


def test_size_outside_of_the_range_of_a_dynamic_program():
    batch = torch.export.Dim("batch", min=2, max=8)
    program = torch.export.export(nn.ReLU(), (torch.zeros(3, 4),), dynamic_shapes=({0: batch},))
    with pytest.raises(ValueError, match=r"exported for float32\[2..8, 4\]"):
        from_pytorch(program, [("data", (9, 4))])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
def test_model_that_is_not_float32(dtype):
    model = Call(lambda self, data: data * self.scale, scale=nn.Parameter(torch.zeros(1).to(dtype)))
    with pytest.raises(UnsupportedModelError, match=r"'scale' is .*16|64.*pass model.float\(\)"):
        from_pytorch(model, SHAPES)


def test_model_on_another_device():
    with pytest.raises(UnsupportedModelError, match=r"on device 'meta': pass model.cpu\(\)"):
        from_pytorch(nn.Conv2d(3, 4, 3, device="meta"), SHAPES)


def test_model_with_a_sparse_parameter():
    model = Call(lambda self, data: data, table=nn.Parameter(torch.eye(3).to_sparse()))
    with pytest.raises(UnsupportedModelError, match="'table' is sparse or quantized"):
        from_pytorch(model, SHAPES)


def test_lazy_model_that_never_ran():
    with pytest.raises(UnsupportedModelError, match="run the model once"):
        from_pytorch(nn.LazyLinear(3), SHAPES)


def test_model_that_cannot_be_copied():
    model = Call(lambda self, data: data, lock=threading.Lock())
    with pytest.raises(UnsupportedModelError, match=r"cannot be copied .*pass torch.export.export"):
        from_pytorch(model, SHAPES)


# results


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda self, data: (data, None), "output 1 of the model is None, not a tensor"),
        (lambda self, data: (3, data), "output 0 of the model is 3, not a tensor"),
        (lambda self, data: (), "returns nothing"),
        (lambda self, data: object(), "runs, but torch cannot capture it.*object.*in output"),
    ],
)
def test_result_that_is_no_tensor(function, message):
    with pytest.raises(UnsupportedModelError, match=message):
        from_pytorch(Call(function), SHAPES)


# what has no Relax form

VALUE_DEPENDENT = {
    "branch": (
        lambda self, data: data if data.sum() > 0 else -data,
        r"decision that depends on the values.*test_pytorch_errors.py line \d+.*torch.jit.trace",
    ),
    "slice": (lambda self, data: data[: int(data.sum())], "decision that depends on the values"),
    "size": (lambda self, data: data.nonzero(), "size of aten.nonzero.default depends"),
    "integer": (
        lambda self, data: data * data.long().sum().item(),
        "makes a Python number of a value",
    ),
    "cond": (
        lambda self, data: torch.cond(data.sum() > 0, torch.sin, torch.cos, (data,)),
        "cond holds control flow",
    ),
}


@pytest.mark.parametrize("case", VALUE_DEPENDENT)
def test_what_depends_on_values(case):
    function, message = VALUE_DEPENDENT[case]
    with pytest.raises(UnsupportedModelError, match=message):
        from_pytorch(Call(function), SHAPES)


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_operator_without_conversion_is_named_with_its_place(kind):
    line = Airy.forward.__code__.co_firstlineno + 1
    message = (
        "no conversion for aten.special_airy_ai.default in module 'block.1', "
        f"at test_pytorch_errors.py line {line}.*Write that part of forward"
    )
    with pytest.raises(UnsupportedModelError, match=message):
        from_pytorch(kind(Nested()), SHAPES)


def test_all_operators_without_conversion_are_named_at_once():
    model = Call(lambda self, data: torch.special.airy_ai(torch.lgamma(data)))
    with pytest.raises(UnsupportedModelError, match="aten.lgamma.*; .*aten.special_airy_ai"):
        from_pytorch(model, SHAPES)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda self, data: F.adaptive_max_pool2d(data, (4, 3)), r"from \[8, 8\] to \[4, 3\]"),
        (lambda self, data: F.max_pool2d(data, 2, return_indices=True), "one of its results"),
        (lambda self, data: data.var((0,)), "variance of 1 values with correction 1"),
        (lambda self, data: torch.div(data, 2, rounding_mode="trunc"), "rounding_mode='trunc'"),
        (
            lambda self, data: torch.exp(data.int()),
            "relax.exp requires the input tensor to",
        ),
    ],
)
def test_argument_without_conversion(function, message, capfd):
    with pytest.raises(UnsupportedModelError, match=f"cannot be written in Relax.*{message}"):
        from_pytorch(Call(function), SHAPES)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "function", [lambda self, data: F.dropout(data), lambda self, data: torch.rand_like(data)]
)
def test_random_operator(function):
    with pytest.raises(UnsupportedModelError, match="is random"):
        from_pytorch(Call(function), SHAPES)


@pytest.mark.parametrize("kind", AS_GIVEN[1:])
def test_training_mode_that_was_recorded(kind):
    norm, dropout = nn.BatchNorm2d(3), nn.Dropout()
    with pytest.raises(UnsupportedModelError, match=r"'running_mean'.*again after model.eval\(\)"):
        from_pytorch(kind(norm), SHAPES)
    with pytest.raises(UnsupportedModelError, match="is random .dropout is, if it was captured in"):
        from_pytorch(kind(dropout), SHAPES)


def test_state_that_changes():
    with pytest.raises(UnsupportedModelError, match="changes its own tensors 'calls'.*no state"):
        from_pytorch(Counter(), SHAPES)


def test_model_that_torch_cannot_capture():
    model = Call(lambda self, data: torch.from_numpy(data.numpy() + 1))
    with pytest.raises(UnsupportedModelError, match="cannot capture it.*numpy.*torch.jit.trace"):
        from_pytorch(model, SHAPES)


def test_error_leaves_the_model_as_it_was():
    model = Counter()
    with pytest.raises(UnsupportedModelError):
        from_pytorch(model, SHAPES)
    failing = Call(lambda self, data: self.counter(data) @ data[0, 0, :3], counter=model)
    with pytest.raises(ValueError, match="rejects"):
        from_pytorch(failing, SHAPES)
    assert model.calls.item() == 0 and model.training


def test_error_is_silent_otherwise(capfd):
    for case in ("branch", "size"):
        with pytest.raises(UnsupportedModelError):
            from_pytorch(Call(VALUE_DEPENDENT[case][0]), SHAPES)
    assert capfd.readouterr() == ("", "")
