"""What most tests start from: one app of its own with a key, an identity provider and an OAuth provider."""

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import httpx
from alter_sdk import App, ApprovalResult, ConnectResult, ConnectSession

from . import browser
from .canaries import canary
from .idp import IdentityProvider
from .management import Management
from .oauth_provider import OAuthProvider
from .sdk import open_app, wait
from .server import Server
from .signer import Signer

PROVIDER = "acme"


class World:
    def __init__(self, server: Server, management: Management, **identity_provider: Any) -> None:
        self.server = server
        self.management = management
        self.app_id = management.post("/apps", {"name": f"Test app {secrets.token_hex(4)}"})["id"]
        self.path = f"/apps/{self.app_id}"
        self.api_key = self.new_key()
        self.idp = IdentityProvider()
        settings = {"issuer_url": self.idp.issuer, **identity_provider}
        self.identity_provider = management.post(f"{self.path}/identity-provider", settings)
        self.oauth = OAuthProvider()
        self.register(PROVIDER, self.oauth)
        self.app = self.open_app()

    def at(self, server: Server) -> "World":
        """The same app, at another node."""
        there = copy(self)
        there.server, there.management = server, self.management.at(server.url)
        there.app = there.open_app()
        return there

    def close(self) -> None:
        self.idp.close()
        self.oauth.close()

    # Setting up

    def new_key(self, **settings: Any) -> str:
        return canary(self.management.post(f"{self.path}/keys", {"name": "test", **settings})["api_key"])

    def open_app(self, **options: Any) -> App:
        return open_app(self.server.url, self.api_key, **options)

    def signer(self) -> Signer:
        return Signer(self.server.url, self.api_key)

    def register(self, provider_id: str, oauth: OAuthProvider, **changes: Any) -> dict[str, Any]:
        settings = {
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret,
            "scopes": ["items:read", "profile"],
            "authorization_url": oauth.url("/authorize"),
            "token_url": oauth.url("/token"),
            "revocation_url": oauth.url("/revoke"),
            "userinfo_url": oauth.url("/userinfo"),
            "api_hosts": [oauth.host],
            "account_claim": "email",
        }
        return self.management.put(f"{self.path}/oauth-providers/{provider_id}", {**settings, **changes})

    def add_secret(self, slug: str, credential_type: str, value: dict[str, str], **settings: Any) -> dict[str, Any]:
        for part in value.values():
            canary(part)
        body = {
            "slug": slug,
            "name": slug,
            "credential_type": credential_type,
            "value": value,
            "allowed_hosts": [self.oauth.host],
        }
        return self.management.post(f"{self.path}/managed-secrets", {**body, **settings})

    # Users

    def subject(self, name: str = "alice") -> str:
        return f"idp|{name}"

    def jwt(self, name: str = "alice", **claims: Any) -> str:
        return self.idp.mint({"sub": self.subject(name), "email": f"{name}@corp.test", **claims})

    def user(self, name: str = "alice") -> dict[str, Any]:
        subject = self.subject(name)
        return next(
            user for user in self.management.items(f"{self.path}/users") if user["external_subject_id"] == subject
        )

    # Connect

    def start_connect(self, jwt: str, provider_id: str = PROVIDER, **options: Any) -> ConnectSession:
        return wait(self.app.create_connect_session(allowed_providers=[provider_id], user_token=jwt, **options))

    def outcome(self, session: ConnectSession) -> list[ConnectResult]:
        return wait(self.app.poll_connect_session(session.session_token, timeout=10, poll_interval=0.1))

    @contextmanager
    def at_the_browser(self, jwt: str) -> Iterator[None]:
        """Meanwhile the identity provider knows the browser's person as the user of this token."""
        before = self.idp.person
        payload = jwt.split(".")[1]
        self.idp.person = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]
        try:
            yield
        finally:
            self.idp.person = before

    def connect(self, jwt: str, account: str = "alice", provider_id: str = PROVIDER, **options: Any) -> ConnectResult:
        """The whole journey; the person at the browser has `account` at the provider."""
        self.oauth.account = account
        session = self.start_connect(jwt, provider_id, **options)
        with self.at_the_browser(jwt):
            browser.connect(session.connect_url, provider_id)
        [result] = self.outcome(session)
        return result

    # Use

    @property
    def echo(self) -> str:
        return self.oauth.url("/api/echo")

    def request(self, url: str | None = None, **options: Any) -> httpx.Response:
        return wait(self.app.request("GET", url or self.echo, **options))

    def request_as(self, jwt: str, url: str | None = None, **options: Any) -> httpx.Response:
        return self.request(url, provider=PROVIDER, user_token=jwt, **options)

    def proxy(self, method: str = "GET", url: str | None = None, **options: Any) -> ApprovalResult:
        return wait(self.app.proxy_request(method, url or self.echo, **options))

    def audit(self, **filters: Any) -> list[dict[str, Any]]:
        return self.management.items(f"{self.path}/audit", **filters)
