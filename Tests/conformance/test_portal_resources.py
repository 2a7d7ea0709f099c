"""API keys, OAuth providers and managed secrets, set up in the Portal by a browser without scripts."""

import base64
import html
import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from alter_sdk import AlterSDKError, BlockedDestinationError, GrantNotFoundError, KeyRevokedError

from harness.browser import Browser, Page
from harness.canaries import assert_silent, canary, known_secrets
from harness.portal import sign_in_to_portal
from harness.sdk import open_app, wait
from harness.world import World

HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Portal:
    """An operator at the pages of the world's app. No page tells a secret that was known before it was asked for."""

    browser: Browser
    world: World

    def open(self, page: str) -> Page:
        known = known_secrets()
        shown = self.browser.open(f"{self.world.server.url}/portal/apps/{self.world.app_id}/{page}")
        assert_silent(shown.text.encode(), page, known)
        return shown

    def click(self, page: Page | str, words: str, **values: Any) -> Page:
        page = self.open(page) if isinstance(page, str) else page
        known = known_secrets()
        answer = self.browser.click(page, words, **values)
        assert_silent(answer.text.encode(), f"“{words}” on {page.url}", known)
        return answer

    def keys(self, name: str) -> list[dict[str, Any]]:
        return [key for key in self.world.management.items(f"{self.world.path}/keys") if key["name"] == name]


@pytest.fixture
def portal(server, management, world):
    browser, _ = sign_in_to_portal(server, management)
    return Portal(browser, world)


def catalogue(url: str, api_key: str):
    """What any key may read. The client is kept while it is asked: its namespaces hold it weakly."""
    app = open_app(url, api_key)
    return wait(app.scopes.list())


def copied(page: Page, name: str) -> str:
    """The value of a field that is there to be copied."""
    found = re.search(rf'id="copy-{name}" value="([^"]*)"', page.text)
    assert found, f"nothing to copy as {name} on {page.url} ({page.status}):\n{page.text}"
    return html.unescape(found[1])


def snippet(page: Page) -> str:
    return html.unescape(re.search(r'<code id="block-snippet">(.*?)</code>', page.text, re.DOTALL)[1])


def problem(page: Page, field: str) -> str:
    """What is said beside a field; the field names it as its description."""
    identifier = f"f-{field}-problem"
    found = re.search(rf'<p class="problem" id="{re.escape(identifier)}">(.*?)</p>', page.text)
    assert found, f"no problem beside {field} on {page.url} ({page.status}):\n{page.text}"
    [described] = re.findall(r'aria-describedby="([^"]*' + re.escape(identifier) + r')"', page.text)
    assert described.split()[-1] == identifier
    return html.unescape(found[1])


def new_key(portal: Portal, **values: Any) -> str:
    return canary(copied(portal.click("keys/new", "Create key", **values), "key"))


# API keys


@pytest.mark.parametrize("key_type", ["runtime", "agent"])
def test_a_key_is_shown_once_and_the_code_beside_it_runs(portal, key_type):
    page = portal.click("keys/new", "Create key", name="production web", key_type=key_type)
    key = canary(copied(page, "key"))
    code = snippet(page)
    assert key not in code and portal.world.server.url in code
    environment = {**os.environ, "ALTER_API_KEY": key}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    listed = portal.open("keys")
    assert "production web" in listed.text and key[:13] in listed.text and "All runtime scopes" in listed.text


def test_a_key_of_the_portal_does_for_the_sdk_what_one_of_the_api_does(portal):
    world = portal.world
    grant = world.connect(world.jwt())
    app = open_app(world.server.url, new_key(portal, name="sdk"))
    assert wait(app.request("GET", world.echo, grant_id=grant.grant_id)).json()["account"] == "alice"


