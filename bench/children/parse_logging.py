"""A measured parse of a users file, with the log of its run or without; nothing of it needs a database."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import django

from bench.children.process import answer, peak_memory_mb, read_options, spending


def main() -> None:
    """Read the options, parse once, print what it took."""
    options = read_options(with_django=False)
    folder = Path(options["folder"])
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "EASEL_ENV_FILE": os.devnull,
        "EASEL_VAR_DIR": str(folder),
    }
    django.setup()
    answer(measured(folder / "users.csv", with_log=options["with_log"]))


def measured(path: Path, *, with_log: bool) -> dict[str, float]:
    """Parse a file; in both cases its findings are counted, kept and listed."""
    import logging  # noqa: PLC0415 - after Django's own set-up

    from parselogs.dispatch import current_sink  # noqa: PLC0415
    from parselogs.heartbeat import Heartbeat  # noqa: PLC0415
    from parselogs.models import ParseFileMeta  # noqa: PLC0415
    from parselogs.parsers import Upload, parse  # noqa: PLC0415
    from parselogs.report import RunReport  # noqa: PLC0415
    from parselogs.runlog import run_log  # noqa: PLC0415

    run = ParseFileMeta(uuid=uuid4(), attempt=1)
    upload = Upload(path.name, path.stat().st_size, lambda: path.open("rb"))
    stored = 0
    with run_log(run.uuid) as log:
        if not with_log:
            current_sink.set(None)
            logging.disable()
        report = RunReport(run, Heartbeat(run))
        with spending() as spent:
            parse(upload, report)
            report.list.close()
            if with_log:
                stored = len(log.spool.read().compressed())
        log.spool.delete()
    return {
        "cpu": spent.cpu,
        "wall": spent.wall,
        "rows": report.totals()[0],
        "stored": stored,
        "memory": peak_memory_mb(),
    }


if __name__ == "__main__":
    main()
