"""The journey with nothing around the vault that is ours: glewlwyd, django-oauth-toolkit, the official SDK."""

import pytest
from alter_sdk import AmbiguousGrantError, GrantNotFoundError, GrantRevokedError, ReAuthRequiredError

from harness.canaries import canary
from harness.sdk import open_app, wait
from harness.signer import Signer
from harness.waiting import eventually

PROVIDER = "django"


@pytest.fixture(scope="module")
def app(management, glewlwyd, django):
    """The path of an app that uses both."""
    path = f"/apps/{management.post('/apps', {'name': 'Journey'})['id']}"
    discovered = management.post(f"{path}/identity-provider/discover", {"issuer_url": glewlwyd.issuer})
    assert discovered["issuer"] == glewlwyd.issuer
    settings = {"issuer_url": glewlwyd.issuer, "audience": glewlwyd.client_id, "group_claim": "groups"}
    management.post(f"{path}/identity-provider", settings)
    management.put(f"{path}/oauth-providers/{PROVIDER}", django.settings())
    return path


@pytest.fixture(scope="module")
def api_key(management, app):
    return canary(management.post(f"{app}/keys", {"name": "journey"})["api_key"])


@pytest.fixture(scope="module")
def sdk(server, api_key):
    return open_app(server.url, api_key)


def connect(sdk, django, jwt, user):
    session = wait(sdk.create_connect_session(allowed_providers=[PROVIDER], user_token=jwt))
    django.connect(session.connect_url, PROVIDER, user)
    [grant] = wait(sdk.poll_connect_session(session.session_token, timeout=10, poll_interval=0.1))
    return grant


def test_an_account_is_connected_used_refreshed_and_revoked(server, management, app, api_key, sdk, glewlwyd, django):
    alice = glewlwyd.sign_in("alice")
    me = f"{django.origin}/api/me"
    with pytest.raises(GrantNotFoundError):
        wait(sdk.request("GET", me, provider=PROVIDER, user_token=alice))
    grant = connect(sdk, django, alice, "alice")
    assert (grant.account_identifier, grant.scopes) == ("alice@provider.test", [django.scope])

    # Tokens that live for 60 seconds are refreshed, and so rotated, at every use.
    digests = []
    for _ in range(3):
        answer = wait(sdk.request("GET", me, provider=PROVIDER, user_token=alice)).json()
        assert answer["email"] == "alice@provider.test"
        digests.append(answer["token_digest"])
    digests.append(wait(sdk.proxy_request("GET", me, provider=PROVIDER, user_token=alice)).body_json()["token_digest"])
    assert len(set(digests)) == 4

    # Another person of the same issuer gets nothing of it, and another sign-in of alice does.
    with pytest.raises(GrantNotFoundError):
        wait(sdk.request("GET", me, grant_id=grant.grant_id, user_token=glewlwyd.sign_in("bob")))
    assert wait(sdk.request("GET", me, grant_id=grant.grant_id, user_token=glewlwyd.sign_in("alice"))).is_success
    [user] = [user for user in management.items(f"{app}/users") if user["email"] == "alice@corp.test"]
    assert sorted(user["group_ids"]) == ["engineering", "finance"]

    # The revocation ends the token at the provider itself.
    body = {"grant_id": grant.grant_id, "reason": None, "request": {"method": "GET", "url": me}}
    token = canary(Signer(server.url, api_key).send("POST", "/sdk/token", body).json()["access_token"])
    assert django.call_api(token).status_code == 200 and django.introspect(token)["active"]
    wait(sdk.revoke_grant(grant.grant_id))
    with pytest.raises(GrantRevokedError):
        wait(sdk.request("GET", me, grant_id=grant.grant_id))
    eventually(lambda: django.call_api(token).status_code == 403, "the provider no longer takes the token")
    assert not django.introspect(token)["active"]


def test_two_people_at_one_provider_each_reach_their_own_account(sdk, glewlwyd, django):
    me = f"{django.origin}/api/me"
    alice, bob = glewlwyd.sign_in("alice"), glewlwyd.sign_in("bob")
    connect(sdk, django, alice, "alice")
    connect(sdk, django, bob, "bob")
    for jwt, account in (alice, "alice@provider.test"), (bob, "bob@provider.test"):
        assert wait(sdk.request("GET", me, provider=PROVIDER, user_token=jwt)).json()["email"] == account
    connect(sdk, django, alice, "bob")
    with pytest.raises(AmbiguousGrantError) as refused:
        wait(sdk.request("GET", me, provider=PROVIDER, user_token=alice))
    assert sorted(refused.value.account_identifiers) == ["alice@provider.test", "bob@provider.test"]


def test_a_changed_token_of_a_real_issuer_is_refused(sdk, glewlwyd, django):
    header, payload, signature = glewlwyd.sign_in("alice").split(".")
    _, of_bob, _ = glewlwyd.sign_in("bob").split(".")
    for changed in f"{header}.{of_bob}.{signature}", f"{header}.{payload}.{signature[:-8]}AAAAAAAA":
        with pytest.raises(ReAuthRequiredError):
            wait(sdk.request("GET", f"{django.origin}/api/me", provider=PROVIDER, user_token=changed))
