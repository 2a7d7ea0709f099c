"""What is asked of the vault. Each scenario makes requests that are good for one installation, and for one node of it."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice

from .calls import Bodies, Requests, deliveries, signed, token
from .installation import Installation

_CONNECT_SESSIONS = 100
_KNOWN_TOKEN_SECONDS, _FRESH_TOKEN_SECONDS = 3600, 600


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    requests: Callable[[Installation, str], Requests]
    """Of an installation, to the node with this address."""
    statuses: tuple[int, ...] = (200,)
    warm_up: int = 60_000
    """Requests made for the second before what is measured."""


def _document(**members: object) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def _in_turn(bodies: list[bytes]) -> Bodies:
    return lambda number: bodies[number % len(bodies)]


def _call(vault: Installation) -> dict[str, str]:
    return {"method": "GET", "url": vault.world.echo}


def _claims(vault: Installation, subject: str, seconds: int) -> dict[str, object]:
    now = int(time.time())
    email = f"{subject.partition('|')[2]}@corp.test"
    return {"iss": vault.world.idp.issuer, "sub": subject, "email": email, "iat": now, "exp": now + seconds}


# Retrieve


def _by_grant(vault: Installation, url: str) -> Requests:
    bodies = [_document(grant_id=each.grant_id, request=_call(vault)) for each in vault.connected]
    return signed(url, vault.world.api_key, "/sdk/token", _in_turn(bodies))


def _known(algorithm: str) -> Callable[[Installation, str], Requests]:
    """A token for each user, which the vault has seen before."""

    def requests(vault: Installation, url: str) -> Requests:
        key = vault.world.idp.key(algorithm)
        users = {each.user for each in vault.connected}
        tokens = {user: token(key, _claims(vault, user, _KNOWN_TOKEN_SECONDS)) for user in users}
        bodies = [
            _document(provider_id=each.provider_id, user_token=tokens[each.user], request=_call(vault))
            for each in vault.connected
        ]
        return signed(url, vault.world.api_key, "/sdk/token", _in_turn(bodies))

    return requests


def _first_sight(algorithm: str) -> Callable[[Installation, str], Requests]:
    """A token of its own for each request."""

    def requests(vault: Installation, url: str) -> Requests:
        key, connected = vault.world.idp.key(algorithm), vault.connected

        def body(number: int) -> bytes:
            each = connected[number % len(connected)]
            claims = {**_claims(vault, each.user, _FRESH_TOKEN_SECONDS), "jti": secrets.token_hex(16)}
            return _document(provider_id=each.provider_id, user_token=token(key, claims), request=_call(vault))

        return signed(url, vault.world.api_key, "/sdk/token", body)

    return requests


# The rest


def _list(vault: Installation, url: str) -> Requests:
    """One user's grants."""
    key = vault.world.idp.key("ES256")
    users = sorted({each.user for each in vault.connected})
    bodies = [
        _document(user_token=token(key, _claims(vault, user, _KNOWN_TOKEN_SECONDS)), limit=100, offset=0)
        for user in users
    ]
    return signed(url, vault.world.api_key, "/sdk/grants/list", _in_turn(bodies))


def _poll(vault: Installation, url: str) -> Requests:
    """Sessions that nobody has consented in yet."""
    world = vault.world
    users = islice(cycle(sorted({each.user for each in vault.connected})), _CONNECT_SESSIONS)
    key = world.idp.key("ES256")
    started = [world.start_connect(token(key, _claims(vault, user, _FRESH_TOKEN_SECONDS))) for user in users]
    bodies = [_document(session_token=session.session_token) for session in started]
    return signed(url, world.api_key, "/sdk/oauth/connect/session/poll", _in_turn(bodies))


def _webhook(vault: Installation, url: str) -> Requests:
    """A user's profile changes: each delivery changes a row."""
    names, endpoint = vault.updated, vault.webhooks

    def body(number: int) -> bytes:
        name = names[number % len(names)]
        # Several processes make them at the same time; what seems older than the delivery before changes nothing.
        at = time.time() + number * 5e-5
        changed = endpoint.user_updated(name, at=at, first_name=f"{name} {secrets.token_hex(4)}")
        return json.dumps(changed, separators=(",", ":")).encode()

    return deliveries(endpoint.url.replace(vault.nodes[0].url, url), endpoint.secret, body)


SCENARIOS = [
    Scenario("retrieve-grant", "retrieve by grant", _by_grant),
    Scenario("retrieve-known-es256", "retrieve by provider and JWT, ES256, known", _known("ES256")),
    Scenario("retrieve-known-rs256", "retrieve by provider and JWT, RS256, known", _known("RS256")),
    Scenario(
        "retrieve-first-es256",
        "retrieve by provider and JWT, ES256, first sight",
        _first_sight("ES256"),
        warm_up=15_000,
    ),
    # One takes 0.6 ms to sign.
    Scenario(
        "retrieve-first-rs256", "retrieve by provider and JWT, RS256, first sight", _first_sight("RS256"), warm_up=4000
    ),
    Scenario("list", "list a user's ten grants", _list),
    Scenario("webhook", "webhook, a profile changes", _webhook, statuses=(204,), warm_up=20_000),
    Scenario("connect-poll", "poll a Connect session", _poll),
]
