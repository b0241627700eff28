"""``QConfig.skip`` and ``calibrate_layers``: which operators a selector means."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from tvm import relax

from ._graph import Graph, module_path, op_name

__all__ = ["select"]


def select(
    graph: Graph,
    selectors: Iterable[str],
    option: str = "skip",
    among: Collection[relax.Var] | None = None,
    what: str = "module and no operator of main",
) -> set[relax.Var]:
    """Return the variables of the operators that selectors name.

    Parameters
    ----------
    graph : Graph
    selectors : iterable of str
        Each is a module path or a pattern of one (``"layer4.*"``; a module means all inside it), an
        operator (``"relax.nn.conv2d"``), or one call of it by its number in visiting order
        (``"relax.nn.conv2d@0"``). What is a path as it stands, is no pattern: ``"block[0]"``.
    option : str
        Where the selectors come from, for the message of an error.
    among : collection of tvm.relax.Var, optional
        The only variables that may be meant; by default all.
    what : str
        What a selector that means none of them matches none of, for the same message.

    Returns
    -------
    set of tvm.relax.Var

    Raises
    ------
    ValueError
        If a selector matches nothing; the message names near matches.
    """
    labels = _labels(graph)
    if among is not None:
        labels = {var: names for var, names in labels.items() if var in among}
    chosen: set[relax.Var] = set()
    for selector in selectors:
        found = {var for var, names in labels.items() if selector in names} or {
            var for var, names in labels.items() if any(fnmatchcase(n, selector) for n in names)
        }
        if not found:
            raise ValueError(
                _no_match(selector, labels.values(), f"{option}: {selector!r} matches no {what}")
            )
        chosen |= found
    return chosen


def _labels(graph: Graph) -> dict[relax.Var, list[str]]:
    """All names that each operator can be called by."""
    counts: Counter = Counter()
    labels = {}
    for var in graph.post_order():
        name, path = op_name(graph.bindings[var]), module_path(var)
        names = [name, f"{name}@{counts[name]}"] if name else []
        counts[name] += 1
        parts = path.split(".") if path else []
        labels[var] = names + [".".join(parts[: i + 1]) for i in range(len(parts))]
    return labels


def _no_match(selector: str, labels: Iterable[list[str]], problem: str) -> str:
    names = list(dict.fromkeys(name for each in labels for name in each))
    near = difflib.get_close_matches(selector, names, n=3, cutoff=0.5)
    operators = [name for name in names if name.startswith("relax.") and "@" not in name]
    paths = [name for name in names if not name.startswith("relax.")]
    if near:
        hint = "did you mean " + " or ".join(map(repr, near)) + "?"
    elif paths:
        hint = f"modules are {', '.join(paths[:8])}{', ...' if len(paths) > 8 else ''}"
    else:
        hint = f"operators are {', '.join(operators)}"
    return f"{problem}; {hint}"
