"""The main job by the unmodified SDK: a user connects an account, and the app calls an API as that user."""

import json
import secrets
import time

import pytest
import requests
from alter_sdk import (
    AmbiguousGrantError,
    BackendError,
    BlockedDestinationError,
    ConnectDeniedError,
    ConnectFlowError,
    ConnectTimeoutError,
    CredentialRevokedError,
    GrantExpiredError,
    GrantNotFoundError,
    GrantRevokedError,
    InvalidKeyError,
    KeyInactiveError,
    KeyRevokedError,
    PolicyViolationError,
    ProviderUnauthorizedError,
    ScopeReauthRequiredError,
    SiblingLabelConflictError,
)

from harness.browser import Browser, connect, decline
from harness.local_http import Answer
from harness.management import Management, ManagementError
from harness.oauth_provider import OAuthProvider
from harness.sdk import in_background, open_app, wait, wait_all
from harness.waiting import eventually
from harness.world import PROVIDER

UNKNOWN_GRANT = "00000000-0000-4000-8000-000000000000"


# Operators and keys


def test_an_operator_made_before_the_first_start_and_one_made_while_serving_can_both_sign_in(new_server):
    server = new_server
    before = server.create_operator("before@example.test")
    server.start()
    during = server.create_operator("during@example.test")
    for operator in before, during:
        assert Management(server.url, operator.pat).get("/apps")["items"] == []
    with pytest.raises(ManagementError) as refused:
        Management(server.url, before.pat[:-1]).get("/apps")
    assert (refused.value.status, refused.value.body["error"]) == (401, "unauthenticated")
    assert server.stop() == 0


def test_another_operator_sees_nothing_of_our_app(connected, server):
    world, _, grant = connected
    stranger = Management(server.url, server.create_operator(f"{secrets.token_hex(4)}@example.test").pat)
    for path in world.path, f"{world.path}/grants/{grant.grant_id}", f"{world.path}/users":
        with pytest.raises(ManagementError) as refused:
            stranger.get(path)
        assert (refused.value.status, refused.value.body["error"]) == (404, "not_found")


def test_an_unknown_key_is_invalid_and_a_deleted_one_is_revoked(world):
    stranger = open_app(world.server.url, "alter_rk_abcdefghijklmnopqrstuv_iwpykn")
    with pytest.raises(InvalidKeyError):
        wait(stranger.scopes.list())
    assert wait(world.app.scopes.list()).scope_version >= 1
    [key] = world.management.items(f"{world.path}/keys")
    world.management.delete(f"{world.path}/keys/{key['id']}")
    with pytest.raises(KeyRevokedError):
        wait(world.app.scopes.list())


# Connect and retrieve


def test_connect_gives_a_grant_that_names_provider_account_and_scopes(connected):
    world, _, grant = connected
    assert grant.provider_id == PROVIDER
    assert grant.account_identifier == "alice@provider.test"
    assert sorted(grant.scopes) == ["items:read", "profile"]
    assert grant.operation == "creation"
    [asked] = world.oauth.authorizations
    assert asked["redirect_uri"] == f"{world.server.url}/oauth/callback"
    assert asked["code_challenge_method"] == "S256" and len(asked["state"]) >= 16


def test_a_request_by_grant_id_calls_the_provider_with_the_users_access_token(connected):
    world, _, grant = connected
    assert world.request(grant_id=grant.grant_id).json()["account"] == "alice"
    assert world.oauth.calls[-1].headers["Authorization"] == f"Bearer {world.oauth.newest_token()}"


def test_a_request_by_provider_and_user_token_finds_the_users_own_grant(connected):
    world, alice, _ = connected
    bob = world.jwt("bob")
    world.connect(bob, account="bob")
    assert world.request_as(alice).json()["account"] == "alice"
    assert world.request_as(bob).json()["account"] == "bob"


def test_a_user_without_a_grant_is_told_which_provider_is_missing(connected):
    world, _, _ = connected
    with pytest.raises(GrantNotFoundError) as refused:
        world.request_as(world.jwt("carol"))
    assert refused.value.provider_id == PROVIDER


