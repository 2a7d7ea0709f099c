"""No answer to malformed input is a 5xx: every field of every body bent in every way, odd requests, and raw noise."""

import copy
import json
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from harness.operations import management_address, management_bodies
from harness.signer import RawRequest, Signer
from harness.world import PROVIDER, World

ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    2**63,
    10**400,
    "",
    " ",
    "\0",
    "\ud800",
    "../../etc/passwd",
    "'; DROP TABLE grants; --",
    "<script>alert(1)</script>",
    "%00%0d%0aX: y",
    "ａ\u202e\u0301",
    "x" * 70_000,
    [],
    [None],
    [[[]]],
    ["a"] * 2_000,
    {},
    {"": ""},
    {"a": {"b": {"c": []}}},
    "00000000-0000-4000-8000-000000000000",
    "9999-99-99T99:99:99Z",
    "https://[::1",
    "http://user:pw@169.254.169.254/",
]

BROKEN_BODIES = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b"{]",
    b'{"a":1}{"b":2}',
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":1e99999}',
    b'{"a":' + b"9" * 10_000 + b"}",
    b'{"a":"\\ud800"}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"\x00",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"{" + b",".join(b'"k%d":0' % n for n in range(50_000)) + b"}",
]


def bent(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The body with one field, at any depth, left out or replaced by each odd value."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in pairs:
            yield (*path, key)
            yield from places(inner, (*path, key))

    for path in places(body):
        for odd in [..., *ODD_VALUES]:
            changed = copy.deepcopy(body)
            target = changed
            for step in path[:-1]:
                target = target[step]
            if odd is ...:
                del target[path[-1]]
            else:
                target[path[-1]] = odd
            yield changed


@pytest.fixture(scope="module")
def world(server, management):
    world = World(server, management)
    yield world
    world.close()


@pytest.fixture(scope="module")
def seen():
    """How often each status was answered; printed with `-s`."""
    counter: Counter[int] = Counter()
    yield counter
    print(dict(counter))
    assert len(counter) > 1


def assert_explained(status: int, headers: Any, body: bytes, what: str, seen: Counter[int]) -> None:
    seen[status] += 1
    assert status < 500, (status, what, body[:300])
    assert len(body) < 100_000, (status, what)
    if status >= 400:
        assert headers["content-type"].startswith("application/json"), (status, what)
        said = json.loads(body)
        assert said["error"] and said["message"], (said, what)


def sdk_bodies(world: World) -> dict[str, dict[str, Any]]:
    jwt = world.jwt()
    grant = world.connect(jwt)
    use = {"user_token": jwt, "account": grant.account_identifier, "reason": "test"}
    call = {"method": "GET", "url": world.echo}
    session = {
        "allowed_providers": [PROVIDER],
        "return_url": "https://app.example.test/done",
        "allowed_origin": "https://app.example.test",
        "metadata": {"ip_address": "203.0.113.7", "user_agent": "x"},
        "grant_policy": {"max_ttl_seconds": 60, "expires_at": "2035-01-01T00:00:00Z"},
        "required_scopes": {PROVIDER: ["items:read"]},
        "requested_grant": {"label": "mine"},
        "user_token": jwt,
    }
    report = {
        "grant_id": grant.grant_id,
        "provider_id": PROVIDER,
        "token_generation": None,
        "method": "GET",
        "url": world.echo,
        "request_headers": {"Accept": "*/*"},
        "request_body": {"a": 1},
        "response_status": 200,
        "response_headers": {"Content-Type": "text/plain"},
        "response_body": "ok",
        "latency_ms": 12,
        "reason": None,
        "context": {"tool": "t"},
    }
    mismatch = {
        "provider_status_code": 403,
        "provider_error_code": "insufficient_scope",
        "missing_scopes": ["a"],
        "raw_www_authenticate": None,
        "api_endpoint": world.echo,
        "detection_source": "www_authenticate_rfc6750",
        "sdk_correlation_id": secrets.token_urlsafe(16),
    }
    return {
        "/sdk/token": {"provider_id": PROVIDER, "request": call, **use},
        "/sdk/proxy": {
            "grant_id": grant.grant_id,
            **call,
            "headers": {"X-Test": "1"},
            "query_params": {"a": ["1", 2]},
            "body": {"b": 1},
            "user_token": jwt,
        },
        "/sdk/oauth/connect/session": session,
        "/sdk/oauth/connect/session/poll": {"session_token": "x.y"},
        "/sdk/grants/list": {"limit": 10, "offset": 0, "provider_id": PROVIDER, "status": "active", "user_token": jwt},
        "/sdk/oauth/audit/api-call": report,
        f"/sdk/grants/{grant.grant_id}/mint": {"label": "second", "grant_policy": {"max_ttl_seconds": 60}},
        f"/sdk/grants/{grant.grant_id}/report-scope-mismatch": mismatch,
        f"/sdk/oauth/grants/{grant.grant_id}/revoke": {"reason": "done", "user_token": jwt},
        "/sdk/auth/verify-token": {"token": jwt},
    }


def test_every_bent_body_of_the_sdk_is_answered_with_an_explanation(world, seen):
    signer = world.signer()
    for path, body in sdk_bodies(world).items():
        assert signer.send("POST", path, body).status < 500
        for changed in [*bent(body), *BROKEN_BODIES]:
            answer = signer.send("POST", path, changed)
            assert_explained(answer.status, answer.headers, answer.body, f"{path} {str(changed)[:300]}", seen)
    assert world.server.is_healthy()


def test_every_bent_body_of_the_management_api_is_answered_with_an_explanation(server, management, seen):
    world = World(server, management)
    session = requests.Session()
    session.headers = {"Authorization": management.authorization, "Content-Type": "application/json"}
    routes = {
        f"{method.upper()} {path}"
        for path, methods in management.get("/openapi.json")["paths"].items()
        for method in methods
        if method != "get"
    }
    templates = management_bodies(world)
    assert templates.keys() <= routes
    # What ends the world's own app comes last.
    for route in sorted(routes, key=lambda route: (route.startswith("DELETE"), route)):
        method, path = route.split(" ")
        address = server.url + management_address(world, path)
        for changed in [*bent(templates.get(route, {"unheard_of": 1})), *BROKEN_BODIES]:
            body = changed if isinstance(changed, bytes) else json.dumps(changed)
            answer = session.request(method, address, data=body, timeout=30)
            assert_explained(
                answer.status_code, answer.headers, answer.content, f"{route} {str(changed)[:300]}", seen
            )
    assert server.is_healthy()
    world.close()


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
def test_another_content_type_changes_nothing_about_what_a_body_must_be(world, management, content_type):
    headers = {"Authorization": management.authorization, "Content-Type": content_type}
    answer = requests.post(f"{world.server.url}/api/v1/apps", b"<xml/>", headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_json")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X" * 200])
