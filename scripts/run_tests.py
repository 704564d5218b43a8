"""Runs the tests on every database that can run here, and reports once: what passed, what was not tested."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from config.redis_child import find_redis_server
from tests.servers import NEEDS_CHROMIUM, NEEDS_REDIS, find_chromium, find_postgresql

NO_TESTS_COLLECTED = 5  # pytest's exit status when a filter leaves none
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class Pass:
    """What one run of pytest gave: its exit status, its tests' outcomes, why some were skipped."""

    database: str
    status: int
    outcomes: Counter[str]
    seconds: float
    skip_reasons: frozenset[str]

    @property
    def ok(self) -> bool:
        """True when nothing failed."""
        return self.status in {0, NO_TESTS_COLLECTED}

    def line(self) -> str:
        """Return the pass as one line of the report."""
        counts = ", ".join(f"{number} {outcome}" for outcome, number in self.outcomes.items()) or "no tests"
        broken = "" if self.ok else f" (pytest's exit status {self.status})"
        return f"{DATABASES[self.database]:<12}{counts} in {self.seconds:.0f} s{broken}"


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def _read_report(file: Path) -> tuple[Counter[str], float, frozenset[str]]:
    """Return outcomes, seconds and skip reasons of pytest's JUnit report; nothing when it wrote none."""
    if not file.exists():
        return Counter(), 0.0, frozenset()
    root = ElementTree.parse(file).getroot()  # noqa: S314  # our own pytest wrote it
    outcomes = Counter(_outcome(case) for case in root.iter("testcase"))
    reasons = frozenset(skip.get("message", "") for skip in root.iter("skipped"))
    return outcomes, sum(float(suite.get("time", 0)) for suite in root.iter("testsuite")), reasons


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def run_pass(database: str, arguments: list[str]) -> Pass:
    """Run pytest on one database, its output going to the terminal as it comes."""
    # More than processors: many tests wait for a schedule, an outage, a lease, a browser.
    workers = str(min(os.cpu_count() or 1, 4) + 2)
    _say("", f"--- {DATABASES[database]} ---")
    with tempfile.TemporaryDirectory(prefix="easel-report-") as folder:
        report = Path(folder) / "report.xml"
        # Few at a time, so that none waits behind a long one while another worker has nothing to do.
        chunks = ["-n", workers, "--maxschedchunk=16"]
        options = ["-q", *chunks, "--durations=10", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *arguments]
        # The tests name their own settings; importing config above has named the product's.
        # And they start hundreds of processes, which must not compile everything anew each time.
        foreign = {"DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE"}
        mine = {name: value for name, value in os.environ.items() if name not in foreign}
        done = subprocess.run(command, env=mine | {"TEST_DATABASE": database})  # noqa: S603
        return Pass(database, done.returncode, *_read_report(report))


def find_missing() -> list[str]:
    """Return a sentence for every server that the tests know and that is not here."""
    servers = {
        "PostgreSQL is not installed: the tests ran on SQLite only.": find_postgresql,
        "Redis is not installed: no worker and no schedule was tested.": find_redis_server,
        "Chromium is not installed: nobody clicked through the console.": find_chromium,
    }
    return [sentence for sentence, find in servers.items() if find() is None]


def report(passes: list[Pass], missing: list[str]) -> None:
    """Print the closing lines: what each pass gave, what was skipped or not tested, and the way out."""
    _say("", "--- Report ---", *(one.line() for one in passes))
    reasons = frozenset().union(*(one.skip_reasons for one in passes))
    for reason in sorted(reasons - {NEEDS_CHROMIUM, NEEDS_REDIS}):
        _say(f"Skipped: {reason}")
    if missing:
        _say("Not tested here:", *(f"  {sentence}" for sentence in missing))
        _say("To test it too, as root: make test-deps")
    else:
        _say("Nothing was left out for want of a server.")


def main() -> int:
    """Run the passes, print the report, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--require-all", action="store_true", help="fail when a server is missing here")
    parser.add_argument("arguments", nargs="*", help="given to pytest")
    options = parser.parse_args()
    databases = ["sqlite", "postgresql"] if find_postgresql() else ["sqlite"]
    passes = [run_pass(database, options.arguments) for database in databases]
    missing = find_missing()
    report(passes, missing)
    tested = [one.outcomes["passed"] > 0 for one in passes]
    good = all(one.ok for one in passes) and any(tested)
    complete = not missing and all(tested)
    return 0 if good and (complete or not options.require_all) else 1


if __name__ == "__main__":
    sys.exit(main())
