"""A browser without JavaScript: it keeps cookies, follows redirects and submits forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests


@dataclass(frozen=True)
class Upload:
    """A file chosen in a file input."""

    name: str
    content: bytes
    media_type: str = "application/octet-stream"


Value = str | list[str] | Upload | None
"""What a field is filled with: several ticked boxes of one name are a list, and None leaves the field out."""


@dataclass
class Form:
    action: str
    method: str = "get"
    is_upload: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    """What is filled in already: a text, or a list where several boxes of one name are ticked."""
    buttons: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """What its buttons say, and what a screen reader says in their place."""
    inputs: set[str] = field(default_factory=set)
    """The names of all inputs, whether they hold a value or not."""
    options: dict[str, list[str]] = field(default_factory=dict)
    """What a select offers, and the values of boxes and radio buttons."""

    def has_button(self, name: str, value: str | None) -> bool:
        return any(name == n and value in (None, v) for n, v in self.buttons)

    def fill(self, name: str, value: str) -> None:
        present = self.fields.get(name)
        if present is None:
            self.fields[name] = value
        else:
            self.fields[name] = [*(present if isinstance(present, list) else [present]), value]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.links: list[str] = []
        self._open: Form | None = None
        self._area: tuple[str, list[str]] | None = None
        self._select: str | None = None
        self._button: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "form":
            is_upload = given.get("enctype", "").lower() == "multipart/form-data"
            self._open = Form(given.get("action", ""), given.get("method", "get").lower(), is_upload)
            self.found.append(self._open)
        if self._open is None or "disabled" in given:
            return
        if tag in ("input", "button"):
            self._control(self._open, tag, given)
        elif tag == "textarea":
            self._open.inputs.add(given.get("name", ""))
            self._area = given.get("name", ""), []
        elif tag == "select":
            self._select = given.get("name", "")
            self._open.inputs.add(self._select)
            self._open.options[self._select] = []
        elif tag == "option" and self._select is not None:
            options = self._open.options[self._select]
            # A browser sends the first option where none is marked.
            if not options or "selected" in given:
                self._open.fields[self._select] = given.get("value", "")
            options.append(given.get("value", ""))

    def _control(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name, kind = given.get("name", ""), given.get("type", "text" if tag == "input" else "submit")
        value = given.get("value", "")
        if kind == "submit":
            form.buttons.append((name, value))
            form.words += [spoken for spoken in (given.get("aria-label"), value if tag == "input" else None) if spoken]
            self._button = [] if tag == "button" else None
        elif tag == "input" and name:
            form.inputs.add(name)
            if kind in ("checkbox", "radio"):
                form.options.setdefault(name, []).append(value)
                if "checked" in given:
                    form.fill(name, value)
            elif kind != "file":
                form.fill(name, value)

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area[1].append(data)
        if self._button is not None:
            self._button.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea" and self._area and self._open:
            # The line end after the tag belongs to the markup.
            name, pieces = self._area
            self._open.fields[name] = "".join(pieces).removeprefix("\n")
            self._area = None
        elif tag == "button" and self._button is not None and self._open:
            self._open.words.append(" ".join("".join(self._button).split()))
            self._button = None


@dataclass(frozen=True)
class Page:
    url: str
    status: int
    text: str
    forms: list[Form]
    headers: Mapping[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    def form_with_button(self, name: str, value: str | None = None) -> Form | None:
        return next((form for form in self.forms if form.has_button(name, value)), None)

    def form_with_input(self, name: str) -> Form | None:
        return next((form for form in self.forms if name in form.inputs), None)

    def form_that_says(self, words: str) -> Form | None:
        """The form one of whose buttons says exactly this."""
        return next((form for form in self.forms if words in form.words), None)


class Browser:
    def __init__(self, **headers: str) -> None:
        """`headers`: sent with every request, with `_` for `-`."""
        self._session = requests.Session()
        self._session.headers.update({name.replace("_", "-"): value for name, value in headers.items()})

    @property
    def cookies(self) -> requests.cookies.RequestsCookieJar:
        return self._session.cookies

    def post(self, url: str, data: dict[str, str], headers: dict[str, str]) -> requests.Response:
        """A form sent by hand."""
        return self.send("POST", url, data=data, headers=headers)

    def send(self, method: str, url: str, **options: Any) -> requests.Response:
        """A request made by hand, with the browser's cookies and without following where it leads."""
        return self._session.request(method, url, timeout=30, allow_redirects=False, **options)

    def open(self, url: str) -> Page:
        return self._page(self._session.get(url, timeout=30))

    def location_of(self, url: str) -> str:
        """Where an address leads, without going there."""
        return urljoin(url, self._session.get(url, timeout=30, allow_redirects=False).headers["Location"])

    def submit(self, page: Page, form: Form, **values: Value) -> Page:
        return self._page(self._send(page, form, values, follow=True))

    def redirect_of(self, page: Page, form: Form, **values: Value) -> str:
        """Submits a form and answers where it would lead, without going there."""
        return urljoin(page.url, self._send(page, form, values, follow=False).headers["Location"])

    def _send(self, page: Page, form: Form, values: dict[str, Value], follow: bool) -> requests.Response:
        given = {**form.fields, **values}
        data = {name: value for name, value in given.items() if value is not None and not isinstance(value, Upload)}
        parts = {"data": data} if form.method == "post" else {"params": data}
        if form.is_upload:
            chosen = {name: value for name, value in given.items() if isinstance(value, Upload)}
            # A file input that was left alone is sent without a name and empty.
            files = {name: ("", b"") for name in form.inputs - data.keys() - chosen.keys() - form.options.keys()}
            parts["files"] = files | {name: (file.name, file.content, file.media_type) for name, file in chosen.items()}
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

    def click(self, page: Page, words: str, **values: Value) -> Page:
        """Fills the form that has the button with these words, and presses it."""
        form = page.form_that_says(words)
        if form is None:
            raise AssertionError(f"no button “{words}” on {page.url} ({page.status}):\n{page.text}")
        return self.submit(page, form, **values)

    def _page(self, answer: requests.Response) -> Page:
        parser = _Forms()
        if "html" in answer.headers.get("Content-Type", ""):
            parser.feed(answer.text)
        return Page(answer.url, answer.status_code, answer.text, parser.found, answer.headers, parser.links)


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
