"""What differs between two modules, as text."""

from __future__ import annotations

import difflib
from typing import Any

import tvm
import tvm_ffi

__all__ = ["check_arguments", "diff_modules", "diff_scripts", "hidden_change"]


def diff_modules(
    before: tvm.IRModule | tvm.ir.BaseFunc,
    after: tvm.IRModule | tvm.ir.BaseFunc,
    *,
    names: tuple[str, str] = ("before", "after"),
    context: int = 2,
) -> str:
    """Compare the scripts of two modules or functions.

    Parameters
    ----------
    before, after : tvm.IRModule or function
        What to compare.
    names : tuple of str, optional
        What the two are called in the head of the result.
    context : int, optional
        Unchanged lines to show around a change.

    Returns
    -------
    str
        A unified diff of the two scripts without colour codes. The empty string when the scripts
        and the modules are equal. One line that says so when the scripts are equal but the modules
        are not: a script does not print the values of large constants.

    Raises
    ------
    TypeError
        `before` or `after` is neither a module nor a function.
    ValueError
        `context` is negative, or `names` are not two.

    See Also
    --------
    diff_html : The difference side by side, for a notebook or a page.

    Examples
    --------
    >>> from tvm import relax
    >>> from tvm_book.instrument import diff_modules
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     unused = builder.emit(relax.op.exp(x))
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> mod = builder.get()
    >>> print(diff_modules(mod, relax.transform.DeadCodeElimination()(mod), context=0))
    --- before
    +++ after
    @@ -8 +7,0 @@
    -        gv: R.Tensor((4,), dtype="float32") = R.exp(x)
    """
    check_arguments(before, after, names, context)
    texts = (before.script(show_meta=False), after.script(show_meta=False))
    return diff_scripts(*texts, names, context) or hidden_change(before, after)


def check_arguments(before: object, after: object, names: Any, context: int | None) -> None:
    """Raise the errors of `diff_modules` and `diff_html`."""
    for mod, role in ((before, "before"), (after, "after")):
        if not isinstance(mod, tvm.IRModule | tvm.ir.BaseFunc):
            raise TypeError(f"{role} must be a module or a function, not {type(mod).__name__}")
    if isinstance(names, str) or len(names) != 2:
        raise ValueError(f"names must be two, one for each module, got {names!r}")
    if context is not None and context < 0:
        raise ValueError(f"context must not be negative, got {context}: it counts equal lines")


def diff_scripts(before: str, after: str, names: tuple[str, str], context: int) -> str:
    """Return the unified diff of two texts, empty when they are equal."""
    lines = (before.splitlines(), after.splitlines())
    return "\n".join(difflib.unified_diff(*lines, *names, n=context, lineterm=""))


def hidden_change(
    before: tvm.IRModule | tvm.ir.BaseFunc, after: tvm.IRModule | tvm.ir.BaseFunc
) -> str:
    """Return a line when modules with equal scripts differ, else the empty string."""
    if before.same_as(after) or tvm_ffi.structural_equal(before, after):
        return ""
    return "(the scripts are equal; what they do not print differs, such as values of constants)"
