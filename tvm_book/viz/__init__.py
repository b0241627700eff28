"""Tables and figures of the chapters."""

from .side_by_side import side_by_side
from .table import Table, table

__all__ = ["Table", "side_by_side", "table"]
