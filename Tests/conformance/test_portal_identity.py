"""The Portal's Identity page: what an operator sets up by its forms alone, and that the vault does what it says."""

import re
from html import unescape
from typing import Any

import pytest
import requests
from alter_sdk import AlterSDKError, PolicyViolationError

from harness.browser import Browser, Page
from harness.canaries import canary
from harness.idp import IdentityProvider
from harness.management import ManagementError
from harness.portal import sign_in_to_portal
from harness.sdk import open_app, wait
from harness.webhooks import Auth0Stream, ClerkEndpoint
from harness.world import PROVIDER, World

TYPES = {"auth0", "clerk", "okta", "workos", "keycloak", "entra", "google", "cognito", "custom_oidc"}
NO_AUDIENCE = "any audience passes"
STILL_EMPTY = "Before the first user signs in"
MARKUP = '"><script src=//evil.example></script>'


@pytest.fixture(scope="module")
def browser(server, management) -> Browser:
    """Signed in as an admin who sees the apps of `management`."""
    return sign_in_to_portal(server, management)[0]


@pytest.fixture
def idp():
    provider = IdentityProvider()
    yield provider
    provider.close()


@pytest.fixture
def app(management) -> str:
    return management.post("/apps", {"name": "Atlas"})["id"]


@pytest.fixture
def auth0(server, management):
    world = World(server, management, idp_type="auth0")
    yield world
    world.close()


@pytest.fixture
def clerk(server, management):
    world = World(server, management, idp_type="clerk", group_claim="org_ids")
    yield world
    world.close()


def identity_page(server, browser: Browser, app_id: str) -> Page:
    page = browser.open(f"{server.url}/portal/apps/{app_id}/identity")
    assert page.status == 200, page.text
    return page


