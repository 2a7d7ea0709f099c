"""Chromium as tests use it: started once, a new profile for each person, and what it finds wrong with our pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from . import browser as scriptless


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def hand_over(person: scriptless.Browser, context: BrowserContext, url: str) -> None:
    """Gives a profile the cookies of somebody who is signed in already."""
    context.add_cookies([{"name": cookie.name, "value": cookie.value, "url": url} for cookie in person.cookies])


def profile(browser: Browser, **options: Any) -> BrowserContext:
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    return context


def complaints_about(page: Page, origin: str) -> list[str]:
    """Grows with everything that the browser finds wrong with pages of this origin."""
    found: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # That a page answers 404 or 422 is told as well, and no fault of the page.
        is_status = message.text.startswith("Failed to load resource") and message.location["url"] == page.url
        if message.type in ("error", "warning") and message.location["url"].startswith(origin) and not is_status:
            found.append(message.text)

    def leave_out(route: Any) -> None:
        if page.url.startswith(origin):
            found.append(f"{page.url} asks for {route.request.url}")
        route.abort()

    page.on("console", listen)
    # A broken script of a provider's page is its own affair.
    page.on("pageerror", lambda error: found.append(str(error)) if page.url.startswith(origin) else None)
    page.route(lambda url: not url.startswith("http://127.0.0.1:"), leave_out)
    return found