def test_another_users_token_does_not_open_a_grant_by_its_id(connected):
    world, _, grant = connected
    with pytest.raises(GrantNotFoundError):
        world.request(grant_id=grant.grant_id, user_token=world.jwt("bob"))
    assert world.oauth.calls == []


def test_two_accounts_of_one_provider_are_ambiguous_until_one_is_named(connected):
    world, jwt, first = connected
    second = world.connect(jwt, account="alice-at-work")
    assert second.grant_id != first.grant_id
    with pytest.raises(AmbiguousGrantError) as refused:
        world.request_as(jwt)
    assert sorted(refused.value.account_identifiers) == ["alice-at-work@provider.test", "alice@provider.test"]
    assert refused.value.provider_id == PROVIDER and not refused.value.account_was_provided
    assert {candidate.grant_id for candidate in refused.value.candidates} == {first.grant_id, second.grant_id}
    for account in "alice", "alice-at-work":
        assert world.request_as(jwt, account=f"{account}@provider.test").json()["account"] == account


def test_a_credential_is_refused_to_every_host_but_its_providers(connected):
    world, jwt, grant = connected
    stranger = OAuthProvider()
    for url in stranger.url("/api/echo"), world.server.url + "/healthz", "https://provider.test/api/echo":
        with pytest.raises(BlockedDestinationError):
            world.request(url, grant_id=grant.grant_id)
        with pytest.raises(BlockedDestinationError):
            world.request_as(jwt, url)
    stranger.close()
    assert stranger.calls == []


def test_a_grant_of_a_foreign_app_is_not_found(connected, foreign_world):
    world, _, grant = connected
    for call in (
        foreign_world.app.request("GET", world.echo, grant_id=grant.grant_id),
        foreign_world.app.proxy_request("GET", world.echo, grant_id=grant.grant_id),
        foreign_world.app.revoke_grant(grant.grant_id),
        foreign_world.app.mint_grant(grant.grant_id, label="stolen"),
    ):
        with pytest.raises(GrantNotFoundError):
            wait(call)
    assert wait(foreign_world.app.list_grants()).grants == []
    assert world.request(grant_id=grant.grant_id).status_code == 200


def test_unknown_foreign_malformed_and_upper_case_grant_ids_get_the_same_answer(connected, foreign_world):
    world, _, grant = connected
    answers = set()
    for grant_id in (
        UNKNOWN_GRANT,
        grant.grant_id,
        grant.grant_id.upper(),
        "not-a-uuid",
        "",
        "x" * 5000,
        "%00",
        "' OR 1=1 --",
    ):
        body = {"grant_id": grant_id, "reason": None, "request": {"method": "GET", "url": world.echo}}
        answer = foreign_world.signer().send("POST", "/sdk/token", body)
        assert (answer.status, answer.error) == (404, "grant_not_found"), grant_id
        answers.add(json.dumps({name: value for name, value in answer.json().items() if name != "request_id"}))
    assert len(answers) == 1
    upper_case = {"grant_id": grant.grant_id.upper(), "reason": None, "request": {"method": "GET", "url": world.echo}}
    assert world.signer().send("POST", "/sdk/token", upper_case).status == 404


def test_a_form_encoded_token_answer_without_an_expiry_is_understood(world):
    world.oauth.token_format = "form"
    world.oauth.expires_in = None
    jwt = world.jwt()
    world.connect(jwt)
    assert world.request_as(jwt).json()["account"] == "alice"


def test_a_provider_that_wants_the_client_in_the_body_gets_it_there(world):
    world.register("in-body", world.oauth, token_auth="post")
    world.connect(world.jwt(), provider_id="in-body")
    assert world.oauth.token_requests[-1]["client_secret"] == world.oauth.client_secret
    world.register("in-header", world.oauth, token_auth="basic")
    world.connect(world.jwt(), provider_id="in-header")
    assert "client_secret" not in world.oauth.token_requests[-1]


# Connect that does not succeed


