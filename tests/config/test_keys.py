"""The key of an installation that sets none: made once, for us only, one for all who start at once."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from cryptography.fernet import Fernet

from config.keys import read_or_make_key


def test_key_is_made_once_and_read_ever_after(tmp_path: Path):
    made = read_or_make_key(tmp_path / "key")
    assert read_or_make_key(tmp_path / "key") == made
    assert read_or_make_key(tmp_path / "other") != made


def test_key_can_encrypt(tmp_path: Path):
    key = Fernet(read_or_make_key(tmp_path / "key"))
    assert key.decrypt(key.encrypt(b"token")) == b"token"


def test_key_file_is_ours_alone(tmp_path: Path):
    read_or_make_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_key_put_there_by_hand_is_taken_without_its_line_end(tmp_path: Path):
    (tmp_path / "key").write_text("chosen by hand\n")
    assert read_or_make_key(tmp_path / "key") == "chosen by hand"


def test_all_who_start_at_once_agree_and_leave_no_drafts(tmp_path: Path):
    gate = threading.Barrier(16)
    keys: list[str] = []

    def start() -> None:
        gate.wait()
        keys.append(read_or_make_key(tmp_path / "key"))

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert set(keys) == {(tmp_path / "key").read_text()}
    assert [file.name for file in tmp_path.iterdir()] == ["key"]
