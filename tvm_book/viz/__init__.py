"""Tables and figures of the chapters."""

from .table import Table, table

__all__ = ["Table", "table"]
