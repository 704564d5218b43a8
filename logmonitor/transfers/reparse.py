"""Reads bad lines again, with a program that may know them now."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from logmonitor.models import BadLine, LogSource, Segment
from logmonitor.transfers import rollup
from logmonitor.transfers.decoder import OFFSET_BITS, LineDecoder
from logmonitor.transfers.lines import MASK, REFUSED, Row
from logmonitor.transfers.store import insert_lines
from logmonitor.transfers.zone import Clock, UnknownTime

BATCH = 500


@dataclass(slots=True)
class Reparsed:
    """How many bad lines were tried, and how many are lines now."""

    tried: int = 0
    mended: int = 0


def reparse(source: LogSource) -> Reparsed:
    """Read a source's bad lines again; each that is a line now is stored and counted as if it had been one.

    One transaction for some hundred lines: a line and its figures are there together, once.
    """
    done, last = Reparsed(), 0
    while keys := list(_bad(source).filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]):
        last = keys[-1]
        with transaction.atomic():
            _batch(source, _bad(source).filter(pk__in=keys).select_for_update(of=("self",)), done)
    return done


def _bad(source: LogSource) -> QuerySet[BadLine]:
    rows = BadLine.objects.filter(segment__source=source, state=BadLine.State.BAD)
    return rows.select_related("segment").order_by("pk")


def _batch(source: LogSource, rows: QuerySet[BadLine], done: Reparsed) -> None:
    clock, lines, now = Clock(source.time_zone), list[Row](), timezone.now()
    for row in rows:
        done.tried += 1
        row.tried_at = now
        line = _line(source, row, clock)
        if line is not None:
            row.state = BadLine.State.MENDED
            lines.append(line)
            mended = {"lines": F("lines") + 1, "bad_lines": F("bad_lines") - 1}
            Segment.objects.filter(pk=row.segment_id).update(**mended)
        row.save(update_fields=["state", "tried_at"])
    if lines:
        done.mended += len(lines)
        with connection.cursor() as cursor:
            insert_lines(cursor, [lines])
            rollup.add(cursor, lines)


def _line(source: LogSource, row: BadLine, clock: Clock) -> Row | None:
    """Return the line that a bad one is now; of one that is not kept whole, nothing can be said."""
    raw = bytes(row.raw)
    if len(raw) != row.length and MASK.encode() not in raw:
        return None
    key = row.segment_id << OFFSET_BITS | row.offset << 1
    try:
        return LineDecoder(source.pk, row.segment_id, clock).line(raw.strip(b"\0\r"), key)
    except (UnknownTime, *REFUSED):
        return None
