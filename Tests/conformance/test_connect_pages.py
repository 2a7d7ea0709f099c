"""The hosted Connect page as people and apps meet it: in a window, by redirects, without scripts, signed in or not."""

import html
import json
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from alter_sdk import ConnectDeniedError
from playwright.sync_api import expect, sync_playwright

from harness.app_site import AppSite
from harness.browser import Browser, Page, connect, decline
from harness.canaries import assert_silent, known_secrets
from harness.local_http import Answer
from harness.sdk import wait
from harness.world import PROVIDER, World

expect.set_options(timeout=15_000)

PROVIDER_BUTTON = "button[name=provider]"
GRANT_MEMBERS = {
    *("grant_id", "provider", "provider_name", "account_identifier"),
    *("timestamp", "operation", "scopes", "status"),
}


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(chromium):
    with chromium.new_context() as context:
        context.set_default_timeout(15_000)
        yield context


@pytest.fixture
def site(server):
    site = AppSite(server.url)
    yield site
    site.close()


@pytest.fixture
def other_site(server):
    site = AppSite(server.url)
    yield site
    site.close()


@pytest.fixture
def ready(world):
    """The users of this app can sign in in a browser."""
    client = {"client_id": world.idp.client_id, "client_secret": world.idp.client_secret}
    world.management.put(f"{world.path}/identity-provider/sign-in", client)
    return world


def begin(world: World, jwt: str | None = None, **options) -> dict:
    """A session as the app's server opens it."""
    body = {"allowed_providers": [PROVIDER], "user_token": jwt or world.jwt(), **options}
    answer = world.signer().send("POST", "/sdk/oauth/connect/session", body)
    assert answer.status == 200, answer.body
    return answer.json()


def poll(world: World, session: dict) -> dict:
    token = session["session_token"]
    return world.signer().send("POST", "/sdk/oauth/connect/session/poll", {"session_token": token}).json()


def grants(world: World) -> list[dict]:
    return world.management.items(f"{world.path}/grants")


def open_site(context, site: AppSite, session: dict):
    page = context.new_page()
    page.goto(f"{site.origin}/?token={session['session_token']}")
    return page


def open_popup(page):
    with page.expect_popup() as opened:
        page.click("#connect")
    return opened.value


def press(popup):
    """The window may close before a click that waits for its page is over."""
    popup.locator(PROVIDER_BUTTON).click(no_wait_after=True)


def told(page, name: str):
    """Waits for the widget to tell something, and answers what came with it."""
    page.wait_for_function("name => told.some((item) => item[0] === name)", arg=name)
    return page.evaluate("name => told.find((item) => item[0] === name)[1]", name)


def names_told(page) -> list[str]:
    return page.evaluate("told.map((item) => item[0])")


