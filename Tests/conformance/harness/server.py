"""The server under test: the real binary on a data folder, a storage and a port of its own."""

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import requests

from .canaries import canary
from .database import Database, Storage, new_storage
from .processes import Process
from .waiting import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("SALLYPORT_BIN") or REPOSITORY / ".build/debug/sallyport")


@dataclass(frozen=True)
class Operator:
    operator_id: str
    organization_id: str
    pat: str


class Server:
    def __init__(self, folder: Path, storage: Storage | None = None) -> None:
        """`storage`: one that others work on, too; a new one of the run's engine when left out."""
        self.data = folder / "data"
        self.storage = storage or new_storage(self.data)
        self.log = folder / "sallyport.log"
        self._stdout = folder / "sallyport.out"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: Process | None = None
        # What the shell of a developer says must not reach the server under test.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SALLYPORT_")}
        self._environment = {**inherited, **self.storage.settings}

    def start(
        self,
        descriptors: int | None = None,
        public_url: str | None = None,
        development: bool = True,
        trusted_proxies: str | None = None,
    ) -> None:
        """
        `descriptors`: how many files and connections the process may have open.
        `public_url`: what users reach it by, when that is another server in front of it.
        `trusted_proxies`: whose word on a caller's address it takes.
        """
        command = [BINARY, "serve", "--listen", f"127.0.0.1:{self._port}", "--data-dir", self.data]
        command += ["--development"] if development else []
        command += ["--public-url", public_url] if public_url else []
        if descriptors is not None:
            command = ["prlimit", f"--nofile={descriptors}:{descriptors}", *command]
        proxies = {"SALLYPORT_TRUSTED_PROXIES": trusted_proxies} if trusted_proxies else {}
        with self._stdout.open("wb") as stdout:
            process = self._process = Process(command, self.log, stdout, env={**self._environment, **proxies})

        said = "listening on"
        process.wait_until(lambda: said in self._stdout.read_text(), f"a line `{said} <url>` on standard output")

    def stop(self, timeout_seconds: float = 15) -> int:
        return self._process.stop(timeout_seconds)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

    def is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    def signal(self, number: int) -> int:
        """Sends a signal that ends the process; answers its exit code."""
        return self._process.signal(number)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self._port), timeout=60)

    @property
    def memory_mb(self) -> float:
        """What it has in memory now."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) / 1024

    @property
    def descriptors(self) -> int:
        """How many files and connections it has open."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def run(
        self, *arguments: str, typed: str = "", timeout_seconds: float = 30, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Another command of the binary, or a start that should end by itself; `typed` comes to its standard input."""
        return subprocess.run(
            [BINARY, *arguments],
            input=typed,
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    def restart(self) -> None:
        if self._process.is_running():
            self.stop()
        self.start()

    def create_operator(self, email: str = "operator@example.test") -> Operator:
        """By the command line, which works on the database directly, whether the server runs or not."""
        made = self.run("operator", "create", "--email", email, "--pat", "--data-dir", str(self.data))
        if made.returncode != 0:
            raise RuntimeError(f"operator create ended with {made.returncode}:\n{made.stdout}{made.stderr}")
        printed = json.loads(made.stdout)
        operator = Operator(printed["operator_id"], printed["organization_id"], printed["pat"])
        canary(operator.pat)
        return operator

    @property
    def database(self) -> Database:
        return self.storage.database

    @property
    def keys(self) -> Database:
        return self.storage.keys

    def left(self) -> dict[str, bytes]:
        """What is on the disk of its machine: the data folder but the master key, and what it printed."""
        stored = [path for path in self.data.rglob("*") if path.is_file() and path.name != "master.key"]
        printed = [path for path in (self.log, self._stdout) if path.exists()]
        return {path.name: path.read_bytes() for path in printed + stored}

    def stored(self) -> dict[str, bytes]:
        """Everything that it left, wherever its storage is."""
        return self.left() | self.storage.stored()

    def printed(self) -> str:
        """What it told on standard output since the last start."""
        return self._stdout.read_text() if self._stdout.exists() else ""

    def log_tail(self) -> str:
        return self._process.tail() if self._process else "(never started)"
