"""What was acknowledged is still true after a crash, and no secret of a run can be read on the disk."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alter_sdk import AlterSDKError, GrantDeletedError, GrantRevokedError, PolicyViolationError

from harness.canaries import readable_in
from harness.database import ENGINE
from harness.load import use
from harness.management import Management, ManagementError
from harness.sdk import wait
from harness.server import Server
from harness.signer import RawRequest, Signer
from harness.waiting import eventually
from harness.webhooks import Auth0Stream
from harness.world import PROVIDER, World

KILLS = int(os.environ.get("SALLYPORT_KILLS", "12"))
"""How often the story is cut; `make faults` asks for many more."""


def test_a_killed_server_still_knows_every_acknowledged_grant_revocation_and_record(new_server):
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat))
    kept = world.connect(world.jwt())
    revoked = world.connect(world.jwt("bob"), account="bob")
    gone = world.connect(world.jwt("carol"), account="carol")
    wait(world.app.revoke_grant(revoked.grant_id))
    world.request(grant_id=kept.grant_id)
    before = {record["id"]: record for record in world.audit()}
    world.management.post(f"{world.path}/users/{world.user('carol')['id']}/deprovision", {"reason": "left"})
    server.kill()

    server.start()
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=gone.grant_id)
    with pytest.raises(PolicyViolationError):
        world.request_as(world.jwt("carol"))
    with pytest.raises(GrantRevokedError):
        world.request(grant_id=revoked.grant_id)
    assert world.request(grant_id=kept.grant_id).json()["account"] == "alice"
    after = {record["id"]: record for record in world.audit()}
    assert {key: after.get(key) for key in before} == before
    world.close()
    assert server.stop() == 0


class Story:
    """The demo's story, told over and over; what was acknowledged is noted with a check that must hold for ever."""

    def __init__(self, world: World, stream: Auth0Stream) -> None:
        self._world = world
        self._stream = stream
        self._chapter = 0
        self.acknowledged: list[tuple[str, Callable[[], bool]]] = []
        self.records: dict[str, dict] = {}

    def tell(self) -> None:
        """Ends with the server."""
        try:
            while True:
                self.tell_chapter()
        except (AlterSDKError, OSError, AssertionError, ValueError):
            return

    def tell_chapter(self) -> None:
        self._chapter += 1
        self._tell(f"person-{os.getpid()}-{self._chapter}-{time.monotonic_ns()}")

    def _note(self, what: str, check: Callable[[], bool]) -> None:
        self.acknowledged.append((what, check))

    def _tell(self, name: str) -> None:
        world, jwt = self._world, self._world.jwt(name)
        kept = world.connect(jwt, account=name).grant_id
        self._note(f"{kept} was connected", lambda: self._status(kept) in ("active", "revoked"))
        world.request(grant_id=kept)
        world.proxy(grant_id=kept)
        for record in world.audit(grant_id=kept):
            self.records[record["id"]] = record
        other = world.connect(world.jwt(f"{name}-b"), account=f"{name}-b").grant_id
        wait(world.app.revoke_grant(other))
        self._note(f"{other} was revoked", lambda: self._refused(other, GrantRevokedError))
        assert self._stream.send(self._stream.event(name=name), authorization=self._stream.secret).ok
        self._note(f"{name} was deprovisioned", lambda: self._refused(kept, GrantDeletedError))
        self._note(f"{name} stays deprovisioned", lambda: self._is_gone(name))

    def _status(self, grant_id: str) -> str:
        return self._world.management.get(f"{self._world.path}/grants/{grant_id}")["status"]

    def _refused(self, grant_id: str, error: type[Exception]) -> bool:
        try:
            self._world.request(grant_id=grant_id)
        except error:
            return True
        return False

    def _is_gone(self, name: str) -> bool:
        try:
            self._world.request_as(self._world.jwt(name))
        except PolicyViolationError as refused:
            return refused.policy_error == "user_deprovisioned"
        return False


