"""Calls that the vault makes itself, and what is recorded of every use of a credential."""

import json

import pytest
from alter_sdk import BackendError, BlockedDestinationError, GrantRevokedError, InsufficientScopeError

from harness.canaries import canary
from harness.oauth_provider import OAuthProvider
from harness.sdk import open_app, wait
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


def test_texts_of_several_lines_travel_in_query_parameters_and_stand_in_the_record(connected):
    world, _, grant = connected
    query = "{\n  viewer { login }\r\n}"
    result = world.proxy(url=world.echo + "?a=1", grant_id=grant.grant_id, query_params={"query": query})
    assert ["query", query] in result.body_json()["query"]
    [use] = world.audit(event="credential.proxied")
    assert use["url"] == world.echo + "?a=1&query=%7B%0A%20%20viewer%20%7B%20login%20%7D%0D%0A%7D"


@pytest.mark.parametrize("target", ["/api/a%0d%0aX: y", "/api/a%00b", "/api/%", "/api/a\\b", "/api/?a=%0d%0aX-Evil: 1"])
def test_an_address_that_could_end_its_line_is_refused_before_any_call(connected, target):
    world, _, grant = connected
    body = {"method": "GET", "url": world.oauth.origin + target, "grant_id": grant.grant_id}
    answer = world.signer().send("POST", "/sdk/proxy", body)
    assert (answer.status, answer.error) == (422, "blocked_destination")
    assert world.oauth.calls == []
    assert [use["decision"] for use in world.audit(event="credential.proxied")] == ["deny"]


def test_an_address_is_taken_as_http_clients_take_it(connected):
    world, _, grant = connected
    url = world.oauth.url("/api/messages?$filter=from eq 'é'|x#fragment")
    assert world.proxy(url=url, grant_id=grant.grant_id).body_json()["query"] == [["$filter", "from eq 'é'|x"]]
    assert world.request(world.oauth.url("/api/messages?$filter=a b"), grant_id=grant.grant_id).status_code == 200


def test_a_password_in_a_refused_address_is_not_recorded(connected):
    world, _, grant = connected
    body = {"method": "GET", "url": f"https://user:{canary('hunter2-hunter2')}@{world.oauth.host}/", "grant_id": grant.grant_id}
    assert world.signer().send("POST", "/sdk/proxy", body).error == "blocked_destination"
    [use] = world.audit(event="credential.proxied")
    assert use["url"] == f"https://…@{world.oauth.host}/"


def test_no_spelling_of_the_injected_name_reaches_the_provider_beside_it(world):
    injection = {
        "header": "X-Service-Token",
        "format": "{token}",
        "additional": [{"target": "query_param", "key": "key", "value_source": "token"}],
    }
    secret = world.add_secret("svc", "api_key", {"key": "a+static/key=for-the-service"}, injection=injection)
    world.oauth.accepted_headers.add(("x-service-token", "a+static/key=for-the-service"))
    for mine in "X-Service-Token", "x_service_token", "X_SERVICE-TOKEN":
        result = world.proxy(
            url=world.echo + "?key=mine&k%65y=mine&b=1",
            grant_id=secret["grant_id"],
            extra_headers={mine: "mine"},
        )
        assert result.status_code == 200
        call = world.oauth.calls[-1]
        sent = [(name, value) for name, value in call.headers.items() if "service" in name.lower()]
        assert sent == [("X-Service-Token", "a+static/key=for-the-service")]
        assert [value for name, value in call.query if name == "key"] == ["a+static/key=for-the-service"]
        # The provider echoes its query: the caller reads the credential neither as it is nor encoded.
        assert ["key", "[redacted]"] in result.body_json()["query"]


def test_a_credential_that_the_provider_echoes_is_taken_out_in_every_form(connected):
    world, _, grant = connected
    world.oauth.echoes_credential = True
    result = world.proxy(grant_id=grant.grant_id)
    token = world.oauth.newest_token()
    assert result.status_code == 200 and result.body_json()["seen"] == {"X-Seen": "Bearer [redacted]"}
    assert token not in str(result.body_json()) and token not in str(result.headers)


def test_a_proxied_401_renews_the_token_or_ends_the_connection(connected):
    world, _, grant = connected
    asked = world.oauth.refreshes
    world.oauth.families[-1].access_tokens.clear()
    assert world.proxy(grant_id=grant.grant_id).status_code == 401
    assert world.proxy(grant_id=grant.grant_id).status_code == 200
    assert world.oauth.refreshes == asked + 1


def test_a_missing_scope_and_a_broken_user_token_are_on_record_like_every_refused_use(connected):
    world, _, grant = connected
    limited = open_app(world.server.url, world.new_key(scopes=["grants:read"]))
    for call in limited.request("GET", world.echo, grant_id=grant.grant_id), limited.proxy_request(
        "GET", world.echo, grant_id=grant.grant_id
    ):
        with pytest.raises(InsufficientScopeError):
            wait(call)
    body = {"provider_id": PROVIDER, "user_token": 7, "request": {"method": "GET", "url": world.echo}}
    assert world.signer().send("POST", "/sdk/token", body).error == "jwt_validation_error"
    refused = [(use["event"], use["details"]["error"]) for use in world.audit(decision="deny")]
    assert sorted(refused) == [
        ("credential.proxied", "insufficient_scope"),
        ("credential.retrieved", "insufficient_scope"),
        ("credential.retrieved", "jwt_validation_error"),
    ]


def test_a_long_or_empty_reason_is_no_reason_to_refuse(connected):
    world, _, grant = connected
    for reason in "", "because " * 1000:
        assert world.proxy(grant_id=grant.grant_id, reason=reason).status_code == 200
    assert [len(use["reason"] or "") for use in world.audit(event="credential.proxied")] == [2000, 0]
