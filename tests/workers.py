"""Celery's programs for the tests: a Redis, and workers and beat on the test's own database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection as database

from config import celery_app
from tests.installation import CHILD_VARIABLES, ROOT
from tests.servers import NEEDS_REDIS, RedisServer, ServerMissing

PATIENCE_SECONDS = 40.0
PROGRAMS = {
    "worker": ("worker", "--loglevel=WARNING", "--without-gossip", "--without-mingle"),
    "beat": ("beat", "--loglevel=WARNING"),
}


def wait_for(happened: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something has happened; fail with `what` when it does not."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {seconds:g} s for {what}.")
        time.sleep(0.05)


def database_url() -> str:
    """Return the address of the test's own database, for other processes."""
    name = database.settings_dict["NAME"]
    if database.vendor == "sqlite":
        return f"sqlite:///{name}"
    return os.environ["DATABASE_URL"].replace("@/postgres?", f"@/{name}?")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for all tests of this process."""
    try:
        server = RedisServer()
    except ServerMissing:
        pytest.skip(NEEDS_REDIS)
    yield server
    server.stop()


def use_broker(url: str) -> None:
    """Let this process enqueue there."""
    celery_app.conf.broker_url = url
    celery_app._after_fork()  # forgets the connections to the one before


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis in which this process queues its tasks."""
    before = celery_app.conf.broker_url
    use_broker(redis_server.url)
    celery_app.control.purge()
    yield redis_server
    celery_app.control.purge()
    use_broker(before)


def waiting() -> int:
    """Return how many messages wait for a worker."""
    with celery_app.connection_for_read() as broker:
        queue: int = broker.default_channel.client.llen("celery")
    return queue


class Background:
    """Workers and beats as processes of their own."""

    def __init__(self, redis: RedisServer) -> None:
        """Start none yet."""
        kept = {name: os.environ[name] for name in (*CHILD_VARIABLES, "EASEL_VAR_DIR") if name in os.environ}
        self.environment = kept | {
            "EASEL_ENV_FILE": os.devnull,
            "DATABASE_URL": database_url(),
            "REDIS_URL": redis.url,
            "WORKER_PROCESSES": "2",
            "REMAP_SIGTERM": "SIGQUIT",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, program: str) -> subprocess.Popen[bytes]:
        """Start `worker` or `beat`."""
        celery = [sys.executable, "-W", "ignore", "-m", "celery", "-q", "-A", "config"]
        process = subprocess.Popen(
            [*celery, *PROGRAMS[program]],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._running.append(process)
        return process

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it takes tasks."""
        worker = self.start("worker")
        celery_app.send_task("syncmetrics.close_lost_runs")
        wait_for(lambda: waiting() == 0, "the worker to take a task")
        return worker

    def start_again_if_dead(self, worker: subprocess.Popen[bytes]) -> None:
        """Start one worker in place of one that has ended."""
        if worker.poll() is not None and worker in self._running:
            self._running.remove(worker)
            self.start("worker")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a program and the processes it started, as a machine that loses power."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """End all."""
        for process in self._running:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def background(transactional_db: None, redis: RedisServer) -> Iterator[Background]:
    """Start workers and beats that see this test's database and queue."""
    programs = Background(redis)
    yield programs
    programs.end()
