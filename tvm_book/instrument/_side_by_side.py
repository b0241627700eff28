"""What differs between two modules, side by side, for a notebook or a page."""

from __future__ import annotations

import os
from dataclasses import dataclass

import tvm

from .._files import write_file
from ._compact import shorten
from ._diff import check_arguments, diff_scripts, hidden_change
from ._page import fragment, page
from ._rows import fold, side_by_side_rows

__all__ = ["SideBySide", "diff_html"]

_EQUAL = "(there is no difference)"
_SHORTENED = "(the shortened scripts are equal, the whole ones are not: pass compact=False)"


@dataclass(frozen=True, repr=False)
class SideBySide:
    """Two scripts, shown side by side: what `diff_html` returns.

    A notebook and the built book show a table with the changed lines marked, and the changed words
    in them; ``print`` gives the same as a unified diff.

    Attributes
    ----------
    names : tuple of str
        What the two are called.
    before, after : str
        The two scripts.
    context : int or None
        Equal lines to show around a change; None shows all.
    note : str
        A line about what the scripts do not show, else the empty string.
    """

    names: tuple[str, str]
    before: str
    after: str
    context: int | None = 3
    note: str = ""

    @property
    def html(self) -> str:
        """The table with its style, to be put into any page; it needs no JavaScript."""
        rows = side_by_side_rows(self.before, self.after)
        return fragment(fold(rows, self.context), self.names, self.note)

    def _repr_html_(self) -> str:
        return self.html

    def __str__(self) -> str:
        lines = self.before.count("\n") + 1 if self.context is None else self.context
        return self.note or diff_scripts(self.before, self.after, self.names, lines)

    __repr__ = __str__

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write an HTML page, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            Where to, such as ``"annotate.html"``.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            The file exists and `overwrite` is False.
        IsADirectoryError, FileNotFoundError, NotADirectoryError
            The path is a folder, or its folder does not exist or is none.
        OSError
            The folder cannot be written to, or the disk is full.
        """
        write_file(path, page(" → ".join(self.names), self.html), overwrite)


def diff_html(
    before: tvm.IRModule | tvm.ir.BaseFunc,
    after: tvm.IRModule | tvm.ir.BaseFunc,
    *,
    names: tuple[str, str] = ("before", "after"),
    context: int | None = 3,
    compact: bool = True,
) -> SideBySide:
    """Show two modules or functions side by side, with what differs marked.

    A changed line stands beside the one that calls the same operator, and the words that differ
    are marked in both.

    Parameters
    ----------
    before, after : tvm.IRModule or function
        What to compare.
    names : tuple of str, optional
        The headings of the two columns.
    context : int or None, optional
        Equal lines to show around a change; the others are folded into their number. None shows
        all.
    compact : bool, optional
        Shorten the scripts as `compact_script` does.

    Returns
    -------
    SideBySide
        The last expression of a cell shows it; ``save`` writes it to a file.

    Raises
    ------
    TypeError
        `before` or `after` is neither a module nor a function.
    ValueError
        `context` is negative, or `names` are not two.

    See Also
    --------
    diff_modules : The difference as text.
    RecordIR : Keep the modules between the passes.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book.instrument import diff_html
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     unused = builder.emit(relax.op.exp(x))
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> mod = builder.get()
    >>> diff = diff_html(mod, relax.transform.DeadCodeElimination()(mod), context=0)
    >>> print(diff)
    --- before
    +++ after
    @@ -5 +4,0 @@
    -        gv: float32[4] = R.exp(x)
    >>> "… 4 equal lines" in diff.html
    True
    """
    check_arguments(before, after, names, context)
    scripts = tuple(mod.script(show_meta=False) for mod in (before, after))
    shown = tuple(map(shorten, scripts)) if compact else scripts
    note = ""
    if shown[0] == shown[1]:
        note = _SHORTENED if scripts[0] != scripts[1] else hidden_change(before, after) or _EQUAL
    return SideBySide(tuple(names), *shown, context, note)
