"""
The setup page of an identity provider, walked by a person in Chromium from the first step to the last: the Portal, a real
provider, the official SDK, the Wallet, and the webhook that ends it. With scripts and without, at a desk and on a phone.
"""

import json
import webbrowser
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from alter_sdk import AlterSDKError, GrantRevokedError, PolicyViolationError
from playwright.sync_api import Locator, Page, expect

from harness.canaries import canary
from harness.chromium import complaints_about, profile
from harness.portal import Operator, invite
from harness.real_peers import LOGOUT_PATH, REDIRECT_PATHS, DjangoProvider
from harness.sdk import in_background, open_app, wait
from harness.waiting import eventually
from harness.webhooks import Auth0Stream, ClerkEndpoint

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = {
    "desktop": {"viewport": DESKTOP},
    "phone": {"viewport": PHONE},
    "desktop-without-scripts": {"viewport": DESKTOP, "java_script_enabled": False},
}
PROVIDER = "django"
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def operator(management) -> Operator:
    return invite(management, "admin")


@pytest.fixture(params=LOOKS)
def page(request, chromium, server):
    """A page of a new profile. What the browser itself finds wrong with a page of the vault fails the test."""
    with profile(chromium, **LOOKS[request.param]) as context:
        page = context.new_page()
        complaints = complaints_about(page, f"{server.url}/")
        yield page
        assert complaints == []


