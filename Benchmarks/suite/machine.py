"""What the machine is, and what it can do at most."""

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from harness.server import BINARY

BENCHMARKS = BINARY.with_name("VaultBenchmarks")

_COMMITS = 400


def facts(folder: Path) -> dict[str, str]:
    """`folder`: where the data is."""
    processor = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = int(_lines("/proc/meminfo")[0].split()[1]) / 2**20
    file_system = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": f"{processor}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{_system()}, Linux {platform.release()}",
        "file system": file_system.stdout.strip() or "unknown",
        "load generator": _first_line("wrk", "-v").partition("[")[0].replace("debian/", "").strip()
        + ", 1 thread, on the same cores",
        "nginx": _first_line("nginx", "-v").rpartition("/")[2],
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _system() -> str:
    named = dict(line.split("=", 1) for line in _lines("/etc/os-release") if "=" in line)
    return named.get("PRETTY_NAME", "Linux").strip('"')


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def missing(counts: bool) -> list[str]:
    """What the suite needs and does not find. `counts`: whether instructions are to be counted."""
    binaries = [binary for binary in (BINARY, BINARY.with_name("BareServer"), BENCHMARKS) if not binary.exists()]
    programs = ["wrk", "nginx", *(["valgrind", "strip"] if counts else [])]
    return [*map(str, binaries), *(program for program in programs if shutil.which(program) is None)]


def stolen_share(since: tuple[int, int] | None = None) -> tuple[tuple[int, int], float]:
    """The share of time that the host gave to others; the first answer is what to ask with the next time."""
    fields = [int(field) for field in _lines("/proc/stat")[0].split()[1:9]]
    now = (fields[7], sum(fields))
    before = since or (0, 0)
    return now, (now[0] - before[0]) / max(1, now[1] - before[1])


def commit_ms(folder: Path) -> float:
    """One durable commit of SQLite: a row as large as an audit record, in a table with indexes like its own."""
    path = folder / "commit.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "CREATE TABLE records (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, grant_id TEXT, record TEXT NOT NULL)",
            "CREATE INDEX records_by_grant ON records (grant_id, position)",
        ):
            database.execute(statement).fetchall()
        times = []
        for number in range(_COMMITS):
            started = time.perf_counter()
            row = (f"{number * 7919 % 4096:08x}-{number}", f"grant-{number % 100}", "x" * 900)
            database.execute("INSERT INTO records (id, grant_id, record) VALUES (?, ?, ?)", row)
            times.append(time.perf_counter() - started)
    for file in folder.glob("commit.db*"):
        file.unlink()
    return median(times) * 1000


def verifications_per_second() -> dict[str, int]:
    """Of user tokens, by one thread and algorithm, with the vault's own verifier."""
    done = subprocess.run([BENCHMARKS, "signatures"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
