"""The unmodified official SDK, used from ordinary (not asynchronous) tests."""

import asyncio
import base64
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import httpx
from alter_sdk import App

from .canaries import assert_silent, known_secrets

Value = TypeVar("Value")

# One event loop for the whole run: a client stays on the loop that it first used.
_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True).start()


_original_send = httpx.AsyncClient.send


async def _watched_send(client: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
    """Looks on: only these hand out credentials and user tokens, so no other answer of the vault may tell one."""
    known = known_secrets()
    response = await _original_send(client, request, **options)
    if request.url.path.startswith("/sdk/") and request.url.path not in ("/sdk/token", "/sdk/auth/poll"):
        content = await response.aread()
        if request.url.path == "/sdk/proxy" and response.status_code == 200:
            content += base64.b64decode(response.json()["body_b64"])
        assert_silent(content, f"{request.method} {request.url.path}", known)
    return response


httpx.AsyncClient.send = _watched_send


def wait(call: Coroutine[Any, Any, Value], timeout_seconds: float = 45) -> Value:
    return asyncio.run_coroutine_threadsafe(call, _loop).result(timeout_seconds)


def in_background(call: Coroutine[Any, Any, Value]) -> Future[Value]:
    """Started now; its result is waited for later."""
    return asyncio.run_coroutine_threadsafe(call, _loop)


def wait_all(calls: list[Coroutine[Any, Any, Value]], timeout_seconds: float = 45) -> list[Value | BaseException]:
    """Runs the calls at the same time; a refusal is handed back in the place of its result."""

    async def gathered() -> list[Value | BaseException]:
        return await asyncio.gather(*calls, return_exceptions=True)

    return wait(gathered(), timeout_seconds)


def open_app(base_url: str, api_key: str, **options: Any) -> App:
    # The address can be set by this variable alone; it is read when a client is made.
    os.environ["ALTER_BASE_URL"] = base_url
    try:
        return App(api_key, **options)
    finally:
        del os.environ["ALTER_BASE_URL"]
