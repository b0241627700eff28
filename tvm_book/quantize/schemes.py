"""The table of schemes that ``QConfig.scheme`` chooses from."""

from __future__ import annotations

import difflib

from .config import QConfig
from .rules.affine import AFFINE
from .rules.relay import RELAY
from .rules.rule import Scheme

__all__ = ["SCHEMES", "scheme_for"]

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (RELAY, AFFINE)}


def scheme_for(config: QConfig) -> Scheme:
    """Return the scheme of ``config.preset`` with the rules of ``config.rules`` before its own.

    Raises
    ------
    ValueError
        If ``debug_enabled_ops`` names an operator that no rule is about.

    Examples
    --------
    >>> scheme_for(QConfig()).name
    'relay'
    """
    scheme = SCHEMES[config.scheme].with_rules(config.rules)
    names = [name for rule in scheme.rules for name in (rule.relay, rule.op)]
    for name in config.debug_enabled_ops or ():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names[::2])}"
            raise ValueError(f"debug_enabled_ops: no rule is about {name!r}; {hint}")
    return scheme
