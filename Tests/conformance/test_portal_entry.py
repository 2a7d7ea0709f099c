"""The ways into the Portal and out of it: setup address, passwords, sessions, and what other sites must not be able to do."""

import re
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from harness.browser import Browser
from harness.canaries import known_secrets
from harness.configured import ShiftedServer
from harness.management import Management
from harness.markup import foreign_markup
from harness.portal import (
    Operator,
    fresh_setup,
    invitation,
    invite,
    new_email,
    new_password,
    organization_of,
    session_of,
    set_up,
    setup_address,
    sign_in,
    sign_in_page,
    sign_in_to_portal,
    walk,
)
from harness.server import REPOSITORY, Server
from harness.wallet import enable_sign_in, sign_in_to_wallet, entrance
from harness.world import World

MINUTE = 1 / (24 * 60)
"""In days, as clocks are shifted."""
SIGN_IN = "/portal/sign-in"
APPS = "/portal/apps"


@pytest.fixture
def unowned(tmp_path):
    """A server that nobody runs yet, and its setup address."""
    server, address = fresh_setup(tmp_path)
    yield server, address
    server.kill()


@pytest.fixture
def shifted(tmp_path):
    """A server whose clock can be turned."""
    server = ShiftedServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def operator(management) -> Operator:
    return invite(management, "admin")


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory):
    """A server that believes what the tests say of a caller's address, so that they do not throttle each other."""
    server = Server(tmp_path_factory.mktemp("proxied"))
    server.start(trusted_proxies="127.0.0.1/32")
    yield server
    server.kill()


def is_signed_in(url: str, cookie: str) -> bool:
    """Whether this value of the session's cookie still opens the Portal."""
    answer = requests.get(url + APPS, cookies={"sallyport-portal": cookie}, allow_redirects=False, timeout=10)
    assert answer.status_code == 200 or answer.headers["Location"].startswith(SIGN_IN), answer.status_code
    return answer.status_code == 200


# The first operator


def test_the_setup_address_makes_one_operator_and_is_told_to_the_terminal_only(unowned):
    server, address = unowned
    late = Browser()
    opened_before = late.open(address)
    operator = set_up(address)
    [organization] = [link for link in operator.open("/portal/organizations").links if "/organizations/" in link]
    assert "You are an admin" in operator.open(organization).text

    for status in late.open(address).status, Browser().open(address).status:
        assert status == 404
    password = new_password()
    second = late.click(
        opened_before, "Create the account", email="second@example.test", password=password, password_again=password
    )
    assert second.status == 404
    token = address.rsplit("/", 1)[1].encode()
    places = [place for place, content in server.stored().items() if token in content]
    assert places == ["sallyport.out"], "it is in no log and in no database"
    server.restart()
    assert "/portal/setup/" not in server.printed()


def test_the_setup_address_dies_with_an_operator_made_by_the_command_line(unowned):
    server, address = unowned
    assert Browser().open(address).status == 200
    server.create_operator()
    assert Browser().open(address).status == 404


def test_the_setup_address_dies_after_half_an_hour(shifted):
    shifted.start()
    address = setup_address(shifted)
    for minutes, status in (29, 200), (31, 404):
        shifted.stop()
        shifted.set_clock(minutes * MINUTE)
        shifted.start()
        assert Browser().open(address).status == status, minutes
    assert Browser().open(setup_address(shifted)).status == 200, "a start without an operator prints a new one"


def test_a_wrong_setup_address_looks_like_one_that_is_over(unowned):
    server, address = unowned
    for wrong in address[:-1], address + "A", address[:-43] + "A" * 43:
        assert Browser().open(wrong).status == 404
    assert "/portal/setup/" not in Browser().open(server.url + SIGN_IN).text


@pytest.mark.parametrize(
    ("password", "again"),
    [("short", None), ("a" * 40, None), ("abababababababab", None), ("first@example.test", None), ("", None)]
    + [("correct horse battery staple", "correct horse battery stapler"), ("x" * 5000, None)],
)
def test_a_weak_or_mistyped_password_is_refused_and_not_written_back(unowned, password, again):
    _, address = unowned
    browser = Browser()
    page = browser.click(
        browser.open(address),
        "Create the account",
        email="first@example.test",
        password=password,
        password_again=password if again is None else again,
    )
    assert page.status == 422 and 'aria-invalid="true"' in page.text
    form = page.form_that_says("Create the account")
    assert form.fields["email"] == "first@example.test", "what was typed stays"
    assert form.fields["password"] == "" and form.fields["password_again"] == ""
    assert browser.open(address).status == 200, "the address still works"


