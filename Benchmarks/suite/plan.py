"""Which runs there are: the quick ones, all of them, or those that somebody asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from .scenarios import SCENARIOS

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
CONNECTIONS = [1, 8, 64, 256]
MAIN = "retrieve-known-es256"
"""The scenario that most goals are about."""
USUAL_CONNECTIONS = 64
"""At which everything is measured: both cores are busy, and nobody waits long."""
PEER_CONNECTIONS = 8
REAL_GRANTS = 1000
MANY_GRANTS = 10_000_000

_NAMES = [scenario.name for scenario in SCENARIOS]


@dataclass(frozen=True)
class Stage:
    """Runs of one installation as it then is."""

    engine: str
    nodes: int
    grants: int
    runs: tuple[tuple[str, int], ...]
    """Scenario and connections of each."""


@dataclass(frozen=True)
class Plan:
    stages: tuple[Stage, ...]
    seconds: float
    repeat: int
    peers: tuple[str, ...]

    @property
    def engines(self) -> list[str]:
        return list(dict.fromkeys(stage.engine for stage in self.stages))

    @property
    def connections(self) -> list[int]:
        """All that there are, for what the vault is held against."""
        return sorted({connections for stage in self.stages for _, connections in stage.runs})


def quick() -> Plan:
    others = tuple((name, USUAL_CONNECTIONS) for name in _NAMES if name != MAIN)
    main = tuple((MAIN, connections) for connections in CONNECTIONS)
    usual = ((MAIN, USUAL_CONNECTIONS),)
    stages = (
        Stage("sqlite", 1, REAL_GRANTS, main + others),
        Stage("sqlite", 1, 100_000, usual),
        Stage("postgresql", 1, REAL_GRANTS, ((MAIN, 1), *usual)),
        Stage("postgresql", 3, REAL_GRANTS, usual),
    )
    return Plan(stages, seconds=3, repeat=1, peers=("barbican",))


def full(grants_max: int = MANY_GRANTS) -> Plan:
    every = tuple((name, connections) for name in _NAMES for connections in CONNECTIONS)
    usual = tuple((name, USUAL_CONNECTIONS) for name in _NAMES)
    retrieve = tuple((name, USUAL_CONNECTIONS) for name in (MAIN, "retrieve-grant"))
    stages = []
    for engine in ENGINES:
        stages.append(Stage(engine, 1, REAL_GRANTS, every))
        if engine == "postgresql":
            stages.append(Stage(engine, 3, REAL_GRANTS, usual))
        stages += [
            Stage(engine, 1, grants, retrieve) for grants in (100_000, 1_000_000, MANY_GRANTS) if grants <= grants_max
        ]
    return Plan(tuple(stages), seconds=5, repeat=3, peers=("barbican", "contextforge"))


def chosen(
    scenarios: Sequence[str],
    connections: Sequence[int],
    engines: Sequence[str],
    nodes: Sequence[int],
    grants: Sequence[int],
    like: Plan,
) -> Plan:
    """Everything with everything. What is left out is what most runs are like."""
    runs = tuple((name, count) for name in scenarios or _NAMES for count in connections or [USUAL_CONNECTIONS])
    stages = tuple(
        Stage(engine, processes, count, runs)
        for engine in engines or ["sqlite"]
        for count in sorted(grants or [REAL_GRANTS])
        for processes in nodes or [1]
    )
    return Plan(
        stages, like.seconds, like.repeat, peers=("barbican",) if PEER_CONNECTIONS in (connections or []) else ()
    )
