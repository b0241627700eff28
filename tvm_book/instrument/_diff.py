"""What differs between two modules, as text."""

from __future__ import annotations

import difflib

import tvm
import tvm_ffi


def diff_modules(
    before: tvm.IRModule,
    after: tvm.IRModule,
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
    ValueError
        `context` is negative.

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
    if context < 0:
        raise ValueError(f"context must not be negative, got {context}")
    texts = (before.script(show_meta=False), after.script(show_meta=False))
    return diff_scripts(*texts, names, context) or hidden_change(before, after)


def diff_scripts(before: str, after: str, names: tuple[str, str], context: int) -> str:
    """Return the unified diff of two texts, empty when they are equal."""
    lines = (before.splitlines(), after.splitlines())
    return "\n".join(difflib.unified_diff(*lines, *names, n=context, lineterm=""))


def hidden_change(before: tvm.IRModule, after: tvm.IRModule) -> str:
    """Return a line when modules with equal scripts differ, else the empty string."""
    if before.same_as(after) or tvm_ffi.structural_equal(before, after):
        return ""
    return "(the scripts are equal; what they do not print differs, such as values of constants)"
