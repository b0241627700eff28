"""Look inside passes: print or keep what each one does, time them, compare modules.

`PrintIR`, `RecordIR` and `PassTimeline` are pass instruments: give them to a pass context, and they
see every pass that runs inside it, those written in Python included.
"""

from ._compact import compact_script
from ._diff import diff_modules
from ._print_ir import PrintIR
from ._record_ir import RecordIR
from ._side_by_side import SideBySide, diff_html
from ._timeline import PassRecord, PassTimeline

__all__ = [
    "PassRecord",
    "PassTimeline",
    "PrintIR",
    "RecordIR",
    "SideBySide",
    "compact_script",
    "diff_html",
    "diff_modules",
]
