"""A pass instrument that keeps the module before and after each pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
import tvm_ffi
from tvm.ir.instrument import PassInstrument

from ._only import matches, near, patterns
from ._side_by_side import SideBySide, diff_html

__all__ = ["RecordIR"]


@dataclass
class _Run:
    """A pass that has begun; ``after`` is None until it ends."""

    name: str
    depth: int
    before: tvm.IRModule
    after: tvm.IRModule | None = None


class RecordIR(PassInstrument):
    """Keep the module before and after each pass, and show what differs between any two.

    ``stages["FoldConstant"]`` is the module after that pass. A pass that runs again gets a number:
    its second run is ``stages["FoldConstant#2"]``. Passes stand in the order in which they began;
    one that failed is left out. Modules share what did not change, so keeping them costs little.
    Use one instrument in one thread at a time. A second pass context starts anew.

    Parameters
    ----------
    only : str or sequence of str, optional
        Keep only passes whose name contains a match of one of these regular expressions; a plain
        part of a name is one. By default all passes.

    Raises
    ------
    TypeError, ValueError
        `only` has the wrong type or is not a regular expression.

    See Also
    --------
    PrintIR : Print the modules or their differences while the passes run.

    Examples
    --------
    >>> import tvm
    >>> from tvm import relax
    >>> from tvm_book.instrument import RecordIR
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     unused = builder.emit(relax.op.exp(x))
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> steps = [relax.transform.DeadCodeElimination(), relax.transform.ToNonDataflow()]
    >>> stages = RecordIR()
    >>> with tvm.transform.PassContext(instruments=[stages]):
    ...     mod = tvm.transform.Sequential(steps, name="Clean")(builder.get())
    >>> stages
    Clean: changed
      DeadCodeElimination: changed
      ToNonDataflow: no change
    >>> list(stages)
    ['Clean', 'DeadCodeElimination', 'ToNonDataflow']
    >>> print(stages.diff("DeadCodeElimination", context=0))
    --- before DeadCodeElimination
    +++ after DeadCodeElimination
    @@ -5 +4,0 @@
    -        gv: float32[4] = R.exp(x)
    """

    __slots__ = ("__dict__",)  # objects of TVM have no room for attributes otherwise

    def __init__(self, only: str | Sequence[str] | None = None) -> None:
        self._only = patterns(only)
        self._runs: list[_Run] = []
        self._open: list[_Run] = []
        super().__init__()

    def __getitem__(self, stage: str) -> tvm.IRModule:
        return self._run(stage).after

    def __iter__(self) -> Iterator[str]:
        return iter(self._finished())

    def __len__(self) -> int:
        return len(self._finished())

    def __contains__(self, stage: object) -> bool:
        return stage in self._finished()

    def __repr__(self) -> str:
        lines = (
            f"{'  ' * run.depth}{stage}: {_change(run)}" for stage, run in self._finished().items()
        )
        return "\n".join(lines) or "RecordIR: no pass has ended"

    def before(self, stage: str) -> tvm.IRModule:
        """Return the module that a pass was given.

        Raises
        ------
        KeyError
            No pass of this name has ended.
        """
        return self._run(stage).before

    def diff(self, stage: str, until: str | None = None, **options: Any) -> SideBySide:
        """Show what a pass changed, or what differs between the results of two passes.

        Parameters
        ----------
        stage : str
            A pass.
        until : str, optional
            A second pass. Then the module after `stage` is compared with the one after `until`;
            otherwise the modules before and after `stage`.
        **options
            Options of `diff_html`.

        Returns
        -------
        SideBySide

        Raises
        ------
        KeyError
            No pass of this name has ended.
        """
        if until is None:
            mods, names = (self.before(stage), self[stage]), (f"before {stage}", f"after {stage}")
        else:
            mods, names = (self[stage], self[until]), (f"after {stage}", f"after {until}")
        return diff_html(*mods, **{"names": names} | options)

    def enter_pass_ctx(self) -> None:
        """Start anew; called when the pass context is entered."""
        self._runs, self._open = [], []

    def run_before_pass(self, mod: tvm.IRModule, info: tvm.transform.PassInfo) -> None:
        """Keep the module that the pass is given."""
        run = _Run(info.name, len(self._open), mod.clone())  # a Python pass may write into its own
        self._open.append(run)
        if matches(self._only, run.name):
            self._runs.append(run)

    def run_after_pass(self, mod: tvm.IRModule, info: tvm.transform.PassInfo) -> None:
        """Keep the module that the pass returns."""
        # A pass that failed has no "after". When its caller went on, it is still on the stack.
        while self._open and self._open[-1].name != info.name:
            self._open.pop()
        if self._open:
            self._open.pop().after = mod.clone()

    def _finished(self) -> dict[str, _Run]:
        runs, times = {}, {}
        for run in self._runs:
            if run.after is not None:
                times[run.name] = times.get(run.name, 0) + 1
                again = f"#{times[run.name]}" if times[run.name] > 1 else ""
                runs[run.name + again] = run
        return runs

    def _run(self, stage: str) -> _Run:
        runs = self._finished()
        if stage in runs:
            return runs[stage]
        hint = near(stage, runs) if runs else "no pass has ended: run some in a PassContext"
        raise KeyError(f"no stage {stage!r}; {hint}")


def _change(run: _Run) -> str:
    # Structure alone would let new names of variables pass, the script alone new constants.
    same = tvm_ffi.structural_equal(run.before, run.after)
    same = same and run.before.script(show_meta=False) == run.after.script(show_meta=False)
    return "no change" if same else "changed"
