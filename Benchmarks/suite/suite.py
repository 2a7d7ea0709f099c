"""Carries a plan out, and keeps what it found."""

import http.client
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.signer import RawRequest

from . import machine
from .calls import plain
from .databases import Database, PostgreSQL, SQLite
from .installation import Installation
from .peers import Barbican, ContextForge
from .plan import ENGINES, PEER_CONNECTIONS, USUAL_CONNECTIONS, Plan, Stage
from .runs import Case, Result, again_and_again, middle, once_each, scratch
from .scenarios import SCENARIOS
from .subjects import BareServer, Nginx, Peer
from .usage import resident_megabytes

_IDLE_SECONDS = 3
_DISK_BYTES_PER_GRANT = 3500
"""With what sorting an index of them takes for the moment."""
_SLOW_TO_SIGN, _SHORTENED = "retrieve-first-rs256", 3
"""Its requests take longer to make than to answer, so that its runs are a third as long."""
BARE, BARE_SAME, NGINX = "bare server", "bare server, the vault's requests", "nginx"


@dataclass(frozen=True)
class Start:
    """What a start took, and the memory of the process some seconds later."""

    engine: str
    grants: int
    ready_seconds: float
    idle_mb: float


@dataclass
class Findings:
    facts: dict[str, str]
    commit_ms: float = 0.0
    verifications: dict[str, int] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""

    def all_of(self, scenario: str, engine: str = "", connections: int = USUAL_CONNECTIONS) -> list[Result]:
        """The valid ones of one process, the one with the fewest grants first."""
        wanted = (scenario, engine, 1, connections, None)
        found = [
            each
            for each in self.results
            if (each.scenario, each.engine, each.nodes, each.connections, each.problem) == wanted
        ]
        return sorted(found, key=lambda result: result.grants)

    def find(self, scenario: str, engine: str = "", connections: int = USUAL_CONNECTIONS) -> Result | None:
        return next(iter(self.all_of(scenario, engine, connections)), None)


@dataclass
class Reference:
    """What the vault is held against, with the runs so far."""

    measure: Callable[[], Result]
    runs: list[Result] = field(default_factory=list)


