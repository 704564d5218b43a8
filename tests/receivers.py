"""What alerts and reports are sent to in tests: a webhook and a mail server, on loopback."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
import time
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class _Running:
    """A server in a thread of its own, while the context is entered."""

    server: socketserver.BaseServer

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])


class Webhook(_Running):
    """Takes JSON by POST, and keeps it; answers `status`, after `delay` seconds."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.asked = 0
        self.status = 200
        self.delay = 0.0
        self.location = ""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.asked += 1
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(hook.delay)
                if hook.status == 200:
                    hook.got.append(body)
                self.send_response(hook.status)
                if hook.location:
                    self.send_header("Location", hook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """As apprise writes it, with a secret in it."""
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    @property
    def titles(self) -> list[str]:
        """What the messages were called."""
        return [one["title"] for one in self.got]


SECRET = "Xsecret4711path"


class MailServer(_Running):
    """Speaks as much SMTP as a client needs, and keeps the mails; refuses addresses in `refused`."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], EmailMessage]] = []
        self.refused: set[str] = set()
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.say("220 ready")
                to: list[str] = []
                for line in iter(self.rfile.readline, b""):
                    verb, _, rest = line.decode().strip().partition(" ")
                    if verb.upper() == "RCPT" and any(one in rest for one in sink.refused):
                        self.say("550 no such mailbox")
                    elif verb.upper() == "RCPT":
                        to.append(rest.partition("<")[2].partition(">")[0])
                        self.say("250 ok")
                    elif verb.upper() == "DATA":
                        self.say("354 go on")
                        sink.got.append((to, self.read_mail()))
                        to = []
                        self.say("250 taken")
                    elif verb.upper() == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 ok")

            def say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

            def read_mail(self) -> EmailMessage:
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                found = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                assert isinstance(found, EmailMessage)
                return found

        self.server = _ThreadingServer(("127.0.0.1", 0), Handler)


class _ThreadingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
