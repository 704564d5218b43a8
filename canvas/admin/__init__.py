"""The console's pages of Canvas: the home page, instances and connections, and every mirrored table."""

from canvas.admin import connections, rows

__all__ = ["connections", "rows"]