# Signing in


def attempt(url: str, peer: str, email: str, password: str) -> requests.Response:
    """One sign-in of a caller at this address, from a page of its own."""
    browser = Browser(X_Forwarded_For=peer)
    form = browser.open(url + SIGN_IN).form_that_says("Sign in")
    return browser.send("POST", url + SIGN_IN, data={**form.fields, "email": email, "password": password})


def test_row_41_an_unknown_account_and_a_wrong_password_look_the_same(behind_proxy):
    management = Management(behind_proxy.url, behind_proxy.create_operator(new_email()).pat)
    known = invite(management, email=new_email())
    # An account of the command line has no password at all.
    without = new_email()
    behind_proxy.create_operator(without)
    seen: dict[str, list[tuple[int, str, float]]] = {"known": [], "unknown": [], "without": []}
    for number in range(3):
        emails = {"known": known.email, "unknown": new_email(), "without": without}
        for kind, email in emails.items():
            answer = attempt(behind_proxy.url, f"203.0.113.{number + 1}", email, new_password())
            text = re.sub(r'(name="csrf" value=)"[^"]+"', r"\1", answer.text.replace(email, "@"))
            seen[kind].append((answer.status_code, text, answer.elapsed.total_seconds()))
    assert {status for kind in seen.values() for status, _, _ in kind} == {401}
    assert len({text for kind in seen.values() for _, text, _ in kind}) == 1, "the same words"
    # Within a round: the load of the machine changes meanwhile.
    rounds = list(zip(*([seconds for _, _, seconds in found] for found in seen.values()), strict=True))
    assert statistics.median(max(times) / min(times) for times in rounds) < 1.5, rounds


def test_row_41_failures_of_one_address_are_throttled_without_locking_anybody_out(behind_proxy):
    url = behind_proxy.url
    management = Management(url, behind_proxy.create_operator(new_email()).pat)
    account, colleague = invite(management), invite(management)
    free, wait = 0, 0
    # The wait doubles with every failure; long enough to be seen, it is held against the right password.
    while wait < 4:
        answer = attempt(url, "203.0.113.9", account.email, new_password())
        if answer.status_code == 429:
            wait = int(answer.headers["Retry-After"])
            assert wait > 0
            time.sleep(wait if wait < 4 else 0)
        else:
            assert answer.status_code == 401
            free += wait == 0
    assert 5 <= free < 10, "five are free; the first waits are shorter than a slow machine takes for one password"
    refused = attempt(url, "203.0.113.9", account.email, account.password)
    assert refused.status_code == 429 and "Retry-After" in refused.headers and "Too many" in refused.text
    assert "-portal=" not in refused.headers.get("Set-Cookie", ""), "nobody is signed in"
    assert attempt(url, "203.0.113.9", colleague.email, colleague.password).status_code == 303
    assert attempt(url, "203.0.113.10", account.email, account.password).status_code == 303
    time.sleep(int(refused.headers["Retry-After"]) + 1)
    assert attempt(url, "203.0.113.9", account.email, account.password).status_code == 303


def test_row_40_a_forwarded_address_from_anybody_else_changes_no_throttle(server):
    email = new_email()
    statuses = [attempt(server.url, f"203.0.113.{n}", email, new_password()).status_code for n in range(1, 9)]
    assert statuses[:5] == [401] * 5 and 429 in statuses


# Sessions


def test_row_36_the_sessions_cookie_is_new_each_time_and_kept_from_scripts(server, operator):
    fixed = Browser()
    planted = secrets.token_urlsafe(32)
    fixed.cookies.set("sallyport-portal", planted, domain="127.0.0.1", path="/")
    form = fixed.open(server.url + SIGN_IN).form_that_says("Sign in")
    data = {**form.fields, "email": operator.email, "password": operator.password}
    answer = fixed.send("POST", server.url + SIGN_IN, data=data)
    assert answer.status_code == 303 and answer.headers["Location"] == APPS
    [flags] = [value for value in answer.raw.headers.getlist("Set-Cookie") if "-portal=" in value]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {flag.strip() for flag in flags.split(";")}
    assert "Domain" not in flags and "Max-Age" not in flags and "Expires" not in flags
    first = flags.split(";")[0].split("=", 1)[1]
    assert first != planted and is_signed_in(server.url, first) and not is_signed_in(server.url, planted)
    assert first != session_of(sign_in(server.url, operator.email, operator.password))


