"""A server that dies at a chosen write: the unmodified binary with `kill_at_write.c` between it and its files."""

import mmap
import subprocess
import sys
from pathlib import Path

from .server import Server

SOURCE = Path(__file__).with_name("kill_at_write.c")

NEVER = sys.maxsize
"""A step that no server comes to: its steps are counted only."""

# The layout of the shared memory: three numbers of eight bytes, then a letter for each step.
_ARMED_AT, _COUNT, _TORN = range(3)
_KINDS_OFFSET, _KINDS_MAX = 24, 4096


class KillSwitch:
    """
    The memory shared with the server. A step is one call that changes a regular file, or makes a change durable: `w` a
    write, `t` a truncation, `s` a flush, `u` a deletion.
    """

    def __init__(self, folder: Path) -> None:
        self.library = folder / "kill_at_write.so"
        compiler = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
        subprocess.run([*compiler, "-o", self.library, SOURCE, "-ldl"], check=True)
        self.control = folder / "kill_at_write.control"
        self.control.write_bytes(bytes(_KINDS_OFFSET + _KINDS_MAX))
        with self.control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._fields = memoryview(self._map)[:_KINDS_OFFSET].cast("q")

    def arm(self, step: int, torn: bool = False) -> None:
        """The server dies at this step, the first from now on being 1. A torn write leaves half of its bytes."""
        self.disarm()
        self._map[_KINDS_OFFSET:] = bytes(_KINDS_MAX)
        self._fields[_COUNT] = 0
        self._fields[_TORN] = torn
        self._fields[_ARMED_AT] = step

    def disarm(self) -> None:
        self._fields[_ARMED_AT] = 0

    @property
    def count(self) -> int:
        """The steps since it was armed, with those that did not take place because the server died."""
        return self._fields[_COUNT]

    def kinds(self) -> str:
        """What the steps since then were, a letter each."""
        return self._map[_KINDS_OFFSET : _KINDS_OFFSET + min(self.count, _KINDS_MAX)].decode()


class MortalServer(Server):
    def __init__(self, folder: Path, switch: KillSwitch) -> None:
        super().__init__(folder)
        self.switch = switch
        self._environment |= {"LD_PRELOAD": str(switch.library), "KILL_AT_WRITE_CONTROL": str(switch.control)}

    def start(self, **options: object) -> None:
        self.switch.disarm()
        super().start(**options)

    def start_and_die_at(self, step: int) -> int:
        """Dies at a step of its start, or as soon as it listens. Answers how many steps there were."""
        self.switch.arm(step)
        try:
            super().start()
        except RuntimeError:
            if self.switch.count < step:
                raise
        steps = self.switch.count
        self.kill()
        return steps