def test_a_denial_at_the_provider_reaches_the_poll_as_denied(world):
    world.oauth.denies = True
    session = world.start_connect(world.jwt())
    connect(session.connect_url, PROVIDER)
    with pytest.raises(ConnectDeniedError):
        world.outcome(session)


def test_declining_on_our_own_page_reaches_the_poll_as_denied(world):
    session = world.start_connect(world.jwt())
    decline(session.connect_url)
    with pytest.raises(ConnectDeniedError):
        world.outcome(session)
    assert world.oauth.authorizations == []


@pytest.mark.parametrize(
    "failure",
    [
        Answer(500, b"<h1>Server Error (500)</h1>", {"Content-Type": "text/html"}),
        Answer.json({"error": "invalid_client"}, 401),
        Answer.json({"error": "server_error"}, 200),
        Answer(200, b"nonsense"),
    ],
    ids=["500 page", "invalid_client", "error inside a 200", "nonsense"],
)
def test_a_failing_token_endpoint_reaches_the_poll_and_makes_no_grant(world, failure):
    world.oauth.token_failures.append(failure)
    jwt = world.jwt()
    session = world.start_connect(jwt)
    assert connect(session.connect_url, PROVIDER).status < 500
    with pytest.raises(ConnectFlowError) as failed:
        world.outcome(session)
    assert not isinstance(failed.value, ConnectDeniedError | ConnectTimeoutError)
    assert wait(world.app.list_grants(end_user_token=jwt)).grants == []


def test_an_unfinished_session_is_pending_and_an_unknown_one_is_over(world):
    session = world.start_connect(world.jwt())
    with pytest.raises(ConnectTimeoutError):
        wait(world.app.poll_connect_session(session.session_token, timeout=1, poll_interval=0.3))
    with pytest.raises(ConnectFlowError):
        wait(world.app.poll_connect_session("unknown", timeout=5, poll_interval=0.1))


def test_a_callback_with_a_used_or_unknown_state_makes_no_grant(world):
    jwt = world.jwt()
    session, browser = world.start_connect(jwt), Browser()
    connect(session.connect_url, PROVIDER, browser)
    used = world.oauth.authorizations[-1]["state"]
    for query in f"code=anything&state={used}", "code=anything&state=unknown", "code=anything&state=", "code=anything":
        assert browser.open(f"{world.server.url}/oauth/callback?{query}").status == 400
    assert len(world.outcome(session)) == 1
    assert len(wait(world.app.list_grants(end_user_token=jwt)).grants) == 1


def test_a_browser_that_did_not_start_the_flow_cannot_finish_it(world):
    jwt = world.jwt()
    session = world.start_connect(jwt)
    starter, stranger = Browser(), Browser()
    page = starter.open(session.connect_url)
    to_provider = starter.redirect_of(page, page.form_with_button("provider", PROVIDER), provider=PROVIDER)
    callback = stranger.location_of(to_provider)
    assert callback.startswith(f"{world.server.url}/oauth/callback?")
    assert stranger.open(callback).status < 500
    assert wait(world.app.list_grants(end_user_token=jwt)).grants == []
    with pytest.raises(ConnectFlowError):
        wait(world.app.poll_connect_session(session.session_token, timeout=1, poll_interval=0.3))


# Grants


def test_connecting_the_same_account_again_keeps_the_grant_id(connected):
    world, jwt, grant = connected
    again = world.connect(jwt)
    assert (again.grant_id, again.operation) == (grant.grant_id, "reauth")
    world.request(grant_id=grant.grant_id)
    assert world.oauth.calls[-1].headers["Authorization"] == f"Bearer {world.oauth.newest_token()}"


