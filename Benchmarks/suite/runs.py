"""One run: a warm-up, the load, and what it cost. What a run shows is valid only if every answer was the one expected."""

import http.client
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from . import calls
from .calls import Requests
from .load import Aim, Load, fire
from .subjects import Subject
from .usage import cpu_seconds, resident_megabytes, settle

_WARM_UP_SECONDS = 1
_MARGIN = 1.5
"""How many more requests are made than the warm-up lets expect."""
_TRIES = 3
"""Before a run is given up whose requests do not last."""


@dataclass(frozen=True)
class Result:
    scenario: str
    engine: str
    nodes: int
    grants: int
    connections: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """CPU time of the subject's own processes, a request."""
    database_cpu_us: float | None
    """That of the database server."""
    per_commit: float | None
    """Requests that share a commit of the database server."""
    resident_mb: float
    """Of the largest process of its own, after the load."""
    problem: str | None = None

    @property
    def per_cpu_second(self) -> float:
        return 1e6 / self.cpu_us

    def json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """What a run is called, and how long it is."""

    scenario: str
    engine: str
    connections: int
    seconds: float
    grants: int = 0


def again_and_again(subject: Subject, case: Case, request: bytes, folder: Path) -> Result:
    """The same request, to a server that takes it any number of times."""
    file = folder / "requests"
    calls.write_one(file, request)
    aims = [Aim(subject.urls[0], file, case.connections, repeats=True)]
    fire(aims, _WARM_UP_SECONDS)
    return _measured(subject, case, aims)


def once_each(
    subject: Subject,
    case: Case,
    requests: Callable[[str], Requests],
    folder: Path,
    statuses: Sequence[int] = (200,),
    warm_up: int = 60_000,
) -> Result:
    """`requests`: for a node, by its address. Each of the nodes gets its share of the connections."""
    made = {url: requests(url) for url in subject.urls}
    for url, make in made.items():
        _try(url, make, statuses)
    share = math.ceil(case.connections / len(made))

    def aims(count: float) -> list[Aim]:
        found = []
        for number, (url, make) in enumerate(made.items()):
            file = folder / f"requests-{number}"
            calls.write(file, make, math.ceil(count / len(made)))
            found.append(Aim(url, file, share))
        return found

    warm = fire(aims(warm_up), _WARM_UP_SECONDS)
    count = sum(load.requests for load in warm) / _WARM_UP_SECONDS * case.seconds * _MARGIN + 500
    for _ in range(_TRIES):
        made_now = aims(count)
        settle([*subject.own, *subject.database])
        result = _measured(subject, case, made_now)
        if result.problem != _EXHAUSTED:
            break
        # The first second may be the slowest by far: nothing was remembered yet.
        count *= 4
    for aim in made_now:
        aim.file.unlink()
    return result


def _try(url: str, make: Requests, statuses: Sequence[int]) -> None:
    """Sends one request, so that what is wrong with it is seen."""
    [sent] = make(range(1))
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.connect()
    connection.sock.sendall(sent)
    answer = http.client.HTTPResponse(connection.sock, method="POST")
    answer.begin()
    body = answer.read()
    connection.close()
    if answer.status not in statuses:
        raise RuntimeError(
            f"{sent.split(b' ')[1].decode()} answered {answer.status}: {body[:500].decode(errors='replace')}"
        )


_EXHAUSTED = "all requests were used before the time was up"


def _measured(subject: Subject, case: Case, aims: Sequence[Aim]) -> Result:
    own, database = cpu_seconds(subject.own), cpu_seconds(subject.database)
    transactions = subject.transactions()
    loads = fire(aims, case.seconds)
    own, database = cpu_seconds(subject.own) - own, cpu_seconds(subject.database) - database
    requests = max(1, sum(load.requests for load in loads))
    commits = subject.transactions() - transactions
    return Result(
        scenario=case.scenario,
        engine=case.engine,
        nodes=len(subject.urls),
        grants=case.grants,
        connections=case.connections,
        per_second=sum(load.per_second for load in loads),
        # Nodes under the same load are as fast as each other; the slowest answers are those of the slowest.
        p50_ms=median(load.p50_ms for load in loads),
        p99_ms=max(load.p99_ms for load in loads),
        cpu_us=own / requests * 1e6,
        database_cpu_us=database / requests * 1e6 if subject.database else None,
        per_commit=requests / commits if commits > 0 else None,
        resident_mb=resident_megabytes(subject.own),
        problem=_problem(loads),
    )


def _problem(loads: Sequence[Load]) -> str | None:
    refused, broken = sum(load.refused for load in loads), sum(load.broken for load in loads)
    if any(load.is_exhausted for load in loads):
        return _EXHAUSTED
    if refused or broken:
        return f"{refused} answers of 400 and above, {broken} errors of connections"
    return None if all(load.requests for load in loads) else "no answer at all"


def middle(results: Sequence[Result]) -> Result:
    """The run with the median of the throughputs; what was wrong with any of them is wrong with it."""
    ordered = sorted(results, key=lambda result: result.per_second)
    problem = next((result.problem for result in results if result.problem), None)
    return replace(ordered[len(ordered) // 2], problem=problem)


def scratch() -> Path:
    """For files of requests: in memory where there is such a folder, as writing them to a disk would slow commits."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path("/var/tmp")
