"""Keeps the daily aggregates: adds each run when it ends, and compares days with the runs still kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min, QuerySet

from syncmetrics.figures import MERGED, Figures
from syncmetrics.models import DayFigures, SyncDay, SyncRun, SyncUserDay

Key = tuple[Any, ...]
Table = type[Any]
"""`SyncDay` or `SyncUserDay`."""

KEYS: dict[Table, tuple[str, ...]] = {
    SyncDay: ("instance_key", "connection_key", "mode"),
    SyncUserDay: ("instance_key", "connection_key", "mode", "user_id"),
}
"""What a row stands for within its day. Rows are locked in this order of tables, by whoever locks."""


def day_of(moment: datetime) -> date:
    """Return the UTC day of a moment."""
    return moment.astimezone(UTC).date()


def start_of(day: date) -> datetime:
    """Return the first moment of a UTC day."""
    return datetime.combine(day, time.min, UTC)


def counted_runs() -> QuerySet[SyncRun]:
    """Return the runs that days are made of: all that have ended, except those that wrote nothing."""
    return SyncRun.objects.filter(sync_end_time__isnull=False, dry_run=False)


def add_run(run: SyncRun) -> None:
    """Add a run that has just ended to its day. Belongs in the transaction that ends it, once."""
    if run.dry_run:
        return
    figures = Figures.of_runs([run])
    for table in KEYS:
        if (key := _key(table, run)) is not None:
            _add(table, {"day": day_of(run.sync_start_time), **key}, figures)


def _key(table: Table, run: SyncRun) -> dict[str, Any] | None:
    """Return what names the row of a table that a run belongs to; None where it belongs to none."""
    if table is SyncUserDay and run.user_id is None:
        return None
    return {name: getattr(run, name) or 0 for name in KEYS[table]}


def _add(table: Table, key: dict[str, Any], figures: Figures) -> None:
    # First an empty row, then the lock: who comes second waits at either, and adds to what the first left.
    table._default_manager.bulk_create([table(**key, first_start=figures.first_start)], ignore_conflicts=True)
    row = table._default_manager.select_for_update().get(**key)
    total = Figures(first_start=figures.first_start)
    total.add(figures.columns())
    total.add_day(row)
    _write(row, total)


def _write(row: DayFigures, figures: Figures) -> None:
    columns = figures.columns()
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=list(columns))


# --- comparing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of a day that is not what the day's runs come to.

    `row` names the row in words, `columns` those that differ: (name, stored, right).
    """

    day: date
    row: str
    columns: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared: so many `days`, from `first` on (None: there are no runs), and what differs."""

    first: date | None
    days: int
    differences: tuple[Difference, ...]


def compare_days(*, rebuild: bool = False) -> Comparison:
    """Compare every day whose runs are all still kept with its runs; with `rebuild`, mend what differs.

    Days before the first kept run are not looked at: their aggregates are all there is of them.
    """
    first = first_whole_day()
    if first is None:
        return Comparison(None, 0, ())
    days = _days_since(first)
    found = tuple(difference for day in days for difference in _compare(day, rebuild=rebuild))
    return Comparison(first, len(days), found)


def first_whole_day() -> date | None:
    """Return the first day from which on every run is still kept; None when no run is.

    Retention deletes whole days, what began first going first. Stopped halfway, it leaves one day without its
    first runs.
    """
    start = SyncRun.objects.aggregate(first=Min("sync_start_time"))["first"]
    if start is None:
        return None
    day = day_of(start)
    return day + timedelta(days=1) if _lost_runs(day) else day


def _lost_runs(day: date) -> bool:
    """Whether the first runs of a day were deleted: its rows remember when the first one began."""
    with transaction.atomic():
        stored, right = _stored(day), _right(day)
    for table, rows in stored.items():
        for key, figures in rows.items():
            own = right[table].get(key, Figures())
            if figures.ended and (
                own.first_start is None or (figures.first_start or own.first_start) < own.first_start
            ):
                return True
    return False


def _days_since(first: date) -> list[date]:
    starts = counted_runs().filter(sync_start_time__gte=start_of(first)).order_by()
    found = {day_of(moment) for moment in starts.datetimes("sync_start_time", "day", tzinfo=UTC)}
    for table in KEYS:
        found.update(table._default_manager.filter(day__gte=first).values_list("day", flat=True).distinct())
    return sorted(found)


def _compare(day: date, *, rebuild: bool) -> list[Difference]:
    # Looked at twice: a run that ends between reading the days and reading the runs is no difference.
    differences = _differences(day) and _differences(day)
    if differences and rebuild:
        _rebuild(day)
    return differences


def _differences(day: date) -> list[Difference]:
    with transaction.atomic():
        stored = _stored(day)
        right = _right(day)
    found = []
    for table, rows in stored.items():
        for key in sorted(rows.keys() | right[table].keys()):
            columns = tuple(_unlike(rows.get(key, Figures()), right[table].get(key, Figures())))
            if columns:
                found.append(Difference(day, _in_words(table, key), columns))
    return found


def _unlike(stored: Figures, right: Figures) -> Iterator[tuple[str, Any, Any]]:
    # Where there are no runs, nothing is added up, and it does not matter whether a row says so.
    if not stored.ended and not right.ended:
        return
    ours, theirs = stored.columns(), right.columns()
    for name in (*MERGED, "first_start"):
        if ours[name] != theirs[name]:
            yield name, ours[name], theirs[name]


def _stored(day: date) -> dict[Table, dict[Key, Figures]]:
    found: dict[Table, dict[Key, Figures]] = {table: defaultdict(Figures) for table in KEYS}
    for table, rows in found.items():
        for row in _locked(table, day):
            rows[_key_of(row)].add_day(row)
    return found


def _right(day: date) -> dict[Table, dict[Key, Figures]]:
    """Return what the runs of a day that are kept come to, by row."""
    found: dict[Table, dict[Key, Figures]] = {table: defaultdict(Figures) for table in KEYS}
    end = start_of(day) + timedelta(days=1)
    runs = counted_runs().filter(sync_start_time__gte=start_of(day), sync_start_time__lt=end)
    for run in runs.prefetch_related("counts").iterator(chunk_size=500):
        for table, rows in found.items():
            if (key := _key(table, run)) is not None:
                rows[tuple(key.values())].add_run(run)
    return found


def _locked(table: Table, day: date) -> QuerySet[Any]:
    rows: QuerySet[Any] = table._default_manager.select_for_update().filter(day=day).order_by("pk")
    return rows


def _key_of(row: Any) -> Key:
    return tuple(getattr(row, name) for name in KEYS[type(row)])


def _in_words(table: Table, key: Key) -> str:
    return ", ".join(
        f"{name.removesuffix('_key').removesuffix('_id')} {value}"
        for name, value in zip(KEYS[table], key, strict=True)
    )


def _rebuild(day: date) -> None:
    """Make the rows of a day what its runs come to. Rows without runs are emptied, never deleted.

    A run that is ending waits for our lock on its row, or we for its, and its row must still be there.
    """
    with transaction.atomic():
        for table, figures_by_key in _right(day).items():
            missing = [
                table(day=day, first_start=figures.first_start, **dict(zip(KEYS[table], key, strict=True)))
                for key, figures in figures_by_key.items()
            ]
            table._default_manager.bulk_create(missing, ignore_conflicts=True)
        rows = [row for table in KEYS for row in _locked(table, day)]
        right = _right(day)  # anew, now that no run of these rows can end meanwhile
        for row in rows:
            _write(row, right[type(row)].get(_key_of(row), Figures(first_start=row.first_start)))
