"""The console's pages of Canvas: the home page, instances and connections, and every mirrored table."""

from canvas.admin import alerts, connections, dashboard, exports, promises, rows, runs

__all__ = ["alerts", "connections", "dashboard", "exports", "promises", "rows", "runs"]
