"""The JSON endpoint of transfers: what the charts show, for the days and filters asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins

from logmonitor.transfers.asked import Asked, TransferQuery, make_whole
from logmonitor.transfers.figures import Figures, Moved, Part, add_parts, read_figures
from syncmetrics.endpoints import Endpoint, NotThere, Viewer

PERMISSION = "logmonitor.view_transfers"
EXACT = 2**53
"""From here on numbers of browsers are not exact."""

Big = Annotated[
    int | str, Meta(description=f"A number; its digits as text from {EXACT:,} on, where browsers round.")
]
Day = Annotated[str, Meta(extra_json_schema={"format": "date"}, description="A day, ISO 8601.")]


class Sums(Struct):
    """How many transfers, their bytes, and the bytes of one on average; null where none is counted."""

    transfers: int
    bytes: Big
    average_bytes: Big | None


class Directions(Struct):
    """What was uploaded, what was downloaded, and both."""

    upload: Sums
    download: Sums
    both: Sums


class TransferUser(Directions):
    """What one user moved."""

    username: str


class OtherUsers(Directions):
    """What the users beyond `top` moved; `users` is how many they are."""

    users: int


class TransferDay(Directions):
    """What was moved on one day; `unusual` says what was: `uploads`, `upload_bytes` and so on."""

    day: Day
    unusual: dict[str, Literal["high", "low"]]


class Speed(Struct):
    """Bytes per second of the transfers that succeeded; 19 of 20 were no faster than `p95`."""

    p50: float | None
    p95: float | None


class Transfers(Struct):
    """The transfers of some days, both included: in all, by user, by day."""

    start_date: Day
    end_date: Day
    filters: dict[str, Any]
    total: Directions
    active_users: int
    users: list[TransferUser]
    others: OtherUsers | None
    activity: list[TransferDay]
    speed: dict[Literal["upload", "download"], Speed]


def show_transfers(viewer: Viewer, query: TransferQuery) -> dict[str, Any]:
    """Return what the transfers asked for come to."""
    if viewer.limited:
        raise NotThere("Transfers belong to no Canvas instance: who is limited to some may not see them.")
    asked = make_whole(query)
    return answer(asked, read_figures(asked))


def answer(asked: Asked, figures: Figures) -> dict[str, Any]:
    """Return figures as JSON of the form of `Transfers`."""
    shown, rest = figures.users[: asked.query.top], figures.users[asked.query.top :]
    return {
        "start_date": asked.first.isoformat(),
        "end_date": asked.last.isoformat(),
        "filters": _filters(asked.query),
        "total": _directions(figures.total),
        "active_users": figures.active_users,
        "users": [{"username": name, **_directions(part)} for name, part in shown],
        "others": _others(rest),
        "activity": [
            {"day": day.isoformat(), **_directions(part), "unusual": dict(figures.unusual.get(day, {}))}
            for day, part in figures.days
        ],
        "speed": figures.speeds,
    }


def _filters(query: TransferQuery) -> dict[str, Any]:
    """Return the filters in force: what is not narrowed is not there."""
    given: Mapping[str, Any] = to_builtins(query)
    return {
        name: value
        for name, value in given.items()
        if value is not None and name not in ("start_date", "end_date")
    }


def _others(rest: Sequence[tuple[str, Part]]) -> dict[str, Any] | None:
    if not rest:
        return None
    return {"users": len(rest), **_directions(add_parts(part for _, part in rest))}


def _directions(part: Part) -> dict[str, Any]:
    return {name: _sums(getattr(part, name)) for name in ("upload", "download", "both")}


def _sums(moved: Moved) -> dict[str, Any]:
    return {
        "transfers": moved.transfers,
        "bytes": _big(moved.bytes),
        "average_bytes": _big(moved.average_bytes),
    }


def _big(value: int | None) -> int | str | None:
    return str(value) if value is not None and value >= EXACT else value


ENDPOINTS = (
    Endpoint(
        "transfers/",
        "show_transfers",
        "What was uploaded and downloaded, by user and by day.",
        TransferQuery,
        Transfers,
        show_transfers,
        permission=PERMISSION,
    ),
)
