"""The signed receipt of what ended with a user, checked without the vault; and that nothing of it can be opened again."""

import json
import subprocess
import time
from datetime import datetime
from itertools import chain

import jwt as pyjwt
import pytest
import requests
from alter_sdk import GrantDeletedError, PolicyViolationError
from joserfc import jws
from joserfc.jwk import KeySet

from harness.jose import SigningKey, compact, encoded
from harness.local_http import Answer
from harness.management import Management, ManagementError
from harness.oauth_provider import OAuthProvider
from harness.sdk import in_background, wait
from harness.waiting import eventually
from harness.webhooks import Auth0Stream, ClerkEndpoint
from harness.world import PROVIDER, World


@pytest.fixture
def auth0(server, management):
    world = World(server, management, idp_type="auth0")
    yield world, Auth0Stream(world)
    world.close()


def key_set(world: World) -> dict:
    return requests.get(f"{world.server.url}/.well-known/jwks.json", timeout=10).json()


def receipt_of(world: World, name: str = "alice") -> dict:
    return world.management.get(f"{world.path}/users/{world.user(name)['id']}/deprovisioning-receipt")


def read(world: World, receipt: str) -> dict:
    """The statement, by a library that is not ours."""
    verified = jws.deserialize_compact(receipt, KeySet.import_key_set(key_set(world)), algorithms=["ES256"])
    assert verified.headers()["typ"] == "deprovisioning-receipt+jwt"
    return json.loads(verified.payload)


def outcomes(statement: dict) -> list[str]:
    return [token["provider_revocation"]["outcome"] for token in statement["tokens_destroyed"]]


def settled(world: World, name: str = "alice") -> dict:
    def look() -> dict | None:
        statement = read(world, receipt_of(world, name)["receipt"])
        key = statement["data_key"]
        is_over = "pending" not in outcomes(statement) and (key is None or key["destroyed_at"])
        return statement if is_over else None

    return eventually(look, "the provider answered every revocation, and the key's end is noted")


def test_a_receipt_says_who_ended_why_and_what_ended_and_holds_for_others(auth0):
    world, stream = auth0
    grants = {world.connect(world.jwt(), account=account).grant_id for account in ("alice", "alice-at-work")}
    user = world.user()
    with pytest.raises(ManagementError) as not_yet:
        receipt_of(world)
    assert not_yet.value.status == 404
    event = stream.event()
    assert stream.send(event, authorization=stream.secret).ok
    statement = settled(world)
    assert statement["iss"] == world.server.url and statement["app_id"] == world.app_id
    assert statement["user"] == {
        "id": user["id"], "external_subject_id": world.subject(), "subject": world.subject(), "issuer": world.idp.issuer,
    }  # fmt: skip
    assert statement["trigger"] == {"type": "webhook", "delivery_id": event["log_id"], "event_type": "sdu"}
    assert datetime.fromisoformat(statement["event_at"]) == datetime.fromisoformat(event["data"]["date"])
    assert {grant["grant_id"] for grant in statement["grants_revoked"]} == grants
    assert sorted((token["grant_id"], token["token_type"]) for token in statement["tokens_destroyed"]) == sorted(
        (grant, token) for grant in grants for token in ("access_token", "refresh_token")
    )
    assert set(outcomes(statement)) == {"done"}
    in_order = statement["event_at"], statement["deprovisioned_at"], statement["data_key"]["destroyed_at"]
    assert list(in_order) == sorted(in_order, key=datetime.fromisoformat)
    assert world.management.get(f"{world.path}/audit/{statement['audit_event_id']}")["event"] == "user.deprovisioned"


