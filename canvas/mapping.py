"""From a decoded Canvas page to rows ready for the writer: tuples with a hash, checked value by value.

Works column by column over a page, because one pass of C code per column is several times cheaper
than a Python loop per record. Only when a column holds something unexpected is each value looked at.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from marshal import dumps
from operator import itemgetter
from typing import Any

import orjson
from xxhash import xxh3_64_intdigest

from canvas.errors import RejectedRecord
from easel.ids import SHARD_SIZE, Folder, InvalidId, UnknownShard

SHORT_TEXT_CHARS = 600
"""Text in an index is limited: PostgreSQL refuses index entries over about 2,700 bytes."""

_INT64 = 2**63
_NONE = frozenset({type(None)})
_FALSE_WORDS = {"false", "f", "no", "n", "off", "0", ""}
_TRUE_WORDS = {"true", "t", "yes", "y", "on", "1"}
_PUBLISHED = {True: "active", False: "unpublished"}
_DIGITS = re.compile(r"-?\d{1,19}", re.ASCII)
_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_MARKS = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "Z"), (20, "\n"))


def timestamp_text(moment: datetime) -> str:
    """Return a moment as both databases store and compare it: `YYYY-MM-DD HH:MM:SS[.ffffff]`, UTC."""
    return str(moment.astimezone(UTC).replace(tzinfo=None))


def _text(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise RejectedRecord(f"text expected, got {type(value).__name__}")
    if value and not _storable(value):
        raise RejectedRecord("text with a NUL or half a character")
    return value


def _short_text(value: Any) -> str | None:
    text = _text(value)
    if text is not None and len(text) > SHORT_TEXT_CHARS:
        raise RejectedRecord(f"text of {len(text)} characters, at most {SHORT_TEXT_CHARS} can be indexed")
    return text


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RejectedRecord(f"number expected, got {type(value).__name__}")
    return number


def _integer(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)  # not by way of a float, which is exact up to 2**53 only
    if isinstance(value, str | float):
        number = _number(value)
        value = int(number) if number is not None and number.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
        raise RejectedRecord("whole number expected")
    return value


def _boolean(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _TRUE_WORDS or word in _FALSE_WORDS:
        return word in _TRUE_WORDS
    raise RejectedRecord(f"true or false expected, got {type(value).__name__}")


def _timestamp(value: Any) -> str | None:
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise RejectedRecord("timestamp expected") from None
    try:
        return timestamp_text(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except OverflowError:
        raise RejectedRecord("timestamp out of range") from None


def _json(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:  # nested too deeply, an integer beyond 64 bits, half a character
        raise RejectedRecord(f"JSON expected: {error}") from None
    if _JSON_NUL.search(text):
        raise RejectedRecord("text with a NUL")
    return text


def _published(value: Any) -> str | None:
    """Canvas's states of what is published or a draft, where it shows only whether it is."""
    return _PUBLISHED[value] if isinstance(value, bool) else _text(value)


def _as_is(value: Any) -> Any:
    return value