def test_a_revoked_grant_is_refused_as_revoked_and_a_new_consent_makes_a_new_grant(connected):
    world, jwt, grant = connected
    receipt = wait(world.app.revoke_grant(grant.grant_id, reason="test"))
    assert receipt.success and receipt.grant_id == grant.grant_id
    with pytest.raises(GrantRevokedError) as refused:
        world.request(grant_id=grant.grant_id)
    assert refused.value.grant_id == grant.grant_id
    with pytest.raises(GrantNotFoundError):
        world.request_as(jwt)
    assert world.oauth.calls == []
    fresh = world.connect(jwt)
    assert fresh.grant_id != grant.grant_id and fresh.operation == "creation"
    assert world.request_as(jwt).status_code == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE grants SET revoked_at = 1 WHERE id = ?", GrantRevokedError),
        ("UPDATE grants SET expires_at = 1 WHERE id = ?", GrantExpiredError),
        ("UPDATE users SET status = 'suspended' WHERE id = (SELECT user_id FROM grants WHERE id = ?)", PolicyViolationError),
        ("UPDATE api_keys SET revoked_at = 1 WHERE app_id = (SELECT app_id FROM grants WHERE id = ?)", KeyRevokedError),
        ("UPDATE apps SET archived_at = 1 WHERE id = (SELECT app_id FROM grants WHERE id = ?)", KeyInactiveError),
    ],
)
def test_what_is_changed_past_the_server_acts_on_the_next_use(connected, change, error):
    world, _, grant = connected
    for _ in range(3):
        assert world.request(grant_id=grant.grant_id).status_code == 200
    assert world.server.database.change(change, grant.grant_id) == 1
    with pytest.raises(error):
        world.request(grant_id=grant.grant_id)


def test_a_user_cannot_revoke_another_users_grant(connected):
    world, alice, grant = connected
    with pytest.raises(GrantNotFoundError):
        wait(world.open_app(user_token_getter=lambda: world.jwt("bob")).revoke_grant(grant.grant_id))
    assert world.request(grant_id=grant.grant_id).status_code == 200
    assert wait(world.open_app(user_token_getter=lambda: alice).revoke_grant(grant.grant_id)).success


def test_an_operator_can_revoke_a_grant(connected):
    world, _, grant = connected
    path = f"{world.path}/grants/{grant.grant_id}"
    assert world.management.get(path)["status"] == "active"
    world.management.post(f"{path}/revoke", {"reason": "test"})
    assert world.management.get(path)["status"] == "revoked"
    with pytest.raises(GrantRevokedError):
        world.request(grant_id=grant.grant_id)


def test_grants_are_listed_by_user_account_provider_and_page(connected):
    world, alice, first = connected
    second = world.connect(alice, account="alice-at-work")
    bobs = world.connect(world.jwt("bob"), account="bob")

    def listed(**filters) -> set[str]:
        return {item.grant_id for item in wait(world.app.list_grants(**filters)).grants}

    assert listed() == {first.grant_id, second.grant_id, bobs.grant_id}
    assert listed(end_user_token=alice) == {first.grant_id, second.grant_id}
    assert listed(account="bob@provider.test") == {bobs.grant_id}
    assert listed(end_user_token=alice, account="bob@provider.test") == set()
    assert listed(provider_id="other") == set() and listed(status="revoked") == set()
    pages = [wait(world.app.list_grants(limit=1, offset=offset)) for offset in range(3)]
    assert {page.grants[0].grant_id for page in pages} == listed()
    assert [(page.has_more, page.total) for page in pages] == [(True, 3), (True, 3), (False, 3)]
    [item] = wait(world.app.list_grants(account="bob@provider.test")).grants
    assert (item.grant_kind, item.provider_id, item.status, item.principal_type) == (
        "oauth",
        PROVIDER,
        "active",
        "user",
    )


def test_a_minted_sibling_works_under_its_label_and_the_label_is_taken_then(connected):
    world, jwt, grant = connected
    sibling = wait(world.app.mint_grant(grant.grant_id, label="reports"))
    assert sibling.grant_id != grant.grant_id and sibling.label == "reports"
    assert world.request(grant_id=sibling.grant_id).json()["account"] == "alice"
    assert world.request_as(jwt, label="reports").json()["account"] == "alice"
    with pytest.raises(SiblingLabelConflictError) as refused:
        wait(world.app.mint_grant(grant.grant_id, label="reports"))
    assert refused.value.label == "reports"
    with pytest.raises(GrantNotFoundError):
        wait(world.app.mint_grant(UNKNOWN_GRANT, label="other"))
    wait(world.app.revoke_grant(sibling.grant_id))
    with pytest.raises(GrantRevokedError):
        world.request(grant_id=sibling.grant_id)
    assert world.request(grant_id=grant.grant_id).status_code == 200, "the sibling took the credential along"


