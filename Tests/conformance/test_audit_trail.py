"""The audit trail: what it holds, how it is searched, exported, sent and counted, and that nobody changes it unseen."""

import base64
import csv
import hashlib
import http.client
import io
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from alter_sdk import AlterSDKError, BlockedDestinationError
from joserfc import jws
from joserfc.jwk import KeySet

from harness.audit_streams import StreamReceiver, open_webhook, streams
from harness.canaries import canary, known_secrets
from harness.configured import ConfiguredServer, ShiftedServer
from harness.jose import SigningKey, base64url, compact, encoded, hs256
from harness.local_http import Answer
from harness.management import Management, ManagementError
from harness.prometheus import Figures, scrape
from harness.sdk import wait
from harness.server import Server
from harness.waiting import eventually, free_port
from harness.webhooks import Auth0Stream
from harness.world import PROVIDER, World

NOBODY = "00000000-0000-4000-8000-000000000000"
ELSEWHERE = "https://elsewhere.test/steal"
LINK = ("chain", "sequence", "previous_hash", "hash")
REPORT = "/sdk/oauth/audit/api-call"
FORMULAS = ['=HYPERLINK("http://evil.test","x")', "+1+1", "-2+3|cmd", "@SUM(A1:A9)", "\t=1", "\r=1"]
ODD_CONTEXT = {"text": 'é "quoted", line\nfeed \u2028 </script> \U0001f511', "numbers": [1.5, 1e30, -0.0, 10**18]}


def new_world(server: Server, **identity_provider: Any) -> World:
    return World(server, Management(server.url, server.create_operator().pat), **identity_provider)


def occurred(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["occurred_at"])


def refusal(call: Callable, *arguments: Any, **options: Any) -> tuple[int, str]:
    with pytest.raises(ManagementError) as refused:
        call(*arguments, **options)
    return refused.value.status, refused.value.body["error"]


@pytest.fixture(scope="module")
def trail(server, management):
    """A world with two users, two providers and something of everything on record; nothing is added to it unasked."""
    world = World(server, management)
    secret = world.add_secret("stats", "bearer", {"token": f"a-static-token-{secrets.token_hex(8)}"})
    alice = world.connect(world.jwt()).grant_id
    bob = world.connect(world.jwt("bob"), account="bob").grant_id
    for reason in FORMULAS:
        world.proxy(grant_id=alice, reason=reason)
    world.proxy(grant_id=bob, reason='two\nlines, "quoted", é', context={"run": "=1+1", "tool": "t"})
    world.proxy(grant_id=secret["grant_id"])
    for grant in alice, bob:
        with pytest.raises(BlockedDestinationError):
            world.proxy(url=ELSEWHERE, grant_id=grant)
    assert report(world, bob, request_body=ODD_CONTEXT).status == 200
    yield world
    world.close()


def report(world: World, grant_id: str, **members: Any) -> Any:
    body = {"grant_id": grant_id, "provider_id": PROVIDER, "method": "GET", "url": world.echo, "response_status": 200}
    return world.signer().send("POST", REPORT, {**body, **members})


def exported(world: World, **filters: Any) -> list[str]:
    """The lines of an NDJSON export."""
    answer = world.management.fetch(f"{world.path}/audit/export", format="ndjson", **filters)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert answer.content.endswith(b"\n") or not answer.content
    return answer.content.decode().split("\n")[:-1]


def exported_csv(world: World, **filters: Any) -> list[dict[str, str]]:
    answer = world.management.fetch(f"{world.path}/audit/export", format="csv", **filters)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), strict=True))


@pytest.fixture(scope="module", autouse=True)
def never_answered(server, management):
    """A stream whose receiver hangs from the beginning of the module, so that no test waits for the limit alone."""
    world, hanging = World(server, management), StreamReceiver()
    hanging.hangs.set()
    world.management.post(streams(world), {"kind": "otlp", "url": hanging.url("/"), "from_start": True})
    yield world, hanging
    hanging.close()
    world.close()


# Searching


@pytest.mark.parametrize("name", ["event", "decision", "provider_id", "user_id", "grant_id", "request_id"])
def test_a_filter_lists_exactly_what_has_its_value(trail, name):
    everything = trail.audit()
    values = list({record[name]: None for record in everything if record[name]})
    assert len(values) > 1
    for value in values[:6]:
        assert trail.audit(**{name: value}) == [record for record in everything if record[name] == value], value