def test_a_receipt_is_no_token_of_anybody(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    assert stream.send(stream.event(), authorization=stream.secret).ok
    receipt = receipt_of(world)["receipt"]
    assert wait(world.app.verify_user_token(receipt)) is None
    with pytest.raises(pyjwt.InvalidTokenError):
        pyjwt.decode(receipt, pyjwt.PyJWKSet.from_dict(key_set(world)).keys[0], algorithms=["RS256"])


def test_an_operators_deprovisioning_answers_the_receipt_and_a_second_one_the_same(world):
    world.connect(world.jwt())
    path = f"{world.path}/users/{world.user()['id']}/deprovision"
    first = world.management.post(path, {"reason": "left the company"})
    statement = read(world, first["receipt"])
    assert statement["trigger"]["type"] == "operator" and statement["trigger"]["reason"] == "left the company"
    assert statement["version"] == first["version"] and len(statement["grants_revoked"]) == 1
    settled(world)
    latest = receipt_of(world)
    again = world.management.post(path, {"reason": "once more"})
    assert again == latest and read(world, again["receipt"])["trigger"]["reason"] == "left the company"
    assert len(world.audit(event="user.deprovisioned")) == 1


def test_rows_58_63_a_provider_that_cannot_be_told_keeps_nobody_alive_and_the_receipt_says_what_is_held(auth0):
    world, stream = auth0
    grant = world.connect(world.jwt())
    world.oauth.revocation_answer = Answer.json({"error": "server_error"}, 503)
    assert stream.send(stream.event(), authorization=stream.secret).ok
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=grant.grant_id)
    held = receipt_of(world)
    statement = read(world, held["receipt"])
    assert set(outcomes(statement)) == {"pending"}
    assert all(token["provider_revocation"]["held_until"] for token in statement["tokens_destroyed"])
    assert receipt_of(world) == held, "one statement is signed once"

    def revocations() -> list[dict]:
        return world.management.get(f"{world.path}/grants/{grant.grant_id}")["provider_revocations"]

    eventually(lambda: all(r["attempts"] > 1 and r["last_error"] for r in revocations()), "both were tried more than once")
    assert {revocation["status"] for revocation in revocations()} == {"pending"}

    world.oauth.revocation_answer = None
    statement = settled(world)
    assert set(outcomes(statement)) == {"done"}
    latest = receipt_of(world)
    assert latest["version"] > held["version"] and statement["version"] == latest["version"]
    assert {revocation["status"] for revocation in revocations()} == {"done"}
    # The earlier one still holds: it says what was true then.
    assert set(outcomes(read(world, held["receipt"]))) == {"pending"}


def test_row_63_a_provider_that_hangs_keeps_no_other_from_hearing(auth0):
    world, stream = auth0
    hanging, told = OAuthProvider(), world.oauth
    world.register("hanging", hanging)
    world.oauth = hanging
    for account in "alice", "alice-at-work":
        world.connect(world.jwt(), account=account, provider_id="hanging")
    world.oauth = told
    world.connect(world.jwt("bob"), account="bob")
    hanging.revocation_delay_seconds = 30
    assert stream.send(stream.event(), authorization=stream.secret).ok
    time.sleep(0.5)
    assert stream.send(stream.event(name="bob"), authorization=stream.secret).ok
    eventually(lambda: not told.families[-1].access_tokens, "the other provider is told meanwhile", 5)
    statement = read(world, receipt_of(world)["receipt"])
    assert set(outcomes(statement)) == {"pending"} and statement["data_key"]["destroyed_at"]
    hanging.close()


def test_grants_that_share_a_credential_share_what_became_of_its_tokens(auth0):
    world, stream = auth0
    grant = world.connect(world.jwt())
    sibling = wait(world.app.mint_grant(grant.grant_id, label="second")).grant_id
    assert stream.send(stream.event(), authorization=stream.secret).ok
    statement = settled(world)
    assert {each["grant_id"] for each in statement["grants_revoked"]} == {grant.grant_id, sibling}
    assert len({each["credential_id"] for each in statement["grants_revoked"] + statement["tokens_destroyed"]}) == 1
    for each in grant.grant_id, sibling:
        revocations = world.management.get(f"{world.path}/grants/{each}")["provider_revocations"]
        assert [revocation["status"] for revocation in revocations] == ["done", "done"]


