"""Who may do what in the Portal and with its accounts: invitations, roles, personal access tokens, names that are attacks."""

import html
import re
import secrets
from datetime import UTC, datetime, timedelta

import pytest
import requests

from harness.browser import Browser, Page
from harness.canaries import canary
from harness.configured import ShiftedServer
from harness.management import Management, ManagementError
from harness.markup import foreign_markup
from harness.operations import management_address, management_bodies
from harness.portal import (
    Operator,
    accept,
    invitation,
    invite,
    new_email,
    new_password,
    organization_of,
    session_of,
    walk,
)
from harness.server import Server
from harness.waiting import eventually
from harness.world import World

ADMIN, MEMBER, READER = "admin", "member", "read_only"


@pytest.fixture(scope="module")
def people(management) -> dict[str, Operator]:
    """One operator of each role, in the organization of `management`'s."""
    return {role: invite(management, role) for role in (ADMIN, MEMBER, READER)}


@pytest.fixture(scope="module")
def organization(management) -> str:
    return f"/portal/organizations/{organization_of(management)}"


@pytest.fixture
def shifted(tmp_path):
    server = ShiftedServer(tmp_path)
    yield server
    server.kill()


def csrf_of(page: Page) -> str:
    return next(form.fields["csrf"] for form in page.forms if "csrf" in form.fields)


def send(operator: Operator, path: str, **fields: str) -> requests.Response:
    """A form by hand, with everything right about where it comes from."""
    token = csrf_of(operator.open("/portal/account"))
    return operator.browser.send("POST", operator.url + path, data={"csrf": token, **fields})


def management_of(operator: Operator) -> Management:
    return Management(operator.url, mint(operator, "of a test"))


def members(management: Management, organization: str) -> dict[str, tuple[str, str]]:
    found = management.items(organization.removeprefix("/portal") + "/members")
    return {member["email"]: (member["operator_id"], member["role"]) for member in found}


# Invitations


def test_an_invitation_works_once_for_whom_it_was_made(server, management):
    opened = invitation(management, MEMBER)
    address = opened["invitation_url"]
    twice = Browser()
    opened_before = twice.open(address)
    assert opened["email"] in opened_before.text and "a member" in opened_before.text
    operator = accept(opened)
    assert "You are a member" in operator.open(f"/portal/organizations/{organization_of(management)}").text
    for browser in Browser(), twice, operator.browser:
        assert browser.open(address).status == 404
    password = new_password()
    page = twice.click(opened_before, "Accept the invitation", password=password, password_again=password)
    assert page.status == 404 and session_of(twice) == ""
    open_ones = management.items(f"/organizations/{organization_of(management)}/invitations")
    assert opened["id"] not in {each["id"] for each in open_ones}


def test_an_invitation_is_made_and_revoked_by_an_admin_in_the_portal(management, people, organization):
    admin, email = people[ADMIN], new_email()
    page = admin.browser.click(admin.open(organization), "Create the invitation", email=email, role=READER)
    [address] = re.findall(r'value="(http[^"]+/portal/invitations/[\w-]+)"', page.text)
    canary(address.rsplit("/", 1)[1])
    assert address not in admin.open(organization).text, "it is shown once"
    assert Browser().open(address).status == 200
    again = admin.browser.click(admin.open(organization), f"Revoke the invitation of {email}")
    assert email not in again.text
    assert Browser().open(address).status == 404


def test_an_invitation_ends_after_a_week(shifted):
    shifted.start()
    management = Management(shifted.url, shifted.create_operator().pat)
    address = invitation(management)["invitation_url"]
    for days, status in (6.9, 200), (7.1, 404):
        shifted.stop()
        shifted.set_clock(days)
        shifted.start()
        assert Browser().open(address).status == status, days
    with pytest.raises(AssertionError):
        accept({"invitation_url": address, "email": "late@example.test"})