def data_of(page: Page, name: str) -> str:
    """An attribute of the page that ends a session, as its script reads it."""
    found = re.search(rf'data-{name}="([^"]*)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


# In a window of its own


def test_a_page_of_the_app_hears_what_was_connected_and_the_window_closes(world, context, site):
    session = begin(world, allowed_origin=site.origin + "/")
    known = known_secrets()
    page = open_site(context, site, session)
    popup = open_popup(page)
    assert page.evaluate("widget.isOpen()")
    press(popup)
    [grant] = told(page, "success")
    assert grant.keys() == GRANT_MEMBERS
    assert (grant["provider"], grant["account_identifier"]) == (PROVIDER, "alice@provider.test")
    assert (grant["operation"], grant["status"]) == ("creation", "active")
    assert sorted(grant["scopes"]) == ["items:read", "profile"] and grant["timestamp"].endswith("Z")
    assert_silent(json.dumps(page.evaluate("[told, heard]")).encode(), "the message to the app's page", known)
    page.wait_for_function("!widget.isOpen()")
    page.wait_for_timeout(1500)
    assert popup.is_closed()
    assert names_told(page) == ["event connect_opened", "bus connect_opened", "success", "bus success"]
    [polled] = poll(world, session)["grants"]
    assert polled["grant_id"] == grant["grant_id"] and "connected_at" not in polled
    again = begin(world, allowed_origin=site.origin)
    page = open_site(context, site, again)
    press(open_popup(page))
    [grant_again] = told(page, "success")
    assert (grant_again["grant_id"], grant_again["operation"]) == (grant["grant_id"], "reauth")


def test_declining_reaches_the_page_of_the_app_as_an_error_that_says_so(world, context, site):
    session = begin(world, allowed_origin=site.origin)
    page = open_site(context, site, session)
    open_popup(page).get_by_role("button", name="Don’t connect").click(no_wait_after=True)
    error = told(page, "error")
    assert error["code"] == "connect_denied" and error["message"]
    page.wait_for_timeout(1500)
    assert names_told(page)[2:] == ["error", "bus error"]


def test_a_failure_of_the_provider_reaches_the_page_of_the_app(world, context, site):
    world.oauth.token_failures.append(Answer.json({"error": "invalid_client"}, 401))
    page = open_site(context, site, begin(world, allowed_origin=site.origin))
    press(open_popup(page))
    assert told(page, "error")["code"] == "invalid_client"


def test_closing_the_window_is_an_exit_and_nothing_else(world, context, site):
    session = begin(world, allowed_origin=site.origin)
    page = open_site(context, site, session)
    popup = open_popup(page)
    popup.close()
    told(page, "exit")
    assert names_told(page)[2:] == ["exit", "bus exit"]
    assert not page.evaluate("widget.isOpen()")
    assert poll(world, session)["status"] == "pending"
    # The session is not used up: the same page opens it again.
    press(open_popup(page))
    assert len(told(page, "success")) == 1


def test_a_second_open_does_nothing_while_the_window_is_there(world, context, site):
    page = open_site(context, site, begin(world, allowed_origin=site.origin))
    popup = open_popup(page)
    page.click("#connect")
    page.wait_for_timeout(500)
    assert context.pages == [page, popup]
    assert names_told(page) == ["event connect_opened", "bus connect_opened"]


def test_the_script_itself_closes_without_an_exit_and_is_over_once_destroyed(world, context, site):
    page = open_site(context, site, begin(world, allowed_origin=site.origin))
    popup = open_popup(page)
    page.evaluate("widget.close()")
    page.wait_for_timeout(1800)
    assert popup.is_closed() and "exit" not in names_told(page)
    popup = open_popup(page)
    page.evaluate("widget.destroy()")
    page.wait_for_timeout(1800)
    assert popup.is_closed() and not page.evaluate("widget.isOpen()")
    refused = "call => { try { call(); return 'nothing'; } catch (error) { return error.code; } }"
    for call in "widget.open({ token })", "widget.close()", "widget.on('exit', () => {})", "widget.off('exit')":
        assert page.evaluate(f"({refused})(() => {call})") == "sdk_destroyed", call
    assert page.evaluate("(widget.destroy(), widget.getVersion())")
    for call in (
        "AlterConnect.create({ baseURL: 'https://evil.example' })",
        "AlterConnect.create().open()",
        "AlterConnect.create().open({ token: '' })",
        "AlterConnect.create().open({ token, onSuccess: 'no function' })",
    ):
        assert page.evaluate(f"({refused})(() => {call})") == "invalid_options", call


def test_handlers_that_were_taken_off_or_that_throw_stop_nothing(world, context, site):
    page = open_site(context, site, begin(world, allowed_origin=site.origin))
    page.evaluate(
        """() => {
            window.silent = () => told.push(["silent", null]);
            widget.on("success", silent);
            widget.off("success", silent);
            widget.on("connect_opened", () => { throw new Error("of the app's own"); });
            widget.on("success", note("last"));
        }"""
    )
    press(open_popup(page))
    told(page, "last")
    assert "silent" not in names_told(page)


def test_the_script_believes_no_message_but_that_of_the_vault_in_its_own_window(world, context, site):
    page = open_site(context, site, begin(world, allowed_origin=site.origin))
    open_popup(page)
    forged = {"type": "sallyport.connect", "status": "completed", "grants": [{"grant_id": "forged"}]}
    page.evaluate("forged => window.postMessage(forged, '*')", forged)
    # From the vault's origin, but from a window that this page did not open as Connect.
    with page.expect_popup() as opened:
        page.evaluate("url => { window.open(url); }", f"{world.server.url}/wallet/sign-in")
    opened.value.evaluate("forged => window.opener.postMessage(forged, '*')", forged)
    page.wait_for_function("heard.length === 2")
    assert names_told(page) == ["event connect_opened", "bus connect_opened"]
    assert page.evaluate("widget.isOpen()")


def test_a_page_of_another_origin_that_opened_the_window_hears_nothing(world, context, site, other_site):
    session = begin(world, allowed_origin=other_site.origin)
    page = open_site(context, site, session)
    with page.expect_popup() as opened:
        page.evaluate("url => { window.opened = window.open(url); }", session["connect_url"])
    press(opened.value)
    page.wait_for_function("opened.closed")
    page.wait_for_timeout(500)
    assert page.evaluate("heard") == []
    assert poll(world, session)["status"] == "completed"


def test_without_an_origin_nothing_is_posted_and_the_window_stays(world, context, site):
    page = open_site(context, site, begin(world))
    popup = open_popup(page)
    popup.locator(PROVIDER_BUTTON).click()
    expect(popup.get_by_role("heading", level=1)).to_have_text("Connected")
    page.wait_for_timeout(1500)
    assert not popup.is_closed() and page.evaluate("heard") == []


def test_the_origin_of_the_apps_own_site_is_taken_where_none_is_named(world, context, site):
    world.management.call("PATCH", world.path, {"website_url": f"{site.origin}/about"})
    page = open_site(context, site, begin(world))
    press(open_popup(page))
    assert len(told(page, "success")) == 1


# By redirects


@pytest.mark.parametrize("reason", ["a narrow screen", "a browser that opens no window"])
def test_where_there_is_no_window_the_page_itself_goes_and_comes_back(world, context, site, reason):
    way_back = site.url("/done?tab=accounts")
    page = open_site(context, site, begin(world, allowed_origin=site.origin, return_url=way_back))
    if reason == "a narrow screen":
        page.set_viewport_size({"width": 400, "height": 800})
    else:
        page.evaluate("window.open = () => null")
    page.click("#connect")
    page.locator(PROVIDER_BUTTON).click()
    page.wait_for_url(way_back)
    assert len(context.pages) == 1 and len(grants(world)) == 1


def test_declining_leads_back_too(world, context, site):
    session = begin(world, return_url=site.url("/done"))
    page = context.new_page()
    page.goto(session["connect_url"])
    page.get_by_role("button", name="Don’t connect").click()
    page.wait_for_url(site.url("/done"))
    assert poll(world, session)["error"]["error_code"] == "connect_denied"


# Without scripts


def test_without_scripts_the_page_says_how_it_ended_and_links_back(world, chromium, site):
    session = begin(world, allowed_origin=site.origin, return_url=site.url("/done"))
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(session["connect_url"])
        page.locator(PROVIDER_BUTTON).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Connected")
        expect(page.get_by_text("You can close this window")).to_be_visible()
        page.get_by_role("link", name="Back to the app").click()
        assert page.url == site.url("/done")
    assert len(poll(world, session)["grants"]) == 1


def test_the_page_says_in_words_what_is_asked_for_whom_and_how_it_ends(world):
    world.management.call("PATCH", world.path, {"name": "Atlas"})
    settings = {"client_id": "c", "client_secret": "s-for-github-only", "scopes": ["read:user", "repo"]}
    world.management.put(f"{world.path}/oauth-providers/github", settings)
    session = begin(world, allowed_providers=["github", PROVIDER])
    page = Browser().open(session["connect_url"])
    for words in (
        *("Atlas", "alice@corp.test", "GitHub", "See the person&#39;s profile", "Full control of repositories"),
        *("items:read", "stay encrypted in this vault", "every use is recorded"),
    ):
        assert words in page.text, words
    browser = Browser()
    page = browser.press(browser.open(session["connect_url"]), "decline", "github")
    assert "GitHub was declined" in page.text and page.form_with_button("provider", PROVIDER)
    assert not page.form_with_button("provider", "github")


@pytest.mark.parametrize(
    "error, advice",
    [
        ("invalid_scope", "trying again will not help"),
        ("temporarily_unavailable", "Wait a few minutes"),
        ("access_denied", "start again from"),
        ("<script>alert(1)</script>", "provider_error"),
    ],
)
def test_an_error_says_what_to_do_next(world, error, advice):
    session, browser = begin(world), Browser()
    page = browser.open(session["connect_url"])
    asked = parse_qs(urlsplit(browser.redirect_of(page, page.form_with_button("provider"), provider=PROVIDER)).query)
    said = urlencode({"error": error, "state": asked["state"][0]})
    page = browser.open(f"{world.server.url}/oauth/callback?{said}")
    assert page.status == 200 and "Nothing was connected" in page.text and advice in page.text
    assert "<script>" not in page.text


# What the addresses take


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "", "https://*.example.test", "https://app.example.test/path", "https://app.example.test/?"),
        *("https://app.example.test?a=b", "https://app.example.test#a", "https://u@app.example.test"),
        *("http://app.example.test", "//app.example.test", "javascript:alert(1)", "https://app.example.test//"),
        *("https://app.example.test\\@evil.example", "https://a.example.test,https://b.example.test"),
        *("https://app.example.test evil", " https://app.example.test", "ftp://app.example.test", "https://"),
    ],
)
def test_row_34_what_is_not_one_origin_is_refused(world, origin):
    body = {"allowed_providers": [PROVIDER], "allowed_origin": origin, "user_token": world.jwt()}
    answer = world.signer().send("POST", "/sdk/oauth/connect/session", body)
    assert (answer.status, answer.error) == (400, "invalid_origin"), answer.body


