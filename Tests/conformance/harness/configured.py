"""Servers with settings of their own in the environment, and one whose clock can be turned."""

import subprocess
from pathlib import Path

from .database import Storage
from .server import Server

SOURCE = Path(__file__).with_name("shifted_clock.c")
DAY = 86_400


class ConfiguredServer(Server):
    def __init__(self, folder: Path, storage: Storage | None = None, **environment: str) -> None:
        super().__init__(folder, storage)
        self._environment |= environment


class ShiftedServer(ConfiguredServer):
    """The unmodified binary, and its commands, with `shifted_clock.c` between them and the time."""

    def __init__(self, folder: Path) -> None:
        library = folder / "shifted_clock.so"
        compiler = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
        subprocess.run([*compiler, "-o", library, SOURCE, "-ldl"], check=True)
        super().__init__(folder, LD_PRELOAD=str(library))

    def set_clock(self, days: float) -> None:
        """How far it is from the machine's, from the next start on; negative is the past."""
        self._environment["CLOCK_SHIFT_SECONDS"] = str(round(days * DAY))
