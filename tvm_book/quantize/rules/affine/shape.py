"""Operators that move elements, and concatenation."""

from __future__ import annotations

from tvm import relax

from ...annotate import INPUT, Annotated
from ..rule import Rule, dequantize_all, on_data
from .annotating import narrow, when_demanded
from .values import Concat

__all__ = ["RULES", "move"]


@when_demanded
def _annotate_move(a, call, args):
    return Annotated(a.emit(call, [narrow(a, call, args, 0)]), INPUT)


def move(op: str, **options) -> Rule:
    """Make the rule of an operator that only moves elements of its one operand.

    Parameters
    ----------
    op : str
        Relax's name of the operator.
    **options
        Further fields of `Rule`.

    Returns
    -------
    Rule

    Examples
    --------
    >>> move("relax.flip").asks
    'pass'
    """
    return Rule(op, annotate=_annotate_move, realize=on_data, asks="pass", **options)


def _realize_pad(r, call, args):
    (x,) = args
    if not r.is_narrow(x):
        return dequantize_all(r, call, args)
    term, attrs = x.narrow, call.attrs
    border = float(term.zero_point)

    def pad(data):
        return r.builder.emit(
            relax.op.nn.pad(data, attrs.pad_width, pad_mode=attrs.pad_mode, pad_value=border)
        )

    return x.map(pad)


@when_demanded
def _annotate_concat(a, call, args):
    """Fields stay as they are, and are rounded to the grid of the whole."""
    exprs = [
        narrow(a, call, args, i) if arg.kind is not None and arg.shared else arg.expr
        for i, arg in enumerate(args)
    ]
    joined = a.emit(call, exprs)
    return Annotated(a.simulate(joined, a.demand[a.var]), INPUT)


def _realize_concat(r, call, args):
    if not any(map(r.is_quantized, args)):
        return dequantize_all(r, call, args)
    return Concat(tuple(args), int(call.attrs.axis))


def _keeps_the_grid(call: relax.Call) -> bool:
    """Whether a border lies on the grid of what it surrounds."""
    return str(call.attrs.pad_mode) != "constant" or float(call.attrs.pad_value) == 0.0


def _is_nearest(call: relax.Call) -> bool:
    return str(call.attrs.method) == "nearest_neighbor"


MOVES = (
    "relax.reshape",
    "relax.squeeze",
    "relax.expand_dims",
    "relax.flatten",
    "relax.broadcast_to",
    "relax.repeat",
    "relax.tile",
    "relax.flip",
    "relax.strided_slice",
    "relax.nn.batch_flatten",
    "relax.nn.pixel_shuffle",
)

RULES = (
    *map(move, MOVES),
    move("relax.permute_dims", relay="transpose"),
    Rule(
        "relax.nn.pad",
        when=_keeps_the_grid,
        annotate=_annotate_move,
        realize=_realize_pad,
        asks="pass",
    ),
    Rule("relax.nn.pad", why="a border other than 0 may lie between the steps, or beyond them"),
    Rule(
        "relax.concat",
        relay="concatenate",
        annotate=_annotate_concat,
        realize=_realize_concat,
        asks="pass",
    ),
    move("relax.image.resize2d", when=_is_nearest),
    Rule(
        "relax.image.resize2d",
        why="interpolation makes values between the steps; in float none of them is lost",
    ),
)
