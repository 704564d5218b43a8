"""What a parser says of a file: findings with stable codes, and who receives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Severity(StrEnum):
    """What a finding means for the import into Canvas."""

    FILE = "file"
    """The file, or the rest of it, is not imported."""
    ROW = "row"
    """The row is rejected, the others are not."""
    WARNING = "warning"
    """Worth a look; the row is accepted."""


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding: what it means for the file, what it says, what to do about it.

    `{column}` and the members of a finding's detail are filled into the sentences; none of them is ever a
    cell's value: they are declared names, positions, counts and file names.
    """

    severity: Severity
    text: str
    advice: str


@dataclass(slots=True)
class Finding:
    """One thing found. `row` counts records from 1, the header; `column` is a declared name or a position."""

    code: str
    file: str
    row: int | None = None
    column: str | None = None
    detail: dict[str, str | int] = field(default_factory=dict)
    declared: Code | None = None
    """What the code means by the parser that found it; codes of Easel's own mean the same everywhere."""

    @property
    def severity(self) -> Severity:
        """What it means for the import."""
        return meaning_of(self.code, self.declared).severity

    @property
    def text(self) -> str:
        """The sentence to show."""
        return filled(meaning_of(self.code, self.declared).text, self.code, self.column, self.detail)

    @property
    def advice(self) -> str:
        """What to do about it."""
        return filled(meaning_of(self.code, self.declared).advice, self.code, self.column, self.detail)


def meaning_of(code: str, declared: Code | None = None) -> Code:
    """Return what a code means: as Easel says, else as its parser declares, else a doubt told by its name."""
    return CODES.get(code) or declared or Code(Severity.WARNING, f"{title_of(code)}.", "")


def title_of(code: str) -> str:
    """Return a code as words."""
    return code.replace("_", " ").capitalize()


def filled(sentence: str, code: str, column: str | None, detail: Mapping[str, Any]) -> str:
    """Return a sentence of a code with a finding's place and detail in it; its name where they do not fit.

    They may come from another version of the parser, which gave other details.
    """
    try:
        return sentence.format(**{"column": column or "the column", **detail})
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return title_of(code)


class Report(Protocol):
    """Who receives what a parse finds; every method is called from the parsing thread.

    Whatever a method raises ends the parse and reaches the caller: so a parse is cancelled.
    """

    def begin_file(self, name: str, kind: str, parser: str, version: str) -> None:
        """A CSV file begins; for a file nobody recognises kind is `unknown`, parser and version are empty."""

    def finding(self, finding: Finding) -> None:
        """Something was found. Called once for each: the receiver limits what it keeps."""

    def progress(self, rows_read: int, rows_accepted: int, rows_rejected: int) -> None:
        """So far, over all files of the upload; called after every block, which is some hundred rows."""

    def end_file(self, rows_read: int, rows_accepted: int, rows_rejected: int) -> None:
        """The file that began last has ended, with these counts of its own; read = accepted + rejected."""


_FILE, _ROW, _WARNING = Severity.FILE, Severity.ROW, Severity.WARNING
_REEXPORT = "Export it again as CSV in UTF-8."

