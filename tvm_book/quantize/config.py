"""What to quantize and how: `QConfig`, and the scope that a `with qconfig(...)` opens."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ._option_checks import CHECKS, check_scheme, check_storage
from .presets import PRESETS

__all__ = ["QConfig", "current_qconfig", "qconfig"]

_SCOPES: ContextVar[tuple[QConfig, ...]] = ContextVar("tvm_book_qconfig", default=())


class _Preset:
    """Stands for the value that the preset has."""

    def __repr__(self) -> str:
        return "<of the preset>"


_PRESET: Any = _Preset()


@dataclass(frozen=True, kw_only=True)
class QConfig:
    """Options of one quantization; immutable, and a context manager.

    An option that is not given has the value of the preset, see
    `tvm_book.quantize.presets.PRESETS`. Names, meanings and defaults of what
    ``tvm.relay.quantize.QConfig`` had are Relay's.

    Parameters
    ----------
    preset : str
        ``"relay"``: the quantizer that Relay had. ``"accurate"``: per-channel weights, zero points,
        integers from the first layer to the last.
    scheme : str
        The table of rules: ``"relay"`` or ``"affine"``.
    nbit_input, nbit_weight, nbit_activation : int
        Width in bits (2 to 32; 2 to 8 for ``"affine"``) of the grid that inputs of heavy operators,
        weights and accumulators are rounded to.
    dtype_input, dtype_weight, dtype_activation : str
        Storage type of the same three; a grid may be narrower than its storage.
    calibrate_mode : str or type
        Where the ranges of activations come from: ``"global_scale"`` (one constant), or a look at a
        dataset by ``"minmax"``, ``"moving_average"``, ``"percentile"``, ``"kl_divergence"`` or
        ``"mse"``; or a class like `tvm_book.quantize.calibrate.Statistic`.
    calibrate_layers : mapping from str to str
        Layers, meant as by ``skip``, whose inputs are calibrated by another algorithm than
        ``calibrate_mode``: ``{"layer4": "minmax", "relax.matmul@0": "percentile"}``. It is about
        the rounded activations that the operators of such a layer read, be it through operators
        that only move or select elements; the others that read the same tensor take the same grid.
        Where several selectors mean a tensor, the first one counts. Kept as a tuple of pairs.
    global_scale : float
        Largest absolute activation that ``"global_scale"`` represents.
    percentile : float
        The share of values, in percent, that ``"percentile"`` represents.
    weight_scale : str
        ``"power2"`` rounds the largest absolute weight up to a power of two, so that requantizing
        is a shift; ``"max"`` takes it as it is; ``"mse"`` takes what minimizes the squared error.
    weight_granularity : str
        ``"tensor"``: one scale for all weights of a layer; ``"channel"``: one an output channel.
    weight_rounding : str
        ``"nearest"``: each weight for itself; ``"compensated"``: so that the outputs of its layer
        change least on the calibration data.
    symmetric_input : bool
        Whether the grids of activations are symmetric around zero; otherwise they have a zero
        point.
    requantize : str
        How accumulators become narrow: ``"fixed_point"`` (64-bit integers) or ``"float"``
        (float32, rounding ties to even).
    bias_correction : bool
        Correct each layer's bias by the mean error that rounding its weights makes on the
        calibration data.
    equalize : bool
        Before anything else, even out the ranges of the channels between consecutive layers.
    skip : str or sequence of str
        Layers that stay in float: module paths of the source model (``"layer4"`` with all inside,
        ``"layer4.*.conv1"``), operators (``"relax.nn.conv2d"``) or one of them by its number in
        visiting order, counted from 0 (``"relax.nn.conv2d@0"``).
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
    rules : sequence of `tvm_book.quantize.Rule`
        Rules for further operators; they come before those of the scheme.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type or out of range, or belongs to the other scheme.

    Examples
    --------
    >>> config = QConfig(nbit_input=6)
    >>> config.nbit_input, config.skip_conv_layers
    (6, (0,))
    >>> QConfig(preset="accurate", calibrate_mode="minmax").weight_granularity
    'channel'
    >>> with config:
    ...     current_qconfig().nbit_input
    6
    """

    preset: str = "relay"
    scheme: str = _PRESET
    nbit_input: int = _PRESET
    nbit_weight: int = _PRESET
    nbit_activation: int = _PRESET
    dtype_input: str = _PRESET
    dtype_weight: str = _PRESET
    dtype_activation: str = _PRESET
    calibrate_mode: str | type = _PRESET
    calibrate_layers: Mapping[str, str] | Iterable[tuple[str, str]] = _PRESET
    global_scale: float = _PRESET
    percentile: float = _PRESET
    weight_scale: str = _PRESET
    weight_granularity: str = _PRESET
    weight_rounding: str = _PRESET
    symmetric_input: bool = _PRESET
    requantize: str = _PRESET
    bias_correction: bool = _PRESET
    equalize: bool = _PRESET
    skip: str | Iterable[str] = _PRESET
    skip_dense_layer: bool = _PRESET
    skip_conv_layers: Iterable[int] | None = _PRESET
    do_simulation: bool = _PRESET
    round_for_shift: bool = _PRESET
    debug_enabled_ops: Iterable[str] | None = _PRESET
    rounding: str = _PRESET
    calibrate_chunk_by: int = _PRESET
    partition_conversions: str = _PRESET
    rules: Iterable[Any] = _PRESET

    def __post_init__(self):
        preset = PRESETS[CHECKS["preset"]("preset", self.preset)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            value = preset[field.name] if value is _PRESET else value
            object.__setattr__(self, field.name, CHECKS[field.name](field.name, value))
        for kind in ("input", "weight"):
            check_storage(kind, self.get_nbit_by_kind(kind), self.get_dtype_by_kind(kind))
        check_scheme(self)

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
        Fields of `QConfig`; what is not given has the value of the ``preset``.

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
