"""Look inside passes: print what each one does, time them, compare modules.

`PrintIR` and `PassTimeline` are pass instruments: give them to a pass context, and they see every
pass that runs inside it, those written in Python included.
"""

from ._compact import compact_script
from ._diff import diff_modules
from ._print_ir import PrintIR
from ._timeline import PassRecord, PassTimeline

__all__ = ["PassRecord", "PassTimeline", "PrintIR", "compact_script", "diff_modules"]
