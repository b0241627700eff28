import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from tvm_book.testing import digits

NAMES = list(digits.NETWORKS)


@pytest.fixture(scope="module")
def parts():
    data = load_digits()
    return digits.split(data.images, data.target)


def accuracy(model, images, labels):
    with torch.no_grad():
        scores = model(torch.from_numpy(images)).numpy()
    return np.mean(scores.argmax(axis=1) == labels)


def test_split_keeps_the_order_and_holds_the_last_images_back(parts):
    data = load_digits()
    assert len(data.images) == 1797
    np.testing.assert_array_equal(parts.train_x[:, 0], data.images[:1197])
    np.testing.assert_array_equal(parts.test_x[:, 0], data.images[1197:])
    np.testing.assert_array_equal(parts.calibration[:, 0], data.images[:200])
    np.testing.assert_array_equal(parts.train_y, data.target[:1197])
    np.testing.assert_array_equal(parts.test_y, data.target[1197:])
    assert {x.dtype for x in (parts.train_x, parts.calibration, parts.test_x)} == {np.dtype("f4")}
    assert parts.train_y.dtype == parts.test_y.dtype == np.int64


def test_split_takes_images_that_have_a_channel(parts):
    images = np.concatenate([parts.train_x, parts.test_x])
    labels = np.concatenate([parts.train_y, parts.test_y])
    for given, expected in zip(digits.split(images, labels), parts, strict=True):
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize(
    ("shape", "labels", "options", "message"),
    [
        ((9, 8, 7), np.zeros(9, int), {}, r"\(9, 8, 7\).*give \(N, 8, 8\)"),
        ((9, 3, 8, 8), np.zeros(9, int), {}, r"give \(N, 8, 8\)"),
        ((9, 8, 8), np.zeros(8, int), {}, r"labels \(8,\)"),
        ((9, 8, 8), np.zeros(9), {}, "whole numbers"),
        ((9, 8, 8), np.full(9, 10), {}, "from 0 to 9"),
        ((9, 8, 8), np.zeros(9, int), {"held_back": 9}, "9 images cannot give 9"),
        ((9, 8, 8), np.zeros(9, int), {"held_back": 0, "calibration": 1}, "positive"),
        ((9, 8, 8), np.zeros(9, int), {"held_back": 5, "calibration": 5}, "cannot give 5 to test"),
    ],
)
def test_split_says_what_is_wrong(shape, labels, options, message):
    with pytest.raises(ValueError, match=message):
        digits.split(np.zeros(shape), labels, **options)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_weights(name, parts):
    some = parts.train_x[:64], parts.train_y[:64]
    first = digits.train(name, *some, seed=1, epochs=1).state_dict()
    torch.rand(3)  # whatever else happened with torch's random numbers
    again = digits.train(name, *some, seed=1, epochs=1).state_dict()
    other = digits.train(name, *some, seed=2, epochs=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_training_leaves_torch_as_it_was(parts):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    try:
        torch.set_num_threads(2)
        with torch.no_grad():  # which training has to lift
            digits.train("resnet", parts.train_x[:64], parts.train_y[:64], epochs=1)
            assert not torch.is_grad_enabled()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)


# Few epochs show that it learns; chance would be 0.1. Measured with seeds 0 and 1: 0.96 and 0.98,
# 0.95 and 0.96, 0.95 and 0.96. Another processor adds in another order, and ends elsewhere.
@pytest.mark.parametrize(
    ("name", "epochs", "least"),
    [("resnet", 3, 0.92), ("mobilenet_v2", 5, 0.9), ("vit", 10, 0.9)],
)
def test_networks_learn(name, epochs, least, parts):
    model = digits.train(name, parts.train_x, parts.train_y, epochs=epochs)
    assert not any(module.training for module in model.modules())
    assert accuracy(model, parts.test_x, parts.test_y) >= least


@pytest.mark.parametrize("name", NAMES)
def test_each_module_runs_once(name):
    """A quantizer that goes by modules, as torchao's, cannot tell two uses of one apart."""
    model, calls = digits.NETWORKS[name].make().eval(), []
    for path, module in model.named_modules():
        if not list(module.children()) and not isinstance(module, nn.Sequential):
            module.register_forward_hook(lambda *_, path=path: calls.append(path))
    model(torch.zeros(2, 1, 8, 8))
    assert calls
    assert len(calls) == len(set(calls))


def test_networks_have_what_makes_them_hard():
    def convolutions(name):
        modules = digits.NETWORKS[name].make().modules()
        return [module for module in modules if isinstance(module, nn.Conv2d)]

    assert sum(c.groups == c.in_channels > 1 for c in convolutions("mobilenet_v2")) == 5
    assert sum(c.kernel_size == (1, 1) for c in convolutions("resnet")) == 2  # the shortcuts
    kinds = [type(module) for module in digits.NETWORKS["vit"].make().modules()]
    assert kinds.count(nn.LayerNorm) == 5
    assert kinds.count(nn.GELU) == 2


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="no network 'alexnet'; there are resnet, mobilenet_v2"):
        digits.train("alexnet", np.zeros((4, 8, 8)), np.zeros(4, int))
