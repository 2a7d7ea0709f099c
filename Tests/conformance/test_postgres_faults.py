"""PostgreSQL that stops, crashes, freezes or refuses; and installations that move to it, or are cut while they do."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import psycopg
import pytest
import requests
from alter_sdk import GrantDeletedError, PolicyViolationError

from harness.audit_streams import StreamReceiver, open_webhook
from harness.canaries import canary, readable_in
from harness.configured import ConfiguredServer, preloaded
from harness.database import KEYS_SCHEMA, Database, PostgresSchema, PostgresStorage, Row, SQLiteFile, SQLiteStorage
from harness.load import Load, refusals, retrieval, retrievals, unrecorded, use
from harness.management import Management, ManagementError
from harness.portal import invite, sign_in
from harness.postgres import Cluster, database_name, make_certificate
from harness.processes import Process
from harness.relay import Relay, is_open
from harness.sdk import in_background, wait
from harness.server import BINARY, Server
from harness.signer import RawAnswer, RawRequest
from harness.swarm import Swarm
from harness.waiting import eventually
from harness.wallet import enable_sign_in
from harness.webhooks import Auth0Stream
from harness.world import PROVIDER, World

pytestmark = pytest.mark.postgresql

KILLS = int(os.environ.get("SALLYPORT_KILLS", "6"))
"""How often a move to PostgreSQL is cut."""
DEADLINE_SECONDS = 20
"""Nobody waits longer for an answer, whatever the database does: once for the database, and once to record that."""
RECOVERY_SECONDS = 5
"""After this, all is as it was before the database was away."""
GONE_SECONDS = 15
"""After this, nobody waits any more for a machine that is gone without a word."""
AWAY = (503, "service_unavailable")


@pytest.fixture(scope="module")
def cluster():
    """A cluster that the tests of this module stop and start."""
    cluster = Cluster()
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module")
def server(tmp_path_factory, cluster):
    server = Server(tmp_path_factory.mktemp("server"), PostgresStorage(cluster))
    server.start()
    yield server
    assert verified(server) == (0, "")
    assert server.stop() == 0, server.log_tail()
    assert readable_in(server.stored()) == []


@pytest.fixture(autouse=True)
def is_back(server, cluster):
    """A test that fails while the database is away takes no other with it."""
    yield
    cluster.thaw()
    if not cluster.is_running:
        cluster.start()
    eventually(lambda: requests.get(f"{server.url}/readyz", timeout=20).ok, "the server is ready", 20)


@pytest.fixture
def new_server(tmp_path, cluster):
    """A server that was never started, on a database of its own."""
    server = Server(tmp_path, PostgresStorage(cluster))
    yield server
    server.kill()


def verified(server: Server, **environment: str) -> tuple[int, str]:
    done = server.run("audit", "verify", "--data-dir", str(server.data), **environment)
    return done.returncode, done.stderr


def assert_unavailable(answer: requests.Response) -> None:
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0, (answer.status_code, answer.text)
    assert "postgres" not in answer.text and "vault_" not in answer.text


def assert_clean(load: Load, server: Server) -> None:
    """Whoever was refused was told to come again, soon, and nothing about the database."""
    assert refusals(load.shots).keys() <= {AWAY}
    refused = [shot for shot in load.shots if not shot.is_success]
    assert all(int(shot.headers["retry-after"]) > 0 for shot in refused)
    assert max(shot.seconds for shot in load.shots) < DEADLINE_SECONDS
    cluster = server.storage.cluster
    for inner in database_name(server.storage.url), str(cluster.port), "postgres":
        assert not any(inner.encode() in shot.body for shot in refused), inner


# The database away


@pytest.mark.alone
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_stop_of_the_database_under_load_refuses_cleanly_loses_nothing_and_is_over_soon(
    server, connected, cluster, mode
):
    world, _, grant = connected
    with Load(server.url, retrievals(world, grant.grant_id), connections=8, per_second=150) as load:
        load.goes_on(100)
        cluster.stop(mode)
        eventually(lambda: requests.get(f"{server.url}/readyz", timeout=20).status_code == 503, "it is not ready", 20)
        assert_unavailable(requests.get(f"{server.url}/readyz", timeout=20))
        assert requests.get(f"{server.url}/healthz", timeout=5).status_code == 200
        time.sleep(1)
        cluster.start()
        load.goes_on(50, RECOVERY_SECONDS)
    assert_clean(load, server)
    assert refusals(load.shots), "it was noticed"
    assert unrecorded(world, load.shots) == set()
    assert requests.get(f"{server.url}/readyz", timeout=5).status_code == 200


def test_every_edge_says_that_it_cannot_answer_while_the_database_is_away(server, cluster, management):
    world = World(server, management, idp_type="auth0")
    enable_sign_in(world)
    stream, operator = Auth0Stream(world), invite(management)
    grant_id = world.connect(world.jwt()).grant_id
    event = stream.event()
    cluster.stop()
    assert use(world, grant_id) == AWAY
    with pytest.raises(ManagementError) as unavailable:
        management.get(world.path)
    assert unavailable.value.status == 503
    assert_unavailable(stream.send(event, authorization=stream.secret))
    for path in "/portal/apps", f"/portal/apps/{world.app_id}", f"/wallet/sign-in?appId={world.app_id}":
        page = operator.browser.send("GET", server.url + path)
        assert_unavailable(page)
        assert "html" in page.headers["Content-Type"], f"{path} shows a person {page.text}"
    assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 200

    cluster.start()
    eventually(lambda: use(world, grant_id) == (200, None), "it serves again", RECOVERY_SECONDS)
    # What was not acknowledged was not done, and is done when it is sent again.
    assert world.user()["status"] == "active"
    assert stream.send(event, authorization=stream.secret).status_code == 204
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=grant_id)
    assert operator.browser.open(f"{server.url}/portal/apps").status == 200
    world.close()


def test_tokens_that_a_provider_rotated_while_the_database_was_away_are_kept(server, world, cluster):
    world.oauth.expires_in, world.oauth.refreshed_expires_in = 30, 3600
    grant_id = world.connect(world.jwt()).grant_id
    world.oauth.token_delay_seconds = 1.0
    refreshing = in_background(world.app.request("GET", world.echo, grant_id=grant_id))
    eventually(lambda: world.oauth.refreshes, "the refresh is under way")
    cluster.stop()
    time.sleep(1.5)
    cluster.start()
    refreshing.exception(30)  # answered or refused: the caller may have been told to come again
    eventually(lambda: use(world, grant_id) == (200, None), "the grant is used", RECOVERY_SECONDS)
    assert world.oauth.refreshes == 1, "the new tokens were lost, and the old one was sent again"


@pytest.mark.alone
def test_a_database_that_freezes_keeps_nobody_waiting_for_ever_and_all_goes_on_when_it_thaws(
    server, connected, cluster
):
    world, _, grant = connected
    assert use(world, grant.grant_id) == (200, None)

    def timed(call: Callable[[], RawAnswer]) -> tuple[RawAnswer, float]:
        began = time.monotonic()
        return call(), time.monotonic() - began

    requests_ready = [retrieval(world, grant.grant_id) for _ in range(12)]
    with cluster.frozen(), ThreadPoolExecutor(14) as pool:
        answers = [pool.submit(timed, each.send) for each in requests_ready]
        ready = pool.submit(requests.get, f"{server.url}/readyz", timeout=30)
        assert requests.get(f"{server.url}/healthz", timeout=5).status_code == 200
        told = [each.result(40) for each in answers]
        assert_unavailable(ready.result(40))
    for answer, seconds in told:
        assert (answer.status, answer.error) == AWAY and answer.headers["retry-after"]
        assert seconds < DEADLINE_SECONDS
    eventually(lambda: use(world, grant.grant_id) == (200, None), "it serves again", RECOVERY_SECONDS)
    assert requests.get(f"{server.url}/readyz", timeout=5).status_code == 200


@pytest.mark.alone
def test_a_table_that_somebody_locks_keeps_nobody_waiting_for_longer_because_others_wait_too(server, connected):
    """As somebody does who changes it by hand. Uses that wait together must not wait for each other's patience."""
    world, _, grant = connected
    ready = [retrieval(world, grant.grant_id) for _ in range(12)]
    with server.database.locked(), ThreadPoolExecutor(len(ready)) as pool:
        # This client gives up after 30 seconds, as the SDK does.
        answers = list(pool.map(RawRequest.send, ready))
    assert {(answer.status, answer.error) for answer in answers} == {AWAY}
    assert all(answer.headers["retry-after"] for answer in answers)
    eventually(lambda: use(world, grant.grant_id) == (200, None), "it serves again", RECOVERY_SECONDS)
    assert len(world.audit(event="credential.retrieved", decision="allow")) == 1


