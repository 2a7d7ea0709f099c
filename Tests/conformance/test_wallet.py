"""The Wallet: a user signs in, sees what is connected, ends it, and signs out through the identity provider."""

import sqlite3
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from alter_sdk import GrantRevokedError

from harness.browser import Browser, Page
from harness.management import Management
from harness.sdk import wait
from harness.waiting import eventually
from harness.webhooks import Auth0Stream
from harness.world import PROVIDER, World


def ready_world(server, management, **options) -> World:
    world = World(server, management, **options)
    body = {"client_id": world.idp.client_id, "client_secret": world.idp.client_secret}
    management.put(f"{world.path}/identity-provider/sign-in", body)
    return world


@pytest.fixture
def ready(server, management):
    world = ready_world(server, management)
    yield world
    world.close()


def entrance(world: World) -> str:
    return f"{world.server.url}/wallet/sign-in?appId={world.app_id}"


def start(world: World) -> str:
    return f"{world.server.url}/wallet/sign-in/start?appId={world.app_id}"


def signed_in(world: World, browser: Browser | None = None) -> tuple[Browser, Page]:
    browser = browser or Browser()
    assert world.idp.host.split(":")[0] in browser.open(entrance(world)).text
    page = browser.open(start(world))
    assert page.status == 200 and "Signed in as" in page.text, page.text
    return browser, page


def cookie_value(browser: Browser) -> str:
    return next(cookie.value for cookie in browser.cookies if cookie.name.endswith("sallyport-wallet"))


def test_a_user_sees_and_ends_what_they_connected_and_nobody_elses(ready):
    world = ready
    grant = world.connect(world.jwt())
    other = world.connect(world.jwt("bob"), account="bob")
    browser, page = signed_in(world)
    assert "alice@corp.test" in page.text and "alice@provider.test" in page.text
    assert "bob" not in page.text and other.grant_id not in page.text
    page = browser.press(page, "revoke", grant.grant_id)
    assert "alice@provider.test" not in page.text
    with pytest.raises(GrantRevokedError):
        world.request(grant_id=grant.grant_id)
    eventually(lambda: world.oauth.revocations, "the provider is told")
    assert world.request(grant_id=other.grant_id).status_code == 200
    [record] = [r for r in world.audit(event="grant.revoked")]
    assert record["principal"] == {"type": "user", "user_id": world.user()["id"]}


def test_many_ended_connections_hide_no_live_one(ready):
    world = ready
    grant = world.connect(world.jwt())
    with closing(sqlite3.connect(world.server.data / "sallyport.db")) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(grants)")]
        changed = {"id": "lower(printf('00000000-0000-4000-8000-%012x', value))", "created_at": "1", "revoked_at": "2"}
        copied = ", ".join(changed.get(column, column) for column in columns)
        database.execute(
            f"INSERT INTO grants WITH RECURSIVE numbers(value) AS "
            f"(SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < 1100) "
            f"SELECT {copied} FROM grants, numbers WHERE grants.id = ?",
            (grant.grant_id,),
        )
    browser, page = signed_in(world)
    assert page.text.count("End this connection") == 1 and "alice@provider.test" in page.text
    assert "alice@provider.test" not in browser.press(page, "revoke", grant.grant_id).text


def test_row_37_a_form_counts_only_from_its_own_page_and_browser(ready):
    world = ready
    grant, other = world.connect(world.jwt()), world.connect(world.jwt("bob"), account="bob")
    browser, page = signed_in(world)
    form = page.form_with_button("revoke", grant.grant_id)
    address = f"{world.server.url}/wallet/connections/{grant.grant_id}/revoke"
    token = form.fields["csrf"]
    for data, headers in (
        ({}, {}),
        ({"csrf": "wrong"}, {}),
        ({"csrf": token}, {"Origin": "https://evil.example"}),
        ({"csrf": token}, {"Content-Type": "text/plain"}),
    ):
        assert browser.post(address, data, headers).status_code == 403
    stranger = requests.post(address, {"csrf": token}, allow_redirects=False, timeout=10)
    assert stranger.status_code == 303 and stranger.headers["Location"] == "/wallet/sign-in"
    bobs = f"{world.server.url}/wallet/connections/{other.grant_id}/revoke"
    assert browser.post(bobs, {"csrf": token}, {}).status_code == 404
    assert world.request(grant_id=grant.grant_id).status_code == 200
    assert world.request(grant_id=other.grant_id).status_code == 200


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
    assert "<script" not in page.text and "<img" not in page.text and "<b>Acme" not in page.text
    assert "works" in page.text and "never used" in page.text and "items:read" in page.text
    world.close()
