"""A browser without JavaScript: it keeps cookies, follows redirects and submits forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


@dataclass
class Form:
    action: str
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)
    """The names of all inputs, whether they hold a value or not."""

    def has_button(self, name: str, value: str | None) -> bool:
        return any(name == n and value in (None, v) for n, v in self.buttons)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action", ""), given.get("method", "get").lower())
            self.found.append(self._open)
        form, name, kind = self._open, given.get("name", ""), given.get("type", "text" if tag == "input" else "submit")
        if form is None or tag not in ("input", "button") or "disabled" in given:
            return
        if kind == "submit":
            form.buttons.append((name, given.get("value", "")))
        elif tag == "input" and name:
            form.inputs.add(name)
            if kind not in ("checkbox", "radio") or "checked" in given:
                form.fields[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


@dataclass(frozen=True)
class Page:
    url: str
    status: int
    text: str
    forms: list[Form]

    def form_with_button(self, name: str, value: str | None = None) -> Form | None:
        return next((form for form in self.forms if form.has_button(name, value)), None)

    def form_with_input(self, name: str) -> Form | None:
        return next((form for form in self.forms if name in form.inputs), None)


class Browser:
    def __init__(self) -> None:
        self._session = requests.Session()

    @property
    def cookies(self) -> requests.cookies.RequestsCookieJar:
        return self._session.cookies

    def post(self, url: str, data: dict[str, str], headers: dict[str, str]) -> requests.Response:
        """A form sent by hand."""
        return self._session.post(url, data=data, headers=headers, timeout=30, allow_redirects=False)

    def open(self, url: str) -> Page:
        return self._page(self._session.get(url, timeout=30))

    def location_of(self, url: str) -> str:
        """Where an address leads, without going there."""
        return urljoin(url, self._session.get(url, timeout=30, allow_redirects=False).headers["Location"])

    def submit(self, page: Page, form: Form, **values: str) -> Page:
        return self._page(self._send(page, form, values, follow=True))

    def redirect_of(self, page: Page, form: Form, **values: str) -> str:
        """Submits a form and answers where it would lead, without going there."""
        return urljoin(page.url, self._send(page, form, values, follow=False).headers["Location"])

    def _send(self, page: Page, form: Form, values: dict[str, str], follow: bool) -> requests.Response:
        data = {**form.fields, **values}
        parts = {"data": data} if form.method == "post" else {"params": data}
        headers = {"Referer": page.url, "Origin": "/".join(page.url.split("/")[:3])}
        return self._session.request(
            form.method, urljoin(page.url, form.action), headers=headers, timeout=30, allow_redirects=follow, **parts
        )

    def press(self, page: Page, name: str, value: str | None = None) -> Page:
        """Submits the form that has this button, as if it was pressed."""
        form = page.form_with_button(name, value)
        if form is None:
            raise AssertionError(f"no button {name}={value} on {page.url} ({page.status}):\n{page.text}")
        pressed = next(pair for pair in form.buttons if pair[0] == name and value in (None, pair[1]))
        return self.submit(page, form, **dict([pressed]))

    def _page(self, answer: requests.Response) -> Page:
        parser = _Forms()
        if "html" in answer.headers.get("Content-Type", ""):
            parser.feed(answer.text)
        return Page(answer.url, answer.status_code, answer.text, parser.found)


def connect(connect_url: str, provider_id: str, browser: Browser | None = None) -> Page:
    """Walks a hosted Connect page through a provider. Signs in and confirms when the page asks for it."""
    browser = browser or Browser()
    page = browser.open(connect_url)
    if page.form_with_button("sign-in"):
        page = browser.press(page, "sign-in")
    page = browser.press(page, "provider", provider_id)
    return browser.press(page, "confirm") if page.form_with_button("confirm") else page


def decline(connect_url: str) -> Page:
    browser = Browser()
    return browser.press(browser.open(connect_url), "decline")
