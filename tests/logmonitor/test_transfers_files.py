"""The files of a transfer log: which are found in odd folders, and how packed ones are read."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logmonitor.transfers.files import Packed, Unfinished, scan


def names(folder: Path, live_name: str = "sftpgo.log") -> list[str]:
    """Return the names of the files found."""
    return sorted(file.name for file in scan(folder, live_name).files)


def test_odd_folders_are_looked_into_without_harm(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"eu{number}").mkdir()
    (tmp_path / "eu7" / "sftpgo.log").write_text("x")
    (tmp_path / "eu8" / "sftpgo.log").symlink_to(tmp_path / "eu8" / "sftpgo.log")
    (tmp_path / "eu9" / "up").symlink_to(tmp_path)
    (tmp_path / "eu10" / "sftpgo.log").mkdir()
    os.mkfifo(tmp_path / "eu11" / "sftpgo.log")
    (tmp_path / "eu12" / "sftpgo.log").symlink_to("/dev/zero")
    (tmp_path / "sftpgo.log").symlink_to(tmp_path / "eu7" / "sftpgo.log")
    (tmp_path / "line\nbreak").mkdir()
    (tmp_path / "line\nbreak" / "sftpgo.log").write_text("x")

    assert names(tmp_path) == ["eu7/sftpgo.log", "line\nbreak/sftpgo.log", "sftpgo.log"]
    [problem] = scan(tmp_path, "sftpgo.log").problems
    assert problem.startswith("'eu8/sftpgo.log': Too many levels")


def test_a_name_with_the_signs_of_patterns_is_a_name(tmp_path: Path) -> None:
    for name in ("*.log", "x.log", "*-1.log", "[a].log", "a.log"):
        (tmp_path / name).touch()
    assert names(tmp_path, "*.log") == ["*-1.log", "*.log"]
    assert names(tmp_path, "[a].log") == ["[a].log"]


def test_what_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(OSError, match="directory"):
            scan(folder, "sftpgo.log")


class _Watched:
    """A file that remembers where it was told to go."""

    def __init__(self, file: Any) -> None:
        self.file, self.places = file, [0]

    def seek(self, place: int) -> None:
        self.places.append(place)
        self.file.seek(place)

    def read(self, length: int) -> bytes:
        return bytes(self.file.read(length))


def test_who_looks_back_a_little_unpacks_nothing_anew(tmp_path: Path) -> None:
    path = tmp_path / "sftpgo-1.log.gz"
    data = os.urandom(100_000)
    path.write_bytes(gzip.compress(data, 1))
    content = Packed(path)
    watched = _Watched(content._file)
    content._file = watched  # type: ignore[assignment]
    read, offset = b"", 0
    while offset < len(data):
        back = min(offset, 1_024)
        block = content.read(offset - back, back + 4_096)[back:]
        assert content.read(offset, len(block)) == block
        read, offset = read + block, offset + len(block)
    assert read == data
    assert watched.places == sorted(watched.places)


@given(places=st.lists(st.tuples(st.integers(0, 1_200), st.integers(0, 700)), max_size=20))
def test_a_packed_file_reads_as_a_plain_one(
    packed: tuple[Path, bytes], places: list[tuple[int, int]]
) -> None:
    path, data = packed
    content = Packed(path)
    for offset, length in places:
        assert content.read(offset, length) == data[offset : offset + length]
    content.close()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A packed file, and what it holds."""
    path, data = tmp_path_factory.mktemp("packed") / "sftpgo-1.log.gz", os.urandom(1_000)
    path.write_bytes(gzip.compress(data))
    return path, data


def test_half_a_packed_file_is_unfinished(packed: tuple[Path, bytes], tmp_path: Path) -> None:
    half = tmp_path / "sftpgo-1.log.gz"
    half.write_bytes(packed[0].read_bytes()[:500])
    with pytest.raises(Unfinished):
        Packed(half)
