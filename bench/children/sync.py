"""One sync, measured: the product's own function in a process of its own."""

from __future__ import annotations

from typing import Any

from bench.children.process import answer, peak_memory_mb, read_options, spending


def main() -> None:
    """Sync as the options say (`models`, `courses`, `mode`); print what it took and what it did."""
    options = read_options()
    # After Django is set up, as models must be.
    from canvas.fetch_process import FetchProcess  # noqa: PLC0415
    from canvas.models import Connection  # noqa: PLC0415
    from canvas.sync import ALL_MODELS, SyncOptions, sync  # noqa: PLC0415

    connection = Connection.objects.get()
    asked: dict[str, Any] = {"courses": tuple(options.get("courses", ())), "mode": options["mode"]}
    peaks: list[float] = []
    stop = FetchProcess.stop

    def stop_and_tell(process: FetchProcess) -> None:
        peaks.extend(map(peak_memory_mb, process.pids))
        stop(process)

    FetchProcess.stop = stop_and_tell  # type: ignore[method-assign]
    with spending() as spent:
        run = sync(connection, SyncOptions(models=frozenset(options.get("models", ALL_MODELS)), **asked))
    answer(
        {
            "wall": run.total_duration_seconds,
            "cpu": spent.cpu,
            "peak_mb": peak_memory_mb() + sum(peaks),
            "run": run.to_dict(),
        }
    )


if __name__ == "__main__":
    main()
