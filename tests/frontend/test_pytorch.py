"""PyTorch models of all three kinds become the same Relax, which computes what torch computes."""

from __future__ import annotations

import functools
import logging
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tvm
from torch import nn
from tvm import relax
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_book
from tvm_book import quantize
from tvm_book.frontend import from_pytorch

KINDS = ("module", "traced", "exported")
# What torch warns about when a test itself traces or exports.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("FutureWarning", "DeprecationWarning", "UserWarning")),
    "ignore::torch.jit.TracerWarning",
)


def conv_bn(inputs, outputs, kernel=3, stride=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """A block of ResNet: the branch, plus the input or what the downsample path makes of it."""

    def __init__(self, branch, downsample=None):
        super().__init__()
        self.branch = branch
        self.downsample = downsample
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.branch(x)
        out += identity
        return self.relu(out)


def resnet_basic():
    down = Residual(
        nn.Sequential(conv_bn(4, 8, stride=2), nn.ReLU(inplace=True), conv_bn(8, 8)),
        conv_bn(4, 8, 1, 2),
    )
    plain = Residual(nn.Sequential(conv_bn(8, 8), nn.ReLU(inplace=True), conv_bn(8, 8)))
    return nn.Sequential(down, plain)


def resnet_bottleneck():
    relu = nn.ReLU(inplace=True)
    branch = nn.Sequential(conv_bn(4, 3, 1), relu, conv_bn(3, 3, stride=2), relu, conv_bn(3, 12, 1))
    return Residual(branch, conv_bn(4, 12, 1, 2))


class InvertedResidual(nn.Module):
    def __init__(self, channels=6, expand=3):
        super().__init__()
        wide = channels * expand
        self.body = nn.Sequential(
            *(conv_bn(channels, wide, 1), nn.ReLU6(inplace=True)),
            *(conv_bn(wide, wide, groups=wide), nn.ReLU6(inplace=True)),
            conv_bn(wide, channels, 1),
        )

    def forward(self, x):
        return x + self.body(x)


def mobilenet_v2():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 5))
    return nn.Sequential(conv_bn(3, 6, stride=2), nn.ReLU6(), InvertedResidual(), head)


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.reduce = nn.Conv2d(6, 2, 1)
        self.expand = nn.Conv2d(2, 6, 1)

    def forward(self, x):
        gate = F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.expand(gate)) + x * F.hardsigmoid(x.mean((2, 3), True))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.three = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        return torch.cat([self.one(x), F.relu(self.three(x)), self.pool(x)], 1)


def pooling():
    return nn.Sequential(
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.AvgPool2d(2, 2, 1, ceil_mode=True, count_include_pad=False),
    )


class Attention(nn.Module):
    def __init__(self, width=8, heads=2):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.out, self.heads = nn.Linear(width, width), heads
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm(x))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 4, batch_first=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        output, (hidden, _) = self.lstm(x)
        return self.fc(output[:, -1]), hidden


