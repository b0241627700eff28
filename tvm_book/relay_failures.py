"""What becomes of the configurations that Relay's quantizer could not do.

The record of Relay (`tvm_book.testing.golden`) lists them with the error that it raised. Here each
is quantized, compiled and run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import tvm

from . import compile as compile_module
from .conformance import import_case
from .quantize import qconfig, quantize
from .testing.golden import GoldenCase
from .testing.metric import sqnr_db

__all__ = ["Attempt", "attempt", "by_category"]

UNOPTIMIZED = {"kind": "llvm", "opt-level": 0}  # half the time, for what runs once


@dataclass(frozen=True)
class Attempt:
    """What this library does where Relay failed.

    Attributes
    ----------
    case, key, category : str
        Of the record.
    relay_error : str
        What Relay raised.
    outcome : str
        ``"result"``, ``"warning"`` (a result, and a warning) or ``"error"``.
    message : str
        Of the warning or the error.
    sqnr_db : float or None
        Signal to quantization noise ratio of the result against the float output, in dB.
    """

    case: str
    key: str
    category: str
    relay_error: str
    outcome: str
    message: str
    sqnr_db: float | None


def attempt(case: GoldenCase, failure: dict[str, Any]) -> Attempt:
    """Quantize and run a configuration that Relay failed at.

    Parameters
    ----------
    case : GoldenCase
        The case that ``failure`` names.
    failure : dict
        One of `tvm_book.testing.golden.golden_failures`.

    Returns
    -------
    Attempt
        Bad input that was refused with a TypeError, ValueError or NotImplementedError is an
        outcome; any other error is raised.
    """
    names = (failure[name] for name in ("case", "cfgkey", "category", "error"))
    context = tvm.transform.PassContext(opt_level=failure["opt_level"])
    try:
        config = qconfig(**failure["qconfig"])
        mod, params = import_case(case)
        with context, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            qmod = quantize(mod, params, case.dataset, config)
        out = compile_module(qmod, UNOPTIMIZED)(case.data)
    except (TypeError, ValueError, NotImplementedError) as error:
        return Attempt(*names, "error", f"{type(error).__name__}: {error}", None)
    message = "; ".join(str(warning.message) for warning in caught)
    quality = sqnr_db(case.expected["float_out"], out)
    return Attempt(*names, "warning" if message else "result", message, quality)


def by_category(attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """Put attempts that failed in Relay for the same reason, and end alike here, into one row.

    Returns
    -------
    list of dict
        With the keys ``category``, ``relay_error``, ``outcome``, ``message`` (of the first one),
        ``configurations`` (their number) and ``sqnr_db`` (the smallest, or None).

    Examples
    --------
    >>> row = Attempt("a", "k", "bad_option", "AssertionError", "error", "ValueError: ...", None)
    >>> by_category([row, row])[0]["configurations"]
    2
    """
    groups: dict[tuple[str, str], list[Attempt]] = {}
    for one in attempts:
        groups.setdefault((one.category, one.outcome), []).append(one)
    return [
        {
            "category": category,
            "relay_error": group[0].relay_error,
            "outcome": outcome,
            "message": group[0].message,
            "configurations": len(group),
            "sqnr_db": min((one.sqnr_db for one in group if one.sqnr_db is not None), default=None),
        }
        for (category, outcome), group in sorted(groups.items())
    ]
