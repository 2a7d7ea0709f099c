"""
What an installation stores, past the server: the same questions to both engines.

SQL is written once, with `?` for each value, in what SQLite and PostgreSQL both understand. `SALLYPORT_TEST_ENGINE` says
which engine the servers of a run use.
"""

import os
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from .postgres import Cluster, binaries, database_name, shared_cluster

ENGINE = os.environ.get("SALLYPORT_TEST_ENGINE", "sqlite")
KEYS_SCHEMA = "sallyport_keys"
BATCH = 10_000
"""Rows that are inserted in one transaction."""

Row = dict[str, Any]
Change = Callable[..., int]
"""Takes a statement and its values, and answers how many rows it changed."""


class Database(ABC):
    """The main database of an installation, or its key store."""

    @abstractmethod
    def _connection(self) -> AbstractContextManager[Any]:
        """Commits when it ends well, rolls back when it does not, and closes."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Those that both engines have."""

    def _marked(self, sql: str) -> str:
        return sql

    def query(self, sql: str, *values: Any) -> list[tuple]:
        with self._connection() as connection:
            return [tuple(row) for row in connection.execute(self._marked(sql), values).fetchall()]

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """The same with the names of the columns."""
        with self._connection() as connection:
            found = connection.execute(self._marked(sql), values)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def count(self, what: str, *values: Any) -> int:
        """`what`: a table, with a condition if wanted."""
        [(number,)] = self.query(f"SELECT count(*) FROM {what}", *values)
        return number

    def change(self, sql: str, *values: Any) -> int:
        """Answers how many rows were changed."""
        with self._connection() as connection:
            return connection.execute(self._marked(sql), values).rowcount

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """All rows have the columns of the first."""
        waiting = iter(rows)
        while batch := list(islice(waiting, BATCH)):
            with self._connection() as connection:
                self._insert(connection, table, batch)

    def replace(self, table: str, rows: list[Row]) -> None:
        """The table holds these rows and no others afterwards, and nobody sees it between."""
        with self._connection() as connection:
            connection.execute(f"DELETE FROM {table}")
            self._insert(connection, table, rows)

    def _insert(self, connection: Any, table: str, rows: list[Row]) -> None:
        columns, marks = ", ".join(rows[0]), ", ".join("?" for _ in rows[0])
        statement = self._marked(f"INSERT INTO {table} ({columns}) VALUES ({marks})")
        connection.cursor().executemany(statement, [tuple(row.values()) for row in rows])

    def content(self) -> dict[str, bytes]:
        """Every value of every row as it is, by table, for searches."""
        return {table: b"\n".join(self._values(table)) for table in self.tables()}

    def _values(self, table: str) -> Iterator[bytes]:
        for row in self.query(f"SELECT * FROM {table}"):
            for value in row:
                yield value if isinstance(value, bytes) else str(value).encode()

    @abstractmethod
    def locked(self) -> AbstractContextManager[Change]:
        """
        Meanwhile nobody else can write, and everybody can read. Gives a `change` for who holds the lock: what it did is
        there for all others as soon as they can write again.
        """

    @abstractmethod
    def read_at_length(self) -> AbstractContextManager[None]:
        """Meanwhile a transaction is open that has read something."""

    @contextmanager
    def refusing(self, table: str, condition: str, what: str = "statement") -> Iterator[None]:
        """
        Meanwhile rows that fit the condition, where they are called `NEW`, are not inserted into the table: the `statement`
        fails, the whole `transaction` around it, or the `commit` of that.
        """
        for statement in self._obstacle(table, condition, what):
            self.change(statement)
        try:
            yield
        finally:
            for statement in self._end_of_obstacle(table):
                self.change(statement)

    @abstractmethod
    def _obstacle(self, table: str, condition: str, what: str) -> list[str]: ...

    @abstractmethod
    def _end_of_obstacle(self, table: str) -> list[str]: ...


class Storage(ABC):
    """Main database and key store of one installation."""

    settings: dict[str, str] = {}
    """What a server and its commands are told in their environment."""
    database: Database
    keys: Database

    @abstractmethod
    def backup(self, with_keys: bool = False) -> Any:
        """What `restore` takes. No server works on it meanwhile."""

    @abstractmethod
    def restore(self, backup: Any) -> None: ...

    @abstractmethod
    def stored(self) -> dict[str, bytes]:
        """What is stored outside of the data folder, by its place, for searches. A server may work on it."""

    @abstractmethod
    def remove(self) -> None:
        """No server works on it any more."""


def new_storage(data: Path) -> Storage:
    """Of a new installation that has this data folder."""
    match ENGINE:
        case "sqlite":
            return SQLiteStorage(data)
        case "postgresql":
            return PostgresStorage(shared_cluster())
        case other:
            raise ValueError(f"SALLYPORT_TEST_ENGINE is {other}: sqlite and postgresql are known")


# SQLite


class SQLiteFile(Database):
    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self.path}?mode=rw", uri=True, timeout=20)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def tables(self) -> list[str]:
        return sorted(name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'"))

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self.path}?mode=rw", uri=True, isolation_level=None, timeout=20)
        try:
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()

    @contextmanager
    def locked(self) -> Iterator[Change]:
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield lambda sql, *values: connection.execute(sql, values).rowcount

    @contextmanager
    def read_at_length(self) -> Iterator[None]:
        with self._transaction("BEGIN") as connection:
            connection.execute("SELECT count(*) FROM users").fetchall()
            yield


    def _obstacle(self, table: str, condition: str, what: str) -> list[str]:
        action = {
            "statement": "SELECT RAISE(ABORT, 'an obstacle')",
            "transaction": "SELECT RAISE(ROLLBACK, 'an obstacle')",
            "commit": "INSERT INTO obstacles VALUES (1)",
        }[what]
        return [
            "CREATE TABLE nowhere (id INTEGER PRIMARY KEY)",
            "CREATE TABLE obstacles (id INTEGER REFERENCES nowhere (id) DEFERRABLE INITIALLY DEFERRED)",
            f"CREATE TRIGGER obstacle BEFORE INSERT ON {table} WHEN {condition} BEGIN {action}; END",
        ]

    def _end_of_obstacle(self, table: str) -> list[str]:
        return ["DROP TRIGGER obstacle", "DROP TABLE obstacles", "DROP TABLE nowhere"]