@pytest.mark.parametrize(
    "origin, stored",
    [
        ("https://app.example.test/", "https://app.example.test"),
        ("HTTPS://App.Example.Test:443", "https://app.example.test"),
        ("https://app.example.test:8443", "https://app.example.test:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
    ],
)
def test_row_34_an_origin_is_kept_as_browsers_write_it(world, origin, stored):
    page = decline(begin(world, allowed_origin=origin)["connect_url"])
    assert data_of(page, "allowed-origin") == stored


def test_row_34_nothing_in_an_address_changes_where_a_session_leads(world, site):
    session = begin(world, allowed_origin=site.origin, return_url=site.url("/done"))
    evil = "return_url=https://evil.example&allowed_origin=https://evil.example&redirect=//evil.example"
    browser = Browser()
    page = browser.press(browser.open(f"{session['connect_url']}?{evil}"), "decline")
    assert data_of(page, "return-url") == site.url("/done") and data_of(page, "allowed-origin") == site.origin
    assert "evil" not in browser.open(f"{session['connect_url']}?{evil}").text


def test_row_39_what_a_provider_says_of_an_account_stays_a_text(world):
    evil = "\"><img src=x onerror=alert(1)></div><script>alert('1')</script>"
    world.oauth.account = evil
    page = connect(begin(world, allowed_origin="https://app.example.test")["connect_url"], PROVIDER)
    assert "<img" not in page.text and "<script>" not in page.text
    [grant] = json.loads(data_of(page, "connect-outcome"))["grants"]
    assert grant["account_identifier"] == f"{evil}@provider.test"


def test_the_token_of_a_session_leads_to_its_page_and_is_no_page_itself(world):
    session, browser = begin(world), Browser()
    by_token = f"{world.server.url}/connect/{session['session_token']}"
    assert browser.location_of(by_token) == session["connect_url"]
    page = browser.open(by_token)
    assert page.url == session["connect_url"]
    form = {**page.form_with_button("provider").fields, "provider": PROVIDER}
    assert browser.post(by_token, form, {}).status_code in (403, 404)
    assert world.oauth.authorizations == []
    reference = session["connect_url"].rsplit("/", 1)[1]
    for token in reference, session["session_token"][:-2]:
        assert poll(world, {"session_token": token}) == {"status": "expired"}
    assert browser.open(f"{world.server.url}/connect/{session['session_token'][:-2]}").status == 404


def test_the_script_is_small_and_any_site_may_load_it(server):
    answer = requests.get(f"{server.url}/connect.js", timeout=10)
    assert answer.status_code == 200 and len(answer.content) < 5000
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "max-age" in answer.headers["Cache-Control"] and "Set-Cookie" not in answer.headers
    assert b"AlterConnect" in answer.content and b"'*'" not in answer.content and b'"*"' not in answer.content
    assert requests.get(f"{server.url}/connect.js/", timeout=10).status_code == 404


def test_row_38_no_page_of_connect_can_be_framed(ready, foreign_world):
    ended = begin(ready)["connect_url"]
    decline(ended)
    addresses = begin(ready)["connect_url"], ended, begin(foreign_world)["connect_url"], f"{ended}x"
    for address in addresses:
        policy = requests.get(address, timeout=10).headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "script-src 'self'" in policy


# Twice


def test_row_42_two_tabs_make_one_grant(world):
    session, browser = begin(world), Browser()
    pages = [browser.open(session["connect_url"]) for _ in range(2)]
    ways = [browser.redirect_of(page, page.form_with_button("provider"), provider=PROVIDER) for page in pages]
    callbacks = [browser.location_of(way) for way in ways]
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(browser.open, callbacks))
    assert all(end.status in (200, 400) for end in ends) and any("Connected" in end.text for end in ends)
    [grant] = grants(world)
    assert [told["grant_id"] for told in poll(world, session)["grants"]] == [grant["grant_id"]]
    assert "Connected" in browser.open(session["connect_url"]).text