def test_an_invitation_for_somebody_else_is_refused(server, management, people):
    opened = invitation(management, ADMIN)
    reader = people[READER]
    page = reader.browser.open(opened["invitation_url"])
    assert f"signed in as <strong>{reader.email}" in page.text and page.form_that_says("Accept the invitation") is None
    entry = csrf_of(Browser().open(opened["invitation_url"]))
    own = csrf_of(reader.browser.open(f"{server.url}/portal/organizations"))
    visitor = Browser()
    visitor_token = csrf_of(visitor.open(opened["invitation_url"]))
    visitor.cookies.set("sallyport-portal", reader.session, domain="127.0.0.1", path="/")
    for browser, token in (reader.browser, entry), (reader.browser, own), (visitor, visitor_token):
        assert browser.send("POST", opened["invitation_url"], data={"csrf": token}).status_code in (403, 404)
    assert Browser().open(opened["invitation_url"]).status == 200, "whom it is for can still accept"


def test_an_invitation_dies_with_the_rights_of_who_made_it(server):
    owner = server.create_operator(new_email())
    management = Management(server.url, owner.pat)
    admin = invite(management, ADMIN)
    path = f"/portal/organizations/{organization_of(management)}"
    page = admin.browser.click(admin.open(path), "Create the invitation", email=new_email(), role=ADMIN)
    [address] = re.findall(r'value="(http[^"]+/portal/invitations/[\w-]+)"', page.text)
    canary(address.rsplit("/", 1)[1])
    assert Browser().open(address).status == 200
    members = management.items(f"/organizations/{organization_of(management)}/members")
    [admin_id] = [member["operator_id"] for member in members if member["email"] == admin.email]
    management.delete(f"/organizations/{organization_of(management)}/members/{admin_id}")
    assert Browser().open(address).status == 404


def test_an_organization_has_a_hundred_open_invitations_at_most(server):
    management = Management(server.url, server.create_operator(new_email()).pat)
    for _ in range(100):
        invitation(management)
    with pytest.raises(ManagementError) as refused:
        invitation(management)
    assert refused.value.status == 409


def test_long_lists_of_an_account_and_an_organization_go_on(server):
    management = Management(server.url, server.create_operator(new_email()).pat)
    operator = invite(management, ADMIN)
    for number in range(55):
        management.post("/organizations", {"name": f"Branch {number:02}"})
    owner = invite(management, ADMIN)
    for number in range(55):
        page = owner.browser.click(owner.open("/portal/account"), "Create token", name=f"script {number:02}")
        canary(re.findall(r"alter_pat_[\w-]+", page.text)[0])
    organization, members = organization_of(management), [f"10000000-0000-4000-8000-{n:012}" for n in range(55)]
    operators = ({"id": each, "email": f"m{n:02}@corp.test", "created_at": 1} for n, each in enumerate(members))
    server.database.insert("operators", operators)
    belonging = {"organization_id": organization, "role": "member"}
    server.database.insert("memberships", ({**belonging, "operator_id": each} for each in members))

    def walked(operator, path: str, pattern: str) -> list[str]:
        found, page = [], operator.open(path)
        while True:
            found += re.findall(pattern, page.text)
            onward = re.search(r'href="([^"]*cursor=[^"]*)"', page.text)
            if onward is None:
                return found
            page = operator.open(html.unescape(onward[1]))

    assert walked(owner, "/portal/account", r"<td>script (\d\d)</td>") == [f"{number:02}" for number in range(55)]
    members = walked(operator, f"/portal/organizations/{organization}", r"<td>m(\d\d)@corp\.test")
    assert sorted(members) == [f"{number:02}" for number in range(55)]


def test_an_account_that_exists_signs_in_and_then_joins(server, management):
    account = Management(server.url, server.create_operator(new_email()).pat)
    person = invite(account)
    opened = invitation(management, MEMBER, email=person.email)
    visitor = Browser()
    page = visitor.open(opened["invitation_url"])
    assert "There is an account with this address" in page.text and "password" not in {n for f in page.forms for n in f.inputs}
    # No password can be set for it in this way.
    password = new_password()
    data = {"csrf": csrf_of(visitor.open(f"{server.url}/portal/sign-in")), "password": password, "password_again": password}
    assert visitor.send("POST", opened["invitation_url"], data=data).status_code == 404
    page = person.browser.click(person.browser.open(opened["invitation_url"]), "Accept the invitation")
    assert page.url == f"{server.url}/portal/organizations?done=joined"
    assert sum("/portal/organizations/" in link for link in page.links) == 2
    with pytest.raises(ManagementError) as already:
        invitation(management, ADMIN, email=person.email)
    assert already.value.status == 409


