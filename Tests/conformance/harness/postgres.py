"""A PostgreSQL cluster of the suite's own: the real server on a temporary folder and a port of its own."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import psycopg

from .canaries import canary
from .processes import Process
from .waiting import free_port

ROLE = "sallyport"
"""Owns the databases of the vaults. No superuser, as in an installation that is well kept."""

_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    # Nothing that an installation relies on is turned off.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "4GB",
    # What was written since a database was made can be searched for secrets.
    "wal_keep_size": "1GB",
    "checkpoint_timeout": "1h",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
}


def binaries() -> Path:
    """Of the newest version that Debian's packages installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    assert found, "no PostgreSQL in /usr/lib/postgresql: run.sh installs it"
    return found[-1].parent


def _as_its_user(command: Iterable[str | Path]) -> list[str]:
    """
    PostgreSQL does not run as root; Debian's package makes a user for it. It ends with the tests, however those end.
    The signal for that comes when the thread ends that started it, so a cluster is started from the main thread.
    """
    account = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *account, "--pdeathsig=INT", *(str(part) for part in command)]


class Cluster:
    """Made at once, and started by `start`. `remove` ends it and leaves nothing behind."""

    def __init__(self, is_tls_required: bool = False, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sallyport-postgres-"))
        self.log = self.folder / "postgres.log"
        self.certificate = self.folder / "server.crt"
        """Its own root, where TLS is required."""
        self.port = free_port()
        self._data = self.folder / "data"
        self._superuser_password = secrets.token_urlsafe(18)
        self.password = canary(secrets.token_urlsafe(18))
        """The role's."""
        self._process: Process | None = None
        password_file = self.folder / "password"
        password_file.write_text(self._superuser_password)
        self._hand_over()
        # Words sort by the rules of a language, as they do where nobody asked for anything else.
        sorting = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US", "--encoding=UTF8"]
        logging_in = ["--username=postgres", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        # Small segments of the write-ahead log: a search reads few that others wrote.
        self._run("initdb", "--no-sync", "--pgdata", self._data, *logging_in, *sorting, "--wal-segsize=4")
        password_file.unlink()
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": f"'{self.folder}'", **settings}
        settings |= self._tls_settings() if is_tls_required else {}
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _hand_over(self) -> None:
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid)

    def _tls_settings(self) -> dict[str, str]:
        key = make_certificate(self.certificate)
        self._hand_over()
        hosts = self._data / "pg_hba.conf"
        hosts.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        return {"ssl": "on", "ssl_cert_file": f"'{self.certificate}'", "ssl_key_file": f"'{key}'"}

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = _as_its_user([binaries() / program, *arguments])
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    # Its life

    def start(self) -> None:
        command = _as_its_user([binaries() / "postgres", "-D", self._data])
        self._process = Process(command, self.log, cwd=self.folder, start_new_session=True)
        self._process.wait_until(self._answers, "a connection to PostgreSQL")
        if not self._administrator("SELECT FROM pg_roles WHERE rolname = %s", ROLE):
            self._administrator(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.password}'")

    def _answers(self) -> bool:
        try:
            self._administrator("SELECT")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, mode: str = "fast") -> None:
        """`fast`: open transactions are rolled back. `immediate`: as if it crashed; the next start recovers."""
        self.thaw()
        self._run("pg_ctl", "stop", "--wait", "--pgdata", self._data, "--mode", mode)
        self._process.wait()

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

    def remove(self) -> None:
        if self.is_running:
            self.stop("immediate")
        shutil.rmtree(self.folder)

    @contextmanager
    def frozen(self):
        """Meanwhile nothing of it moves: connections are taken by the kernel, and nobody answers them."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.thaw()

    def thaw(self) -> None:
        if self.is_running:
            self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        # The first process goes first: once it is stopped, no backend comes to be.
        os.kill(self._process.pid, number)
        for pid in self._backends():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it ended just now

    def _backends(self) -> list[int]:
        first = self._process.pid
        return [int(pid) for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split()]

    # Databases

    def url(self, database: str, password: str | None = None, **options: str) -> str:
        """A libpq connection URI of the role. `options`: its parameters, `sslmode` for example."""
        query = f"?{urlencode(options)}" if options else ""
        return f"postgresql://{ROLE}:{quote(password or self.password)}@127.0.0.1:{self.port}/{database}{query}"

    @property
    def administrator_url(self) -> str:
        """For who makes databases of their own."""
        return f"postgresql://postgres:{quote(self._superuser_password)}@127.0.0.1:{self.port}/postgres"

    def database(self) -> str:
        """Makes a fresh database, and answers its URL."""
        name = f"vault_{secrets.token_hex(6)}"
        self._administrator(f"CREATE DATABASE {name} OWNER {ROLE}")
        return self.url(name)

    def drop(self, url: str) -> None:
        self._administrator(f"DROP DATABASE IF EXISTS {database_name(url)} WITH (FORCE)")

    def allow_connections(self, url: str, count: int = -1) -> None:
        """How many the role may have to the database from now on; any number when left out."""
        self._administrator(f"ALTER DATABASE {database_name(url)} CONNECTION LIMIT {count}")

    def allow_writes(self, url: str, allowed: bool) -> None:
        """For connections that begin from now on. Without writes, it is as a standby is."""
        setting = "off" if allowed else "on"
        self._administrator(f"ALTER DATABASE {database_name(url)} SET default_transaction_read_only = {setting}")

    def end_backends(self, url: str) -> int:
        """Ends every connection to the database, as an administrator may. Answers how many there were."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        return len(self._administrator(query, database_name(url)))

    def _administrator(self, statement: str, *values: object, database: str = "postgres") -> list[tuple]:
        address = {"host": "127.0.0.1", "port": self.port, "user": "postgres", "dbname": database}
        connection = psycopg.connect(**address, password=self._superuser_password, autocommit=True, connect_timeout=5)
        with connection:
            done = connection.execute(statement, values)
            return done.fetchall() if done.description is not None else []

    # What it keeps

    def position(self) -> str:
        """The file of the write-ahead log that is written now; later ones have higher names."""
        [(name,)] = self._administrator("SELECT pg_walfile_name(pg_current_wal_lsn())")
        return name

    def written(self, since: str) -> bytes:
        """
        The write-ahead log since a position, in one piece: everything that was written to any database, what was rolled
        back or overwritten included, long before it is in any other file.
        """
        now = self.position()
        files = sorted(path for path in (self._data / "pg_wal").iterdir() if since <= path.name <= now)
        assert files[0].name == since, "the log was cut since (`wal_keep_size`)"
        return b"".join(_records(path.read_bytes()) for path in files)


def _records(segment: bytes) -> bytes:
    """Without the headers of its pages, which cut in two what does not fit on one."""
    first, *others = (segment[start : start + 8192] for start in range(0, len(segment), 8192))
    return first[40:] + b"".join(page[24:] for page in others)


def make_certificate(path: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, and beside it its key, whose path is answered."""
    key = path.with_suffix(".key")
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    subprocess.run(["openssl", "req", *made, *named, "-keyout", key, "-out", path], check=True, capture_output=True)
    key.chmod(0o600)
    return key


def database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


# The cluster that the servers of a test process share

_shared: list[Cluster] = []


def shared_cluster() -> Cluster:
    if not _shared:
        cluster = Cluster()
        _shared.append(cluster)
        cluster.start()
    return _shared[0]


def remove_shared_cluster() -> None:
    while _shared:
        _shared.pop().remove()