@pytest.mark.alone
def test_connections_that_an_administrator_ends_under_load_cost_no_more_than_a_retry(server, connected, cluster):
    world, _, grant = connected
    with Load(server.url, retrievals(world, grant.grant_id), connections=8, per_second=150) as load:
        load.goes_on(50)
        ended = 0
        for _ in range(6):
            ended += cluster.end_backends(server.storage.url)
            load.goes_on(20, RECOVERY_SECONDS)
    assert ended >= 6
    assert_clean(load, server)
    assert unrecorded(world, load.shots) == set()


def test_whatever_comes_first_after_connections_were_ended_is_done_or_refused_cleanly(server, world, cluster):
    """Also where keys are asked for first, as for a new app, or a token has to be refreshed."""
    world.oauth.expires_in = 30
    grant_id = world.connect(world.jwt()).grant_id

    def managed(method: str, path: str, body: object = None) -> int:
        try:
            world.management.call(method, path, body)
        except ManagementError as refused:
            return refused.status
        return 200

    calls: dict[str, Callable[[], int]] = {
        "a refresh": lambda: use(world, grant_id)[0],
        "a new app": lambda: managed("POST", "/apps", {"name": "Made in between"}),
        "a new key": lambda: managed("POST", f"{world.path}/keys", {"name": "made in between"}),
        "a policy": lambda: managed("PUT", f"{world.path}/policies/{PROVIDER}", {"ip_allowlist": ["127.0.0.0/8"]}),
        "the record": lambda: managed("POST", f"{world.path}/audit/verify"),
    }
    for what, call in [*calls.items()] * 3:
        cluster.end_backends(server.storage.url)
        statuses: list[int] = []

        def is_done() -> bool:
            statuses.append(call())
            return statuses[-1] == 200

        eventually(is_done, f"{what} is done", RECOVERY_SECONDS)
        assert set(statuses) <= {200, 503}, (what, statuses)