CODES: dict[str, Code] = {
    # The whole file: what it is, how it is encoded and quoted.
    "empty_file": Code(_FILE, "The file is empty.", "Look at the job that writes it: it may have failed."),
    "not_utf8": Code(
        _FILE,
        "Byte {offset} is not {encoding}; nothing after it was read.",
        "Save the file as UTF-8. Exports of older systems are often in Latin-1 or Windows-1252.",
    ),
    "utf16": Code(
        _WARNING,
        "The file is in UTF-16. It was read, but Canvas takes UTF-8 only.",
        "Save it as “CSV UTF-8”.",
    ),
    "byte_order_mark": Code(
        _WARNING,
        "The file begins with a byte order mark. Canvas skips it; other programs may take it for a part of"
        " the first column's name.",
        "Nothing, or save it without one.",
    ),
    "cr_line_ends": Code(
        _WARNING,
        "Lines end with a carriage return alone, as old Macintosh programs write them.",
        "Save the file with LF or CRLF line ends: some programs take it for one long line.",
    ),
    "nul_in_header": Code(
        _FILE,
        "The header holds NUL characters: this may be UTF-16 without a byte order mark, or no text at all.",
        _REEXPORT,
    ),
    "header_too_long": Code(
        _FILE,
        "The first record is longer than {limit} characters: this is no header.",
        "See whether the file is a CSV, with line ends.",
    ),
    "unknown_header": Code(
        _FILE,
        "The header's {columns} columns fit no known file.",
        "Compare the first line with the tables of this page. Headers in other languages are not known, and"
        " a file without a header cannot be.",
    ),
    "wrong_delimiter": Code(
        _FILE,
        "Columns are separated by {delimiter}; Canvas knows only commas. The rows were checked all the same.",
        "Export it again with commas; some spreadsheets take the separator from the computer's language.",
    ),
    "missing_column": Code(
        _FILE,
        "Required columns are missing: {columns}. No row was checked.",
        "Add them, also where all their cells are blank.",
    ),
    "duplicate_column": Code(
        _FILE,
        "{column} is in the header more than once, so it is uncertain which is meant. No row was checked.",
        "Remove or rename the wrong one.",
    ),
    "too_many_columns": Code(
        _FILE,
        "The header has {columns} columns; at most {limit} are read.",
        "See whether the file is damaged.",
    ),
    "too_many_rows": Code(
        _FILE, "The file has more than {limit} rows; the rest was not read.", "Split it into several files."
    ),
    "unclosed_quote": Code(
        _FILE,
        "A quote opens in this row and is never closed: everything after it belongs to one cell.",
        "Close the quote, or double it where it is a part of the text.",
    ),
    "stray_quote": Code(
        _FILE,
        "A quote stands in the middle of a cell; nothing from this row on was read.",
        "Put the cell into quotes and double the quotes that belong to its text.",
    ),
    "unknown_column": Code(
        _WARNING,
        "The name of column {position} is not known here; Canvas takes no notice of the column.",
        "See whether it is misspelt.",
    ),
    "no_rows": Code(_WARNING, "There is a header, but no row.", "Fine if there was nothing to say."),
    "secret_column": Code(
        _WARNING,
        "The file has the column {column}, which holds people's secrets.",
        "Leave it out where people sign in through the university, and delete copies of the file.",
    ),
    # Single rows.
    "too_many_cells": Code(
        _ROW,
        "The row has {cells} cells, the header {columns}, so it is uncertain which belongs to which column.",
        "A comma inside a cell needs quotes around the cell.",
    ),
    "too_few_cells": Code(
        _WARNING,
        "The row has {cells} cells, the header {columns}; Canvas takes those that are missing for blank.",
        "Write all commas, also for blank cells. In the last row: the file may be cut off.",
    ),
    "blank_cells_added": Code(
        _WARNING,
        "The row has {cells} cells, the header {columns}; those too many are blank.",
        "Nothing; spreadsheets write such rows.",
    ),
    "record_too_long": Code(
        _ROW, "The row is longer than {limit} characters.", "Look for a missing line end or quote before it."
    ),
    "cell_too_long": Code(
        _ROW, "A cell is longer than {limit} characters.", "See whether a quote is missing before it."
    ),
    "nul_character": Code(_ROW, "A cell holds a NUL character.", "Remove it; it came from a faulty export."),
    "missing_value": Code(_ROW, "{column} is blank.", "Fill it: Canvas skips the row otherwise."),
    "missing_one_of": Code(_ROW, "One of {columns} must be filled.", "Fill one of them."),
    "value_not_allowed": Code(
        _ROW, "{column} must be one of {allowed}.", "Correct it; case does not matter, spelling does."
    ),
    "not_a_number": Code(_ROW, "{column} must be a whole number.", "Correct it."),
    "bad_email": Code(_ROW, "{column} is not an e-mail address.", "Correct it, or leave it blank."),
    "bad_date": Code(
        _WARNING,
        "{column} is not a date in ISO 8601, such as 2026-09-01T00:00:00Z; Canvas takes no notice of it.",
        "Correct it.",
    ),
    "bad_boolean": Code(_WARNING, "{column} must be true or false.", "Correct it, or leave it blank."),
    "custom_role": Code(
        _WARNING,
        "{column} is none of Canvas's own roles ({allowed}).",
        "Fine where the account has a role of exactly that name, in upper and lower case too.",
    ),
    "no_name": Code(
        _WARNING, "None of {columns} is filled.", "Give a name: Canvas shows the login otherwise."
    ),
    "only_one_date": Code(
        _WARNING, "Only one of {columns} is filled, so neither takes effect.", "Fill both or none."
    ),
    # Rows beside other rows.
    "repeated_row": Code(
        _WARNING, "The same row stands in row {first_row} of {first_file} already.", "Remove one of them."
    ),
    "conflicting_row": Code(
        _WARNING,
        "Row {first_row} of {first_file} has the same {column}, but says something else.",
        "Decide which is right: which of them Canvas keeps is not certain.",
    ),
    "value_claimed": Code(
        _ROW,
        "{column} belongs to row {first_row} of {first_file} already.",
        "Two rows cannot have it: correct or delete one of them.",
    ),
    "parent_later": Code(
        _ROW,
        "The parent of this row stands in this row or a later one; Canvas reads parents first.",
        "Sort parents before their children.",
    ),
    "reference_absent": Code(
        _WARNING,
        "{column} is in none of the {kind} of this upload. The row works only if Canvas has it already.",
        "Add it to {kind}, unless it is in Canvas.",
    ),
    "reference_missing": Code(
        _ROW,
        "{column} is in none of the {kind} of this upload, which is said to be complete.",
        "Add it to {kind}.",
    ),
    "section_of_other_course": Code(
        _ROW,
        "The section belongs to another course than {column} says, by the sections of this upload.",
        "Correct one of the two.",
    ),
    "many_deletions": Code(
        _WARNING,
        "{percent} % of the rows ({deleted} of {rows}) delete something.",
        "Make sure that this is meant before Canvas imports it; its change_threshold can guard against it.",
    ),
    # Zip archives.
    "archive_damaged": Code(
        _FILE,
        "The zip archive cannot be opened: it is damaged or cut off.",
        "Upload it again, or pack it anew.",
    ),
    "archive_too_large": Code(
        _FILE, "The archive is, or unpacks to, more than {limit} bytes.", "Split it into several archives."
    ),
    "archive_too_many_entries": Code(
        _FILE, "The archive holds more than {limit} entries.", "Pack only the CSV files."
    ),
    "archive_empty": Code(_FILE, "The archive holds no CSV file.", "Pack the CSV files themselves."),
    "workbook": Code(_FILE, "This is a spreadsheet workbook, not a CSV file.", _REEXPORT),
    "entry_ratio": Code(
        _FILE,
        "The entry unpacks to more than {limit} times its packed size, as zip bombs do. It was not read.",
        "Upload this file by itself, unpacked.",
    ),
    "entry_encrypted": Code(_FILE, "The entry is encrypted.", "Pack it without a password."),
    "entry_compression": Code(
        _FILE, "The entry is packed by another method than deflate.", "Pack it as an ordinary zip archive."
    ),
    "entry_damaged": Code(
        _FILE,
        "The entry is damaged; nothing after this was read.",
        "Upload the archive again, or pack it anew.",
    ),
    "entry_unsafe_name": Code(
        _FILE,
        "The entry's name leads out of the archive's folder. It was not read.",
        "Pack the files with plain names.",
    ),
    "nested_archive": Code(
        _FILE, "The entry is an archive itself. It was not read.", "Pack the CSV files themselves."
    ),
    "unknown_entry": Code(
        _WARNING, "The entry is no CSV file by its name; Canvas skips it.", "Name CSV files .csv."
    ),
    "repeated_entry": Code(
        _WARNING, "Another entry has the same name; most programs unpack only one of them.", "Rename one."
    ),
    "repeated_kind": Code(
        _WARNING,
        "The archive has a file of {kind} already; Canvas imports both.",
        "Fine if the rows are spread over several files; otherwise one of them is old.",
    ),
    # Gradebook exports.
    "no_points_row": Code(
        _FILE,
        "No row begins with “Points Possible”; Canvas cannot import the file as a gradebook.",
        "Export the gradebook again and change cells only.",
    ),
    "no_assignments": Code(
        _WARNING,
        "No column's name ends with an assignment's number in parentheses.",
        "Leave the names of the columns as Canvas exported them.",
    ),
    "score_not_a_number": Code(
        _ROW, "{column} is neither a number nor a grade, EX, N/A or blank.", "Correct the score."
    ),
    "score_above_points": Code(
        _WARNING, "{column} is above the points possible.", "Fine if it is extra credit."
    ),
    "points_not_a_number": Code(
        _WARNING, "The points possible of {column} are no number.", "Export the gradebook again."
    ),
}
