"""The Wallet: a user signs in, sees what is connected, extends and ends it, and signs out through the identity provider."""

import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from alter_sdk import GrantRevokedError

from harness.browser import Browser
from harness.management import Management
from harness.sdk import wait
from harness.waiting import eventually
from harness.wallet import cookie_value, end, ended, entrance, live, ready_world, signed_in, start
from harness.webhooks import Auth0Stream
from harness.world import PROVIDER, World


@pytest.fixture
def ready(server, management):
    world = ready_world(server, management)
    yield world
    world.close()


def test_a_user_sees_and_ends_what_they_connected_and_nobody_elses(ready):
    world = ready
    grant = world.connect(world.jwt())
    other = world.connect(world.jwt("bob"), account="bob")
    browser, page = signed_in(world)
    assert "alice@corp.test" in page.text and "alice@provider.test" in page.text
    assert "bob@" not in page.text and other.grant_id not in page.text
    asked = browser.open(f"{world.server.url}/wallet/connections/{grant.grant_id}/revoke")
    assert "alice@provider.test" in asked.text and "cannot undo" in asked.text and "/wallet/connections\"" in asked.text
    assert world.request(grant_id=grant.grant_id).status_code == 200, "asking alone ends nothing"
    page = end(browser, page, grant.grant_id)
    assert "alice@provider.test" not in live(page) and "alice@provider.test" in ended(page)
    assert page.form_with_button("revoke") is None and f"/{grant.grant_id}/revoke" not in page.text
    gone = browser.open(f"{world.server.url}/wallet/connections/{grant.grant_id}/revoke")
    assert gone.status == 404 and "Signed in as" in gone.text, "a page of the Wallet says what is wrong"
    with pytest.raises(GrantRevokedError):
        world.request(grant_id=grant.grant_id)
    eventually(lambda: world.oauth.revocations, "the provider is told")
    assert world.request(grant_id=other.grant_id).status_code == 200
    [record] = [r for r in world.audit(event="grant.revoked")]
    assert record["principal"] == {"type": "user", "user_id": world.user()["id"]}


def test_many_ended_connections_hide_no_live_one(ready):
    world = ready
    grant = world.connect(world.jwt())
    [row] = world.server.database.rows("SELECT * FROM grants WHERE id = ?", grant.grant_id)
    past = {**row, "created_at": 1, "revoked_at": 2}
    world.server.database.insert("grants", ({**past, "id": f"00000000-0000-4000-8000-{n:012x}"} for n in range(1100)))
    browser, page = signed_in(world)
    assert live(page).count(">End this connection</a>") == 1 and "alice@provider.test" in live(page)
    assert ended(page).count("<li>") == 50, "of what has ended, the latest"
    page = end(browser, page, grant.grant_id)
    assert "alice@provider.test" not in live(page)


def test_row_37_a_form_counts_only_from_its_own_page_and_browser(ready):
    world = ready
    set_term(world, default_seconds=3600, max_seconds=86_400)
    grant, other = world.connect(world.jwt()), world.connect(world.jwt("bob"), account="bob")
    browser, page = signed_in(world)
    token = page.form_with_button("extend", grant.grant_id).fields["csrf"]
    connections = f"{world.server.url}/wallet/connections"
    ends = world.management.get(f"{world.path}/grants/{grant.grant_id}")["grant_expires_at"]
    for address in (
        f"{connections}/{grant.grant_id}/revoke",
        f"{connections}/{grant.grant_id}/extend",
        f"{world.server.url}/wallet/sign-out",
    ):
        for data, headers in (
            ({}, {}),
            ({"csrf": "wrong"}, {}),
            ({"csrf": token}, {"Origin": "https://evil.example"}),
            ({"csrf": token}, {"Content-Type": "text/plain"}),
        ):
            refused = browser.post(address, data, headers)
            assert refused.status_code == 403 and "Back to your connections" in refused.text
        stranger = requests.post(address, {"csrf": token}, allow_redirects=False, timeout=10)
        assert stranger.status_code == 303 and stranger.headers["Location"] == "/wallet/sign-in"
    for action in ("revoke", "extend"):
        bobs = f"{connections}/{other.grant_id}/{action}"
        assert browser.post(bobs, {"csrf": token}, {}).status_code == 404
    assert browser.open(f"{connections}/{other.grant_id}/revoke").status == 404
    assert "Signed in as" in browser.open(connections).text, "the session goes on"
    assert world.management.get(f"{world.path}/grants/{grant.grant_id}")["grant_expires_at"] == ends
    assert world.request(grant_id=grant.grant_id).status_code == 200
    assert world.request(grant_id=other.grant_id).status_code == 200


