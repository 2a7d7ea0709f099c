"""What of a page's markup no page of ours writes: scripts and handlers inside it, and links that run something."""

import re
from html.parser import HTMLParser

FOREIGN_TAGS = {"b", "i", "base", "embed", "iframe", "math", "object", "style", "template"}
RUNNING = re.compile(r"\s*(?:javascript|vbscript|data):", re.IGNORECASE)
DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")


class _Foreign(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            is_icon = (tag, name, value) == ("link", "href", "data:,")
            runs = name in ("href", "src", "action", "formaction") and RUNNING.match(value or "") and not is_icon
            if name == "style" or name.startswith("on") or runs:
                self.found.append(f"<{tag} {name}={value}>")
        given = dict(attrs)
        if tag in FOREIGN_TAGS or (tag in ("script", "img") and not (given.get("src") or "").startswith("/")):
            self.found.append(f"<{tag}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")


def foreign_markup(text: str) -> list[str]:
    parser = _Foreign()
    parser.feed(text)
    return parser.found + DIRECTIONS.findall(text)