class Text(nn.Module):
    """Looks words up and scores words with the same table."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6, padding_idx=0)
        self.encoder = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.score = nn.Linear(6, 11, bias=False)
        self.score.weight = self.embedding.weight

    def forward(self, words):
        return self.score(self.encoder(self.embedding(words)))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(conv_bn(3, 4, stride=2), nn.LeakyReLU(0.1))
        self.deep = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.SiLU())
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        shallow = self.down(x)
        joined = torch.cat([shallow, self.up(self.deep(shallow))], 1)
        smooth = F.interpolate(joined, scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(smooth + F.interpolate(joined, size=x.shape[2:]))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.image, self.label = nn.Conv2d(3, 4, 3), nn.Embedding(5, 4)
        self.register_buffer("scale", torch.tensor(0.5), persistent=False)

    def forward(self, image, label, unused):
        features = self.image(image) + self.label(label)[:, :, None, None]
        return features * self.scale, [features.mean((2, 3)), features.argmax(1)]


NETWORKS = {
    "conv": (lambda: nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()), [(1, 16, 4, 4)]),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(4, 6, 3, 2), nn.Tanh()), [(2, 4, 9)]),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.ChannelShuffle(4)),
        [(2, 4, 6, 6)],
    ),
    "mlp": (lambda: nn.Sequential(nn.Linear(7, 9), nn.ELU(), nn.Linear(9, 3)), [(4, 7)]),
    "resnet_basic": (resnet_basic, [(1, 4, 8, 8)]),
    "resnet_bottleneck": (resnet_bottleneck, [(2, 4, 8, 8)]),
    "mobilenet_v2": (mobilenet_v2, [(1, 3, 12, 12)]),
    "squeeze_excite": (SqueezeExcite, [(2, 6, 5, 5)]),
    "inception": (Inception, [(1, 4, 7, 7)]),
    "pooling": (pooling, [(1, 4, 10, 9)]),
    "attention": (Attention, [(2, 5, 8)]),
    "recurrent": (Recurrent, [(2, 3, 5)]),
    "text": (Text, [((2, 4), "int64")]),
    "unet": (UNet, [(1, 3, 16, 16)]),
    "two_inputs": (TwoInputs, [(2, 3, 6, 6), ((2,), "int64"), (7,)]),
}


def randomize_statistics(model):
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 2.0)


def make(network):
    """Return a network in eval mode, its example inputs, and its input_shapes."""
    torch.manual_seed(0)
    build, shapes = NETWORKS[network]
    model = build().eval()
    randomize_statistics(model)
    inputs, described = [], []
    for position, shape in enumerate(shapes):
        if isinstance(shape[-1], str):
            inputs.append(torch.randint(0, 5, shape[0]))
        else:
            inputs.append(torch.randn(shape))
        described.append((f"input_{position}", shape))
    return model, tuple(inputs), described


@functools.cache
def imported(network):
    model, inputs, described = make(network)
    return from_pytorch(model, described)


def as_kind(model, inputs, kind):
    if kind == "traced":
        return torch.jit.trace(model, inputs, check_trace=False)
    if kind == "exported":
        return torch.export.export(model, inputs)
    return model


def run(module, params, inputs):
    executable = tvm.compile(relax.transform.BindParams("main", params)(module), "llvm")
    arrays = [tvm.runtime.tensor(tensor.numpy()) for tensor in inputs]
    result = relax.VirtualMachine(executable, tvm.cpu())["main"](*arrays)
    return (
        [result.numpy()] if isinstance(result, tvm.runtime.Tensor) else [r.numpy() for r in result]
    )


def flat(results):
    if isinstance(results, torch.Tensor):
        return [results.detach().numpy()]
    return [array for result in results for array in flat(result)]


@pytest.mark.parametrize("network", NETWORKS)
def test_result_is_that_of_torch(network):
    model, inputs, _ = make(network)
    results, expected = run(*imported(network), inputs), flat(model(*inputs))
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == wanted.dtype and result.shape == wanted.shape
        # Sums run in another order than torch's, which moves the last bits.
        scale = max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", ["traced", "exported"])
@pytest.mark.parametrize("network", NETWORKS)
def test_other_kinds_of_model_give_the_same_module(network, kind):
    model, inputs, described = make(network)
    expected, expected_params = imported(network)
    module, params = from_pytorch(as_kind(model, inputs, kind), described)
    tvm.ir.assert_structural_equal(module, expected)
    assert [v.name for v in module["main"].params] == [v.name for v in expected["main"].params]
    assert list(params) == list(expected_params)
    for name, value in params.items():
        np.testing.assert_array_equal(value.numpy(), expected_params[name].numpy())


# The spelling that the quantizer relies on.


class Vision(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.fc, self.b = nn.Linear(12, 5), nn.Parameter(torch.randn(5))

    def forward(self, x):
        x = F.relu(F.relu6(self.bn(self.conv(x))))
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True).contiguous()
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        x = F.dropout(torch.flatten(x, 1), training=self.training)
        x = self.fc(x).detach()
        return 2.0 * (self.b + (x + self.b)), torch.clamp(x, max=1.5)


@I.ir_module
class VisionInRelax:
    @R.function
    def main(
        data: R.Tensor((1, 2, 6, 6), "float32"),
        w: R.Tensor((3, 2, 3, 3), "float32"),
        bias: R.Tensor((3,), "float32"),
        gamma: R.Tensor((3,), "float32"),
        beta: R.Tensor((3,), "float32"),
        mean: R.Tensor((3,), "float32"),
        var: R.Tensor((3,), "float32"),
        fc: R.Tensor((5, 12), "float32"),
        fc_bias: R.Tensor((5,), "float32"),
        b: R.Tensor((5,), "float32"),
    ):
        with R.dataflow():
            conv = R.nn.conv2d(data, w, padding=[1, 1])
            biased = R.add(conv, R.reshape(bias, (1, 3, 1, 1)))
            bn = R.nn.batch_norm(
                biased, gamma, beta, mean, var, axis=1, epsilon=1e-5, training=False
            )
            clipped = R.nn.relu(R.clip(bn[0], 0.0, 6.0))
            pooled = R.nn.max_pool2d(
                clipped, [3, 3], strides=[2, 2], padding=[1, 1], ceil_mode=True
            )
            mean_pooled = R.nn.avg_pool2d(
                pooled, [3, 3], strides=[2, 2], padding=[1, 1], count_include_pad=False
            )
            flattened = R.squeeze(R.reshape(mean_pooled, (1, 12, 1, 1)), axis=[2, 3])
            product = R.matmul(flattened, R.permute_dims(fc))
            out = R.add(product, R.reshape(fc_bias, (1, 5)))
            doubled = R.multiply(R.add(b, R.add(out, b)), R.const(2.0, "float32"))
            result = (doubled, R.clip(out, R.prim_value(-float("inf")), 1.5))
            R.output(result)
        return result


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(4, 6, 3), nn.Linear(7, 2)
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, x):
        x = self.conv(x)
        y = self.fc(x).sigmoid()
        z = torch.matmul(y.transpose(1, 2), x) * self.scale
        return torch.cat([z, x.permute(0, 1, 2)], 1).view(2, -1)


@I.ir_module
class SequenceInRelax:
    @R.function
    def main(
        x: R.Tensor((2, 4, 9), "float32"),
        w: R.Tensor((6, 4, 3), "float32"),
        bias: R.Tensor((6,), "float32"),
        fc: R.Tensor((2, 7), "float32"),
        fc_bias: R.Tensor((2,), "float32"),
        scale: R.Tensor((), "float32"),
    ):
        with R.dataflow():
            conv = R.add(
                R.nn.conv1d(x, w, strides=[1], padding=[0], dilation=[1]),
                R.reshape(bias, (1, 6, 1)),
            )
            product = R.matmul(conv, R.permute_dims(fc))
            gate = R.sigmoid(R.add(product, R.reshape(fc_bias, (1, 1, 2))))
            mixed = R.matmul(R.permute_dims(gate, [0, 2, 1]), conv)
            joined = R.concat([R.multiply(mixed, scale), R.permute_dims(conv, [0, 1, 2])], axis=1)
            result = R.reshape(joined, (2, 56))
            R.output(result)
        return result


class Global(nn.Module):
    def forward(self, image):
        pooled = F.adaptive_avg_pool2d(image, 1) + image.mean((2, 3), keepdim=True)
        return pooled.flatten(), image.reshape(2, 3, -1).flatten(1)


@I.ir_module
class GlobalInRelax:
    @R.function
    def main(image: R.Tensor((2, 3, 4, 5), "float32")):
        with R.dataflow():
            pooled = R.nn.adaptive_avg_pool2d(image, [1, 1])
            both = R.add(pooled, R.mean(image, [2, 3], keepdims=True))
            flat = R.squeeze(R.reshape(both, (6, 1, 1, 1)), axis=[1, 2, 3])
            rows = R.reshape(image, (2, 3, 20))
            result = (flat, R.squeeze(R.reshape(rows, (2, 60, 1)), axis=[2]))
            R.output(result)
        return result


CONTRACTS = {
    "vision": (Vision, (1, 2, 6, 6), VisionInRelax),
    "sequence": (Sequence, (2, 4, 9), SequenceInRelax),
    "global": (Global, (2, 3, 4, 5), GlobalInRelax),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("contract", CONTRACTS)
def test_spelling(contract, kind):
    build, shape, expected = CONTRACTS[contract]
    model = as_kind(build().eval(), (torch.randn(shape),), kind)
    module, _ = from_pytorch(model, [("data", shape)])
    main = expected["main"].with_attr("num_input", 1)
    expected = relax.transform.Normalize()(tvm.IRModule({"main": main}))
    tvm.ir.assert_structural_equal(module, expected, map_free_vars=True)


# The names and the values of the parameters.


BLOCK = ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var")


def names(module):
    return [variable.name for variable in module["main"].params]


def test_parameters_follow_the_inputs_under_their_torch_names():
    module, params = imported("resnet_basic")
    # forward computes the downsample path before the branch
    branch = [f"0.branch.{i}.{rest}" for i in (0, 2) for rest in BLOCK]
    down = [f"0.downsample.{rest}" for rest in BLOCK]
    plain = [f"1.branch.{i}.{rest}" for i in (0, 2) for rest in BLOCK]
    assert names(module) == ["input_0", *down, *branch, *plain]
    assert list(params) == names(module)[1:]
    state = make("resnet_basic")[0].state_dict()
    for name, value in params.items():
        np.testing.assert_array_equal(value.numpy(), state[name].numpy())


def test_shared_tensor_is_one_parameter_under_its_first_name():
    module, params = imported("text")
    assert "embedding.weight" in params and "score.weight" not in params
    assert names(module).count("embedding.weight") == 1


def test_inputs_keep_their_names_shapes_and_dtypes_even_when_unused():
    module, _ = imported("two_inputs")
    assert names(module)[:3] == ["input_0", "input_1", "input_2"]
    expected = [((2, 3, 6, 6), "float32"), ((2,), "int64"), ((7,), "float32")]
    for variable, (shape, dtype) in zip(module["main"].params, expected, strict=False):
        assert variable.ty == relax.TensorType(shape, dtype)


def test_tensors_outside_the_state_are_constants():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain = torch.tensor([1.0, 2.0])
            self.register_buffer("counts", torch.tensor([3, 4]))
            self.register_buffer("flags", torch.tensor([True, False]))

        def forward(self, x):
            return x * self.plain + torch.tensor([5.0, 6.0]), self.counts + 1, self.flags

    model, x = Model(), torch.randn(2)
    for kind in KINDS:
        module, params = from_pytorch(as_kind(model, (x,), kind), [("x", (2,))])
        assert sorted(params) == ["counts", "flags"]
        for result, expected in zip(run(module, params, (x,)), flat(model(x)), strict=True):
            np.testing.assert_array_equal(result, expected)


def test_result_may_be_an_input():
    class Model(nn.Module):
        def forward(self, x):
            return x, x + 1, x

    x = torch.randn(3)
    assert run(*from_pytorch(nn.Identity(), [("x", (3,))]), (x,))[0].tolist() == x.tolist()
    results = run(*from_pytorch(Model(), [("x", (3,))]), (x,))
    assert [r.tolist() for r in results] == [x.tolist(), (x + 1).tolist(), x.tolist()]


def test_single_result_is_a_tensor_and_several_are_a_tuple():
    assert isinstance(imported("conv")[0]["main"].ret_ty, relax.TensorType)
    assert len(imported("two_inputs")[0]["main"].ret_ty.fields) == 3


# What must stay as it is.


def snapshot(model):
    state = {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}
    return state, [m.training for m in model.modules()], [set(vars(m)) for m in model.modules()]


def test_module_in_training_mode_is_imported_in_eval_mode_and_stays_in_training():
    model, inputs, described = make("mobilenet_v2")
    expected = flat(model(*inputs))[0]
    model.train()
    model[0][1].eval()
    before = snapshot(model)
    module, params = from_pytorch(model, described)
    assert snapshot(model) == before
    tvm.ir.assert_structural_equal(module, imported("mobilenet_v2")[0])
    np.testing.assert_allclose(run(module, params, inputs)[0], expected, rtol=0, atol=1e-5)


def test_traced_module_and_exported_program_stay_as_they_are():
    model, inputs, described = make("squeeze_excite")
    traced, exported = as_kind(model, inputs, "traced"), as_kind(model, inputs, "exported")
    before = str(traced.inlined_graph), str(exported), snapshot(traced)
    from_pytorch(traced, described)
    from_pytorch(exported, described)
    assert (str(traced.inlined_graph), str(exported), snapshot(traced)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_params_are_copies(kind):
    model, inputs, described = make("mlp")
    _, params = from_pytorch(as_kind(model, inputs, kind), described)
    before = params["0.weight"].numpy().copy()
    with torch.no_grad():
        model[0].weight.zero_()
    np.testing.assert_array_equal(params["0.weight"].numpy(), before)


def test_mode_of_the_caller_does_not_get_into_the_module():
    model, _, described = make("text")
    with torch.inference_mode(), torch.autocast("cpu"):
        tvm.ir.assert_structural_equal(from_pytorch(model, described)[0], imported("text")[0])
    with tvm.transform.PassContext(disabled_pass=["DeadCodeElimination"]):
        tvm.ir.assert_structural_equal(from_pytorch(model, described)[0], imported("text")[0])


def test_same_model_gives_the_same_module_and_text():
    model, _, described = make("inception")
    module, _ = from_pytorch(model, described)
    tvm.ir.assert_structural_equal(module, imported("inception")[0], map_free_vars=False)
    assert module.script() == imported("inception")[0].script()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_printed_logged_or_warned(kind, capfd):
    model, inputs, described = make("recurrent")
    model = as_kind(model, inputs, kind)
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from_pytorch(model, described)
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")


def test_logging_and_stderr_are_put_back():
    loggers = [logging.getLogger(name) for name in ("torch", "torch.export", "torch._dynamo")]

    def state():
        handlers = [handler for logger in loggers for handler in logger.handlers]
        levels = [logger.level for logger in loggers]
        return sys.stderr, list(warnings.filters), [h.filters[:] for h in handlers], levels

    before = state()
    model, inputs, described = make("conv")
    from_pytorch(as_kind(model, inputs, "traced"), described)
    assert state() == before


def test_threads_may_import_at_once():
    jobs = ["conv", "mlp", "pooling", "inception"]
    results = {}
    models = {job: make(job) for job in jobs}

    def work(job):
        model, _, described = models[job]
        results[job] = from_pytorch(model, described)[0]

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job in jobs:
        tvm.ir.assert_structural_equal(results[job], imported(job)[0])


# Further kinds of models.


def test_dynamic_program_is_imported_at_the_given_size():
    model = make("conv")[0]
    batch = torch.export.Dim("batch", min=2, max=8)
    dynamic = torch.export.export(model, (torch.zeros(3, 16, 4, 4),), dynamic_shapes=({0: batch},))
    module, _ = from_pytorch(dynamic, [("data", (5, 16, 4, 4))])
    tvm.ir.assert_structural_equal(module, from_pytorch(model, [("data", (5, 16, 4, 4))])[0])


def test_scripted_module_without_dynamic_control_flow_is_imported():
    model, inputs, described = make("pooling")
    module, params = from_pytorch(torch.jit.script(model), described)
    expected = flat(model(*inputs))[0]
    np.testing.assert_allclose(run(module, params, inputs)[0], expected, rtol=0, atol=1e-5)


def test_input_that_the_model_writes_to_is_only_read():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 3))
    x = torch.tensor([[-1.0, 2.0, -3.0]])
    expected = flat(model(x.clone()))[0]
    for kind in KINDS:
        module, params = from_pytorch(as_kind(model, (x.clone(),), kind), [("x", (1, 3))])
        result = run(module, params, (x,))[0]
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)
    assert x.tolist() == [[-1.0, 2.0, -3.0]]


def test_main_says_how_many_of_its_inputs_are_no_parameters():
    """By this attribute, compile and quantize notice parameters that were forgotten."""
    mod, _ = from_pytorch(nn.Conv2d(2, 3, 1), [("data", (1, 2, 4, 4))])
    assert mod["main"].attrs["num_input"] == 1
    for forgetful in (tvm_book.compile, quantize.quantize):
        with pytest.raises(ValueError, match="the parameters weight, bias have no value"):
            forgetful(mod)