def test_row_36_over_https_the_name_of_the_cookie_itself_keeps_others_from_setting_it(new_server):
    new_server.start(public_url="https://vault.example.test")
    management = Management(new_server.url, new_server.create_operator().pat)
    opened = invitation(management)
    address = opened["invitation_url"].replace("https://vault.example.test", new_server.url)
    page = requests.get(address, timeout=10)
    assert page.headers["Strict-Transport-Security"]
    [browser] = page.raw.headers.getlist("Set-Cookie")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
    password = new_password()
    answer = requests.post(
        address,
        {"csrf": token, "password": password, "password_again": password},
        headers={"Cookie": browser.split(";")[0], "Origin": "https://vault.example.test"},
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code == 303, answer.text
    [session] = [value for value in answer.raw.headers.getlist("Set-Cookie") if "-portal=" in value]
    for cookie in browser, session:
        assert cookie.startswith("__Host-sallyport-")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {flag.strip() for flag in cookie.split(";")}
        assert "Domain" not in cookie
    value = session.split(";")[0].split("=", 1)[1]
    for name, status in ("__Host-sallyport-portal", 200), ("sallyport-portal", 303):
        cookie = {"Cookie": f"{name}={value}"}
        assert requests.get(new_server.url + APPS, headers=cookie, allow_redirects=False, timeout=10).status_code == status


def test_row_36_signing_out_ends_the_session_on_the_server(server, operator):
    other = operator.elsewhere()
    old = other.session
    page = other.browser.click(other.open(APPS), "Sign out")
    assert page.url == server.url + SIGN_IN and other.session == ""
    assert not is_signed_in(server.url, old)
    assert is_signed_in(server.url, operator.session), "the other session stands"


def test_a_session_ends_two_hours_after_its_last_page_and_after_half_a_day_in_any_case(shifted):
    shifted.start()
    operator = set_up(setup_address(shifted))
    idle = operator.elsewhere().session

    def at(minutes: float, cookie: str) -> bool:
        shifted.stop()
        shifted.set_clock(minutes * MINUTE)
        shifted.start()
        return is_signed_in(shifted.url, cookie)

    for minutes in 118, 236, 354, 472, 590, 708:
        assert at(minutes, operator.session), f"used every two hours, it lives at {minutes} minutes"
        if minutes == 236:
            assert not is_signed_in(shifted.url, idle), "unused for two hours, it has ended"
    assert not at(722, operator.session), "nothing lives longer than half a day"


def test_sessions_are_listed_and_one_is_ended_from_another(server, management):
    operator = invite(management)
    firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
    other = operator.elsewhere(User_Agent=firefox, X_Forwarded_For="198.51.100.7")
    page = operator.open("/portal/account")
    assert "Firefox on Windows" in page.text and "this one" in page.text
    assert "127.0.0.1" in page.text and "198.51.100.7" not in page.text, "a forwarded address is nobody's word"
    form = page.form_that_says("End the session of Firefox on Windows")

    stranger = invite(management)
    token = stranger.open("/portal/account").form_with_input("csrf").fields["csrf"]
    assert stranger.browser.send("POST", server.url + form.action, data={"csrf": token}).status_code == 404
    assert is_signed_in(server.url, other.session)

    page = operator.browser.submit(page, form)
    assert "The session has ended" in page.text and "Firefox on Windows" not in page.text
    assert not is_signed_in(server.url, other.session) and is_signed_in(server.url, operator.session)


def test_a_new_password_ends_the_other_sessions(server, management):
    operator = invite(management)
    other = operator.elsewhere()
    new = new_password()

    def change(current: str, password: str, again: str):
        page = operator.open("/portal/account")
        return operator.browser.click(
            page, "Change password", current_password=current, password=password, password_again=again
        )

    for current, password, again in ("wrong", new, new), (operator.password, "short", "short"), (operator.password, new, ""):
        assert change(current, password, again).status == 422
    assert is_signed_in(server.url, other.session)
    assert "Your password is changed" in change(operator.password, new, new).text
    assert is_signed_in(server.url, operator.session) and not is_signed_in(server.url, other.session)
    assert sign_in_page(server.url, operator.email, operator.password).status == 401
    sign_in(server.url, operator.email, new)


def test_who_sits_at_an_open_session_cannot_guess_the_password(server, management):
    operator = invite(management)
    answers = []
    for _ in range(7):
        page = operator.open("/portal/account")
        fields = {"current_password": new_password(), "password": new_password()}
        fields["password_again"] = fields["password"]
        answers.append(operator.browser.click(page, "Change password", **fields).status)
    assert answers[:5] == [422] * 5 and 429 in answers[5:], answers
    refusals = server.database.count("audit_records WHERE event = 'operator.password_change_refused'")
    assert refusals >= answers.count(422), "each is on record"


def test_a_forgotten_password_is_set_by_the_command_line_and_ends_every_session(server, management):
    operator = invite(management)
    new = new_password()

    def set_password(email: str, typed: str) -> int:
        return server.run("operator", "set-password", "--email", email, "--data-dir", str(server.data), typed=typed).returncode

    assert set_password(operator.email, "short\n") == 2 and set_password(new_email(), f"{new}\n") == 4
    assert is_signed_in(server.url, operator.session)
    assert set_password(operator.email.upper(), f"{new}\nnot the password\n") == 0
    assert not is_signed_in(server.url, operator.session)
    assert sign_in_page(server.url, operator.email, operator.password).status == 401
    sign_in(server.url, operator.email, new)


def test_the_command_line_makes_an_operator_with_a_password(server):
    email, password = new_email(), new_password()
    folder = "--data-dir", str(server.data)
    made = server.run("operator", "create", "--email", email, "--password-stdin", *folder, typed=f"{password}\n")
    assert made.returncode == 0 and password not in made.stdout + made.stderr
    sign_in(server.url, email, password)
    weak = server.run("operator", "create", "--email", new_email(), "--password-stdin", *folder, typed="short\n")
    assert weak.returncode != 0 and "12 characters" in weak.stderr


# Other sites (row 37)

PORTAL_POSTS = {
    "Make the first operator": "/portal/setup/{token}",
    "Sign in with a password": "/portal/sign-in",
    "Accept an invitation": "/portal/invitations/{token}",
    "Change the password": "/portal/account/password",
    "Add the identity provider's sign-in": "/portal/account/identity",
    "End a session": "/portal/account/sessions/{session_id}/end",
    "Create a personal access token": "/portal/account/tokens",
    "Revoke a token": "/portal/account/tokens/{token_id}/revoke",
    "Sign out": "/portal/sign-out",
    "Create an organization": "/portal/organizations",
    "Rename an organization": "/portal/organizations/{organization_id}",
    "Change or remove a member": "/portal/organizations/{organization_id}/members/{member_id}",
    "Invite somebody": "/portal/organizations/{organization_id}/invitations",
    "Revoke an invitation": "/portal/organizations/{organization_id}/invitations/{invitation_id}/revoke",
    "Create an app": "/portal/apps/new",
    "Change an app": "/portal/apps/{app_id}/settings",
    "Change how the pages of an app's users look": "/portal/apps/{app_id}/settings/branding",
    "Archive an app": "/portal/apps/{app_id}/settings/archive",
    "Bring an app back": "/portal/apps/{app_id}/settings/unarchive",
    "Delete an app and all it holds": "/portal/apps/{app_id}/settings/delete",
    "Look at an issuer; saves nothing": "/portal/apps/{app_id}/identity/discover",
    "Add the identity provider": "/portal/apps/{app_id}/identity",
    "Remove the identity provider": "/portal/apps/{app_id}/identity/remove",
    "Change the claim mappings": "/portal/apps/{app_id}/identity/claims",
    "Change the audience": "/portal/apps/{app_id}/identity/audience",
    "Save the client that signs users in": "/portal/apps/{app_id}/identity/sign-in",
    "Enable webhooks": "/portal/apps/{app_id}/identity/webhooks",
    "Replace the webhook secret": "/portal/apps/{app_id}/identity/webhooks/rotate",
    "Disable webhooks": "/portal/apps/{app_id}/identity/webhooks/disable",
    "Change what events do": "/portal/apps/{app_id}/identity/webhooks/events",
    "Apply a delivery again": "/portal/apps/{app_id}/identity/webhooks/deliveries/{delivery_id}/replay",
    "Create an API key, shown this once": "/portal/apps/{app_id}/keys/new",
    "Replace an API key, its successor shown this once": "/portal/apps/{app_id}/keys/{key_id}/rotate",
    "Revoke an API key": "/portal/apps/{app_id}/keys/{key_id}/revoke",
    "Set up a new custom OAuth provider": "/portal/apps/{app_id}/providers/custom",
    "Set up an OAuth provider": "/portal/apps/{app_id}/providers/{provider_id}/edit",
    "Remove an OAuth provider": "/portal/apps/{app_id}/providers/{provider_id}/delete",
    "Create a managed secret with an app-wide grant": "/portal/apps/{app_id}/secrets/new/{type}",
    "Replace the value of a managed secret": "/portal/apps/{app_id}/secrets/{secret_id}/value",
    "Delete a managed secret and its grants": "/portal/apps/{app_id}/secrets/{secret_id}/delete",
    "Suspend a user": "/portal/apps/{app_id}/users/{user_id}/suspend",
    "Restore a user": "/portal/apps/{app_id}/users/{user_id}/restore",
    "Deprovision a user": "/portal/apps/{app_id}/users/{user_id}/deprovision",
    "Revoke a grant": "/portal/apps/{app_id}/grants/{grant_id}/revoke",
    "Give a limited grant a new term, cut to what policies allow": "/portal/apps/{app_id}/grants/{grant_id}/extend",
    "Verify the trail of an app": "/portal/apps/{app_id}/audit/trail/verify",
    "Set how long records are kept": "/portal/apps/{app_id}/audit/trail/retention",
    "Send records to a webhook or a collector": "/portal/apps/{app_id}/audit/trail/streams",
    "Stop sending to a stream": "/portal/apps/{app_id}/audit/trail/streams/{stream_id}/delete",
    # One route of the sources, at three places: a provider's policy stands for all of them, as the check is one.
    "Set a policy": "/portal/apps/{app_id}/policies/{provider_id}",
    "Remove a policy": "/portal/apps/{app_id}/policies/{provider_id}/delete",
}
WALLET_POSTS = {
    "End a connection": "/wallet/connections/{grant_id}/revoke",
    "Let a connection last longer": "/wallet/connections/{grant_id}/extend",
    "Sign out, at the identity provider too": "/wallet/sign-out",
}
SOURCES = REPOSITORY / "Sources/VaultServer"
ROUTE = re.compile(r'Route\(\s*"(\w+)",.*?,\s*"([^"]+)"(?:,\s*status: \d+)?\s*\)\s*\{', re.DOTALL)


def written_posts(folder: str) -> Counter[str]:
    """What the sources say of their POST routes; pages know no other method that changes something."""
    found: Counter[str] = Counter()
    for path in sorted((SOURCES / folder).glob("*.swift")):
        text = path.read_text()
        routes = ROUTE.findall(text)
        assert len(routes) == len(re.findall(r'Route\(\s*"', text)), f"{path.name} writes a route in another way"
        assert {method for method, _ in routes} <= {"GET", "POST"}, path.name
        found.update(summary for method, summary in routes if method == "POST")
    return found


@dataclass
class Area:
    """Forms of one kind of session: whose browser it is, what its forms carry, and what those of another session do."""

    browser: Browser
    token: str
    foreign_token: str
    addresses: dict[str, str]

    def requests(self, url: str) -> Iterator[tuple[str, dict]]:
        """What another site could have the browser send."""
        right = {"csrf": self.token}
        evil = {"Origin": "https://evil.example"}
        yield "no token", {"data": {"name": "x"}}
        yield "an empty token", {"data": {"csrf": ""}}
        yield "a wrong token", {"data": {"csrf": "A" * 43}}
        yield "the token of another session", {"data": {"csrf": self.foreign_token}}
        yield "another origin", {"data": right, "headers": evil}
        yield "an origin that begins like ours", {"data": right, "headers": {"Origin": f"{url}.evil.example"}}
        yield "text", {"data": f"csrf={self.token}", "headers": {"Content-Type": "text/plain"}}
        yield "no type", {"data": f"csrf={self.token}", "headers": {"Content-Type": ""}}
        yield "JSON", {"json": right}
        file = {"logo": ("a.png", b"x", "image/png")}
        yield "a file", {"files": file}
        yield "a file with the token of another session", {"files": file, "data": {"csrf": self.foreign_token}}
        yield "a file from another origin", {"files": file, "data": right, "headers": evil}
        yield "the token in the address", {"data": {}, "params": right}
        yield "the token as a cookie", {"data": {}, "headers": {"Cookie2": f"csrf={self.token}"}}
        yield "the token in a header field", {"data": {}, "headers": {"X-CSRF-Token": self.token}}


def hold_against_other_sites(url: str, area: Area) -> None:
    for summary, address in area.addresses.items():
        # The address is that of the route: the table answers for a method that it has not.
        there = area.browser.send("DELETE", url + address, data={"csrf": area.token})
        assert there.status_code == 405 and "POST" in there.headers["Allow"], f"{summary}: no POST at {address}"
        for attack, options in area.requests(url):
            answer = area.browser.send("POST", url + address, **options)
            assert answer.status_code == 403, f"{summary}, {attack}: {answer.status_code}"
        override = {"X-HTTP-Method-Override": "POST", "X-HTTP-Method": "POST", "X-Method-Override": "POST"}
        form = {"csrf": area.token, "name": "overridden", "confirm": "x", "_method": "POST"}
        for options in {"params": form}, {"headers": override}, {"params": form, "data": form, "headers": override}:
            answer = area.browser.send("GET", url + address, **options)
            # Where there is a page at the same address, it is shown; nothing else is done.
            assert answer.status_code in (200, 303, 404, 405, 422), f"{summary} by GET: {answer.status_code}"
        for method in "PUT", "PATCH", "HEAD", "OPTIONS":
            answer = area.browser.send(method, url + address, data={"csrf": area.token, "_method": "POST"})
            assert answer.status_code in (403, 404, 405), f"{summary} by {method}: {answer.status_code}"


def csrf_of(page) -> str:
    return next(form.fields["csrf"] for form in page.forms if "csrf" in form.fields)


def test_row_37_the_lists_name_every_form_of_the_sources():
    for folder, listed in ("Portal", PORTAL_POSTS), ("Wallet", WALLET_POSTS):
        written, expected = written_posts(folder), Counter(listed.keys())
        assert (written - expected, expected - written) == (Counter(), Counter()), f"unlisted, and gone, in {folder}"


def test_row_37_every_form_of_the_portal_counts_only_from_its_own_session(server, management, world):
    victim, foreign = invite(management, "admin"), invite(management, "admin")
    other = victim.elsewhere()
    organization = organization_of(management)
    open_invitation = invitation(management)
    victims = Management(server.url, management.authorization.removeprefix("Bearer "))
    page = victim.browser.click(victim.open("/portal/account"), "Create token", name="kept", scopes=["read"])
    token_id = next(form for form in page.forms if "Revoke kept" in form.words).action.split("/")[-2]
    ended = next(form for form in page.forms if form.action.endswith("/end")).action.split("/")[-2]
    members = {member["email"]: member["operator_id"] for member in management.items(f"/organizations/{organization}/members")}
    known = {
        "app_id": world.app_id,
        "session_id": ended,
        "token_id": token_id,
        "organization_id": organization,
        "member_id": members[foreign.email],
        "invitation_id": open_invitation["id"],
        "grant_id": world.connect(world.jwt()).grant_id,
        "user_id": world.user()["id"],
        "key_id": management.items(f"{world.path}/keys")[0]["id"],
        "secret_id": world.add_secret("mail", "bearer", {"token": secrets.token_urlsafe(24)})["id"],
        "provider_id": "acme",
        "type": "bearer",
    }

    def filled(template: str) -> str:
        return re.sub(r"{(\w+)}", lambda name: known.get(name[1], "00000000-0000-4000-8000-000000000000"), template)

    entries = {summary for summary, path in PORTAL_POSTS.items() if path.endswith("{token}") or path == SIGN_IN}
    area = Area(
        victim.browser,
        csrf_of(victim.open("/portal/account")),
        csrf_of(foreign.open("/portal/account")),
        {summary: filled(path) for summary, path in PORTAL_POSTS.items() if summary not in entries},
    )
    before = victims.get(world.path), victims.items(f"/organizations/{organization}/members")
    hold_against_other_sites(server.url, area)
    assert before == (victims.get(world.path), victims.items(f"/organizations/{organization}/members"))
    assert is_signed_in(server.url, victim.session) and is_signed_in(server.url, other.session)
    assert "kept" in victim.open("/portal/account").text
    nobody = requests.post(server.url + filled("/portal/apps/{app_id}/settings"), {"csrf": area.token}, timeout=10)
    assert nobody.url == server.url + SIGN_IN

    # The ways in are bound to the browser that opened their page.
    token = open_invitation["invitation_url"].rsplit("/", 1)[1]
    visitor, stranger = Browser(), Browser()
    entrances = {summary: PORTAL_POSTS[summary].replace("{token}", token) for summary in entries}
    tokens = [csrf_of(browser.open(server.url + SIGN_IN)) for browser in (visitor, stranger)]
    hold_against_other_sites(server.url, Area(visitor, *tokens, entrances))
    data = {"csrf": tokens[0], "email": victim.email, "password": victim.password}
    assert requests.post(server.url + SIGN_IN, data, allow_redirects=False, timeout=10).status_code == 403
    assert visitor.send("POST", server.url + SIGN_IN, data=data).status_code == 303, "all of it right works"


def test_row_37_every_form_of_the_wallet_counts_only_from_its_own_session(server, world):
    enable_sign_in(world)
    grant = world.connect(world.jwt())
    browser, page = sign_in_to_wallet(world, "alice")
    other, others_page = sign_in_to_wallet(world, "bob")
    addresses = {summary: path.replace("{grant_id}", grant.grant_id) for summary, path in WALLET_POSTS.items()}
    hold_against_other_sites(server.url, Area(browser, csrf_of(page), csrf_of(others_page), addresses))
    assert browser.open(f"{server.url}/wallet/connections").url.endswith("/wallet/connections"), "still signed in"
    assert world.request(grant_id=grant.grant_id).status_code == 200


# What every page says to browsers (row 38)

POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def assert_guarded(headers, text: str, what: str) -> None:
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    targets = policy.pop("form-action", "'self'").split()
    assert targets[0] == "'self'" and "*" not in targets, what
    assert policy == POLICY, what
    assert "unsafe" not in headers["Content-Security-Policy"], what
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer", what
    assert headers["Cache-Control"] == "no-store", what
    assert "Access-Control-Allow-Origin" not in headers, what
    assert foreign_markup(text) == [], what


def test_row_38_no_page_can_be_framed_and_none_holds_a_script_of_its_own(server, management, world, operator):
    enable_sign_in(world)
    grant = world.connect(world.jwt())
    pages = list(walk(operator.browser, server.url + APPS, f"{server.url}/portal/apps/{world.app_id}"))
    wallet, _ = sign_in_to_wallet(world, "alice")
    pages += walk(wallet, f"{server.url}/wallet/connections")
    session = world.start_connect(world.jwt())
    visitor = Browser()
    for address in (
        *(f"{server.url}{SIGN_IN}", invitation(management)["invitation_url"], f"{server.url}/portal/setup/{'A' * 43}"),
        *(entrance(world), f"{server.url}/wallet/sign-in", f"{server.url}/wallet/sign-in?appId={grant.grant_id}"),
        *(session.connect_url, f"{server.url}/connect/{'A' * 43}", f"{server.url}/oauth/callback?state=x&code=y"),
        *(f"{server.url}/sdk/auth/callback?state=x", f"{server.url}/sign-in/{'A' * 43}"),
    ):
        pages.append(visitor.open(address))
    pages.append(operator.browser.open(f"{server.url}/portal/apps/{grant.grant_id}/settings"))
    assert len({page.url for page in pages}) > 15 and any(page.status == 404 for page in pages)
    for page in pages:
        assert "html" in page.headers["Content-Type"], page.url
        assert_guarded(page.headers, page.text, f"{page.url} ({page.status})")
    refused = operator.browser.send("POST", f"{server.url}/portal/apps/new", data={})
    assert_guarded(refused.headers, refused.text, "a refused form")


def test_answers_that_are_no_pages_cannot_be_framed_either(server, operator):
    assets = set(re.findall(r'(?:href|src)="(/assets/[^"]+)"', operator.open(APPS).text))
    assert len(assets) >= 2
    for path in (*assets, "/healthz", "/api/v1/apps", "/api/v1/openapi.json", "/nothing", "/portal/sign-out", "/portal"):
        headers = requests.get(server.url + path, allow_redirects=False, timeout=10).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path


# Where the sign-in leads (rows 34 and 35)

HOSTILE = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "https://evil.example/portal/apps",
    "http:/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "/portal/../..//evil.example",
    "/portal/..%2f..%2f%2fevil.example",
    "/portal/%2e%2e/%2f/evil.example",
    "/portal//evil.example",
    "/portal/\\evil.example",
    "/portal/\t/evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/portal/\r\nLocation: https://evil.example",
    "/portal/\r\nSet-Cookie: a=b",
    "@evil.example",
    "/portal/@evil.example",
    ".evil.example",
    ":80@evil.example",
    "/portal/apps?x=//evil.example",
    "/portal/apps#//evil.example",
    "/portal/..;/evil",
    "/PORTAL/apps",
    "/portalevil/apps",
    "/wallet/connections",
    "/connect/x",
    "/portal/apps/\u3002evil",
    "/portal/apps\u2028",
    "/portal/%00",
    "portal/apps",
    "",
    " ",
]


