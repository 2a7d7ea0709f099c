"""Every page of the Portal, the Wallet and Connect in Chromium: axe, the keyboard, a phone, light and dark."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import BrowserContext, Page

from harness import browser as scriptless
from harness.axe import LOOKS, violations
from harness.chromium import complaints_about, hand_over, profile
from harness.portal import invitation, new_password, shape, walk
from harness.stage import Stage, staged
from harness.wallet import entrance

DESKTOP = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}

STOPS = """() => {
    const all = document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']");
    const radios = new Set();
    return [...all].filter(each => {
        if (each.disabled || each.type === "hidden" || !each.checkVisibility() || each.tabIndex < 0) return false;
        // Of a group of radio buttons one is a stop.
        if (each.type === "radio" && radios.has(each.name)) return false;
        if (each.type === "radio") radios.add(each.name);
        return true;
    });
}"""
STOPS_MAX = 100
"""Of a long list of the same."""
WATCH = f"""most => {{
    window.stops = ({STOPS})().slice(0, most);
    window.reached = new Map();
    document.addEventListener("focusin", event => {{
        const look = getComputedStyle(event.target);
        const box = event.target.getBoundingClientRect();
        window.reached.set(event.target, {{
            outline: look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 1,
            inside: box.left >= 0 && box.right <= innerWidth + 1 && box.width > 0,
        }});
    }});
    return [window.stops.length, document.querySelectorAll("input[type^=date], input[type=time]").length];
}}"""
VERDICT = """() => {
    const named = each => each.outerHTML.slice(0, 160);
    const groups = new Set([...window.reached.keys()].filter(each => each.type === "radio").map(each => each.name));
    const missed = window.stops.filter(each => !window.reached.has(each) && !groups.has(each.name || null));
    return [
        ...missed.map(each => "Tab does not reach " + named(each)),
        ...[...window.reached].filter(([each, seen]) => !seen.outline && each.tabIndex >= 0)
            .map(([each]) => "no visible focus on " + named(each)),
    ];
}"""


@pytest.fixture(scope="module")
def stage(server, management) -> Iterator[Stage]:
    with staged(server, management) as stage:
        yield stage


@dataclass(frozen=True)
class Visit:
    """A page, and who looks at it."""

    person: scriptless.Browser
    url: str


def visits(stage: Stage) -> list[Visit]:
    url, portal, visitor = stage.world.server.url, stage.operator.browser, scriptless.Browser()
    starts = [f"{url}/portal/apps", url + stage.app_path, f"{url}{stage.app_path}/settings"]
    pages = list(walk(portal, *starts))
    assert [page.url for page in pages if page.status != 200] == [], "every link leads somewhere"
    found = [Visit(portal, page.url) for page in pages]
    # Empty lists, and users and grants in other states, have addresses of the same shape.
    lists = {each.url.removeprefix(url + stage.app_path) for each in found if stage.app_path in each.url}
    found += [Visit(portal, url + stage.empty_app_path + path) for path in sorted(lists) if path.count("/") < 2 and "?" not in path]
    app = url + stage.app_path
    found += [Visit(portal, f"{app}/users/{user['id']}") for user in stage.world.management.items(f"{stage.world.path}/users")]
    found.append(Visit(portal, f"{app}/providers/github/edit"))
    found += [Visit(stage.wallet, page.url) for page in walk(stage.wallet, f"{url}/wallet/connections")]
    found += [Visit(*page) for page in stage.connect_pages.values()]
    entrances = [f"{url}/portal/sign-in", entrance(stage.world), f"{url}/wallet/sign-in"]
    entrances += [invitation(stage.world.management)["invitation_url"], f"{url}/portal/setup/{'A' * 43}"]
    entrances += [f"{url}/sdk/auth/callback?state=x", f"{url}/oauth/callback?state=x&code=x"]
    found += [Visit(visitor, address) for address in entrances]
    # Once each: a link that both apps share is in the list twice.
    return list({(id(visit.person), visit.url): visit for visit in found}.values())


class Inspector:
    """One profile for each person, and what is wrong with the pages they see."""

    def __init__(self, chromium, url: str, **look) -> None:
        self._chromium, self._url, self._look = chromium, url, look
        self._pages: dict[int, tuple[Page, list[str]]] = {}
        self.problems: list[str] = []

    def page(self, person: scriptless.Browser) -> Page:
        if id(person) not in self._pages:
            context = profile(self._chromium, **self._look)
            hand_over(person, context, self._url)
            page = context.new_page()
            self._pages[id(person)] = page, complaints_about(page, self._url)
        return self._pages[id(person)][0]

    def look_at(self, person: scriptless.Browser, what: str, with_keyboard: bool = True) -> None:
        page, complaints = self._pages[id(person)]
        found, complaints[:] = list(complaints), []
        # What a page is made of does not change with its looks: the second look is at those alone.
        found += violations(page, None if with_keyboard else LOOKS)
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            wide = page.evaluate(
                "[...document.querySelectorAll('main *, header *')]"
                ".filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.table, pre'))"
                ".slice(0, 3).map(each => each.outerHTML.slice(0, 120))"
            )
            found.append(f"the page is {overflow} px wider than the window: {wide}")
        if with_keyboard:
            found += walk_by_keyboard(page)
        found += complaints
        complaints.clear()
        self.problems += [f"{what}: {problem}" for problem in found]

    def close(self) -> None:
        for page, _ in self._pages.values():
            page.context.close()


def walk_by_keyboard(page: Page) -> list[str]:
    page.evaluate("document.activeElement?.blur()")
    page.evaluate("getSelection().removeAllRanges()")
    stops, dates = page.evaluate(WATCH, STOPS_MAX)
    # A date has a stop for each of its parts.
    for _ in range(stops + 7 * dates + 2):
        page.keyboard.press("Tab")
    return page.evaluate(VERDICT)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("look", "with_keyboard"), [(DESKTOP, True), (PHONE, False)], ids=["light-desktop", "dark-phone"])
def test_every_page_can_be_used_by_everybody(stage, chromium, server, look, with_keyboard):
    inspector = Inspector(chromium, server.url, **look)
    seen = visits(stage)
    assert len({shape(visit.url) for visit in seen}) > 15, "the pages were found"
    for visit in seen:
        page = inspector.page(visit.person)
        page.goto(visit.url)
        inspector.look_at(visit.person, page.url, with_keyboard)
    inspector.close()
    assert inspector.problems == [], "\n".join(inspector.problems)


@pytest.fixture
def desk(stage, chromium, server) -> Iterator[tuple[Inspector, Page]]:
    inspector = Inspector(chromium, server.url, **DESKTOP)
    yield inspector, inspector.page(stage.operator.browser)
    inspector.close()


def test_the_answers_of_forms_can_be_used_by_everybody(stage, server, desk):
    inspector, page = desk
    person = stage.operator.browser

    def see(what: str) -> None:
        inspector.look_at(person, what)

    page.goto(f"{server.url}/portal/account")
    page.get_by_text("New token").click()
    page.get_by_label("Name", exact=True).fill("nightly job")
    page.get_by_role("button", name="Create token").click()
    page.get_by_label("Personal access token", exact=True).wait_for()
    see("a token that is shown once")
    page.get_by_label("Current password").fill("wrong")
    page.get_by_role("textbox", name="Password", exact=True).fill("short")
    page.get_by_label("Password again").fill("short")
    page.get_by_role("button", name="Change password").click()
    see("a refused password")
    page.goto(f"{server.url}/portal/apps/new")
    page.get_by_label("Name").fill("x" * 201)
    page.get_by_role("button", name="Create app").click()
    assert page.locator("[aria-invalid=true]").count() == 1
    described = page.locator("[aria-invalid=true]").get_attribute("aria-describedby").split()
    assert any(page.locator(f"#{name}").inner_text().startswith("Name") for name in described), "the reason is read out"
    see("a refused name")
    page.goto(f"{server.url}{stage.app_path}/settings")
    page.get_by_label("Type the app’s name").fill("not this")
    page.get_by_role("button", name="Delete this app for good").click()
    see("a refused deletion")
    page.goto(f"{server.url}/portal/apps/{'0' * 8}-0000-4000-8000-{'0' * 12}/settings")
    see("nothing here")
    assert inspector.problems == [], "\n".join(inspector.problems)


def test_a_refused_sign_in_can_be_used_by_everybody(chromium, server):
    inspector, visitor = Inspector(chromium, server.url, **PHONE), scriptless.Browser()
    page = inspector.page(visitor)
    page.goto(f"{server.url}/portal/sign-in")
    page.get_by_label("E-mail address").fill("nobody@example.test")
    page.get_by_role("textbox", name="Password").fill(new_password())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    inspector.look_at(visitor, "a refused sign-in")
    inspector.close()
    assert inspector.problems == [], "\n".join(inspector.problems)


def test_the_first_stop_of_the_keyboard_leads_past_the_navigation(stage, server, desk):
    _, page = desk
    for path in "/portal/apps", stage.app_path + "/settings", "/portal/account":
        page.goto(server.url + path)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").startswith("Skip")
        box = page.locator(":focus").bounding_box()
        assert box["x"] >= 0 and box["y"] >= 0, "it can be seen while it has the focus"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)"), path


def test_text_twice_as_large_still_fits(stage, chromium, server):
    """A window of 1280 px with 200 % text shows what one of 640 px does; 400 % is a window of 320 px (WCAG 1.4.10)."""
    with profile(chromium, viewport={"width": 320, "height": 640}) as context:
        hand_over(stage.operator.browser, context, server.url)
        page = context.new_page()
        for path in "/portal/apps", "/portal/account", "/portal/organizations", stage.app_path + "/settings":
            page.goto(server.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
