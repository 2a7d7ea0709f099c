"""Several servers on one database: the nodes of one installation, each of which can come and go."""

import base64
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .configured import ConfiguredServer
from .database import PostgresStorage, Storage
from .postgres import shared_cluster
from .server import Server


class Nodes:
    """They share database, key store and master key. Each has a data folder, an address and a log of its own."""

    def __init__(self, folder: Path, count: int = 3, storage: Storage | None = None) -> None:
        """`storage`: an installation that is there already; a new one when left out."""
        self.storage = storage or PostgresStorage(shared_cluster())
        self._folder = folder
        self._key_file = folder / "master.key"
        self._key_file.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        self._key_file.chmod(0o600)
        self._nodes: list[Server] = []
        for _ in range(count):
            self.add()

    def add(self, **environment: str) -> Server:
        """A node that was never started. `environment`: settings of its own."""
        folder = self._folder / f"node-{len(self._nodes) + 1}"
        folder.mkdir()
        settings = {"SALLYPORT_MASTER_KEY_FILE": str(self._key_file), **environment}
        node = ConfiguredServer(folder, self.storage, **settings)
        self._nodes.append(node)
        return node

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __iter__(self) -> Iterator[Server]:
        return iter(self._nodes)

    def __getitem__(self, number: int) -> Server:
        return self._nodes[number]

    def __len__(self) -> int:
        return len(self._nodes)

    def start(self) -> None:
        """Those that do not run, all at the same moment."""
        waiting = [node for node in self if not node.is_running()]
        with ThreadPoolExecutor(len(waiting) or 1) as pool:
            for _ in pool.map(lambda node: node.start(), waiting):
                pass

    def stop(self) -> list[int]:
        """Answers the exit codes of those that ran."""
        return [node.stop() for node in self if node.is_running()]

    def remove(self) -> None:
        """Ends what still runs, and the installation."""
        for node in self:
            node.kill()
        self.storage.remove()

    def stored(self) -> dict[str, bytes]:
        """Everything that they left."""
        of_nodes = [(node.data.parent.name, node.left()) for node in self]
        left = {f"{name}/{place}": content for name, each in of_nodes for place, content in each.items()}
        return left | self.storage.stored()
