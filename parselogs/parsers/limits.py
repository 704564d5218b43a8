"""What a parse may cost at most: sizes, counts and ratios, with defaults for a university's files."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one parse. Whatever passes them ends in a finding, and memory stays bounded by them."""

    max_entries: int = 100
    """Files in one zip archive."""
    max_ratio: int = 200
    """Unpacked size of an archive's entry by its packed size; entries up to `ratio_free_bytes` are exempt."""
    ratio_free_bytes: int = 8 * MIB
    max_archive_bytes: int = 4096 * MIB
    """Packed size of an archive, which is copied to a temporary file."""
    max_unpacked_bytes: int = 16384 * MIB
    """Unpacked size of all entries of an archive together."""
    max_cell_characters: int = 64 * 1024
    max_record_characters: int = 2 * MIB
    """One record, from its first cell to its last, line breaks in quotes included."""
    max_columns: int = 2000
    max_rows: int = 50_000_000
    """Rows of one file."""
    deletions_percent: int = 20
    """A file that deletes more than this share of its rows gets a warning."""
    deletions_min_rows: int = 10
    """Smaller files may delete what they like."""
    block_bytes: int = 32 * 1024
    """How much is read, decoded and checked at a time: some hundred rows, which fit a processor's cache."""
