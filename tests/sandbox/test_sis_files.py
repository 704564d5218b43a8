"""The sandbox's SIS archive: the same for the same seed, good without its mistakes, each of them found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from parselogs.parsers import Finding, Upload, parse
from sandbox.sis_files import MISTAKES, STRAY, write_sis_zip


class Findings(list[Finding]):
    """Keeps what a parser finds."""

    def begin_file(self, name: str, kind: str, parser: str, version: str) -> None:
        """Take no note of files."""

    def finding(self, finding: Finding) -> None:
        """Keep it."""
        self.append(finding)

    def progress(self, *rows: int) -> None:
        """Take no note of progress."""

    end_file = progress


def findings_of(path: Path) -> Findings:
    """Return what the parsers find in an archive."""
    found = Findings()
    parse(Upload(path.name, path.stat().st_size, lambda: path.open("rb")), found)
    return found


def test_the_same_seed_makes_the_same_archive(tmp_path):
    one, other, third = (tmp_path / name for name in ("1.zip", "2.zip", "3.zip"))
    write_sis_zip(one)
    write_sis_zip(other)
    write_sis_zip(third, seed=2)

    assert one.read_bytes() == other.read_bytes() != third.read_bytes()


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_without_mistakes_nothing_is_rejected(tmp_path, size):
    write_sis_zip(tmp_path / "good.zip", size=size, mistakes=False)
    found = findings_of(tmp_path / "good.zip")

    assert [one for one in found if one.severity != "warning"] == []


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_every_mistake_is_found(tmp_path, size):
    write_sis_zip(tmp_path / "bad.zip", size=size)
    write_sis_zip(tmp_path / "good.zip", size=size, mistakes=False)
    found = Counter(one.file for one in findings_of(tmp_path / "bad.zip"))
    found.subtract(Counter(one.file for one in findings_of(tmp_path / "good.zip")))

    for file, made in Counter(mistake.file for mistake in MISTAKES).items():
        assert found[file] >= made, file
    assert found[STRAY[0]] == 1