@pytest.mark.alone
def test_connections_that_are_cut_without_a_word_end_at_both_ends_within_seconds(cluster, tmp_path):
    """Neither a node that is gone nor a firewall that forgot may keep sessions with their locks, or requests, for hours."""
    storage = PostgresStorage(cluster)
    with Relay(cluster.port) as relay, ExitStack() as ending:
        url = storage.url.replace(f":{cluster.port}/", f":{relay.port}/")
        server = ConfiguredServer(tmp_path, storage, SALLYPORT_DATABASE=url)
        ending.callback(server.kill)
        server.start()
        world = World(server, Management(server.url, server.create_operator().pat))
        grant_id = world.connect(world.jwt()).grant_id
        shots = Swarm(server.url).run(islice(retrievals(world, grant_id), 200), connections=16)
        assert refusals(shots) == {}
        # As a connection is that nobody sets up: it shows that the cut itself ends nothing.
        bare = ending.enter_context(psycopg.connect(url))
        cut = {each.near[0]: each for each in relay.cut()}
        untouched = cut.pop(_local_port(bare))
        assert len(cut) >= 5 and all(is_open(each.near) and is_open(each.far) for each in cut.values())

        eventually(lambda: not any(is_open(each.far) for each in cut.values()), "the sessions end", GONE_SECONDS)
        # The node may have asked something on one of them just before it was given up.
        eventually(lambda: not any(is_open(each.near) for each in cut.values()), "nobody waits", GONE_SECONDS)
        assert is_open(untouched.near) and is_open(untouched.far)
        eventually(lambda: use(world, grant_id) == (200, None), "it serves again", RECOVERY_SECONDS)
        assert verified(server) == (0, "")
        world.close()


def _local_port(connection: psycopg.Connection) -> int:
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        return end.getsockname()[1]


def test_a_database_that_takes_no_connections_is_a_database_that_is_away(server, connected, cluster):
    world, _, grant = connected
    cluster.allow_connections(server.storage.url, 0)
    try:
        cluster.end_backends(server.storage.url)
        assert use(world, grant.grant_id) == AWAY
    finally:
        cluster.allow_connections(server.storage.url)
    eventually(lambda: use(world, grant.grant_id) == (200, None), "it serves again", RECOVERY_SECONDS)