def test_a_key_has_what_was_chosen_and_says_so_in_the_list(portal):
    new_key(
        portal,
        name="narrow",
        scopes=["tokens:retrieve", "keys:admin"],
        other_scopes="grants:read:acme",
        cidr_allowlist="203.0.113.7\r\n10.0.0.0/8",
        rate_limit_rpm="60",
        expires_at="2035-01-01T00:00",
    )
    [key] = portal.keys("narrow")
    assert sorted(key["scopes"]) == ["grants:read:acme", "keys:admin", "tokens:retrieve"]
    assert key["cidr_allowlist"] == ["203.0.113.7", "10.0.0.0/8"]
    assert (key["rate_limit_rpm"], key["expires_at"]) == (60, "2035-01-01T00:00:00Z")
    listed = portal.open("keys").text
    for words in "3 scopes", "API keys: manage", "Grants: read, only acme", "10.0.0.0/8", "60 a minute", "expires":
        assert words in listed


def test_a_key_for_nothing_is_not_made(portal):
    page = portal.click("keys/new", "Create key", name="nothing", scopes=None)
    assert page.status == 422 and "Scopes need at least one tick." in page.text
    form = page.form_that_says("Create key")
    assert form.fields["name"] == "nothing" and "scopes" not in form.fields
    assert portal.keys("nothing") == []


def test_problems_of_a_key_stand_beside_their_fields_and_what_was_typed_stays(portal):
    typed = {
        "name": "x" * 201,
        "other_scopes": "tokens:retrieve:acme\r\ntokens:fly",
        "cidr_allowlist": "10.0.0.0/8\r\n10.0.0.0/99",
        "rate_limit_rpm": "0",
        "expires_at": "soon",
    }
    page = portal.click("keys/new", "Create key", **typed, scopes=["proxy:execute"])
    assert page.status == 422
    for field in typed:
        assert problem(page, field)
    assert "entry 2" in problem(page, "other_scopes") and "entry 2" in problem(page, "cidr_allowlist")
    form = page.form_that_says("Create key")
    kept = {name: form.fields[name].replace("\r\n", "\n") for name in typed}
    assert kept == {name: value.replace("\r\n", "\n") for name, value in typed.items()}
    assert form.fields["scopes"] == "proxy:execute"


def test_a_rotated_key_and_its_successor_both_work_until_the_overlap_is_over(portal):
    world = portal.world
    old = new_key(portal, name="turning")
    [record] = portal.keys("turning")
    page = portal.click(f"keys/{record['id']}/rotate", "Rotate the key")
    fresh = canary(copied(page, "key"))
    assert old[:13] in page.text and "works until" in page.text
    for key in old, fresh:
        assert catalogue(world.server.url, key)
    assert "deprecated" in portal.open("keys").text
    again = portal.click(f"keys/{record['id']}/rotate", "Rotate the key")
    assert again.status == 409 and "rotated before" in again.text

    [successor] = [key for key in portal.keys("turning") if key["id"] != record["id"]]
    page = portal.click(f"keys/{successor['id']}/rotate", "Rotate the key", overlap_days="0")
    last = canary(copied(page, "key"))
    assert "is refused from now on" in page.text
    with pytest.raises(AlterSDKError):
        catalogue(world.server.url, fresh)
    assert catalogue(world.server.url, last)


def test_a_key_is_revoked_after_the_page_has_said_what_stops(portal):
    key = new_key(portal, name="leaked")
    [record] = portal.keys("leaked")
    question = portal.open(f"keys/{record['id']}/revoke")
    assert key[:13] in question.text and "cannot be undone" in question.text
    assert catalogue(portal.world.server.url, key), "asking revoked it"
    page = portal.click(question, "Revoke the key")
    assert page.status == 200 and page.url.endswith("/keys?done=revoked")
    with pytest.raises(KeyRevokedError):
        catalogue(portal.world.server.url, key)


# OAuth providers


def test_the_catalog_is_searched_by_words_and_category(portal):
    def found(query: str) -> set[str]:
        links = portal.open(f"providers/catalog{query}").links
        return {link.split("/")[-2] for link in links if link.endswith("/edit")}

    everything = found("")
    assert {"github", "google", "hubspot"} <= everything
    assert found("?q=GitHub&category=") == {"github"}
    assert found("?q=&category=crm") < everything and "hubspot" in found("?q=&category=crm")
    nothing = portal.open("providers/catalog?q=%3Cscript%3E")
    assert "No built-in provider fits" in nothing.text and "<script>" not in nothing.text
    assert any(link.endswith("/providers/custom") for link in nothing.links)


