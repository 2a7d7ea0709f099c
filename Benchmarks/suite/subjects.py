"""What is put under load beside the vault: the least that its framework can do, and the least that any server can do."""

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import requests
from harness.processes import Process
from harness.server import BINARY
from harness.waiting import free_port

from .usage import tree

BARE_SERVER = BINARY.with_name("BareServer")

_START_SECONDS = 120
"""The slowest of them takes half a minute."""


class Subject(Protocol):
    name: str

    @property
    def urls(self) -> Sequence[str]:
        """Of its processes; they share the load."""

    @property
    def own(self) -> Sequence[int]:
        """Its processes."""

    @property
    def database(self) -> Sequence[int]:
        """Those of a database server that works for it."""

    def transactions(self) -> int:
        """That write, begun by the database server so far; 0 where there is no such server."""


class Peer:
    """A server of one address, started by `with`."""

    name: str
    path = "/json"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.database: Sequence[int] = ()
        self._process: Process | None = None

    @property
    def urls(self) -> Sequence[str]:
        return [self.origin + self.path]

    @property
    def own(self) -> Sequence[int]:
        return tree(self._process.pid)

    def transactions(self) -> int:
        return 0

    def start(self, command: Sequence[str | Path], ready: str | None = None, **options: object) -> None:
        """`ready`: the path that answers once it serves."""
        address = self.origin + (ready or self.path)

        def answers() -> bool:
            try:
                return requests.get(address, timeout=30).ok
            except requests.RequestException:
                return False

        self._process = Process(command, self.folder / "log", cwd=self.folder, **options)
        self._process.wait_until(answers, f"an answer from {address}", timeout_seconds=_START_SECONDS)

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.is_running():
            self._process.stop()


class BareServer(Peer):
    """Hummingbird, with nothing behind it."""

    name = "bare server"

    def __init__(self, folder: Path, answer: bytes) -> None:
        super().__init__(folder)
        self._answer = self.folder / "answer.json"
        self._answer.write_bytes(answer)

    def __enter__(self) -> "BareServer":
        self.start([BARE_SERVER, str(self.port), self._answer])
        return self


class Nginx(Peer):
    name = "nginx"

    def __init__(self, folder: Path, answer: bytes) -> None:
        super().__init__(folder)
        text = answer.decode().replace("\\", "\\\\").replace("'", "\\'")
        assert "$" not in text, "nginx would take what follows a dollar for a variable"
        self._configuration = self.folder / "nginx.conf"
        self._configuration.write_text(f"""
daemon off;
worker_processes 1;
error_log {self.folder}/error.log;
pid {self.folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    default_type application/json;
    server {{
        listen 127.0.0.1:{self.port};
        location / {{ return 200 '{text}'; }}
    }}
}}
""")

    def __enter__(self) -> "Nginx":
        self.start(["nginx", "-p", self.folder, "-e", self.folder / "error.log", "-c", self._configuration])
        return self


def venv(cache: Path, *packages: str) -> Path:
    """The folder of programs of a virtual environment with these packages, kept for the next time."""
    folder = cache / packages[0].partition("=")[0]
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        print(f"  installing {packages[0]} in {folder}", flush=True)
        with ExitStack() as undo:
            undo.callback(lambda: subprocess.run(["rm", "-rf", folder], check=False))
            subprocess.run(["python3", "-m", "venv", "--clear", folder], check=True)
            subprocess.run(
                [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True
            )
            undo.pop_all()
        stamp.write_text("\n".join(packages))
    return folder / "bin"
