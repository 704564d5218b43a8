"""The report as text: facts and tables, with colours and lines on a terminal, plain elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RULE = "-"
PLAIN_GAP = "  "

PROBLEMS = {
    "half_written": "the line was cut off",
    "damaged": "the line is no JSON",
    "foreign": "the line is no event of this log",
    "wrong_type": "the event misses a field, or holds what it cannot",
    "too_long": "the line has more than 1 MiB",
    "truncated": "the file ends early; what stands before counts",
    "damaged_file": "the file cannot be read further",
    "bomb": "the file unpacks to far more than logs do",
    "foreign_member": "the archive holds a file that is no log",
    "unreadable": "the file may not be read, or is none",
}
"""What kept lines and files from being counted, in words."""

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; numbers stand to the right, texts to the left."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Section:
    """A title, facts below it, and tables below them."""

    title: str
    facts: Sequence[tuple[str, Any]]
    tables: Sequence[Table] = ()


# --- what is said ------------------------------------------------------------------------------------


def sections(report: Report) -> Iterator[Section]:
    """Give the sections of a report; one that does not tell courses says so when courses were asked for."""
    yield _input(report)
    for name, (title, write) in _SECTIONS.items():
        part = report[name]
        yield write(title, part) if part else Section(title, [("", "These lines do not tell a course.")])


def _input(report: Report) -> Section:
    read, chosen = report["input"], report["selection"]
    asked = [f"{name} {_joined(value)}" for name, value in chosen.items() if value]
    facts = [("Folder", report["log_dir"]), ("Generated", report["generated_at"])]
    facts += [("Only", "; ".join(asked))] if asked else []
    facts += [("Files", read["files"]), ("Lines counted", read["lines"]), ("Bytes read", read["bytes"])]
    if read["duplicates"]:
        facts.append(("Files that repeat others, passed over", read["duplicates"]))
    wrong = [
        (each["file"], each["kind"], each["count"], PROBLEMS.get(each["kind"], ""))
        for each in read["problems_by_file"]
    ]
    tables = [Table("Not counted", ("file", "problem", "times", "which means"), wrong)]
    tables.append(
        Table("Passed over, as others hold the same", ("file",), [[n] for n in read["counted_once"]])
    )
    return Section("Canvas sync logs", facts, tables)


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _span(part: Report) -> tuple[str, str]:
    return ("Time range", f"{part['first']} to {part['last']}" if part["first"] else "none")


def _operations(title: str, part: Report) -> Section:
    runs = [
        (
            _id(run["run"]),
            *(run[name] for name in ("connection", "mode", "started", "seconds")),
            run["status"] or "not ended",
            *(run[name] for name in ("courses", "assignments", "submissions", "requests", "rows_written")),
        )
        for run in part["runs"]
    ]
    courses = [
        (course["course"], _id(course["run"]), course["seconds"], course["state"])
        for course in part["slowest_courses"]
    ]
    return Section(
        title,
        [
            ("Lines", part["lines"]),
            ("Syncs started", part["syncs_started"]),
            ("Syncs ended", _counted(part["syncs_ended"])),
            ("Connections tested", part["connections_tested"]),
            ("Courses", part["courses"]),
            ("Courses failed", part["courses_failed"]),
            ("Assignments", part["assignments"]),
            ("Submissions", part["submissions"]),
            ("Elapsed", f"{part['elapsed_seconds']:,.2f} s"),
            _span(part),
        ],
        [
            Table(
                "Latest runs",
                ("run", "connection", "mode", "started", "seconds", "state", "courses", "assignments",
                 "submissions", "requests", "rows"),
                runs,
            ),
            Table("Slowest courses", ("course", "run", "seconds", "state"), courses),
        ],
    )  # fmt: skip


def _api(title: str, part: Report) -> Section:
    duration = part["duration"]
    names = ("endpoint", "calls", "mean_ms", "p95_ms", "max_ms", "total_ms")
    endpoints = [tuple(each[name] for name in names) for each in part["slowest_endpoints"]]
    return Section(
        title,
        [
            ("Calls", part["calls"]),
            ("Total duration", _ms(duration["total_ms"])),
            *((name, _ms(duration[f"{name.lower()}_ms"])) for name in ("Mean", "p50", "p95", "p99", "Max")),
            ("Held back before sending", _ms(part["waited_ms"])),
            ("Paginated requests", part["paginated_requests"]),
            ("Rate limit hits", part["rate_limit_hits"]),
            ("Retries", part["retries"]),
            ("Failures", part["failures"]),
            _span(part),
        ],
        [
            Table("By method", ("method", "calls"), list(part["by_method"].items())),
            Table("By status", ("status", "calls"), list(part["by_status"].items())),
            Table("Slowest endpoints", tuple(name.replace("_", " ") for name in names), endpoints),
        ],
    )


_SUMS = ("operations", "rows", "created", "updated", "unchanged", "duration_ms")


def _database(title: str, part: Report) -> Section:
    def table(name: str, of: str) -> Table:
        rows = [(key, *(sums[each] for each in _SUMS)) for key, sums in part[name].items()]
        return Table(f"By {of}", (of, *(each.replace("_", " ") for each in _SUMS)), rows)

    return Section(
        title,
        [
            ("Operations", part["operations"]),
            ("Batches", part["batches"]),
            ("Transactions", part["transactions"]),
            ("Rows in batches", part["rows"]),
            ("Created", part["created"]),
            ("Updated", part["updated"]),
            ("Unchanged", part["unchanged"]),
            ("Marked deleted", part["deleted"]),
            ("Duration", _ms(part["duration_ms"])),
            _span(part),
        ],
        [table("by_operation", "operation"), table("by_entity", "entity")],
    )


def _errors(title: str, part: Report) -> Section:
    recent = [
        (each["ts"], _id(each["run"]), _id(each["course"]), each["error_class"], each["message"])
        for each in part["recent"]
    ]
    counts = (
        ("By user", "user", "by_user"),
        ("By course", "course", "by_course"),
        ("By class", "class", "by_class"),
        ("By message", "message", "by_message"),
        ("Rejected records by entity", "entity", "rejected_by_entity"),
    )
    return Section(
        title,
        [("Errors", part["errors"]), ("Rejected records", part["rejected_records"]), _span(part)],
        [
            *(Table(name, (what, "lines"), list(part[key].items())) for name, what, key in counts),
            Table("Recent", ("when", "run", "course", "class", "message"), recent),
        ],
    )


def _progress(title: str, part: Report) -> Section:
    names = ("connection", "percent", "courses_done", "courses", "rows", "seconds", "status")
    more = ("longest_stall_seconds", "stalled_from_second")
    rows = [(_id(run["run"]), *(run[name] for name in (*names, *more))) for run in part["by_run"]]
    columns = ("run", *names[:2], "courses done", *names[3:6], "ended", "longest stall s", "from second")
    stalled = f"Runs that stood still for {part['stall_seconds']:,.0f} s"
    facts = [("Lines", part["lines"]), ("Runs", part["runs"]), (stalled, part["stalled_runs"]), _span(part)]
    return Section(title, facts, [Table("By run", columns, rows)])


_SECTIONS = {
    "operations": ("Operations", _operations),
    "api": ("API calls", _api),
    "database": ("Database", _database),
    "errors": ("Errors", _errors),
    "progress": ("Progress", _progress),
}


def _id(number: Any) -> str | None:
    """Return a number that names something: it is no amount, and gets no commas."""
    return None if number is None else str(number)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items()) or "none"


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:,.2f} ms"


def cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


# --- how it looks ------------------------------------------------------------------------------------


def plain(parts: Iterable[Section]) -> str:
    """Return sections as text for files, pipes and mails."""
    return "\n".join(line for part in parts for line in _plain_section(part)).strip() + "\n"


def _plain_section(part: Section) -> Iterator[str]:
    yield from ("", part.title.upper(), RULE * len(part.title))
    for label, value in part.facts:
        yield f"{label}: {cell(value)}" if label else cell(value)
    for table in part.tables:
        if table.rows:
            yield from ("", f"{table.title}:", *_plain_table(table))


def _plain_table(table: Table) -> Iterator[str]:
    rows = [[cell(value) for value in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.columns, *rows, strict=True)]
    right = _numeric(table)
    for row in (list(table.columns), *rows):
        aligned = (
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(row, widths, right, strict=True)
        )
        yield f"  {PLAIN_GAP.join(aligned)}".rstrip()


def _numeric(table: Table) -> list[bool]:
    """Say of each column whether all it holds are numbers."""
    columns = zip(*table.rows, strict=True)
    return [all(value is None or isinstance(value, int | float) for value in column) for column in columns]


def rich_group(parts: Iterable[Section]) -> Any:
    """Return sections as something that rich prints."""
    # Loading rich takes as long as many an analysis; only a terminal needs it.
    from rich.console import Group  # noqa: PLC0415

    return Group(*(shown for part in parts for shown in _rich_section(part)))


def _facts(part: Section) -> Any:
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    facts = RichTable.grid(padding=(0, 2))
    for label, value in part.facts:
        # Text, not strings: what a log holds is no markup.
        facts.add_row(Text(label, style="dim"), Text(cell(value)))
    return facts


def _rich_section(part: Section) -> Iterator[Any]:
    from rich.rule import Rule  # noqa: PLC0415
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    yield Rule(Text(part.title, style="bold"), align="left")
    yield _facts(part)
    for table in filter(lambda table: table.rows, part.tables):
        shown = RichTable(title=Text(table.title), title_justify="left", title_style="bold", box=None)
        for column, right in zip(table.columns, _numeric(table), strict=True):
            shown.add_column(Text(column), justify="right" if right else "left", overflow="fold")
        for row in table.rows:
            shown.add_row(*(Text(cell(value)) for value in row))
        yield from (Text(), shown)
    yield Text()


# --- live --------------------------------------------------------------------------------------------


def live_group(parts: Iterable[Section]) -> Any:
    """Return the facts of sections side by side, so that they fit on a screen, for rich."""
    from rich.columns import Columns  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    return Columns(
        Panel(_facts(part), title=Text(part.title), title_align="left", width=48) for part in parts
    )


def live_line(report: Report) -> str:
    """Return the figures that matter most, in one line."""
    api, database = report["api"] or {}, report["database"] or {}
    figures: list[tuple[str, Any]] = [
        ("lines", report["input"]["lines"]),
        ("courses", report["operations"]["courses"]),
        ("calls", api.get("calls")),
        ("failures", api.get("failures")),
        ("rate limit hits", api.get("rate_limit_hits")),
        ("p95 ms", (api.get("duration") or {}).get("p95_ms")),
        ("rows", database.get("rows")),
        ("errors", report["errors"]["errors"]),
    ]
    told = "  ".join(f"{name} {cell(value)}" for name, value in figures)
    return f"{report['generated_at']}  {told}"