class SQLiteStorage(Storage):
    """Files in the data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.database, self.keys = SQLiteFile(data / "sallyport.db"), SQLiteFile(data / "keys.db")

    def _files(self, with_keys: bool) -> list[Path]:
        names = ["sallyport.db*", *(["keys.db*"] if with_keys else [])]
        return [path for name in names for path in self._data.glob(name)]

    def backup(self, with_keys: bool = False) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self._files(with_keys)}

    def restore(self, backup: dict[Path, bytes]) -> None:
        for path in self._files(with_keys=self.keys.path in backup):
            path.unlink()
        for path, content in backup.items():
            path.write_bytes(content)
            path.chmod(0o600)

    def stored(self) -> dict[str, bytes]:
        return {}

    def remove(self) -> None:
        pass  # the data folder goes with the test


# PostgreSQL


class PostgresSchema(Database):
    def __init__(self, url: str, schema: str | None = None) -> None:
        """`schema`: another one than that in which the connection finds itself."""
        self._url = url
        self._schema = schema

    @contextmanager
    def _connection(self, **options: Any) -> Iterator[psycopg.Connection]:
        path = {"options": f"-c search_path={self._schema}"} if self._schema else {}
        with psycopg.connect(self._url, connect_timeout=10, **path, **options) as connection:
            yield connection

    def _marked(self, sql: str) -> str:
        return sql.replace("%", "%%").replace("?", "%s")

    def tables(self) -> list[str]:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        return sorted({name for (name,) in self.query(query)} - {"record_changes"})

    def _insert(self, connection: psycopg.Connection, table: str, rows: list[Row]) -> None:
        with connection.cursor().copy(f"COPY {table} ({', '.join(rows[0])}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(tuple(row.values()))
        # What numbers itself goes on after the highest number.
        for column in rows[0]:
            [(sequence,)] = connection.execute("SELECT pg_get_serial_sequence(%s, %s)", (table, column)).fetchall()
            if sequence:
                connection.execute(f"SELECT setval('{sequence}', (SELECT max({column}) FROM {table}))")

    @contextmanager
    def locked(self) -> Iterator[Change]:
        with self._connection() as connection:
            statement = f"LOCK TABLE {', '.join(self.tables())} IN EXCLUSIVE MODE"
            try:
                connection.execute(statement)
            except psycopg.errors.DeadlockDetected:
                # The server's own background work takes its tables in another order, and is done by now.
                connection.rollback()
                connection.execute(statement)
            yield lambda sql, *values: connection.execute(self._marked(sql), values).rowcount

    @contextmanager
    def read_at_length(self) -> Iterator[None]:
        with self._connection() as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("SELECT count(*) FROM users")
            yield
            connection.rollback()


    def _obstacle(self, table: str, condition: str, what: str) -> list[str]:
        action = "PERFORM pg_terminate_backend(pg_backend_pid())" if what == "transaction" else "RAISE 'an obstacle'"
        kind, time = ("CONSTRAINT TRIGGER", "AFTER") if what == "commit" else ("TRIGGER", "BEFORE")
        deferred = "DEFERRABLE INITIALLY DEFERRED" if what == "commit" else ""
        return [
            f"CREATE FUNCTION obstacle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {action}; RETURN NEW; END $$",
            f"CREATE {kind} obstacle {time} INSERT ON {table} {deferred} FOR EACH ROW WHEN ({condition})"
            " EXECUTE FUNCTION obstacle()",
        ]

    def _end_of_obstacle(self, table: str) -> list[str]:
        return [f"DROP TRIGGER obstacle ON {table}", "DROP FUNCTION obstacle"]


class PostgresStorage(Storage):
    """A database of its own. The key store is a schema in it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.url = cluster.database()
        self.settings = {"SALLYPORT_DATABASE": self.url}
        self.database, self.keys = PostgresSchema(self.url), PostgresSchema(self.url, KEYS_SCHEMA)
        self._since = cluster.position()

    def backup(self, with_keys: bool = False) -> bytes:
        keys = [] if with_keys else [f"--exclude-schema={KEYS_SCHEMA}"]
        return self._run("pg_dump", "--format=custom", *keys)

    def restore(self, backup: bytes) -> None:
        self._run("pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error", typed=backup)

    def _run(self, program: str, *options: str, typed: bytes = b"") -> bytes:
        command = [binaries() / program, *options, f"--dbname={self.url}"]
        done = subprocess.run(command, input=typed, capture_output=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{done.stderr.decode()}")
        return done.stdout

    def stored(self) -> dict[str, bytes]:
        """
        Every row, and the write-ahead log, which holds what was overwritten besides. The log alone would not do: PostgreSQL
        compresses what is long. Neither would a dump: it writes bytes as digits.
        """
        places = {"main": self.database, "keys": self.keys}
        contents = {place: each.content() for place, each in places.items()}
        rows = {f"{place}.{table}": text for place, each in contents.items() for table, text in each.items()}
        log = self.cluster.log
        return {**rows, "write-ahead log": self.cluster.written(self._since), log.name: log.read_bytes()}

    def remove(self) -> None:
        self.cluster.drop(self.url)
