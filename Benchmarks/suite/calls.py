"""
Requests made ahead, as they go over the wire. A signed request is good once and for five minutes, so that a load needs as
many as it sends, made straight before it: signing while it runs would take the CPU from what is measured.
"""

import base64
import hashlib
import hmac
import multiprocessing
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from harness.jose import SigningKey, base64url, encoded

Requests = Callable[[Iterable[int]], Iterator[bytes]]
"""Makes the requests with these numbers."""
Bodies = Callable[[int], bytes]

_CHUNK = 500
"""Requests that one process makes at a time."""


def plain(url: str, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    """One request that may be sent again and again."""
    parts = urlsplit(url)
    fields = {"Host": parts.netloc, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {parts.path} HTTP/1.1\r\n{head}\r\n".encode() + body


def signed(url: str, api_key: str, target: str, bodies: Bodies) -> Requests:
    """Calls of an app, with the headers that the official SDK sends."""
    key = hmac.digest(api_key.encode(), b"alter-signing-v1", "sha256")
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
        "Connection: keep-alive\r\nUser-Agent: alter-sdk-python/0.29.0\r\nContent-Type: application/json\r\n"
        f"x-api-key: {api_key}\r\n"
    )

    def requests(numbers: Iterable[int]) -> Iterator[bytes]:
        for number in numbers:
            body, timestamp, nonce = bodies(number), str(int(time.time())), secrets.token_hex(16)
            digest = hashlib.sha256(body).hexdigest()
            # No scope constraints: the last line is empty.
            text = f"POST\n{target}\n{timestamp}\n{nonce}\n{digest}\n"
            signature = hmac.digest(key, text.encode(), "sha256").hex()
            yield (
                f"{head}X-Alter-Timestamp: {timestamp}\r\nX-Alter-Nonce: {nonce}\r\nX-Alter-Content-SHA256: {digest}\r\n"
                f"X-Alter-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode() + body

    return requests


def deliveries(url: str, secret: str, bodies: Bodies) -> Requests:
    """Webhooks, signed as Svix signs them."""
    parts = urlsplit(url)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"

    def requests(numbers: Iterable[int]) -> Iterator[bytes]:
        for number in numbers:
            body, message, timestamp = bodies(number), f"msg_{secrets.token_hex(12)}", int(time.time())
            mac = hmac.digest(key, f"{message}.{timestamp}.".encode() + body, "sha256")
            yield (
                f"{head}svix-id: {message}\r\nsvix-timestamp: {timestamp}\r\n"
                f"svix-signature: v1,{base64.b64encode(mac).decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode() + body

    return requests


def token(key: SigningKey, claims: dict[str, object]) -> str:
    """A user token."""
    header = base64url(encoded({"alg": key.alg, "typ": "JWT", "kid": key.kid}))
    text = f"{header}.{base64url(encoded(claims))}"
    return f"{text}.{base64url(key.sign(text.encode()))}"


# Files for the load generator


def write(path: Path, requests: Requests, count: int) -> None:
    """Makes as many requests, on every core."""
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    # Forked, because what makes them holds keys and closures that cannot be sent to another process.
    context = multiprocessing.get_context("fork")
    with context.Pool(os.cpu_count(), _take, (requests,)) as pool, path.open("wb") as file:
        for records in pool.imap(_records, chunks):
            file.write(records)


def write_one(path: Path, request: bytes) -> None:
    path.write_bytes(_record(request))


_requests: Requests


def _take(requests: Requests) -> None:
    global _requests
    _requests = requests


def _records(numbers: range) -> bytes:
    return b"".join(map(_record, _requests(numbers)))


def _record(request: bytes) -> bytes:
    return b"%08d" % len(request) + request
