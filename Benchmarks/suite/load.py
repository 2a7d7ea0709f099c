"""The load generator: wrk, with one thread and the requests of a file."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("load.lua")
_TIMEOUT_SECONDS = 10
"""For one answer; the slowest peer takes a second when it is busy."""


@dataclass(frozen=True)
class Load:
    """What came of it. Percentiles are wrk's own, which count the requests that waited for a slow answer."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    """Answers of 400 and above."""
    broken: int
    """Connections that failed, and answers that did not come in time."""
    is_exhausted: bool
    """All requests of the file were used before the time was up: the figures say nothing."""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Aim:
    url: str
    file: Path
    connections: int
    repeats: bool = False
    """Sends the first request of the file again and again; else each of them once."""


def fire(aims: Sequence[Aim], seconds: float) -> list[Load]:
    """A generator for each aim, all at the same time."""
    running = [
        subprocess.Popen(_command(aim, seconds), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for aim in aims
    ]
    try:
        printed = [each.communicate(timeout=seconds + 60)[0] for each in running]
    finally:
        for each in running:
            each.kill()
            each.wait()
    return [_load(text) for text in printed]


def _command(aim: Aim, seconds: float) -> list[str]:
    options = [
        "-t1",
        f"-c{aim.connections}",
        f"-d{round(seconds)}s",
        f"--timeout={_TIMEOUT_SECONDS}s",
        "-s",
        str(_SCRIPT),
    ]
    return ["wrk", *options, aim.url, "--", "again" if aim.repeats else "once", str(aim.file)]


def _load(printed: str) -> Load:
    lines = [line.removeprefix("RESULT ") for line in printed.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"wrk ended without a result:\n{printed}")
    return Load(**json.loads(lines[0]))
