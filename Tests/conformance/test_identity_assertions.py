"""Who a user token names, as the app is told, and as a signed statement that others check without the vault."""

import time
from datetime import datetime

import pytest
import requests
from alter_sdk import PolicyViolationError, verify_identity_assertion

from harness.sdk import open_app, wait
from harness.world import World

AUDIENCE = "https://downstream.example.test"


def key_set(world: World) -> dict:
    return requests.get(f"{world.server.url}/.well-known/jwks.json", timeout=10).json()


def verified(world: World, assertion, **options):
    return verify_identity_assertion(
        assertion.token,
        **{"jwks": key_set(world), "audience": AUDIENCE, "issuer": world.server.url, "expected_app_id": world.app_id, **options},
    )


def test_a_user_is_resolved_with_groups_and_a_profile_only_when_it_is_asked_for(server, management):
    world = World(server, management, group_claim="groups")
    jwt = world.idp.mint(
        {"sub": world.subject(), "email": "alice@corp.test", "name": "Alice A.", "groups": ["eng"]}
    )
    plain = wait(world.app.resolve_identity(user_token=jwt))
    assert (plain.app_id, plain.external_subject_id, plain.user_status) == (world.app_id, world.subject(), "active")
    assert plain.app_user_id == world.user()["id"] and plain.group_ids == ["eng"] and plain.email is None
    full = wait(world.app.resolve_identity(user_token=jwt, include_profile=True))
    assert (full.email, full.display_name) == ("alice@corp.test", "Alice A.")
    headless = wait(world.app.resolve_identity())
    assert headless.app_id == world.app_id and headless.app_user_id is None
    world.close()


def test_an_assertion_is_believed_by_the_sdks_own_check_and_by_nothing_bent(world):
    assertion = wait(world.app.assert_identity(audience=AUDIENCE, user_token=world.jwt(), ttl_seconds=60))
    claims = verified(world, assertion)
    assert world.user()["id"] in str(claims)
    head, body, signature = assertion.token.split(".")
    for bad in f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body[:-4]}AAAA.{signature}":
        with pytest.raises(Exception):
            verified(world, type("Bent", (), {"token": bad}))
    for wrong in {"audience": "https://other.test"}, {"issuer": "https://other.test"}, {"expected_app_id": "other"}:
        with pytest.raises(Exception):
            verified(world, assertion, **wrong)
    headless = wait(world.app.assert_identity(audience=AUDIENCE))
    assert f"alter:app:{world.app_id}" in str(verified(world, headless)) or headless.identity.app_user_id is None
    assert world.audit(event="identity.asserted")


def test_an_assertion_lives_as_long_as_asked_within_its_bounds(world):
    for asked, lives in (None, 120), (10, 10), (300, 300):
        body = {"audience": AUDIENCE, "user_token": world.jwt(), "include_profile": False}
        answer = world.signer().send("POST", "/sdk/identity/assert", body | ({"ttl_seconds": asked} if asked else {}))
        left = datetime.fromisoformat(answer.json()["expires_at"]).timestamp() - time.time()
        assert lives - 9 <= left <= lives
    for asked in 9, 301, -1, "60", 10.5:
        body = {"audience": AUDIENCE, "ttl_seconds": asked}
        assert world.signer().send("POST", "/sdk/identity/assert", body).status == 422


@pytest.mark.parametrize("audience", ["downstream", "", "https:", "://x", "1x:y", "https://x y", "urn:\u00e9", "x:" + "a" * 512])
def test_an_audience_is_a_uri_with_a_scheme(world, audience):
    answer = world.signer().send("POST", "/sdk/identity/assert", {"audience": audience, "include_profile": False})
    assert answer.status == 422 and answer.error in ("invalid_audience", "validation_failed")


def test_nobody_is_asserted_who_is_suspended_gone_or_forged(world):
    jwt = world.jwt()
    assert wait(world.app.verify_user_token(jwt)) == world.subject()
    path = f"{world.path}/users/{world.user()['id']}"
    world.management.post(f"{path}/suspend", {"reason": "r"})
    assert wait(world.app.resolve_identity(user_token=jwt)).user_status == "suspended"
    with pytest.raises(PolicyViolationError) as refused:
        wait(world.app.assert_identity(audience=AUDIENCE, user_token=jwt))
    assert refused.value.policy_error == "user_suspended"
    world.management.post(f"{path}/deprovision", {"reason": "r"})
    for call in (
        world.app.resolve_identity(user_token=jwt),
        world.app.assert_identity(audience=AUDIENCE, user_token=jwt),
    ):
        with pytest.raises(PolicyViolationError) as refused:
            wait(call)
        assert refused.value.policy_error == "user_deprovisioned"
    for token in jwt[:-4] + "AAAA", "x" * 9000, 7:
        answer = world.signer().send("POST", "/sdk/identity/resolve", {"user_token": token, "include_profile": False})
        assert (answer.status, answer.error) == (401, "jwt_validation_error")


def test_a_run_of_an_agent_is_told_back_as_its_trace(world):
    signed = {
        "X-Alter-Caller": "planner",
        "X-Alter-Caller-Type": "agent",
        "X-Alter-Context": '{"run_id":"r-1","thread_id":"t-1","tool":"x"}',
    }
    body = {"include_profile": False}
    answer = world.signer().send("POST", "/sdk/identity/resolve", body, signed_headers=signed).json()
    assert answer["trace"] == {"run_id": "r-1", "thread_id": "t-1"} and answer["actor_id"]
    assert world.signer().send("POST", "/sdk/identity/resolve", {**body, "app_user_id": "x"}).status == 400


def test_signing_keys_rotate_with_overlap_beside_the_running_server(world, server):
    before = wait(world.app.assert_identity(audience=AUDIENCE))
    assert len(key_set(world)["keys"]) == 1
    rotate = ("signing-key", "rotate", "--data-dir", str(server.data))
    assert server.run(*rotate).returncode == 0
    assert len(key_set(world)["keys"]) == 2, "the successor is published before it signs"
    same = wait(world.app.assert_identity(audience=AUDIENCE))
    assert same.token.split(".")[0] == before.token.split(".")[0]
    assert server.run(*rotate, "--now").returncode == 0
    after = wait(world.app.assert_identity(audience=AUDIENCE))
    assert after.token.split(".")[0] != before.token.split(".")[0]
    for assertion in before, same, after:
        verified(world, assertion)
    assert all("d" not in key and key["kty"] == "EC" for key in key_set(world)["keys"])
    assert open_app(server.url, world.api_key)