def test_an_invitations_password_is_held_to_the_same_rules(management):
    browser = Browser()
    page = browser.open(invitation(management)["invitation_url"])
    for password, again in ("short", "short"), ("a" * 30, "a" * 30), ("long enough to be good", "but not the same"):
        page = browser.click(page, "Accept the invitation", password=password, password_again=again)
        assert page.status == 422 and page.form_that_says("Accept the invitation").fields["password"] == ""


# Roles


def test_a_read_only_member_sees_everything_and_changes_nothing(server, management, people, world):
    reader = people[READER]
    app = f"/portal/apps/{world.app_id}"
    settings = f"{app}/settings"
    for path, fields in (
        (settings, {"name": "changed"}),
        (f"{settings}/archive", {}),
        (f"{settings}/unarchive", {}),
        (f"{settings}/delete", {"confirm": management.get(world.path)["name"]}),
    ):
        assert send(reader, path, **fields).status_code == 403, path
    created = send(reader, "/portal/apps/new", name="mine", organization_id=organization_of(management))
    assert created.status_code in (403, 422)
    assert management.get(world.path)["status"] == "active"
    shown = [page for page in walk(reader.browser, f"{server.url}/portal/apps", server.url + app) if app in page.url]
    assert shown
    for page in shown:
        # What is left is the way out, and what looks without a change.
        offered = {word for form in page.forms if form.method == "post" for word in form.words}
        assert offered <= {"Sign out", "Verify the trail"}, f"{page.url} offers {offered}"


def test_a_member_runs_apps_and_manages_nobody(management, people, organization, world):
    member, admin = people[MEMBER], people[ADMIN]
    present = members(management, organization)
    page = member.open(organization)
    assert page.form_that_says("Create the invitation") is None and page.form_that_says("Rename") is None
    assert page.form_that_says(f"Remove {admin.email}") is None
    for path, fields in (
        (f"{organization}/members/{present[admin.email][0]}", {"role": "none"}),
        (f"{organization}/members/{present[member.email][0]}", {"role": ADMIN}),
        (f"{organization}/invitations", {"email": new_email(), "role": ADMIN}),
        (organization, {"name": "mine now"}),
        (f"/portal/apps/{world.app_id}/settings/delete", {"confirm": management.get(world.path)["name"]}),
    ):
        assert send(member, path, **fields).status_code == 403, path
    assert members(management, organization) == present
    saved = send(member, f"/portal/apps/{world.app_id}/settings", name="Renamed by a member")
    assert saved.status_code == 303 and management.get(world.path)["name"] == "Renamed by a member"
    assert "Delete this app" not in member.open(f"/portal/apps/{world.app_id}/settings").text


def test_a_changed_role_counts_from_the_next_request_and_one_admin_stays(server):
    management = Management(server.url, server.create_operator(new_email()).pat)
    path = f"/portal/organizations/{organization_of(management)}"
    admin = invite(management, ADMIN)
    [first] = [email for email in members(management, path) if email != admin.email]
    page = admin.browser.click(admin.open(path), f"Make {first} read-only")
    assert members(management, path)[first][1] == READER
    with pytest.raises(ManagementError) as refused:
        management.post("/apps", {"name": "not any more"})
    assert refused.value.status in (403, 422)
    for words in "Leave the organization", f"Make {admin.email} member", f"Make {admin.email} read-only":
        page = admin.browser.click(page, words)
        assert page.status == 409 and "keeps one admin" in page.text, words
    assert members(management, path)[admin.email][1] == ADMIN
    page = admin.browser.click(admin.open(path), f"Remove {first}")
    assert page.form_that_says(f"Remove {first}") is None and first not in members(management_of(admin), path)
    with pytest.raises(ManagementError) as gone:
        management.get(path.removeprefix("/portal"))
    assert gone.value.status == 404


def test_another_organization_is_as_good_as_none(server, people, management, organization):
    stranger = invite(Management(server.url, server.create_operator(new_email()).pat), ADMIN)
    nowhere = stranger.browser.open(f"{server.url}/portal/organizations/00000000-0000-4000-8000-000000000000")
    theirs = stranger.browser.open(server.url + organization)
    assert theirs.status == nowhere.status == 404
    assert re.sub(r"[0-9a-f-]{36}", "", theirs.text) == re.sub(r"[0-9a-f-]{36}", "", nowhere.text)
    for path, fields in (
        (organization, {"name": "x"}),
        (f"{organization}/invitations", {"email": new_email(), "role": ADMIN}),
        (f"{organization}/members/{members(management, organization)[people[MEMBER].email][0]}", {"role": "none"}),
    ):
        assert send(stranger, path, **fields).status_code == 404, path