class Setup:
    """The steps of the page, each as a person does it, with the labels that the page has."""

    def __init__(self, page: Page, server, management, peer: DjangoProvider) -> None:
        self._page, self._server, self._management, self._peer = page, server, management, peer

    # Before the first step

    def sign_in_to_portal(self, operator: Operator) -> None:
        self._page.goto(f"{self._server.url}/portal/sign-in")
        self._page.get_by_label("E-mail address").fill(operator.email)
        self._page.get_by_role("textbox", name="Password").fill(operator.password)
        self._press("Sign in")
        expect(self._page).to_have_url(f"{self._server.url}/portal/apps")

    def create_app(self, name: str) -> None:
        self._page.get_by_role("link", name="New app").click()
        self._page.get_by_label("Name", exact=True).fill(name)
        self._press("Create app")
        self._page.wait_for_url("**/portal/apps/*?done=created")
        self._app_page = self._page.url.split("?")[0]
        self.path = f"/apps/{self._app_page.rsplit('/', 1)[1]}"
        api_key = canary(self._management.post(f"{self.path}/keys", {"name": "setup"})["api_key"])
        self.sdk = open_app(self._server.url, api_key)
        self._management.put(f"{self.path}/oauth-providers/{PROVIDER}", self._peer.settings())

    # The steps

    def add_identity_provider(self, idp_type: str) -> None:
        self._page.goto(self._app_page)
        self._page.get_by_role("navigation").get_by_role("link", name="Identity").click()
        self._field("Issuer URL").fill(f"{self._peer.origin}/wrong")
        self._press("Discover")
        expect(self._page.get_by_role("alert").or_(self._page.locator(".problem")).first).to_be_visible()
        self._field("Issuer URL").fill(self._peer.issuer)
        self._press("Discover")
        expect(self._page.get_by_text(f"{self._peer.origin}/o/token/")).to_be_visible()
        # Nothing in the address of this provider says that it is Auth0 or Clerk: the operator knows better.
        self._page.get_by_label("Type", exact=True).select_option(idp_type)
        self._field("Audience").fill(self._peer.client_id)
        self._press("Add Provider")
        expect(self._page.get_by_text("The identity provider is added.")).to_be_visible()

    def save_credentials(self) -> None:
        for label, path in zip(("SDK redirect URI", "Wallet redirect URI"), REDIRECT_PATHS, strict=False):
            assert self._shown(label) == self._server.url + path
        assert self._shown("Wallet logout URL") == self._server.url + LOGOUT_PATH
        self._field("Client ID").fill(self._peer.client_id)
        self._field("Client Secret").fill(self._peer.client_secret)
        self._field("Scopes").fill("openid email")
        self._press("Save Credentials")
        expect(self._page.get_by_text("The credentials are saved.")).to_be_visible()
        expect(self._field("Client Secret")).to_have_value("")
        self.wallet = self._shown("Wallet sign-in link for your users")

    def authenticate(self, monkeypatch, person: str) -> str:
        """`vault.authenticate()` of the SDK; answers the token of the person."""
        opened: SimpleQueue[str] = SimpleQueue()
        monkeypatch.setattr(webbrowser, "open", lambda url, *_, **__: opened.put(url) or True)
        authenticated = in_background(self.sdk.authenticate(timeout=60))
        self._page.goto(opened.get(timeout=10))
        self._peer.answer(self._page, person)
        expect(self._page.get_by_role("heading")).to_have_text("You are signed in")
        return canary(authenticated.result(timeout=10).user_token)

    # Webhooks

    def enable_webhooks_of_auth0(self) -> Auth0Stream:
        self._open_identity()
        url = self._shown("Webhook URL")
        self._press("Enable Webhooks")
        first = Auth0Stream(self._directory, {"url": url, "signing_secret": canary(self._shown("Signing secret"))})
        self._open_identity()
        assert first.secret not in self._page.content(), "it is shown once"
        self._press("Rotate Secret")
        second = Auth0Stream(self._directory, {"url": url, "signing_secret": canary(self._shown("Signing secret"))})
        assert first.secret != second.secret
        assert first.send(first.event("sdu"), authorization=first.secret).status_code == 401
        return second

    def enable_webhooks_of_clerk(self) -> ClerkEndpoint:
        self._open_identity()
        url = self._shown("Webhook URL")
        first, second = ClerkEndpoint.new_secret(), ClerkEndpoint.new_secret()
        for words, secret in ("Enable Webhooks", first), ("Rotate Secret", second):
            # What opens is a part of the page, and needs no script.
            self._page.locator("summary", has_text=words).click()
            self._field("Signing Secret").fill(secret)
            self._press("Save Secret")
            expect(self._page.get_by_text("The secret is saved.")).to_be_visible()
            assert secret not in self._page.content()
        endpoint = ClerkEndpoint(self._directory, {"url": url, "signing_secret": second})
        body = json.dumps(endpoint.user_deleted())
        assert endpoint.post(body, endpoint.headers(body, key=first)).status_code == 401
        return endpoint

    def sees_delivery(self, event: str) -> None:
        self._open_identity()
        row = self._page.get_by_role("row").filter(has_text=event).first
        expect(row).to_contain_text("deprovisioned")

    def user(self, person: str) -> dict:
        users = self._management.items(f"{self.path}/users")
        return next(user for user in users if user["email"] == f"{person}@provider.test")

    @property
    def _directory(self) -> SimpleNamespace:
        """What the senders of events ask of a world."""
        subject = self.user("alice")["external_subject_id"]
        return SimpleNamespace(subject=lambda _: subject, path=self.path, management=self._management)

    # Parts

    def _field(self, label: str) -> Locator:
        """What says “(optional)” is found by its name alone too."""
        return self._page.get_by_role("main").get_by_role("textbox", name=label).first

    def _press(self, words: str) -> None:
        self._page.get_by_role("main").get_by_role("button", name=words, exact=True).click()

    def _open_identity(self) -> None:
        self._page.goto(f"{self._app_page}/identity")

    def _shown(self, label: str) -> str:
        """What a field for copying holds."""
        return self._page.get_by_role("textbox", name=label, exact=True).input_value()


