"""The tables of docs/parsers.md, written from the declarations: `python -m parselogs.parsers.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields

from parselogs.parsers import provisioning, sis
from parselogs.parsers.findings import CODES, Severity
from parselogs.parsers.limits import Limits
from parselogs.parsers.tables import Column, Need, Table

BEGIN, END = "<!-- tables begin -->", "<!-- tables end -->"

_HEADINGS = {
    Severity.FILE: "The file, or the rest of it, is not imported",
    Severity.ROW: "The row is rejected",
    Severity.WARNING: "Warnings",
}


def markdown() -> str:
    """Return the generated part of the page."""
    return "\n".join(
        [
            BEGIN,
            "",
            "## Findings",
            *(line for severity in Severity for line in _codes(severity)),
            "",
            "## Limits",
            "",
            *_table(
                ("limit", "default"), ((f"`{each.name}`", f"{each.default:,}") for each in fields(Limits))
            ),
            "",
            "## SIS import files",
            *(line for table in sis.TABLES for line in _columns(table)),
            "",
            "## Provisioning reports",
            *(line for table in provisioning.TABLES for line in _columns(table)),
            "",
            END,
        ]
    )


def _codes(severity: Severity) -> Iterator[str]:
    yield from ("", f"### {_HEADINGS[severity]}", "")
    found = ((name, code) for name, code in CODES.items() if code.severity == severity)
    rows = ((f"`{name}`", code.text.replace("|", "\\|"), code.advice) for name, code in found)
    yield from _table(("code", "what it says", "what to do"), rows)


def _columns(table: Table) -> Iterator[str]:
    yield from ("", f"### {table.name}", "")
    known = " or ".join(" + ".join(f"`{name}`" for name in sorted(mark)) for mark in table.marks)
    yield from (f"Recognised by {known}.", "")
    rows = (
        (f"`{column.name}`", _need(column, table), column.kind.value, _values(column))
        for column in table.columns
    )
    yield from _table(("column", "required", "holds", "values"), rows)


def _need(column: Column, table: Table) -> str:
    if column.need != Need.NOTHING:
        return "yes" if column.need == Need.VALUE else "the column, not the cells"
    group = next((group for group in table.one_of if column.name in group), None)
    return f"one of {', '.join(f'`{name}`' for name in group)}" if group else ""


def _values(column: Column) -> str:
    allowed = ", ".join(f"`{word}`" for word in column.allowed)
    if column.refers:
        return f"as in {column.refers.partition('.')[0]}"
    return "a secret" if column.secret else allowed


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    sys.stdout.write(markdown() + "\n")