def test_a_provider_without_a_revocation_address_is_told_of_as_such(server, management):
    world = World(server, management, idp_type="auth0")
    world.register(PROVIDER, world.oauth, revocation_url=None)
    stream = Auth0Stream(world)
    world.connect(world.jwt())
    assert stream.send(stream.event(), authorization=stream.secret).ok
    assert set(outcomes(read(world, receipt_of(world)["receipt"]))) == {"unsupported"}
    world.close()


def test_a_token_that_was_issued_while_the_user_left_is_on_the_receipt(auth0):
    world, stream = auth0
    world.oauth.expires_in = 30
    grant = world.connect(world.jwt())
    # As long as the provider hears nothing of the end, it renews.
    world.oauth.revocation_answer = Answer.json({"error": "server_error"}, 503)
    with world.oauth.holding("token"):
        refresh = in_background(world.app.request("GET", world.echo, grant_id=grant.grant_id))
        eventually(lambda: world.oauth.refreshes, "the refresh is under way")
        assert stream.send(stream.event(), authorization=stream.secret).ok
        before = len(read(world, receipt_of(world)["receipt"])["tokens_destroyed"])
    with pytest.raises(GrantDeletedError):
        refresh.result(20)
    eventually(
        lambda: len(read(world, receipt_of(world)["receipt"])["tokens_destroyed"]) == before + 2,
        "the pair that came too late is on the receipt",
    )


def test_the_receipt_of_somebody_never_seen_and_of_a_second_end(auth0):
    world, stream = auth0
    assert stream.send(stream.event(), authorization=stream.secret).ok
    tombstone = read(world, receipt_of(world)["receipt"])
    assert (tombstone["grants_revoked"], tombstone["tokens_destroyed"], tombstone["data_key"]) == ([], [], None)
    path = f"{world.path}/users/{world.user()['id']}"
    world.management.post(f"{path}/restore", {"reason": "hired"})
    assert read(world, receipt_of(world)["receipt"]) == tombstone, "the last end stays on record"
    grant = world.connect(later(world))
    world.management.post(f"{path}/deprovision", {"reason": "left"})
    second = read(world, receipt_of(world)["receipt"])
    assert [g["grant_id"] for g in second["grants_revoked"]] == [grant.grant_id] and second["trigger"]["type"] == "operator"


def later(world: World) -> str:
    """A token of after the restoration, in whole seconds as tokens count."""
    time.sleep(1.1)
    return world.jwt()


# The command


