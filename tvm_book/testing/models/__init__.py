"""Well-known architectures, written out in torch, with seeded weights and inputs.

`MODELS` maps names to small versions that compile and run within seconds; `PUBLISHED` has the
networks of the papers, for benchmarks. Both hold a `ModelSpec` per network. The constructors take
the number of classes and, where an architecture has such a thing, ``width``, which multiplies every
number of channels. Modules bear the names of torchvision, or for the transformers those of timm and
Hugging Face, so weights of a published checkpoint fit by name where the sizes are the published
ones.

Examples
--------
>>> from tvm_book.testing.models import MODELS
>>> print(*MODELS, sep=", ")
resnet18, resnet50, mobilenet_v2, mobilenet_v3_small, efficientnet_b0, squeezenet1_1, densenet121, \
inception_v3, unet, unet_bilinear, mixer_s16, vit_tiny, bert_tiny, lstm
"""

from ._bert import bert_base, bert_tiny
from ._densenet import densenet121
from ._efficientnet import efficientnet_b0
from ._inception import inception_v3
from ._lstm import lstm
from ._mlp_mixer import mixer_s16
from ._mobilenet_v2 import mobilenet_v2
from ._mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from ._resnet import resnet18, resnet50
from ._spec import ModelSpec
from ._squeezenet import squeezenet1_1
from ._table import MODELS, PUBLISHED
from ._unet import unet
from ._vit import vit_tiny

__all__ = [
    "MODELS",
    "PUBLISHED",
    "ModelSpec",
    "bert_base",
    "bert_tiny",
    "densenet121",
    "efficientnet_b0",
    "inception_v3",
    "lstm",
    "mixer_s16",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "resnet18",
    "resnet50",
    "squeezenet1_1",
    "unet",
    "vit_tiny",
]