def test_a_built_in_provider_is_set_up_and_changed_and_its_secret_is_never_shown(portal):
    world = portal.world
    page = portal.open("providers/github/edit")
    assert copied(page, "redirect-uri") == f"{world.server.url}/oauth/callback"
    assert 'rel="noreferrer"' in page.text
    offered = page.form_that_says("Save").options["scopes"]
    saved = portal.click(
        page,
        "Save",
        client_id="Iv1.abc",
        client_secret=canary(secrets.token_urlsafe(24)),
        scopes=offered[:2],
        other_scopes="read:packages",
    )
    assert saved.status == 200 and saved.url.endswith("/providers?done=saved") and "Iv1.abc" in saved.text
    path = f"{world.path}/oauth-providers/github"
    assert set(world.management.get(path)["scopes"]) == {*offered[:2], "read:packages"}

    page = portal.open("providers/github/edit")
    form = page.form_that_says("Save")
    assert (form.fields["client_id"], form.fields["client_secret"]) == ("Iv1.abc", "")
    assert (form.fields["scopes"], form.fields["other_scopes"]) == (offered[:2], "read:packages")
    forgotten = portal.click(page, "Save", client_id="Iv1.def")
    assert forgotten.status == 422 and "is required" in problem(forgotten, "client_secret")
    assert forgotten.form_that_says("Save").fields["client_id"] == "Iv1.def"
    portal.click(forgotten, "Save", client_secret=canary(secrets.token_urlsafe(24)), scopes=None, other_scopes="")
    changed = world.management.get(path)
    assert (changed["client_id"], changed["scopes"]) == ("Iv1.def", [])


def custom(world: World, **changes: Any) -> dict[str, Any]:
    typed = {
        "provider_id": "acme-two",
        "display_name": "Acme Two",
        "client_id": world.oauth.client_id,
        "client_secret": world.oauth.client_secret,
        "scopes": "items:read profile",
        "authorization_url": world.oauth.url("/authorize"),
        "token_url": world.oauth.url("/token"),
        "revocation_url": world.oauth.url("/revoke"),
        "userinfo_url": world.oauth.url("/userinfo"),
        "api_hosts": world.oauth.host,
        "account_claim": "email",
    }
    return {**typed, **changes}


def test_users_connect_a_custom_provider_that_the_portal_set_up(portal):
    world = portal.world
    page = portal.click("providers/custom", "Save", **custom(world))
    assert page.url.endswith("/providers?done=saved") and "Acme Two" in page.text
    assert copied(page, "redirect-acme-two") == f"{world.server.url}/oauth/callback"
    jwt = world.jwt()
    grant = world.connect(jwt, provider_id="acme-two")
    assert grant.account_identifier == "alice@provider.test" and sorted(grant.scopes) == ["items:read", "profile"]
    assert world.request(grant_id=grant.grant_id).json()["account"] == "alice"

    form = portal.open("providers/acme-two/edit").form_that_says("Save")
    assert "provider_id" not in form.inputs
    stored = {name: form.fields[name] for name in ("client_id", "token_url", "api_hosts", "pkce", "account_claim")}
    assert stored == {
        "client_id": world.oauth.client_id,
        "token_url": world.oauth.url("/token"),
        "api_hosts": world.oauth.host,
        "pkce": "S256",
        "account_claim": "email",
    }
    question = portal.open("providers/acme-two/delete")
    assert "acme-two" in question.text and world.request(grant_id=grant.grant_id).status_code == 200
    portal.click(question, "Remove the provider")
    with pytest.raises(BlockedDestinationError):
        world.request(grant_id=grant.grant_id)
    portal.click("providers/custom", "Save", **custom(world))
    assert world.request(grant_id=grant.grant_id).json()["account"] == "alice"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("provider_id", "acme", "is taken"),
        ("provider_id", "github", "built-in"),
        ("provider_id", "Acme Two", "lower-case"),
        ("provider_id", "", "is required"),
        ("token_url", "javascript:alert(1)", ""),
        ("api_hosts", "api.example.test\r\nnot a host", "entry 2"),
        ("scopes", 'good "bad"', "entry 2"),
        ("client_secret", "", "is required"),
    ],
)
def test_problems_of_a_provider_stand_beside_their_fields(portal, field, value, says):
    typed = custom(portal.world, **{field: value})
    page = portal.click("providers/custom", "Save", **typed)
    assert page.status == 422 and says in problem(page, field)
    form = page.form_that_says("Save")
    assert form.fields["client_secret"] == ""
    kept = {name: form.fields[name].replace("\r\n", "\n") for name in typed if name != "client_secret"}
    assert kept == {name: text.replace("\r\n", "\n") for name, text in typed.items() if name != "client_secret"}