def _storable(text: str) -> bool:
    """Say whether databases take a text; a NUL or a lone surrogate would cost its whole batch."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _all_storable(values: list[Any]) -> bool:
    return _storable("".join(filter(None, values)))


def _indexable(values: list[Any]) -> bool:
    return _all_storable(values) and max(map(len, filter(None, values)), default=0) <= SHORT_TEXT_CHARS


def _finite(values: list[Any]) -> bool:
    return math.isfinite(sum(filter(None, values)))


def _in_range(values: list[Any]) -> bool:
    return min(filter(None, values), default=0) >= -_INT64 and max(filter(None, values), default=0) < _INT64


def _timestamps(values: list[Any]) -> list[Any] | None:
    """Convert a column in Canvas's usual form, `YYYY-MM-DDTHH:MM:SSZ` or null; None for any other."""
    present = [value for value in values if value is not None]
    try:
        column = "\n".join(present)
    except TypeError:
        return None
    # Joined, the values are even rows of text: a slice is one place of all of them.
    width = len("YYYY-MM-DDTHH:MM:SSZ\n")
    if len(column) != width * len(present) - 1:
        return None
    if any(set(column[place::width]) - {mark} for place, mark in _MARKS):
        return None
    moments = column.replace("T", " ").replace("Z", "").split("\n")
    try:
        deque(map(datetime.fromisoformat, moments), maxlen=0)  # only to have each checked
    except ValueError:
        return None
    following = iter(moments)
    return [None if value is None else next(following) for value in values]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a Canvas value becomes a database value.

    A column whose values are all of the types in `passes`, and `sound`, is taken as it is; `bulk`
    converts a whole column in the form Canvas usually sends, or returns None; `convert` takes any
    single value and raises RejectedRecord for one that cannot be stored.
    """

    name: str
    convert: Callable[[Any], Any]
    passes: frozenset[type] = _NONE
    sound: Callable[[list[Any]], bool] | None = None
    bulk: Callable[[list[Any]], list[Any] | None] | None = None


TEXT = Kind("text", _text, _NONE | {str}, _all_storable)
SHORT_TEXT = Kind("short text", _short_text, _NONE | {str}, _indexable)
NUMBER = Kind("number", _number, _NONE | {float}, _finite)
INTEGER = Kind("integer", _integer, _NONE | {int}, _in_range)
BOOLEAN = Kind("boolean", _boolean, _NONE | {bool})
TIMESTAMP = Kind("timestamp", _timestamp, bulk=_timestamps)
JSON = Kind("json", _json)
PUBLISHED = Kind("published", _published)
# Read by the mapper, which knows the instance.
ID = Kind("id", _as_is)
IDS = Kind("ids", _as_is)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a mirrored table and where its value comes from.

    `key` is the key in Canvas's record, dotted for nested objects, or `@name` for a value of the
    listing's own context. `default` fills in when Canvas says nothing.
    """

    name: str
    key: str
    kind: Kind
    default: Any = None


