"""The peer, measured: canvasapi reads one course, the ORM's update_or_create stores it row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import canvasapi  # type: ignore[import-untyped]

from bench.children.process import answer, peak_memory_mb, read_options, spending


def main() -> None:
    """Store the first course of `url` with its assignments and submissions; print what it took."""
    options = read_options()
    # After Django is set up, as models must be.
    from canvas.models import Assignment, Connection, Course, Submission  # noqa: PLC0415

    instance = Connection.objects.get().instance
    folder = instance.folder()

    def store(model: Any, record: Any, **more: Any) -> None:
        columns = {
            field.attname: _folded(folder, field.attname, getattr(record, field.attname, None))
            for field in model._meta.concrete_fields
            if field.attname not in ("id", "canvas_id", "row_hash", "deleted_at")
        }
        columns |= {"instance_id": instance.pk, "row_hash": 0, "as_of": datetime.now(UTC), **more}
        model.objects.update_or_create(id=folder.fold(record.id), defaults=columns)

    submissions = 0
    with spending() as spent:
        client = canvasapi.Canvas(options["url"], options["token"])
        course = client.get_accounts()[0].get_courses(state=["available"], per_page=100)[0]
        store(Course, course)
        key = folder.fold(course.id)
        published = []
        for assignment in course.get_assignments(per_page=100):
            store(Assignment, assignment, course_id=key)
            if assignment.published:
                published.append(assignment.id)
        for submission in course.get_multiple_submissions(student_ids=["all"], per_page=100):
            store(Submission, submission, course_id=key)
            submissions += 1
    answer(
        {
            "wall": spent.wall,
            "cpu": spent.cpu,
            "peak_mb": peak_memory_mb(),
            "course": str(course.id),
            "submissions": submissions,
        }
    )


def _folded(folder: Any, name: str, value: Any) -> Any:
    """Return a reference as the key it stands for, anything else as it is."""
    return (
        folder.fold(value) if value is not None and name.endswith("_id") and isinstance(value, int) else value
    )


if __name__ == "__main__":
    main()
