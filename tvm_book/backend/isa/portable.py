"""Any CPU that LLVM has code for: plain vector arithmetic, no instruction named.

References
----------
LLVM turns the sum of even and odd products of sign-extended 16-bit integers to ``pmaddwd`` on x86:
``lib/Target/X86/X86ISelLowering.cpp``, ``matchPMADDWD_2``.
"""

from __future__ import annotations

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from ._float import separate
from ._isa import Isa
from ._pairs import int16_pairs

__all__ = ["ISA"]

LANES = 8


def _multiply(a, b):
    # Fences, which cost nothing, keep the form that LLVM has instructions for: it may not see that
    # activations are no negative numbers, nor that `b` is half of a vector, nor add the two halves
    # to the sums one after the other.
    a, b = (_fence(value, f"int16x{2 * LANES}") for value in (a, b))
    products = []
    for first in (0, 1):
        pick = [tirx.IntImm("int32", 2 * lane + first) for lane in range(LANES)]
        left, right = (T.cast(T.Shuffle([x], pick), f"int32x{LANES}") for x in (a, b))
        products.append(left * right)
    return _fence(products[0] + products[1], f"int32x{LANES}")


def _fence(value, dtype):
    floats = T.reinterpret(f"float32x{LANES}", value)
    floats = T.call_llvm_pure_intrin(f"float32x{LANES}", "llvm.arithmetic.fence", floats)
    return T.reinterpret(dtype, floats)


ISA = Isa(
    name="portable",
    needs=(),
    lanes=LANES,
    registers=16,
    int8=int16_pairs(LANES, _multiply),
    float32=separate(LANES),
)