def verify(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return world.server.run("receipt", "verify", *arguments)


def test_the_command_verifies_offline_with_the_data_folder_or_a_saved_key_set(auth0, tmp_path):
    world, stream = auth0
    world.connect(world.jwt())
    assert stream.send(stream.event(), authorization=stream.secret).ok
    settled(world)
    answer = receipt_of(world)
    whole, bare, keys = tmp_path / "answer.json", tmp_path / "receipt.jws", tmp_path / "jwks.json"
    whole.write_text(json.dumps(answer))
    bare.write_text(answer["receipt"] + "\n")
    keys.write_text(json.dumps(key_set(world)))
    for file in whole, bare:
        for trust in ("--data-dir", str(world.server.data)), ("--keys", str(keys)):
            verified = verify(world, str(file), *trust)
            assert verified.returncode == 0, verified.stderr
            for shown in "The receipt holds", world.subject(), world.server.url, "sdu", "2 done":
                assert shown in verified.stdout, verified.stdout
    as_json = verify(world, str(whole), "--keys", str(keys), "--output", "json")
    assert json.loads(as_json.stdout)["user"]["subject"] == world.subject()

    head, body, signature = answer["receipt"].split(".")
    assertion = wait(world.app.assert_identity(audience="https://x.test")).token
    bent = tmp_path / "bent.jws"
    hostile = SigningKey("k", "ES256")
    keys_of_mine = tmp_path / "mine.json"
    keys_of_mine.write_text(json.dumps({"keys": [hostile.jwk()]}))
    odd = {"iss": "x", "sub": "s", "app_id": "a", "deprovisioned_at": "t", "user": {"subject": "\x1b[2J\u202e\u2028"}}
    for claims, code in (odd | {"trigger": {"\x1b]0;x\nIssued by": "y"}}, 0), ({}, 1), ({"iss": 7}, 1):
        head_of_mine = {"alg": "ES256", "typ": "deprovisioning-receipt+jwt", "kid": "k"}
        bent.write_text(compact(encoded(head_of_mine), encoded(claims), hostile.sign))
        for output in "table", "json":
            shown = verify(world, str(bent), "--keys", str(keys_of_mine), "--output", output)
            assert shown.returncode == code
            lines = shown.stdout.splitlines()
            assert all(line.isprintable() for line in lines), "nothing that a terminal obeys"
            assert [line for line in lines if line.startswith("Issued by")] in ([], ["Issued by         x"])
    for text in (
        *(f"{head}.{body[:-4]}AAAA.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}.", body, ""),
        *("{}", '{"receipt": 7}', assertion),
    ):
        bent.write_text(text)
        refused = verify(world, str(bent), "--keys", str(keys))
        assert refused.returncode == 1 and "does not hold" in refused.stderr, text
    keys.write_text('{"keys": []}')
    assert verify(world, str(whole), "--keys", str(keys)).returncode == 1
    for unreadable in (str(tmp_path / "nothing"), "--keys", str(keys)), (str(whole), "--keys", str(tmp_path / "nothing")):
        assert verify(world, *unreadable).returncode == 2


# Nothing can be opened again


@pytest.fixture
def sealed(new_server):
    """A world, what can end alice, and all that seals her tokens: four ciphertexts and the key that is wrapped."""
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat), idp_type="clerk")
    endpoint = ClerkEndpoint(world)
    for account in "alice", "alice-at-work":
        world.connect(world.jwt(), account=account)
    alice = world.user()["id"]
    tokens = server.database.query("SELECT access_token, refresh_token FROM credentials WHERE user_id = ?", alice)
    [(key_id,)] = server.database.query("SELECT data_key_id FROM users WHERE id = ?", alice)
    [(wrapped,)] = server.keys.query("SELECT wrapped FROM data_keys WHERE id = ?", key_id)
    yield world, endpoint, [*chain.from_iterable(tokens), wrapped]
    world.close()


def test_row_62_after_the_end_neither_ciphertext_nor_key_is_in_any_row(sealed):
    world, endpoint, sealed_values = sealed

    def found() -> int:
        content = b"".join((*world.server.database.content().values(), *world.server.keys.content().values()))
        return sum(each in content for each in sealed_values)

    assert found() == len(sealed_values) == 5
    assert endpoint.send(endpoint.user_deleted()).ok
    assert found() == 0


@pytest.mark.sqlite("its files hold nothing that was overwritten")
def test_row_62_after_the_end_neither_ciphertext_nor_key_is_in_any_file(sealed):
    world, endpoint, sealed_values = sealed
    kept = world.connect(world.jwt("bob"), account="bob")

    def found() -> int:
        content = b"".join(world.server.stored().values())
        return sum(each in content for each in sealed_values)

    assert found() == len(sealed_values) == 5
    assert endpoint.send(endpoint.user_deleted()).ok
    # From the moment of the acknowledgement, while the server runs, write-ahead logs included.
    assert found() == 0
    with pytest.raises(PolicyViolationError):
        world.request_as(world.jwt())
    assert world.request(grant_id=kept.grant_id).json()["account"] == "bob"
    assert world.server.stop() == 0
    assert found() == 0
