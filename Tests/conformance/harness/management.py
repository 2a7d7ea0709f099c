"""A thin client of the Management API."""

from typing import Any

import requests

from .canaries import assert_silent, known_secrets


class ManagementError(Exception):
    def __init__(self, request: str, status: int, body: Any) -> None:
        super().__init__(f"{request} answered {status}: {body}")
        self.status = status
        self.body = body


class Management:
    def __init__(self, base_url: str, pat: str) -> None:
        self._base = base_url + "/api/v1"
        self._session = requests.Session()
        self.authorization = f"Bearer {pat}"
        self._session.headers["Authorization"] = self.authorization

    def at(self, base_url: str) -> "Management":
        """The same operator, at another node."""
        return Management(base_url, self.authorization.removeprefix("Bearer "))

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        known = known_secrets()
        answer = self._session.request(
            method, self._base + path, json=body, params=query, timeout=30, allow_redirects=False
        )
        assert_silent(answer.content, f"{method} {path}", known)
        is_json = "json" in answer.headers.get("Content-Type", "") and answer.content
        content = answer.json() if is_json else answer.text
        if answer.status_code >= 300:
            raise ManagementError(f"{method} {path}", answer.status_code, content)
        return content

    def fetch(self, path: str, **query: Any) -> requests.Response:
        """A file: the answer as it came, whatever its type."""
        return self._session.get(self._base + path, params=query or None, timeout=60)

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, **query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, {} if body is None else body)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def delete(self, path: str, **query: Any) -> Any:
        return self.call("DELETE", path, **query)

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """A whole list, page by page."""
        found, cursor = [], None
        while True:
            page = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            if (cursor := page["next_cursor"]) is None:
                return found
