"""`manage.py run_sandbox`, as a real process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command

PROJECT = Path(__file__).resolve().parents[2]


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_sandbox", *options],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_it_prints_one_line_serves_and_ends_on_sigterm() -> None:
    with running("--size", "tiny", "--seed", "3", "--latency-ms", "1", "--faults", "500@/terms") as process:
        ready = json.loads(process.stdout.readline())
        assert (ready["size"], ready["seed"], ready["throttle"]) == ("tiny", 3, True)
        headers = {"Authorization": f"Bearer {ready['token']}"}
        assert (
            requests.get(f"{ready['url']}/api/v1/users/self", headers=headers, timeout=20).status_code == 200
        )
        assert (
            requests.get(f"{ready['url']}/api/v1/accounts/1/terms", headers=headers, timeout=20).status_code
            == 500
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stdout.read() == process.stderr.read() == ""


def test_it_ends_on_ctrl_c_and_takes_token_and_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running("--size", "tiny", "--no-throttle", "--token", "mine", "--port", str(port)) as process:
        ready = json.loads(process.stdout.readline())
        assert (ready["url"], ready["token"], ready["throttle"]) == (
            f"http://127.0.0.1:{port}",
            "mine",
            False,
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_port_in_use_ends_with_two_and_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running("--size", "tiny", "--port", str(port)) as process:
            output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (2, "")
    assert f"Port {port} is in use; name another with --port, or leave it out for a free one." in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"faults": "nonsense"}, "Unknown fault 'nonsense'"),
        ({"faults": "500:often"}, "is not kind"),
        ({"port": 99_999}, "Port 99999 cannot be used"),
    ],
)
def test_wrong_usage_is_one_sentence(option: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        call_command("run_sandbox", size="tiny", **option)
    assert refused.value.returncode == 2
