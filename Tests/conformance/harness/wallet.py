"""The Wallet as a person uses it: signing in, looking at the cards, ending a connection in two steps."""

from typing import Any
from urllib.parse import urljoin

from .browser import Browser, Page
from .management import Management
from .server import Server
from .world import World


def ready_world(server: Server, management: Management, **options: Any) -> World:
    """A world whose users can sign in to the Wallet."""
    world = World(server, management, **options)
    enable_sign_in(world)
    return world


def enable_sign_in(world: World) -> None:
    body = {"client_id": world.idp.client_id, "client_secret": world.idp.client_secret}
    world.management.put(f"{world.path}/identity-provider/sign-in", body)


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


def sign_in_to_wallet(world: World, name: str) -> tuple[Browser, Page]:
    """As somebody whom the identity provider knows."""
    world.idp.person = world.subject(name)
    return signed_in(world)


def live(page: Page) -> str:
    """The part of the page about connections that have not ended."""
    return page.text.split("<details class=\"wallet-past\"")[0]


def ended(page: Page) -> str:
    return page.text.removeprefix(live(page))


def end(browser: Browser, page: Page, grant_id: str) -> Page:
    """Both steps: the link on the card, and the button of the page that asks."""
    address = f"/wallet/connections/{grant_id}/revoke"
    assert f'href="{address}"' in page.text
    return browser.press(browser.open(urljoin(page.url, address)), "revoke", grant_id)


def cookie_value(browser: Browser) -> str:
    return next(cookie.value for cookie in browser.cookies if cookie.name.endswith("sallyport-wallet"))
