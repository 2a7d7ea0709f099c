"""What was found, as Markdown and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from .goals import goals
from .instructions import Instructions
from .model import costs
from .runs import Result
from .scenarios import SCENARIOS
from .suite import BARE, Findings

_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"
_TITLES = {scenario.name: scenario.title for scenario in SCENARIOS}
_TITLES |= {"barbican": "barbican 23, read a stored secret", "contextforge": "ContextForge, a call with a stored token"}


def markdown(findings: Findings, instructions: Instructions | None) -> str:
    fitted = costs(findings.results)
    notes = [*findings.notes, *([fitted] if fitted else [])]
    parts = [_facts(findings), _table(findings), *(f"{note}\n" for note in notes), _goals(findings)]
    if instructions:
        parts.append(instructions.markdown())
    return "\n".join(parts)


def document(findings: Findings, instructions: Instructions | None) -> str:
    found = {
        "machine": findings.facts,
        "commit_ms": findings.commit_ms,
        "verifications_per_second": findings.verifications,
        "starts": [asdict(start) for start in findings.starts],
        "results": [result.json() for result in findings.results],
        "notes": findings.notes,
        "goals": [goal.json() for goal in goals(findings)],
        "instructions": instructions.json() if instructions else None,
    }
    return json.dumps(found, indent=2)


def write_into(path: Path, text: str) -> None:
    """In place of what stands between the marks."""
    before, begin, rest = path.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin and end, f"{path} has no marks for the figures"
    path.write_text(f"{before}{_BEGIN}\n{text.strip()}\n{_END}{after}")


def _facts(findings: Findings) -> str:
    facts = {**findings.facts, "one durable commit of SQLite": f"{findings.commit_ms:.2f} ms"}
    facts |= {
        f"{name} verifications by one thread": f"{count:,} a second" for name, count in findings.verifications.items()
    }
    return "\n".join(["| Machine | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items()), ""])


def _table(findings: Findings) -> str:
    names = [
        "Scenario",
        "Engine",
        "Nodes",
        "Grants",
        "Connections",
        "req/s",
        "× bare",
        "p50 ms",
        "p99 ms",
        "CPU µs/req",
        "database CPU µs/req",
        "req/commit",
        "RSS MB",
    ]
    lines = [f"| {' | '.join(names)} |", "|---|---|" + "--:|" * (len(names) - 2)]
    lines += [f"| {' | '.join(_cells(result, findings))} |" for result in _ordered(findings.results)]
    return "\n".join([*lines, ""])


def _ordered(results: Sequence[Result]) -> list[Result]:
    """What the vault is held against comes first."""
    return sorted(results, key=lambda result: result.engine != "")


def _cells(result: Result, findings: Findings) -> Iterator[str]:
    bare = findings.find(BARE, connections=result.connections)
    is_vault = bool(result.engine)
    yield _TITLES.get(result.scenario, result.scenario)
    yield result.engine or "–"
    yield str(result.nodes) if is_vault else "–"
    yield f"{result.grants:,}" if is_vault else "–"
    yield str(result.connections)
    if result.problem:
        yield f"invalid: {result.problem}"
        yield from ["–"] * 7
        return
    yield f"{result.per_second:,.0f}"
    yield f"{result.per_second / bare.per_second:.2g}" if bare else "–"
    yield f"{result.p50_ms:.2f}"
    yield f"{result.p99_ms:.2f}"
    yield f"{result.cpu_us:,.0f}"
    yield "–" if result.database_cpu_us is None else f"{result.database_cpu_us:,.0f}"
    yield "–" if result.per_commit is None else f"{result.per_commit:.1f}"
    yield f"{result.resident_mb:.0f}"


def _goals(findings: Findings) -> str:
    lines = ["| Goal | Measured | |", "|---|---|---|"]
    lines += [f"| {goal.text} | {goal.measured or '–'} | {goal.verdict} |" for goal in goals(findings)]
    return "\n".join([*lines, ""])
