"""The table of schemes that ``QConfig.preset`` chooses from."""

from __future__ import annotations

from .config import QConfig
from .rules.relay import RELAY
from .rules.rule import Scheme

__all__ = ["SCHEMES", "scheme_for"]

SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (RELAY,)}


def scheme_for(config: QConfig) -> Scheme:
    """Return the scheme of ``config.preset`` with the rules of ``config.rules`` before its own.

    Examples
    --------
    >>> scheme_for(QConfig()).name
    'relay'
    """
    return SCHEMES[config.preset].with_rules(config.rules)