def test_odd_methods_and_paths_are_answered_with_an_explanation(world, management, seen, method):
    ids = ["%00", "%2e%2e%2f", "%ff", "..", "a" * 5000, "'", "%F0%9F%92%A9", ";", "%2F%2F", "%", "%zz", "~", "{}"]
    paths = [
        *(f"/api/v1/apps/{odd}" for odd in ids),
        *(f"/api/v1/apps/{world.app_id}/{kind}/{odd}" for odd in ids for kind in ("users", "grants", "audit", "policies")),
        *(f"/connect/{odd}" for odd in ids),
        *(f"/webhooks/idp/{odd}" for odd in ids),
        *(f"/oauth/callback?{query}" for query in ("state=%00", "code=a&code=b", "error=%3Cscript%3E", "%", "=&=&=")),
        *(f"/{odd}" for odd in ids),
        *(f"/api/v1/apps?{query}" for query in ("limit=0", "limit=x", "cursor=%00", "cursor=e30", "a=b", "limit=1&limit=2")),
    ]
    signer = Signer(world.server.url, world.api_key)
    headers = (("Host", "localhost"), ("Authorization", management.authorization))
    for path in paths:
        answer = RawRequest(world.server.url, method, path, headers).send()
        seen[answer.status] += 1
        assert answer.status < 500, (method, path, answer.body[:300])
    for odd in ids:
        answer = signer.request(method, f"/sdk/grants/{odd}/mint").send()
        seen[answer.status] += 1
        assert answer.status < 500, (method, odd, answer.body[:300])
    assert world.server.is_healthy()


def test_noise_on_the_wire_is_never_a_5xx(server, seen):
    seed = secrets.randbits(32)
    chance = random.Random(seed)
    good = (
        b"POST /sdk/token?a=1 HTTP/1.1\r\nHost: localhost\r\nx-api-key: alter_rk_abcdefghijklmnopqrstuv_iwpykn\r\n"
        b"X-Alter-Timestamp: 1750000000\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
        b'Connection: close\r\n\r\n{"a":1}'
    )
    for _ in range(400):
        noisy = bytearray(good)
        for _ in range(chance.randint(1, 12)):
            at = chance.randrange(len(noisy))
            match chance.randrange(3):
                case 0:
                    noisy[at] = chance.randrange(256)
                case 1:
                    del noisy[at : at + chance.randint(1, 20)]
                case _:
                    noisy[at:at] = chance.randbytes(chance.randint(1, 20))
        with server.connect() as connection:
            connection.settimeout(0.5)
            try:
                connection.sendall(noisy)
                first = connection.recv(64)
            except (TimeoutError, ConnectionError):
                first = b""
        assert not first.startswith(b"HTTP/1.1 5"), (seed, bytes(noisy), first)
        seen[int(first[9:12] or 0)] += 1
    assert server.is_healthy()


# Addresses that a caller or a proxy names


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,hello",
        "//evil.example",
        "/done",
        "http://app.example.test/done",
        "https://app.example.test@evil.example\\@app.example.test/",
        "https://u:p@app.example.test/",
        "https://app.example.test\\.evil.example/",
        "https://app.example.test/\r\nSet-Cookie: a=b",
        "https://app.example.test/\tdone",
        " https://app.example.test/",
        "https:///app.example.test",
        "",
    ],
)
def test_row_34_an_odd_way_back_is_refused_when_it_is_named(world, address):
    body = {"allowed_providers": [PROVIDER], "return_url": address, "user_token": world.jwt()}
    answer = world.signer().send("POST", "/sdk/oauth/connect/session", body)
    assert answer.status == 422 and "return_url" in answer.body.decode(), answer.body


def test_row_40_what_a_stranger_says_about_host_and_scheme_changes_no_address(world):
    body = {"allowed_providers": [PROVIDER], "user_token": world.jwt()}
    request = world.signer().request("POST", "/sdk/oauth/connect/session", body)
    forwarded = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Uri": "/evil",
        "X-Forwarded-For": "203.0.113.7",
        "Forwarded": "host=evil.example;proto=https",
        "X-Original-URL": "/evil",
    }
    answer = request.sending(headers=request.headers + tuple(forwarded.items())).send()
    assert answer.status in (200, 201), answer.body
    told = answer.json()
    assert told["connect_url"].startswith(f"{world.server.url}/")
    assert "evil" not in answer.body.decode()
