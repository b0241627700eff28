"""The networks are the published ones, come from a seed, and convert to what torch computes."""

from __future__ import annotations

import dataclasses
import functools
import random

import numpy as np
import pytest
import torch
from torch import nn

from tvm_book.testing.models import MODELS, PUBLISHED, resnet18, unet, vit_tiny
from tvm_book.testing.models._samples import images, sequences, tokens

# As torchvision (inception_v3 without its auxiliary classifier), timm and Hugging Face count them.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "efficientnet_b0": 5_288_548,
    "squeezenet1_1": 1_235_496,
    "densenet121": 7_978_856,
    "inception_v3": 23_834_568,
    "unet": 31_037_698,
    "mixer_s16": 18_528_264,
    "vit_tiny": 5_717_416,
    "bert_tiny": 4_385_920,
    "bert_base": 109_482_240,
}

# In 1e9 for one image, as torchvision states them.
GIGA_MACS = {
    "resnet18": 1.814,
    "resnet50": 4.089,
    "mobilenet_v2": 0.301,
    "mobilenet_v3_large": 0.217,
    "mobilenet_v3_small": 0.057,
    "efficientnet_b0": 0.386,
    "squeezenet1_1": 0.349,
    "densenet121": 2.834,
    "inception_v3": 5.713,
}

# One weight of each; the names are a contract with whoever selects layers by path.
WEIGHTS = {
    "resnet18": ("layer1.0.conv1.weight", (64, 64, 3, 3)),
    "resnet50": ("layer4.2.conv3.weight", (2048, 512, 1, 1)),
    "mobilenet_v2": ("features.2.conv.1.0.weight", (96, 1, 3, 3)),
    "mobilenet_v3_large": ("features.4.block.2.fc1.weight", (24, 72, 1, 1)),
    "mobilenet_v3_small": ("features.1.block.1.fc2.weight", (16, 8, 1, 1)),
    "efficientnet_b0": ("features.1.0.block.0.0.weight", (32, 1, 3, 3)),
    "squeezenet1_1": ("features.3.expand3x3.weight", (64, 16, 3, 3)),
    "densenet121": ("features.denseblock4.denselayer16.conv2.weight", (32, 128, 3, 3)),
    "inception_v3": ("Mixed_6e.branch7x7_3.conv.weight", (192, 192, 7, 1)),
    "unet": ("decoder.0.up.weight", (1024, 512, 2, 2)),
    "mixer_s16": ("blocks.7.mlp_tokens.fc1.weight", (256, 196)),
    "vit_tiny": ("blocks.11.attn.qkv.weight", (576, 192)),
    "bert_tiny": ("encoder.layer.1.attention.self.query.weight", (128, 128)),
    "bert_base": ("encoder.layer.11.intermediate.dense.weight", (3072, 768)),
}


@functools.cache
def built(name):
    return MODELS[name].build()


def run_torch(model, sample):
    with torch.no_grad():
        outputs = model(*map(torch.from_numpy, sample.values()))
    return outputs if isinstance(outputs, tuple) else (outputs,)


# the architectures


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    assert PUBLISHED[name].parameters() == PARAMETERS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_have_the_published_names(name):
    weight, shape = WEIGHTS[name]
    with torch.device("meta"):
        assert PUBLISHED[name].construct().get_parameter(weight).shape == shape


@pytest.mark.parametrize("name", GIGA_MACS)
def test_macs_are_the_published_ones(name):
    assert round(PUBLISHED[name].macs() / 1e9, 3) == pytest.approx(GIGA_MACS[name], abs=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_small_networks_run_in_a_moment(name):
    # Loops without a schedule do about 1e9 multiply-accumulates a second.
    assert MODELS[name].macs() < 50e6


def test_macs_of_a_network_that_can_be_counted_by_hand():
    steps, inputs, hidden, classes = 12, 16, 64, 10
    gates = steps * 4 * hidden * (inputs + hidden)
    assert MODELS["lstm"].macs() == gates + hidden * classes


def test_width_scales_the_channels():
    with torch.device("meta"):
        assert resnet18(width=0.25, num_classes=7).fc.weight.shape == (7, 128)


def test_wrong_options():
    with pytest.raises(ValueError, match="up must be one of transposed, nearest, bilinear"):
        unet(up="cubic")
    with pytest.raises(ValueError, match="patch_size 10 does not divide image_size 224"):
        vit_tiny(patch_size=10)


# weights and inputs


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_decides_everything_and_no_global_generator_takes_part(name):
    expected = built(name).state_dict()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    state = MODELS[name].build().state_dict()
    MODELS[name].sample(3)
    after = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    assert torch.equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2] == after[2]
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)


