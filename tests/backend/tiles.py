"""Tile registers in plain TIR: what `tvm_book.backend.isa.amx` does, on any CPU."""

from dataclasses import replace

from tvm import tirx
from tvm.script.ir_builder import tirx as T

from tvm_book.backend.isa import amx
from tvm_book.backend.isa._float import separate

SUMS, ROW = 16, 64


class Emulated:
    """`Tiles` whose registers are buffers."""

    def __init__(self, rows):
        self.rows = rows
        self.words = T.alloc_buffer((4 * 16 * SUMS,), "int32", scope="local")
        self.left = T.alloc_buffer((2 * 16 * ROW,), "uint8", scope="local")
        self.right = T.alloc_buffer((2 * 16 * ROW,), "int8", scope="local")

    def _register(self, tile):
        if tile < 4:
            return self.words, tile * 16 * SUMS, SUMS, self.rows
        buffer = self.left if tile < 6 else self.right
        return buffer, tile % 2 * 16 * ROW, ROW, self.rows if tile < 6 else 16

    def zero(self, tile):
        buffer, base, size, rows = self._register(tile)
        with T.serial(0, rows) as r:
            T.buffer_store(buffer, T.broadcast(0, size), [T.ramp(base + r * size, 1, size)])

    def load(self, tile, buffer, position, stride):
        register, base, size, rows = self._register(tile)
        with T.serial(0, rows) as r:
            value = buffer[T.ramp(position + r * stride, 1, size)]
            T.buffer_store(register, value, [T.ramp(base + r * size, 1, size)])

    def multiply(self, sums, a, b):
        (words, c, _, rows), (left, p, _, _), (right, q, _, _) = map(self._register, (sums, a, b))
        with T.serial(0, rows) as r:
            with T.serial(0, 16) as k:
                where = T.ramp(c + r * SUMS, 1, SUMS)
                total = words[where]
                for g in range(4):
                    x = T.broadcast(T.cast(left[p + r * ROW + k * 4 + g], "int32"), SUMS)
                    y = right[T.ramp(q + k * ROW + g, 4, SUMS)]
                    total = total + x * T.cast(y, f"int32x{SUMS}")
                T.buffer_store(words, total, [where])

    def store(self, tile, buffer, position, stride):
        register, base, size, rows = self._register(tile)
        with T.serial(0, rows) as r:
            value = register[T.ramp(base + r * size, 1, size)]
            T.buffer_store(buffer, value, [T.ramp(position + r * stride, 1, size)])

    def release(self):
        pass


def _step(acc, a, b):
    """Multiply what is not made of tiles, as ``vpdpbusd`` does."""
    for g in range(4):
        pick = [tirx.IntImm("int32", 4 * lane + g) for lane in range(SUMS)]
        left, right = (T.cast(T.Shuffle([x], pick), f"int32x{SUMS}") for x in (a, b))
        acc = acc + left * right
    return acc


EMULATED = replace(
    amx.ISA,
    name="amx-emulated",
    needs=(),
    options={},
    int8=replace(amx.INT8, step=_step),
    float32=separate(16),
    tiles=Emulated,
    refusal=lambda: None,
)
