"""Servers with settings of their own in the environment, and with something between them and the system."""

import subprocess
from pathlib import Path

from .database import Storage
from .server import Server

DAY = 86_400


class ConfiguredServer(Server):
    def __init__(self, folder: Path, storage: Storage | None = None, **environment: str) -> None:
        super().__init__(folder, storage)
        self._environment |= environment


def preloaded(folder: Path, name: str, *libraries: str) -> dict[str, str]:
    """The environment that puts `name`.c, beside this file, between the unmodified binary and the system."""
    library = folder / f"{name}.so"
    compiler = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror"]
    subprocess.run([*compiler, "-o", library, Path(__file__).with_name(f"{name}.c"), *libraries], check=True)
    return {"LD_PRELOAD": str(library)}


class ShiftedServer(ConfiguredServer):
    """With `shifted_clock.c` between it, and its commands, and the time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, **preloaded(folder, "shifted_clock", "-ldl"))

    def set_clock(self, days: float) -> None:
        """How far it is from the machine's, from the next start on; negative is the past."""
        self._environment["CLOCK_SHIFT_SECONDS"] = str(round(days * DAY))
