"""Waiting for what happens in other processes, and finding ports for them."""

import secrets
import socket
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def free_port() -> int:
    """
    Below the ports that outgoing connections take for themselves: what is restarted finds its own free again. At random,
    as tests run in several processes.
    """
    while True:
        port = secrets.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
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
