"""Instructions of the hot path, counted by callgrind: a figure that noise does not move."""

import http.client
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.server import BINARY

from .calls import Requests
from .databases import SQLite
from .installation import Installation
from .scenarios import SCENARIOS

_SHIM = Path(__file__).with_name("writable_mask.c")
_OUTPUT = "callgrind.out"
_WARM_UP = _COUNTED = 500
_CONNECTIONS = 1, 64
_SHOWN, _NAME_MAX = 15, 100
"""Functions in a table, and the characters of their names."""
_SCENARIOS = ("retrieve-grant", "retrieve-known-es256", "retrieve-first-es256")


@dataclass(frozen=True)
class Count:
    scenario: str
    connections: int
    per_request: int
    functions: list[tuple[str, float]]
    """Those that took most, each with its share; what it called is not in it."""


@dataclass(frozen=True)
class Instructions:
    counts: list[Count]

    def json(self) -> list[dict[str, object]]:
        return [asdict(count) for count in self.counts]

    def markdown(self) -> str:
        lines = [f"| Instructions, {_COUNTED} requests | connections | a request |", "|---|--:|--:|"]
        lines += [f"| {count.scenario} | {count.connections} | {count.per_request:,} |" for count in self.counts]
        for count in self.counts:
            called = f"{count.scenario}, {count.connections} connections"
            lines += ["", f"| Share | Function, in {called} |", "|--:|---|"]
            lines += [f"| {share:.1f} % | `{name}` |" for name, share in count.functions]
        return "\n".join([*lines, ""])


def count(folder: Path, kept: Path, names: Sequence[str] = _SCENARIOS) -> Instructions:
    """On SQLite, with a thousand grants. `folder`: for data. `kept`: for callgrind's own files, a scenario each."""
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    with Installation(SQLite(), folder) as vault:
        vault.stop()
        node = vault.nodes[0]
        command = [
            "serve",
            "--development",
            "--data-dir",
            node.data,
            "--listen",
            urlsplit(node.url).netloc,
            "--public-url",
            node.url,
        ]
        with (folder / "valgrind.log").open("wb") as log:
            process = subprocess.Popen(
                _under_valgrind(folder, command), env=_environment(folder), stdout=log, stderr=log
            )
        try:
            _wait(node.url, process)
            counts = []
            for name in names:
                for connections in _CONNECTIONS:
                    requests = by_name[name].requests(vault, node.url)
                    dump = _dump(requests, node.url, process.pid, folder, connections)
                    kept.mkdir(parents=True, exist_ok=True)
                    file = Path(shutil.move(dump, kept / f"{name}-{connections}.callgrind"))
                    counts.append(_read(name, connections, file))
            return Instructions(counts)
        finally:
            process.kill()
            process.wait()


def _under_valgrind(folder: Path, command: list[object]) -> list[object]:
    binary = folder / "sallyport"
    # It gives up on debug information that is newer than itself; the names of functions are enough.
    subprocess.run(["strip", "--strip-debug", "-o", binary, BINARY], check=True)
    # Counting begins and ends when callgrind_control says so.
    options = ["--instr-atstart=no", f"--callgrind-out-file={folder}/{_OUTPUT}", _control_files(folder)]
    return ["valgrind", "--tool=callgrind", *options, binary, *command]


def _control_files(folder: Path) -> str:
    return f"--vgdb-prefix={folder}/vgdb"


def _environment(folder: Path) -> dict[str, str]:
    library = folder / "writable_mask.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, _SHIM, "-ldl"], check=True)
    # With back-traces on, the server would replace itself by a process that nobody looks at.
    return {**os.environ, "SWIFT_BACKTRACE": "enable=no", "LD_PRELOAD": str(library)}


def _wait(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not come up under valgrind")
        time.sleep(0.2)


def _dump(requests: Requests, url: str, pid: int, folder: Path, connections: int) -> Path:
    """Where callgrind wrote what the requests took."""
    for _ in range(2):
        _send(url, requests, _WARM_UP, connections)
    _control(folder, pid, "--instr=on")
    _send(url, requests, _COUNTED, connections)
    _control(folder, pid, "--instr=off")
    _control(folder, pid, "--dump")
    # It numbers them; the file without a number is for its end.
    [dump] = folder.glob(f"{_OUTPUT}.*")
    return dump


def _control(folder: Path, pid: int, option: str) -> None:
    subprocess.run(
        ["callgrind_control", _control_files(folder), option, str(pid)], capture_output=True, check=True, timeout=120
    )


def _send(url: str, requests: Requests, count: int, connections: int) -> None:
    """As many together as there are connections: over one, each has a commit of its own; of many, most share theirs."""
    opened = [http.client.HTTPConnection(urlsplit(url).netloc, timeout=60) for _ in range(connections)]
    try:
        for connection in opened:
            connection.connect()
        sent = list(requests(range(count)))
        for at in range(0, count, connections):
            together = list(zip(opened, sent[at : at + connections], strict=False))
            for connection, request in together:
                connection.sock.sendall(request)
            for connection, _ in together:
                answer = http.client.HTTPResponse(connection.sock, method="POST")
                answer.begin()
                body = answer.read()
                if answer.status != http.client.OK:
                    raise RuntimeError(f"answered {answer.status}: {body[:300].decode(errors='replace')}")
    finally:
        for connection in opened:
            connection.close()


def _read(name: str, connections: int, dump: Path) -> Count:
    printed = subprocess.run(
        ["callgrind_annotate", "--threshold=95", dump], capture_output=True, text=True, check=True
    ).stdout
    readable = subprocess.run(
        ["swift", "demangle", "--simplified"], input=printed, capture_output=True, text=True, check=True
    ).stdout
    total, functions = 0, []
    for line in readable.splitlines():
        found = re.match(r"\s*([\d,]+) \(\s*([\d.]+)%\)\s+(.*)", line)
        if not found:
            continue
        cost, share, what = int(found[1].replace(",", "")), float(found[2]), found[3]
        if what.startswith("PROGRAM TOTALS"):
            total = cost
        else:
            functions.append((_named(what), share))
    return Count(name, connections, round(total / _COUNTED), functions[:_SHOWN])


def _named(what: str) -> str:
    """The function, without the file and the library that it is in; what is longer than a line says no more."""
    name = re.sub(r"\s*\[[^\]]*\]$", "", what).partition(":")[2] or what
    return name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 1] + "…"
