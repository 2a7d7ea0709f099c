"""Uses that go on until they are ended, for tests in which something happens meanwhile."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import takewhile

from .signer import RawRequest
from .swarm import Message, Shot, Swarm, signed
from .waiting import eventually
from .world import World


class Load:
    """Begun at once, in a thread. Ends with its `with` block, or by `end`."""

    def __init__(
        self, url: str, messages: Iterable[Message], connections: int = 8, per_second: float | None = None
    ) -> None:
        self.shots: list[Shot] = []
        """What was answered so far."""
        self._is_over = False
        going_on = takewhile(lambda _: not self._is_over, messages)
        options = {"connections": connections, "per_second": per_second, "shots": self.shots}
        self._flight = Swarm(url).in_background(going_on, **options)

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def goes_on(self, count: int = 50, timeout_seconds: float = 20) -> None:
        """Waits until as many more uses have succeeded."""
        enough = self.successes + count
        eventually(lambda: self.successes >= enough, f"{count} uses more", timeout_seconds)

    def end(self, timeout_seconds: float = 30) -> list[Shot]:
        """Waits for the answers that are under way."""
        self._is_over = True
        return self._flight.result(timeout_seconds)

    @property
    def successes(self) -> int:
        return sum(shot.is_success for shot in list(self.shots))


def retrieval(world: World, grant_id: str) -> RawRequest:
    body = {"grant_id": grant_id, "request": {"method": "GET", "url": world.echo}}
    return world.signer().request("POST", "/sdk/token", body)


def retrievals(world: World, grant_id: str) -> Iterator[Message]:
    """Endless, each freshly signed."""
    while True:
        yield signed(retrieval(world, grant_id))


def use(world: World, grant_id: str) -> tuple[int, str | None]:
    """Status and error of one retrieval."""
    answer = retrieval(world, grant_id).send()
    return answer.status, None if answer.status == 200 else answer.error


def refusals(shots: Iterable[Shot]) -> Counter[tuple[int, str | None]]:
    """Status and error of those that did not succeed."""
    return Counter((shot.status, shot.error) for shot in shots if not shot.is_success)


def unrecorded(world: World, shots: Iterable[Shot]) -> set[str]:
    """The request ids of uses that were answered with success and are not on record."""
    answered = {shot.headers["x-request-id"] for shot in shots if shot.is_success}
    query = "SELECT request_id FROM audit_records WHERE app_id = ? AND decision = 'allow'"
    return answered - {request_id for (request_id,) in world.server.database.query(query, world.app_id)}