@pytest.mark.timeout(30 + 10 * KILLS)
def test_killed_at_any_moment_of_the_story_nothing_acknowledged_is_lost(new_server):
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat), idp_type="auth0")
    story = Story(world, Auth0Stream(world))
    began = time.monotonic()
    story.tell_chapter()
    # However slow the machine is, chapters end in it.
    window_seconds = max(0.6, 3 * (time.monotonic() - began))
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for round_number in range(KILLS):
        teller = threading.Thread(target=story.tell)
        teller.start()
        time.sleep(chance.uniform(0.0, window_seconds))
        server.kill()
        teller.join(60)
        assert not teller.is_alive()
        server.start()
        # The newest notes are those that a lost write would take; the last round looks at all.
        notes = story.acknowledged if round_number == KILLS - 1 else story.acknowledged[-12:]
        lost = [what for what, check in notes if not check()]
        assert lost == [], (seed, round_number, lost)
    after = {record["id"]: record for record in world.audit()}
    assert {key: after.get(key) for key in story.records} == story.records
    ends = sum("was deprovisioned" in what for what, _ in story.acknowledged)
    assert ends > 1, "the story came to its end only where nobody was killed"
    verified = server.run("audit", "verify", "--data-dir", str(server.data))
    assert verified.returncode == 0, verified.stderr
    assert readable_in(server.stored()) == []
    world.close()
    assert server.stop() == 0


def test_no_secret_is_readable_in_the_data_folder_or_in_the_log_while_the_server_runs(connected):
    world, jwt, grant = connected
    world.request_as(jwt)
    world.proxy(grant_id=grant.grant_id)
    world.add_secret("stats", "bearer", {"token": "a-static-token-of-a-provider"})
    assert readable_in(world.server.stored()) == []


# Files that do not belong together


def test_a_restored_backup_of_the_database_brings_nobody_back(new_server):
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat), idp_type="auth0")
    stream = Auth0Stream(world)
    grant = world.connect(world.jwt())
    kept = world.connect(world.jwt("bob"), account="bob")
    assert wait(world.app.verify_user_token(world.jwt("carol"))) == world.subject("carol")
    assert server.stop() == 0
    backup = server.storage.backup()
    server.start()
    # One with tokens, one who never connected anything, and one whom the backup does not know at all.
    for name in "alice", "carol", "dave":
        assert stream.send(stream.event(name=name), authorization=stream.secret).ok
    assert server.stop() == 0

    server.storage.restore(backup)
    server.start()
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=grant.grant_id)
    with pytest.raises(PolicyViolationError) as refused:
        wait(world.app.create_connect_session(allowed_providers=["acme"], user_token=world.jwt()))
    assert refused.value.policy_error == "user_deprovisioned"
    for name in "alice", "carol", "dave":
        assert wait(world.app.verify_user_token(world.jwt(name))) is None
        assert world.user(name)["status"] == "deprovisioned"
    # An operator's word is newer than the key store's, and stays so over the next start.
    world.management.post(f"{world.path}/users/{world.user('carol')['id']}/restore", {"reason": "back again"})
    server.restart()
    assert world.user("carol")["status"] == "active"
    assert world.request(grant_id=kept.grant_id).json()["account"] == "bob"
    # The trail was rolled back with the database, and does not hide it.
    verified = server.run("audit", "verify", "--data-dir", str(server.data))
    assert (verified.returncode, "rolled back" in verified.stderr or "not the one" in verified.stderr) == (1, True)
    assert "does not hold" in server.log.read_text()
    world.close()
    assert server.stop() == 0


def test_an_emptied_trail_is_noticed(new_server):
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat))
    world.connect(world.jwt())
    assert server.stop() == 0
    verify = ("audit", "verify", "--data-dir", str(server.data))
    assert server.run(*verify).returncode == 0
    for table in "audit_records", "audit_heads":
        server.database.change(f"DELETE FROM {table}")
    emptied = server.run(*verify)
    assert emptied.returncode == 1 and "record 1" in emptied.stderr
    world.close()


