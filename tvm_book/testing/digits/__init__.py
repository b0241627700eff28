"""Small networks that learn to read scikit-learn's digits in seconds, to quantize and compare.

The images come from :func:`sklearn.datasets.load_digits`; the functions take its arrays, so that
the library itself does not need scikit-learn.
"""

from ._data import Split, split
from ._train import NETWORKS, train

__all__ = ["NETWORKS", "Split", "split", "train"]
