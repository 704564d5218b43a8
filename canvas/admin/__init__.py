"""The console's pages of Canvas: the home page, instances and connections, and every mirrored table."""

from canvas.admin import connections, exports, rows, runs

__all__ = ["connections", "exports", "rows", "runs"]
