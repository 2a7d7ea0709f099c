"""Users, grants and policies in the Developer Portal, as an operator's browser without scripts sees them."""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alter_sdk import GrantDeletedError, GrantRevokedError, PolicyViolationError

from harness.browser import Browser, Page
from harness.management import ManagementError
from harness.portal import sign_in_to_portal
from harness.sdk import wait
from harness.waiting import eventually
from harness.world import PROVIDER, World

NOWHERE = "00000000-0000-4000-8000-000000000000"


class Portal:
    """One app in a browser."""

    def __init__(self, world: World, browser: Browser) -> None:
        self.world = world
        self.browser = browser
        self.path = f"/portal/apps/{world.app_id}"

    def open(self, page: str = "") -> Page:
        return self.browser.open(f"{self.world.server.url}{self.path}/{page}".rstrip("/"))

    def shown(self, page: str) -> str:
        """What a page says, without its markup."""
        answer = self.open(page)
        assert answer.status == 200, f"{answer.url} ({answer.status}):\n{answer.text}"
        return words(answer)

    def csrf(self) -> str:
        return next(form.fields["csrf"] for form in self.open().forms if "csrf" in form.fields)

    def send(self, page: str, **fields: str) -> int:
        """A form made by hand, as it would come from a page of this session."""
        url = self.world.server.url
        headers = {"Origin": url, "Referer": f"{url}{self.path}"}
        return self.browser.post(f"{url}{self.path}/{page}", {"csrf": self.csrf(), **fields}, headers).status_code


def words(page: Page) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.text)).split())


def token(world: World, name: str, shown: str, **claims: str) -> str:
    """A user's token that says what people call them."""
    return world.idp.mint({"sub": world.subject(name), "email": f"{name}@corp.test", "name": shown, **claims})


@pytest.fixture
def portal(world, server, management):
    return Portal(world, sign_in_to_portal(server, management, role="member")[0])


@pytest.fixture
def reader(world, server, management):
    return Portal(world, sign_in_to_portal(server, management, role="read_only")[0])


@pytest.fixture
def stranger(world, server):
    """Of an organization that has nothing to do with the app."""
    return Portal(world, sign_in_to_portal(server)[0])


def refused(code: str, call: Callable[[], Any]) -> None:
    with pytest.raises(PolicyViolationError) as refusal:
        call()
    assert refusal.value.policy_error == code


# Users


def test_users_are_listed_and_narrowed(portal):
    world = portal.world
    assert "No user yet" in portal.shown("users")
    grant = world.connect(token(world, "alice", "Alice Ames"))
    wait(world.app.list_grants(end_user_token=token(world, "bob", "Bob Burns")))
    everybody = portal.shown("users")
    assert "Alice Ames" in everybody and "Bob Burns" in everybody and "bob@corp.test" in everybody
    for narrowed in "query=ALICE&status=&group=", "query=alice%40corp", "query=idp%7Calice&status=active":
        shown = portal.shown(f"users?{narrowed}")
        assert "Alice Ames" in shown and "Bob Burns" not in shown, narrowed
    assert "Nobody fits" in portal.shown("users?status=suspended")
    assert "Nobody fits" in portal.shown("users?query=100%25_")
    assert portal.open("users?status=gone").status == 422
    user = portal.shown(f"users/{world.user()['id']}")
    for fact in world.subject(), world.idp.issuer, "active", PROVIDER, "alice@corp.test":
        assert fact in user
    assert grant.grant_id in portal.open(f"users/{world.user()['id']}").text


def test_a_long_list_of_users_goes_on_with_its_filter(portal):
    world = portal.world
    for number in range(52):
        wait(world.app.list_grants(end_user_token=token(world, f"user-{number:02}", f"Person {number:02}")))
    names = re.compile(r"Person \d\d")
    first = portal.open("users?query=person&status=&group=")
    more = next(link for link in first.links if "cursor=" in link)
    second = portal.browser.open(world.server.url + more)
    seen = names.findall(words(first)), names.findall(words(second))
    assert [len(page) for page in seen] == [50, 2]
    assert {*seen[0], *seen[1]} == {f"Person {number:02}" for number in range(52)}
    assert portal.browser.open(world.server.url + more.replace("query=person", "query=user")).status == 422