def test_a_reported_scope_mismatch_stops_the_grant_until_it_is_authorized_again(connected):
    world, jwt, grant = connected
    with pytest.raises(ScopeReauthRequiredError) as refused:
        world.request(world.oauth.url("/api/needs-scope/items:write"), grant_id=grant.grant_id)
    assert refused.value.missing_scopes == ["items:write"]
    eventually(lambda: wait(world.app.list_grants()).grants[0].scope_mismatch, "the SDK's report reaches the server")
    calls = len(world.oauth.calls)
    with pytest.raises(ScopeReauthRequiredError) as refused:
        world.request(grant_id=grant.grant_id)
    assert (refused.value.grant_id, refused.value.provider_id) == (grant.grant_id, PROVIDER)
    assert len(world.oauth.calls) == calls, "the provider was called with a stopped grant"
    assert world.connect(jwt).grant_id == grant.grant_id
    assert world.request(grant_id=grant.grant_id).status_code == 200


# Refresh


def test_a_token_near_its_end_is_refreshed_once_for_all_who_wait(world):
    world.oauth.expires_in, world.oauth.refreshed_expires_in = 30, 3600
    world.oauth.token_delay_seconds = 0.3
    grant = world.connect(world.jwt())
    old = world.oauth.newest_token()
    answers = wait_all([world.app.request("GET", world.echo, grant_id=grant.grant_id) for _ in range(10)])
    assert [getattr(answer, "status_code", answer) for answer in answers] == [200] * 10
    assert world.oauth.refreshes == 1
    fresh = world.oauth.newest_token()
    assert fresh != old
    assert {call.headers["Authorization"] for call in world.oauth.calls} == {f"Bearer {fresh}"}


def test_short_lived_tokens_are_refreshed_with_rotation_at_every_use(world):
    world.oauth.expires_in = 60
    grant = world.connect(world.jwt())
    for _ in range(3):
        world.request(grant_id=grant.grant_id)
    sent = [form["refresh_token"] for form in world.oauth.token_requests if "refresh_token" in form]
    assert len(sent) == 3
    assert len(set(sent)) == 3, "a refresh token was sent twice"


def test_a_refused_refresh_ends_the_credential_until_the_user_connects_again(world):
    world.oauth.expires_in = 30
    jwt = world.jwt()
    grant = world.connect(jwt)
    world.oauth.token_failures.append(Answer.json({"error": "invalid_grant"}, 400))
    for _ in range(2):
        with pytest.raises(CredentialRevokedError) as refused:
            world.request(grant_id=grant.grant_id)
        assert (refused.value.grant_id, refused.value.provider_id) == (grant.grant_id, PROVIDER)
    assert world.oauth.refreshes == 1, "a dead refresh token was tried again"
    world.oauth.expires_in = 3600
    assert world.connect(jwt).grant_id == grant.grant_id
    assert world.request(grant_id=grant.grant_id).status_code == 200


def test_a_new_consent_during_a_refresh_keeps_the_connection(world):
    world.oauth.expires_in = 30
    jwt = world.jwt()
    grant = world.connect(jwt)
    world.oauth.token_delay_seconds = 1.0
    refreshing = in_background(world.app.request("GET", world.echo, grant_id=grant.grant_id))
    eventually(lambda: world.oauth.refreshes, "the refresh is under way")
    world.oauth.token_delay_seconds = 0.0
    world.oauth.expires_in = 3600
    assert world.connect(jwt).grant_id == grant.grant_id
    assert refreshing.result(20).status_code == 200
    assert world.request(grant_id=grant.grant_id).json()["account"] == "alice"
    assert world.oauth.revocations == [], "the new consent was revoked with the old one's tokens"


