"""Measured: lines of a log, written one after the other as a sync writes them. Prints JSON: CPU seconds."""

from __future__ import annotations

import time

from bench.children.process import answer, read_options, spending

WARM_UP = 500


def main() -> None:
    """Write as many lines as the options say, each that of a request."""
    options = read_options()
    # After Django is set up, as models must be.
    from canvas.journal import write_request  # noqa: PLC0415
    from canvas.pages import RequestRecord  # noqa: PLC0415
    from syncmetrics.events import RunLog  # noqa: PLC0415

    log = RunLog(1, "bench", None)
    path = "/api/v1/courses/10000000000123/students/submissions"
    record = RequestRecord("GET", path, 200, 52.3, False, False, False, 48_000, ended_at=time.time())
    for _ in range(WARM_UP):
        write_request(log, record)
    with spending() as spent:
        for _ in range(options["lines"]):
            write_request(log, record)
    answer({"cpu": spent.cpu})


if __name__ == "__main__":
    main()
