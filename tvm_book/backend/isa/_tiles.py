"""The shape of tile registers, and which of the eight is used for what."""

__all__ = ["DEPTH", "LEFT", "RIGHT", "SIDE", "SUMS"]

SIDE = 16  # rows, and columns of sums, of a tile
DEPTH = 64  # elements of the reduction in a row of a tile
SUMS, LEFT, RIGHT = 0, 4, 6  # the first register of each kind