def test_a_page_in_place_of_a_token_answer_ends_no_connection(world):
    world.oauth.expires_in = 30
    grant = world.connect(world.jwt())
    for page in (
        Answer(200, b"<html>back in a minute</html>", {"Content-Type": "text/html"}),
        Answer(302, b"", {"Location": "https://status.example.test/"}),
        Answer(503, b"", {}),
    ):
        world.oauth.token_failures[:] = [page]
        # The token at hand is still good for half a minute.
        assert world.request(grant_id=grant.grant_id).status_code == 200
        time.sleep(2.1)
    world.oauth.token_failures.clear()
    asked = world.oauth.refreshes
    assert world.request(grant_id=grant.grant_id).status_code == 200
    assert world.oauth.refreshes == asked + 1


def test_an_issued_token_that_cannot_be_used_is_not_asked_for_twice(world):
    world.oauth.expires_in = 30
    grant = world.connect(world.jwt())
    world.oauth.token_failures.append(Answer.json({"access_token": "bad\r\ntoken", "refresh_token": "r2"}))
    with pytest.raises(CredentialRevokedError):
        world.request(grant_id=grant.grant_id)
    asked = world.oauth.refreshes
    with pytest.raises(CredentialRevokedError):
        world.request(grant_id=grant.grant_id)
    assert world.oauth.refreshes == asked


def test_a_limited_grant_stays_limited_when_the_account_is_connected_again(world):
    jwt = world.jwt()
    grant = world.connect(jwt, grant_policy={"max_ttl_seconds": 3600})
    again = world.connect(jwt)
    assert (again.grant_id, again.operation) == (grant.grant_id, "reauth")
    shown = world.management.get(f"{world.path}/grants/{grant.grant_id}")
    assert shown["grant_expires_at"] and shown["grant_policy"] == {"max_ttl_seconds": 3600}
    world.connect(jwt, grant_policy={"max_ttl_seconds": 60})
    shown = world.management.get(f"{world.path}/grants/{grant.grant_id}")
    assert shown["grant_policy"] == {"max_ttl_seconds": 60}


def test_an_expired_sibling_does_not_make_the_living_grant_ambiguous(world):
    jwt = world.jwt()
    grant = world.connect(jwt)
    wait(world.app.mint_grant(grant.grant_id, label="short", grant_policy={"max_ttl_seconds": 5}))
    with pytest.raises(AmbiguousGrantError):
        world.request_as(jwt)
    time.sleep(5.1)
    assert world.request_as(jwt).status_code == 200


def test_a_provider_whose_answer_about_the_person_fails_once_is_asked_again(world):
    world.oauth.userinfo_failures = 1
    assert world.connect(world.jwt()).account_identifier == "alice@provider.test"


def test_an_account_that_cannot_be_identified_is_not_kept_and_its_tokens_are_revoked(world):
    world.oauth.userinfo_failures = 10
    session = world.start_connect(world.jwt())
    connect(session.connect_url, PROVIDER)
    with pytest.raises(ConnectFlowError):
        world.outcome(session)
    eventually(lambda: world.oauth.revocations, "the provider is told to revoke what it issued")
    assert world.management.items(f"{world.path}/grants") == []


def test_a_token_that_the_sdk_reports_as_refused_is_not_handed_out_again(connected):
    world, _, grant = connected
    refused_token = world.oauth.newest_token()
    with pytest.raises(ProviderUnauthorizedError):
        world.request(world.oauth.url("/api/status/401"), grant_id=grant.grant_id)
    body = {"grant_id": grant.grant_id, "reason": None, "request": {"method": "GET", "url": world.echo}}
    eventually(
        lambda: world.signer().send("POST", "/sdk/token", body).json().get("access_token") != refused_token,
        "the SDK's report of the 401 has an effect",
    )


# Catalogues and identity