def test_a_database_that_is_a_standby_is_left_for_the_one_that_takes_writes(server, connected, cluster):
    """As after a failover: the address is the same, and the connections are to a server that only reads."""
    world, _, grant = connected
    cluster.allow_writes(server.storage.url, False)
    try:
        cluster.end_backends(server.storage.url)
        eventually(lambda: use(world, grant.grant_id) == AWAY, "it cannot write", 5)
    finally:
        cluster.allow_writes(server.storage.url, True)
    eventually(lambda: use(world, grant.grant_id) == (200, None), "it serves again", RECOVERY_SECONDS)


def test_tables_that_a_newer_version_has_changed_are_noticed_by_a_request_or_two_and_not_by_each_session(new_server):
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat))
    grant_id = world.connect(world.jwt()).grant_id
    # Every session that reads has prepared what will be of no use.
    shots = Swarm(server.url).run(islice(retrievals(world, grant_id), 200), connections=16)
    assert refusals(shots) == {}
    for table in server.database.tables():
        server.database.change(f"ALTER TABLE {table} ADD COLUMN of_a_newer_version TEXT")
    refused = [answer for answer in (use(world, grant_id) for _ in range(30)) if answer != (200, None)]
    assert set(refused) <= {AWAY} and len(refused) <= 2, refused
    world.close()
    assert server.stop() == 0


# Starts that cannot be