@dataclass(slots=True)
class Mapped:
    """What became of one page: rows ready to write, and records that cannot be stored.

    A row is (id, instance id, one value a column, hash, as_of, deleted_at). `rejected` holds (key or
    None, id as Canvas spelled it, reason).
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejected: list[tuple[int | None, str, str]] = field(default_factory=list)


class Mapper:
    """Maps records of one resource, from one source, on one instance."""

    def __init__(self, columns: Sequence[Column], folder: Folder, instance_id: int, *, source: str) -> None:
        self.columns = tuple(columns)
        self._folder = folder
        self._instance_id = instance_id
        self._nesting = sorted({c.key.partition(".")[0] for c in columns if "." in c.key})
        self._absent_of: dict[tuple[Any, ...], frozenset[str]] = {}
        self._plain_keys = [c.key for c in columns if not c.key.startswith("@") and "." not in c.key]
        self._plain = itemgetter(*self._plain_keys)
        self._state = next(i for i, column in enumerate(columns) if column.name == "workflow_state")
        # The hash covers the mapping and the source: a new column fills on the next sync, and two
        # sources that carry different columns do not take each other's rows for unchanged.
        shape = repr([(source, c.name, c.key, c.kind.name, c.default) for c in columns]).encode()
        self._shape = xxh3_64_intdigest(shape)

    def map(self, records: list[Any], as_of: datetime, context: Mapping[str, int] | None = None) -> Mapped:
        """Map a page of records that Canvas sent at `as_of`."""
        mapped = Mapped()
        self._map_into(mapped, records, timestamp_text(as_of), context or {})
        return mapped

    def by_absence(self, records: list[Any]) -> dict[frozenset[str], list[Any]]:
        """Group records by the columns they have no key for.

        Canvas leaves out what a token may not see; null means that there is nothing.
        """
        groups: dict[frozenset[str], list[Any]] = {}
        for record in records:
            shape = self._shape_of(record)
            if shape not in self._absent_of:
                self._absent_of[shape] = self._absent(record)
            groups.setdefault(self._absent_of[shape], []).append(record)
        return groups

    def _shape_of(self, record: Any) -> tuple[Any, ...]:
        """Return the keys of a record and of the objects inside that columns are taken from."""
        if not isinstance(record, dict):
            return ()
        inner = (record.get(name) for name in self._nesting)
        return tuple(record), *(tuple(value) if isinstance(value, dict) else None for value in inner)

    def _absent(self, record: Any) -> frozenset[str]:
        return frozenset(
            column.name for column in self.columns if not _carries(record, column.key.split("."))
        )

    def _map_into(self, mapped: Mapped, records: list[Any], as_of: str, context: Mapping[str, int]) -> None:
        try:
            if records:
                mapped.rows.extend(self._rows(records, as_of, context))
        except UnknownShard:
            raise
        except (RejectedRecord, InvalidId) as error:
            if len(records) == 1:
                mapped.rejected.append(self._rejection(records[0], str(error)))
                return
            middle = len(records) // 2
            self._map_into(mapped, records[:middle], as_of, context)
            self._map_into(mapped, records[middle:], as_of, context)

    def _rejection(self, record: Any, reason: str) -> tuple[int | None, str, str]:
        spelled = record.get("id") if isinstance(record, dict) else None
        try:
            return self._folder.fold_own(spelled), str(spelled), reason
        except UnknownShard:
            raise
        except InvalidId:
            return None, str(spelled)[:40], reason

    def _rows(self, records: list[Any], as_of: str, context: Mapping[str, int]) -> Iterable[tuple[Any, ...]]:
        if set(map(type, records)) != {dict}:
            raise RejectedRecord("a record is not an object")
        if any("access_restricted_by_date" in record and "name" not in record for record in records):
            raise RejectedRecord("Canvas restricts this record by date and shows only its id")
        count = len(records)
        keys = self._keys([record.get("id") for record in records])
        columns = self._values(records, context)
        hashes = map(self._hash, zip(*columns, strict=True))
        deleted = [as_of if state == "deleted" else None for state in columns[self._state]]
        return zip(
            keys,
            repeat(self._instance_id, count),
            *columns,
            hashes,
            repeat(as_of, count),
            deleted,
            strict=False,
        )

    def _raw(self, records: list[Any]) -> Iterable[Sequence[Any]]:
        """Return the raw values column by column, in the order of the columns."""
        try:
            return zip(*map(self._plain, records), strict=True)
        except KeyError:  # an optional key is absent somewhere
            return [[record.get(key) for record in records] for key in self._plain_keys]

    def _values(self, records: list[Any], context: Mapping[str, int]) -> list[list[Any]]:
        plain = iter(self._raw(records))
        columns = []
        for column in self.columns:
            if column.key.startswith("@"):
                columns.append([context.get(column.key[1:])] * len(records))
                continue
            if "." in column.key:
                raw = [_nested(record, column.key.split(".")) for record in records]
            else:
                raw = list(next(plain))
            columns.append(self._converted(column, raw))
        return columns

    def _converted(self, column: Column, values: list[Any]) -> list[Any]:
        kind = column.kind
        if column.default is not None:
            values = [column.default if value is None else value for value in values]
        types = set(map(type, values))
        if types == _NONE or (types <= kind.passes and (not kind.sound or kind.sound(values))):
            return values
        converted = kind.bulk(values) if kind.bulk else None
        if converted is not None:
            return converted
        try:
            if kind == ID:
                return self._references(values)
            return list(map(self._id_list if kind == IDS else kind.convert, values))
        except UnknownShard:
            raise
        except (RejectedRecord, InvalidId) as error:
            raise RejectedRecord(f"{column.name}: {error}") from None

    def _keys(self, values: list[Any]) -> list[int]:
        if self._all_local(values):
            base = self._folder.base
            return [base + value for value in values]
        return [self._folder.fold_own(value) for value in values]

    def _references(self, values: list[Any]) -> list[int | None]:
        if self._all_local([value for value in values if value is not None]):
            base = self._folder.base
            return [None if value is None else base + value for value in values]
        return [self._reference(value) for value in values]

    def _reference(self, value: Any) -> int | None:
        if value is None:
            return None
        is_local = type(value) is int and 0 < value < SHARD_SIZE
        return self._folder.base + value if is_local else self._folder.fold(value)

    def _id_list(self, value: Any) -> str | None:
        """Return a list of ids as JSON: each as this site's addresses spell it, however it came."""
        if value is None:
            return None
        if not isinstance(value, list):
            raise RejectedRecord(f"list of ids expected, got {type(value).__name__}")
        return _json([self._folder.spell(self._folder.fold(item)) for item in value])

    @staticmethod
    def _all_local(values: list[Any]) -> bool:
        return set(map(type, values)) == {int} and min(values) > 0 and max(values) < SHARD_SIZE

    def _hash(self, values: tuple[Any, ...]) -> int:
        # marshal is the cheapest exact form of a tuple of plain values; format 2 does not depend on
        # which strings are interned or shared.
        return xxh3_64_intdigest(dumps(values, 2), self._shape) - _INT64


def _nested(record: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = record
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _carries(record: Any, path: Sequence[str]) -> bool:
    for key in path:
        if isinstance(record, dict) and key not in record and not key.startswith("@"):
            return False
        record = record.get(key) if isinstance(record, dict) else None
    return True