def test_a_users_way_through_suspension_to_its_end_and_back(portal, tmp_path):
    world = portal.world
    jwt = world.jwt()
    grant = world.connect(jwt)
    user_id = world.user()["id"]
    page = portal.open(f"users/{user_id}")
    assert page.form_that_says("Suspend") and page.form_that_says("Restore") is None
    page = portal.browser.click(page, "Suspend", reason="on leave")
    assert "suspended" in words(page) and page.form_that_says("Suspend") is None
    refused("user_suspended", lambda: world.request_as(jwt))
    assert world.audit(event="user.suspended")[0]["details"]["reason"] == "on leave"
    page = portal.browser.click(page, "Restore")
    assert page.form_that_says("Restore") is None and world.request_as(jwt).status_code == 200

    # The end is confirmed by the user's name, which the server looks at.
    page = portal.open(f"users/{user_id}/deprovision")
    assert "destroyed" in words(page) and "alice@corp.test" in words(page)
    for wrong in "", "bob@corp.test", "alice":
        again = portal.browser.click(page, "Deprovision for good", confirm=wrong, reason="left")
        assert again.status == 422 and again.form_that_says("Deprovision for good").fields["reason"] == "left"
    assert world.user()["status"] == "active" and world.request_as(jwt).status_code == 200
    page = portal.browser.click(page, "Deprovision for good", confirm="alice@corp.test", reason="left the company")
    assert page.status == 200 and page.url.endswith(f"/users/{user_id}/receipt?done=deprovisioned")

    refused("user_deprovisioned", lambda: world.request_as(jwt))
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=grant.grant_id)
    assert world.management.get(f"{world.path}/grants/{grant.grant_id}")["status"] == "revoked"
    assert_receipt(portal, user_id, grant.grant_id, tmp_path)

    page = portal.open(f"users/{user_id}")
    assert page.form_that_says("Suspend") is None and f"users/{user_id}/deprovision" not in page.text
    # What the page does not offer is refused, too, and a second end changes nothing.
    assert portal.send(f"users/{user_id}/suspend") == 409
    assert portal.open(f"users/{user_id}/deprovision").url.endswith(f"/users/{user_id}")
    portal.browser.click(page, "Restore", reason="hired again")
    assert world.user()["status"] == "active"


def assert_receipt(portal: Portal, user_id: str, grant_id: str, folder: Path) -> None:
    def settled() -> bool:
        return portal.shown(f"users/{user_id}/receipt").count("revoked there") == 2

    eventually(settled, "the page tells that both tokens are revoked at the provider")
    shown = portal.shown(f"users/{user_id}/receipt")
    for fact in "an operator", "left the company", grant_id, "access token", "refresh token", "destroyed":
        assert fact in shown
    latest = portal.world.management.get(f"{portal.world.path}/users/{user_id}/deprovisioning-receipt")
    assert latest["receipt"] in portal.open(f"users/{user_id}/receipt").text
    url = f"{portal.world.server.url}{portal.path}/users/{user_id}/receipt.jws"
    file = portal.browser.send("GET", url)
    assert file.status_code == 200 and file.text == latest["receipt"]
    assert file.headers["Content-Disposition"].startswith("attachment;")
    saved = folder / "receipt.jws"
    saved.write_text(file.text)
    verified = portal.world.server.run("receipt", "verify", str(saved), "--data-dir", str(portal.world.server.data))
    assert verified.returncode == 0 and "The receipt holds." in verified.stdout


def test_a_user_that_was_never_ended_has_no_receipt(portal):
    portal.world.connect(portal.world.jwt())
    for page in "receipt", "receipt.jws":
        assert portal.open(f"users/{portal.world.user()['id']}/{page}").status == 404


