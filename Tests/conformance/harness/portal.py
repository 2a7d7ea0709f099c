"""The Developer Portal as operators use it: how they get an account, and browsers that are signed in."""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urljoin, urlsplit

from .browser import Browser, Page
from .canaries import canary
from .configured import ConfiguredServer
from .management import Management
from .server import Server
from .waiting import eventually

SETUP_ADDRESS = re.compile(r"http\S+/portal/setup/[\w-]+")
SESSION_COOKIE = "sallyport-portal"


def new_password() -> str:
    return canary(secrets.token_urlsafe(18))


def new_email(role: str = "operator") -> str:
    return f"{role.replace('_', '-')}-{secrets.token_hex(4)}@example.test"


@dataclass(frozen=True)
class Operator:
    """Somebody with an account of the Portal, and the browser in which they are signed in."""

    browser: Browser
    url: str
    email: str
    password: str

    @property
    def session(self) -> str:
        """The value of the session's cookie."""
        return session_of(self.browser)

    def open(self, path: str) -> Page:
        page = self.browser.open(self.url + path)
        assert page.status == 200 and "/sign-in" not in page.url, f"{path} leads to {page.url} ({page.status})"
        return page

    def elsewhere(self, **headers: str) -> "Operator":
        """The same account in another browser."""
        return Operator(sign_in(self.url, self.email, self.password, **headers), self.url, self.email, self.password)


def session_of(browser: Browser) -> str:
    return next((cookie.value for cookie in browser.cookies if cookie.name.endswith(SESSION_COOKIE)), "")


def sign_in_page(url: str, email: str, password: str, browser: Browser | None = None) -> Page:
    """What the sign-in form answers."""
    browser = browser or Browser()
    return browser.click(browser.open(f"{url}/portal/sign-in"), "Sign in", email=email, password=password)


def sign_in(url: str, email: str, password: str, **headers: str) -> Browser:
    browser = Browser(**headers)
    page = sign_in_page(url, email, password, browser)
    assert page.status == 200 and page.url == f"{url}/portal/apps", f"{page.url} ({page.status}):\n{page.text}"
    canary(session_of(browser))
    return browser


# Accounts


def organization_of(management: Management) -> str:
    """The organization that the command line made for the operator of this token."""
    return management.get("/organizations")["items"][0]["id"]


def invitation(management: Management, role: str = "member", email: str | None = None, **changes: Any) -> dict[str, Any]:
    """An open invitation, with its link."""
    organization = changes.pop("organization_id", None) or organization_of(management)
    body = {"email": email or new_email(role), "role": role, **changes}
    opened = management.post(f"/organizations/{organization}/invitations", body)
    canary(opened["invitation_url"].rsplit("/", 1)[1])
    return opened


def accept(opened: dict[str, Any], browser: Browser | None = None, password: str | None = None) -> Operator:
    """Follows an invitation, sets a password, and is signed in."""
    browser, password = browser or Browser(), password or new_password()
    page = browser.open(opened["invitation_url"])
    page = browser.click(page, "Accept the invitation", password=password, password_again=password)
    assert page.status == 200 and page.url.endswith("/portal/apps"), f"{page.url} ({page.status}):\n{page.text}"
    canary(session_of(browser))
    return Operator(browser, page.url.removesuffix("/portal/apps"), opened["email"], password)


def invite(management: Management, role: str = "member", **changes: Any) -> Operator:
    """A new operator in the organization of `management`'s operator."""
    return accept(invitation(management, role, **changes))


def sign_in_to_portal(server: Server, management: Management | None = None, role: str = "admin") -> tuple[Browser, str]:
    """
    A browser that is signed in, and whose it is. With `management` the account sees that operator's apps; without, it
    belongs to a new organization.
    """
    management = management or Management(server.url, server.create_operator(new_email()).pat)
    operator = invite(management, role)
    return operator.browser, operator.email


# The first operator


def setup_address(server: Server) -> str:
    """What a server without operators printed."""
    found = eventually(lambda: SETUP_ADDRESS.search(server.printed()), "a setup address on standard output")
    return found.group()


def set_up(address: str, email: str = "first@example.test", browser: Browser | None = None) -> Operator:
    """Makes the first operator at the setup address."""
    browser, password = browser or Browser(), new_password()
    page = browser.open(address)
    page = browser.click(page, "Create the account", email=email, password=password, password_again=password)
    assert page.status == 200 and page.url.endswith("/portal/apps"), f"{page.url} ({page.status}):\n{page.text}"
    canary(session_of(browser))
    return Operator(browser, page.url.removesuffix("/portal/apps"), email, password)


def fresh_setup(folder: Path, **environment: str) -> tuple[Server, str]:
    """A server of its own that nobody runs yet, and the setup address it printed. Whoever asks for it ends it."""
    server = ConfiguredServer(folder, **environment)
    server.start()
    return server, setup_address(server)


# Walking

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[\w-]{43}")
_PROVIDER = re.compile(r"(?<=/providers/)(?!custom\b)[\w-]+|(?<=/policies/)(?!simulate\b)[\w*-]+")


FILES = ("/export", ".csv", ".json", ".js", ".css")
"""How the addresses of files end, some of which are as large as the trail."""


def shape(address: str) -> str:
    """The address without what differs between two pages of one kind: ids, and the values of its query."""
    parts = urlsplit(address)
    names = sorted({name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - {"done"})
    return _PROVIDER.sub("*", _ID.sub("*", parts.path)) + ("?" + "&".join(names) if names else "")


def walk(browser: Browser, *starts: str) -> Iterator[Page]:
    """Every kind of page that links of our own lead to, once each; files are left out."""
    origin = "/".join(starts[0].split("/")[:3])
    waiting, seen = list(starts), {shape(start) for start in starts}
    while waiting:
        page = browser.open(waiting.pop(0))
        if "html" not in page.headers["Content-Type"]:
            continue
        yield page
        for link in page.links:
            address = urldefrag(urljoin(page.url, link)).url
            is_file = urlsplit(address).path.endswith(FILES)
            if address.startswith(origin + "/") and not is_file and shape(address) not in seen:
                seen.add(shape(address))
                waiting.append(address)