def test_row_42_a_double_click_makes_one_grant(world, context):
    session = begin(world)
    page = context.new_page()
    page.goto(session["connect_url"])
    page.locator(PROVIDER_BUTTON).dblclick(no_wait_after=True)
    expect(page.get_by_role("heading", level=1)).to_have_text("Connected")
    assert len(grants(world)) == 1
    page.reload()
    assert len(grants(world)) == 1


# Who sits at the browser


def signed_in(browser: Browser, session: dict) -> Page:
    return browser.press(browser.open(session["connect_url"]), "sign-in")


def test_a_person_signs_in_at_the_apps_identity_provider_before_anything_is_asked_for(ready):
    session, browser = begin(ready), Browser()
    page = browser.open(session["connect_url"])
    form = page.form_with_button("sign-in")
    assert form and not page.form_with_button("provider") and "alice@corp.test" in page.text
    # By hand it is no way round.
    assert browser.submit(page, form, provider=PROVIDER).form_with_button("sign-in")
    assert ready.oauth.authorizations == []
    to_provider = browser.redirect_of(page, form, **{"sign-in": "yes"})
    asked = parse_qs(urlsplit(to_provider).query)
    assert to_provider.startswith(ready.idp.origin) and "prompt" not in asked
    assert asked["redirect_uri"] == [f"{ready.server.url}/wallet/api/auth/callback"]
    page = browser.open(to_provider)
    assert page.url == session["connect_url"] and "signed in as" in page.text
    page = browser.press(page, "provider", PROVIDER)
    assert "Connected" in page.text
    [grant] = poll(ready, session)["grants"]
    assert [g["grant_id"] for g in grants(ready)] == [grant["grant_id"]]