# Managed secrets


def add_secret(portal: Portal, credential_type: str, slug: str, value: dict[str, str], **changes: Any) -> Page:
    for part in value.values():
        canary(part)
    parts = {f"value.{name}": part for name, part in value.items()}
    typed = {"name": slug.title(), "slug": slug, "allowed_hosts": portal.world.oauth.host, **parts, **changes}
    return portal.click(f"secrets/new/{credential_type}", "Save", **typed)


def test_a_bearer_secret_is_used_by_slug_and_grant_and_its_value_can_be_replaced(portal):
    world = portal.world
    kinds = [link for link in portal.open("secrets/new").links if "/secrets/new/" in link]
    assert {link.rsplit("/", 1)[1] for link in kinds} >= {"bearer", "api_key", "basic"}
    token = secrets.token_urlsafe(24)
    page = add_secret(portal, "bearer", "stats", {"token": token})
    assert page.status == 200 and "Created." in page.text
    grant_id = copied(page, "grant")
    assert 'provider="stats"' in snippet(page) and grant_id in snippet(page) and world.server.url in snippet(page)
    world.oauth.accepted_headers.add(("authorization", f"Bearer {token}"))
    assert world.request(provider="stats").status_code == 200
    assert world.request(grant_id=grant_id).status_code == 200
    assert world.proxy(grant_id=grant_id).status_code == 200
    listed = portal.open("secrets").text
    assert grant_id in listed and "Stats" in listed and world.oauth.host in listed

    other = canary(secrets.token_urlsafe(24))
    secret_id = page.url.split("?")[0].rsplit("/", 1)[1]
    page = portal.click(f"secrets/{secret_id}/value", "Replace the value", **{"value.token": other})
    assert copied(page, "grant") == grant_id
    world.oauth.accepted_headers = {("authorization", f"Bearer {other}")}
    assert world.request(provider="stats").status_code == 200

    question = portal.open(f"secrets/{secret_id}/delete")
    assert "stats" in question.text and world.request(provider="stats").status_code == 200
    portal.click(question, "Delete the secret")
    with pytest.raises(GrantNotFoundError):
        world.request(grant_id=grant_id)


def test_an_api_key_goes_where_the_form_says(portal):
    world = portal.world
    key = secrets.token_urlsafe(24)
    additional = '[{"target": "header", "key": "X-Maps-Copy", "value_source": "token"}]'
    sending = {
        "injection.header": "X-Maps-Key",
        "injection.format": "Key {token}",
        "injection.additional": additional,
    }
    page = add_secret(portal, "api_key", "maps", {"key": key}, **sending)
    assert "X-Maps-Key: Key {token}" in page.text and "X-Maps-Copy" in page.text
    world.oauth.accepted_headers.add(("x-maps-key", f"Key {key}"))
    assert world.request(provider="maps").status_code == 200
    assert world.oauth.calls[-1].headers["X-Maps-Copy"] == key


def test_a_user_name_and_password_are_sent_as_basic_authentication(portal):
    world = portal.world
    username, password = f"u-{secrets.token_hex(8)}", secrets.token_hex(16)
    add_secret(portal, "basic", "ledger", {"username": username, "password": password})
    sent = canary(base64.b64encode(f"{username}:{password}".encode()).decode())
    world.oauth.accepted_headers.add(("authorization", f"Basic {sent}"))
    assert world.request(provider="ledger").status_code == 200


