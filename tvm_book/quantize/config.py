"""What to quantize and how: `QConfig`, and the scope that a `with qconfig(...)` opens."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ._option_checks import CHECKS, check_storage

__all__ = ["QConfig", "current_qconfig", "qconfig"]

_SCOPES: ContextVar[tuple[QConfig, ...]] = ContextVar("tvm_book_qconfig", default=())


@dataclass(frozen=True)
class QConfig:
    """Options of one quantization; immutable, and a context manager.

    Names, meanings and defaults are those of ``tvm.relay.quantize.QConfig``.

    Parameters
    ----------
    nbit_input, nbit_weight, nbit_activation : int
        Width in bits (2 to 32) of the grid that inputs of heavy operators, weights and
        accumulators are rounded to.
    dtype_input, dtype_weight, dtype_activation : str
        Storage type of the same three; a grid may be narrower than its storage. Signed, because
        grids are symmetric around zero.
    calibrate_mode : str
        Where the scales of activations come from: ``"global_scale"`` (one constant),
        ``"kl_divergence"`` or ``"percentile"`` (both look at a dataset).
    global_scale : float
        Largest absolute activation that ``"global_scale"`` represents.
    weight_scale : str
        ``"power2"`` rounds the largest absolute weight up to a power of two, so that requantizing
        is a shift; ``"max"`` takes it as it is.
    skip_dense_layer : bool
        Leave 2-d linear layers and matrix products in float.
    skip_conv_layers : sequence of int or None
        Numbers of the conv2d, counted from 0 in visiting order, that stay in float. ``None`` or
        ``[]`` skips none. The default of Relay skips the first.
    do_simulation : bool
        Stop before integers: keep ``simulated_quantize`` operators, which round but stay float.
    round_for_shift : bool
        Round when a right shift rescales (otherwise floor).
    debug_enabled_ops : sequence of str or None
        If given, only these operators are annotated; Relay's names (``"nn.conv2d"``) and Relax's
        (``"relax.nn.conv2d"``) both work.
    rounding : str
        ``"UPWARD"`` or ``"TONEAREST"``: ties of fixed-point multiplications.
    calibrate_chunk_by : int
        How many tensors to observe in one run of the calibration data; -1 means all. Limits
        memory, never changes the result.
    partition_conversions : str
        ``"disabled"``, ``"enabled"`` (split ``main`` into quantize, integer and dequantize
        functions) or ``"fully_integral"`` (the same, and refuse float operators in the middle).
    preset : str
        The scheme whose rules apply: ``"relay"``.
    rules : sequence of `tvm_book.quantize.Rule`
        Rules for further operators; they come before those of the scheme.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range.

    Examples
    --------
    >>> config = QConfig(nbit_input=6)
    >>> config.nbit_input, config.skip_conv_layers
    (6, (0,))
    >>> with config:
    ...     current_qconfig().nbit_input
    6
    """

    nbit_input: int = 8
    nbit_weight: int = 8
    nbit_activation: int = 32
    dtype_input: str = "int8"
    dtype_weight: str = "int8"
    dtype_activation: str = "int32"
    calibrate_mode: str = "global_scale"
    global_scale: float = 8.0
    weight_scale: str = "power2"
    skip_dense_layer: bool = True
    skip_conv_layers: Iterable[int] | None = (0,)
    do_simulation: bool = False
    round_for_shift: bool = True
    debug_enabled_ops: Iterable[str] | None = None
    rounding: str = "UPWARD"
    calibrate_chunk_by: int = -1
    partition_conversions: str = "disabled"
    preset: str = "relay"
    rules: Iterable[Any] = ()

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = CHECKS[field.name](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        for kind in ("input", "weight"):
            check_storage(kind, self.get_nbit_by_kind(kind), self.get_dtype_by_kind(kind))

    def __enter__(self) -> QConfig:
        _SCOPES.set((*_SCOPES.get(), self))
        return self

    def __exit__(self, *_exc) -> None:
        _SCOPES.set(_SCOPES.get()[:-1])

    def get_nbit_by_kind(self, kind: str) -> int:
        """Width in bits of ``"input"``, ``"weight"`` or ``"activation"``."""
        return getattr(self, f"nbit_{kind}")

    def get_dtype_by_kind(self, kind: str) -> str:
        """Storage type of ``"input"``, ``"weight"`` or ``"activation"``."""
        return getattr(self, f"dtype_{kind}")


def qconfig(**options) -> QConfig:
    """Options for the quantizations inside a ``with``; every option not given has its default.

    Parameters
    ----------
    **options
        Fields of `QConfig`.

    Returns
    -------
    QConfig

    Raises
    ------
    TypeError
        If an option does not exist; the message names the nearest one.

    Examples
    --------
    >>> with qconfig(skip_conv_layers=[], global_scale=4.0) as config:
    ...     current_qconfig() is config
    True
    """
    names = [field.name for field in dataclasses.fields(QConfig)]
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"options are {', '.join(names)}"
            raise TypeError(f"qconfig has no option {name!r}; {hint}")
    return QConfig(**options)


def current_qconfig() -> QConfig:
    """Return the innermost open `qconfig`, or the defaults that hold outside of any.

    Outside of a scope no convolution is skipped (``skip_conv_layers=None``), inside
    ``with qconfig():`` the first one is: Relay's native and Python defaults differed so.

    Examples
    --------
    >>> current_qconfig().skip_conv_layers is None
    True
    """
    scopes = _SCOPES.get()
    return scopes[-1] if scopes else QConfig(skip_conv_layers=None)
