"""A pass instrument that prints the module around each pass, or what the pass changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import tvm
from tvm.ir.instrument import PassInstrument

from ._compact import shorten
from ._diff import diff_scripts, hidden_change
from ._only import matches, near, patterns

__all__ = ["PrintIR"]


@dataclass
class _Frame:
    """A pass that has begun and not ended."""

    name: str
    path: str | None  # None when the filter hides the pass
    mod: tvm.IRModule
    script: str
    number: int = 0  # 0 until its heading is printed first
    inner: int = 0  # inner passes that were shown
    latest: str = ""  # what the last of them left behind
    explained: bool = True  # whether they account for every change so far


class PrintIR(PassInstrument):
    """Print the name of each pass, and the module that it is given.

    A heading counts the passes and names those around it: ``# 3: Outer > Inner``. The text is
    plain, without colour codes. Use one instrument in one thread at a time.

    Parameters
    ----------
    only : str or sequence of str, optional
        Show only passes whose name contains a match of one of these regular expressions; a plain
        part of a name is one. By default all passes.
    after : bool, optional
        Print the module after each pass too.
    diff : bool, optional
        Print, after each pass, only what it changed, as a unified diff; one line for a pass that
        changed nothing, and one for a pass whose changes its inner passes have shown.
    file : text file, optional
        Where to print; by default what `sys.stdout` is at that time.
    show_meta : bool, optional
        Print the values of constants too, which can be long.
    compact : bool, optional
        Shorten the text as `compact_script` does.

    Raises
    ------
    TypeError, ValueError
        An option has the wrong type or is not a regular expression, or `after` or `show_meta` is
        given with `diff`, which has no use for them.

    Examples
    --------
    >>> import tvm
    >>> from tvm import relax
    >>> from tvm_book.instrument import PrintIR
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     unused = builder.emit(relax.op.exp(x))
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> with tvm.transform.PassContext(instruments=[PrintIR(diff=True)]):
    ...     mod = relax.transform.DeadCodeElimination()(builder.get())
    # 1: DeadCodeElimination
    --- before
    +++ after
    @@ -6,5 +6,4 @@
         @R.function
         def main(x: R.Tensor((4,), dtype="float32")) -> R.Tensor((4,), dtype="float32"):
    -        gv: R.Tensor((4,), dtype="float32") = R.exp(x)
             gv1: R.Tensor((4,), dtype="float32") = R.nn.relu(x)
             return gv1
    <BLANKLINE>
    """

    __slots__ = ("__dict__",)  # objects of TVM have no room for attributes otherwise

    def __init__(
        self,
        only: str | Sequence[str] | None = None,
        *,
        after: bool = False,
        diff: bool = False,
        file: TextIO | None = None,
        show_meta: bool = False,
        compact: bool = False,
    ) -> None:
        if diff and (after or show_meta):
            raise ValueError("diff=True prints changes only: leave after and show_meta out")
        self._only = patterns(only)
        self._after, self._diff = after, diff
        self._file, self._show_meta, self._compact = file, show_meta, compact
        self._begin()
        super().__init__()

    def enter_pass_ctx(self) -> None:
        """Start counting anew; called when the pass context is entered."""
        self._begin()

    def exit_pass_ctx(self) -> None:
        """Report passes that did not end, and a filter that met nothing."""
        while self._open:
            self._fail(self._open.pop())
        if self._only is not None and not self._shown and self._seen:
            wanted = " or ".join(pattern.pattern for pattern in self._only)
            self._print(f"# PrintIR: no pass matches {wanted!r}; {near(wanted, self._seen)}")
        self._begin()

    def run_before_pass(self, mod: tvm.IRModule, info: tvm.transform.PassInfo) -> None:
        """Print the heading and the module."""
        name = info.name
        self._seen.setdefault(name)
        path, script = None, ""
        if matches(self._only, name):
            path = " > ".join([*(outer.name for outer in self._open), name])
            script = self._script(mod)
            if self._open:
                outer = self._open[-1]
                outer.explained &= script == (outer.latest if outer.inner else outer.script)
        frame = _Frame(name, path, mod, script)
        self._open.append(frame)
        if path is not None and not self._diff:
            self._print(f"{self._heading(frame)}\n{script}\n")

    def run_after_pass(self, mod: tvm.IRModule, info: tvm.transform.PassInfo) -> None:
        """Print the module again, or what changed."""
        # A pass that failed has no "after". When its caller went on, it is still on the stack.
        while self._open and self._open[-1].name != info.name:
            self._fail(self._open.pop())
        frame = self._open.pop() if self._open else None
        if frame is None or frame.path is None:
            return
        if self._diff:
            self._print_diff(frame, mod)
        elif self._after:
            script = self._script(mod)
            self._print(f"{self._heading(frame)} (after)\n{script}\n")

    def _script(self, mod: tvm.IRModule) -> str:
        script = mod.script(show_meta=self._show_meta)
        return shorten(script) if self._compact else script

    def _print_diff(self, frame: _Frame, mod: tvm.IRModule) -> None:
        script = self._script(mod)
        if self._open:
            self._open[-1].inner += 1
            self._open[-1].latest = script
        heading = self._heading(frame)
        if frame.inner and frame.explained and script == frame.latest:
            self._print(f"{heading}: nothing beyond its inner passes above")
            return
        change = diff_scripts(frame.script, script, ("before", "after"), context=2)
        change = change or hidden_change(frame.mod, mod)
        self._print(f"{heading}\n{change}\n" if change else f"{heading}: no change")

    def _heading(self, frame: _Frame) -> str:
        if not frame.number:
            self._shown += 1
            frame.number = self._shown
        return f"# {frame.number}: {frame.path}"

    def _fail(self, frame: _Frame) -> None:
        if frame.path is not None:
            self._print(f"{self._heading(frame)} (did not finish)")

    def _begin(self) -> None:
        self._open: list[_Frame] = []
        self._seen: dict[str, None] = {}
        self._shown = 0

    def _print(self, text: str) -> None:
        print(text, file=sys.stdout if self._file is None else self._file)
