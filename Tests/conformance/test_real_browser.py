"""What a person does, in a real browser: Chromium, the vault's own pages, and two identity providers that are not ours."""

import webbrowser
from queue import SimpleQueue

import pytest
from alter_sdk import GrantRevokedError
from playwright.sync_api import expect

from harness.canaries import canary
from harness.chromium import complaints_about, profile
from harness.real_peers import LOGOUT_PATH, REDIRECT_PATHS
from harness.sdk import in_background, open_app, wait

PROVIDER = "django"
expect.set_options(timeout=15_000)


@pytest.fixture
def page(chromium, server):
    """A page of a new profile. What the browser itself finds wrong with a page of the vault fails the test."""
    with profile(chromium) as context:
        page = context.new_page()
        complaints = complaints_about(page, f"{server.url}/")
        yield page
        assert complaints == []


def app_with_sign_in(server, management, peer):
    """An app of its own whose users sign in at `peer`: the SDK, and where its Wallet begins."""
    app = management.post("/apps", {"name": "Atlas"})["id"]
    path = f"/apps/{app}"
    management.post(f"{path}/identity-provider", {"issuer_url": peer.issuer, "audience": peer.client_id})
    client = {"client_id": peer.client_id, "client_secret": peer.client_secret, "scopes": ["openid"]}
    saved = management.put(f"{path}/identity-provider/sign-in", client)
    assert saved["redirect_uris"] == [server.url + path for path in REDIRECT_PATHS[:2]]
    assert saved["wallet_logout_url"] == server.url + LOGOUT_PATH
    api_key = canary(management.post(f"{path}/keys", {"name": "browser"})["api_key"])
    return path, open_app(server.url, api_key), f"{server.url}/wallet/sign-in?appId={app}"


@pytest.mark.parametrize("name", ["glewlwyd", "django"])
def test_a_person_signs_in_connects_an_account_and_ends_it_in_the_wallet(
    request, server, management, django, page, monkeypatch, name
):
    peer = request.getfixturevalue(name)
    path, sdk, wallet = app_with_sign_in(server, management, peer)
    management.put(f"{path}/oauth-providers/{PROVIDER}", django.settings())

    opened = SimpleQueue()
    monkeypatch.setattr(webbrowser, "open", lambda url, *_, **__: opened.put(url) or True)
    authenticated = in_background(sdk.authenticate(timeout=60))
    page.goto(opened.get(timeout=10))
    peer.answer(page, "alice")
    expect(page.get_by_role("heading")).to_have_text("You are signed in")
    signed_in = authenticated.result(timeout=10)
    jwt = canary(signed_in.user_token)
    [user] = management.items(f"{path}/users")
    assert user["external_subject_id"] == signed_in.user_info["sub"] and user["status"] == "active"

    connect = wait(sdk.create_connect_session(allowed_providers=[PROVIDER], user_token=jwt))
    page.goto(connect.connect_url)
    # The vault signs people in at an app's provider for each of its own doors; the app's own sign-in does not open them.
    page.get_by_role("button", name="Sign in with").click()
    peer.answer(page, "alice")
    page.get_by_role("button", name="Connect Django").click()
    django.answer(page, "alice")
    [grant] = wait(sdk.poll_connect_session(connect.session_token, timeout=10, poll_interval=0.1))
    me = f"{django.origin}/api/me"
    assert wait(sdk.request("GET", me, provider=PROVIDER, user_token=jwt)).json()["email"] == "alice@provider.test"

    page.goto(wallet)
    page.get_by_role("link", name="Sign in").click()
    peer.answer(page, "alice")
    expect(page).to_have_url(f"{server.url}/wallet/connections")
    expect(page.get_by_role("listitem")).to_contain_text("alice@provider.test")
    page.get_by_role("link", name="End this connection").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("End the connection to django?")
    assert wait(sdk.request("GET", me, grant_id=grant.grant_id)).status_code == 200
    page.get_by_role("button", name="End this connection").click()
    expect(page).to_have_url(f"{server.url}/wallet/connections")
    expect(page.get_by_text("You have not connected any account")).to_be_visible()
    page.get_by_text("Ended").first.click()
    expect(page.get_by_role("listitem")).to_contain_text("alice@provider.test")
    with pytest.raises(GrantRevokedError):
        wait(sdk.request("GET", me, grant_id=grant.grant_id))


def test_signing_out_leads_through_the_identity_provider_and_back(server, management, django, page):
    _, _, wallet = app_with_sign_in(server, management, django)
    page.goto(wallet)
    page.get_by_role("link", name="Sign in").click()
    django.answer(page, "alice")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Logout").click()
    page.wait_for_url(f"{server.url}{LOGOUT_PATH}?state=*")
    expect(page.get_by_text("Atlas").first).to_be_visible()
    page.goto(f"{server.url}/wallet/connections")
    expect(page).to_have_url(server.url + LOGOUT_PATH)
    # Nobody is signed in at the provider either: it asks, and another person can answer.
    page.goto(wallet)
    page.get_by_role("link", name="Sign in").click()
    expect(page.locator("#id_password")).to_be_visible()
    django.answer(page, "bob")
    expect(page.get_by_text("bob@provider.test").first).to_be_visible()
