"""What is in a folder of logs, all of it: the live files, the rotated ones, the archives."""

from __future__ import annotations

import gzip
import tarfile
from collections import Counter
from pathlib import Path

from logmonitor.files import archives, live_files, rotated_files


def lines_in(folder: Path) -> Counter[bytes]:
    """Return every line that can be read, and how often it is there."""
    found: Counter[bytes] = Counter()
    for file in [*live_files(folder), *rotated_files(folder)]:
        data = file.path.read_bytes()
        found.update((gzip.decompress(data) if file.is_compressed else data).splitlines(keepends=True))
    for file in archives(folder):
        with tarfile.open(file.path) as packed:
            for member in packed:
                content = packed.extractfile(member)
                assert content
                found.update(content.read().splitlines(keepends=True))
    return found


def names_in(folder: Path) -> list[str]:
    """Return the paths below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
