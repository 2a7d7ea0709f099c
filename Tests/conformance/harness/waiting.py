"""Waiting for what happens in other processes, and finding ports for them."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_PORTS_OF_A_WORKER = 5_000
_given: set[int] = set()


def free_port() -> int:
    """
    Below the ports that outgoing connections take for themselves: what is restarted finds its own free again. None is given
    twice, as some are taken only later; tests that run side by side have ports of their own, and other runs choose others.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 12_000 + worker % 4 * _PORTS_OF_A_WORKER
    while True:
        port = secrets.SystemRandom().randrange(first, first + _PORTS_OF_A_WORKER)
        if port in _given:
            continue
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        _given.add(port)
        return port


def eventually(check: Callable[[], Value], what: str, timeout_seconds: float = 10) -> Value:
    """Asks `check` until it answers something true, and returns that."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        if found := check():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {timeout_seconds} s: {what}")
        time.sleep(0.05)
