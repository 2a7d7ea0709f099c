"""The figures that releases are held to, and whether they hold."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from .plan import MAIN, MANY_GRANTS, PEER_CONNECTIONS, USUAL_CONNECTIONS
from .runs import Result
from .suite import BARE, Findings

_SHARE_OF_BARE = 0.4
_LATENCY_FACTOR = 3
_SHARE_OF_SIGNATURES = 0.75
_TIMES_BARBICAN = 200
_SHARE_ON_POSTGRESQL = 0.6
_FLAT = 0.85
_IDLE_MB = 60
_READY_SECONDS = 1

_SQLITE, _POSTGRESQL = "SQLite", "PostgreSQL"


@dataclass(frozen=True)
class Goal:
    text: str
    measured: str | None
    """Nothing where a run is missing that it needs."""
    is_held: bool = False
    is_partial: bool = False
    """Not measured as far as it goes."""

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        return ("held" if self.is_held else "**not held**") + (" as far as measured" if self.is_partial else "")

    def json(self) -> dict[str, object]:
        return {"goal": self.text, "measured": self.measured, "verdict": self.verdict.replace("*", "")}


def goals(findings: Findings) -> list[Goal]:
    flat = [_flat(engine) for engine in (_SQLITE, _POSTGRESQL)]
    return [
        judge(findings) for judge in (_throughput, _latency, _signatures, _barbican, _postgresql, *flat, _idle, _ready)
    ]


def _throughput(findings: Findings) -> Goal:
    text = f"A retrieval with a known JWT: at least {_SHARE_OF_BARE} × the bare server's throughput, {USUAL_CONNECTIONS} connections"
    vault, bare = findings.find(MAIN, _SQLITE), findings.find(BARE)
    if not vault or not bare:
        return Goal(text, None)
    share = vault.per_second / bare.per_second
    return Goal(text, f"{share:.2f} × ({vault.per_second:,.0f}/s of {bare.per_second:,.0f}/s)", share >= _SHARE_OF_BARE)


def _latency(findings: Findings) -> Goal:
    text = f"Its median latency at one connection: under {_LATENCY_FACTOR} × the bare server's and one durable commit"
    vault, bare = findings.find(MAIN, _SQLITE, connections=1), findings.find(BARE, connections=1)
    if not vault or not bare:
        return Goal(text, None)
    limit = _LATENCY_FACTOR * bare.p50_ms + findings.commit_ms
    measured = f"{vault.p50_ms:.2f} ms, limit {limit:.2f} ms ({_LATENCY_FACTOR} × {bare.p50_ms:.3f} + {findings.commit_ms:.2f})"
    return Goal(text, measured, vault.p50_ms < limit)


def _signatures(findings: Findings) -> Goal:
    text = f"A first sight of an ES256 token: at least {_SHARE_OF_SIGNATURES} × the verifications that the cores can do"
    vault = findings.find("retrieve-first-es256", _SQLITE)
    if not vault:
        return Goal(text, None)
    limit = findings.verifications["ES256"] * (os.cpu_count() or 1)
    share = vault.per_second / limit
    one = 1e6 / findings.verifications["ES256"]
    measured = f"{share:.2f} × ({vault.per_second:,.0f}/s of {limit:,.0f}/s; a request takes {vault.cpu_us:.0f} µs, verifying {one:.0f})"
    return Goal(text, measured, share >= _SHARE_OF_SIGNATURES)


def _barbican(findings: Findings) -> Goal:
    text = f"A retrieval with a known JWT: at least {_TIMES_BARBICAN} × barbican's reads of a stored secret, {PEER_CONNECTIONS} connections"
    vault = findings.find(MAIN, _SQLITE, connections=PEER_CONNECTIONS)
    peer = findings.find("barbican", connections=PEER_CONNECTIONS)
    if not vault or not peer:
        return Goal(text, None)
    times = vault.per_second / peer.per_second
    measured = f"{times:.0f} × ({vault.per_second:,.0f}/s and {peer.per_second:.0f}/s)"
    return Goal(text, measured, times >= _TIMES_BARBICAN)


def _postgresql(findings: Findings) -> Goal:
    text = f"On PostgreSQL: at least {_SHARE_ON_POSTGRESQL} × the requests of a CPU second of the vault's own processes on SQLite"
    ours, sqlite = findings.find(MAIN, _POSTGRESQL), findings.find(MAIN, _SQLITE)
    if not ours or not sqlite:
        return Goal(text, None)
    share = ours.per_cpu_second / sqlite.per_cpu_second
    measured = f"{share:.2f} × ({ours.per_cpu_second:,.0f} of {sqlite.per_cpu_second:,.0f}; "
    measured += f"a request takes {ours.cpu_us:.0f} µs, and the database {ours.database_cpu_us:.0f} beside it)"
    return Goal(text, measured, share >= _SHARE_ON_POSTGRESQL)


def _flat(engine: str) -> Callable[[Findings], Goal]:
    def goal(findings: Findings) -> Goal:
        text = (
            f"On {engine}, from a thousand to {MANY_GRANTS:,} grants: no throughput below {_FLAT} × that of a thousand"
        )
        levels = findings.all_of(MAIN, engine)
        if len(levels) < 2:
            return Goal(text, None)
        lowest = min(level.per_second for level in levels[1:]) / levels[0].per_second
        measured = f"{lowest:.2f} × ({', '.join(_level(level) for level in levels)})"
        return Goal(text, measured, lowest >= _FLAT, is_partial=levels[-1].grants < MANY_GRANTS)

    return goal


def _level(result: Result) -> str:
    return f"{result.grants:,}: {result.per_second:,.0f}/s"


def _idle(findings: Findings) -> Goal:
    text = f"Memory when idle: under {_IDLE_MB} MB"
    if not findings.starts:
        return Goal(text, None)
    largest = max(start.idle_mb for start in findings.starts)
    measured = ", ".join(
        f"{start.engine} with {start.grants:,} grants {start.idle_mb:.0f} MB" for start in findings.starts
    )
    return Goal(
        text, measured, largest < _IDLE_MB, is_partial=max(start.grants for start in findings.starts) < MANY_GRANTS
    )


def _ready(findings: Findings) -> Goal:
    text = f"Ready to serve: under {_READY_SECONDS} s, with {MANY_GRANTS:,} grants"
    if not findings.starts:
        return Goal(text, None)
    most = max(start.grants for start in findings.starts)
    slowest = max(start.ready_seconds for start in findings.starts)
    measured = ", ".join(
        f"{start.engine} with {start.grants:,} grants {start.ready_seconds:.2f} s" for start in findings.starts
    )
    return Goal(text, measured, slowest < _READY_SECONDS, is_partial=most < MANY_GRANTS)