class Person:
    """A user of the app, with the Wallet and Connect in the same browser."""

    def __init__(self, page: Page, setup: Setup, peer: DjangoProvider, url: str) -> None:
        self._page, self._setup, self._peer, self._url = page, setup, peer, url

    def sign_in_to_wallet(self, name: str) -> None:
        self._page.goto(self._setup.wallet)
        self._page.get_by_role("link", name="Sign in").click()
        self._peer.answer(self._page, name)
        expect(self._page).to_have_url(f"{self._url}/wallet/connections")
        expect(self._page.get_by_text(f"{name}@provider.test").first).to_be_visible()

    def connect(self, token: str, name: str) -> str:
        """By the browser's Wallet session the vault knows who connects; answers the grant."""
        session = wait(self._setup.sdk.create_connect_session(allowed_providers=[PROVIDER], user_token=token))
        self._page.goto(session.connect_url)
        self._page.get_by_role("button", name="Django").click()
        self._peer.answer(self._page, name)
        [result] = wait(self._setup.sdk.poll_connect_session(session.session_token, timeout=15, poll_interval=0.1))
        return result.grant_id

    def revoke(self) -> None:
        """The card leads to a page that says what it means, and only its button ends the connection."""
        self._page.goto(f"{self._url}/wallet/connections")
        self._page.get_by_role("link", name="End this connection").click()
        self._page.get_by_role("link", name="Cancel").click()
        expect(self._page.get_by_role("link", name="End this connection")).to_have_count(1)
        self._page.get_by_role("link", name="End this connection").click()
        self._page.get_by_role("button", name="End this connection").click()
        expect(self._page.get_by_role("link", name="End this connection")).to_have_count(0)

    def sign_out(self) -> None:
        """Through the provider, and back to the page where another account can sign in."""
        self._page.goto(f"{self._url}/wallet/connections")
        self._page.get_by_role("button", name="Sign out").click()
        self._page.get_by_role("button", name="Logout").click()
        self._page.wait_for_url(f"{self._url}{LOGOUT_PATH}?state=*")
        self._page.goto(f"{self._url}/wallet/connections")
        expect(self._page).to_have_url(self._url + LOGOUT_PATH)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("idp_type", ["auth0", "clerk"])
def test_everything_on_the_setup_page_works_as_it_says(server, management, django, operator, page, monkeypatch, idp_type):
    setup = Setup(page, server, management, django)
    setup.sign_in_to_portal(operator)
    setup.create_app(f"Atlas {idp_type}")
    setup.add_identity_provider(idp_type)
    setup.save_credentials()

    token = setup.authenticate(monkeypatch, "alice")
    assert setup.user("alice")["status"] == "active"
    person = Person(page, setup, django, server.url)
    person.sign_in_to_wallet("alice")
    me, grant = f"{django.origin}/api/me", person.connect(token, "alice")
    call = setup.sdk.request
    assert wait(call("GET", me, provider=PROVIDER, user_token=token)).json()["email"] == "alice@provider.test"
    person.revoke()
    with pytest.raises(GrantRevokedError):
        wait(call("GET", me, grant_id=grant))
    for other in "bob", "alice":
        person.sign_out()
        person.sign_in_to_wallet(other)
    # This provider ends what it gave out with the sign-out, so that the account is connected only now.
    assert person.connect(token, "alice") != grant, "a new consent is a new grant"

    if idp_type == "auth0":
        stream = setup.enable_webhooks_of_auth0()
        assert wait(call("GET", me, provider=PROVIDER, user_token=token)).status_code == 200, "until the event comes"
        stream.end_user()
    else:
        endpoint = setup.enable_webhooks_of_clerk()
        assert wait(call("GET", me, provider=PROVIDER, user_token=token)).status_code == 200, "until the event comes"
        endpoint.end_user()
    with pytest.raises(PolicyViolationError):
        wait(call("GET", me, provider=PROVIDER, user_token=token))
    with pytest.raises(AlterSDKError):
        wait(setup.sdk.create_connect_session(allowed_providers=[PROVIDER], user_token=token))
    assert setup.user("alice")["status"] == "deprovisioned" and setup.user("bob")["status"] == "active"
    grants = management.items(f"{setup.path}/grants")
    assert {grant["status"] for grant in grants} == {"revoked"}
    eventually(lambda: setup.sees_delivery("sdu" if idp_type == "auth0" else "user.deleted") is None, "the delivery")
