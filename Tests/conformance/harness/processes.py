"""A child process on a free port, with its output in a file."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import requests

from .waiting import eventually


class Process:
    """Started at once; `stop` ends it politely and answers its exit code."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, stdout: IO[bytes] | None = None, **options: object
    ) -> None:
        self.log = log
        with log.open("ab") as stderr:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=stdout or stderr,
                stderr=stderr,
                **options,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_running(self) -> bool:
        return self._child.poll() is None

    def wait_until(self, check: Callable[[], bool], what: str, timeout_seconds: float = 30) -> None:
        """Waits for the process to be ready; one that does not get there is ended."""

        def is_ready() -> bool:
            if not self.is_running():
                raise RuntimeError(f"{self._child.args[0]} ended with {self._child.returncode}:\n{self.tail()}")
            return check()

        try:
            eventually(is_ready, what, timeout_seconds)
        except BaseException:
            self.kill()
            raise

    def wait_for_url(self, url: str) -> None:
        def answers() -> bool:
            try:
                return requests.get(url, timeout=5).ok
            except requests.RequestException:
                return False

        self.wait_until(answers, f"an answer from {url}", timeout_seconds=60)

    def stop(self, timeout_seconds: float = 15) -> int:
        self._child.terminate()
        try:
            return self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            raise

    def signal(self, number: int, timeout_seconds: float = 10) -> int:
        self._child.send_signal(number)
        return self.wait(timeout_seconds)

    def wait(self, timeout_seconds: float = 10) -> int:
        """For an end that somebody else asked for."""
        return self._child.wait(timeout_seconds)

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
