"""
Fills the app of a stopped installation with the grants of others: up to ten million in some minutes. One real user's rows
are copied under other ids, so that every row is one that the vault could have written; what is sealed in them is never
opened. A filler user has a grant and a credential of their own at each provider, and a data key.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg

PROVIDERS = 10
_BATCH = 1_000_000
"""Grants added by one statement of each table."""

# The grants of one user, a number each. Both engines take it.
_MODELS = """
CREATE TEMPORARY TABLE bench_models AS
SELECT row_number() OVER (ORDER BY provider_id) - 1 AS number, id AS grant_id, credential_id, user_id FROM grants
WHERE user_id = (SELECT user_id FROM grants WHERE app_id = :app AND user_id IS NOT NULL LIMIT 1) AND revoked_at IS NULL
"""


class Dialect:
    """What the engines write differently."""

    def __init__(self, series: str, hexadecimal: Callable[[str, int], str]) -> None:
        self.series = series
        self._hexadecimal = hexadecimal

    def id(self, number: str) -> str:
        """An id for each number, in the form of all ids, and in no order: real ones are random."""
        scattered = self._hexadecimal(f"({number}) * 2654435761 % 4294967296", 8)
        return f"{scattered} || '-0000-4000-8000-' || {self._hexadecimal(number, 12)}"

    def copies(self, names: list[str], table: str, models: str, changes: dict[str, str]) -> str:
        assert changes.keys() <= set(names), f"{table} has no {changes.keys() - set(names)}"
        values = ", ".join(changes.get(name, f"m.{name}") for name in names)
        return f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM ({self.series}) s {models}"

    def users(self, columns: dict[str, list[str]]) -> Iterator[str]:
        """For the users with the numbers from :first on."""
        user, subject = self.id("s.n"), "'idp|filler-' || s.n"
        changes = {
            "id": user,
            "external_subject_id": subject,
            "subject": subject,
            "email": "'filler-' || s.n || '@corp.test'",
        }
        model = "CROSS JOIN (SELECT DISTINCT user_id FROM bench_models) k JOIN users m ON m.id = k.user_id"
        yield self.copies(columns["users"], "users", model, {**changes, "data_key_id": user})
        yield f"INSERT INTO user_subjects (user_id, subject) SELECT {user}, {subject} FROM ({self.series}) s"

    def grants(self, columns: dict[str, list[str]]) -> Iterator[str]:
        """For the grants with the numbers from :first on."""
        each, user = self.id("s.n"), self.id(f"s.n / {PROVIDERS}")
        account = f"'filler-' || (s.n / {PROVIDERS}) || '@provider.test'"
        models = f"JOIN bench_models k ON k.number = s.n % {PROVIDERS} JOIN"
        changes = {"id": each, "user_id": user, "account_id": account}
        yield self.copies(
            columns["credentials"],
            "credentials",
            f"{models} credentials m ON m.id = k.credential_id",
            {**changes, "data_key_id": user},
        )
        # Made over some days, as pages show them in the order of their times.
        made = {"created_at": "m.created_at - s.n * 100", "term_started_at": "m.term_started_at - s.n * 100"}
        changes |= {"account_identifier": account, "credential_id": each, "credential_ref": each, **made}
        yield self.copies(columns["grants"], "grants", f"{models} grants m ON m.id = k.grant_id", changes)

    def keys(self, names: list[str], table: str) -> str:
        """For the users with the numbers from :first on."""
        model = f"CROSS JOIN (SELECT * FROM {table} WHERE purpose = 'user' LIMIT 1) m"
        return self.copies(names, table, model, {"id": self.id("s.n")})


TABLES = ["users", "user_subjects", "credentials", "grants"]


def batches(first: int, end: int) -> Iterator[dict[str, int]]:
    assert first % PROVIDERS == end % PROVIDERS == 0, "a filler user has a grant at each provider"
    for start in range(first, end, _BATCH):
        yield {"first": start, "end": min(start + _BATCH, end)}


def of_users(grants: dict[str, int]) -> dict[str, int]:
    return {name: number // PROVIDERS for name, number in grants.items()}


# SQLite

_SQLITE = Dialect(
    """
    WITH RECURSIVE counted(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :end)
    SELECT n FROM counted
    """,
    lambda number, digits: f"printf('%0{digits}x', {number})",
)


def fill_sqlite(data: Path, app_id: str, first: int, end: int) -> None:
    """`data`: the folder of the stopped installation."""
    with closing(_open(data / "sallyport.db")) as database:
        columns = {table: _columns(database, table) for table in TABLES}
        database.execute(_MODELS, {"app": app_id})
        database.execute("CREATE UNIQUE INDEX temp.bench_models_by_number ON bench_models (number)")
        # An index is sorted in a fraction of the time that it takes to grow it by rows in no order.
        marks = ", ".join("?" * len(TABLES))
        indexes = database.execute(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ({marks})",
            TABLES,
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        for batch in batches(first, end):
            for statement in _SQLITE.users(columns):
                database.execute(statement, of_users(batch))
            for statement in _SQLITE.grants(columns):
                database.execute(statement, batch)
        for _, statement in indexes:
            database.execute(statement)
    with closing(_open(data / "keys.db")) as keys:
        statement = _SQLITE.keys(_columns(keys, "data_keys"), "data_keys")
        for batch in batches(first, end):
            keys.execute(statement, of_users(batch))


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    # Nobody else works on it, and nothing of it is worth anything if this is cut off.
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {setting}").fetchall()
    return database


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


# PostgreSQL

_POSTGRESQL = Dialect(
    "SELECT n FROM generate_series(CAST(:first AS bigint), CAST(:end AS bigint) - 1) AS counted(n)",
    lambda number, digits: f"lpad(to_hex({number}), {digits}, '0')",
)


def fill_postgresql(database: psycopg.Connection, keys_schema: str, app_id: str, first: int, end: int) -> None:
    """`database`: a connection that commits each statement, of somebody who may leave foreign keys unchecked."""

    def run(statement: str, values: dict[str, object] | None = None) -> list[tuple]:
        # Only what has values is written in the driver's own form.
        if values is not None:
            statement = re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement.replace("%", "%%"))
        done = database.execute(statement, values)
        return done.fetchall() if done.description else []

    def columns(schema: str, table: str) -> list[str]:
        values = {"schema": schema, "table": table}
        found = run(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = :schema AND table_name = :table ORDER BY ordinal_position",
            values,
        )
        return [name for (name,) in found]

    [(schema,)] = run("SELECT current_schema()")
    known = {table: columns(schema, table) for table in TABLES}
    # Nobody else works on it; the rows that are referred to are there.
    for setting in ("session_replication_role = replica", "synchronous_commit = off", "maintenance_work_mem = '1GB'"):
        run(f"SET {setting}")
    run(_MODELS, {"app": app_id})
    indexes = run(
        """
        SELECT format('%I.%I', i.schemaname, i.indexname), i.indexdef FROM pg_indexes i
        WHERE i.schemaname = :schema AND i.tablename = ANY(:tables)
            AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = format('%I.%I', i.schemaname, i.indexname)::regclass)
        """,
        {"schema": schema, "tables": TABLES},
    )
    for name, _ in indexes:
        run(f"DROP INDEX {name}")
    keys = _POSTGRESQL.keys(columns(keys_schema, "data_keys"), f"{keys_schema}.data_keys")
    for batch in batches(first, end):
        for statement in _POSTGRESQL.users(known):
            run(statement, of_users(batch))
        for statement in _POSTGRESQL.grants(known):
            run(statement, batch)
        run(keys, of_users(batch))
    for _, statement in indexes:
        run(statement)
    # It would do so by itself, in the middle of a run.
    run("VACUUM ANALYZE")
    run("CHECKPOINT")