def ended_start(server: Server, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A start that should end by itself, soon and with a word about the database."""
    listen = "serve", "--development", "--listen", "127.0.0.1:0"
    done = server.run(*listen, "--data-dir", str(server.data), *options, **environment)
    assert done.returncode == 1 and "database" in done.stderr, (done.returncode, done.stderr)
    assert readable_in({"standard output": done.stdout.encode(), "standard error": done.stderr.encode()}) == []
    return done


def test_a_start_without_its_database_ends_with_a_clear_word_and_works_later(new_server, cluster):
    cluster.stop()
    began = time.monotonic()
    ended_start(new_server)
    for command in ("operator", "create", "--email", "a@example.test"), ("audit", "verify"):
        done = new_server.run(*command, "--data-dir", str(new_server.data))
        assert done.returncode == 1 and "database" in done.stderr
    assert time.monotonic() - began < 3 * DEADLINE_SECONDS
    cluster.start()
    new_server.start()
    assert requests.get(f"{new_server.url}/readyz", timeout=5).status_code == 200
    assert new_server.stop() == 0


@pytest.mark.parametrize("wrong", ["password", "database", "port", "role", "address"])
def test_a_database_that_cannot_be_entered_is_told_without_the_password(new_server, cluster, wrong):
    name = database_name(new_server.storage.url)
    password = canary("a-wrong-password-of-somebody")
    urls = {
        "password": cluster.url(name, password=password),
        "database": cluster.url("no_such_database"),
        "port": cluster.url(name).replace(str(cluster.port), "9"),
        "role": cluster.url(name).replace("//sallyport:", "//nobody:"),
        "address": cluster.url(name).replace("127.0.0.1", "nowhere.invalid"),
    }
    ended_start(new_server, SALLYPORT_DATABASE=urls[wrong])
    ended_start(new_server, "--database", urls[wrong])
    assert cluster.password.encode() not in b"".join(new_server.left().values())


@pytest.mark.parametrize(
    "url", ["postgresql://", "postgresql://sallyport:hunter2-hunter2@127.0.0.1:notaport/x", "postgresql://%zz/x",
            "postgresql://sallyport:hunter2-hunter2@127.0.0.1:1/x?no_such_option=1", "postgres:hunter2-hunter2"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_without_its_secret(new_server, url):
    refused = new_server.run(
        "serve", "--listen", "127.0.0.1:0", "--data-dir", str(new_server.data), SALLYPORT_DATABASE=url
    )
    assert refused.returncode in (1, 2) and "database" in refused.stderr
    assert "hunter2" not in refused.stdout + refused.stderr


def test_a_database_whose_advisory_locks_hold_nobody_off_is_none_to_work_on(new_server, cluster):
    """Some take them and lock nothing, although they speak PostgreSQL's protocol."""
    new_server.database.change("CREATE SCHEMA stubs")
    new_server.database.change(
        "CREATE FUNCTION stubs.pg_advisory_xact_lock(integer, integer) RETURNS void LANGUAGE sql AS 'SELECT'"
    )
    path = "-csearch_path=public,stubs,pg_catalog"
    stubbed = cluster.url(database_name(new_server.storage.url), options=path)
    assert "advisory locks" in ended_start(new_server, SALLYPORT_DATABASE=stubbed).stderr
    assert new_server.database.tables() == []
    new_server.start()
    assert new_server.stop() == 0


def test_threads_that_end_with_the_process_are_not_cleaned_up_behind(tmp_path, cluster):
    """
    Some of them end while the process does. What OpenSSL frees at that moment of a thread, which has it from libpq, the thread
    frees as well: one stop in a thousand crashed.
    """
    libraries = preloaded(tmp_path, "openssl_cleanup", "-lcrypto")
    server = ConfiguredServer(tmp_path, PostgresStorage(cluster), **libraries)
    server.start()
    assert server.stop() == 0
    said = server.log.read_text()
    assert "stopped" in said and "OpenSSL cleans up" not in said


def test_a_command_without_an_installation_says_so_and_makes_none(new_server):
    missing = new_server.run("audit", "verify", "--data-dir", str(new_server.data))
    assert missing.returncode == 1 and "no installation" in missing.stderr
    assert not new_server.data.exists() and new_server.database.tables() == []


# TLS


@pytest.fixture(scope="module")
def guarded():
    """A cluster that speaks TLS and nothing else, with a certificate that no public authority signed."""
    cluster = Cluster(is_tls_required=True)
    cluster.start()
    yield cluster
    cluster.remove()


def test_connections_are_encrypted_and_the_certificate_is_checked_as_the_address_says(guarded, tmp_path):
    server = Server(tmp_path, PostgresStorage(guarded))
    name, listed = database_name(server.storage.url), ("audit", "verify", "--data-dir", str(server.data))

    def url(**options: str) -> dict[str, str]:
        return {"SALLYPORT_DATABASE": guarded.url(name, **options)}

    foreign = tmp_path / "foreign.crt"
    make_certificate(foreign)
    ended_start(server, **url(sslmode="disable"))
    ended_start(server, **url(sslmode="verify-full", sslrootcert=str(foreign)))
    ended_start(server, **url(sslmode="verify-full", sslrootcert=str(tmp_path / "missing.crt")))
    email = "operator", "create", "--email", "operator@example.test", "--data-dir", str(server.data)
    assert server.run(*email, **url(sslmode="require")).returncode == 0
    assert server.run(*listed, **url(sslmode="verify-full", sslrootcert=str(guarded.certificate))).returncode == 0
    # The name in the certificate is that of the address, not any other way to the same machine.
    elsewhere = guarded.url(name, sslmode="verify-full", sslrootcert=str(guarded.certificate))
    ended_start(server, SALLYPORT_DATABASE=elsewhere.replace("127.0.0.1", "localhost"))


# Keys elsewhere


def test_the_key_store_may_be_a_file_or_another_database_and_belongs_to_one_installation(new_server, cluster, tmp_path):
    folder = "--data-dir", str(new_server.data)
    create = "operator", "create", "--email", "operator@example.test", *folder
    places = {
        "file": f"sqlite:{tmp_path / 'keys.db'}",
        "database": cluster.database(),
    }
    for place in places.values():
        storage = PostgresStorage(cluster)
        apart = {"SALLYPORT_DATABASE": storage.url, "SALLYPORT_KEY_STORE": place}
        made = new_server.run(*create, **apart)
        assert made.returncode == 0, made.stderr
        assert "data_keys" not in storage.database.tables() + storage.keys.tables()
        assert verified(new_server, **apart) == (0, "")
    # The database of one installation with the keys of another.
    new_server.create_operator()
    mixed = verified(new_server, SALLYPORT_KEY_STORE=places["file"])
    assert mixed[0] == 1 and "different installations" in mixed[1]


# From SQLite to PostgreSQL


class Moved:
    """An installation on SQLite with something of everything, which is to move."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.server = Server(folder, SQLiteStorage(folder / "data"))
        self.server.start()
        management = Management(self.server.url, self.server.create_operator().pat)
        self.world = world = World(self.server, management, idp_type="auth0")
        enable_sign_in(world)
        self.operator = invite(management, "admin")
        self.stream = Auth0Stream(world)
        self.receiver = StreamReceiver()
        open_webhook(world, self.receiver, from_start=True)
        self.grants = {name: world.connect(world.jwt(name), account=name).grant_id for name in ("alice", "bob", "carol")}
        self.secret = world.add_secret("stats", "bearer", {"token": "a-static-token-of-a-provider"})["grant_id"]
        world.oauth.accepted_headers.add(("authorization", "Bearer a-static-token-of-a-provider"))
        management.put(f"{world.path}/policies/{PROVIDER}", {"ip_allowlist": ["127.0.0.0/8"]})
        management.put(f"{world.path}/audit/retention", {"days": 365})
        management.call("PATCH", f"{world.path}/branding", {"accent_color": "#1f5f5b"})
        management.post(f"{world.path}/users/{world.user('bob')['id']}/suspend", {"reason": "an audit"})
        assert self.stream.send(self.stream.event(name="carol"), authorization=self.stream.secret).ok
        self.used = retrieval(world, self.grants["alice"])
        assert self.used.send().status == 200
        eventually(lambda: self.receiver.taken(), "the stream has begun")
        self.key_set = requests.get(f"{self.server.url}/.well-known/jwks.json", timeout=10).json()
        assert self.server.stop() == 0
        self.tables = content(self.server)

    def close(self) -> None:
        self.receiver.close()
        self.world.close()

    def command(self, url: str) -> list[str]:
        source = f"sqlite:{self.server.data}/sallyport.db"
        return ["migrate-database", "--from", source, "--to", url, "--data-dir", str(self.server.data)]

    def move(self, url: str) -> subprocess.CompletedProcess[str]:
        return self.server.run(*self.command(url))


def content(server: Server) -> dict[str, list[Row]]:
    """Every row of the main database and of the key store, but for what an engine notes of its own schema."""
    places = {"main": server.database, "keys": server.keys}
    return {
        f"{place}.{table}": sorted(database.rows(f"SELECT * FROM {table}"), key=lambda row: repr(sorted(row.items())))
        for place, database in places.items()
        for table in database.tables()
        if table != "schema_migrations" and not table.startswith("sqlite_")
    }


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    moved = Moved(tmp_path_factory.mktemp("moved") / "installation")
    yield moved
    moved.close()


def at_postgresql(moved: Moved, storage: PostgresStorage) -> Server:
    """The same data folder, with its database elsewhere."""
    return Server(moved.folder, storage)


def test_an_installation_moves_to_postgresql_with_everything_that_it_holds(moved, cluster):
    storage = PostgresStorage(cluster)
    done = moved.move(storage.url)
    assert done.returncode == 0, done.stderr
    assert readable_in({"output": done.stdout.encode(), "errors": done.stderr.encode()}) == []
    server = at_postgresql(moved, storage)
    assert content(server) == moved.tables
    assert verified(server) == (0, "")

    server.start()
    world = moved.world.at(server)
    assert moved.used.sending(base_url=server.url).send().error == "nonce_replayed"
    assert world.request(grant_id=moved.grants["alice"]).json()["account"] == "alice"
    assert world.request(grant_id=moved.secret).status_code == 200
    assert world.proxy(provider=PROVIDER, user_token=world.jwt()).status_code == 200
    with pytest.raises(PolicyViolationError) as suspended:
        world.request_as(world.jwt("bob"))
    assert suspended.value.policy_error == "user_suspended"
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=moved.grants["carol"])
    assert wait(world.app.verify_user_token(world.jwt("carol"))) is None
    assert world.connect(world.jwt("dave"), account="dave").grant_id
    assert requests.get(f"{server.url}/.well-known/jwks.json", timeout=10).json() == moved.key_set
    sign_in(server.url, moved.operator.email, moved.operator.password)
    end_of_record = world.audit()[0]["sequence"]
    eventually(lambda: moved.receiver.sequences()[-1] >= end_of_record, "the stream goes on")
    assert moved.receiver.sequences() == sorted(moved.receiver.sequences()) and moved.receiver.forged == []
    world.management.put(f"{world.path}/policies/{PROVIDER}", {"ip_allowlist": ["203.0.113.0/24"]})
    with pytest.raises(PolicyViolationError):
        world.request(grant_id=moved.grants["alice"])
    assert world.management.post(f"{world.path}/audit/verify")["intact"] is True
    assert server.stop() == 0
    assert verified(server) == (0, "")


def test_a_database_that_is_not_empty_is_no_place_to_move_to(moved, cluster, tmp_path):
    taken = Server(tmp_path, PostgresStorage(cluster))
    taken.create_operator()
    foreign = PostgresStorage(cluster)
    foreign.database.change("CREATE TABLE users (id TEXT)")
    for storage in taken.storage, foreign:
        before = {name: storage.database.count(name) for name in storage.database.tables()}
        refused = moved.move(storage.url)
        assert refused.returncode == 1 and "empty" in refused.stderr, refused.stderr
        assert {name: storage.database.count(name) for name in storage.database.tables()} == before
    assert verified(taken) == (0, "")


def keys_at(place: str) -> Database:
    file = place.removeprefix("sqlite:")
    return PostgresSchema(place, KEYS_SCHEMA) if file == place else SQLiteFile(Path(file))


def held(keys: Database) -> dict[str, list[Row]]:
    """All that a key store holds, but for how far the trail has come."""
    tables = set(keys.tables()) - {"schema_migrations", "audit_anchors"}
    return {each: sorted(keys.rows(f"SELECT * FROM {each}"), key=repr) for each in tables}


@pytest.mark.parametrize("kind", ["file", "database", "beside the database"])
def test_a_key_store_that_another_installation_uses_is_no_place_to_move_to(moved, cluster, tmp_path, kind):
    target = PostgresStorage(cluster)
    places = {"file": f"sqlite:{tmp_path / 'keys.db'}", "database": cluster.database(), "beside the database": target.url}
    place = places[kind]
    other = ConfiguredServer(tmp_path, PostgresStorage(cluster), SALLYPORT_KEY_STORE=place)
    other.start()
    try:
        world = World(other, Management(other.url, other.create_operator().pat))
        grant_id = world.connect(world.jwt()).grant_id
        assert use(world, grant_id) == (200, None)
        keys = keys_at(place)
        before, anchors = held(keys), keys.count("audit_anchors")
        assert len(before["data_keys"]) == 2 and before["system_keys"] and before["signing_keys"]
        # The usual place is beside the database.
        there = [] if kind == "beside the database" else ["--to-key-store", place]
        refused = moved.server.run(*moved.command(target.url), *there)
        assert refused.returncode == 1 and "key store is in use" in refused.stderr, refused.stderr
        assert target.database.tables() == []
        assert held(keys) == before and keys.count("audit_anchors") >= anchors
        assert use(world, grant_id) == (200, None)
        assert world.connect(world.jwt("bob"), account="bob").grant_id
        assert other.stop() == 0
        assert verified(other) == (0, "")
        world.close()
    finally:
        other.kill()
    assert content(moved.server) == moved.tables


class Copied:
    """A small installation on SQLite, and its copy with a key store of its own, which serves."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.original = Server(folder, SQLiteStorage(folder / "data"))
        self.original.start()
        world = World(self.original, Management(self.original.url, self.original.create_operator().pat))
        self.grant_id = world.connect(world.jwt()).grant_id
        assert self.original.stop() == 0
        self.place = cluster.database()
        self.keys = keys_at(self.place)
        copy = PostgresStorage(cluster)
        done = self.move(copy.url)
        assert done.returncode == 0, done.stderr
        self.server = ConfiguredServer(folder, copy, SALLYPORT_KEY_STORE=self.place)
        self.server.start()
        self.world = world.at(self.server)

    def move(self, url: str) -> subprocess.CompletedProcess[str]:
        """To another database, with the key store of the copy."""
        source = f"sqlite:{self.original.data}/sallyport.db"
        command = ["migrate-database", "--from", source, "--to", url, "--to-key-store", self.place]
        return self.original.run(*command, "--data-dir", str(self.original.data))

    def close(self) -> None:
        self.server.kill()
        self.original.kill()
        self.world.close()


@pytest.fixture
def copied(tmp_path, cluster):
    copied = Copied(tmp_path, cluster)
    yield copied
    copied.close()


def assert_taken(copied: Copied, cluster: Cluster) -> None:
    """Its key store is no place to move to, and is as it was."""
    assert copied.server.stop() == 0
    before = held(copied.keys), sorted(copied.keys.query("SELECT chain, sequence FROM audit_anchors"))
    target = PostgresStorage(cluster)
    refused = copied.move(target.url)
    assert refused.returncode == 1 and "key store is in use" in refused.stderr, (refused.stdout, refused.stderr)
    assert target.database.tables() == []
    assert (held(copied.keys), sorted(copied.keys.query("SELECT chain, sequence FROM audit_anchors"))) == before
    assert verified(copied.server) == (0, "")


def test_the_key_store_of_a_copy_that_has_made_keys_since_is_no_place_to_move_to_again(copied, cluster):
    grant_id = copied.world.connect(copied.world.jwt("bob"), account="bob").grant_id
    assert_taken(copied, cluster)
    copied.server.start()
    assert use(copied.world, grant_id) == (200, None)


@pytest.mark.parametrize("since", ["a use", "the end of an app"])
def test_the_key_store_of_a_copy_that_serves_is_taken_although_it_has_made_no_key(copied, cluster, since):
    """Else the trail would be held against a place where it was before, and keys that were destroyed since would be back."""
    world = copied.world
    assert use(world, copied.grant_id) == (200, None)
    if since == "the end of an app":
        keys = copied.keys.count("data_keys")
        world.management.delete(world.path, confirm=world.management.get(world.path)["name"])
        assert copied.keys.count("data_keys") < keys
    assert_taken(copied, cluster)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_key_store_is_no_place_to_be_copied_to_by_another_spelling_of_its_address(copied, cluster, engine):
    folder, target = copied.original.data, PostgresStorage(cluster)
    assert copied.server.stop() == 0
    if engine == "sqlite":
        source, spelt = f"sqlite:{folder}/sallyport.db", f"sqlite:{folder}/../{folder.name}/keys.db"
        options = ["--from", source, "--to-key-store", spelt]
    else:
        spelt = copied.place.replace("postgresql://", "postgres://")
        options = ["--from", copied.server.storage.url, "--from-key-store", copied.place, "--to-key-store", spelt]
    refused = copied.original.run("migrate-database", *options, "--to", target.url, "--data-dir", str(folder))
    assert refused.returncode != 0 and "key store" in refused.stderr, refused.stdout
    assert target.database.tables() == []


def test_a_source_that_is_not_there_makes_nothing(moved, cluster, tmp_path):
    storage = PostgresStorage(cluster)
    nowhere = tmp_path / "mistyped.db"
    command = ["migrate-database", "--from", f"sqlite:{nowhere}", "--to", storage.url]
    missing = moved.server.run(*command, "--data-dir", str(moved.server.data))
    assert missing.returncode == 1 and not nowhere.exists()
    assert storage.database.tables() == []


@pytest.mark.timeout(60 + 15 * KILLS)
def test_a_move_that_is_cut_leaves_nothing_that_is_half_used(moved, cluster, tmp_path):
    whole = PostgresStorage(cluster)
    began = time.monotonic()
    assert moved.move(whole.url).returncode == 0
    seconds = time.monotonic() - began
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    outcomes = []
    for number in range(KILLS):
        storage = PostgresStorage(cluster)
        at = seconds * (number + chance.random()) / KILLS
        process = Process([BINARY, *moved.command(storage.url)], tmp_path / "move.log")
        time.sleep(at)
        process.kill()
        server = at_postgresql(moved, storage)
        is_usable = verified(server)[0] == 0
        if is_usable:
            assert content(server) == moved.tables, (seed, at)
        else:
            if storage.database.tables() + storage.keys.tables():
                ended_start(server)
            again = moved.move(storage.url)
            # Begun again from nothing, or sent to a fresh place with a word about it.
            if again.returncode != 0:
                assert again.returncode == 1 and "empty" in again.stderr, (seed, at, again.stderr)
                storage = PostgresStorage(cluster)
                assert moved.move(storage.url).returncode == 0
            assert content(at_postgresql(moved, storage)) == moved.tables, (seed, at)
        outcomes.append("done" if is_usable else "cut")
    assert "cut" in outcomes, (seed, outcomes)
    assert content(moved.server) == moved.tables, "the source is as it was"
