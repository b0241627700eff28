"""Weights from a seed that keep the signal of an untrained network at a sane size."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["fill_weights", "fit_statistics"]

_IMAGE_LAYERS = (_BatchNorm, nn.Conv2d, nn.ConvTranspose2d)


def fill_weights(model: nn.Module, seed: int) -> None:
    """Draw every parameter anew.

    Weights of convolutions are normal with a variance of 2 / fan-in, which keeps the second moment
    behind a ReLU (He et al. 2015, arXiv:1502.01852, equation 10). Those of linear, recurrent and
    embedding layers have 1 / fan-in, since layer norm or a saturating function stands beside them.
    Normalizations get scales between 0.5 and 1.5; what else there is, biases included, is normal
    with small deviations, so that none of it is zero as it would be before training.

    Biases of convolutions and batch norms lie around 1, so that a ReLU cuts few values. Around 0 it
    would cut half of them, and with batch norms in between every small difference, such as that of
    rounding, would grow from layer to layer (Yang et al. 2019, arXiv:1902.08129): such a network
    measures its depth, not the quality of its quantization.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    seed : int
        Of a generator of its own: torch's global one is not used.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if isinstance(module, _BatchNorm | nn.LayerNorm) and name == "weight":
                    parameter.uniform_(0.5, 1.5, generator=generator)
                else:
                    deviation = _deviation(module, name, parameter)
                    parameter.normal_(_mean(module, name), deviation, generator=generator)


def _mean(module: nn.Module, name: str) -> float:
    return 1.0 if name == "bias" and isinstance(module, _IMAGE_LAYERS) else 0.0


def _deviation(module: nn.Module, name: str, parameter: nn.Parameter) -> float:
    if "bias" in name:
        return 0.1
    if isinstance(module, nn.ConvTranspose2d):
        # every output pixel is reached by a part of the kernel only
        reached = math.prod(k / s for k, s in zip(module.kernel_size, module.stride, strict=True))
        return math.sqrt(2 / (module.in_channels / module.groups * reached))
    if isinstance(module, nn.Conv2d):
        return math.sqrt(2 / parameter[0].numel())
    if isinstance(module, nn.Embedding):
        return 1.0
    if isinstance(module, nn.Linear | nn.RNNBase):
        return math.sqrt(1 / parameter.shape[1])
    return 0.5  # class tokens and learned positions, beside tokens of deviation 1


def fit_statistics(model: nn.Module, *batch: torch.Tensor) -> None:
    """Give every convolution outputs of one size, whatever the depth.

    The running statistics of a batch norm become those of the batch. A convolution of images with
    a bias has no batch norm behind it: its weights and bias are rescaled such that every channel
    has mean 0 and deviation 1, before the old bias is added. Without that the outputs of a deep
    network hardly depend on its input (Krähenbühl et al. 2016, arXiv:1511.06856, section 3.1).

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place; it comes back in eval mode.
    batch : torch.Tensor
        Arguments of ``model.forward``.
    """
    with _fitted_batch_norms(model), _rescaled_convolutions(model), torch.no_grad():
        model(*batch)


@contextlib.contextmanager
def _rescaled_convolutions(model: nn.Module) -> Iterator[None]:
    """Rescale each convolution with a bias as soon as it has run."""
    handles = [
        module.register_forward_hook(_rescale)
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rescale(module: nn.Module, _: tuple, output: torch.Tensor) -> torch.Tensor | None:
    if output.shape[2:].numel() == 1:
        return None  # the gates of squeeze-excite: means over images differ little, and should
    deviation, mean = torch.std_mean(output, (0, 2, 3))
    bias = module.bias.clone()
    module.bias.copy_(bias - (mean - bias) / deviation)
    # the weights of a transposed convolution have the output channels second
    axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
    module.weight.div_(deviation.view([-1 if a == axis else 1 for a in range(4)]))
    mean, deviation, bias = (v.view(1, -1, 1, 1) for v in (mean, deviation, bias))
    return (output - mean) / deviation + bias


@contextlib.contextmanager
def _fitted_batch_norms(model: nn.Module) -> Iterator[None]:
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()  # dropout stays off, since it would draw from torch's global generator
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = 1.0  # forget the initial values
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()
