"""
Many requests over many kept connections, as fast as the server takes them, with the times of every answer.

Requests are made before they are sent, so that making them costs the race nothing. All times are of `time.time()`: the
kernel stamps what arrives with that clock, so that the order of two answers is the order in which they came, however
late this process read them.
"""

import asyncio
import json
import resource
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message as Headers
from itertools import cycle, takewhile
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .browser import Browser
from .local_http import Request
from .signer import RawRequest
from .webhooks import Auth0Stream
from .world import PROVIDER, World

# <asm-generic/socket.h>; the socket module does not name it.
_SO_TIMESTAMPNS = 35


@dataclass(frozen=True)
class Message:
    """A whole request as it goes over the wire, and what the test calls it."""

    data: bytes
    label: str = ""


def message(method: str, url: str, headers: dict[str, str], body: bytes = b"", label: str = "") -> Message:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = {"Host": parts.netloc, **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return Message(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body, label)


def signed(request: RawRequest, label: str = "") -> Message:
    headers = {**dict(request.headers), "Content-Type": "application/json"}
    return message(request.method, request.base_url + request.target, headers, request.body, label)


def delivery(stream: Auth0Stream, event: dict[str, Any]) -> Message:
    """A webhook with one event; it is called by its log_id."""
    headers = {"Authorization": stream.secret, "Content-Type": "application/json"}
    return message("POST", stream.url, headers, json.dumps([event]).encode(), event["log_id"])


@dataclass(frozen=True)
class Shot:
    """A request and its answer. The status is 0 when the connection ended without one; the body then says how."""

    label: str
    sent: float
    first_byte: float
    last_byte: float
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def seconds(self) -> float:
        return self.last_byte - self.sent

    @property
    def error(self) -> str | None:
        return None if self.is_success else json.loads(self.body).get("error") if self.status else self.body.decode()


class Swarm:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)

    async def fly(
        self,
        messages: Iterable[Message],
        connections: int = 64,
        per_second: float | None = None,
        shots: list[Shot] | None = None,
    ) -> list[Shot]:
        """
        Sends the messages in their order, each over the first connection that is free.

        `per_second`: at a steady rate instead of as fast as possible.
        `shots`: is filled while the swarm flies, for somebody who looks on.
        """
        _allow_descriptors(connections)
        shots = [] if shots is None else shots
        waiting, start = enumerate(messages), time.monotonic()

        async def use(connection: _Connection) -> None:
            try:
                for number, each in waiting:
                    if per_second is not None:
                        await asyncio.sleep(max(0.0, start + number / per_second - time.monotonic()))
                    shots.append(await connection.ask(each))
            finally:
                connection.close()

        await asyncio.gather(*(use(_Connection(self._address)) for _ in range(connections)))
        return shots

    def run(self, messages: Iterable[Message], **options: Any) -> list[Shot]:
        return asyncio.run(self.fly(messages, **options))

    def in_background(self, messages: Iterable[Message], **options: Any) -> Future[list[Shot]]:
        """Started now, in a thread; its shots are waited for later."""
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(self.run, messages, **options)
        finally:
            pool.shutdown(wait=False)


async def race(
    flights: Iterable[tuple[Swarm, Iterable[Message]]],
    end: Callable[[], Awaitable[Shot]],
    connections: int,
    before: int = 400,
    after: int = 300,
) -> tuple[Shot, list[Shot]]:
    """
    Something ends while messages are under way. Answers the acknowledgement of the end, and the shots of all flights.

    `connections`: of each flight.
    `before`, `after`: how many answers there are at least before the end begins and after it was acknowledged.
    """
    shots: list[Shot] = []
    is_over = False
    under_way = [
        asyncio.create_task(swarm.fly(takewhile(lambda _: not is_over, each), connections=connections, shots=shots))
        for swarm, each in flights
    ]
    await until(lambda: len(shots) >= before)
    ack = await end()
    # All that were sent before are answered first, or nearly.
    enough = len(shots) + connections * len(under_way) + after
    await until(lambda: len(shots) >= enough or all(flight.done() for flight in under_way))
    is_over = True
    await asyncio.gather(*under_way)
    return ack, shots


async def until(check: Callable[[], bool]) -> None:
    while not check():
        await asyncio.sleep(0.001)


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


