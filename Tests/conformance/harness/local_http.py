"""A small HTTP server in threads on a free loopback port. The development peers are made of it."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Message
    body: bytes
    target: str = ""
    """Path and query as they came."""

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def json(value: Any, status: int = 200, **headers: str) -> "Answer":
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})

    @staticmethod
    def redirect(location: str) -> "Answer":
        return Answer(302, b"", {"Location": location})


class LocalServer:
    """A subclass answers `answer(request)`; it may be called from several threads at once."""

    hangs_up_on_reuse = False
    """Answers one request a connection, and reads a second one without a word, as a server does that closes just then."""

    def __init__(self, port: int = 0) -> None:
        """`port`: one that was chosen before; a free one when left out."""
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write an answer: no waiting for delayed acknowledgements
            timeout = 30
            was_used = False

            def handle_any(self) -> None:
                if self.was_used and peer.hangs_up_on_reuse:
                    self.close_connection = True
                    return
                self.was_used = True
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                query = parse_qsl(parts.query, keep_blank_values=True)
                asked = self.command, parts.path, query, self.headers, self.rfile.read(length), self.path
                answer = peer.answer(Request(*asked))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256

        self._server = Server(("127.0.0.1", port), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.origin = f"http://{self.host}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def url(self, path: str) -> str:
        return self.origin + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