def words(page: Page) -> str:
    """What one reads on a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def copied(page: Page) -> dict[str, str]:
    """What the fields for copying hold, by their labels."""
    label, value = r'<label for="copy-[^"]*">([^<]*)</label>', r'<input id="copy-[^"]*" value="([^"]*)" readonly>'
    fields = re.findall(label + r'\s*<div class="copy">\s*' + value, page.text)
    return {unescape(name): unescape(held) for name, held in fields}


def block(page: Page, name: str) -> str:
    """A block of code for copying."""
    return unescape(re.search(rf'<code id="block-{name}">(.*?)</code>', page.text, re.DOTALL)[1])


def filled(page: Page, name: str) -> Any:
    return page.form_with_input(name).fields[name]


def stored(management, app_id: str) -> dict[str, Any]:
    return management.get(f"/apps/{app_id}/identity-provider")


def add(server, browser: Browser, app_id: str, issuer: str, **review: str) -> Page:
    """From nothing to the page of the provider."""
    page = browser.click(identity_page(server, browser, app_id), "Discover", issuer_url=issuer)
    assert page.status == 200, words(page)
    page = browser.click(page, "Add Provider", **review)
    assert page.status == 200 and page.url.endswith("/identity?done=provider-added"), words(page)
    return page


# Adding


def test_a_provider_is_discovered_reviewed_and_added(server, management, browser, app, idp):
    page = identity_page(server, browser, app)
    said = words(page)
    assert "Add Identity Provider" in said and "one identity provider at a time" in said
    assert "Auth0 and Clerk are recognised from the issuer" in said
    assert "https://your-tenant.us.auth0.com" in said and "https://your-app.clerk.accounts.dev" in said

    page = browser.click(page, "Discover", issuer_url=idp.issuer)
    said = words(page)
    assert page.status == 200 and "Custom OpenID Connect provider" in said
    assert idp.issuer in said and idp.url("/token") in said and idp.url("/jwks.json") in said
    for ability in "JWT sync:", "Sign-in:", "No webhooks", "No sign-out":
        assert ability in said, ability
    assert NO_AUDIENCE in said and "lock when the first user signs in" in said
    form = page.form_with_input("idp_type")
    assert set(form.options["idp_type"]) == TYPES
    shown = {name: form.fields[name] for name in ("idp_type", "user_id_claim", "group_claim", "role_claim", "audience")}
    assert shown == {
        "idp_type": "custom_oidc",
        "user_id_claim": "sub",
        "group_claim": "",
        "role_claim": "",
        "audience": "",
    }
    with pytest.raises(ManagementError) as nothing:
        stored(management, app)
    assert nothing.value.status == 404, "discovery saves nothing"

    page = browser.click(page, "Add Provider", audience="https://api.corp.test", group_claim="groups")
    said = words(page)
    assert page.url.endswith("?done=provider-added") and "The identity provider is added." in said
    assert idp.issuer in said and "https://api.corp.test" in said and NO_AUDIENCE not in said and "nobody yet" in said
    record = stored(management, app)
    assert (record["idp_type"], record["issuer"]) == ("custom_oidc", idp.issuer)
    assert (record["audience"], record["user_id_claim"]) == ("https://api.corp.test", "sub")
    assert (record["group_claim"], record["role_claim"]) == ("groups", None)


def test_a_discovery_that_fails_says_what_failed_and_keeps_what_was_typed(server, management, browser, app, idp):
    wrong = idp.issuer + "/elsewhere"
    page = browser.click(identity_page(server, browser, app), "Discover", issuer_url=wrong)
    assert page.status == 422 and "Discovery failed" in words(page) and "404" in words(page)
    assert filled(page, "issuer_url") == wrong
    page = browser.click(page, "Discover", issuer_url="")
    assert page.status == 422 and "Issuer URL is required" in words(page)
    assert browser.click(page, "Discover", issuer_url=idp.issuer).status == 200


def test_the_review_can_overrule_the_type_and_take_suggested_claims_away(server, management, browser, app, idp):
    add(server, browser, app, idp.issuer, idp_type="clerk", group_claim="", role_claim="")
    record = stored(management, app)
    assert (record["idp_type"], record["group_claim"], record["role_claim"]) == ("clerk", None, None)


def test_left_out_claims_are_suggested_on_the_api_and_null_ones_are_none(management, app, idp):
    path = f"/apps/{app}/identity-provider"
    record = management.post(path, {"issuer_url": idp.issuer, "idp_type": "clerk", "role_claim": None})
    assert (record["group_claim"], record["role_claim"]) == ("org_id", None)


def test_a_review_with_a_mistake_is_shown_again_as_it_was_filled(server, management, browser, app, idp):
    page = browser.click(identity_page(server, browser, app), "Discover", issuer_url=idp.issuer)
    page = browser.click(page, "Add Provider", idp_type="okta", audience="a" * 600, group_claim="teams")
    assert page.status == 422 and "Audience must have 1 to 512 characters" in words(page)
    assert (filled(page, "idp_type"), filled(page, "group_claim")) == ("okta", "teams")
    page = browser.click(page, "Add Provider", audience="api")
    assert page.status == 200 and stored(management, app)["group_claim"] == "teams"


def test_a_second_provider_is_refused_in_words(server, management, browser, app, idp):
    late = browser.click(identity_page(server, browser, app), "Discover", issuer_url=idp.issuer)
    add(server, browser, app, idp.issuer)
    page = browser.click(late, "Add Provider")
    assert page.status == 409 and "Remove the existing identity provider" in words(page)


def test_row_39_what_was_typed_is_text_wherever_it_is_shown(server, management, browser, app, idp):
    page = add(server, browser, app, idp.issuer, audience=MARKUP, group_claim=MARKUP)
    assert "<script src=//" not in page.text
    assert filled(page, "group_claim") == MARKUP and filled(page, "audience") == MARKUP
    assert stored(management, app)["audience"] == MARKUP


# A real provider, end to end


def test_a_real_provider_is_set_up_on_the_page_alone_and_signs_users_in(server, management, browser, app, django):
    page = add(server, browser, app, django.issuer, audience=django.client_id)
    addresses = copied(page)
    assert addresses["SDK redirect URI"] == f"{server.url}/sdk/auth/callback"
    assert addresses["Wallet redirect URI"] == f"{server.url}/wallet/api/auth/callback"
    assert addresses["Wallet logout URL"] == f"{server.url}/wallet/sign-in"
    assert "Wallet sign-in link for your users" not in addresses

    # A mistake first: the other fields stay, the secret does not.
    given = {"client_id": django.client_id, "client_secret": django.client_secret}
    page = browser.click(page, "Save Credentials", **given, scopes='openid "')
    assert page.status == 422 and filled(page, "client_id") == django.client_id
    assert django.client_secret not in page.text
    page = browser.click(page, "Save Credentials", client_secret=django.client_secret, scopes="openid")
    assert page.url.endswith("?done=credentials-saved") and django.client_secret not in page.text
    assert "A secret is saved. It is never shown again" in words(page)
    link = copied(page)["Wallet sign-in link for your users"]
    assert link == f"{server.url}/wallet/sign-in?appId={app}"
    assert stored(management, app)["sign_in"] == {"client_id": django.client_id, "scopes": ["openid"]}

    sdk = open_app(server.url, canary(management.post(f"/apps/{app}/keys", {"name": "page"})["api_key"]))
    session = wait(sdk.create_auth_session())
    visitor = Browser()
    django.consent(visitor.open(session.auth_url), visitor, "alice", says="Know who you are")
    result = wait(sdk.poll_auth_session(session.session_token, timeout=10, poll_interval=0.1))
    canary(result.user_token)
    assert result.user_info["email"] == "alice@provider.test"
    assert visitor.open(link).status == 200

    page = identity_page(server, browser, app)
    assert "Locked since" in words(page) and "nobody yet" not in words(page) and STILL_EMPTY not in words(page)


def test_the_snippet_of_the_page_works_as_it_is_with_the_official_sdk(server, browser, connected, monkeypatch):
    world, jwt, _ = connected
    page = identity_page(server, browser, world.app_id)
    code = block(page, "python")
    for name, value in re.findall(r"^(\w+)=(.+)$", block(page, "environment"), re.MULTILINE):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ALTER_API_KEY", world.api_key)
    code = code.replace("    ...", f"    return {jwt!r}").replace("https://api.github.com/user/repos", world.echo)
    program: dict[str, Any] = {}
    exec(compile(code.replace('"github"', f'"{PROVIDER}"'), "snippet", "exec"), program)
    assert wait(program["repositories"]())
    assert world.user()["status"] == "active"


# Claims


def test_claims_can_be_set_until_the_first_sign_in_and_the_page_warns_till_then(server, management, browser, world):
    page = identity_page(server, browser, world.app_id)
    assert f"{STILL_EMPTY}: the group claim and the role claim are still empty" in words(page)
    page = browser.click(page, "Save claims", group_claim="groups")
    assert page.url.endswith("?done=saved") and "the role claim is still empty" in words(page)
    page = browser.click(page, "Save claims", role_claim="realm_access.roles")
    assert STILL_EMPTY not in words(page) and filled(page, "role_claim") == "realm_access.roles"
    page = browser.click(page, "Save claims", user_id_claim="")
    assert page.status == 422 and "User ID claim is required" in words(page)
    late = browser.click(identity_page(server, browser, world.app_id), "Save claims", role_claim="")
    assert stored(management, world.app_id)["role_claim"] is None

    assert wait(world.app.verify_user_token(world.jwt(groups=["engineering"]))) == world.subject()
    page = identity_page(server, browser, world.app_id)
    assert page.form_that_says("Save claims") is None and STILL_EMPTY not in words(page)
    assert "Locked since" in words(page) and "groups" in words(page)
    page = browser.click(late, "Save claims", group_claim="teams")
    assert page.status == 409 and "locked since the first user signed in" in words(page)
    assert stored(management, world.app_id)["group_claim"] == "groups"

    page = browser.click(page, "Save audience", audience="https://api.corp.test")
    assert page.url.endswith("?done=saved") and stored(management, world.app_id)["audience"] == "https://api.corp.test"
    page = browser.click(page, "Save audience", audience="")
    assert NO_AUDIENCE in words(page) and stored(management, world.app_id)["audience"] is None


# Webhooks


def test_auth0_webhooks_are_enabled_shown_once_rotated_and_disabled(server, management, browser, auth0):
    world = auth0
    wait(world.app.verify_user_token(world.jwt()))
    wait(world.app.verify_user_token(world.jwt("bob")))
    page = identity_page(server, browser, world.app_id)
    address = copied(page)["Webhook URL"]
    assert address == stored(management, world.app_id)["webhook_url"] == copied(page)["Payload URL"]
    assert requests.post(address, json=[], timeout=20).status_code == 401

    page = browser.click(page, "Enable Webhooks")
    secret = canary(copied(page)["Signing secret"])
    assert page.status == 200 and "shown this once" in words(page)
    page = identity_page(server, browser, world.app_id)
    assert secret not in page.text and "Signing secret" not in copied(page)

    stream = Auth0Stream(world, {"url": address, "signing_secret": secret})
    ended, login = stream.event(), stream.event("sul", "bob")
    assert stream.send(ended, login, authorization=secret).status_code == 204
    assert world.user()["status"] == "deprovisioned"
    said = words(identity_page(server, browser, world.app_id))
    assert ended["log_id"] in said and "1 deprovisioned" in said and "1 ignored" in said

    page = browser.click(identity_page(server, browser, world.app_id), "Rotate Secret")
    fresh = canary(copied(page)["Signing secret"])
    assert fresh != secret
    assert stream.send(stream.event("ublkdu", "bob"), authorization=secret).status_code == 401
    assert stream.send(stream.event("ublkdu", "bob"), authorization=fresh).status_code == 204
    assert world.user("bob")["status"] == "suspended"

    page = browser.click(identity_page(server, browser, world.app_id), "Disable webhooks")
    assert page.url.endswith("?done=webhooks-disabled") and page.form_that_says("Enable Webhooks")
    assert stream.send(stream.event("ubuu", "bob"), authorization=fresh).status_code == 401
    assert fresh not in page.text


def test_the_event_map_is_changed_on_the_page_and_a_delivery_is_applied_again_by_it(server, management, browser, auth0):
    world = auth0
    wait(world.app.verify_user_token(world.jwt()))
    page = browser.click(identity_page(server, browser, world.app_id), "Enable Webhooks")
    stream = Auth0Stream(world, {"url": copied(page)["Webhook URL"], "signing_secret": copied(page)["Signing secret"]})
    page = identity_page(server, browser, world.app_id)
    assert {"event:sdu", "event:ublkdu", "event:ubuu", "event:sapi"} <= page.form_that_says("Save events").inputs
    assert page.form_that_says("Save events").options["event:sapi"] == ["default", "ignore", "by_operation"]
    page = browser.click(page, "Save events", **{"event:ublkdu": "ignore", "new_event": "fui", "new_action": "suspend"})
    assert page.url.endswith("?done=saved")
    [record] = world.audit(event="webhooks.event_rules_changed")
    assert record["details"]["event_map"] == {"ublkdu": "ignore", "fui": "suspend"}, "only what was changed"

    blocked = stream.event("ublkdu")
    assert stream.send(blocked, authorization=stream.secret).ok and world.user()["status"] == "active"
    page = browser.click(identity_page(server, browser, world.app_id), "Save events", **{"event:ublkdu": "default"})
    page = browser.click(page, f"Apply ublkdu {blocked['log_id']} again")
    assert page.url.endswith("?done=replayed") and "applied again" in words(page)
    assert world.user()["status"] == "suspended"
    with pytest.raises(PolicyViolationError):
        world.request_as(world.jwt())

    page = browser.click(page, "Save events", **{"event:sdu": "by_operation"})
    assert page.status == 422 and "sdu must be one of" in words(page)


def test_clerk_secrets_are_pasted_and_replaced_by_another(server, management, browser, clerk):
    world = clerk
    wait(world.app.verify_user_token(world.jwt(org_ids=["org_1", "org_2"])))
    page = identity_page(server, browser, world.app_id)
    assert copied(page)["Webhook URL"] == copied(page)["Endpoint URL"]
    page = browser.click(page, "Save Secret", signing_secret="not-a-secret")
    assert page.status == 422 and "must begin with whsec_" in words(page) and "not-a-secret" not in page.text
    secret = ClerkEndpoint.new_secret()
    page = browser.click(page, "Save Secret", signing_secret=f" {secret}\n")
    assert page.url.endswith("?done=secret-saved") and secret not in page.text
    endpoint = ClerkEndpoint(world, {"url": copied(page)["Webhook URL"], "signing_secret": secret})

    page = browser.click(page, "Save events", membership_removal="always_deprovision")
    assert filled(page, "membership_removal") == "always_deprovision"
    page = browser.click(page, "Save events", membership_removal="membership_only")
    for organization in "org_1", "org_2":
        assert endpoint.send(endpoint.membership_deleted(organization)).status_code == 204
    assert (world.user()["status"], world.user()["group_ids"]) == ("active", [])
    assert "2 membership removed" in words(identity_page(server, browser, world.app_id))

    fresh = ClerkEndpoint.new_secret()
    page = browser.click(identity_page(server, browser, world.app_id), "Save Secret", signing_secret=fresh)
    assert page.url.endswith("?done=secret-saved")
    assert endpoint.send(endpoint.user_deleted()).status_code == 401
    endpoint.secret = fresh
    assert endpoint.send(endpoint.user_deleted()).status_code == 204
    assert world.user()["status"] == "deprovisioned"


def test_a_provider_without_webhooks_says_what_works_all_the_same(server, browser, world):
    page = identity_page(server, browser, world.app_id)
    said = words(page)
    assert "sends no events that are understood here" in said and "suspend and deprovision users" in said
    assert page.form_that_says("Enable Webhooks") is None and page.form_that_says("Save Secret") is None


# Instructions


def test_the_steps_at_auth0_hold_this_installations_values(server, browser, auth0):
    page = identity_page(server, browser, auth0.app_id)
    said, values = words(page), copied(page)
    steps = ["Create Application", "Regular Web Application", "Allowed Callback URLs", "Allowed Logout URLs"]
    steps += ["Custom Webhook", "Payload URL", "Authorization Token", "sdu", "ublkdu", "ubuu", "limit_sul", "Action"]
    for step in steps:
        assert step in said, step
    both = f"{server.url}/sdk/auth/callback, {server.url}/wallet/api/auth/callback"
    assert values["Allowed Callback URLs"] == values["Both redirect URIs, with a comma"] == both
    assert values["Allowed Logout URLs"] == f"{server.url}/wallet/sign-in"
    assert f'"{server.url}/groups"' in block(page, "action")


def test_the_steps_at_clerk_hold_this_installations_values(server, browser, clerk):
    page = identity_page(server, browser, clerk.app_id)
    said = words(page)
    steps = ["OAuth Applications", "production instance", "Add Endpoint", "user.updated", "user.deleted"]
    for step in [*steps, "organizationMembership.deleted", "Signing Secret", "whsec_", "Save Secret"]:
        assert step in said, step
    assert copied(page)["First allowed callback"] == f"{server.url}/sdk/auth/callback"
    assert copied(page)["Second allowed callback"] == f"{server.url}/wallet/api/auth/callback"


# Removing, and who may do what


def test_a_provider_is_removed_only_after_a_page_that_says_what_ends(server, browser, connected):
    world, jwt, _ = connected
    address = f"{server.url}/portal/apps/{world.app_id}/identity/remove"
    page = identity_page(server, browser, world.app_id)
    assert page.form_that_says("Remove identity provider") is None
    page = browser.open(address)
    assert "grants of its users stop working at once" in words(page)
    assert world.request_as(jwt).status_code == 200
    page = browser.click(page, "Remove identity provider")
    assert page.url.endswith("?done=provider-removed") and page.form_that_says("Discover")
    with pytest.raises(AlterSDKError):
        world.request_as(jwt)
    assert browser.open(address).status == 404


def test_members_who_only_read_see_the_page_without_its_forms(server, management, world):
    reader, _ = sign_in_to_portal(server, management, "read_only")
    page = identity_page(server, reader, world.app_id)
    assert world.idp.issuer in words(page) and copied(page)["Wallet logout URL"]
    assert [form.words for form in page.forms] == [["Sign out"]]
    token = page.forms[0].fields["csrf"]
    for action in "remove", "claims", "audience", "webhooks/disable":
        fields = {"csrf": token, "user_id_claim": "email"}
        assert reader.post(f"{page.url}/{action}", fields, {}).status_code == 403, action
    assert stored(management, world.app_id)["user_id_claim"] == "sub"


def test_row_37_no_form_of_the_page_counts_without_its_token(server, management, browser, world):
    page = identity_page(server, browser, world.app_id)
    actions = ["", "/discover", "/remove", "/claims", "/audience", "/sign-in", "/webhooks", "/webhooks/rotate"]
    for action in [*actions, "/webhooks/disable", "/webhooks/events", f"/webhooks/deliveries/{world.app_id}/replay"]:
        assert browser.post(page.url + action, {"csrf": "wrong"}, {}).status_code == 403, action
    assert stored(management, world.app_id)["issuer"] == world.idp.issuer


def test_the_page_of_anothers_app_is_not_there(server, browser, world):
    stranger, _ = sign_in_to_portal(server)
    address = f"{server.url}/portal/apps/{world.app_id}/identity"
    assert stranger.open(address).status == stranger.open(f"{address}/remove").status == 404
    assert world.idp.issuer not in stranger.open(address).text