class _Connection:
    """Opened when it is first used, and again after the server closed it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._answer: asyncio.Future[_Answer] | None = None
        self._data = b""
        self._first_byte = self._last_byte = 0.0

    async def ask(self, asked: Message) -> Shot:
        loop = asyncio.get_running_loop()
        self._data, self._first_byte, self._last_byte = b"", 0.0, 0.0
        self._answer = loop.create_future()
        sent = time.time()
        try:
            if self._socket is None:
                await self._open(loop)
                sent = time.time()
            await loop.sock_sendall(self._socket, asked.data)
            answer = await self._answer
        except OSError as problem:
            self.close()
            answer = _Answer(0, {}, repr(problem).encode())
        times = sent, self._first_byte, self._last_byte
        return Shot(asked.label, *times, answer.status, answer.body, answer.headers)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        await loop.sock_connect(self._socket, self._address)
        loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        try:
            data, notes, _, _ = self._socket.recvmsg(65536, 64)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._note(data, notes)
            answer = _parsed(self._data)
        except BlockingIOError:
            return
        except (OSError, ValueError) as problem:
            self.close()
            if self._is_waiting:
                self._answer.set_exception(ConnectionError(str(problem)))
            return
        if answer is not None and self._is_waiting:
            if answer.headers.get("connection", "").lower() == "close":
                self.close()
            self._answer.set_result(answer)

    def _note(self, data: bytes, notes: list[tuple[int, int, bytes]]) -> None:
        self._last_byte = next((_stamp(note) for _, kind, note in notes if kind == _SO_TIMESTAMPNS), time.time())
        if not self._data:
            self._first_byte = self._last_byte
        self._data += data

    @property
    def _is_waiting(self) -> bool:
        return self._answer is not None and not self._answer.done()


def _stamp(note: bytes) -> float:
    seconds, nanoseconds = struct.unpack_from("@ll", note)
    return seconds + nanoseconds / 1e9


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def _parsed(data: bytes) -> _Answer | None:
    """Nothing while the answer is not whole."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    status_line, *lines = head.decode("latin-1").split("\r\n")
    status = int(status_line.split(" ")[1])
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if status in (204, 304):
        body = b""
    elif fields.get("transfer-encoding", "").lower() == "chunked":
        body = _unchunked(rest)
    else:
        length = int(fields["content-length"]) if "content-length" in fields else 0
        body = rest[:length] if len(rest) >= length else None
    return None if body is None else _Answer(status, fields, body)


def _unchunked(data: bytes) -> bytes | None:
    body, at = b"", 0
    while (line := data.find(b"\r\n", at)) >= 0:
        size, start = int(data[at:line].split(b";")[0], 16), line + 2
        if size == 0:
            return body if data.find(b"\r\n\r\n", line) >= 0 else None
        if len(data) < start + size + 2:
            return None
        body += data[start : start + size]
        at = start + size + 2
    return None


# Users of many accounts


class Crowd:
    """Connects many accounts at the same time: whole Connect journeys, but for the way to the provider and back."""

    def __init__(self, world: World, providers: int = 1) -> None:
        self._world = world
        self._consent = threading.Lock()
        self.provider_ids = [PROVIDER, *(f"{PROVIDER}-{number}" for number in range(2, providers + 1))]
        for provider_id in self.provider_ids[1:]:
            world.register(provider_id, world.oauth)

    def connect(self, jobs: Iterable[tuple[str, str]], at_once: int = 8) -> None:
        """`jobs`: user tokens, each with the name of an account to connect at every provider."""
        with ThreadPoolExecutor(at_once) as pool:
            for _ in pool.map(lambda job: self._connect(*job), jobs):
                pass

    def _connect(self, jwt: str, account: str) -> None:
        body = {"allowed_providers": self.provider_ids, "user_token": jwt}
        answer = self._world.signer().send("POST", "/sdk/oauth/connect/session", body)
        assert answer.status in (200, 201), answer.body
        browser = Browser()
        page = browser.open(answer.json()["connect_url"])
        for provider_id in self.provider_ids:
            form = page.form_with_button("provider", provider_id)
            address = browser.redirect_of(page, form, provider=provider_id)
            landing = browser.location_of(self._callback(address, account))
            assert "/connect/" in landing, landing

    def _callback(self, address: str, account: str) -> str:
        """Where the provider sends the browser of the person who has this account."""
        parts = urlsplit(address)
        request = Request("GET", parts.path, parse_qsl(parts.query, keep_blank_values=True), Headers(), b"")
        with self._consent:
            self._world.oauth.account = account
            return self._world.oauth.answer(request).headers["Location"]


Grants = dict[str, dict[str, str]]
"""Grant id → what names the same grant to who comes with a user token."""


def uses(world: World, jwt: str, grants: Grants, proxied: bool = True) -> Iterator[Message]:
    """
    Endless uses of a user's grants, each freshly signed: retrieved and, unless told otherwise, every fourth proxied;
    named by grant, by user token, and by both. They are called by what must refuse them once the user is gone.
    """
    signer, call = world.signer(), {"method": "GET", "url": world.echo}
    for number, (grant_id, named) in enumerate(cycle(grants.items())):
        by_token = {**named, "user_token": jwt}
        naming = [{"grant_id": grant_id}, by_token, {"grant_id": grant_id, "user_token": jwt}][number // 4 % 3]
        label = "user_deprovisioned" if "user_token" in naming else "grant_deleted"
        if proxied and number % 4 == 3:
            yield signed(signer.request("POST", "/sdk/proxy", {**naming, **call}), label)
        else:
            yield signed(signer.request("POST", "/sdk/token", {**naming, "request": call}), label)
