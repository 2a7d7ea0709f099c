"""What a use costs, fitted to the runs on PostgreSQL: docs/SCALING.md calculates with it."""

from statistics import linear_regression

from .plan import MAIN
from .runs import Result

_POINTS_MIN = 3


def costs(results: list[Result]) -> str | None:
    """CPU time of a use by how many share a commit, as a sentence; nothing where there are too few runs."""
    found = [each for each in results if each.scenario == MAIN and each.per_commit and not each.problem]
    if len(found) < _POINTS_MIN:
        return None
    shares = [1 / each.per_commit for each in found]
    own = _line(shares, [each.cpu_us for each in found])
    database = _line(shares, [each.database_cpu_us for each in found])
    return (
        f"A retrieval with a known JWT on PostgreSQL, fitted to {len(found)} runs: {own} of its node and {database} of the"
        " database, where *n* retrievals share a commit."
    )


def _line(shares: list[float], costs: list[float]) -> str:
    slope, intercept = linear_regression(shares, costs)
    worst = max(abs(intercept + slope * share - cost) / cost for share, cost in zip(shares, costs, strict=True))
    return f"{intercept:,.0f} + {slope:,.0f} ∕ *n* µs (no run is off by more than {worst:.0%})"
