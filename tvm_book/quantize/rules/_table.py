"""A table of rules as rows to print."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .rule import Rule, close_all, dequantize_all, keep_group, keep_kind, leave_float, on_data

__all__ = ["rules_table"]

_SHARED = (close_all, keep_group, leave_float, keep_kind, dequantize_all, on_data)


def rules_table(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Say for each rule what the passes do with its operator.

    Parameters
    ----------
    rules : iterable of Rule
        Of a `Scheme`, or a user's own.

    Returns
    -------
    list of dict
        One row a rule. ``op`` and ``relay`` are its names; ``partition``, ``annotate`` and
        ``realize`` name the shared function that the rule uses, such as ``"keep_group"``, or are
        ``"own"``; ``integer`` says whether the operator computes in integers, ``skippable``
        whether an option of the configuration can leave it in float; ``why`` is the reason for
        which the operator computes so, where one was written down.

    Examples
    --------
    >>> for row in rules_table([Rule("relax.negative", keep_group, keep_kind, on_data)]):
    ...     print(row["relay"], row["partition"], row["annotate"], row["realize"], row["integer"])
    negative keep_group keep_kind on_data True
    """
    return [_row(rule) for rule in rules]


def _row(rule: Rule) -> dict[str, Any]:
    return {
        "op": rule.op,
        "relay": rule.relay,
        "partition": _name(rule.partition),
        "annotate": _name(rule.annotate),
        "realize": _name(rule.realize),
        "integer": rule.annotate is not leave_float and rule.realize is not dequantize_all,
        "skippable": rule.skip is not None,
        "why": rule.why,
    }


def _name(function: Callable[..., Any]) -> str:
    return function.__name__ if function in _SHARED else "own"
