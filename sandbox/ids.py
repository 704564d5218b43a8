"""Canvas's spellings of an id: `42`, `7~42`, 70000000000042 and `sis_course_id:X`.

Canvas folds ids as shard x 10^13 + local id; rows of the home shard are shown by their local id,
rows of other shards by the global one (canvas_contract.md, part 3).
"""

from __future__ import annotations

import re
from typing import Any

Row = dict[str, Any]

SHARD_SIZE = 10**13
HOME_SHARD = 7
FOREIGN_SHARD = 2107

_NUMBER = re.compile(r"(?:(\d{1,5})~)?(\d{1,20})")
# What may stand before the colon, and the field of the row that it names.
SIS_FORMS = {
    "account": {"sis_account_id": "sis_account_id", "sis_integration_id": "integration_id", "uuid": "uuid"},
    "term": {"sis_term_id": "sis_term_id"},
    "user": {
        "sis_user_id": "sis_user_id",
        "sis_login_id": "login_id",
        "sis_integration_id": "integration_id",
        "uuid": "uuid",
    },
    "course": {"sis_course_id": "sis_course_id", "sis_integration_id": "integration_id", "uuid": "uuid"},
    "section": {"sis_section_id": "sis_section_id", "sis_integration_id": "integration_id"},
    "assignment": {"sis_assignment_id": "sis_assignment_id"},
    "group": {"sis_group_id": "sis_group_id"},
    "group_category": {"sis_group_category_id": "sis_group_category_id"},
}


def global_id(shard: int, local: int) -> int:
    """The one number that names row `local` of `shard` everywhere."""
    return shard * SHARD_SIZE + local


def parse_id(text: str) -> int | None:
    """The id as the home shard shows it, None if `text` is no number in any of Canvas's spellings."""
    match = _NUMBER.fullmatch(text)
    if not match:
        return None
    shard, local = divmod(int(match[2]), SHARD_SIZE)
    shard = int(match[1]) if match[1] else shard
    return local if shard in (0, HOME_SHARD) else global_id(shard, local)


def spell_tilde(number: int) -> int | str:
    """`7~42` for 42, `2107~5` for a foreign id; automatic graders' negative ids stay."""
    if number < 0:
        return number
    shard, local = divmod(number, SHARD_SIZE)
    return f"{shard or HOME_SHARD}~{local}"


def spell_global(number: int) -> int:
    """The global form of every positive id."""
    return number if number < 0 or number >= SHARD_SIZE else global_id(HOME_SHARD, number)


def find_by_sis(kind: str, text: str, rows: Any) -> Row | None:
    """The row that `sis_course_id:X` and its kind name, None when the form or the value is unknown."""
    form, separator, value = text.partition(":")
    field = SIS_FORMS[kind].get(form)
    if not separator or field is None or not value:
        return None
    return next((row for row in rows if row.get(field) == value), None)