def test_rows_34_and_35_the_sign_in_leads_only_to_pages_of_the_portal(server, operator):
    visitor = Browser()
    for target in HOSTILE:
        shown = requests.Request("GET", server.url + SIGN_IN, params={"to": target}).prepare().url
        assert operator.browser.location_of(shown) == server.url + APPS, target
        assert visitor.open(shown).form_that_says("Sign in").fields["to"] == APPS, target
    repeated = f"{server.url}{SIGN_IN}?to=/portal/account&to=//evil.example"
    assert operator.browser.location_of(repeated).startswith(f"{server.url}/portal/")
    for target in HOSTILE[0], HOSTILE[2], HOSTILE[9], HOSTILE[17]:
        browser = Browser()
        form = browser.open(server.url + SIGN_IN).form_that_says("Sign in")
        data = {**form.fields, "to": target, "email": operator.email, "password": operator.password}
        answer = browser.send("POST", server.url + SIGN_IN, data=data)
        assert answer.headers["Location"] == APPS and "a=b" not in str(answer.headers), target


def test_a_visitor_is_led_through_the_sign_in_to_where_they_wanted_to_go(server, operator, world):
    browser = Browser()
    wanted = f"{server.url}/portal/apps/{world.app_id}/settings"
    page = browser.click(browser.open(wanted), "Sign in", email=operator.email, password=operator.password)
    assert page.url == wanted and page.status == 200


