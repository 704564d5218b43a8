"""What a sync tells whoever watches it; commands draw it, the engine only calls it."""

from __future__ import annotations


class Progress:
    """Listens to a sync. Does nothing by itself: a command overrides what it shows."""

    def resuming(self, run: int) -> None:
        """The sync goes on where this run stopped."""

    def planned(self, courses: int) -> None:
        """So many courses will be synced."""

    def course_started(self, number: int, courses: int, name: str) -> None:
        """Work on a course begins."""

    def assignments_done(self, name: str, done: int, assignments: int) -> None:
        """The submissions of so many of a course's assignments have been read."""

    def course_ended(self, number: int, courses: int, name: str, error: str | None) -> None:
        """A course is read to its end, or failed."""

    def rows(self, entity: str, rows: int) -> None:
        """So many more rows of an entity were written or found unchanged."""