def set_term(world: World, **term: int) -> None:
    world.management.put(f"{world.path}/policies/{PROVIDER}", {"grant_ttl": term})


def seconds_left(world: World, grant_id: str) -> float:
    end = datetime.fromisoformat(world.management.get(f"{world.path}/grants/{grant_id}")["grant_expires_at"])
    return (end - datetime.now(UTC)).total_seconds()


def test_a_limited_connection_tells_its_time_and_is_extended_up_to_the_maximum_and_no_further(ready):
    world = ready
    set_term(world, default_seconds=3600, max_seconds=3 * 86_400)
    grant = world.connect(world.jwt())
    browser, page = signed_in(world)
    assert re.search(r"ends <time [^>]*>in (1 hour|60 minutes)</time>", live(page)), live(page)
    page = browser.press(page, "extend", grant.grant_id)
    assert re.search(r"ends <time [^>]*>in 3 days</time>", live(page)), live(page)
    assert 3 * 86_400 - 60 < seconds_left(world, grant.grant_id) <= 3 * 86_400
    assert page.form_with_button("extend") is None, "there is nothing to add"
    [record] = world.audit(event="grant.extended")
    assert record["principal"] == {"type": "user", "user_id": world.user()["id"]}
    assert record["grant_id"] == grant.grant_id and record["user_id"] == world.user()["id"]
    # Again, by hand: nothing is gained, and nothing is recorded.
    csrf = page.form_with_button("sign-out").fields["csrf"]
    address = f"{world.server.url}/wallet/connections/{grant.grant_id}/extend"
    assert browser.post(address, {"csrf": csrf}, {}).status_code == 303
    assert len(world.audit(event="grant.extended")) == 1
    # A shorter maximum cuts at once, and is the most that can be had from then on.
    set_term(world, max_seconds=7200)
    page = browser.open(f"{world.server.url}/wallet/connections")
    assert "in 2 hours" in live(page) and page.form_with_button("extend") is None


def test_only_a_maximum_makes_a_connection_extensible_and_only_while_it_works(ready):
    world = ready
    set_term(world, default_seconds=3600)
    grant = world.connect(world.jwt())
    browser, page = signed_in(world)
    assert "ends <time" in live(page) and page.form_with_button("extend") is None
    csrf = page.form_with_button("sign-out").fields["csrf"]
    address = f"{world.server.url}/wallet/connections/{grant.grant_id}/extend"
    assert browser.post(address, {"csrf": csrf}, {}).status_code == 409
    set_term(world, default_seconds=3600, max_seconds=86_400)
    assert browser.open(f"{world.server.url}/wallet/connections").form_with_button("extend", grant.grant_id)
    end(browser, page, grant.grant_id)
    assert browser.post(address, {"csrf": csrf}, {}).status_code == 404
    assert world.audit(event="grant.extended") == []


def test_what_has_expired_can_be_ended_but_not_extended(ready):
    world = ready
    set_term(world, default_seconds=1, max_seconds=86_400)
    grant = world.connect(world.jwt())
    eventually(lambda: seconds_left(world, grant.grant_id) < 0, "the term is over")
    browser, page = signed_in(world)
    assert "alice@provider.test" not in live(page) and "expired" in ended(page)
    csrf = page.form_with_button("sign-out").fields["csrf"]
    address = f"{world.server.url}/wallet/connections/{grant.grant_id}/extend"
    assert browser.post(address, {"csrf": csrf}, {}).status_code == 404
    page = end(browser, page, grant.grant_id)
    assert world.management.get(f"{world.path}/grants/{grant.grant_id}")["status"] == "revoked"


