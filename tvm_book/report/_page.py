"""A report as HTML: for a notebook, and as a page of its own."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable
from typing import Any

from ..quantize._layer_error import LayerErrors
from ..viz._style import TEXT
from ._explanation import Explanation
from ._html_table import html_table
from ._network import draw

__all__ = ["in_notebook", "whole_page"]

TITLE = "Errors of a quantized model, layer by layer"

# A page follows the reader's choice of light or dark by itself.
STYLE = f"""\
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; }}
body {{ padding: 0 1em; }}
table {{ border-collapse: collapse; font-size: 13px; }}
caption {{ text-align: left; padding-bottom: .5em; }}
th, td {{ padding: 3px 10px; border-bottom: 1px solid {TEXT}55; vertical-align: top; }}
:target {{ outline: 2px solid {TEXT}; outline-offset: 4px; }}
"""


def in_notebook(errors: LayerErrors, rows: list[dict[str, Any]], explanation: Explanation) -> str:
    """Return the table, and below it the explanation, which can be folded away."""
    prefix = _prefix(errors)
    return (
        f"<div>{html_table(rows, explanation.summary, prefix)}"
        f"<details open><summary>What to do</summary>"
        f"{explanation.to_html(prefix, summary=False)}</details></div>"
    )


def whole_page(errors: LayerErrors, rows: list[dict[str, Any]], explanation: Explanation) -> str:
    """Return a page with the table, the network and the explanation; it needs no other file.

    Without igraph, it says in the network's place how to install it.
    """
    prefix = _prefix(errors)
    try:
        network = draw(errors, prefix=prefix)._repr_html_()
    except ImportError as error:
        network = f"<p>{html.escape(str(error))}</p>"
    return _page(
        TITLE,
        (
            ("Layers", html_table(rows, explanation.summary, prefix)),
            ("Network", network),
            ("What to do", explanation.to_html(prefix, summary=False)),
        ),
    )


def _prefix(errors: LayerErrors) -> str:
    """Return what makes the names in one report's HTML differ from those in another's."""
    return f"layer-{hashlib.sha256(repr(errors).encode()).hexdigest()[:8]}-"


def _page(title: str, parts: Iterable[tuple[str, str]]) -> str:
    """Return a document: headings, and what stands below each of them, as HTML."""
    sections = "".join(f"<h2>{html.escape(name)}</h2>\n{content}\n" for name, content in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{sections}</body>\n</html>\n"
    )
