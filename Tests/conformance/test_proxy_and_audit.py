"""Calls that the vault makes itself, and what is recorded of every use of a credential."""

import json

import pytest
from alter_sdk import BackendError, BlockedDestinationError, GrantRevokedError

from harness.oauth_provider import OAuthProvider
from harness.sdk import wait
from harness.waiting import eventually
from harness.world import PROVIDER


def test_a_proxied_call_carries_the_credential_merges_the_query_and_returns_the_answer(connected):
    world, _, grant = connected
    result = world.proxy(
        "POST",
        world.echo + "?first=1&q=a%20b",
        grant_id=grant.grant_id,
        json={"name": "é", "list": [1, None, False]},
        query_params={"tag": ["x", "y"], "n": 2},
        extra_headers={"X-Trace": "abc"},
        reason="test",
    )
    assert result.status_code == 200
    seen = result.body_json()
    assert sorted(map(tuple, seen["query"])) == [("first", "1"), ("n", "2"), ("q", "a b"), ("tag", "x"), ("tag", "y")]
    assert json.loads(seen["body"]) == {"name": "é", "list": [1, None, False]}
    assert (seen["method"], seen["account"]) == ("POST", "alice")
    [call] = world.oauth.calls
    assert call.headers.get_all("Authorization") == [f"Bearer {world.oauth.newest_token()}"]
    assert call.headers["X-Trace"] == "abc" and call.headers["Content-Type"] == "application/json"
    assert not [name for name in call.headers if name.lower().startswith(("x-alter", "x-api-key"))]


def test_a_proxied_call_works_by_provider_and_user_token(connected):
    world, jwt, _ = connected
    assert world.proxy(provider=PROVIDER, user_token=jwt).body_json()["account"] == "alice"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503])
def test_a_failure_of_the_provider_comes_inside_the_envelope(connected, status):
    world, _, grant = connected
    result = world.proxy(url=world.oauth.url(f"/api/status/{status}"), grant_id=grant.grant_id)
    assert (result.status_code, result.body_json()) == (status, {"status": status})


def test_a_redirect_of_the_provider_is_handed_back_and_not_followed(connected):
    world, _, grant = connected
    stranger = OAuthProvider()
    elsewhere = {"to": stranger.url("/api/echo")}
    result = world.proxy(url=world.oauth.url("/api/redirect"), grant_id=grant.grant_id, query_params=elsewhere)
    stranger.close()
    assert result.status_code == 302
    assert stranger.calls == []


def test_proxying_to_a_host_that_is_not_the_providers_is_blocked(connected):
    world, _, grant = connected
    stranger = OAuthProvider()
    for url in (
        stranger.url("/api/echo"),
        world.server.url + "/readyz",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://localhost:1/",
        "https://provider.test/",
    ):
        with pytest.raises(BlockedDestinationError):
            world.proxy(url=url, grant_id=grant.grant_id)
    for odd in (
        f"http://{world.oauth.host}@{stranger.host}/api/echo",
        f"http://user@{world.oauth.host}/api/echo",
        f"http://{world.oauth.host}\\@{stranger.host}/api/echo",
        "file:///etc/passwd",
        "/api/echo",
        "",
    ):
        body = {"method": "GET", "url": odd, "grant_id": grant.grant_id}
        assert world.signer().send("POST", "/sdk/proxy", body).status == 422, odd
    stranger.close()
    assert stranger.calls == [] and world.oauth.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer mine"},
        {"authorization": "Bearer mine"},
        {"Cookie": "a=b"},
        {"X-API-Key": "mine"},
        {"Host": "elsewhere.test"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"bad name": "x"},
        {"X-Split": "a\r\nX-Injected: b"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_the_server_refuses_headers_that_the_sdk_would_never_send(connected, headers):
    world, _, grant = connected
    body = {"method": "GET", "url": world.echo, "grant_id": grant.grant_id, "headers": headers}
    answer = world.signer().send("POST", "/sdk/proxy", body)
    assert (answer.status, answer.error) == (422, "validation_failed")
    assert world.oauth.calls == []


def test_a_target_longer_than_the_limit_is_refused(connected):
    world, _, grant = connected
    with pytest.raises(BackendError) as refused:
        world.proxy(grant_id=grant.grant_id, query_params={"q": "x" * 66_000})
    assert (refused.value.status_code, refused.value.details["error"]) == (422, "query_too_long")
    assert world.oauth.calls == []


def test_a_proxied_call_with_a_revoked_grant_is_refused(connected):
    world, _, grant = connected
    wait(world.app.revoke_grant(grant.grant_id))
    with pytest.raises(GrantRevokedError):
        world.proxy(grant_id=grant.grant_id)
    assert world.oauth.calls == []


def test_every_use_of_a_credential_is_one_record_and_the_sdks_report_of_it_another(connected):
    world, _, grant = connected
    url = world.echo + "?page=2"
    world.request(url, grant_id=grant.grant_id, reason="quarterly report")

    def records() -> list[dict]:
        return sorted((r for r in world.audit(grant_id=grant.grant_id) if r["url"] == url), key=lambda r: r["sequence"])

    use, report = eventually(lambda: len(found := records()) >= 2 and found, "the SDK's report of its call is recorded")
    assert use["event"] != report["event"]
    for record in use, report:
        assert (record["method"], record["provider_id"]) == ("GET", PROVIDER)
        assert world.api_key.startswith(record["key_prefix"]) and len(record["key_prefix"]) >= 10
    assert (use["decision"], use["user_id"]) == ("allow", world.user()["id"])


def test_a_proxied_call_is_one_record_with_the_address_as_it_was_before_injection(connected):
    world, _, grant = connected
    world.proxy(grant_id=grant.grant_id, query_params={"page": 3})
    [record] = [
        record for record in world.audit(grant_id=grant.grant_id) if (record["url"] or "").startswith(world.echo)
    ]
    assert (record["decision"], record["method"]) == ("allow", "GET")


def test_a_refused_use_is_recorded_as_denied(connected):
    world, _, grant = connected
    url = "https://elsewhere.test/steal"
    with pytest.raises(BlockedDestinationError) as refused:
        world.request(url, grant_id=grant.grant_id)
    [record] = [record for record in world.audit(grant_id=grant.grant_id) if record["url"] == url]
    assert record["decision"] == "deny"
    assert record["request_id"] == refused.value.details["request_id"]
