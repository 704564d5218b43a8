"""Lines as SFTPGo writes them, for tests and benchmarks: of all kinds, numbered or in bulk."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

BEGIN = datetime(2026, 3, 1, 8)
USERS = 100


def stamp(at: datetime) -> str:
    """Return a time as SFTPGo writes it."""
    return at.isoformat(timespec="milliseconds")


def encode(fields: dict[str, Any]) -> bytes:
    """Return the line of these fields, as zerolog escapes it."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def head(level: str, at: datetime, sender: str) -> dict[str, Any]:
    """Return what every line begins with."""
    return {"level": level, "time": stamp(at), "sender": sender}


def transfer(number: int = 0, at: datetime = BEGIN, **changes: Any) -> bytes:
    """Return the line of a transfer of version 2.7; `number` is its size."""
    fields = head("info", at, "Upload") | {
        "local_addr": "10.0.0.5:2022",
        "remote_addr": f"192.0.2.{number % 200}:{40_000 + number % 9_000}",
        "elapsed_ms": 125,
        "size_bytes": number,
        "username": f"user{number % USERS:03d}",
        "file_path": f"/srv/sftpgo/data/user{number % USERS:03d}/in/report-{number}.csv",
        "virtual_path": f"/in/report-{number}.csv",
        "connection_id": f"SFTP_{number % 50_000:08x}_1",
        "protocol": "SFTP",
    }
    return encode(fields | changes)


def command(number: int = 0, at: datetime = BEGIN, **changes: Any) -> bytes:
    """Return the line of a command of version 2.7."""
    fields = head("info", at, "Rename") | {
        "local_addr": "10.0.0.5:2022",
        "remote_addr": f"192.0.2.{number % 200}:{40_000 + number % 9_000}",
        "username": f"user{number % USERS:03d}",
        "file_path": f"/srv/sftpgo/data/in/{number}.part",
        "virtual_path": f"/in/{number}.part",
        "target_path": f"/srv/sftpgo/data/in/{number}.csv",
        "virtual_target_path": f"/in/{number}.csv",
        "filemode": "",
        "uid": -1,
        "gid": -1,
        "access_time": "",
        "modification_time": "",
        "size": -1,
        "elapsed": 3,
        "ssh_command": "",
        "connection_id": f"SFTP_{number % 50_000:08x}_1",
        "protocol": "SFTP",
    }
    return encode(fields | changes)


def message(number: int = 0, at: datetime = BEGIN, **changes: Any) -> bytes:
    """Return the line of a part of SFTPGo that says something."""
    text = f'User "user{number % USERS:03d}", home dir "/srv/{number}", connection closed'
    fields = head("debug", at, "SFTP") | {"connection_id": f"SFTP_{number % 50_000:08x}_1", "message": text}
    return encode(fields | changes)


def http(number: int = 0, at: datetime = BEGIN, **changes: Any) -> bytes:
    """Return the line of a request to the web server."""
    fields = head("debug", at, "httpd") | {
        "cipher_suite": "TLS_AES_128_GCM_SHA256",
        "local_addr": "10.0.0.5:8080",
        "method": "GET",
        "proto": "HTTP/1.1",
        "remote_addr": f"192.0.2.{number % 200}:{40_000 + number % 9_000}",
        "request_id": f"host/{number:x}",
        "uri": f"https://sftp.example.edu/web/client/files?path=/in/{number}",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "resp_status": 200,
        "resp_size": 5120,
        "elapsed_ms": 4,
    }
    return encode(fields | changes)


def login(number: int = 0, at: datetime = BEGIN, **changes: Any) -> bytes:
    """Return the line of a login, as it is since 2.7.0."""
    fields = head("info", at, "login") | {
        "ip": f"192.0.2.{number % 200}",
        "username": f"user{number % USERS:03d}",
        "method": "password",
        "protocol": "SSH",
        "connection_id": f"SFTP_{number % 50_000:08x}_1",
        "client": "SSH-2.0-OpenSSH_9.2",
        "encrypted": True,
    }
    return encode(fields | changes)


def login_failed(number: int = 0, at: datetime = BEGIN, **changes: Any) -> bytes:
    """Return the line of a login that was refused."""
    fields = head("debug", at, "connection_failed") | {
        "client_ip": f"198.51.100.{number % 200}",
        "username": "root",
        "login_type": "password",
        "protocol": "SSH",
        "error": "invalid credentials",
    }
    return encode(fields | changes)


def defender(number: int = 0, at: datetime = BEGIN, **changes: Any) -> bytes:
    """Return the line of an event of the defender."""
    fields = head("info", at, "defender") | {
        "client_ip": f"198.51.100.{number % 200}",
        "protocol": "SSH",
        "event": "LoginFailed",
        "increase_score_by": 1,
        "score": 2,
    }
    return encode(fields | changes)


def mixed(number: int, days: int = 90, seed: int = 1) -> Iterator[bytes]:
    """Yield lines as a server writes them: two fifths transfers, a tenth commands, messages, the rest."""
    random_ = random.Random(seed)
    kinds = random_.choices(
        (transfer, command, message, http, login, login_failed), (40, 10, 30, 10, 5, 5), k=10_000
    )
    step = timedelta(days=days) / number
    for index in range(number):
        yield kinds[index % len(kinds)](index, BEGIN + index * step)


def fields_of_plugin() -> bytes:
    """Return a message of a plugin, with fields of types of its own."""
    return encode(head("info", BEGIN, "plugins") | {"message": "x", "size": "big", "error": {"code": 1}})
