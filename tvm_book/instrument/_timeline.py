"""A pass instrument that measures how long each pass takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import tvm
from tvm.ir.instrument import PassInstrument

__all__ = ["PassRecord", "PassTimeline"]


@dataclass
class PassRecord:
    """The run time of one pass.

    Attributes
    ----------
    name : str
        The pass's name.
    depth : int
        How many other passes it ran inside of.
    total_ms : float
        Milliseconds from its begin to its end.
    self_ms : float
        The same without the passes inside it.
    finished : bool
        False for a pass that raised an error: its time is then that until the error was noticed.
    """

    name: str
    depth: int
    total_ms: float = 0.0
    self_ms: float = 0.0
    finished: bool = False


class PassTimeline(PassInstrument):
    """Measure the time of each pass, nested passes included.

    Times include what other pass instruments print meanwhile. Use one instrument in one thread at
    a time. A second pass context adds its passes to those of the first.

    Examples
    --------
    >>> import tvm
    >>> from tvm import relax
    >>> from tvm_book.instrument import PassTimeline
    >>> builder = relax.BlockBuilder()
    >>> x = relax.Var("x", relax.TensorType((4,), "float32"))
    >>> with builder.function("main", [x]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.nn.relu(x)))
    >>> steps = [relax.transform.LegalizeOps(), relax.transform.FoldConstant()]
    >>> timeline = PassTimeline()
    >>> with tvm.transform.PassContext(instruments=[timeline]):
    ...     mod = tvm.transform.Sequential(steps, name="Lower")(builder.get())
    >>> [(record.depth, record.name) for record in timeline.records]
    [(0, 'Lower'), (1, 'LegalizeOps'), (1, 'FoldConstant')]
    >>> timeline.records[0].total_ms > timeline.records[0].self_ms > 0
    True
    """

    __slots__ = ("__dict__",)  # objects of TVM have no room for attributes otherwise

    def __init__(self) -> None:
        self._records: list[PassRecord] = []
        self._open: list[tuple[PassRecord, float]] = []
        super().__init__()

    @property
    def records(self) -> tuple[PassRecord, ...]:
        """One record per pass, in the order in which they began."""
        return tuple(self._records)

    def table(self, *, max_depth: int | None = None, min_ms: float = 0.0) -> str:
        """Return the times as text, inner passes indented.

        Parameters
        ----------
        max_depth : int, optional
            Leave out passes that are nested deeper; 0 shows the outermost only.
        min_ms : float, optional
            Leave out passes whose total time is shorter, in milliseconds.

        Returns
        -------
        str
            A line per pass with its total time, its own time, both in milliseconds, and the
            total's share of the whole; then a line with the sum over the outermost passes.
        """
        whole = sum(record.total_ms for record in self._records if record.depth == 0)
        rows = [("pass", "total ms", "self ms", "share")]
        for record in self._records:
            if record.total_ms < min_ms or (max_depth is not None and record.depth > max_depth):
                continue
            name = "  " * record.depth + record.name + ("" if record.finished else " (failed)")
            share = f"{record.total_ms / whole:.1%}" if whole else "-"
            rows.append((name, f"{record.total_ms:.3f}", f"{record.self_ms:.3f}", share))
        rows.append(("sum", f"{whole:.3f}", "", ""))
        width = max(len(row[0]) for row in rows)
        lines = (f"{a:<{width}}  {b:>9}  {c:>9}  {d:>6}".rstrip() for a, b, c, d in rows)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.table()

    def exit_pass_ctx(self) -> None:
        """Close the records of passes that failed."""
        now = time.perf_counter()
        while self._open:
            self._close(now, finished=False)

    def run_before_pass(self, mod: tvm.IRModule, info: tvm.transform.PassInfo) -> None:
        """Start a pass's clock."""
        record = PassRecord(info.name, len(self._open))
        self._records.append(record)
        self._open.append((record, time.perf_counter()))

    def run_after_pass(self, mod: tvm.IRModule, info: tvm.transform.PassInfo) -> None:
        """Stop a pass's clock."""
        now = time.perf_counter()
        # A pass that failed has no "after". When its caller went on, it is still on the stack.
        while self._open and self._open[-1][0].name != info.name:
            self._close(now, finished=False)
        if self._open:
            self._close(now, finished=True)

    def _close(self, now: float, finished: bool) -> None:
        record, start = self._open.pop()
        record.total_ms = (now - start) * 1e3
        record.self_ms += record.total_ms
        record.finished = finished
        if self._open:
            self._open[-1][0].self_ms -= record.total_ms
