"""The two databases that the vault runs on."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import psycopg
from harness.database import KEYS_SCHEMA, PostgresStorage, SQLiteStorage
from harness.nodes import Nodes
from harness.postgres import Cluster, database_name
from harness.server import Server

from .filling import fill_postgresql, fill_sqlite
from .usage import tree


class Database(Protocol):
    name: str

    @property
    def processes(self) -> Sequence[int]:
        """Of a database server, where there is one."""

    def nodes(self, folder: Path, count: int) -> list[Server]:
        """So many processes of one installation, of which the first ones may be there already."""

    def fill(self, app_id: str, first: int, end: int) -> None:
        """Adds the grants with these numbers to the stopped installation."""

    def settle(self) -> None:
        """Has done now what it would do by itself within a minute."""

    def transactions(self) -> int:
        """That write, begun by a database server so far; 0 where there is none."""


class SQLite:
    name = "SQLite"
    processes = ()

    def __init__(self) -> None:
        self._server: Server | None = None

    def nodes(self, folder: Path, count: int) -> list[Server]:
        assert count == 1, "one process works on an SQLite file"
        self._server = self._server or Server(folder, SQLiteStorage(folder / "data"))
        return [self._server]

    def fill(self, app_id: str, first: int, end: int) -> None:
        fill_sqlite(self._server.data, app_id, first, end)
        # Else the disk would be busy with it during the next runs.
        os.sync()

    def settle(self) -> None:
        pass

    def transactions(self) -> int:
        return 0


class PostgreSQL:
    """A cluster of its own, started by `with`, with the settings that its documentation advises for such a machine."""

    name = "PostgreSQL"
    _SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min", "wal_keep_size": "0"}

    def __init__(self) -> None:
        self._cluster = _BenchCluster(**self._SETTINGS)
        self._nodes: Nodes | None = None

    def __enter__(self) -> "PostgreSQL":
        self._cluster.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.remove()

    @property
    def processes(self) -> Sequence[int]:
        return tree(self._cluster.pid)

    def nodes(self, folder: Path, count: int) -> list[Server]:
        self._nodes = self._nodes or Nodes(folder, 0, PostgresStorage(self._cluster))
        while len(self._nodes) < count:
            self._nodes.add()
        return list(self._nodes)[:count]

    def fill(self, app_id: str, first: int, end: int) -> None:
        with self._cluster.administrator(self._nodes.storage.url) as connection:
            fill_postgresql(connection, KEYS_SCHEMA, app_id, first, end)
        os.sync()

    def settle(self) -> None:
        """Statistics, without which it takes tables for empty."""
        with self._cluster.administrator(self._nodes.storage.url) as connection:
            connection.execute("ANALYZE")

    def transactions(self) -> int:
        with self._cluster.administrator(self._nodes.storage.url) as connection:
            [number] = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
        return number


class _BenchCluster(Cluster):
    @property
    def pid(self) -> int:
        return self._process.pid

    def administrator(self, url: str) -> psycopg.Connection:
        """Of the database: who may leave foreign keys unchecked."""
        address = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": database_name(url)}
        return psycopg.connect(**address, password=self._superuser_password, autocommit=True)