def test_problems_of_a_secret_stand_beside_their_fields_and_the_value_is_not_shown_again(portal):
    typed = {
        "name": "Ledger",
        "slug": "Not A Slug",
        "allowed_hosts": "api.example.test\r\nhttps://nonsense/",
        "injection.header": "Host",
        "injection.format": "no place",
        "injection.additional": "[not json",
    }
    value = {"value.username": "with:colon", "value.password": canary(secrets.token_urlsafe(24))}
    page = portal.click("secrets/new/basic", "Save", **typed, **value)
    assert page.status == 422
    for field in [*typed, "value.username"]:
        if field != "name":
            assert problem(page, field)
    form = page.form_that_says("Save")
    assert (form.fields["name"], form.fields["slug"]) == ("Ledger", "Not A Slug")
    assert (form.fields["value.username"], form.fields["value.password"]) == ("with:colon", "")
    empty = portal.click("secrets/new/bearer", "Save", name="Empty", slug="empty", allowed_hosts="a.test")
    assert empty.status == 422 and "is required" in problem(empty, "value.token")


def test_a_slug_belongs_to_one_thing_of_the_app(portal):
    page = add_secret(portal, "bearer", "acme", {"token": secrets.token_urlsafe(24)})
    assert page.status == 409 and "of this name" in page.text
    assert page.form_that_says("Save").fields["slug"] == "acme"


# Who may look


def test_hostile_names_are_shown_as_text(portal):
    world = portal.world
    new_key(portal, name=HOSTILE)
    portal.click("providers/custom", "Save", **custom(world, display_name=HOSTILE))
    page = add_secret(portal, "bearer", "hostile", {"token": secrets.token_urlsafe(24)}, name=HOSTILE)
    secret_id = page.url.split("?")[0].rsplit("/", 1)[1]
    [key] = portal.keys(HOSTILE)
    for path in (
        "keys",
        f"keys/{key['id']}/rotate",
        f"keys/{key['id']}/revoke",
        "providers",
        "providers/acme-two/edit",
        "providers/acme-two/delete",
        "secrets",
        f"secrets/{secret_id}",
        f"secrets/{secret_id}/value",
        f"secrets/{secret_id}/delete",
    ):
        page = portal.open(path)
        assert page.status == 200 and "&lt;script&gt;alert(1)" in page.text, path
        assert "<script>" not in page.text and "<img" not in page.text and " style=" not in page.text, path


def test_a_member_who_may_only_read_sees_lists_and_no_forms(portal, server, management):
    world = portal.world
    page = add_secret(portal, "bearer", "stats", {"token": secrets.token_urlsafe(24)})
    secret_path = page.url.split("?")[0].split(f"{world.app_id}/")[1]
    [key] = portal.keys("test")
    browser, _ = sign_in_to_portal(server, management, "read_only")
    reader = Portal(browser, world)
    for path in "keys", "providers", "secrets", secret_path:
        page = reader.open(path)
        assert page.status == 200, path
        changing = re.compile(r"/(new|catalog|custom|edit|rotate|revoke|value|delete)\b")
        assert [link for link in page.links if changing.search(link)] == [], path
        assert all("/sign-out" in form.action for form in page.forms), path
    for path in "keys/new", "providers/acme/edit", "providers/acme/delete", "secrets/new", f"{secret_path}/value":
        assert reader.open(path).status == 403, path
    # With a form of their own session, sent by hand.
    csrf = reader.open("keys").forms[0].fields["csrf"]
    for path in f"keys/{key['id']}/revoke", "providers/acme/delete", f"{secret_path}/delete":
        answer = browser.post(f"{server.url}/portal/apps/{world.app_id}/{path}", {"csrf": csrf}, {"Origin": server.url})
        assert answer.status_code == 403, path
    assert world.management.get(f"{world.path}/oauth-providers/acme")["client_id"] == world.oauth.client_id


def test_an_operator_of_another_organization_finds_nothing(portal, server):
    world = portal.world
    [key] = portal.keys("test")
    stranger = Portal(sign_in_to_portal(server)[0], world)
    for path in "keys", "keys/new", f"keys/{key['id']}/revoke", "providers", "providers/acme/edit", "secrets/new":
        assert stranger.open(path).status == 404, path
