"""The null client: the same requests on kept-alive connections, bodies read and dropped. The floor."""

from __future__ import annotations

import http.client
import queue
import threading
from urllib.parse import urlsplit

from bench.children.process import answer, read_options, spending


class NullClient:
    """Reads every target once, `in_flight` at a time."""

    def __init__(self, url: str, token: str, targets: list[str]) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        self._targets: queue.SimpleQueue[str] = queue.SimpleQueue()
        for target in targets:
            self._targets.put(target)
        self.bodies: list[int] = []
        self.failures: list[str] = []

    def run(self, in_flight: int) -> None:
        """Read to the end."""
        threads = [threading.Thread(target=self._work) for _ in range(in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._host)
        while True:
            try:
                target = self._targets.get_nowait()
            except queue.Empty:
                return
            connection.request("GET", target, headers=self._headers)
            response = connection.getresponse()
            self.bodies.append(len(response.read()))
            if response.status != 200:
                self.failures.append(f"{response.status} for {target}")


def main() -> None:
    """Read `targets` from `url`; print what it took."""
    options = read_options(with_django=False)
    client = NullClient(options["url"], options["token"], options["targets"])
    with spending() as spent:
        client.run(options["in_flight"])
    if client.failures:
        raise SystemExit(f"{len(client.failures)} requests failed, the first: {client.failures[0]}")
    answer({"wall": spent.wall, "cpu": spent.cpu, "bytes": sum(client.bodies)})


if __name__ == "__main__":
    main()