def test_somebody_else_is_named_attaches_nothing_and_can_hand_over(ready):
    session, browser = begin(ready), Browser()
    ready.idp.person = "idp|bob"
    page = signed_in(browser, session)
    assert "alice@corp.test" in page.text and "bob@corp.test" in page.text
    assert not page.form_with_button("provider") and page.form_with_button("sign-in", "again")
    browser.submit(page, page.form_with_button("sign-in"), provider=PROVIDER)
    assert ready.oauth.authorizations == [] and grants(ready) == []
    ready.idp.person = "idp|alice"
    again = browser.redirect_of(page, page.form_with_button("sign-in"), **{"sign-in": "again"})
    assert parse_qs(urlsplit(again).query)["prompt"] == ["login"]
    assert browser.press(browser.open(again), "provider", PROVIDER).status == 200
    assert len(grants(ready)) == 1


def test_a_sign_in_that_fails_attaches_nothing_and_can_be_tried_again(ready):
    session, browser = begin(ready), Browser()
    ready.idp.callback_changes = {"code": None, "error": "access_denied", "error_description": "<script>"}
    page = signed_in(browser, session)
    assert page.url == session["connect_url"] and "access_denied" in page.text and "<script>" not in page.text
    assert not page.form_with_button("provider") and grants(ready) == []
    ready.idp.callback_changes = {}
    assert browser.press(page, "sign-in", "again").form_with_button("provider")