def test_another_seed_gives_other_weights():
    spec = MODELS["lstm"]
    one, other = spec.build(1).state_dict(), spec.build(2).state_dict()
    assert not any(torch.equal(one[key], other[key]) for key in one)


def test_network_is_ready_to_use():
    model = built("mobilenet_v2")
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", MODELS)
def test_samples_fit_the_inputs(name):
    spec = MODELS[name]
    few, many = spec.sample(5, 2), spec.sample(5, 3)
    for one, other in zip(few, many, strict=False):
        assert list(one) == [key for key, _ in spec.inputs]
        for (key, described), array in zip(spec.inputs, one.values(), strict=True):
            shape, dtype = described if isinstance(described[0], tuple) else (described, "float32")
            assert array.shape == shape and array.dtype == dtype
            np.testing.assert_array_equal(array, other[key])
    for other in (many[0], spec.sample(6)[0]):
        assert all((many[2][key] != other[key]).any() for key in other)


def test_inputs_have_the_size_and_range_they_should():
    rng = np.random.default_rng(0)
    drawn = images(rng, (64, 3, 32, 32))
    # 192 images of 6 independent octaves: the largest has one value an image
    assert abs(drawn.mean()) < 0.15 and abs(drawn.std() - 1) < 0.15
    neighbours = np.corrcoef(drawn[..., :-1].ravel(), drawn[..., 1:].ravel())[0, 1]
    assert neighbours > 0.5  # white noise has 0
    assert abs(sequences(rng, (4000, 9, 2))[:, -1].std() - 1) < 0.05
    words = tokens(rng, (20000,), vocabulary=10)
    assert set(words) == set(range(10))
    # P(word = k) = log((k + 2) / (k + 1)) / log(11)
    frequencies = np.bincount(words) / words.size
    expected = np.diff(np.log(np.arange(1, 12))) / np.log(11)
    np.testing.assert_allclose(frequencies, expected, rtol=0, atol=0.015)  # 4 deviations


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "squeezenet1_1", "unet"])
def test_channels_have_the_deviation_that_they_were_fitted_to(name):
    model, deviations = built(name), []

    def note(module, _, output):
        wanted = module.weight if isinstance(module, nn.BatchNorm2d) else 1
        if output.shape[2:].numel() > 1:  # the gates of squeeze-excite are not fitted
            deviations.append((output.std((0, 2, 3)) / wanted).mean().item())

    handles = [
        module.register_forward_hook(note)
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.ConvTranspose2d)
        and module.bias is not None
    ]
    batch = [sample["data"] for sample in MODELS[name].sample(1, 32)]
    run_torch(model, {"data": np.concatenate(batch)})
    for handle in handles:
        handle.remove()
    # the samples are other ones than those of the fit
    assert len(deviations) > 10
    assert 0.7 < min(deviations) and max(deviations) < 1.4


@pytest.mark.parametrize("name", MODELS)
def test_signal_neither_vanishes_nor_explodes_and_depends_on_the_input(name):
    model, sizes = built(name), {}

    def note(module, _, output):
        for tensor in output if isinstance(output, tuple) else (output,):
            if isinstance(tensor, torch.Tensor):
                sizes.setdefault(module, []).append(tensor.square().mean().sqrt().item())

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(note) for module in leaves]
    outputs = [run_torch(model, sample)[0].flatten() for sample in MODELS[name].sample(7, 8)]
    for handle in handles:
        handle.remove()
    assert all(0.02 < np.mean(size) < 50 for size in sizes.values())
    outputs = torch.stack(outputs)
    spread = outputs.std(0).mean() / outputs.std()  # 0 if all inputs give one result, 1 if random
    # Biases around 1, which all inputs share, leave a sixth of the spread to the inputs at least.
    assert spread > 0.15


def test_specification_can_be_changed():
    spec = dataclasses.replace(MODELS["resnet18"], inputs=(("data", (2, 3, 32, 32)),))
    assert spec.sample()[0]["data"].shape == (2, 3, 32, 32)
    (output,) = run_torch(spec.build(), spec.sample()[0])
    assert output.shape == (2, 1000)