# Apps


def test_an_app_is_deleted_only_by_its_typed_name(server, management, people):
    world = World(server, management)
    admin, path = people[ADMIN], f"/portal/apps/{world.app_id}/settings"
    name = management.get(world.path)["name"]
    for typed in "", name.upper(), name[:-1], f"{name}x", world.app_id:
        page = admin.browser.click(admin.open(path), "Delete this app for good", confirm=typed)
        assert page.status == 422 and management.get(world.path)["name"] == name, typed
    page = admin.browser.click(admin.open(path), "Delete this app for good", confirm=name)
    assert page.url == f"{server.url}/portal/apps?done=deleted" and name not in page.text
    with pytest.raises(ManagementError) as gone:
        management.get(world.path)
    assert gone.value.status == 404
    world.close()


# Personal access tokens


def mint(operator: Operator, name: str, **fields: object) -> str:
    page = operator.browser.click(operator.open("/portal/account"), "Create token", name=name, **fields)
    assert page.status == 200, page.text
    [token] = re.findall(r'value="(alter_pat_[\w-]+)"', page.text)
    assert token not in operator.open("/portal/account").text, "it is shown once"
    return canary(token)


def test_a_token_is_shown_once_used_and_revoked(server, people):
    operator = people[ADMIN]
    row = re.compile(r"<tr><td>nightly job</td>.*?</tr>", re.DOTALL)
    management = Management(server.url, mint(operator, "nightly job"))
    assert row.search(operator.open("/portal/account").text)[0].count("never") == 2, "never used, and never ends"
    assert management.get("/apps")["items"] is not None

    def used() -> str | None:
        shown = row.search(operator.open("/portal/account").text)[0]
        return shown if shown.count("never") == 1 else None

    # It is noted beside the request.
    assert "read and write" in eventually(used, "the token's use is noted")
    operator.browser.click(operator.open("/portal/account"), "Revoke nightly job")
    with pytest.raises(ManagementError) as revoked:
        management.get("/apps")
    assert revoked.value.status == 401
    assert not row.search(operator.open("/portal/account").text)


def test_a_token_ends_when_it_was_to(shifted):
    shifted.start()
    first = Management(shifted.url, shifted.create_operator().pat)
    ends = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = canary(first.post("/tokens", {"name": "short", "expires_at": ends})["token"])
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(ManagementError) as past:
        first.post("/tokens", {"name": "past", "expires_at": yesterday})
    assert past.value.status == 422
    for days, status in (1.9, 200), (2.1, 401):
        shifted.stop()
        shifted.set_clock(days)
        shifted.start()
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{shifted.url}/api/v1/apps", headers=headers, timeout=10).status_code == status, days


def content(server: Server) -> dict[str, list[tuple]]:
    """Everything in the database but what says when somebody was last seen, and what is made beside requests."""
    counted = {"usage_figures", "usage_progress", "audit_checkpoints"}
    moving = {"personal_access_tokens", "portal_sessions", "refresh_leases", *counted}
    kept = set(server.database.tables()) - moving
    return {name: sorted(server.database.query(f"SELECT * FROM {name}"), key=repr) for name in sorted(kept)}


READS_BY_POST = {"/identity-provider/discover", "/policies/simulate", "/policies/replay", "/audit/verify"}
"""What looks at something that is sent, and keeps nothing."""


