"""An app as it looks after some weeks of use: something on every page, and every state that a page can show."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from alter_sdk import AlterSDKError

from .browser import Browser
from .management import Management
from .oauth_provider import OAuthProvider
from .portal import Operator, invitation, invite
from .sdk import wait
from .server import Server
from .wallet import enable_sign_in, sign_in_to_wallet
from .webhooks import Auth0Stream
from .world import World

PEOPLE = {"ada": ["engineering"], "grace": ["engineering", "security"], "alan": ["finance"], "edsger": ["support"]}
"""Who uses the app, and their groups. Edsger has left and Alan is suspended."""
PROVIDERS = {"workbench": "Workbench", "ledger": "Ledger", "calendar": "Calendar"}
POLICY = {
    "allowed_groups": ["engineering", "finance"],
    "ip_allowlist": ["127.0.0.0/8", "203.0.113.0/24"],
    "time": {"timezone": "Europe/London", "windows": [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "00:00", "end": "24:00"}]},
}


@dataclass
class Stage:
    world: World
    operator: Operator
    wallet: Browser
    """Ada's."""
    empty_app_path: str
    connect_pages: dict[str, tuple[Browser, str]]
    """Connect in each of its states: whose browser, and the address."""

    @property
    def app_path(self) -> str:
        return f"/portal/apps/{self.world.app_id}"


@contextmanager
def staged(server: Server, management: Management) -> Iterator[Stage]:
    world = World(server, management, idp_type="auth0", group_claim="groups")
    try:
        yield _stage(world)
    finally:
        world.close()


def _stage(world: World) -> Stage:
    management = world.management
    management.call("PATCH", world.path, {"name": "Atlas", "website_url": "https://atlas.example"})
    enable_sign_in(world)
    management.delete(f"{world.path}/oauth-providers/acme")
    for provider_id, name in PROVIDERS.items():
        world.register(provider_id, world.oauth, display_name=name)
    world.new_key(name="billing worker", scopes=["tokens:retrieve"], cidr_allowlist=["10.0.0.0/8"])
    old = management.post(f"{world.path}/keys", {"name": "retired"})
    management.post(f"{world.path}/keys/{old['id']}/rotate", {"overlap_days": 7})
    world.add_secret("mail", "bearer", {"token": secrets.token_urlsafe(24)}, name="Mail relay")
    world.add_secret("maps", "api_key", {"key": secrets.token_urlsafe(24)}, name="Maps", injection={"header": "X-Key", "format": "{token}"})
    for name, groups in PEOPLE.items():
        _use(world, name, groups)
    management.put(f"{world.path}/policies/*", {"ip_allowlist": ["127.0.0.0/8"]})
    management.put(f"{world.path}/policies/workbench", POLICY)
    stream = Auth0Stream(world)
    assert stream.send(stream.event("sdu", "edsger"), authorization=stream.secret).ok
    assert stream.send(stream.event("sul", "ada"), authorization=stream.secret).ok
    stream.send(stream.event("sdu", "ada"), authorization="not the secret")
    management.post(f"{world.path}/users/{world.user('alan')['id']}/suspend", {"reason": "an audit"})
    management.put(f"{world.path}/audit/retention", {"days": 365})
    invitation(management, "member", email="barbara@atlas.example")
    empty = management.post("/apps", {"name": "Prototype"})["id"]
    archived = management.post("/apps", {"name": "Last year"})["id"]
    management.post(f"/apps/{archived}/archive")
    operator = invite(management, "admin", email="joan@atlas.example")
    wallet = _signed_in(world, "ada")
    return Stage(world, operator, wallet, f"/portal/apps/{empty}", _connect_pages(world))


def _profile(name: str) -> dict[str, object]:
    return {"email": f"{name}@atlas.example", "name": name.title(), "groups": PEOPLE[name]}


def _jwt(world: World, name: str) -> str:
    return world.idp.mint({"sub": world.subject(name), **_profile(name)})


def _signed_in(world: World, name: str) -> Browser:
    world.idp.id_token_claims = _profile(name)
    browser, _ = sign_in_to_wallet(world, name)
    return browser


def _use(world: World, name: str, groups: list[str]) -> None:
    """Connects accounts, calls with them, and is refused once."""
    jwt = _jwt(world, name)
    for provider_id in list(PROVIDERS)[: 1 + len(groups)]:
        terms = {"grant_policy": {"max_ttl_seconds": 86_400 * 7}} if provider_id == "ledger" else {}
        grant = world.connect(jwt, account=name, provider_id=provider_id, **terms)
        for _ in range(2):
            assert world.request(grant_id=grant.grant_id, reason="nightly sync").status_code == 200
    if name == "grace":
        world.management.post(f"{world.path}/grants/{grant.grant_id}/revoke", {"reason": "no longer needed"})
        with suppress(AlterSDKError):
            world.request(grant_id=grant.grant_id, reason="nightly sync")


def _connect_pages(world: World) -> dict[str, tuple[Browser, str]]:
    jwt = _jwt(world, "ada")

    def opened() -> str:
        providers = list(PROVIDERS)
        session = wait(world.app.create_connect_session(allowed_providers=providers, user_token=jwt))
        return session.connect_url

    ada = _signed_in(world, "ada")
    pages = {"choice": (ada, opened())}
    declined = opened()
    ada.press(ada.open(declined), "decline")
    pages["declined"] = ada, declined
    visitor, address = _signed_in(world, "ada"), opened()
    visitor.press(visitor.open(address), "provider", "workbench")
    pages["done"] = visitor, address
    pages["another person"] = _signed_in(world, "grace"), opened()
    pages["nobody yet"] = Browser(), opened()
    pages["unknown"] = Browser(), f"{world.server.url}/connect/{'A' * 43}"
    return pages
