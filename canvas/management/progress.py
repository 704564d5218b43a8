"""Progress of a sync on a terminal as a bar, elsewhere as plain lines."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from canvas.progress import Progress

ASSIGNMENTS_STEP = 10


def make_progress(stream: TextIO) -> PlainProgress:
    """Return what shows a sync's progress on this stream."""
    return BarProgress(stream) if stream.isatty() else PlainProgress(stream)


class PlainProgress(Progress):
    """One line when a course starts, one every ten assignments, one when a course failed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""

    def line(self, text: str) -> None:
        """Print one line."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def resuming(self, run: int) -> None:
        """Say which run is taken up."""
        self.line(f"Going on where run {run} stopped.")

    def course_started(self, number: int, courses: int, name: str) -> None:
        """Say which course begins."""
        self.line(f"[{number}/{courses}] Syncing course: {name}")

    def assignments_done(self, name: str, done: int, assignments: int) -> None:
        """Say it every ten assignments."""
        if done // ASSIGNMENTS_STEP > self._said.get(name, 0) // ASSIGNMENTS_STEP:
            self._said[name] = done
            self.line(f"  {name}: submissions of {done}/{assignments} assignments")

    def course_ended(self, number: int, courses: int, name: str, error: str | None) -> None:
        """Say what failed."""
        if error:
            self.line(f"[{number}/{courses}] Failed: {name}: {error}")


class BarProgress(PlainProgress):
    """A bar over the courses with the rows so far, and the plain lines above it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TimeElapsedColumn(),
            console=Console(file=stream),
        )
        self._task = self._bar.add_task("Courses", total=None, rows=0)
        self._rows = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar down."""
        self._bar.stop()

    def line(self, text: str) -> None:
        """Print one line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)

    def planned(self, courses: int) -> None:
        """Set the bar's length."""
        self._bar.update(self._task, total=courses)

    def assignments_done(self, name: str, done: int, assignments: int) -> None:
        """The bar shows enough."""

    def course_ended(self, number: int, courses: int, name: str, error: str | None) -> None:
        """Advance the bar."""
        super().course_ended(number, courses, name, error)
        self._bar.advance(self._task)

    def rows(self, entity: str, rows: int) -> None:
        """Count up."""
        self._rows += rows
        self._bar.update(self._task, rows=self._rows)