def test_a_token_makes_none_that_outlives_it(management, server):
    soon = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    later = (datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    short = Management(server.url, canary(management.post("/tokens", {"name": "short", "expires_at": soon})["token"]))
    for expires_at in None, later:
        with pytest.raises(ManagementError) as refused:
            short.post("/tokens", {"name": "long", "expires_at": expires_at})
        assert refused.value.status == 422
    canary(short.post("/tokens", {"name": "as long", "expires_at": soon})["token"])


def test_a_new_password_ends_the_tokens_when_that_is_asked_for(server, management):
    operator = invite(management, ADMIN)
    page = operator.browser.click(operator.open("/portal/account"), "Create token", name="script")
    [token] = re.findall(r"alter_pat_[\w-]+", page.text)
    script = Management(server.url, canary(token))
    script.get("/apps")
    first = new_password()
    fields = {"current_password": operator.password, "password": first, "password_again": first}
    assert operator.browser.click(operator.open("/portal/account"), "Change password", **fields).status == 200
    script.get("/apps")
    second = new_password()
    fields = {"current_password": first, "password": second, "password_again": second, "revoke_tokens": "yes"}
    assert operator.browser.click(operator.open("/portal/account"), "Change password", **fields).status == 200
    with pytest.raises(ManagementError) as refused:
        script.get("/apps")
    assert refused.value.status == 401


def test_a_token_that_may_read_changes_nothing_anywhere(server, management, people, world):
    grant = world.connect(world.jwt())
    secret = world.add_secret("mail", "bearer", {"token": secrets.token_urlsafe(24)})
    organization = organization_of(management)
    known = {
        "grant_id": grant.grant_id,
        "user_id": world.user()["id"],
        "key_id": management.items(f"{world.path}/keys")[0]["id"],
        "secret_id": secret["id"],
        "organization_id": organization,
        "member_id": members(management, f"/portal/organizations/{organization}")[people[MEMBER].email][0],
        "invitation_id": invitation(management)["id"],
        "token_id": management.items("/tokens")[0]["id"],
    }
    bodies = {
        **management_bodies(world),
        "POST /api/v1/organizations": {"name": "n"},
        "PATCH /api/v1/organizations/{organization_id}": {"name": "n"},
        "PATCH /api/v1/organizations/{organization_id}/members/{member_id}": {"role": "admin"},
        "POST /api/v1/organizations/{organization_id}/invitations": {"email": new_email()},
        "POST /api/v1/tokens": {"name": "more"},
        "PUT /api/v1/apps/{app_id}/identity-provider/sign-in": {"client_id": "c", "client_secret": "s"},
        "PUT /api/v1/apps/{app_id}/managed-secrets/{secret_id}/value": {"token": "another"},
        "POST /api/v1/apps/{app_id}/grants/{grant_id}/extend": {"expires_at": "2035-01-01T00:00:00Z"},
        "PUT /api/v1/apps/{app_id}/audit/retention": {"days": 30},
        "POST /api/v1/apps/{app_id}/audit-streams": {"kind": "webhook", "url": "http://127.0.0.1:9/"},
        "POST /api/v1/apps/{app_id}/identity-provider/discover": {"issuer_url": world.idp.issuer},
    }
    del bodies["PUT /api/v1/apps/{app_id}/oauth-providers/{provider_id}"]["token_auth"]
    reader = Management(server.url, mint(people[ADMIN], "reader", scopes=["read"]))
    assert reader.get(world.path)["id"] == world.app_id
    # So that bringing back would change something.
    management.post(f"{world.path}/users/{known['user_id']}/suspend", {"reason": "test"})
    before = content(server)
    statuses = {}
    for path, operations in management.get("/openapi.json")["paths"].items():
        for method in operations.keys() - {"get"}:
            route = f"{method.upper()} {path}"
            query = {"confirm": management.get(world.path)["name"]} if path == "/api/v1/apps/{app_id}" else None
            address = server.url + management_address(world, path, **known)
            headers = {"Authorization": reader.authorization}
            answer = requests.request(
                method, address, json=bodies.get(route, {}), params=query, headers=headers, timeout=30
            )
            statuses[route] = answer.status_code
    assert len(statuses) > 40
    # Without a valid body some are refused for that, before anybody asks who sent it: they are to be given one here.
    odd = {route: status for route, status in statuses.items() if status != 403}
    assert {route for route in odd if not route.endswith(tuple(READS_BY_POST))} == set(), odd
    after = content(server)
    assert {name for name in before if before[name] != after[name]} == set()


# The Management API with the Portal's session


def test_the_management_api_takes_the_portals_session_with_its_token(server, people):
    admin = people[ADMIN]
    api = f"{server.url}/api/v1/apps"
    token = csrf_of(admin.open("/portal/account"))
    foreign = csrf_of(people[MEMBER].open("/portal/account"))
    assert admin.browser.send("GET", api).status_code == 200
    assert "Access-Control-Allow-Origin" not in admin.browser.send("GET", api, headers={"Origin": "https://evil.example"}).headers
    for headers in (
        *({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "A" * 43}, {"X-CSRF-Token": foreign}),
        {"X-CSRF-Token": token, "Origin": "https://evil.example"},
    ):
        answer = admin.browser.send("POST", api, json={"name": "by a script"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "forbidden"), headers
    assert admin.browser.send("POST", api, json={"name": "x", "csrf": token}).status_code == 403
    assert admin.browser.send("POST", api, json={"name": "x"}, params={"csrf": token}).status_code == 403
    created = admin.browser.send("POST", api, json={"name": "by a script"}, headers={"X-CSRF-Token": token})
    assert created.status_code == 201
    address = f"{api}/{created.json()['id']}"
    confirm = {"confirm": "by a script"}
    assert admin.browser.send("DELETE", address, params=confirm).status_code == 403
    assert admin.browser.send("DELETE", address, params=confirm, headers={"X-CSRF-Token": token}).status_code == 204


def test_a_wrong_token_is_not_saved_by_a_session_and_a_session_of_nobody_opens_nothing(server, people):
    api = f"{server.url}/api/v1/apps"
    for authorization in "Bearer alter_pat_wrong", "Basic eDp5", "Bearer", "":
        answer = people[ADMIN].browser.send("GET", api, headers={"Authorization": authorization})
        assert answer.status_code == 401, authorization
    for cookie in "A" * 43, "", people[ADMIN].session[:-1], people[ADMIN].session + "A":
        assert requests.get(api, cookies={"sallyport-portal": cookie}, timeout=10).status_code == 401
    twice = {"Cookie": f"sallyport-portal={people[ADMIN].session}; sallyport-portal={people[ADMIN].session}"}
    assert requests.get(api, headers=twice, timeout=10).status_code == 401, "a cookie that comes twice is nobody's"
    reader = people[READER]
    token = csrf_of(reader.open("/portal/account"))
    answer = reader.browser.send("POST", api, json={"name": "x"}, headers={"X-CSRF-Token": token})
    assert answer.status_code in (403, 422)


# Names that are attacks (row 39)

ATTACKS = [
    '"><script>alert(1)</script>',
    "'\"><img src=x onerror=alert(1)>",
    "</title></textarea></script><svg onload=alert(1)>",
    "<!--\u202e{{7*7}}${7*7}<b>",
    "&lt;script&gt;&#60;b&#62;",
    "javascript:alert(1)//' onmouseover='alert(1)",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_row_39_names_are_text_wherever_they_are_shown(server, management, people, attack):
    admin = people[ADMIN]
    world_id = management.post("/apps", {"name": attack})["id"]
    organization_id = admin_organization(server, admin, attack)
    mint(admin, attack, scopes=["read"])
    email = f"{secrets.token_hex(3)}<script>alert(1)</script>\"'@example.test"
    opened = invitation(management, email=email)
    pages = [Browser().open(opened["invitation_url"])]
    starts = f"{server.url}/portal/apps/{world_id}/settings", f"{server.url}/portal/organizations/{organization_id}"
    pages += walk(admin.browser, *starts, f"{server.url}/portal/organizations/{organization_of(management)}")
    bad = admin.browser.click(admin.open("/portal/apps/new"), "Create app", name=attack, website_url=attack)
    assert bad.status == 422
    pages.append(bad)
    shown = 0
    for page in pages:
        assert foreign_markup(page.text) == [], page.url
        shown += any(html.escape(part) in page.text for part in ("alert(1)", "{{7*7}}", "&#60;b&#62;"))
    assert shown > 3, "the names were on those pages"
    management.delete(f"/apps/{world_id}", confirm=attack)
    shown_name = attack.replace("\u202e", "\ufffd")
    admin.browser.click(admin.open("/portal/account"), f"Revoke {shown_name}")


def admin_organization(server: Server, admin: Operator, name: str) -> str:
    page = admin.browser.click(admin.open("/portal/organizations"), "Create organization", name=name)
    return page.url.split("?")[0].rsplit("/", 1)[1]


def test_row_39_a_website_is_an_address_of_the_web(people, management):
    admin = people[ADMIN]
    for address in "javascript:alert(1)", "data:text/html,x", "//evil.example", "https://u:p@evil.example", " ", "x":
        page = admin.browser.click(admin.open("/portal/apps/new"), "Create app", name="x", website_url=address)
        assert page.status == 422 or address == " ", address