def test_row_36_the_session_is_new_with_every_sign_in_and_its_cookie_is_kept_from_scripts(ready):
    world = ready
    browser, _ = signed_in(world)
    first = cookie_value(browser)
    browser, _ = signed_in(world, browser)
    second = cookie_value(browser)
    assert first != second
    raw = requests.Session()
    raw.get(start(world), timeout=10)
    fixed = requests.get(
        f"{world.server.url}/wallet/connections",
        cookies={"sallyport-wallet": "A" * 43},
        allow_redirects=False,
        timeout=10,
    )
    assert fixed.headers["Location"] == "/wallet/sign-in"
    callback = next(r for r in raw.get(start(world), timeout=10).history if "auth/callback" in r.url)
    flags = callback.headers["Set-Cookie"]
    assert "HttpOnly" in flags and "SameSite=Lax" in flags and "Path=/" in flags and "code=" not in flags


def test_row_36_over_https_the_name_of_the_cookie_itself_keeps_others_from_setting_it(new_server):
    new_server.start(public_url="https://vault.example.test")
    management = Management(new_server.url, new_server.create_operator().pat)
    world = ready_world(new_server, management)

    def step(url: str, cookies: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Where a page leads and the cookies it sets, with a server in front that ends TLS."""
        local = url.replace("https://vault.example.test", new_server.url)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
        answer = requests.get(local, headers=headers, allow_redirects=False, timeout=10)
        set_cookies = answer.raw.headers.getlist("Set-Cookie")
        for cookie in set_cookies:
            assert cookie.startswith("__Host-sallyport-"), cookie
            flags = {flag.strip() for flag in cookie.split(";")[1:]}
            assert flags >= {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
            assert not any(flag.startswith("Domain") for flag in flags)
        return answer.headers["Location"], dict(cookie.split(";")[0].split("=", 1) for cookie in set_cookies)

    to_provider, browser = step(start(world), {})
    back, _ = step(to_provider, {})
    assert back.startswith("https://vault.example.test/wallet/api/auth/callback?")
    location, session = step(back, browser)
    assert location.endswith("/wallet/connections")
    page = requests.get(
        f"{new_server.url}/wallet/connections",
        headers={"Cookie": "; ".join(f"{name}={value}" for name, value in session.items())},
        timeout=10,
    )
    assert "Signed in as" in page.text
    renamed = {name.removeprefix("__Host-"): value for name, value in session.items()}
    assert step(f"{new_server.url}/wallet/connections", renamed)[0] == "/wallet/sign-in"
    world.close()


def test_row_35_signing_out_ends_both_sessions_and_leads_back_to_the_same_apps_page(server, management):
    world = World(server, management)
    management.delete(f"{world.path}/identity-provider")
    world.idp.has_logout = True
    management.post(f"{world.path}/identity-provider", {"issuer_url": world.idp.issuer})
    body = {"client_id": world.idp.client_id, "client_secret": world.idp.client_secret}
    management.put(f"{world.path}/identity-provider/sign-in", body)
    browser, page = signed_in(world)
    old = cookie_value(browser)
    form = page.form_with_button("sign-out", "yes")
    location = browser.redirect_of(page, form)
    asked = parse_qs(urlsplit(location).query)
    assert asked.keys() == {"client_id", "post_logout_redirect_uri", "state"}, "no ID token travels in the address"
    assert asked["post_logout_redirect_uri"] == [f"{server.url}/wallet/sign-in"], "the bare address, as it is registered"
    back = browser.open(location)
    app_name = management.get(world.path)["name"]
    assert back.url.startswith(f"{server.url}/wallet/sign-in?state=") and app_name in back.text
    assert app_name in browser.open(back.url).text, "loading again works"
    gone = requests.get(
        f"{server.url}/wallet/connections", cookies={"sallyport-wallet": old}, allow_redirects=False, timeout=10
    )
    assert gone.status_code == 303
    # Another account can sign in.
    world.idp.person = "idp|bob"
    assert "bob@corp.test" in browser.open(start(world)).text
    forged = asked["state"][0].replace(world.app_id, "00000000-0000-4000-8000-000000000000")
    assert app_name not in requests.get(f"{server.url}/wallet/sign-in?state={forged}", timeout=10).text
    world.close()


def test_auth0_without_a_logout_endpoint_is_left_by_its_own_address(server, management):
    world = ready_world(server, management, idp_type="auth0")
    browser, page = signed_in(world)
    location = browser.redirect_of(page, page.form_with_button("sign-out", "yes"))
    parts = urlsplit(location)
    assert (parts.path, parse_qs(parts.query)) == (
        "/v2/logout",
        {"client_id": [world.idp.client_id], "returnTo": [f"{server.url}/wallet/sign-in"]},
    )
    assert management.get(world.path)["name"] in browser.open(f"{server.url}/wallet/sign-in").text
    world.close()


def test_a_provider_without_any_logout_is_asked_for_the_account_again(ready):
    world = ready
    browser, page = signed_in(world)
    location = browser.redirect_of(page, page.form_with_button("sign-out", "yes"))
    assert location == f"{entrance(world)}&again=1"
    assert "again=1" in browser.open(location).text
    browser, page = signed_in(world)
    form = page.form_with_button("switch", "yes")
    switched = browser.redirect_of(page, form, switch="yes")
    assert switched == start(world) + "&again=1", "another account is asked for without a page between"
    assert browser.open(f"{world.server.url}/wallet/connections").url.endswith("/wallet/sign-in")
    to_provider = browser.location_of(start(world) + "&again=1")
    assert parse_qs(urlsplit(to_provider).query)["prompt"] == ["login"]


def test_the_page_of_another_app_ends_no_session_and_an_unknown_one_tells_nothing(ready, foreign_world):
    browser, _ = signed_in(ready)
    browser.open(f"{ready.server.url}/wallet/sign-in?appId={foreign_world.app_id}")
    assert "Signed in as" in browser.open(f"{ready.server.url}/wallet/connections").text
    unknown = [
        requests.get(f"{ready.server.url}/wallet/sign-in?appId={app}", timeout=10)
        for app in ("00000000-0000-4000-8000-000000000000", "nonsense", "A" * 500, "%3Cscript%3E")
    ]
    assert {answer.status_code for answer in unknown} == {404} and len({answer.text for answer in unknown}) == 1
    assert "has not set up sign-in" in requests.get(
        f"{ready.server.url}/wallet/sign-in?appId={foreign_world.app_id}", timeout=10
    ).text


@pytest.mark.parametrize("ending", ["suspend", "deprovision", "webhook", "provider", "archive"])
def test_a_session_ends_with_what_it_stands_on(server, management, ending):
    world = ready_world(server, management, idp_type="auth0")
    stream = Auth0Stream(world)
    browser, _ = signed_in(world)
    user = f"{world.path}/users/{world.user()['id']}"
    match ending:
        case "webhook":
            stream.end_user()
        case "provider":
            management.delete(f"{world.path}/identity-provider")
        case "archive":
            management.post(f"{world.path}/archive")
        case action:
            management.post(f"{user}/{action}", {"reason": "test"})
    page = browser.open(f"{server.url}/wallet/connections")
    assert "Signed in as" not in page.text and page.url.endswith("/wallet/sign-in")
    if ending in ("suspend", "deprovision", "webhook"):
        assert "Signed in as" not in browser.open(start(world)).text
        management.post(f"{user}/restore", {"reason": "back"})
        assert "Signed in as" not in browser.open(f"{server.url}/wallet/connections").text, "an old session came back"
    world.close()


def test_row_43_the_same_subject_at_another_app_sees_nothing_of_it(ready, server, management):
    ready.connect(ready.jwt())
    other = ready_world(server, management)
    assert other.subject() == ready.subject()
    _, page = signed_in(other)
    assert "alice@provider.test" not in page.text and "You have not connected any account" in page.text
    other.close()


def test_the_wallets_and_the_sdks_way_back_cannot_be_exchanged(ready):
    browser = requests.Session()
    to_provider = browser.get(start(ready), allow_redirects=False, timeout=10).headers["Location"]
    back = browser.get(to_provider, allow_redirects=False, timeout=10).headers["Location"]
    assert "/wallet/api/auth/callback" in back
    assert browser.get(back.replace("/wallet/api/auth/callback", "/sdk/auth/callback"), timeout=10).status_code == 400
    session = wait(ready.app.create_auth_session())
    to_provider = browser.get(session.auth_url, allow_redirects=False, timeout=10).headers["Location"]
    back = browser.get(to_provider, allow_redirects=False, timeout=10).headers["Location"]
    assert browser.get(back.replace("/sdk/auth/callback", "/wallet/api/auth/callback"), timeout=10).status_code == 400


def test_names_are_escaped_and_a_connection_is_told_in_words(server, management):
    world = ready_world(server, management)
    management.call("PATCH", world.path, {"name": "<img src=x>"})
    world.idp.id_token_claims = {"email": "<script>alert(1)</script>@corp.test"}
    world.oauth.account = "alice"
    world.connect(world.jwt())
    world.register(PROVIDER, world.oauth, display_name="<b>Acme</b>")
    _, page = signed_in(world)
    assert "<script>" not in page.text and "<img" not in page.text and "<b>Acme" not in page.text
    assert "&lt;img src=x&gt;" in page.text and "&lt;b&gt;Acme&lt;/b&gt;" in page.text
    assert "works" in page.text and "never used" in page.text and "items:read" in page.text
    browser = Browser()
    signed_in(world, browser)
    [grant] = world.management.items(f"{world.path}/grants")
    for address in (f"/wallet/connections/{grant['grant_id']}/revoke", "/wallet/activity", "/wallet/activity?kind=%3Cb%3E"):
        told = browser.open(world.server.url + address).text
        assert "<script>" not in told and "<img" not in told and "<b>" not in told
    world.close()


def test_an_empty_wallet_says_what_comes_next_and_a_card_names_the_permissions(ready):
    world = ready
    management = world.management
    management.call("PATCH", world.path, {"website_url": "https://atlas.example/start"})
    browser, page = signed_in(world)
    assert "You have not connected any account" in page.text
    assert 'href="https://atlas.example/start"' in page.text
    world.connect(world.jwt())
    world.request_as(world.jwt())
    page = browser.open(f"{world.server.url}/wallet/connections")
    for told in ("alice@provider.test", "items:read", "Connected", "Last used", "just now", "works"):
        assert told in live(page), told
    assert "Time left" not in live(page), "without an end there is none"


def test_a_connection_that_the_provider_ended_asks_to_be_connected_again(ready):
    world = ready
    grant = world.connect(world.jwt())
    world.server.database.change("UPDATE credentials SET died_at = 1")
    _, page = signed_in(world)
    assert "has to be connected again" in live(page) and f"/{grant.grant_id}/revoke" in live(page)


def test_row_38_no_page_of_the_wallet_can_be_framed_or_runs_what_is_written_into_it(ready):
    world = ready
    grant = world.connect(world.jwt())
    browser, _ = signed_in(world)
    for path in ("/wallet/connections", f"/wallet/connections/{grant.grant_id}/revoke", "/wallet/activity", "/wallet/no"):
        answer = requests.get(world.server.url + path, cookies=browser.cookies.get_dict(), timeout=10)
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "default-src 'none'" in policy
        assert "no-store" in answer.headers["Cache-Control"] and answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<style|style=|<script>|\son[a-z]+=", answer.text)