class Suite:
    def __init__(self, plan: Plan, folder: Path, cache: Path) -> None:
        """`folder`: for data, on a real disk. `cache`: for what is kept for the next time."""
        self._plan = plan
        self._folder = folder
        self._cache = cache
        self.findings = Findings(machine.facts(folder))
        self._scratch = Path(tempfile.mkdtemp(prefix="bench-requests-", dir=scratch()))
        self._references: list[Reference] = []

    def close(self) -> None:
        shutil.rmtree(self._scratch)

    def run(self) -> None:
        stolen, _ = machine.stolen_share()
        self.findings.commit_ms = machine.commit_ms(self._folder)
        self.findings.verifications = machine.verifications_per_second()
        found = self.findings
        _say(f"one durable commit: {found.commit_ms:.2f} ms; verified in a second: {found.verifications}")
        with ExitStack() as undo:
            for engine in self._plan.engines:
                with self._installation(engine) as vault:
                    if not self._references:
                        self._prepare_references(vault, undo)
                        self._measure_references()
                    for stage in (stage for stage in self._plan.stages if stage.engine == engine):
                        self._stage(vault, stage)
            if self._plan.repeat > 1:
                # Machines change within an hour: once more, and the middle of all of them counts.
                self._measure_references()
        self.findings.facts["time that the host gave to others"] = f"{machine.stolen_share(stolen)[1]:.1%}"

    # What the vault is held against

    def _prepare_references(self, vault: Installation, undo: ExitStack) -> None:
        """They stay, as they cost nothing while nobody asks them."""
        answer = _token_answer(vault)
        bare = undo.enter_context(BareServer(self._folder, answer))
        nginx = undo.enter_context(Nginx(self._folder, answer))
        sent = _token_call(vault)
        same = plain(bare.urls[0], "POST", sent.body, **dict(sent.headers))
        for connections in self._plan.connections:
            self._add_reference(BARE, bare, plain(bare.urls[0]), connections)
        self._add_reference(BARE_SAME, bare, same, USUAL_CONNECTIONS)
        self._add_reference(NGINX, nginx, plain(nginx.urls[0]), USUAL_CONNECTIONS)
        for make in (Barbican, ContextForge):
            if make.name in self._plan.peers:
                # They are measured once, and then end: their processes are large.
                with make(self._folder, self._cache) as peer:
                    case = Case(peer.name, "", PEER_CONNECTIONS, self._plan.seconds)
                    self._keep([self._reference_run(peer, case, peer.call) for _ in range(self._plan.repeat)])

    def _add_reference(self, name: str, peer: Peer, request: bytes, connections: int) -> None:
        case = Case(name, "", connections, self._plan.seconds)
        self._references.append(Reference(partial(self._reference_run, peer, case, request)))

    def _reference_run(self, peer: Peer, case: Case, request: bytes) -> Result:
        return again_and_again(peer, case, request, self._scratch)

    def _measure_references(self) -> None:
        for reference in self._references:
            if reference.runs:
                self.findings.results.remove(middle(reference.runs))
            reference.runs += [reference.measure() for _ in range(self._plan.repeat)]
            self._keep(reference.runs)

    # The vault

    @contextmanager
    def _installation(self, engine: str) -> Iterator[Installation]:
        with ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(dir=self._folder)))
            database: Database = SQLite() if engine == "sqlite" else undo.enter_context(PostgreSQL())
            started = time.monotonic()
            vault = undo.enter_context(Installation(database, folder))
            _say(f"{ENGINES[engine]}: {vault.grants} grants were connected in {time.monotonic() - started:.0f} s")
            # Setting it up left more in its memory than an idle process has.
            vault.restart()
            self._note_start(vault)
            yield vault

    def _note_start(self, vault: Installation) -> None:
        time.sleep(_IDLE_SECONDS)
        start = Start(vault.name, vault.grants, vault.ready_seconds, resident_megabytes(vault.own))
        self.findings.starts.append(start)
        what = f"ready after {start.ready_seconds:.2f} s, {start.idle_mb:.0f} MB when idle"
        _say(f"{vault.name}, {vault.grants:,} grants: {what}")

    def _stage(self, vault: Installation, stage: Stage) -> None:
        if stage.grants > vault.grants:
            needed, free = stage.grants * _DISK_BYTES_PER_GRANT, shutil.disk_usage(self._folder).free
            if free < needed:
                note = f"{stage.grants:,} grants on {vault.name} were left out: "
                note += f"they need {needed / 1e9:.0f} GB of disk, and {free / 1e9:.0f} are free."
                self.findings.notes.append(note)
                _say(note)
                return
            _say(f"{vault.name}: filled up to {stage.grants:,} grants in {vault.fill(stage.grants):.0f} s")
            self._note_start(vault)
        if stage.nodes != len(vault.nodes):
            vault.scale(stage.nodes)
        by_name = {scenario.name: scenario for scenario in SCENARIOS}
        for name, connections in stage.runs:
            scenario = by_name[name]
            seconds = round(self._plan.seconds / _SHORTENED) if name == _SLOW_TO_SIGN else self._plan.seconds
            case = Case(name, vault.name, connections, seconds, vault.grants)
            requests = partial(scenario.requests, vault)
            measure = partial(once_each, vault, case, requests, self._scratch, scenario.statuses, scenario.warm_up)
            self._keep([measure() for _ in range(self._plan.repeat)])

    def _keep(self, runs: list[Result]) -> None:
        result = middle(runs)
        self.findings.results.append(result)
        named = [result.engine, *([f"{result.grants:,} grants"] if result.grants else [])]
        named += [f"{result.nodes} nodes"] if result.nodes > 1 else []
        named += [result.scenario, f"{result.connections} connections"]
        _say(f"{', '.join(filter(None, named))}: {_figures(result)}")


def _figures(result: Result) -> str:
    if result.problem:
        return f"INVALID, {result.problem}"
    return f"{result.per_second:,.0f}/s, p50 {result.p50_ms:.2f} ms, {result.cpu_us:.0f} µs"


def _token_call(vault: Installation) -> RawRequest:
    """A retrieval, signed."""
    grant = vault.connected[0]
    jwt = vault.world.jwt(grant.user.partition("|")[2])
    call = {"method": "GET", "url": vault.world.echo}
    body = {"provider_id": grant.provider_id, "user_token": jwt, "request": call}
    return vault.world.signer().request("POST", "/sdk/token", body)


def _token_answer(vault: Installation) -> bytes:
    """What it answers, with nothing in it that anybody keeps secret."""
    answer = _token_call(vault).send()
    assert answer.status == http.client.OK, answer.body
    told = json.loads(answer.body)
    return answer.body.replace(told["access_token"].encode(), b"x" * len(told["access_token"]))


def _say(line: str) -> None:
    print(f"  {line}", flush=True)
