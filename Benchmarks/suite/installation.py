"""The vault under load: its processes on one database, and an app with a thousand grants that users connected through it."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import requests
from harness.management import Management
from harness.swarm import Crowd
from harness.webhooks import ClerkEndpoint
from harness.world import World

from .databases import Database

USERS, PROVIDERS = 100, 10
"""A grant for each user at each provider, so that user and provider name one."""
UPDATED_USERS = 100
"""Those whom webhooks are about have no grants, so that no other run sees what the webhooks change."""
_TOKEN_SECONDS = 30 * 86_400
"""No credential is refreshed while the suite runs."""


@dataclass(frozen=True)
class Connected:
    """A grant, and by what else it can be named."""

    grant_id: str
    provider_id: str
    user: str


class Installation:
    """Started by `with`."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.name = database.name
        self._database = database
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.nodes = database.nodes(folder, 1)
        self.ready_seconds = 0.0
        """Of the last start: until the first process, alone, answered that it is ready."""
        self.grants = USERS * PROVIDERS
        self.connected: list[Connected] = []
        self._undo = ExitStack()

    def __enter__(self) -> "Installation":
        with ExitStack() as undo:
            undo.callback(self._end)
            self.start()
            first = self.nodes[0]
            management = Management(first.url, first.create_operator().pat)
            self.world = World(first, management, idp_type="clerk")
            undo.callback(self.world.close)
            self._connect()
            self._database.settle()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _end(self) -> None:
        for node in self.nodes:
            node.kill()

    # Its processes

    @property
    def urls(self) -> Sequence[str]:
        return [node.url for node in self.nodes]

    @property
    def own(self) -> Sequence[int]:
        return [node.pid for node in self.nodes]

    @property
    def database(self) -> Sequence[int]:
        return self._database.processes

    def transactions(self) -> int:
        return self._database.transactions()

    def start(self) -> None:
        first, *others = self.nodes
        started = time.monotonic()
        first.start()
        requests.get(f"{first.url}/readyz", timeout=10).raise_for_status()
        self.ready_seconds = time.monotonic() - started
        for node in others:
            node.start()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def scale(self, nodes: int) -> None:
        """Goes on with so many processes."""
        self.stop()
        self.nodes = self._database.nodes(self._folder, nodes)
        self.start()

    def fill(self, grants: int) -> float:
        """Adds grants of others until there are so many; answers the seconds it took."""
        if grants <= self.grants:
            return 0.0
        started = time.monotonic()
        self.stop()
        self._database.fill(self.world.app_id, self.grants, grants)
        self.grants = grants
        self.start()
        return time.monotonic() - started

    # Who uses it

    def _connect(self) -> None:
        self.world.oauth.expires_in = _TOKEN_SECONDS
        names = [f"user-{number}" for number in range(USERS)]
        crowd = Crowd(self.world, providers=PROVIDERS)
        crowd.connect([(self.world.jwt(name), name) for name in names])
        management, path = self.world.management, self.world.path
        users = {user["id"]: user["external_subject_id"] for user in management.items(f"{path}/users", limit=1000)}
        found = management.items(f"{path}/grants", limit=1000)
        self.connected = [
            Connected(grant["grant_id"], grant["provider_id"], users[grant["user_id"]]) for grant in found
        ]
        assert len(self.connected) == self.grants, len(self.connected)
        # The provider's and the user's next to each other would be next to each other in every index.
        self.connected.sort(key=lambda each: each.grant_id)
        self.webhooks = ClerkEndpoint(self.world)
        self.updated = [f"updated-{number}" for number in range(UPDATED_USERS)]
        for name in self.updated:
            body = {"user_token": self.world.jwt(name)}
            assert self.world.signer().send("POST", "/sdk/identity/resolve", body).status == 200
