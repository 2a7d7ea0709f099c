"""What processes use: CPU time and memory, of a process and of all that came of it."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """The process and its descendants."""
    found = [root]
    for pid in found:
        # It may have ended just now.
        with suppress(OSError):
            threads = Path(f"/proc/{pid}/task").iterdir()
            found += [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time so far. What children used that have ended is in their parents' figures."""
    ticks = 0
    for pid in (pid for root in roots for pid in tree(root)):
        try:
            # The name before it may hold spaces.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS_PER_SECOND


def resident_megabytes(roots: Iterable[int]) -> float:
    """Of the largest of the processes: pages that several share would count several times in a sum."""
    return max(_resident(pid) for root in roots for pid in tree(root))


def _resident(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def settle(roots: Iterable[int], timeout_seconds: float = 20) -> None:
    """Waits until the processes have nothing left to do: what one run leaves behind must not slow the next one."""
    roots = list(roots)
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        before = cpu_seconds(roots)
        time.sleep(0.3)
        if cpu_seconds(roots) - before <= 0.02:
            return
