"""The error of a model that has no Relax form."""

from __future__ import annotations


class UnsupportedModelError(NotImplementedError):
    """A model contains something that cannot be written in Relax.

    The message says what it is, where in the model it is (module path and source line, as far as
    the model still knows them), and what to try.
    """