@pytest.mark.sqlite("one server for one folder")
def test_only_one_server_works_on_a_folder_and_commands_work_beside_it(new_server, tmp_path):
    server = new_server
    server.start()
    second = server.run("serve", "--development", "--listen", "127.0.0.1:0", "--data-dir", str(server.data))
    assert second.returncode == 1 and "another server" in second.stderr
    assert server.create_operator("beside@example.test").pat
    assert server.run("audit", "verify", "--data-dir", str(server.data)).returncode == 0
    nowhere = tmp_path / "mistyped"
    missing = server.run("audit", "verify", "--data-dir", str(nowhere))
    assert missing.returncode == 1 and "no installation" in missing.stderr and not nowhere.exists()
    assert server.stop() == 0


@pytest.mark.sqlite("database and keys are files that can be mixed")
def test_a_database_is_not_opened_beside_the_keys_of_another(new_server, tmp_path):
    server = new_server
    server.create_operator()
    other = Server(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.create_operator()
    mixed = server.run(
        "audit", "verify", "--data-dir", str(server.data), "--database", f"sqlite:{other.data}/sallyport.db"
    )
    assert mixed.returncode == 1 and "different installations" in mixed.stderr


@pytest.mark.sqlite("the modes of its files")
def test_the_database_files_are_private_wherever_they_are(new_server, tmp_path):
    server = new_server
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    made = server.run(
        "operator", "create", "--email", "a@example.test", "--data-dir", str(server.data),
        "--database", f"sqlite:{elsewhere}/vault.db",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    files = [*server.data.iterdir(), *elsewhere.iterdir()]
    assert len(files) >= 3
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []


# Writes that are committed together


class Together:
    """Uses of two apps that wait for the same commit, as far as one is for both."""

    OBSTACLE = "NEW.decision = 'allow' AND NEW.record LIKE '%obstacle%'"
    """Of the records of some of them; whoever refuses these is on record for that."""

    def __init__(self, grants: dict[str, World], each: int) -> None:
        self._worlds = list(grants.values())
        requests = [self._use(world, grant, n) for grant, world in grants.items() for n in range(each)]
        with ThreadPoolExecutor(len(requests)) as pool:
            with self._worlds[0].server.database.locked():
                under_way = [(reason, pool.submit(request.send)) for reason, request in requests]
                time.sleep(1)
                assert not any(answer.done() for _, answer in under_way)
            self.answers = [(reason, answer.result(30)) for reason, answer in under_way]

    @staticmethod
    def _use(world: World, grant_id: str, number: int) -> tuple[str, RawRequest]:
        reason = "obstacle" if number % 3 == 1 else "fine"
        body = {"grant_id": grant_id, "reason": reason, "request": {"method": "GET", "url": world.echo}}
        return reason, world.signer().request("POST", "/sdk/token", body)

    def counted(self) -> Counter[tuple[str, int]]:
        return Counter((reason, answer.status) for reason, answer in self.answers)

    def assert_clean(self) -> None:
        """What was answered is what is on record, and whoever is refused is told nothing of the database."""
        decisions = {
            record["request_id"]: record["decision"]
            for world in self._worlds
            for record in world.audit(event="credential.retrieved")
        }
        for _, answer in self.answers:
            is_allowed = answer.status == 200
            # The record of a refusal may have been in a commit that failed as well.
            recorded = decisions.pop(answer.headers["x-request-id"], None)
            assert recorded == "allow" if is_allowed else recorded in ("deny", None)
            assert is_allowed or answer.error in ("service_unavailable", "internal")
            assert is_allowed or not any(word in answer.body for word in (b"obstacle", b"SQL", b"audit_records"))
        assert decisions == {}
        for world in self._worlds:
            assert world.management.post(f"{world.path}/audit/verify")["intact"] is True


@pytest.fixture
def grants(world, foreign_world):
    """One of each of two apps."""
    return {each.connect(each.jwt()).grant_id: each for each in (world, foreign_world)}


def test_of_uses_that_are_committed_together_those_fail_that_cannot_be_stored_and_no_others(server, grants):
    for world in grants.values():
        # For the good ones, and one more at a time: what fails counts for nothing.
        limit = {"requests": 9, "per_seconds": 3600, "per": "app"}
        world.management.put(f"{world.path}/policies/{PROVIDER}", {"rate_limit": limit})
    with server.database.refusing("audit_records", Together.OBSTACLE):
        together = Together(grants, each=12)
    failed = 500 if ENGINE == "sqlite" else 503
    assert together.counted() == {("fine", 200): 16, ("obstacle", failed): 8}
    together.assert_clean()
    for grant_id, world in grants.items():
        assert len(world.audit(event="credential.retrieved", decision="deny")) == 4
        assert use(world, grant_id) == (200, None)
        assert use(world, grant_id) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize("what", ["transaction", "commit"])
def test_uses_that_are_committed_together_fail_together_where_nothing_can_be_committed(server, grants, what):
    with server.database.refusing("audit_records", Together.OBSTACLE, what):
        together = Together(grants, each=12)
    counted = together.counted()
    assert sum(count for (reason, status), count in counted.items() if reason == "obstacle" and status >= 500) == 8
    assert sum(count for (reason, status), count in counted.items() if reason == "fine" and status >= 500) > 0
    together.assert_clean()
    for grant_id, world in grants.items():
        assert use(world, grant_id) == (200, None)


# A newer version beside the server


def listed(world: World) -> dict[str, list[dict[str, Any]]]:
    lists = "grants", "users", "keys", "managed-secrets", "oauth-providers", "audit"
    return {each: world.management.items(f"{world.path}/{each}") for each in lists}


def test_columns_that_a_newer_version_adds_change_nothing_of_what_the_server_reads(new_server):
    """As in the minutes of an update: the database is migrated under a server that has its statements prepared."""
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat))
    # A list of grants reads columns of the table, and their end after them.
    world.management.put(f"{world.path}/policies/{PROVIDER}", {"grant_ttl": {"default_seconds": 3600}})
    world.add_secret("stats", "bearer", {"token": "a-static-token-of-a-provider"})
    grant_id = world.connect(world.jwt()).grant_id
    assert use(world, grant_id) == (200, None)
    before = listed(world)
    assert all(before.values()) and any(grant["grant_expires_at"] for grant in before["grants"])
    for database in server.database, server.keys:
        for table in database.tables():
            if not table.startswith("sqlite_"):
                database.change(f"ALTER TABLE {table} ADD COLUMN of_a_newer_version TEXT")

    def read() -> dict[str, list[dict[str, Any]]] | None:
        try:
            return listed(world)
        except ManagementError as refused:
            # On PostgreSQL, a session whose statements are too old ends with the first of them.
            assert ENGINE == "postgresql" and refused.status == 503
            return None

    assert eventually(read, "the lists are read") == before
    eventually(lambda: use(world, grant_id) == (200, None), "the grant is used")
    assert len(world.audit(event="credential.retrieved", decision="allow")) == 2
    assert world.management.post(f"{world.path}/audit/verify")["intact"] is True
    world.close()
    assert server.stop() == 0


def test_columns_that_stand_in_another_order_are_read_by_their_names(new_server):
    """As in a table that a newer version has built again: as many columns as before, in other places."""
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat))
    grant_id = world.connect(world.jwt()).grant_id
    bound = Signer(server.url, world.new_key(cidr_allowlist=["203.0.113.0/24"]))
    before = listed(world)
    assert bound.send("GET", "/sdk/scopes").error == "ip_not_allowed"
    with server.database.locked() as change:
        change("ALTER TABLE api_keys ADD COLUMN moved TEXT")
        change("UPDATE api_keys SET moved = cidr_allowlist")
        change("ALTER TABLE api_keys DROP COLUMN cidr_allowlist")
        change("ALTER TABLE api_keys RENAME COLUMN moved TO cidr_allowlist")
    eventually(lambda: use(world, grant_id) == (200, None), "the grant is used", 5)
    assert listed(world)["keys"] == before["keys"]
    assert bound.send("GET", "/sdk/scopes").error == "ip_not_allowed"
    world.close()
    assert server.stop() == 0
