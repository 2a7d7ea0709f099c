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

    def __init__(self, world: World, enabled: dict[str, str] | None = None) -> None:
        """`enabled`: the address and the secret, where webhooks are enabled already."""
        self._world = world
        enabled = enabled or world.management.post(f"{world.path}/identity-provider/webhooks")
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
        return requests.post(self.url, json=list(events), headers=headers, timeout=60)

    def end_user(self) -> None:
        assert self.send(self.event(), authorization=self.secret).ok

    def forgeries(self) -> Iterator[requests.Response]:
        for wrong in (None, "wrong", self.secret[:-1], self.secret + "x", f"Basic {self.secret}"):
            yield self.send(self.event(), authorization=wrong)


class ClerkEndpoint:
    """A Clerk endpoint, signed by the real Svix library. Events have the members of Clerk's published schemas."""

    idp_type = "clerk"

    def __init__(self, world: World, enabled: dict[str, str] | None = None) -> None:
        """`enabled`: the address and the secret, where webhooks are enabled already."""
        self._world = world
        self.secret = enabled["signing_secret"] if enabled else self.new_secret()
        path = f"{world.path}/identity-provider/webhooks"
        enabled = enabled or world.management.post(path, {"signing_secret": self.secret})
        self.url = enabled["url"]

    @staticmethod
    def new_secret() -> str:
        return canary("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())

    # Events

    def event(self, kind: str, data: dict[str, Any], at: float | None = None) -> dict[str, Any]:
        """`at`: seconds since the epoch; now when left out."""
        return {
            "object": "event",
            "type": kind,
            "instance_id": "ins_conformance",
            "timestamp": int((at or _now().timestamp()) * 1000),
            "event_attributes": {"http_request": {"client_ip": "203.0.113.7", "user_agent": "conformance"}},
            "data": data,
        }

    def user_deleted(self, name: str = "alice", at: float | None = None) -> dict[str, Any]:
        return self.event("user.deleted", {"object": "user", "id": self._world.subject(name), "deleted": True}, at)

    def user_updated(self, name: str = "alice", at: float | None = None, **changes: Any) -> dict[str, Any]:
        moment = int((at or _now().timestamp()) * 1000)
        user = {
            "object": "user",
            "id": self._world.subject(name),
            "external_id": None,
            "username": name,
            "first_name": name.capitalize(),
            "last_name": "Conformance",
            "image_url": "https://img.example.test/a.png",
            "primary_email_address_id": "idn_2",
            "email_addresses": [
                {"id": "idn_1", "object": "email_address", "email_address": f"{name}.old@corp.test"},
                {"id": "idn_2", "object": "email_address", "email_address": f"{name}.new@corp.test"},
            ],
            "phone_numbers": [],
            "public_metadata": {"department": "engineering"},
            "private_metadata": None,
            "banned": False,
            "locked": False,
            "lockout_expires_in_seconds": None,
            "verification_attempts_remaining": 100,
            "created_at": moment - 86_400_000,
            "updated_at": moment,
        }
        return self.event("user.updated", {**user, **changes}, at)

    def membership_deleted(
        self, organization: str, name: str = "alice", slug: str = "some-slug", at: float | None = None
    ) -> dict[str, Any]:
        moment = int((at or _now().timestamp()) * 1000)
        membership = {
            "object": "organization_membership",
            "id": "orgmem_conformance",
            "role": "org:member",
            "role_name": "Member",
            "permissions": ["org:reports:read"],
            "public_metadata": {},
            "organization": {"object": "organization", "id": organization, "slug": slug, "name": "Some Organization"},
            "public_user_data": {"user_id": self._world.subject(name), "identifier": f"{name}@corp.test"},
            # A membership's own times are those of its life, not of its end.
            "created_at": moment - 86_400_000,
            "updated_at": moment - 86_400_000,
        }
        return self.event("organizationMembership.deleted", membership, at)

    # Sending

    def headers(
        self, body: str, key: str | None = None, message_id: str | None = None, age: timedelta = timedelta()
    ) -> dict[str, str]:
        message_id = message_id or f"msg_{secrets.token_hex(12)}"
        sent = (_now() - age).replace(microsecond=0)
        signature = Webhook(key or self.secret).sign(message_id, sent, body)
        return {"svix-id": message_id, "svix-timestamp": str(int(sent.timestamp())), "svix-signature": signature}

    def post(self, body: str | bytes, headers: dict[str, str], url: str | None = None) -> requests.Response:
        headers = {"Content-Type": "application/json", **headers}
        return requests.post(url or self.url, body, headers=headers, timeout=60)

    def send(self, event: dict[str, Any], message_id: str | None = None) -> requests.Response:
        body = json.dumps(event)
        return self.post(body, self.headers(body, message_id=message_id))

    def end_user(self) -> None:
        assert self.send(self.user_deleted()).ok

    def forgeries(self) -> Iterator[requests.Response]:
        body = json.dumps(self.user_deleted())
        yield self.post(body, self.headers(body, key=self.new_secret()))
        for seconds in 310, -310:
            yield self.post(body, self.headers(body, age=timedelta(seconds=seconds)))
        good = self.headers(body)
        yield self.post(body + " ", good)
        # The same event in other words: what is signed is the bytes.
        yield self.post(json.dumps(json.loads(body), separators=(",", ":")), good)
        for missing in good:
            yield self.post(body, {name: value for name, value in good.items() if name != missing})
            yield self.post(body, {**good, missing: ""})
        right = good["svix-signature"]
        for signature in (
            *("v1,", "v1", ",", "v1, v1,", "v1,AAAA", right[3:], "v1," + right, right[:-2], right[:-8] + "AAAAAAA="),
            *("v2," + right[3:], "v1a," + right[3:], "V1," + right[3:], right.replace(",", ";"), right + "x"),
        ):
            yield self.post(body, {**good, "svix-signature": signature})
        sent = int(good["svix-timestamp"])
        for timestamp in str(sent * 1000), str(-sent), f"{sent}.0", f"+{sent}", f"{sent}a", "soon", "0" * 12 + str(sent):
            yield self.post(body, {**good, "svix-timestamp": timestamp})


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