def test_a_session_of_the_wallet_says_who_it_is_and_only_for_its_own_app(ready, foreign_world):
    browser = Browser()
    browser.open(f"{ready.server.url}/wallet/sign-in/start?appId={ready.app_id}")
    assert browser.open(begin(ready)["connect_url"]).form_with_button("provider")
    page = browser.open(begin(ready, ready.jwt("bob"))["connect_url"])
    assert "alice@corp.test" in page.text and "bob@corp.test" in page.text and not page.form_with_button("provider")
    client = {"client_id": foreign_world.idp.client_id, "client_secret": foreign_world.idp.client_secret}
    foreign_world.management.put(f"{foreign_world.path}/identity-provider/sign-in", client)
    page = browser.open(begin(foreign_world)["connect_url"])
    assert page.form_with_button("sign-in", "yes") and not page.form_with_button("provider")


def test_row_30_a_sign_in_counts_only_in_the_browser_and_for_the_session_it_was_made_for(ready):
    session, browser, stranger = begin(ready), Browser(), Browser()
    page = browser.open(session["connect_url"])
    back = browser.location_of(browser.redirect_of(page, page.form_with_button("sign-in"), **{"sign-in": "yes"}))
    assert stranger.open(back).status == 400
    assert browser.open(back).form_with_button("provider")
    assert browser.open(back).status == 400, "a state works once"
    assert not stranger.open(session["connect_url"]).form_with_button("provider")
    assert not browser.open(begin(ready)["connect_url"]).form_with_button("provider")


def test_row_30_who_signs_in_as_somebody_else_on_the_way_attaches_nothing(ready):
    session, browser = begin(ready), Browser()
    page = signed_in(browser, session)
    form = page.form_with_button("provider")
    callback = browser.location_of(browser.redirect_of(page, form, provider=PROVIDER))
    ready.idp.person = "idp|bob"
    assert "somebody else" in browser.submit(page, form, **{"sign-in": "again"}).text
    assert "somebody else" in browser.open(callback).text
    assert ready.oauth.token_requests == [] and grants(ready) == []
    assert poll(ready, session)["status"] == "pending"


def test_whoever_has_the_link_may_decline_but_learns_nothing_of_an_account(ready):
    session, browser = begin(ready), Browser()
    browser.press(signed_in(browser, session), "provider", PROVIDER)
    seen = Browser().open(session["connect_url"])
    [grant] = grants(ready)
    assert "This link was used" in seen.text
    assert grant["grant_id"] not in seen.text and "alice@provider.test" not in seen.text
    declined = begin(ready)
    assert "Nothing was connected" in decline(declined["connect_url"]).text
    assert poll(ready, declined)["error"]["error_code"] == "connect_denied"


@pytest.mark.parametrize("action", ["suspend", "deprovision"])
def test_who_is_suspended_or_gone_connects_nothing_with_an_earlier_sign_in(ready, action):
    session, browser = begin(ready), Browser()
    page = signed_in(browser, session)
    form = page.form_with_button("provider")
    ready.management.post(f"{ready.path}/users/{ready.user()['id']}/{action}", {"reason": "test"})
    page = browser.submit(page, form, provider=PROVIDER)
    assert "Nothing was connected" in page.text and "not active" in page.text
    assert ready.oauth.authorizations == [] and poll(ready, session)["status"] == "error"


def test_without_sign_in_the_page_names_the_person_and_one_click_confirms(world):
    session, browser = begin(world), Browser()
    page = browser.open(session["connect_url"])
    assert "alice@corp.test" in page.text and "If that is not you" in page.text
    assert not page.form_with_button("sign-in")
    assert "Connected" in browser.press(page, "provider", PROVIDER).text


def test_a_denied_window_is_a_denial_for_the_sdk_too(world):
    session = world.start_connect(world.jwt(), allowed_origin="https://app.example.test")
    decline(session.connect_url)
    with pytest.raises(ConnectDeniedError):
        world.outcome(session)


def test_what_was_connected_is_told_to_the_browser_that_did_it_and_to_no_other(world):
    session = wait(world.app.create_connect_session(allowed_providers=[PROVIDER], user_token=world.jwt()))
    browser = Browser()
    page = connect(session.connect_url, PROVIDER, browser)
    account = wait(world.app.poll_connect_session(session.session_token))[0].account_identifier
    assert "Connected" in page.text and account in html.unescape(page.text)
    for address in session.connect_url, f"{world.server.url}/connect/{session.session_token}":
        assert account in html.unescape(browser.open(address).text)
        stranger = Browser().open(address)
        assert account not in html.unescape(stranger.text) and "data-connect-outcome" not in stranger.text