def test_the_catalogues_name_the_scopes_and_the_connectable_providers(world):
    scopes = wait(world.app.scopes.list())
    assert scopes.scope_version >= 1 and scopes.resources
    assert {"tokens:retrieve", "proxy:execute", "connect:initiate"} <= set(scopes.action_verbs)
    providers = wait(world.app.oauth_providers.list()).providers
    assert set(providers) == {PROVIDER}
    assert (providers[PROVIDER].id, providers[PROVIDER].status) == (PROVIDER, "active")


def test_verifying_a_user_token_answers_its_subject_or_nothing(world):
    assert wait(world.app.verify_user_token(world.jwt())) == world.subject()
    assert wait(world.app.verify_user_token(world.jwt(exp=1))) is None
    assert wait(world.app.verify_user_token("nonsense")) is None


def test_a_token_syncs_its_user_even_where_the_call_finds_no_grant(world):
    with pytest.raises(GrantNotFoundError):
        world.request_as(world.jwt("dora"))
    user = world.user("dora")
    assert (user["status"], user["email"]) == ("active", "dora@corp.test")


# Managed secrets


def test_a_managed_bearer_secret_is_used_by_grant_id_and_by_slug(world):
    token = secrets.token_urlsafe(24)
    secret = world.add_secret("stats", "bearer", {"token": token})
    world.oauth.accepted_headers.add(("authorization", f"Bearer {token}"))
    assert world.request(grant_id=secret["grant_id"]).status_code == 200
    assert world.request(provider="stats").status_code == 200
    assert world.proxy(grant_id=secret["grant_id"]).status_code == 200
    with pytest.raises(BlockedDestinationError):
        world.request("https://elsewhere.test/", grant_id=secret["grant_id"])
    [item] = wait(world.app.list_grants()).grants
    assert (item.grant_kind, item.grant_id, item.managed_secret_slug) == ("managed_secret", secret["grant_id"], "stats")


def test_a_managed_api_key_goes_into_its_own_header(world):
    key = secrets.token_urlsafe(24)
    secret = world.add_secret(
        "maps", "api_key", {"key": key}, injection={"header": "X-Maps-Key", "format": "Key {token}"}
    )
    world.oauth.accepted_headers.add(("x-maps-key", f"Key {key}"))
    assert world.request(grant_id=secret["grant_id"]).status_code == 200
    assert world.request(provider="maps").status_code == 200
    assert world.proxy(grant_id=secret["grant_id"]).status_code == 200
    assert len(world.oauth.calls) == 3 and not any("Authorization" in call.headers for call in world.oauth.calls)


def test_an_app_wide_grant_refuses_a_user_token(world):
    secret = world.add_secret("stats", "bearer", {"token": secrets.token_urlsafe(24)})
    with pytest.raises(BackendError) as refused:
        world.request(grant_id=secret["grant_id"], user_token=world.jwt())
    assert refused.value.status_code == 400
    assert refused.value.details["error"] == "system_grant_user_token_mismatch"


# The page


def test_the_connect_page_escapes_what_it_shows_runs_only_scripts_of_its_own_and_cannot_be_framed(world):
    world.management.call("PATCH", world.path, {"name": "</title><script>alert(1)</script>"})
    evil = '"><img src=x onerror=alert(1)>'
    session = world.start_connect(world.jwt(email=evil))
    page = requests.get(session.connect_url, timeout=10)
    assert "<script>" not in page.text and "<img" not in page.text and "&lt;script&gt;" in page.text
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert policy["script-src"] == policy["style-src"] == "'self'"
    # Providers lead on to sign-in pages elsewhere, and Chromium holds the whole way against this.
    assert policy["form-action"].split() == ["'self'", "https:", "http:"]
    cookie = page.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert page.headers["Cache-Control"] == "no-store" and page.headers["Referrer-Policy"] == "no-referrer"


def test_going_back_to_the_callback_asks_for_nothing_twice(world):
    session = world.start_connect(world.jwt())
    page = connect(session.connect_url, PROVIDER)
    assert "/connect/" in page.url and "code=" not in page.url
    assert "Connected" in page.text
    [result] = world.outcome(session)
    assert [g["grant_id"] for g in world.management.items(f"{world.path}/grants")] == [result.grant_id]
