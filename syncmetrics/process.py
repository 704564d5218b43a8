"""Which process runs a sync, and whether that process is still there."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
_ENDED_STATES = "ZX"  # zombie and dead (proc(5)): killed, and only its parent has not noticed yet


def host_identity() -> str:
    """Name of this host, then what makes its process ids unambiguous: `name/boot-namespace`.

    A process id means something only within one boot and one process-id namespace (two containers
    of one image may share a host name). Where the system does not tell, the name stands alone.
    """
    boot = _read(_PROC / "sys/kernel/random/boot_id")[:8]
    try:
        namespace = (_PROC / "self/ns/pid").stat().st_ino
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot}-{namespace}"


def host_name(host: str) -> str:
    """Return the part of a host identity that people know the host by."""
    return host.partition("/")[0]


def start_ticks(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty if the system does not tell."""
    return _stat(pid)[1]


@dataclass(frozen=True, slots=True)
class ThisProcess:
    """The identity of the running process; `started` tells it from a later one with the same id."""

    host: str = field(default_factory=host_identity)
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: start_ticks(os.getpid()))


def is_gone(host: str, pid: int, started: str) -> bool | None:
    """Tell whether a process has ended: True or False on this host, None where that cannot be known."""
    if host != host_identity() or pid <= 0 or os.name != "posix":
        return None  # on Windows, os.kill(pid, 0) would end the process instead of asking for it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's process, but there
    state, ticks = _stat(pid)
    return state in _ENDED_STATES or bool(started and ticks and ticks != started)


def _stat(pid: int) -> tuple[str, str]:
    """State letter and start ticks of a process; a harmless state and no ticks if unreadable."""
    fields = _read(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    # Fields 3 and 22 of proc(5); counted after the name, which may hold spaces and brackets.
    return (fields[0], fields[19]) if len(fields) > 19 else ("?", "")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
