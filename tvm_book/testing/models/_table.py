"""The networks of the tested matrix, and the published ones that they are small versions of.

Images, sequences and, where the note says so, networks are small, since a network is meant to be
compiled and run within seconds even without a schedule.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ._bert import bert_base, bert_tiny
from ._densenet import densenet121
from ._efficientnet import efficientnet_b0
from ._inception import inception_v3
from ._lstm import lstm
from ._mlp_mixer import mixer_s16
from ._mobilenet_v2 import mobilenet_v2
from ._mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from ._resnet import resnet18, resnet50
from ._samples import images, sequences, tokens
from ._spec import ModelSpec
from ._squeezenet import squeezenet1_1
from ._unet import unet
from ._vit import vit_tiny

__all__ = ["MODELS", "PUBLISHED"]


def _image_model(name: str, construct: Any, size: int, note: str, **options: Any) -> ModelSpec:
    inputs = (("data", (1, 3, size, size)),)
    return ModelSpec(name, functools.partial(construct, **options), inputs, images, note)


def _token_model(name: str, construct: Any, length: int, vocabulary: int, note: str) -> ModelSpec:
    inputs = (("ids", ((1, length), "int64")),)
    construct = functools.partial(construct, vocabulary=vocabulary, length=length)
    return ModelSpec(
        name, construct, inputs, functools.partial(tokens, vocabulary=vocabulary), note
    )


def _sequence_model(name: str, construct: Any, steps: int, note: str, **options: Any) -> ModelSpec:
    inputs = (("data", (1, steps, options["inputs"])),)
    return ModelSpec(name, functools.partial(construct, **options), inputs, sequences, note)


def _table(*specs: ModelSpec) -> Mapping[str, ModelSpec]:
    return MappingProxyType({spec.name: spec for spec in specs})


MODELS: Mapping[str, ModelSpec] = _table(
    _image_model("resnet18", resnet18, 64, "a quarter of the channels", width=0.25),
    _image_model("resnet50", resnet50, 64, "a quarter of the channels", width=0.25),
    _image_model("mobilenet_v2", mobilenet_v2, 64, ""),
    _image_model("mobilenet_v3_small", mobilenet_v3_small, 64, ""),
    _image_model("efficientnet_b0", efficientnet_b0, 64, ""),
    _image_model("squeezenet1_1", squeezenet1_1, 64, ""),
    _image_model(
        "densenet121",
        densenet121,
        64,
        "half the growth rate, 16 dense layers instead of 58",
        growth=16,
        depths=(3, 4, 5, 4),
    ),
    _image_model(
        "inception_v3",
        inception_v3,
        128,
        "a quarter of the channels, one module of each kind",
        width=0.25,
        depths=(1, 1, 1),
    ),
    _image_model("unet", unet, 32, "an eighth of the channels", width=0.125),
    _image_model(
        "unet_bilinear", unet, 32, "an eighth of the channels", up="bilinear", width=0.125
    ),
    _image_model(
        "mixer_s16",
        mixer_s16,
        32,
        "a quarter of the width, half the blocks, patches of 8 x 8",
        image_size=32,
        patch_size=8,
        width=128,
        depth=4,
    ),
    _image_model(
        "vit_tiny",
        vit_tiny,
        32,
        "half the blocks, patches of 8 x 8",
        image_size=32,
        patch_size=8,
        depth=6,
    ),
    _token_model("bert_tiny", bert_tiny, 32, 1000, "a vocabulary of 1000, 32 positions"),
    _sequence_model("lstm", lstm, 12, "", inputs=16, hidden=64, depth=1),
)

PUBLISHED: Mapping[str, ModelSpec] = _table(
    _image_model("resnet18", resnet18, 224, ""),
    _image_model("resnet50", resnet50, 224, ""),
    _image_model("mobilenet_v2", mobilenet_v2, 224, ""),
    _image_model("mobilenet_v3_large", mobilenet_v3_large, 224, ""),
    _image_model("mobilenet_v3_small", mobilenet_v3_small, 224, ""),
    _image_model("efficientnet_b0", efficientnet_b0, 224, ""),
    _image_model("squeezenet1_1", squeezenet1_1, 224, ""),
    _image_model("densenet121", densenet121, 224, ""),
    _image_model("inception_v3", inception_v3, 299, ""),
    _image_model("unet", unet, 256, "batch norm and padded convolutions, unlike the paper"),
    _image_model("mixer_s16", mixer_s16, 224, ""),
    _image_model("vit_tiny", vit_tiny, 224, ""),
    _token_model("bert_tiny", bert_tiny, 512, 30522, ""),
    _token_model("bert_base", bert_base, 512, 30522, ""),
)