# Header fields that say who we are (row 40)


def test_row_40_no_header_field_changes_our_address(server, management, operator):
    lies = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Server": "evil.example",
        "X-Forwarded-Prefix": "/evil.example",
        "X-Forwarded-Uri": "/evil.example",
        "X-Original-URL": "/evil.example",
        "X-Rewrite-URL": "/evil.example",
        "Forwarded": "host=evil.example;proto=https",
    }
    # By hand, because a browser would keep the cookie to itself under another name.
    signed_in = {**lies, "Cookie": f"sallyport-portal={operator.session}"}
    assert requests.get(server.url + APPS, headers=signed_in, allow_redirects=False, timeout=10).status_code == 200
    for path in "/portal", "/portal/", SIGN_IN, APPS, "/portal/account", "/wallet", "/wallet/sign-in":
        for headers in lies, signed_in:
            answer = requests.get(server.url + path, headers=headers, allow_redirects=False, timeout=10)
            assert "evil.example" not in answer.text and "evil.example" not in str(answer.headers), path
            assert answer.headers.get("Location", "/").startswith("/"), path
            assert "Secure" not in answer.headers.get("Set-Cookie", ""), path
    body = {"email": new_email(), "role": "member"}
    address = f"{server.url}/api/v1/organizations/{organization_of(management)}/invitations"
    headers = {**lies, "Authorization": management.authorization}
    opened = requests.post(address, json=body, headers=headers, timeout=10).json()
    assert opened["invitation_url"].startswith(f"{server.url}/portal/invitations/")
    # Nor does the page's own origin follow the name that a request gives.
    data = {"csrf": csrf_of(operator.open(APPS)), "name": "evil"}
    as_evil = {**signed_in, "Origin": "http://evil.example"}
    answer = requests.post(f"{server.url}/portal/apps/new", data, headers=as_evil, allow_redirects=False, timeout=10)
    assert answer.status_code == 403


def test_the_harness_signs_in_without_a_token_of_an_operator_too(server):
    browser, email = sign_in_to_portal(server)
    assert email in browser.open(server.url + APPS).text


def test_no_password_and_no_session_is_readable_afterwards(server, operator):
    """The fixture of the server searches its files for everything that was noted; this holds that it was noted."""
    assert {operator.password, operator.session} <= known_secrets()
    assert Path(server.log).exists()