HOSTILE = "</a><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_hostile_names_are_text(portal):
    world = portal.world
    grant = world.connect(token(world, HOSTILE, HOSTILE), account=HOSTILE)
    [user] = world.management.items(f"{world.path}/users")
    pages = [
        "users", f"users/{user['id']}", f"users/{user['id']}/deprovision", "grants", f"grants/{grant.grant_id}",
        f"grants/{grant.grant_id}/revoke", f"policies/simulate?user={user['id']}&provider_id={PROVIDER}",
    ]  # fmt: skip
    for page in pages:
        answer = portal.open(page)
        assert answer.status == 200 and "<script>alert" not in answer.text and "<img" not in answer.text, page
        assert html.escape(HOSTILE, quote=False)[:12] in answer.text, page
    done = portal.browser.click(
        portal.open(f"users/{user['id']}/deprovision"), "Deprovision for good", confirm=f"{HOSTILE}@corp.test",
        reason=HOSTILE,
    )  # fmt: skip
    assert done.status == 200 and "<script>alert" not in done.text and "<img" not in done.text


# Grants


def test_grants_are_listed_narrowed_and_revoked(portal):
    world = portal.world
    assert "No grant yet" in portal.shown("grants")
    grants = {name: world.connect(world.jwt(name), account=name).grant_id for name in ("alice", "bob")}
    world.add_secret("weather", "bearer", {"token": "a-token-of-the-app"})
    listed = portal.shown("grants")
    assert "alice@corp.test" in listed and "bob@corp.test" in listed and "the app" in listed
    for narrowed, expected in [
        ("status=active&provider_id=&user=", {"alice", "bob"}), ("user=alice%40corp.test", {"alice"}),
        (f"user={world.user('bob')['id']}", {"bob"}), (f"provider_id={PROVIDER}&user=bob", {"bob"}),
        ("provider_id=weather", set()), ("status=revoked", set()), ("status=expired", set()),
        ("status=needs_reauth", set()),
    ]:  # fmt: skip
        page = portal.open(f"grants?{narrowed}")
        assert {name for name, grant_id in grants.items() if grant_id in page.text} == expected, narrowed
    for bad in "user=nobody-at-all", "user=corp.test", "status=gone":
        assert portal.open(f"grants?{bad}").status == 422, bad

    page = portal.open(f"grants/{grants['alice']}/revoke")
    page = portal.browser.click(page, "Revoke this grant", reason="not needed")
    assert page.status == 200 and "revoked" in words(page) and "not needed" in words(page)
    with pytest.raises(GrantRevokedError):
        world.request(grant_id=grants["alice"])
    assert page.form_that_says("Extend") is None and "/revoke" not in page.text
    assert portal.open(f"grants/{grants['alice']}/revoke").url.endswith(f"/grants/{grants['alice']}")
    eventually(lambda: "revoked there" in portal.shown(f"grants/{grants['alice']}"), "the provider was told")
    assert grants["alice"] in portal.open("grants?status=revoked").text


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_an_extension_is_cut_to_what_policies_allow_and_the_page_says_so(portal):
    world = portal.world
    endless = world.connect(world.jwt("bob"), account="bob").grant_id
    assert portal.open(f"grants/{endless}").form_that_says("Extend") is None
    grant = world.connect(world.jwt(), grant_policy={"default_ttl_seconds": 3600}).grant_id
    until = (datetime.now(UTC) + timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M")
    page = portal.browser.click(portal.open(f"grants/{grant}"), "Extend", expires_at=until)
    assert page.status == 200 and f"The grant ends {until.replace('T', ' at ')} UTC." in words(page)
    end = world.management.get(f"{world.path}/grants/{grant}")["grant_expires_at"]
    assert moment(end) == moment(until + ":00Z")

    world.management.put(f"{world.path}/policies/{PROVIDER}", {"grant_ttl": {"max_seconds": 86_400}})
    late = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M")
    page = portal.browser.click(portal.open(f"grants/{grant}"), "Extend", expires_at=late)
    assert page.status == 200 and "allow no more" in words(page)
    end = moment(world.management.get(f"{world.path}/grants/{grant}")["grant_expires_at"])
    assert abs(end - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    for bad in "", "2001-01-01T00:00", "tomorrow":
        again = portal.browser.click(portal.open(f"grants/{grant}"), "Extend", expires_at=bad)
        assert again.status == 422, bad


# Policies


FULL = {
    "allowed_groups": ["eng", "a, b"], "allowed_roles": ["admin"],
    "time": {
        "business_hours_only": True, "weekdays_only": True, "timezone": "Europe/Berlin",
        "windows": [{"days": ["fri", "mon"], "start": "22:00", "end": "06:00"}, {"start": "00:00", "end": "24:00"}],
    },
    "ip_allowlist": ["203.0.113.0/24", "2001:db8::/32"], "methods": ["GET", "HEAD"], "paths": ["/v1/**", "/a,b"],
    "grant_ttl": {"default_seconds": 3600, "max_seconds": 86_400},
    "require_approval": {"methods": ["POST"], "paths": ["/**"], "approvers": "operator"},
    "rate_limit": {"requests": 60, "per_seconds": 60, "per": "user"},
}  # fmt: skip


def test_a_policy_filled_in_is_the_document_of_the_api(portal):
    world = portal.world
    page = portal.browser.click(
        portal.open("policies/*"), "Save",
        **{
            "allowed_groups": "eng\r\n a, b \r\n", "allowed_roles": "admin", "time.business_hours_only": "on",
            "time.weekdays_only": "on", "time.timezone": "Europe/Berlin", "time.windows[1].days": ["mon", "fri"],
            "time.windows[1].start": "22:00", "time.windows[1].end": "06:00", "time.windows[4].start": "00:00",
            "time.windows[4].end": "24:00", "ip_allowlist": "203.0.113.0/24, 2001:db8::/32",
            "methods": "get\nHEAD", "paths": "/v1/**\n/a,b", "grant_ttl.default_seconds": "3600",
            "grant_ttl.max_seconds": "86400", "require_approval": "on", "require_approval.methods": "POST",
            "require_approval.paths": "/**", "require_approval.approvers": "operator", "rate_limit.requests": "60",
            "rate_limit.per_seconds": "60", "rate_limit.per": "user",
        },
    )  # fmt: skip
    assert page.status == 200, words(page)
    stored = world.management.get(f"{world.path}/policies/*")
    windows = [{**FULL["time"]["windows"][0], "days": ["mon", "fri"]}, FULL["time"]["windows"][1]]
    assert stored == {**FULL, "time": {**FULL["time"], "windows": windows}}
    for sentence in (
        "Only members of one of the groups eng or a, b.", "At most 60 uses in any 1 minute, for each user.",
        "An operator approves every POST call to /** first.",
    ):  # fmt: skip
        assert sentence in words(page) and sentence in portal.shown("policies")


@pytest.mark.parametrize("layer", ["app", "provider", "grant", "key"])
@pytest.mark.parametrize("document", [FULL, {}, {"allowed_groups": [], "methods": []}, {"time": {"timezone": "UTC"}}])
def test_a_policy_that_is_saved_untouched_is_the_same(portal, layer, document):
    world = portal.world
    place = {
        "app": lambda: "policies/*", "provider": lambda: f"policies/{PROVIDER}",
        "grant": lambda: f"grants/{world.connect(world.jwt()).grant_id}/policy",
        "key": lambda: f"keys/{world.management.items(f'{world.path}/keys')[0]['id']}/policy",
    }[layer]()  # fmt: skip
    world.management.put(f"{world.path}/{place}", document)
    before = world.management.get(f"{world.path}/{place}")
    page = portal.browser.click(portal.open(place), "Save")
    assert page.status == 200 and world.management.get(f"{world.path}/{place}") == before

    # One member changes; the others are kept.
    portal.browser.click(page, "Save", **{"paths": "/changed"})
    assert world.management.get(f"{world.path}/{place}") == {**before, "paths": ["/changed"]}
    page = portal.browser.click(portal.open(place), "Remove this policy")
    assert page.status == 200
    with pytest.raises(ManagementError) as gone:
        world.management.get(f"{world.path}/{place}")
    assert gone.value.status == 404


def test_a_bad_rule_is_marked_at_its_field_and_nothing_is_saved(portal):
    world = portal.world
    bad = {
        "time.timezone": "Nowhere/Land", "time.windows[1].start": "25:00", "time.windows[1].end": "06:00",
        "ip_allowlist": "here", "methods": "G T", "paths": "v1", "rate_limit.requests": "many",
        "rate_limit.per_seconds": "60", "grant_ttl.max_seconds": "0", "allowed_groups": "eng",
    }  # fmt: skip
    page = portal.browser.click(portal.open(f"policies/{PROVIDER}"), "Save", **bad)
    assert page.status == 422 and page.text.count('class="problem"') == 7
    form = page.form_that_says("Save")
    assert form.fields["allowed_groups"] == "eng" and form.fields["time.windows[0].start"] == "25:00"
    with pytest.raises(ManagementError) as none:
        world.management.get(f"{world.path}/policies/{PROVIDER}")
    assert none.value.status == 404


def test_more_rows_are_there_for_the_asking(portal):
    page = portal.browser.click(portal.open("policies/*"), "Save, and add more hours", action="more")
    assert page.status == 200 and "time.windows[5].start" in page.form_that_says("Save").inputs


def test_an_edit_acts_on_the_next_request(portal):
    world = portal.world
    jwt = world.jwt()
    world.connect(jwt)
    assert world.request_as(jwt).status_code == 200
    page = portal.browser.click(portal.open(f"policies/{PROVIDER}"), "Save", allowed_groups="eng")
    refused("policy_violation", lambda: world.request_as(jwt))
    portal.browser.click(page, "Remove this policy")
    assert world.request_as(jwt).status_code == 200


# Simulation


def test_the_simulation_says_what_the_api_says(portal):
    world = portal.world
    world.connect(world.jwt())
    wait(world.app.list_grants(end_user_token=world.jwt("alina")))
    user_id = world.user()["id"]
    for target, policy in [
        ("*", {"ip_allowlist": ["203.0.113.0/24"]}), (PROVIDER, {"methods": ["GET"], "allowed_groups": ["<eng>"]}),
    ]:  # fmt: skip
        world.management.put(f"{world.path}/policies/{target}", policy)
    for method, ip, at in [("GET", "203.0.113.9", "2030-01-02T03:04"), ("POST", "198.51.100.1", "2030-01-02T03:04")]:
        question = {"provider_id": PROVIDER, "user_id": user_id, "method": method, "url": world.echo, "ip": ip}
        says = world.management.post(f"{world.path}/policies/simulate", {**question, "at": at + ":00Z"})
        page = portal.browser.click(
            portal.open("policies/simulate"), "Simulate", user="alice@corp.test", provider_id=PROVIDER, method=method,
            url=world.echo, ip=ip, at=at,
        )  # fmt: skip
        assert page.status == 200 and "?" in page.url
        shown = words(page)
        assert ("Not allowed" in shown) == (says["decision"] == "deny")
        results = {"allow": "allows", "deny": "refuses", "not_applicable": "does not apply"}
        for rule in says["rules"]:
            assert f"{rule['layer']} {rule['rule']} {results[rule['result']]} {rule['reason']}" in shown, rule
    world.management.delete(f"{world.path}/policies/*")
    world.management.delete(f"{world.path}/policies/{PROVIDER}")
    allowed = portal.open(f"policies/simulate?user={user_id}&provider_id={PROVIDER}&method=GET")
    assert allowed.status == 200 and "Not allowed" not in words(allowed) and "Allowed" in words(allowed)


def test_a_simulation_asks_who_is_meant_and_refuses_what_it_cannot_read(portal):
    world = portal.world
    for name in "alice", "alina":
        wait(world.app.list_grants(end_user_token=world.jwt(name)))
    page = portal.open(f"policies/simulate?user=ali&provider_id={PROVIDER}&method=GET")
    choices = [link for link in page.links if f"user={world.user('alina')['id']}" in link]
    assert len(choices) == 1 and "Who is meant?" in words(page)
    chosen = portal.browser.open(world.server.url + choices[0])
    assert chosen.status == 200 and "alina@corp.test" in words(chosen) and "llowed" in words(chosen)
    for bad in (
        "user=nobody-of-them&provider_id=acme", "provider_id=acme&ip=here", "provider_id=acme&url=nowhere",
        "method=GET", f"provider_id=acme&grant_id={NOWHERE}", "provider_id=acme&at=tomorrow",
    ):  # fmt: skip
        assert portal.open(f"policies/simulate?{bad}").status == 422, bad
    assert portal.open(f"policies/simulate?grant_id={NOWHERE}").status == 404


# Who may


def routes(world: World, user_id: str, grant_id: str, key_id: str) -> tuple[list[str], list[str]]:
    """Pages, and addresses of forms."""
    places = ["policies/*", f"policies/{PROVIDER}", f"grants/{grant_id}/policy", f"keys/{key_id}/policy"]
    pages = [
        "users", f"users/{user_id}", "grants", f"grants/{grant_id}", "policies",
        f"policies/simulate?user={user_id}&grant_id={grant_id}", *places,
    ]  # fmt: skip
    forms = [
        f"users/{user_id}/suspend", f"users/{user_id}/restore", f"users/{user_id}/deprovision",
        f"grants/{grant_id}/revoke", f"grants/{grant_id}/extend", *places, *(f"{place}/delete" for place in places),
    ]  # fmt: skip
    return pages, forms


def things_of(world: World) -> tuple[str, str, str]:
    grant_id = world.connect(world.jwt(), grant_policy={"default_ttl_seconds": 3600}).grant_id
    [key] = world.management.items(f"{world.path}/keys")
    for place in "policies/*", f"policies/{PROVIDER}", f"grants/{grant_id}/policy", f"keys/{key['id']}/policy":
        world.management.put(f"{world.path}/{place}", {"methods": ["GET"]})
    return world.user()["id"], grant_id, key["id"]


def test_a_read_only_member_sees_everything_and_changes_nothing(reader):
    world = reader.world
    things = things_of(world)
    pages, forms = routes(world, *things)
    for page in pages:
        answer = reader.open(page)
        assert answer.status == 200, page
        mine = [form for form in answer.forms if form.method == "post" and not form.action.endswith("/sign-out")]
        assert mine == [] and "/deprovision" not in answer.text and "/revoke" not in answer.text, page
    for page in f"users/{things[0]}/deprovision", f"grants/{things[1]}/revoke":
        assert reader.open(page).status == 403, page
    before = world.management.items(f"{world.path}/audit")
    for form in forms:
        for fields in {}, {"confirm": "alice@corp.test", "expires_at": "2040-01-01T00:00", "methods": "POST"}:
            assert reader.send(form, **fields) == 403, form
    assert world.management.items(f"{world.path}/audit") == before
    assert world.user()["status"] == "active"


def test_what_belongs_to_another_organization_is_not_there(stranger):
    pages, forms = routes(stranger.world, *things_of(stranger.world))
    mine = sign_in_form(stranger)
    for page in pages:
        assert stranger.open(page).status == 404, page
    for form in forms:
        assert hand_sent(stranger, form, mine) == 404, form


def test_what_belongs_to_another_app_is_not_there(portal, foreign_world):
    user_id, grant_id, key_id = things_of(foreign_world)
    pages, forms = routes(portal.world, user_id, grant_id, key_id)
    for page in pages:
        if any(thing in page for thing in (user_id, grant_id, key_id)):
            assert portal.open(page).status == 404, page
    for form in forms:
        if any(thing in form for thing in (user_id, grant_id, key_id)):
            fields = {"confirm": "alice@corp.test", "expires_at": "2040-01-01T00:00"}
            assert portal.send(form, **fields) == 404, form
    for page in f"users/{user_id}/receipt", f"users/{user_id}/receipt.jws", f"users/{user_id}/deprovision":
        assert portal.open(page).status == 404, page
    assert portal.open(f"grants/{grant_id}/revoke").status == 404
    assert foreign_world.user()["status"] == "active"


def sign_in_form(portal: Portal) -> str:
    """The CSRF token of a session that sees no page of the app."""
    page = portal.browser.open(f"{portal.world.server.url}/portal/apps")
    return next(form.fields["csrf"] for form in page.forms if "csrf" in form.fields)


def hand_sent(portal: Portal, page: str, csrf: str) -> int:
    url = portal.world.server.url
    headers = {"Origin": url, "Referer": f"{url}/portal/apps"}
    data = {"csrf": csrf, "confirm": "alice@corp.test", "expires_at": "2040-01-01T00:00"}
    return portal.browser.post(f"{url}{portal.path}/{page}", data, headers).status_code
