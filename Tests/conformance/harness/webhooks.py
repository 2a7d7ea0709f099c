"""What the identity providers send when a user is gone, and how somebody else would try to send it."""

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from svix.webhooks import Webhook

from .canaries import canary
from .world import World


def _now() -> datetime:
    return datetime.now(UTC)


class Auth0Stream:
    """An Auth0 log stream: a batch of events and the token exactly as it was typed."""

    idp_type = "auth0"

    def __init__(self, world: World) -> None:
        self._world = world
        enabled = world.management.post(f"{world.path}/identity-provider/webhooks")
        self.url, self.secret = enabled["url"], canary(enabled["signing_secret"])

    def event(self, kind: str = "sdu", name: str = "alice") -> dict[str, Any]:
        log_id = "900" + str(secrets.randbelow(10**50)).zfill(50)
        date = _now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = {
            "type": kind,
            "date": date,
            "user_id": self._world.subject(name),
            "description": "",
            "details": {},
            "log_id": log_id,
        }
        return {"log_id": log_id, "data": data}

    def send(self, *events: dict[str, Any], authorization: str | None) -> requests.Response:
        headers = {} if authorization is None else {"Authorization": authorization}
        return requests.post(self.url, json=list(events), headers=headers, timeout=20)

    def end_user(self) -> None:
        assert self.send(self.event(), authorization=self.secret).ok

    def forgeries(self) -> Iterator[requests.Response]:
        for wrong in (None, "wrong", self.secret[:-1], self.secret + "x", f"Basic {self.secret}"):
            yield self.send(self.event(), authorization=wrong)


class ClerkEndpoint:
    """A Clerk endpoint, signed by the real Svix library."""

    idp_type = "clerk"

    def __init__(self, world: World) -> None:
        self._secret = self._new_secret()
        enabled = world.management.post(f"{world.path}/identity-provider/webhooks", {"signing_secret": self._secret})
        self.url = enabled["url"]
        event = {
            "object": "event",
            "type": "user.deleted",
            "instance_id": "ins_1",
            "timestamp": int(_now().timestamp() * 1000),
            "data": {"object": "user", "id": world.subject(), "deleted": True},
        }
        self._body = json.dumps(event)

    @staticmethod
    def _new_secret() -> str:
        return canary("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())

    def _headers(self, key: str, age: timedelta = timedelta()) -> dict[str, str]:
        message_id, sent = f"msg_{secrets.token_hex(12)}", (_now() - age).replace(microsecond=0)
        signature = Webhook(key).sign(message_id, sent, self._body)
        return {"svix-id": message_id, "svix-timestamp": str(int(sent.timestamp())), "svix-signature": signature}

    def _send(self, headers: dict[str, str], body: str | None = None) -> requests.Response:
        return requests.post(
            self.url, body or self._body, headers={"Content-Type": "application/json", **headers}, timeout=20
        )

    def end_user(self) -> None:
        assert self._send(self._headers(self._secret)).ok

    def forgeries(self) -> Iterator[requests.Response]:
        yield self._send(self._headers(self._new_secret()))
        yield self._send(self._headers(self._secret, age=timedelta(seconds=310)))
        yield self._send(self._headers(self._secret, age=timedelta(seconds=-310)))
        good = self._headers(self._secret)
        yield self._send(good, self._body + " ")
        for missing in good:
            yield self._send({name: value for name, value in good.items() if name != missing})
        for signature in ("v1,", "v2," + good["svix-signature"][3:], good["svix-signature"][:-2], "v1,AAAA"):
            yield self._send({**good, "svix-signature": signature})


class OperatorDecision:
    """No webhook at all: an operator of the app decides."""

    idp_type = "custom_oidc"

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def _path(self) -> str:
        return f"{self._world.path}/users/{self._world.user()['id']}/deprovision"

    def end_user(self) -> None:
        self._world.management.post(self._path, {"reason": "left"})

    def forgeries(self) -> Iterator[requests.Response]:
        address = f"{self._world.server.url}/api/v1{self._path}"
        yield requests.post(address, json={"reason": "left"}, timeout=20)
        yield requests.post(
            address, json={"reason": "left"}, headers={"Authorization": f"Bearer {self._world.api_key}"}, timeout=20
        )
