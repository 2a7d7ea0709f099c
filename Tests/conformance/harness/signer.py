"""Signed SDK requests made by hand from the wire contract (not by the SDK), to be bent before they are sent."""

import hashlib
import hmac
import http.client
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

TIMESTAMP = "X-Alter-Timestamp"
NONCE = "X-Alter-Nonce"
CONTENT_HASH = "X-Alter-Content-SHA256"
SIGNATURE = "X-Alter-Signature"
SIGNATURE_V2 = "X-Alter-Signature-V2"
CALLER = "X-Alter-Caller"
CALLER_TYPE = "X-Alter-Caller-Type"
ACTOR_ID = "X-Alter-Actor-ID"
CONTEXT = "X-Alter-Context"
SCOPE_CONSTRAINTS = "X-Alter-Scope-Constraints"
REQUEST_RULE = "X-Alter-Request-Rule"

_IDENTITY_LINES = {CALLER: "caller", CALLER_TYPE: "caller-type", ACTOR_ID: "actor-id", CONTEXT: "actor-context"}


def canonical_target(target: str) -> str:
    path, _, query = target.partition("?")
    path = unquote(path)
    if not query:
        return path
    return f"{path}?{urlencode(sorted(parse_qsl(query, keep_blank_values=True)))}"


def signature(api_key: str, method: str, target: str, headers: dict[str, str]) -> str:
    lines = [method, canonical_target(target), headers[TIMESTAMP], headers[NONCE], headers[CONTENT_HASH]]
    lines.append(headers.get(SCOPE_CONSTRAINTS, ""))
    optional = {REQUEST_RULE: "request-rule", **_IDENTITY_LINES}
    lines += [f"{label}:{headers[name]}" for name, label in optional.items() if headers.get(name)]
    key = hmac.digest(api_key.encode(), b"alter-signing-v1", "sha256")
    return hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class RawAnswer:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        return self.json().get("error")


@dataclass(frozen=True)
class RawRequest:
    """Every part can be replaced without signing again."""

    base_url: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def value(self, name: str) -> str:
        return dict(self.headers)[name]

    def without(self, *names: str) -> "RawRequest":
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0] not in names))

    def adding(self, name: str, value: str) -> "RawRequest":
        return replace(self, headers=(*self.headers, (name, value)))

    def setting(self, name: str, value: str) -> "RawRequest":
        return self.without(name).adding(name, value)

    def sending(self, **parts: Any) -> "RawRequest":
        return replace(self, **parts)

    def send(self) -> RawAnswer:
        connection = http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=30)
        try:
            connection.putrequest(self.method, self.target)
            for name, value in self.headers:
                connection.putheader(name, value)
            if self.body:
                connection.putheader("Content-Type", "application/json")
                connection.putheader("Content-Length", str(len(self.body)))
            connection.endheaders(self.body)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return RawAnswer(answer.status, headers, answer.read())
        finally:
            connection.close()


class Signer:
    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url
        self.api_key = api_key

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        timestamp: int | str | None = None,
        nonce: str | None = None,
        signed_headers: dict[str, str] | None = None,
    ) -> RawRequest:
        """A correct request; `body` is bytes, or a value to be sent as JSON."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {
            "x-api-key": self.api_key,
            TIMESTAMP: str(int(time.time()) if timestamp is None else timestamp),
            NONCE: nonce or secrets.token_hex(16),
            CONTENT_HASH: hashlib.sha256(data).hexdigest(),
            **(signed_headers or {}),
        }
        headers[SIGNATURE] = signature(self.api_key, method, target, headers)
        if _IDENTITY_LINES.keys() & headers.keys():
            headers[SIGNATURE_V2] = headers[SIGNATURE]
        return RawRequest(self.base_url, method, target, tuple(headers.items()), data)

    def send(self, method: str, target: str, body: Any = None, **options: Any) -> RawAnswer:
        return self.request(method, target, body, **options).send()
