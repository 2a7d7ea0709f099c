"""Waiting for what happens in other processes, and finding ports for them."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(check: Callable[[], Value], what: str, timeout_seconds: float = 10) -> Value:
    """Asks `check` until it answers something true, and returns that."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        if found := check():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {timeout_seconds} s: {what}")
        time.sleep(0.05)