def test_the_bounds_of_time_are_inclusive_and_mean_the_same_in_every_zone(trail):
    everything = trail.audit()
    moments = sorted({record["occurred_at"] for record in everything}, key=datetime.fromisoformat)
    first, last = moments[len(moments) // 3], moments[2 * len(moments) // 3]
    since = [record for record in everything if occurred(record) >= datetime.fromisoformat(first)]
    between = [record for record in since if occurred(record) <= datetime.fromisoformat(last)]
    assert trail.audit(**{"from": first}) == since and len(between) < len(since) < len(everything)
    assert trail.audit(**{"from": first, "to": last}) == between
    elsewhere = datetime.fromisoformat(first).astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    assert trail.audit(**{"from": elsewhere, "to": last}) == between
    assert trail.audit(**{"from": last, "to": first}) == []


def test_filters_together_list_what_fits_all_of_them(trail):
    user = trail.user("bob")["id"]
    found = trail.audit(event="credential.proxied", decision="deny", user_id=user, provider_id=PROVIDER)
    assert [record["url"] for record in found] == [ELSEWHERE]
    assert trail.audit(event="credential.proxied", decision="allow", user_id=user, grant_id=NOBODY) == []
    assert trail.audit(event="credential", user_id=user) == [], "an event is compared as a whole"


def test_a_filter_by_agent_lists_nothing_yet_wherever_it_is_asked(trail):
    assert trail.audit(agent_id=NOBODY) == []
    assert exported(trail, agent_id=NOBODY) == [] and exported_csv(trail, agent_id=NOBODY) == []


@pytest.mark.parametrize("bad", [{"from": "yesterday"}, {"decision": "maybe"}, {"user_id": "alice"}, {"nobody": "x"}])
def test_a_filter_that_cannot_be_read_is_refused_and_not_ignored(trail, bad):
    for path in "audit", "audit/export":
        assert refusal(trail.management.get, f"{trail.path}/{path}", **bad)[0] == 422, path


def test_an_export_has_one_of_two_formats(trail):
    assert refusal(trail.management.get, f"{trail.path}/audit/export", format="xml")[0] == 422
    assert json.loads(trail.management.fetch(f"{trail.path}/audit/export").text.splitlines()[0])["sequence"] == 1


def test_pages_neither_repeat_nor_leave_out_a_record_while_others_are_written(world):
    for number in range(9):
        world.management.put(f"{world.path}/policies/{PROVIDER}", {"allowed_groups": [f"g{number}"]})
    everything, found, cursor = world.audit(), [], None
    while True:
        page = world.management.get(f"{world.path}/audit", limit=3, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
        world.new_key()
    assert found == everything and len(found) > 9
    sequences = [record["sequence"] for record in found]
    assert sequences == list(range(len(found), 0, -1))


# Exports


FILTERS = [
    {},
    {"event": "credential.proxied"},
    {"decision": "deny"},
    {"provider_id": PROVIDER, "decision": "allow"},
    {"to": "2020-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda filters: "+".join(filters) or "none")
def test_an_export_holds_what_the_list_holds_oldest_first(trail, filters):
    lines = [json.loads(line) for line in exported(trail, **filters)]
    listed = trail.audit(**filters)
    assert [line["id"] for line in lines] == [record["id"] for record in reversed(listed)]
    for line, record in zip(lines, reversed(listed), strict=True):
        assert {name: record[name] for name in line if name in record} == {k: v for k, v in line.items() if k in record}
    rows = exported_csv(trail, **filters)
    assert [row["id"] for row in rows][: len(lines)] == [line["id"] for line in lines]


def test_exports_by_user_grant_request_and_time_hold_what_the_list_holds(trail):
    some = trail.audit(event="credential.proxied", decision="allow")[2]
    for filters in (
        {"user_id": some["user_id"]},
        {"grant_id": some["grant_id"]},
        {"request_id": some["request_id"]},
        {"from": some["occurred_at"], "to": some["occurred_at"]},
    ):
        expected = [record["id"] for record in reversed(trail.audit(**filters))]
        assert some["id"] in expected
        assert [json.loads(line)["id"] for line in exported(trail, **filters)] == expected
        assert [row["id"] for row in exported_csv(trail, **filters)] == expected


def harmless(text: str) -> str:
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def test_every_row_of_a_csv_export_says_what_the_record_says_and_runs_no_formula(trail):
    rows = exported_csv(trail)
    records = [json.loads(line) for line in exported(trail)][: len(rows)]
    assert [row["id"] for row in rows] == [record["id"] for record in records]
    for row, record in zip(rows, records, strict=True):
        for name in row.keys() & {*record, "reason", "url", "status", "user_id", "trace_id"} - {"context", "principal"}:
            value = record.get(name)
            assert row[name] == ("" if value is None else harmless(value) if isinstance(value, str) else str(value))
        principal = record["principal"]
        who = principal.get("key_prefix") or principal.get("operator_id") or principal.get("user_id") or ""
        assert (row["principal_type"], row["principal"]) == (principal["type"], who)
        assert json.loads(row["context"] or "null") == record.get("context")
        assert row["error"] == record.get("details", {}).get("error", "")
    assert {row["reason"] for row in rows} >= {harmless(formula) for formula in FORMULAS}
    assert [cell for row in rows for cell in row.values() if cell and cell[0] in "=+-@\t\r"] == []


def test_a_long_export_streams_and_ends_where_the_record_was_when_it_began(new_server):
    """Through a server that holds only a part of it at a time."""
    new_server.start()
    world = new_world(new_server)
    grant = world.connect(world.jwt()).grant_id
    body = {"grant_id": grant, "provider_id": PROVIDER, "method": "GET", "url": world.echo, "response_status": 200}
    body |= {"request_body": "x" * 9_900, "response_body": "y" * 9_900}
    write_reports(world, body, threads=12, each=150)

    memory = [scrape(new_server.url).value("process_resident_memory_bytes")]
    started = time.monotonic()
    headers = {"Authorization": world.management.authorization}
    url = f"{new_server.url}/api/v1{world.path}/audit/export"
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
        chunks = answer.iter_content(64 * 1024)
        received = [next(chunks)]
        first = time.monotonic() - started
        # A reader that rests holds up nobody, and nothing piles up for it.
        world.management.put(f"{world.path}/policies/{PROVIDER}", {"allowed_groups": ["eng"]})
        assert report(world, grant).status == 200
        time.sleep(0.5)
        memory.append(scrape(new_server.url).value("process_resident_memory_bytes"))
        received += chunks
    memory.append(scrape(new_server.url).value("process_resident_memory_bytes"))
    assert first < (time.monotonic() - started) / 2, "its beginning is there long before its end"
    content = b"".join(received)
    lines = content.splitlines()
    # A page of it, in the several forms in which a page is held: all of it would take three times as much as this.
    assert len(content) > 35_000_000 and max(memory) - memory[0] < 3 * len(content), (len(content), memory)
    [own] = world.audit(event="audit.exported")
    assert json.loads(lines[-1])["id"] == own["id"]
    assert verified_in_plain_python([line.decode() for line in lines], world.app_id) == own["sequence"] > 1800
    world.close()
    assert new_server.stop() == 0


def write_reports(world: World, body: dict[str, Any], threads: int, each: int) -> None:
    refused: list[int] = []

    def write() -> None:
        connection = http.client.HTTPConnection(urlsplit(world.server.url).netloc, timeout=30)
        for _ in range(each):
            request = world.signer().request("POST", REPORT, body)
            headers = {**dict(request.headers), "Content-Type": "application/json"}
            connection.request("POST", REPORT, request.body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                refused.append(answer.status)
        connection.close()

    writers = [threading.Thread(target=write) for _ in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert refused == []


# A file verifies by itself


def record_text(line: str) -> str:
    """The record as it was written: the line without what says where it stands."""
    return line[: line.rindex(',"chain":"')] + "}"


def link_hash(previous: str, sequence: int, text: str) -> str:
    return hashlib.sha256(bytes.fromhex(previous) + f"{sequence}:{text}".encode()).hexdigest()


def verified_in_plain_python(lines: list[str], app_id: str) -> int:
    """Holds a whole export against itself; answers how many records it has."""
    previous = hashlib.sha256(f"audit-chain:{app_id}".encode()).hexdigest()
    for number, line in enumerate(lines, 1):
        record = json.loads(line)
        assert [record[name] for name in LINK[:3]] == [app_id, number, previous], number
        text = record_text(line)
        assert json.loads(text) == {name: value for name, value in record.items() if name not in LINK}
        previous = link_hash(previous, number, text)
        assert record["hash"] == previous, number
    return len(lines)


def test_an_export_verifies_in_plain_python(trail):
    assert verified_in_plain_python(exported(trail), trail.app_id) > 20


@pytest.fixture(scope="module")
def evidence(trail, tmp_path_factory):
    """An export, and a checkpoint that was saved just after it."""
    folder = tmp_path_factory.mktemp("evidence")
    lines = exported(trail)
    checkpoint = trail.management.get(f"{trail.path}/audit/checkpoints")["items"][0]
    assert checkpoint["sequence"] == len(lines)
    (folder / "checkpoint.json").write_text(json.dumps(checkpoint))
    (folder / "keys.json").write_text(requests.get(f"{trail.server.url}/.well-known/jwks.json", timeout=10).text)
    return Evidence(trail, folder, lines, checkpoint["statement"])


@dataclass(frozen=True)
class Evidence:
    world: World
    folder: Path
    lines: list[str]
    statement: str

    def verify(self, lines: list[str], *options: str) -> tuple[int, str]:
        """The verdict of the command line, which has neither server nor data folder."""
        file = self.folder / "export.ndjson"
        file.write_text("".join(line + "\n" for line in lines))
        nowhere = self.folder / "nowhere"
        done = self.world.server.run("audit", "verify", str(file), *options, "--data-dir", str(nowhere))
        assert not nowhere.exists()
        return done.returncode, done.stderr or done.stdout

    def verify_against(self, lines: list[str], statement: str | None = None) -> tuple[int, str]:
        """The same with the checkpoint that was saved, or another one."""
        saved = self.folder / "checkpoint.json"
        if statement is not None:
            saved = self.folder / "other.jws"
            saved.write_text(statement + "\n")
        return self.verify(lines, "--checkpoint", str(saved), "--keys", str(self.folder / "keys.json"))


def names(said: tuple[int, str], sequence: int, chain: str) -> bool:
    return said[0] == 1 and f"at record {sequence} of {chain}:" in said[1]


def test_an_intact_export_verifies_without_the_vault(evidence):
    records = len(evidence.lines)
    code, said = evidence.verify(evidence.lines)
    assert code == 0 and said.startswith(f"The audit chain is intact: {records} records.\n")
    assert evidence.verify_against(evidence.lines)[0] == 0
    assert evidence.verify_against(evidence.lines, evidence.statement)[0] == 0


def changing(name: str, value: Any) -> Callable[[list[str], int], None]:
    def change(lines: list[str], at: int) -> None:
        record = {**json.loads(lines[at]), name: value}
        lines[at] = json.dumps(record, ensure_ascii=False, separators=(",", ":"))

    return change


def swapped(lines: list[str], at: int) -> None:
    lines[at], lines[at + 1] = lines[at + 1], lines[at]


def reordered(lines: list[str], at: int) -> None:
    record = json.loads(lines[at])
    record["id"] = record.pop("id")
    lines[at] = json.dumps(record, ensure_ascii=False, separators=(",", ":"))


TAMPERINGS: dict[str, Callable[[list[str], int], object]] = {
    "a changed event": changing("event", "credential.retrieved"),
    "a changed time": changing("occurred_at", "2026-01-01T00:00:00.000Z"),
    "a changed detail": changing("details", {}),
    "a member more": changing("reason", "approved by the board"),
    "members in another order": reordered,
    "another hash": changing("hash", "00" * 32),
    "another hash before": changing("previous_hash", "00" * 32),
    "another number": changing("sequence", 60),
    "a removed line": lambda lines, at: lines.pop(at),
    "swapped lines": swapped,
    "a member twice": lambda lines, at: lines.__setitem__(at, '{"event":"nothing",' + lines[at][1:]),
}


@pytest.mark.parametrize("tampering", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_a_changed_export_does_not_verify_and_the_record_is_named(evidence, tampering):
    assert evidence.lines[5] != evidence.lines[6]
    lines = list(evidence.lines)
    tampering(lines, 5)
    said = evidence.verify(lines)
    assert said[0] == 1 and "at record 6 of" in said[1], said


def test_a_line_twice_and_half_a_line_do_not_verify(evidence):
    twice = evidence.lines[:7] + evidence.lines[6:]
    assert names(evidence.verify(twice), 7, evidence.world.app_id)
    half = [*evidence.lines[:-1], evidence.lines[-1][:40]]
    said = evidence.verify(half)
    assert said[0] == 1 and f"at record {len(half)} of" in said[1], said


def test_a_cut_end_is_seen_with_the_checkpoint(evidence):
    for left in len(evidence.lines) - 1, 3, 0:
        said = evidence.verify_against(evidence.lines[:left])
        assert names(said, left + 1, evidence.world.app_id), said


def test_an_older_export_does_not_pass_for_a_newer_one(evidence):
    evidence.world.new_key()
    newer = evidence.world.management.get(f"{evidence.world.path}/audit/checkpoints")["items"][0]
    assert newer["sequence"] > len(evidence.lines)
    said = evidence.verify_against(evidence.lines, newer["statement"])
    assert names(said, len(evidence.lines) + 1, evidence.world.app_id), said


def test_a_trail_that_was_written_anew_is_seen_with_the_checkpoint(evidence):
    """Whoever has the file can compute every hash again; what was signed stays."""
    previous, forged = json.loads(evidence.lines[0])["previous_hash"], []
    for number, line in enumerate(evidence.lines, 1):
        text = record_text(line).replace('"decision":"deny"', '"decision":"allow"')
        link = {"chain": evidence.world.app_id, "sequence": number, "previous_hash": previous}
        previous = link_hash(previous, number, text)
        forged.append(text[:-1] + "," + json.dumps({**link, "hash": previous}, separators=(",", ":"))[1:])
    assert forged != evidence.lines and evidence.verify(forged)[0] == 0
    said = evidence.verify_against(forged)
    assert names(said, len(forged), evidence.world.app_id), said


def opened(statement: str, key_set: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a checkpoint, by a library that is not ours."""
    verified = jws.deserialize_compact(statement, KeySet.import_key_set(key_set), algorithms=["ES256"])
    assert verified.headers()["typ"] == "audit-checkpoint+jwt"
    return verified.headers(), json.loads(verified.payload)


def forgeries(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Checkpoints that nobody here signed; all of them state what the file ends with."""
    header, payload, signature = evidence.statement.split(".")
    key_set = json.loads((evidence.folder / "keys.json").read_text())
    head, claims = opened(evidence.statement, key_set)
    [public] = [encoded(key) for key in key_set["keys"] if key["kid"] == head["kid"]]
    own = SigningKey(head["kid"], "ES256")
    other = base64url(encoded({**claims, "sequence": 1}))
    yield "a changed claim", f"{header}.{other}.{signature}"
    yield "no signature", f"{header}.{payload}."
    yield "the algorithm none", f"{base64url(encoded({**head, 'alg': 'none'}))}.{payload}."
    yield "another key of that name", compact(encoded(head), encoded(claims), own.sign)
    yield "a key that it brings", compact(encoded({**head, "jwk": own.jwk()}), encoded(claims), own.sign)
    yield "the public key as a secret", compact(encoded({**head, "alg": "HS256"}), encoded(claims), hs256(public))
    yield "an unknown key", compact(encoded({**head, "kid": "other"}), encoded(claims), own.sign)
    yield "nothing at all", ""


def test_a_forged_checkpoint_is_refused(evidence):
    believed = [what for what, forged in forgeries(evidence) if evidence.verify_against(evidence.lines, forged)[0] == 0]
    assert believed == []


def test_a_statement_of_another_kind_is_no_checkpoint(evidence, world):
    assert wait(world.app.verify_user_token(world.jwt())) is not None
    ended = world.management.post(f"{user_path(world)}/deprovision", {"reason": "left"})
    code, said = evidence.verify_against(evidence.lines, ended["receipt"])
    assert code == 1 and "checkpoint" in said, said


def test_a_checkpoint_of_another_app_or_installation_does_not_fit(evidence, world, new_server):
    ours = world.management.get(f"{world.path}/audit/checkpoints")["items"][0]["statement"]
    assert names(evidence.verify_against(evidence.lines, ours), 1, world.app_id)
    new_server.start()
    foreign = new_world(new_server)
    theirs = foreign.management.get(f"{foreign.path}/audit/checkpoints")["items"][0]["statement"]
    code, said = evidence.verify_against(evidence.lines, theirs)
    assert code == 1 and "checkpoint" in said, said
    foreign.close()


# Checkpoints


def test_a_checkpoint_states_where_the_apps_own_chain_is(trail, foreign_world):
    [newest, *_] = trail.management.get(f"{trail.path}/audit/checkpoints")["items"]
    key_set = requests.get(f"{trail.server.url}/.well-known/jwks.json", timeout=10).json()
    _, claims = opened(newest["statement"], key_set)
    last = trail.audit()[0]
    assert (claims["chain"], claims["sequence"], claims["hash"]) == (trail.app_id, last["sequence"], last["hash"])
    assert (claims["app_id"], claims["iss"]) == (trail.app_id, trail.server.url)
    assert abs(claims["iat"] - time.time()) < 60
    assert (newest["chain"], newest["sequence"]) == (trail.app_id, last["sequence"])
    other = foreign_world.management.items(f"{foreign_world.path}/audit/checkpoints")
    assert {checkpoint["chain"] for checkpoint in other} == {foreign_world.app_id}


def test_the_newest_checkpoint_covers_what_was_written_just_now_and_asking_again_signs_nothing_new(world):
    path = f"{world.path}/audit/checkpoints"
    first = world.management.get(path)["items"][0]
    assert world.management.get(path)["items"][0] == first
    world.new_key()
    assert world.management.get(path)["items"][0]["sequence"] == first["sequence"] + 1 == world.audit()[0]["sequence"]


def test_an_operator_of_somebody_else_sees_nothing_of_the_trail(trail):
    stranger = Management(trail.server.url, trail.server.create_operator(f"{secrets.token_hex(4)}@example.test").pat)
    for path in "audit", "audit/export", "audit/checkpoints", f"audit/{trail.audit()[0]['id']}", "audit-streams":
        assert refusal(stranger.get, f"{trail.path}/{path}") == (404, "not_found"), path
    assert refusal(stranger.post, f"{trail.path}/audit/verify") == (404, "not_found")
    body = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
    assert refusal(stranger.post, streams(trail), body) == (404, "not_found")


# The database itself


class Exhibit:
    """The database of a running server, which a test tampers with; afterwards all is as it was."""

    TABLES = ("audit_records", "audit_heads")

    def __init__(self, world: World, other: World) -> None:
        self.world, self.other = world, other
        self.chain, self.other_chain = world.app_id, other.app_id
        self.database = world.server.database
        self._saved = {table: self.database.rows(f"SELECT * FROM {table}") for table in self.TABLES}
        # The command notes where each chain is, as the server does by and by.
        assert self.verify() == (0, f"The audit chain is intact: {len(self._saved['audit_records'])} records.\n")
        self.count = self.end(self.chain)

    def close(self) -> None:
        for table, rows in self._saved.items():
            self.database.replace(table, rows)

    def end(self, chain: str) -> int:
        return self.database.query("SELECT max(sequence) FROM audit_records WHERE chain = ?", chain)[0][0]

    def record(self, sequence: int, chain: str | None = None) -> tuple[str, bytes]:
        """The text of a record, and its hash."""
        return self.database.query(
            "SELECT record, hash FROM audit_records WHERE chain = ? AND sequence = ?", chain or self.chain, sequence
        )[0]

    def change(self, at: int, /, **columns: Any) -> None:
        for column, value in columns.items():
            statement = f"UPDATE audit_records SET {column} = ? WHERE chain = ? AND sequence = ?"
            assert self.database.change(statement, value, self.chain, at) == 1

    def delete(self, first: int, last: int) -> None:
        statement = "DELETE FROM audit_records WHERE chain = ? AND sequence BETWEEN ? AND ?"
        self.database.change(statement, self.chain, first, last)

    def delete_head(self) -> None:
        self.database.change("DELETE FROM audit_heads WHERE chain = ?", self.chain)

    def head(self, **columns: Any) -> None:
        for column, value in columns.items():
            self.database.change(f"UPDATE audit_heads SET {column} = ? WHERE chain = ?", value, self.chain)

    def append(self, text: str) -> bytes:
        """Adds a record whose hash is right. Answers the hash."""
        sequence = self.count + 1
        digest = bytes.fromhex(link_hash(self.record(self.count)[1].hex(), sequence, text))
        record = json.loads(text)
        [(position,)] = self.database.query("SELECT max(position) + 1 FROM audit_records")
        place = {"position": position, "chain": self.chain, "sequence": sequence, "hash": digest, "record": text}
        told = {name: record[name] for name in ("id", "app_id", "event", "decision")}
        row = {**place, **told, "occurred_at": milliseconds(record["occurred_at"])}
        self.database.insert("audit_records", [row])
        return digest

    def verify(self, *options: str) -> tuple[int, str]:
        server = self.world.server
        done = server.run("audit", "verify", *options, "--data-dir", str(server.data))
        return done.returncode, done.stderr or done.stdout

    def assert_names(self, sequence: int) -> None:
        said = self.verify()
        assert names(said, sequence, self.chain), said
        told = self.world.management.post(f"{self.world.path}/audit/verify")
        assert (told["intact"], told["first_broken_sequence"]) == (False, sequence), told
        elsewhere = self.other.management.post(f"{self.other.path}/audit/verify")
        assert elsewhere["intact"] is True, "what happened to one app's chain is no matter of another's"


def milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


@pytest.fixture(scope="module")
def exhibited(tmp_path_factory):
    """A server of its own, with two apps; the first app's head as it was one record ago."""
    server = Server(tmp_path_factory.mktemp("exhibited"))
    server.start()
    management = Management(server.url, server.create_operator().pat)
    world, other = World(server, management), World(server, management)
    grant = world.connect(world.jwt()).grant_id
    for _ in range(4):
        world.proxy(grant_id=grant, reason="because")
    [earlier] = server.database.rows("SELECT * FROM audit_heads WHERE chain = ?", world.app_id)
    world.proxy(grant_id=grant, reason="the last")
    yield world, other, earlier
    world.close()
    other.close()
    assert server.stop() == 0


@pytest.fixture
def exhibit(exhibited):
    world, other, _ = exhibited
    exhibit = Exhibit(world, other)
    yield exhibit
    exhibit.close()
    assert world.management.post(f"{world.path}/audit/verify")["intact"] is True


def test_row_88_one_bit_of_a_record_or_of_its_hash(exhibit):
    text, digest = exhibit.record(5)
    exhibit.change(5, record=text[:20] + chr(ord(text[20]) ^ 1) + text[21:])
    exhibit.assert_names(5)
    exhibit.change(5, record=text, hash=bytes([digest[0] ^ 1]) + digest[1:])
    exhibit.assert_names(5)


SEARCHABLE = {
    "id": NOBODY, "occurred_at": 1, "app_id": NOBODY, "event": "nothing", "decision": "deny", "provider_id": "other",
    "user_id": NOBODY, "grant_id": NOBODY, "request_id": NOBODY,
}  # fmt: skip


@pytest.mark.parametrize("column", SEARCHABLE)
def test_row_88_a_searchable_column_that_hides_a_record_from_a_search(exhibit, column):
    exhibit.change(exhibit.count, **{column: SEARCHABLE[column]})
    exhibit.assert_names(exhibit.count)


@pytest.mark.parametrize("column", ["app_id", "request_id"])
def test_row_88_a_searchable_column_that_was_emptied(exhibit, column):
    exhibit.change(exhibit.count, **{column: None})
    exhibit.assert_names(exhibit.count)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (4, 4), (3, 6), (-1, -1), (-3, -1), (1, -1)])
def test_row_88_deleted_records(exhibit, first, last):
    first, last = (number if number > 0 else exhibit.count + 1 + number for number in (first, last))
    exhibit.delete(first, last)
    exhibit.assert_names(first)


def test_row_88_the_last_record_deleted_and_the_earlier_head_put_back(exhibit, exhibited):
    _, _, earlier = exhibited
    exhibit.delete(exhibit.count, exhibit.count)
    exhibit.delete_head()
    exhibit.database.insert("audit_heads", [earlier])
    exhibit.assert_names(exhibit.count)


def test_row_88_the_last_record_deleted_and_the_head_set_to_the_one_before(exhibit):
    exhibit.delete(exhibit.count, exhibit.count)
    exhibit.head(sequence=exhibit.count - 1, hash=exhibit.record(exhibit.count - 1)[1])
    said = exhibit.verify()
    assert said[0] == 1 and exhibit.chain in said[1], said


def test_row_88_the_first_records_deleted_as_if_by_retention(exhibit):
    start = exhibit.record(3)[1]
    exhibit.delete(1, 3)
    exhibit.head(start_sequence=3, start_hash=start)
    exhibit.assert_names(1)


def test_row_88_two_records_swapped(exhibit):
    (first, first_hash), (second, second_hash) = exhibit.record(4), exhibit.record(7)
    exhibit.change(4, record=second, hash=second_hash)
    exhibit.change(7, record=first, hash=first_hash)
    exhibit.assert_names(4)


def test_row_88_two_records_renumbered(exhibit):
    exhibit.change(4, sequence=1_000)
    exhibit.change(7, sequence=4)
    exhibit.change(1_000, sequence=7)
    exhibit.assert_names(4)


def test_row_88_records_listed_in_another_order(exhibit):
    """The position is only for lists, but lists are what people read."""
    [(fourth,), (fifth,)] = exhibit.database.query(
        "SELECT position FROM audit_records WHERE chain = ? AND sequence IN (4, 5) ORDER BY sequence", exhibit.chain
    )
    exhibit.change(4, position=1_000_000)
    exhibit.change(5, position=fourth)
    exhibit.change(4, position=fifth)
    said = exhibit.verify()
    assert names(said, 4, exhibit.chain) or names(said, 5, exhibit.chain), said


def test_row_88_a_record_moved_into_another_chain(exhibit):
    end = exhibit.end(exhibit.other_chain)
    exhibit.database.change(
        "UPDATE audit_records SET chain = ?, sequence = ? WHERE chain = ? AND sequence = 4",
        exhibit.other_chain, end + 1, exhibit.chain,
    )  # fmt: skip
    said = exhibit.verify()
    assert names(said, 4, exhibit.chain) or names(said, end + 1, exhibit.other_chain), said
    for world, sequence in (exhibit.world, 4), (exhibit.other, end + 1):
        assert world.management.post(f"{world.path}/audit/verify")["first_broken_sequence"] == sequence


def test_row_88_a_whole_chain_deleted_with_its_head(exhibit):
    exhibit.delete(1, exhibit.count)
    exhibit.delete_head()
    exhibit.assert_names(1)


def test_row_88_a_whole_chain_deleted_with_all_that_tells_of_it(exhibit):
    exhibit.delete(1, exhibit.count)
    exhibit.delete_head()
    keys = exhibit.world.server.keys
    [place] = keys.rows("SELECT * FROM audit_anchors WHERE chain = ?", exhibit.chain)
    keys.change("DELETE FROM audit_anchors WHERE chain = ?", exhibit.chain)
    exhibit.assert_names(1)
    # The server may have noted where the chain is meanwhile.
    put_back = (
        "INSERT INTO audit_anchors (chain, sequence, hash) VALUES (?, ?, ?)"
        " ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash"
    )
    keys.change(put_back, place["chain"], place["sequence"], place["hash"])


def test_row_88_a_term_of_retention_that_nobody_set_removes_nothing_and_shows(exhibit):
    exhibit.head(retention_days=-1)
    code, said = exhibit.verify()
    assert code == 1 and "head" in said
    assert exhibit.database.count("audit_records WHERE chain = ?", exhibit.chain) == exhibit.count


def test_row_88_the_figure_of_broken_chains_tells_of_a_cut_within_seconds(exhibit):
    exhibit.delete(exhibit.count, exhibit.count)
    exhibit.delete_head()

    def broken() -> float:
        return scrape(exhibit.world.server.url).value("sallyport_audit_chains_broken")

    eventually(lambda: broken() == 1, "the figure tells of the cut")


def test_row_88_the_head_deleted_and_the_records_left(exhibit):
    exhibit.delete_head()
    said = exhibit.verify()
    assert said[0] == 1 and exhibit.chain in said[1], said


def test_row_88_a_record_added_whose_hash_is_right(exhibit):
    text = json.dumps({"id": NOBODY, "occurred_at": "2026-01-01T00:00:00.000Z", "event": "user.approved",
                       "decision": "allow", "principal": {"type": "system"}, "app_id": exhibit.chain},
                      separators=(",", ":"))  # fmt: skip
    digest = exhibit.append(text)
    exhibit.assert_names(exhibit.count + 1)
    exhibit.head(sequence=exhibit.count + 1, hash=digest)
    exhibit.assert_names(exhibit.count + 1)


def test_row_88_all_written_anew_with_right_hashes(exhibit):
    previous = exhibit.record(3)[1]
    for number in range(4, exhibit.count + 1):
        text = exhibit.record(number)[0].replace('"reason":"because"', '"reason":"allowed"')
        previous = bytes.fromhex(link_hash(previous.hex(), number, text))
        exhibit.change(number, record=text, hash=previous)
    exhibit.head(hash=previous)
    said = exhibit.verify()
    assert said[0] == 1 and exhibit.chain in said[1], said


def test_row_88_the_head_of_another_chain_put_in_place(exhibit):
    [head] = exhibit.database.rows("SELECT * FROM audit_heads WHERE chain = ?", exhibit.other_chain)
    exhibit.head(**{name: head[name] for name in ("sequence", "hash", "start_sequence", "start_hash", "mac")})
    said = exhibit.verify()
    assert said[0] == 1 and exhibit.chain in said[1], said


def test_row_88_nothing_is_signed_or_appended_upon_a_head_that_was_forged(exhibit, exhibited):
    world, _, _ = exhibited
    signed = world.management.items(f"{world.path}/audit/checkpoints")
    exhibit.head(hash=b"\x00" * 32)
    status, _ = refusal(world.management.put, f"{world.path}/policies/{PROVIDER}", {"allowed_groups": ["eng"]})
    assert status >= 500
    assert world.management.items(f"{world.path}/audit/checkpoints") == signed, "those of before are still there"
    assert exhibit.end(exhibit.chain) == exhibit.count


def test_row_88_an_older_copy_of_the_database_is_seen_even_when_more_is_written_upon_it(new_server):
    new_server.start()
    world = new_world(new_server)
    world.connect(world.jwt())
    assert new_server.stop() == 0
    older = new_server.storage.backup()
    new_server.start()
    end = world.audit()[0]["sequence"]
    world.new_key()
    world.new_key()
    assert new_server.stop() == 0

    new_server.storage.restore(older)
    verify = ("audit", "verify", "--data-dir", str(new_server.data))
    said = new_server.run(*verify)
    assert names((said.returncode, said.stderr), end + 1, world.app_id), said.stderr
    new_server.start()
    told = world.management.post(f"{world.path}/audit/verify")
    assert (told["intact"], told["first_broken_sequence"]) == (False, end + 1)
    for _ in range(4):
        world.new_key()
    # The key store knows where the chain was last, and that what stands there now is something else.
    said = new_server.run(*verify)
    assert names((said.returncode, said.stderr), end + 2, world.app_id), said.stderr
    assert world.management.post(f"{world.path}/audit/verify")["first_broken_sequence"] == end + 2
    world.close()
    assert new_server.stop() == 0


def test_row_88_an_older_copy_of_everything_is_seen_with_a_saved_checkpoint(new_server, tmp_path):
    new_server.start()
    world = new_world(new_server)
    assert new_server.stop() == 0
    older = new_server.storage.backup(with_keys=True)
    new_server.start()
    end = world.audit()[0]["sequence"]
    world.new_key()
    world.new_key()
    saved = tmp_path / "checkpoint.json"
    saved.write_text(json.dumps(world.management.get(f"{world.path}/audit/checkpoints")["items"][0]))
    assert new_server.stop() == 0
    verify = ("audit", "verify", "--checkpoint", str(saved), "--data-dir", str(new_server.data))
    assert new_server.run(*verify).returncode == 0

    new_server.storage.restore(older)
    said = new_server.run(*verify)
    assert names((said.returncode, said.stderr), end + 1, world.app_id), said.stderr
    new_server.start()
    for _ in range(3):
        world.new_key()
    said = new_server.run(*verify)
    assert names((said.returncode, said.stderr), end + 2, world.app_id), said.stderr
    world.close()


def test_checkpoints_of_all_chains_are_signed_at_a_terminal_and_taken_back_together(new_server, tmp_path):
    new_server.start()
    world = new_world(new_server)
    data = ("--data-dir", str(new_server.data))
    signed = new_server.run("audit", "checkpoint", *data)
    lines = [json.loads(line) for line in signed.stdout.splitlines()]
    assert {line["chain"] for line in lines} == {"installation", world.app_id}
    saved, page, nothing = (tmp_path / name for name in ("saved.jsonl", "page.json", "nothing.json"))
    saved.write_text(signed.stdout)
    page.write_text(json.dumps(world.management.get(f"{world.path}/audit/checkpoints")))
    nothing.write_text("\n")
    pretty = tmp_path / "pretty.json"
    pretty.write_text(json.dumps(lines[0], indent=2))
    for file in saved, page, pretty:
        assert new_server.run("audit", "verify", "--checkpoint", str(file), *data).returncode == 0
    assert new_server.run("audit", "verify", "--checkpoint", str(nothing), *data).returncode == 2
    world.close()


def test_checkpoints_of_all_chains_hold_an_export_of_one(evidence, tmp_path):
    server = evidence.world.server
    saved, file = tmp_path / "saved.jsonl", tmp_path / "export.ndjson"
    saved.write_text(server.run("audit", "checkpoint", "--data-dir", str(server.data)).stdout)
    file.write_text("\n".join(exported(evidence.world)) + "\n")
    data = ("--data-dir", str(server.data))
    assert server.run("audit", "verify", str(file), "--checkpoint", str(saved), *data).returncode == 0
    file.write_text("\n".join(exported(evidence.world)[:-4]) + "\n")
    assert server.run("audit", "verify", str(file), "--checkpoint", str(saved), *data).returncode == 1


def test_a_line_that_nobody_could_export_is_refused_and_ends_nothing(evidence):
    lines = [json.dumps({**json.loads(evidence.lines[0]), "sequence": -(2**63)})]
    code, said = evidence.verify(lines)
    assert (code, "no exported record" in said) == (1, True)


def test_a_checkpoint_that_somebody_wrote_into_the_database_is_replaced(world):
    statement = world.management.get(f"{world.path}/audit/checkpoints")["items"][0]["statement"]
    world.server.database.change("UPDATE audit_checkpoints SET statement = 'junk' WHERE chain = ?", world.app_id)
    newest = world.management.get(f"{world.path}/audit/checkpoints")["items"][0]["statement"]
    stated, signed_anew = (json.loads(base64.urlsafe_b64decode(each.split(".")[1] + "==")) for each in (statement, newest))
    assert signed_anew["hash"] == stated["hash"]


def test_verifying_a_file_says_what_it_holds(evidence, tmp_path):
    world, lines = evidence.world, exported(evidence.world)
    file = tmp_path / "tail.ndjson"
    file.write_text("\n".join(lines[2:]) + "\n")
    said = world.server.run("audit", "verify", str(file))
    assert said.returncode == 0
    assert f"{world.app_id}: records 3 to {len(lines)}" in said.stdout


def test_a_cursor_tells_nothing_of_others(trail):
    page = trail.management.get(f"{trail.path}/audit", limit=2)
    cursor = page["next_cursor"]
    opened = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    assert (opened["at"], opened["id"]) == (0, page["items"][-1]["id"])


def test_a_deleted_apps_chain_still_verifies(new_server):
    new_server.start()
    world = new_world(new_server)
    world.connect(world.jwt())
    world.management.post(f"{world.path}/archive")
    world.management.delete(world.path, confirm=world.management.get(world.path)["name"])
    said = new_server.run("audit", "verify", "--data-dir", str(new_server.data))
    assert said.returncode == 0, said.stderr
    world.close()


# Retention


@dataclass(frozen=True)
class Aged:
    """An installation that was set up forty days ago and is used today."""

    server: ShiftedServer
    management: Management
    path: str
    app_id: str
    kept_path: str
    lines: list[str]
    statement: str
    old: int

    def save(self, folder: Path) -> tuple[str, ...]:
        (folder / "checkpoint.jws").write_text(self.statement)
        key_set = requests.get(f"{self.server.url}/.well-known/jwks.json", timeout=10).text
        (folder / "keys.json").write_text(key_set)
        return "--checkpoint", str(folder / "checkpoint.jws"), "--keys", str(folder / "keys.json")

    def verify(self, *options: str) -> tuple[int, str]:
        done = self.server.run("audit", "verify", *options, "--data-dir", str(self.server.data))
        return done.returncode, done.stderr


@pytest.fixture(scope="module")
def aged(tmp_path_factory):
    """More old records than are removed at once, newer ones, and a second app that keeps all of its own."""
    server = ShiftedServer(tmp_path_factory.mktemp("aged"))
    server.set_clock(days=-40)
    server.start()
    management = Management(server.url, server.create_operator().pat)
    app, kept = (management.post("/apps", {"name": name})["id"] for name in ("Aged", "Kept"))
    path, kept_path = f"/apps/{app}", f"/apps/{kept}"
    for number in range(510):
        management.call("PATCH", path, {"name": f"Aged {number}"})
    lines = management.fetch(f"{path}/audit/export").text.splitlines()
    statement = management.get(f"{path}/audit/checkpoints")["items"][0]["statement"]
    server.stop()
    server.set_clock(days=-10)
    server.start()
    management.call("PATCH", path, {"name": "Newer"})
    server.stop()
    server.set_clock(days=0)
    server.start()
    # The first is longer than its records are old: the start that just was may still be removing what is too old.
    for days in 365, None:
        management.put(f"{kept_path}/audit/retention", {"days": days})
    management.put(f"{path}/audit/retention", {"days": 30})
    server.restart()
    def is_pruned() -> bool:
        return len(management.items(f"{path}/audit", event="audit.pruned")) == 2

    eventually(is_pruned, "the old records are gone, in two pages")
    yield Aged(server, management, path, app, kept_path, lines, statement, len(lines))
    assert server.stop() == 0


def test_what_is_older_than_it_is_to_be_kept_is_removed_and_the_removal_is_on_record(aged):
    records = aged.management.items(f"{aged.path}/audit")
    events = ["audit.pruned", "audit.pruned", "audit.retention_changed", "app.updated"]
    assert [record["event"] for record in records] == events
    assert [record["sequence"] for record in records] == [aged.old + place for place in (4, 3, 2, 1)]
    *removals, retention_changed, _ = records
    assert sum(record["details"]["records"] for record in removals) == aged.old
    pruned = removals[0]
    assert pruned["principal"]["type"] == "system"
    limit = datetime.now(UTC) - timedelta(days=30)
    assert abs(datetime.fromisoformat(pruned["details"]["before"]) - limit) < timedelta(minutes=3)
    assert (retention_changed["principal"]["type"], retention_changed["details"]["days"]) == ("operator", 30)


def test_what_is_left_still_verifies_and_so_does_a_checkpoint_of_before(aged, tmp_path):
    assert aged.verify() == (0, "")
    assert aged.management.post(f"{aged.path}/audit/verify")["intact"] is True
    saved = aged.save(tmp_path)
    assert aged.verify(*saved) == (0, "")
    old, left = tmp_path / "old.ndjson", tmp_path / "left.ndjson"
    old.write_text("\n".join(aged.lines) + "\n")
    assert aged.verify(str(old), *saved) == (0, "")
    left.write_text(aged.management.fetch(f"{aged.path}/audit/export").text)
    assert aged.verify(str(left), *saved) == (0, "")
    first = json.loads(left.read_text().splitlines()[0])
    assert (first["sequence"], first["previous_hash"]) == (aged.old + 1, json.loads(aged.lines[-1])["hash"])


def test_a_checkpoint_was_made_of_what_was_removed(aged):
    checkpoints = aged.management.items(f"{aged.path}/audit/checkpoints")
    assert len(checkpoints) > 1
    assert min(checkpoint["sequence"] for checkpoint in checkpoints) <= aged.old + 2


def test_an_app_that_keeps_its_records_for_ever_keeps_them(aged):
    records = aged.management.items(f"{aged.kept_path}/audit")
    assert [record["details"].get("days") for record in records[:2]] == [None, 365]
    assert (records[-1]["event"], records[-1]["sequence"]) == ("app.created", 1)
    assert aged.management.get(f"{aged.kept_path}/audit/retention")["days"] is None
    assert aged.management.get(f"{aged.path}/audit/retention")["days"] == 30


@pytest.mark.parametrize("days", [0, -1, 36_501, 10**12, 10**30, 1.5, "30", True, [30]])
def test_a_term_that_cannot_be_meant_is_refused(aged, days):
    assert refusal(aged.management.put, f"{aged.kept_path}/audit/retention", {"days": days})[0] == 422
    assert aged.management.get(f"{aged.kept_path}/audit/retention")["days"] is None


def test_fresh_records_made_to_look_old_are_not_removed(aged):
    database = aged.server.database
    kept = database.query("SELECT occurred_at, sequence FROM audit_records WHERE chain = ?", aged.app_id)
    database.change("UPDATE audit_records SET occurred_at = 0 WHERE chain = ?", aged.app_id)
    [(first, text)] = database.query(
        "SELECT sequence, record FROM audit_records WHERE chain = ? ORDER BY sequence LIMIT 1", aged.app_id
    )
    old = json.dumps({**json.loads(text), "occurred_at": "2020-01-01T00:00:00Z"}, separators=(",", ":"))
    rewrite = "UPDATE audit_records SET record = ? WHERE chain = ? AND sequence = ?"
    database.change(rewrite, old, aged.app_id, first)
    aged.server.restart()
    time.sleep(1)
    left = database.count("audit_records WHERE chain = ?", aged.app_id)
    for occurred_at, sequence in kept:
        row = "UPDATE audit_records SET occurred_at = ? WHERE chain = ? AND sequence = ?"
        database.change(row, occurred_at, aged.app_id, sequence)
    database.change(rewrite, text, aged.app_id, first)
    assert left == len(kept)
    assert aged.verify() == (0, "")


def test_one_chain_that_does_not_hold_keeps_no_other_from_being_kept_in_order(aged):
    """Its head is spoilt; the next start still prunes and signs for the others."""
    database, kept = aged.server.database, aged.kept_path.rsplit("/", 1)[1]
    [(mac,)] = database.query("SELECT mac FROM audit_heads WHERE chain = ?", kept)
    database.change("UPDATE audit_heads SET mac = ?, retention_days = 1 WHERE chain = ?", bytes(32), kept)
    newer = len(aged.management.items(f"{aged.path}/audit"))
    aged.server.restart()
    eventually(
        lambda: scrape(aged.server.url).value("sallyport_audit_chains_broken") == 1, "the spoilt head is counted"
    )
    assert aged.management.post(f"{aged.path}/audit/verify")["intact"] is True
    assert len(aged.management.items(f"{aged.path}/audit")) == newer
    assert aged.management.post(f"{aged.kept_path}/audit/verify")["intact"] is False
    database.change("UPDATE audit_heads SET mac = ?, retention_days = NULL WHERE chain = ?", mac, kept)
    assert aged.verify() == (0, "")


@pytest.mark.parametrize("role", ["member", "read_only"])
def test_only_an_admin_decides_how_long_records_are_kept(aged, role):
    operator = aged.server.create_operator(f"{role}@example.test")
    [(organization,)] = aged.server.database.query("SELECT organization_id FROM apps WHERE id = ?", aged.app_id)
    membership = {"organization_id": organization, "operator_id": operator.operator_id, "role": role}
    aged.server.database.insert("memberships", [membership])
    colleague = Management(aged.server.url, operator.pat)
    assert colleague.get(f"{aged.path}/audit/retention")["days"] == 30
    for days in 1, None:
        assert refusal(colleague.put, f"{aged.path}/audit/retention", {"days": days})[0] == 403
    assert aged.management.get(f"{aged.path}/audit/retention")["days"] == 30


# Streams


@pytest.fixture
def receiver():
    receiver = StreamReceiver()
    yield receiver
    receiver.close()


def all_sequences(world: World) -> list[int]:
    return list(range(1, world.audit()[0]["sequence"] + 1))


def test_a_webhook_gets_every_record_in_order_signed_as_the_svix_library_verifies(connected, receiver):
    world, _, grant = connected
    stream = open_webhook(world, receiver, from_start=True)
    world.proxy(grant_id=grant.grant_id)
    eventually(lambda: receiver.sequences() == all_sequences(world), "all records arrive")
    assert receiver.forged == []
    listed = {record["id"]: record for record in world.audit()}
    for record in receiver.records():
        assert record == {name: listed[record["id"]][name] for name in record}
        assert record["app_id"] == world.app_id
    assert {batch.json()["type"] for batch in receiver.taken()} == {"audit.records"}
    assert len({batch.id for batch in receiver.taken()}) == len(receiver.taken()), "each delivery has an id of its own"

    def is_noted() -> bool:
        [shown] = world.management.items(streams(world))
        return (shown["waiting"], shown["sent_sequence"]) == (0, all_sequences(world)[-1])

    eventually(is_noted, "the stream says how far it has come")
    assert world.management.items(streams(world))[0]["id"] == stream["id"]


def test_a_stream_begins_with_what_comes_after_it_unless_history_is_asked_for(world, receiver):
    before = world.audit()[0]["sequence"]
    open_webhook(world, receiver)
    world.new_key()
    eventually(lambda: world.audit()[0]["sequence"] in receiver.sequences(), "what is new arrives")
    assert min(receiver.sequences()) > before


def test_the_secret_of_a_stream_and_a_collectors_headers_are_never_told_again(world, receiver):
    secret = open_webhook(world, receiver)["signing_secret"]
    assert secret.startswith("whsec_")
    token = canary(f"Bearer {secrets.token_urlsafe(24)}")
    collector = {"kind": "otlp", "url": receiver.url("/v1/logs"), "headers": {"Authorization": token}}
    made = world.management.post(streams(world), collector)
    assert made.get("signing_secret") is None and token not in json.dumps(made)
    shown = json.dumps([world.management.items(streams(world)), world.audit()]) + world.server.log.read_text()
    assert secret not in shown and token not in shown
    stored = b"".join(world.server.stored().values())
    assert secret.encode() not in stored and token.encode() not in stored


def test_records_arrive_in_order_across_failures_a_kill_and_a_restart(new_server):
    """One receiver fails, one hangs once, and one is not there yet; all get everything."""
    new_server.start()
    world = new_world(new_server)
    failing, hanging, stranger = StreamReceiver(), StreamReceiver(), StreamReceiver()
    failing.failures = [Answer(500), Answer(302, b"", {"Location": stranger.url("/")})]
    hanging.hangs.set()
    port = free_port()
    absent = world.management.post(
        streams(world), {"kind": "webhook", "url": f"http://127.0.0.1:{port}/audit", "from_start": True}
    )
    open_webhook(world, failing, from_start=True)
    open_webhook(world, hanging, from_start=True)
    for _ in range(130):
        world.management.put(f"{world.path}/policies/{PROVIDER}", {"allowed_groups": ["eng"]})

    def told(stream_id: str) -> dict:
        return next(s for s in world.management.items(streams(world)) if s["id"] == stream_id)

    eventually(lambda: told(absent["id"])["last_error"], "the refused connection is noted")
    assert told(absent["id"])["waiting"] > 0
    eventually(lambda: len(failing.batches) > 1 and hanging.batches == [], "one fails, and one hangs", 8)
    new_server.kill()
    late = StreamReceiver(port)
    late.is_webhook, late.secret = True, canary(absent["signing_secret"])
    hanging.release()
    new_server.start()
    world.new_key()
    for receiver in failing, hanging, late:
        eventually(lambda: receiver.sequences() == all_sequences(world), "everything arrives in order", 20)
        assert receiver.forged == []
    assert stranger.batches == [], "no redirect was followed"
    assert all(stream["last_error"] is None for stream in world.management.items(streams(world)))
    for peer in failing, hanging, late, stranger, world:
        peer.close()
    assert new_server.stop() == 0


def test_a_delivery_that_is_sent_again_has_the_id_and_the_records_of_the_first(world, receiver):
    receiver.failures = [Answer(500)]
    open_webhook(world, receiver)
    eventually(receiver.taken, "the second attempt is taken")
    failed = [batch for batch in receiver.batches if batch.status == 500]
    assert (failed[0].id, failed[0].body) == (receiver.taken()[0].id, receiver.taken()[0].body)


def test_a_receiver_that_hangs_delays_no_other_and_ends_no_use(connected, receiver):
    world, _, grant = connected
    hanging = StreamReceiver()
    hanging.hangs.set()
    world.management.post(streams(world), {"kind": "otlp", "url": hanging.url("/"), "from_start": True})
    time.sleep(1.2)
    open_webhook(world, receiver)
    started = time.monotonic()
    assert world.proxy(grant_id=grant.grant_id).status_code == 200
    assert time.monotonic() - started < 5
    eventually(lambda: receiver.sequences()[-1:] == all_sequences(world)[-1:], "the other one gets its records", 8)
    hanging.close()


def test_a_receiver_that_times_out_is_asked_again_until_it_takes_everything(never_answered):
    world, hanging = never_answered
    [stream] = eventually(
        lambda: [s for s in world.management.items(streams(world)) if s["last_error"]], "the limit of time is over", 15
    )
    assert stream["waiting"] > 0 and stream["sent_sequence"] == 0
    hanging.release()

    def is_done() -> bool:
        # However long the pauses have become since the module began.
        world.server.database.change("UPDATE audit_streams SET next_attempt_at = 0 WHERE app_id = ?", world.app_id)
        [shown] = world.management.items(streams(world))
        return shown["waiting"] == 0 and shown["last_error"] is None

    eventually(is_done, "everything is taken", 20)
    taken = {int(attributes(record)["sallyport.sequence"]) for record in hanging.log_records()}
    assert sorted(taken) == all_sequences(world)


def test_a_deleted_stream_gets_nothing_more(world, receiver):
    stream = open_webhook(world, receiver)
    world.new_key()
    eventually(receiver.taken, "the stream works")
    world.management.delete(f"{streams(world)}/{stream['id']}")
    assert world.management.items(streams(world)) == []
    assert refusal(world.management.delete, f"{streams(world)}/{stream['id']}") == (404, "not_found")
    end = world.audit()[0]["sequence"]
    world.new_key()
    time.sleep(2.2)
    assert max(receiver.sequences()) < end and len(world.audit(event="audit_stream.deleted")) == 1


def attributes(holder: dict[str, Any]) -> dict[str, str]:
    assert all(set(pair) == {"key", "value"} and set(pair["value"]) == {"stringValue"} for pair in holder["attributes"])
    return {pair["key"]: pair["value"]["stringValue"] for pair in holder["attributes"]}


def test_a_collector_gets_records_as_otlp_log_records(connected, receiver):
    world, _, grant = connected
    collector = {"kind": "otlp", "url": receiver.url("/v1/logs"), "headers": {"X-Tenant": "t1"}, "from_start": True}
    world.management.post(streams(world), collector)
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    assert traced(world, grant.grant_id, f"00-{trace}-{span}-01").status == 200
    with pytest.raises(BlockedDestinationError):
        world.proxy(url=ELSEWHERE, grant_id=grant.grant_id)
    end = world.audit()[0]["sequence"]
    eventually(lambda: len(receiver.log_records()) == end, "all records arrive")

    for batch in receiver.taken():
        assert (batch.headers["content-type"], batch.headers["x-tenant"]) == ("application/json", "t1")
        for resource in batch.json()["resourceLogs"]:
            assert attributes(resource["resource"])["service.name"]
            assert all(scope["scope"]["name"] for scope in resource["scopeLogs"])
    for written, record in zip(reversed(world.audit()), receiver.log_records(), strict=True):
        at = int(record["timeUnixNano"])
        assert isinstance(record["timeUnixNano"], str) and at == milliseconds(written["occurred_at"]) * 1_000_000
        denied = written["decision"] == "deny"
        assert (record["severityNumber"], record["severityText"]) == ((13, "WARN") if denied else (9, "INFO"))
        body = json.loads(record["body"]["stringValue"])
        assert (body["id"], body["event"]) == (written["id"], written["event"])
        assert written["id"] in attributes(record).values()
        assert (record.get("traceId"), record.get("spanId")) == (written.get("trace_id"), written.get("span_id"))
    assert [record["traceId"] for record in receiver.log_records() if "traceId" in record] == [trace]


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "syslog"},
        {"kind": None},
        {"url": ""},
        {"url": "/relative"},
        {"url": "ftp://collector.test/"},
        {"url": "https://user:password@collector.test/"},
        {"headers": {"X-A": "b"}},
        {"kind": "otlp", "headers": {"X-A": "b\r\nX-B: c"}},
        {"kind": "otlp", "headers": {"bad name": "b"}},
        {"kind": "otlp", "headers": {"X-A": 1}},
        {"from_start": "yes"},
        {"secret": "mine"},
    ],
    ids=str,
)
def test_a_stream_that_cannot_work_is_refused(trail, bad):
    body = {"kind": "webhook", "url": "https://collector.test/", **bad}
    assert refusal(trail.management.post, streams(trail), body)[0] == 422
    assert trail.management.items(streams(trail)) == []


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection"])
def test_a_collectors_headers_cannot_bend_the_request(world, receiver, name):
    """Refused, or not sent: never twice, and never another length or host than the real one."""
    settings = {"kind": "otlp", "url": receiver.url("/"), "headers": {name: "1"}, "from_start": True}
    try:
        world.management.post(streams(world), settings)
    except ManagementError as refused:
        assert refused.status == 422
        return
    eventually(receiver.taken, "the records arrive all the same")
    [batch, *_] = receiver.taken()
    sent = {field.lower(): batch.fields.get_all(field) for field in batch.fields}
    assert (sent["host"], sent["content-type"]) == ([receiver.host], ["application/json"])
    assert sent["content-length"] == [str(len(batch.body))]


def test_production_sends_no_records_over_http_nor_into_the_network(new_server, receiver):
    new_server.start(public_url="https://vault.example.test", development=False)
    management = Management(new_server.url, new_server.create_operator().pat)
    path = f"/apps/{management.post('/apps', {'name': 'Guarded'})['id']}/audit-streams"
    for url in receiver.url("/"), "http://collector.example/":
        assert refusal(management.post, path, {"kind": "webhook", "url": url})[0] == 422
    inside = [f"https://{receiver.host}/", "https://localhost/", "https://169.254.169.254/", "https://[::1]/"]
    made = 0
    for url in inside:
        try:
            management.post(path, {"kind": "otlp", "url": url, "from_start": True})
            made += 1
        except ManagementError as refused:
            assert refused.status == 422

    def errors() -> list[str]:
        return [stream["last_error"] for stream in management.items(path) if stream["last_error"]]

    eventually(lambda: len(errors()) == made, "none is sent to")
    assert receiver.batches == []
    assert all(stream["sent_sequence"] == 0 for stream in management.items(path))


# What a record says


def traced(world: World, grant_id: str, *traceparents: str) -> Any:
    request = world.signer().request("POST", "/sdk/proxy", {"method": "GET", "url": world.echo, "grant_id": grant_id})
    for value in traceparents:
        request = request.adding("traceparent", value)
    return request.send()


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("form", ["00-{}-{}-01", "00-{}-{}-00", "cc-{}-{}-01-more"])
def test_a_callers_trace_is_on_record_and_in_the_log(connected, form):
    world, _, grant = connected
    answer = traced(world, grant.grant_id, form.format(TRACE, SPAN))
    assert answer.status == 200
    [use] = world.audit(request_id=answer.headers["x-request-id"])
    assert (use["trace_id"], use["span_id"]) == (TRACE, SPAN)
    [line] = [line for line in log_lines(world.server) if line.get("request_id") == use["request_id"]]
    assert line["trace_id"] == TRACE


def log_lines(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    "traceparents",
    [
        [""],
        ["nonsense"],
        [f"00-{TRACE[1:]}-{SPAN}-01"],
        [f"00-{TRACE}0-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN[1:]}-01"],
        [f"00-{TRACE.upper()}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN.upper()}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01-more"],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE}-{SPAN}-0g"],
        [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"],
        ["00-" + "é" * 16 + f"-{SPAN}-01"],
        ["x" * 4000],
    ],
    ids=lambda values: "+".join(values)[:60] or "empty",
)
def test_a_trace_that_is_none_is_ignored_and_refuses_nothing(trail, traceparents):
    grant = trail.audit(event="credential.proxied", decision="allow")[0]["grant_id"]
    answer = traced(trail, grant, *traceparents)
    assert answer.status == 200
    [use] = trail.audit(request_id=answer.headers["x-request-id"])
    assert (use.get("trace_id"), use.get("span_id")) == (None, None)


def test_the_id_of_an_answer_finds_its_record_whoever_asked(connected, tmp_path):
    world, _, grant = connected
    headers = {"Authorization": world.management.authorization, "traceparent": f"00-{TRACE}-{SPAN}-01"}
    url = f"{world.server.url}/api/v1{world.path}/policies/{PROVIDER}"
    answer = requests.put(url, json={"allowed_groups": ["eng"]}, headers=headers, timeout=10)
    [change] = world.audit(request_id=answer.headers["X-Request-ID"])
    assert (change["principal"]["type"], change["trace_id"]) == ("operator", TRACE)

    body = {"method": "GET", "url": ELSEWHERE, "grant_id": grant.grant_id}
    refused = world.signer().send("POST", "/sdk/proxy", body)
    request_id = refused.headers["x-request-id"]
    [use] = world.audit(request_id=request_id)
    assert (use["decision"], use["details"]["error"]) == ("deny", refused.error)
    server = world.server
    explained = server.run("audit", "explain", request_id, "--data-dir", str(server.data))
    assert explained.returncode == 0 and refused.error in explained.stdout, explained
    assert server.run("audit", "explain", NOBODY, "--data-dir", str(server.data)).returncode == 4


@dataclass(frozen=True)
class Action:
    event: str
    principal: str
    act: Callable[[World, str], Any]
    decision: str = "none"
    has: tuple[str, ...] = ()
    """What the record names."""
    reason: str | None = None


def user_path(world: World) -> str:
    return f"{world.path}/users/{world.user()['id']}"


def retrieve(world: World, grant_id: str, url: str) -> Any:
    body = {"grant_id": grant_id, "request": {"method": "GET", "url": url}, "reason": "why"}
    return world.signer().send("POST", "/sdk/token", body)


def proxy(world: World, grant_id: str, url: str) -> Any:
    body = {"grant_id": grant_id, "method": "GET", "url": url, "reason": "why"}
    return world.signer().send("POST", "/sdk/proxy", body)


def new_stream(world: World) -> None:
    stream = world.management.post(streams(world), {"kind": "webhook", "url": "http://127.0.0.1:9/"})
    canary(stream["signing_secret"])


def set_policy(world: World, path: str) -> None:
    world.management.put(f"{world.path}/{path}", {"allowed_groups": ["eng"]})


def ended(action: str) -> Callable[[World, str], None]:
    def act(world: World, _: str) -> None:
        world.management.post(f"{user_path(world)}/{action}", {"reason": "a break"})

    return act


USER = ("user_id",)
USE = ("user_id", "grant_id", "provider_id", "method", "url", "request_id", "peer")
ACTIONS = {
    "a retrieval": Action(
        "credential.retrieved", "app", lambda w, g: retrieve(w, g, w.echo), "allow", USE, "why"
    ),
    "a refused retrieval": Action(
        "credential.retrieved", "app", lambda w, g: retrieve(w, g, ELSEWHERE), "deny", USE, "why"
    ),
    "a proxied call": Action(
        "credential.proxied", "app", lambda w, g: proxy(w, g, w.echo), "allow", (*USE, "status", "latency_ms"), "why"
    ),
    "a refused call": Action("credential.proxied", "app", lambda w, g: proxy(w, g, ELSEWHERE), "deny", USE, "why"),
    "a report": Action(
        "call.reported", "app", lambda w, g: report(w, g, reason="why", latency_ms=7),
        has=("user_id", "grant_id", "provider_id", "method", "url", "status"), reason="why",
    ),
    "a user's first token": Action(
        "user.created", "app", lambda w, _: wait(w.app.verify_user_token(w.jwt("newcomer"))), has=USER
    ),
    "an app that ends a grant": Action(
        "grant.revoked", "app", lambda w, g: wait(w.app.revoke_grant(g)), has=("user_id", "grant_id", "provider_id")
    ),
    "an operator who ends a grant": Action(
        "grant.revoked", "operator", lambda w, g: w.management.post(f"{w.path}/grants/{g}/revoke"),
        has=("user_id", "grant_id", "provider_id"),
    ),
    "an operator who suspends": Action("user.suspended", "operator", ended("suspend"), has=USER, reason="a break"),
    "an operator who ends a user": Action(
        "user.deprovisioned", "operator", ended("deprovision"), has=USER, reason="a break"
    ),
    "a new key": Action("key.created", "operator", lambda w, _: w.new_key()),
    "a new secret": Action(
        "managed_secret.created", "operator",
        lambda w, _: w.add_secret("one", "bearer", {"token": "a-token-of-a-service-" + secrets.token_hex(6)}),
    ),
    "another provider": Action("oauth_provider.saved", "operator", lambda w, _: w.register(PROVIDER, w.oauth)),
    "a policy of a provider": Action(
        "policy.changed", "operator", lambda w, _: set_policy(w, f"policies/{PROVIDER}"), has=("provider_id",)
    ),
    "a policy of a grant": Action(
        "policy.changed", "operator", lambda w, g: set_policy(w, f"grants/{g}/policy"), has=("grant_id",)
    ),
    "a renamed app": Action(
        "app.updated", "operator", lambda w, _: w.management.call("PATCH", w.path, {"name": "New"})
    ),
    "a stream": Action("audit_stream.created", "operator", lambda w, _: new_stream(w)),
    "an export": Action("audit.exported", "operator", lambda w, _: exported(w)),
}  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS.keys())
def test_what_happens_leaves_one_record_that_says_who_what_and_why(connected, action):
    world, _, grant = connected
    before = world.audit()
    action.act(world, grant.grant_id)
    # What a provider answers to a revocation is work of its own, with a record of its own.
    new = [record for record in world.audit()[: -len(before)] if not record["event"].startswith("provider_revocation.")]
    [record] = new
    assert (record["event"], record["decision"]) == (action.event, action.decision)
    principal = record["principal"]
    assert principal["type"] == action.principal
    if action.principal == "app":
        assert world.api_key.startswith(principal["key_prefix"]) and len(principal["key_prefix"]) >= 10
    elif action.principal == "operator":
        assert principal["operator_id"]
    assert [name for name in action.has if record[name] is None] == []
    if action.reason:
        assert action.reason in (record["reason"], record.get("details", {}).get("reason"))
    assert record["app_id"] == world.app_id and record["request_id"]


def test_a_lifecycle_event_leaves_one_record_that_names_its_delivery(server, management):
    world = World(server, management, idp_type="auth0")
    stream = Auth0Stream(world)
    wait(world.app.verify_user_token(world.jwt()))
    before = world.audit()
    event = stream.event()
    for _ in range(2):
        assert stream.send(event, authorization=stream.secret).ok
    [record] = world.audit()[: -len(before)]
    assert (record["event"], record["user_id"]) == ("user.deprovisioned", world.user()["id"])
    assert record["principal"] == {"type": "identity_provider", "delivery_id": event["log_id"]}
    world.close()


def test_reading_leaves_no_record(trail):
    before = trail.audit()
    trail.management.get(trail.path)
    trail.management.get(f"{trail.path}/audit/checkpoints")
    trail.management.post(f"{trail.path}/audit/verify")
    assert trail.audit() == before


# Figures


QUEUES = {"provider_revocations", "key_destructions", "open_uses", "audit_streams"}


def test_the_figures_are_what_every_scraper_reads(trail):
    figures = scrape(trail.server.url)
    assert {kind for kind in figures.types.values()} == {"counter", "gauge", "histogram"}
    assert figures.label_values("queue") == QUEUES
    assert figures.value("process_resident_memory_bytes") > 1_000_000


def moved(world: World, name: str, act: Callable[[], object], **labels: str) -> float:
    before = scrape(world.server.url).value(name, **labels)
    act()
    return scrape(world.server.url).value(name, **labels) - before


def test_requests_are_counted_by_route_and_status(trail):
    route = "/api/v1/apps/{app_id}"
    count = ("sallyport_http_requests_total", lambda: trail.management.get(trail.path))
    assert moved(trail, *count, method="GET", route=route, status="200") == 1
    duration = ("sallyport_http_request_duration_seconds_count", lambda: trail.management.get(trail.path))
    assert moved(trail, *duration, route=route) == 1
    unknown = ("sallyport_http_requests_total", lambda: refusal(trail.management.get, f"/apps/{NOBODY}"))
    assert moved(trail, *unknown, route=route, status="404") == 1


def test_decisions_are_counted_with_the_code_of_a_refusal(connected):
    world, _, grant = connected
    name = "sallyport_decisions_total"

    for mode, act in ("retrieve", retrieve), ("proxy", proxy):
        allowed = {"mode": mode, "decision": "allow", "code": ""}
        denied = {"mode": mode, "decision": "deny", "code": "blocked_destination"}
        assert moved(world, name, lambda: act(world, grant.grant_id, world.echo), **allowed) == 1
        assert moved(world, name, lambda: act(world, grant.grant_id, ELSEWHERE), **denied) == 1
    assert moved(world, name, lambda: report(world, grant.grant_id)) == 0, "a report is no decision"


def test_refreshes_are_counted_by_what_became_of_them(world):
    world.oauth.expires_in = 1
    grant = world.connect(world.jwt()).grant_id
    name = "sallyport_token_refreshes_total"
    assert moved(world, name, lambda: world.proxy(grant_id=grant), outcome="renewed") == 1
    world.oauth.token_failures = [Answer.json({"error": "invalid_grant"}, 400)]
    time.sleep(0.1)

    def fails() -> None:
        with pytest.raises(AlterSDKError):
            world.proxy(grant_id=grant)

    assert moved(world, name, fails) == 1
    assert scrape(world.server.url).value(name) > scrape(world.server.url).value(name, outcome="renewed")


def test_lifecycle_events_and_refused_deliveries_are_counted(server, management):
    world = World(server, management, idp_type="auth0")
    stream = Auth0Stream(world)
    wait(world.app.verify_user_token(world.jwt()))
    name = "sallyport_webhook_events_total"
    before = scrape(server.url)
    stream.end_user()
    after = scrape(server.url)
    assert after.value(name) == before.value(name) + 1
    outcomes = after.label_values("outcome")
    [outcome] = [o for o in outcomes if after.value(name, outcome=o) > before.value(name, outcome=o)]
    assert moved(world, name, lambda: stream.send(stream.event(), authorization="wrong"), outcome=outcome) == 0
    assert moved(world, name, lambda: stream.send(stream.event(), authorization="wrong")) == 1
    world.close()


def test_what_waits_in_a_queue_is_shown_until_it_is_done(world, receiver):
    receiver.failures = [Answer(500)]
    before = scrape(world.server.url).value("sallyport_queue_depth", queue="audit_streams")
    open_webhook(world, receiver, from_start=True)

    def depth() -> float:
        return scrape(world.server.url).value("sallyport_queue_depth", queue="audit_streams") - before

    eventually(lambda: depth() > 3, "the records wait")
    batches = "sallyport_audit_stream_batches_total"
    eventually(lambda: depth() <= 0, "the records are sent")
    assert scrape(world.server.url).value(batches, kind="webhook", outcome="taken") >= 1
    assert scrape(world.server.url).value(batches, kind="webhook", outcome="failed") >= 1


def test_figures_name_no_tenant_person_address_or_secret(connected):
    world, jwt, grant = connected
    world.proxy(grant_id=grant.grant_id)
    text = scrape(world.server.url).text
    user = world.user()
    told = [world.app_id, user["id"], grant.grant_id, world.subject(), "alice@corp.test", PROVIDER, world.oauth.host,
            world.idp.issuer, world.api_key[:12], jwt[:40], "127.0.0.1", *known_secrets()]  # fmt: skip
    assert [name for name in told if name in text] == []


def test_no_caller_makes_new_figures(trail):
    def ask(method: str, path: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(trail.server.url).netloc, timeout=10)
        connection.request(method, path, headers={"Authorization": trail.management.authorization})
        connection.getresponse().read()
        connection.close()

    def shown() -> Figures:
        return scrape(trail.server.url)

    known = ["/healthz", f"/api/v1{trail.path}", "/sdk/token", "/metrics", f"/api/v1{trail.path}/audit"]

    def ask_all(method: str) -> None:
        unknown = [area + secrets.token_hex(6) for area in ("/", "/api/v1/", "/sdk/")]
        for path in unknown + known:
            ask(method, path)

    for method in "PROPFIND", "GET":
        ask_all(method)
    before = shown()
    for method in "MKCOL", "PURGE", "TRACE", "X" + secrets.token_hex(4).upper(), "get":
        ask_all(method)
    after = shown()
    assert after.label_values("route") == before.label_values("route")
    assert after.label_values("method") == before.label_values("method")
    assert after.label_values("method") <= {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"}


def test_figures_on_a_listener_of_their_own_are_only_there(tmp_path):
    where = f"127.0.0.1:{free_port()}"
    server = ConfiguredServer(tmp_path, SALLYPORT_METRICS_LISTEN=where)
    server.start()
    assert scrape(f"http://{where}").label_values("queue") == QUEUES
    assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 404
    for path in "/healthz", "/api/v1/apps", "/.well-known/jwks.json", "/":
        assert requests.get(f"http://{where}{path}", timeout=10).status_code == 404, path
    assert requests.post(f"http://{where}/metrics", timeout=10).status_code in (404, 405)
    assert server.stop() == 0
