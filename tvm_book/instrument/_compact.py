"""TVMScript made short enough to read on a page."""

from __future__ import annotations

import re

import tvm

__all__ = ["compact_script", "shorten"]

# (what TVMScript prints, what is left of it), applied in this order
_RULES = [
    (r"^\s*(?:# (?:from tvm|Metadata omitted)|R\.func_attr\().*\n?", ""),
    (r'R\.Tensor\(\((.*?),?\), dtype="(\w+)"\)', lambda m: f"{m[2]}[{m[1].replace(' ', '')}]"),
    (r'metadata\["ir\.GenericConst"\]\[(\d+)\]', r"const[\1]"),
    (r'R\.const\(([^,()]+), "\w+"\)', r"\1"),
    (r"T\.\w+\((-?[\d.e+-]+)\)", r"\1"),
    (r"R\.shape\((\[.*?\])\)", r"\1"),
    (r', (?:data_layout|layout|kernel_layout|out_layout)="(?:N[A-Z]+|OI[A-Z]+)"', ""),
    (r", (?:strides|dilation)=\[1(?:, 1)*\]|, padding=\[0(?:, 0)*\]|, groups=1\b", ""),
    (r", (?:out_dtype|axes)=None|, (?:ceil_mode|count_include_pad)=False", ""),
]


def shorten(script: str) -> str:
    """Shorten a text in TVMScript; see `compact_script`."""
    for pattern, replacement in _RULES:
        script = re.sub(pattern, replacement, script, flags=re.MULTILINE)
    return script.strip("\n")


def compact_script(mod: tvm.IRModule | tvm.ir.BaseFunc) -> str:
    """Print a module or function shorter than TVMScript, for reading only.

    Types become ``float32[1,16,4,4]``, constants ``16.0`` or ``const[0]``; layouts, attributes of
    the function and arguments at their defaults are left out. The result cannot be parsed.

    Parameters
    ----------
    mod : tvm.IRModule or function

    Returns
    -------
    str

    Examples
    --------
    >>> from tvm import relax
    >>> x = relax.Var("x", relax.TensorType((2, 3), "float32"))
    >>> builder = relax.BlockBuilder()
    >>> with builder.function("main", [x]):
    ...     _ = builder.emit_func_output(builder.emit(relax.op.multiply(x, relax.const(2.0))))
    >>> print(compact_script(builder.get()["main"]))
    @R.function
    def main(x: float32[2,3]) -> float32[2,3]:
        gv: float32[2,3] = R.multiply(x, 2.0)
        return gv
    """
    return shorten(mod.script(show_meta=False))
