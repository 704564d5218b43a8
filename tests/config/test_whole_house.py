"""All of Easel on its own PostgreSQL and Redis: what its console asks for happens, and outages pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import requests

from sandbox.server import Sandbox
from tests.canvas.conftest import EventfulSandbox
from tests.config.test_run_easel import free_port
from tests.installation import CHILD_VARIABLES, ROOT
from tests.servers import PostgresServer, RedisServer
from tests.workers import wait_for

pytestmark = pytest.mark.postgresql
PASSWORD = "a long and unusual phrase"
LEASE_SECONDS = 30


class House:
    """One installation: its PostgreSQL, its processes, and a person logged in to its console."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        """Make the database, an operator's account, and start everything."""
        self.postgresql = PostgresServer()
        self.environment = {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ} | {
            "EASEL_VAR_DIR": str(folder),
            "EASEL_ENV_FILE": os.devnull,
            "DATABASE_URL": self.postgresql.url(),
            "REDIS_URL": redis.url,
            "WORKER_PROCESSES": "2",
            "SYNC_LEASE_SECONDS": str(LEASE_SECONDS),
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }
        self.manage("migrate", "-v0")
        self.manage("createsuperuser", "--noinput", "--username", "olga", "--email", "olga@example.edu")
        self.address = f"http://127.0.0.1:{free_port()}"
        self._process = subprocess.Popen(
            self._command("run_easel", "--port", self.address.rpartition(":")[2]),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # outages are told there at length
            text=True,
        )
        assert self._process.stdout
        assert any(self.address in line for line in self._process.stdout)
        # Half a minute between two looks for lost syncs is long for a test.
        self.tell(
            "UPDATE django_celery_beat_intervalschedule SET every = 4 WHERE every = 30",
            "UPDATE django_celery_beat_periodictasks SET last_update = now()",
        )
        self.person = requests.Session()
        self.post("/admin/login/", username="olga", password=PASSWORD)

    def manage(self, *arguments: str) -> None:
        """Run one command of `manage.py`."""
        done = subprocess.run(
            self._command(*arguments), env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr

    def forget(self) -> None:
        """Delete what a test left: its connection and schedules, and what was copied."""
        self.tell(
            "DELETE FROM django_celery_beat_periodictask WHERE task LIKE 'canvas.sync%'",
            "UPDATE django_celery_beat_periodictasks SET last_update = now()",
        )
        self.wait_until("SELECT bool_and(sync_end_time IS NOT NULL) FROM syncmetrics_syncrun", "the last run")
        self.tell("TRUNCATE canvas_instance, syncmetrics_syncrun CASCADE")

    def connect(self, canvas: Sandbox) -> int:
        """Connect a Canvas in the console, and return the connection's number."""
        self.post("/admin/canvas/connection/add/", name="prod", base_url=canvas.url, token=canvas.token)
        return int(self.ask("SELECT id FROM canvas_connection")[0][0])

    def post(self, path: str, **fields: str) -> requests.Response:
        """Fill in a form of the console and send it."""
        address = self.address + path
        form = self.person.get(address, timeout=30)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token, form.text
        sent = self.person.post(
            address,
            data=fields | {"csrfmiddlewaretoken": token[1]},
            headers={"Referer": address},
            timeout=30,
        )
        assert sent.status_code == 200
        assert "errorlist" not in sent.text
        return sent

    def ask(self, query: str) -> list[tuple[object, ...]]:
        """Ask the database; it may be away, and is asked again then."""
        for _ in range(100):
            try:
                with psycopg.connect(self.postgresql.url()) as connection:
                    return connection.execute(query).fetchall()  # type: ignore[arg-type]
            except psycopg.OperationalError:
                threading.Event().wait(0.1)
        raise AssertionError("The database does not come back.")

    def wait_until(self, condition: str, what: str) -> None:
        """Wait until a query gives true; patient for two leases."""
        wait_for(lambda: self.ask(condition)[0][0], what, seconds=3 * LEASE_SECONDS)

    def states(self) -> list[str]:
        """Return how all runs stand, in their order."""
        return [
            str(state) for (state,) in self.ask("SELECT sync_status FROM syncmetrics_syncrun ORDER BY id")
        ]

    def tell(self, *statements: str) -> None:
        """Change something in the database."""
        with psycopg.connect(self.postgresql.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]

    def close(self) -> None:
        """End everything."""
        self._process.terminate()
        self._process.communicate(timeout=30)
        self.postgresql.stop()

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-W", "ignore", str(ROOT / "manage.py"), *arguments]


@pytest.fixture(scope="module")
def running_house(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[House]:
    """All of Easel, started once."""
    with closing(House(tmp_path_factory.mktemp("house"), redis_server)) as made:
        yield made


@pytest.fixture
def house(running_house: House) -> Iterator[House]:
    """Easel at work, without any connection yet."""
    yield running_house
    running_house.forget()


@pytest.fixture
def canvas() -> Iterator[EventfulSandbox]:
    """A sandbox Canvas."""
    with EventfulSandbox() as sandbox:
        yield sandbox


@pytest.mark.timeout(400)
def test_schedule_of_every_minute_runs_three_times(house: House, canvas: EventfulSandbox) -> None:
    connection = house.connect(canvas)
    house.post(
        "/admin/django_celery_beat/periodictask/add/", connection=str(connection), how="minutes", every="1"
    )
    # As if it had been made a minute ago: it is due at once, and not only in a minute.
    house.tell(
        "UPDATE django_celery_beat_periodictask SET last_run_at = now() - interval '1 minute'"
        " WHERE task = 'canvas.sync_connection'",
        "UPDATE django_celery_beat_periodictasks SET last_update = now()",
    )
    wait_for(lambda: house.states().count("completed") == 3, "three runs of a minute each", seconds=270)
    gaps = house.ask(
        "SELECT extract(epoch FROM sync_start_time - lag(sync_start_time) OVER (ORDER BY id))"
        " FROM syncmetrics_syncrun OFFSET 1"
    )
    assert [round(float(str(gap)) / 60) for (gap,) in gaps] == [1, 1]
    assert house.ask("SELECT DISTINCT trigger, mode FROM syncmetrics_syncrun ORDER BY mode") == [
        ("schedule", "full"),
        ("schedule", "incremental"),
    ]


def restart(house: House) -> None:
    house.postgresql.restart()


def fill_the_disk(house: House) -> None:
    house.tell(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
        "CREATE TRIGGER no_room BEFORE INSERT ON canvas_submission EXECUTE FUNCTION no_room()",
        "CREATE TRIGGER no_room BEFORE UPDATE OF sync_status ON syncmetrics_syncrun"
        " EXECUTE FUNCTION no_room()",
    )


def empty_the_disk(house: House) -> None:
    house.tell("DROP FUNCTION no_room CASCADE")


END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


def fail_over_to_a_standby(house: House) -> None:
    house.tell("ALTER DATABASE postgres SET default_transaction_read_only = on", END_SESSIONS)


def promote_it(house: House) -> None:
    house.tell(
        "SET default_transaction_read_only = off",
        "ALTER DATABASE postgres RESET default_transaction_read_only",
        END_SESSIONS,
    )


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("begin", "end"),
    [(restart, None), (fill_the_disk, empty_the_disk), (fail_over_to_a_standby, promote_it)],
    ids=["restarted", "disk full", "read-only"],
)
def test_sync_outlives_an_outage_of_its_database(
    house: House,
    canvas: EventfulSandbox,
    begin: Callable[[House], None],
    end: Callable[[House], None] | None,
) -> None:
    connection = house.connect(canvas)
    reached, go_on = threading.Event(), threading.Event()
    canvas.before("103/students/submissions", lambda: (reached.set(), go_on.wait(60)))
    house.post(f"/admin/canvas/connection/{connection}/sync/")
    assert reached.wait(60)
    begin(house)
    go_on.set()
    house.wait_until("SELECT now() - heartbeat_at > interval '8 s' FROM syncmetrics_syncrun", "it to fail")
    if end:
        assert house.states() == ["in_progress"]  # nothing could be written, not even that it failed
        end(house)
    house.wait_until("SELECT bool_or(sync_status = 'completed') FROM syncmetrics_syncrun", "it to be done")
    assert house.states() == ["lost", "completed"]

    house.post(f"/admin/canvas/connection/{connection}/sync/", mode="full")
    house.wait_until(
        "SELECT count(*) FILTER (WHERE sync_status = 'completed') = 2 FROM syncmetrics_syncrun", "it"
    )
    assert house.ask(
        "SELECT sum(created + updated + deleted) FROM syncmetrics_synccount"
        " WHERE run_id = (SELECT max(id) FROM syncmetrics_syncrun)"
    ) == [(0,)]  # nothing was missing
