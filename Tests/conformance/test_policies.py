"""Rules on the use of credentials: each of them, their layers, limits and terms, and what is asked of them."""

import ipaddress
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest
from alter_sdk import (
    App,
    BackendError,
    ConnectFlowError,
    GrantExpiredError,
    InsufficientScopeError,
    PolicyViolationError,
    RateLimitError,
    RestrictedGrantRequiresProxyError,
)

from harness.browser import Browser
from harness.canaries import canary
from harness.management import Management, ManagementError
from harness.sdk import open_app, wait
from harness.server import Server
from harness.signer import RawAnswer, Signer
from harness.swarm import Message, Swarm, signed, uses
from harness.webhooks import ClerkEndpoint
from harness.world import PROVIDER, World

Policy = dict[str, Any]
Use = Callable[..., Any]

OTHER = "acme-2"
NOWHERE = "00000000-0000-4000-8000-000000000000"
ALWAYS = {"windows": [{"start": "00:00", "end": "24:00"}]}
HOUR = 3600


def never() -> Policy:
    """Hours that are days away."""
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return {"windows": [{"days": [days[(datetime.now(UTC).weekday() + 3) % 7]], "start": "00:00", "end": "24:00"}]}


def limit(requests: int, seconds: int = HOUR, per: str = "grant") -> Policy:
    return {"rate_limit": {"requests": requests, "per_seconds": seconds, "per": per}}


def longest(seconds: int) -> Policy:
    return {"grant_ttl": {"max_seconds": seconds}}


class Office:
    """An app whose user tokens name groups and roles. alice connected an account; rules are set by layer."""

    def __init__(self, server: Server, management: Management, **identity_provider: Any) -> None:
        settings = {"group_claim": "groups", "role_claim": "roles", **identity_provider}
        self.world = World(server, management, **settings)
        self.management = management
        self.path = self.world.path
        [key] = management.items(f"{self.path}/keys")
        self.key_id = key["id"]
        self.in_force: set[str] = set()
        self.jwt = self.token()
        self.grant_id = self.world.connect(self.jwt).grant_id

    def token(self, name: str = "alice", groups: tuple[str, ...] = ("eng",), **claims: Any) -> str:
        return self.world.jwt(name, **{"groups": list(groups), "roles": ["admin"], **claims})

    @property
    def user_id(self) -> str:
        return self.world.user()["id"]

    # Rules

    def address(self, layer: str) -> str:
        places = {
            "app": "policies/*",
            "provider": f"policies/{PROVIDER}",
            "grant": f"grants/{self.grant_id}/policy",
            "key": f"keys/{self.key_id}/policy",
        }
        return f"{self.path}/{places.get(layer, f'policies/{layer}')}"

    def put(self, policy: Policy, layer: str = "provider") -> Any:
        self.in_force.add(layer)
        return self.management.put(self.address(layer), policy)

    def drop(self, layer: str = "provider") -> None:
        self.management.delete(self.address(layer))
        self.in_force.discard(layer)

    def drop_all(self) -> None:
        for layer in list(self.in_force):
            try:
                self.drop(layer)
            except ManagementError as absent:
                assert absent.status == 404, absent
        self.in_force.clear()

    # Uses

    def retrieve(self, **how: Any) -> Any:
        how = how or {"provider": PROVIDER, "user_token": self.jwt}
        return self.world.request(**how)

    def proxy(self, method: str = "GET", url: str | None = None, **how: Any) -> Any:
        how = how or {"provider": PROVIDER, "user_token": self.jwt}
        return self.world.proxy(method, url, **how)

    def both(self) -> tuple[Use, Use]:
        return self.retrieve, self.proxy

    def decided(self) -> list[dict[str, Any]]:
        """The records of uses, the newest one first."""
        return [
            record for record in self.world.audit() if record["event"] in ("credential.retrieved", "credential.proxied")
        ]

    # Questions

    def simulate(self, **question: Any) -> dict[str, Any]:
        if not {"grant_id", "provider_id"} & question.keys():
            question["grant_id"] = self.grant_id
        return self.management.post(f"{self.path}/policies/simulate", question)

    def says(self, rule: str, **question: Any) -> str:
        [result] = [each["result"] for each in self.simulate(**question)["rules"] if each["rule"] == rule]
        return result

    def replay(self, draft: Policy, provider_id: str = PROVIDER, **span: str) -> dict[str, Any]:
        body = {"provider_id": provider_id, "policy": draft, **span}
        return self.management.post(f"{self.path}/policies/replay", body)


@pytest.fixture(scope="module")
def shared_office(server, management):
    office = Office(server, management)
    yield office
    office.world.close()


@pytest.fixture
def office(shared_office):
    """The module's office; the rules of the test go with it."""
    yield shared_office
    shared_office.drop_all()


@pytest.fixture
def new_office(server, management):
    """For tests that count records or change users and grants."""
    office = Office(server, management)
    yield office
    office.world.close()


def refused(use: Use, *arguments: Any, **options: Any) -> PolicyViolationError:
    with pytest.raises(PolicyViolationError) as refusal:
        use(*arguments, **options)
    assert (refusal.value.status_code, refusal.value.policy_error) == (403, "policy_violation")
    return refusal.value


def decision(refusal: BackendError) -> dict[str, Any]:
    """Which rule of which layer decided."""
    return refusal.details["details"]


def limited(use: Use, *arguments: Any, **options: Any) -> RateLimitError:
    with pytest.raises(RateLimitError) as refusal:
        use(*arguments, **options)
    assert (refusal.value.status_code, decision(refusal.value)["rule"]) == (429, "rate_limit")
    return refusal.value


def expired(use: Use, *arguments: Any, **options: Any) -> None:
    with pytest.raises(GrantExpiredError):
        use(*arguments, **options)


def used_up(use: Use, allowed: int) -> RateLimitError:
    """`allowed` uses pass, and the next one does not."""
    for _ in range(allowed):
        assert use().status_code == 200
    return limited(use)


def error_of(call: Use, *arguments: Any) -> int:
    with pytest.raises(ManagementError) as failed:
        call(*arguments)
    return failed.value.status


def bad_fields(call: Use, *arguments: Any) -> set[str]:
    with pytest.raises(ManagementError) as failed:
        call(*arguments)
    assert (failed.value.status, failed.value.body["error"]) == (422, "validation_failed"), failed.value
    return {each["field"] for each in failed.value.body["details"]["fields"]}


# Each rule

RULES = {
    "allowed_groups": (["ops", "eng"], ["ops"]),
    "allowed_roles": (["admin"], ["owner"]),
    "time": (ALWAYS, None),
    "ip_allowlist": (["10.0.0.0/8", "127.0.0.1"], ["203.0.113.0/24", "::1"]),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_allows_and_denies_retrieving_and_proxying_alike(office, rule):
    allowing, denying = RULES[rule]
    for use in office.both():
        office.put({rule: allowing})
        assert use().status_code == 200
        office.put({rule: never() if denying is None else denying})
        assert refused(use).details["rule"] == rule
        newest = office.decided()[0]
        outcomes = {(each["rule"], each["layer"]): each["result"] for each in newest["details"]["rules"]}
        assert (newest["decision"], outcomes) == ("deny", {(rule, "provider"): "deny"})


@pytest.mark.parametrize("rule", ["allowed_groups", "allowed_roles", "ip_allowlist"])
def test_an_empty_list_allows_nobody(office, rule):
    office.put({rule: []})
    for use in office.both():
        assert refused(use).details["rule"] == rule


@pytest.mark.parametrize("rule", ["allowed_groups", "allowed_roles"])
def test_a_grant_of_the_app_itself_cannot_be_judged_by_groups_or_roles_and_is_denied(office, rule):
    slug = f"static-{rule.replace('_', '-')}"
    secret = office.world.add_secret(slug, "bearer", {"token": f"a-static-token-for-{slug}"})
    office.world.oauth.accepted_headers.add(("authorization", f"Bearer a-static-token-for-{slug}"))
    assert office.retrieve(grant_id=secret["grant_id"]).status_code == 200
    office.put({rule: ["eng", "admin"]}, "app")
    for use in office.both():
        assert refused(use, grant_id=secret["grant_id"]).details["rule"] == rule
        assert use().status_code == 200


@pytest.mark.parametrize(("rule", "other"), [("methods", {"methods": ["POST"]}), ("paths", {"paths": ["/v1/**"]})])
def test_what_limits_calls_goes_through_the_proxy_only(office, rule, other):
    office.put({rule: ["GET"] if rule == "methods" else ["/api/**"]})
    with pytest.raises(RestrictedGrantRequiresProxyError) as refusal:
        office.retrieve()
    assert (refusal.value.status_code, refusal.value.details["error"]) == (400, "restricted_grant_requires_proxy")
    assert office.proxy().status_code == 200
    office.put(other)
    assert refused(office.proxy).details["rule"] == rule
    with pytest.raises(RestrictedGrantRequiresProxyError):
        office.retrieve()


@pytest.mark.parametrize("layer", ["app", "grant", "key"])
def test_a_limit_of_calls_in_any_layer_keeps_the_credential_in_the_vault(office, layer):
    office.put({"methods": ["GET", "POST"]}, layer)
    with pytest.raises(RestrictedGrantRequiresProxyError):
        office.retrieve()
    assert office.proxy("POST").status_code == 200
    assert refused(office.proxy, "DELETE").details["layer"] == layer


def test_calls_that_need_an_approval_are_refused_and_others_pass(office):
    office.put({"require_approval": {"methods": ["POST", "DELETE"], "paths": ["/api/**"]}})
    with pytest.raises(RestrictedGrantRequiresProxyError) as refusal:
        office.retrieve()
    assert (refusal.value.status_code, refusal.value.details["error"]) == (400, "hitl_grant_requires_proxy")
    assert refused(office.proxy, "POST").details["rule"] == "require_approval"
    assert office.proxy().status_code == 200
    assert office.proxy("POST", office.world.oauth.url("/other")).status_code == 404
    office.put({"require_approval": {}})
    assert refused(office.proxy).details["rule"] == "require_approval"


def test_row_86_a_call_that_needs_an_approval_is_refused_to_whoever_asks(new_office):
    world = new_office.world
    new_office.put({"require_approval": {"methods": ["POST"]}})
    reached = len(world.oauth.calls)
    agent = open_app(world.server.url, world.new_key(key_type="agent"))
    for _ in range(2):
        for how in {"grant_id": new_office.grant_id}, {"provider": PROVIDER, "user_token": new_office.jwt}:
            claim = {"json": {"approved": True, "approval_id": NOWHERE}, "reason": "approved by my boss", **how}
            assert refused(new_office.proxy, "POST", **claim).details["rule"] == "require_approval"
    with pytest.raises(BackendError):
        wait(agent.proxy_request("POST", world.echo, grant_id=new_office.grant_id))
    new_office.management.post(f"{new_office.path}/users/{new_office.user_id}/deprovision", {"reason": "left"})
    with pytest.raises(BackendError):
        new_office.proxy("POST", grant_id=new_office.grant_id)
    assert [record["decision"] for record in new_office.decided()] == ["deny"] * 6
    assert len(world.oauth.calls) == reached


PATHS = [
    ("/v1/**", "/v1/a/b", True),
    ("/v1/**", "/v1", True),
    ("/v1/**", "/v1x/a", False),
    ("/v1/**", "/V1/a", False),
    ("/v1/*", "/v1/a", True),
    ("/v1/*", "/v1/a/b", False),
    ("/v1/*/items", "/v1/7/items", True),
    ("/**/items", "/a/b/items", True),
    ("/v1/a*c", "/v1/abbc", True),
    ("/v1/a", "/v1/a?q=/v2", True),
    ("/v1/**", "/v2?q=/v1/", False),
    ("/v1/**", "/v1/../v2", False),
    ("/v1/**", "/v1/%2e%2e/v2", False),
    ("/v1/**", "/v1/..%2Fv2", False),
    ("/v1/**", "/v1/a%5c..%5cv2", False),
    ("/v1/**", "//v1/a", False),
    ("/v1/**", "/v1//a", False),
    ("/v1/**", "/v1/a;/../v2", False),
]


@pytest.mark.parametrize(("pattern", "target", "is_allowed"), PATHS, ids=[f"{p} {t}" for p, t, _ in PATHS])
def test_a_pattern_of_paths_matches_what_it_says_and_nothing_ambiguous(office, pattern, target, is_allowed):
    office.put({"paths": [pattern]})
    url = f"http://{office.world.oauth.host}{target}"
    assert office.says("paths", method="GET", url=url) == ("allow" if is_allowed else "deny")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("/v1/*:delete", "/v1/x%3Adelete"), ("/v1/caf%C3%A9", "/v1/caf%c3%a9"), ("/v1/%7Eu", "/v1/~u"), ("/a", "/%61")],
)
def test_an_encoding_is_no_way_around_an_approval(office, pattern, path):
    office.put({"require_approval": {"paths": [pattern]}})
    assert office.says("require_approval", url=f"http://{office.world.oauth.host}{path}") == "deny"


def test_patterns_and_paths_made_to_be_slow_allow_nothing_and_keep_nobody_waiting(new_office, server, management):
    slow = [f"/**/{'a/' * 240}b{number}" for number in range(200)]
    new_office.put({"paths": slow, "require_approval": {"paths": slow}})
    url = f"http://{new_office.world.oauth.host}{'/a' * 12_000}"
    bystander = Office(server, management)
    started = time.monotonic()
    assert refused(new_office.proxy, "GET", url).details["rule"] == "paths"
    assert time.monotonic() - started < 5
    assert new_office.says("require_approval", url=url) == "deny"
    assert bystander.retrieve().status_code == 200
    bystander.world.close()


def test_an_ambiguous_path_needs_an_approval(office):
    office.put({"require_approval": {"paths": ["/admin/**"]}})
    host = f"http://{office.world.oauth.host}"
    assert office.says("require_approval", url=f"{host}/v1/a") == "not_applicable"
    for target in "/admin/a", "/v1/..%2fadmin", "/v1;/admin", "//admin":
        assert office.says("require_approval", url=host + target) == "deny", target


# Layers

LAYERS = ["app", "provider", "grant", "key"]


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_must_allow_and_the_one_that_decided_is_named(office, layer):
    for each in LAYERS:
        office.put({"allowed_groups": ["eng"]}, each)
    assert office.retrieve().status_code == office.proxy().status_code == 200
    office.put({"allowed_groups": ["ops"]}, layer)
    for use in office.both():
        refusal = refused(use)
        assert (refusal.details["rule"], refusal.details["layer"]) == ("allowed_groups", layer)
        outcomes = {each["layer"]: each["result"] for each in office.decided()[0]["details"]["rules"]}
        assert outcomes == {each: "deny" if each == layer else "allow" for each in LAYERS}


def test_a_layer_binds_only_what_it_is_for(office):
    office.world.register(OTHER, office.world.oauth)
    other = office.world.connect(office.jwt, provider_id=OTHER).grant_id
    second_key = open_app(office.world.server.url, office.world.new_key())

    def use(app: App, grant_id: str) -> httpx.Response:
        return wait(app.request("GET", office.world.echo, grant_id=grant_id))

    of_other, by_other_key = (office.world.app, other), (second_key, office.grant_id)
    for layer in "provider", "grant", "key":
        office.put({"allowed_groups": ["ops"]}, layer)
        refused(office.retrieve)
        bound, free = (of_other, by_other_key) if layer == "key" else (by_other_key, of_other)
        refused(use, *bound)
        assert use(*free).status_code == 200
        office.drop(layer)


def test_setting_editing_and_deleting_act_on_the_next_request(office):
    for _ in range(5):
        office.put({"allowed_groups": ["ops"]})
        refused(office.retrieve)
        office.put({"allowed_groups": ["eng"]})
        assert office.proxy().status_code == 200
        office.put({"allowed_groups": ["ops"]}, "app")
        refused(office.proxy)
        office.drop("app")
        assert office.retrieve().status_code == 200


@pytest.mark.filterwarnings("ignore:The Alter API key used by this client is deprecated")
def test_a_rotated_key_keeps_its_policy(office):
    world = office.world
    old = world.new_key(name="to rotate")
    [key] = [each for each in office.management.items(f"{office.path}/keys") if each["name"] == "to rotate"]
    office.management.put(f"{office.path}/keys/{key['id']}/policy", {"ip_allowlist": ["203.0.113.0/24"]})
    made = office.management.post(f"{office.path}/keys/{key['id']}/rotate", {"overlap_days": 1})
    for api_key in old, canary(made["api_key"]):
        app = open_app(world.server.url, api_key)
        with pytest.raises(PolicyViolationError) as refusal:
            wait(app.request("GET", world.echo, grant_id=office.grant_id))
        assert (refusal.value.details["rule"], refusal.value.details["layer"]) == ("ip_allowlist", "key")


def test_siblings_of_a_grant_are_bound_by_its_policy(new_office):
    world = new_office.world
    new_office.put({"ip_allowlist": ["203.0.113.0/24"]}, "grant")
    minted = wait(world.app.mint_grant(new_office.grant_id, label="sibling")).grant_id
    labelled = world.connect(new_office.jwt, requested_grant={"label": "another"}).grant_id
    assert len({minted, labelled, new_office.grant_id}) == 3
    for grant_id in minted, labelled:
        assert refused(new_office.retrieve, grant_id=grant_id).details["layer"] == "grant"


def test_minting_gives_no_new_count_to_a_limit_of_the_grant(new_office):
    new_office.put(limit(1))
    minted = wait(new_office.world.app.mint_grant(new_office.grant_id, label="sibling")).grant_id
    assert new_office.retrieve(grant_id=new_office.grant_id).status_code == 200
    limited(new_office.retrieve, grant_id=minted)


def test_removing_the_policy_of_a_rotated_key_gives_its_successor_no_new_count(new_office):
    world, path = new_office.world, new_office.path
    world.new_key(name="to rotate")
    [old] = [each["id"] for each in new_office.management.items(f"{path}/keys") if each["name"] == "to rotate"]
    new_office.management.put(f"{path}/keys/{old}/policy", limit(1, per="app"))
    made = new_office.management.post(f"{path}/keys/{old}/rotate", {"overlap_days": 1})
    app = open_app(world.server.url, canary(made["api_key"]))

    def use() -> Any:
        return wait(app.request("GET", world.echo, grant_id=new_office.grant_id))

    used_up(use, 1)
    new_office.management.delete(f"{path}/keys/{old}/policy")
    limited(use)


def test_what_was_set_is_what_is_answered_and_listed(office):
    policy = {
        "allowed_groups": ["eng"],
        "allowed_roles": ["admin"],
        "time": {"business_hours_only": True, "weekdays_only": True, "timezone": "America/New_York"},
        "ip_allowlist": ["203.0.113.0/24", "2001:db8::/32"],
        "methods": ["GET"],
        "paths": ["/v1/**"],
        "rate_limit": {"requests": 60, "per_seconds": 60, "per": "grant"},
        "grant_ttl": {"default_seconds": 3600, "max_seconds": 86400},
        "require_approval": {"methods": ["POST", "DELETE"], "paths": ["/**"], "approvers": "user"},
    }
    policy["time"]["windows"] = [{"days": ["mon", "fri"], "start": "22:00", "end": "06:00"}]
    for layer in LAYERS:
        assert error_of(office.management.get, office.address(layer)) == 404
        assert office.put(policy, layer) == office.management.get(office.address(layer)) == policy
    listed = {each["provider_id"]: each["policy"] for each in office.management.items(f"{office.path}/policies")}
    assert listed == {"*": policy, PROVIDER: policy}
    office.drop()
    assert error_of(office.drop) == error_of(office.management.get, office.address("provider")) == 404


# Groups, and Connect


def test_groups_of_the_token_decide_which_providers_a_user_reaches_and_changes_bite_at_once(new_office):
    world = new_office.world
    world.register(OTHER, world.oauth)
    world.connect(new_office.jwt, provider_id=OTHER)
    new_office.put({"allowed_groups": ["eng"]})
    new_office.put({"allowed_groups": ["ops"]}, OTHER)
    for groups, reached in (
        (("eng",), {PROVIDER}),
        (("ops",), {OTHER}),
        (("eng", "ops"), {PROVIDER, OTHER}),
        ((), set()),
    ):
        jwt = new_office.token(groups=groups)
        for provider in PROVIDER, OTHER:
            if provider in reached:
                assert world.request(provider=provider, user_token=jwt).status_code == 200
                assert world.proxy(provider=provider, user_token=jwt).status_code == 200
            else:
                for use in world.request, world.proxy:
                    assert refused(use, provider=provider, user_token=jwt).details["rule"] == "allowed_groups"
        # The groups hold as well for whoever names the grant alone.
        if PROVIDER in reached:
            assert world.request(grant_id=new_office.grant_id).status_code == 200
        else:
            refused(world.request, grant_id=new_office.grant_id)


def test_group_names_are_compared_exactly(office):
    for listed in "Eng", "eng ", "en", "eng\u200b", "*":
        office.put({"allowed_groups": [listed]})
        refused(office.retrieve)


@pytest.fixture
def clerk_office(server, management):
    office = Office(server, management, idp_type="clerk")
    yield office, ClerkEndpoint(office.world)
    office.world.close()


def test_a_webhook_that_takes_a_group_bites_at_once(clerk_office):
    office, endpoint = clerk_office
    jwt = office.token(groups=("org_1", "org_2"))
    office.put({"allowed_groups": ["org_1"]})
    assert office.world.request_as(jwt).status_code == 200
    assert endpoint.send(endpoint.membership_deleted("org_1")).ok
    for naming in {"provider": PROVIDER, "user_token": jwt}, {"grant_id": office.grant_id}:
        for use in office.both():
            assert refused(use, **naming).details["rule"] == "allowed_groups"
    with pytest.raises(PolicyViolationError):
        office.world.start_connect(jwt)
    assert office.simulate()["decision"] == "deny"


@pytest.mark.parametrize(
    "rule", [{"allowed_groups": ["ops"]}, {"allowed_roles": ["owner"]}], ids=lambda rule: next(iter(rule))
)
@pytest.mark.parametrize("layer", ["app", "provider"])
def test_a_session_for_a_provider_that_its_user_may_not_use_is_refused(office, rule, layer):
    office.put(rule, layer)
    refusal = refused(office.world.start_connect, office.jwt)
    assert (refusal.details["rule"], refusal.details["layer"]) == (next(iter(rule)), layer)


def test_a_session_that_names_no_provider_offers_those_that_its_user_may_use(office):
    world = office.world
    world.register(OTHER, world.oauth)
    office.put({"allowed_groups": ["ops"]})
    session = wait(world.app.create_connect_session(user_token=office.jwt))
    page = Browser().open(session.connect_url)
    assert page.form_with_button("provider", OTHER) and not page.form_with_button("provider", PROVIDER)
    office.put({"allowed_groups": ["ops"]}, OTHER)
    with pytest.raises(PolicyViolationError):
        wait(world.app.create_connect_session(user_token=office.jwt))


def test_a_group_lost_while_the_user_is_at_the_provider_leaves_nothing_stored(new_office):
    world = new_office.world
    new_office.put({"allowed_groups": ["eng"]})
    world.oauth.account = "alice-at-work"
    session = world.start_connect(new_office.jwt)
    person = Browser()
    page = person.open(session.connect_url)
    at_provider = person.redirect_of(page, page.form_with_button("provider", PROVIDER), provider=PROVIDER)
    assert urlsplit(at_provider).netloc == world.oauth.host
    wait(world.app.verify_user_token(new_office.token(groups=())))
    person.open(at_provider)
    with pytest.raises(ConnectFlowError):
        world.outcome(session)
    assert [grant["grant_id"] for grant in new_office.management.items(f"{new_office.path}/grants")] == [
        new_office.grant_id
    ]
    assert all(not family.access_tokens for family in world.oauth.families if family.account == "alice-at-work")


def test_a_group_lost_before_the_provider_is_chosen_ends_the_journey_at_the_vault(new_office):
    world = new_office.world
    new_office.put({"allowed_groups": ["eng"]})
    session = world.start_connect(new_office.jwt)
    before = len(world.oauth.authorizations)
    person = Browser()
    page = person.open(session.connect_url)
    wait(world.app.verify_user_token(new_office.token(groups=())))
    person.submit(page, page.form_with_button("provider", PROVIDER), provider=PROVIDER)
    assert len(world.oauth.authorizations) == before
    with pytest.raises(ConnectFlowError):
        world.outcome(session)


def test_no_other_rule_keeps_anybody_from_connecting(new_office):
    for policy in (
        *({"time": never()}, {"ip_allowlist": ["203.0.113.0/24"]}, {"methods": ["POST"]}, {"paths": ["/nothing"]}),
        *({"require_approval": {}}, longest(600)),
    ):
        new_office.put(policy, "app")
        assert new_office.world.connect(new_office.jwt).grant_id == new_office.grant_id
    new_office.put(limit(1))
    new_office.drop("app")
    used_up(new_office.retrieve, 1)
    assert new_office.world.connect(new_office.jwt).grant_id == new_office.grant_id


# Limits


def of_swarm(office: Office, messages: Iterator[Message], count: int, **options: Any) -> Counter[str | None]:
    shots = Swarm(office.world.server.url).run(list(islice(messages, count)), **options)
    return Counter(shot.error for shot in shots)


def many_uses(office: Office, proxied: bool = True) -> Iterator[Message]:
    return uses(office.world, office.jwt, {office.grant_id: {"provider_id": PROVIDER}}, proxied)


def test_row_85_of_a_thousand_parallel_uses_exactly_as_many_pass_as_the_limit_says(new_office):
    new_office.put(limit(137))
    answers = of_swarm(new_office, many_uses(new_office), 1000, connections=1000)
    assert answers == {None: 137, "rate_limit_exceeded": 863}
    assert Counter(record["decision"] for record in new_office.decided()) == {"allow": 137, "deny": 863}


def test_two_limits_hold_at_the_same_time_under_parallel_uses(new_office):
    new_office.put(limit(60, per="app"), "app")
    new_office.put(limit(40, per="user"), "key")
    assert of_swarm(new_office, many_uses(new_office), 200, connections=100) == {None: 40, "rate_limit_exceeded": 160}
    new_office.drop("key")
    assert of_swarm(new_office, many_uses(new_office), 100, connections=100) == {None: 20, "rate_limit_exceeded": 80}


def test_row_85_a_count_survives_a_restart(office):
    office.put(limit(3))
    for use in office.both():
        assert use().status_code == 200
    office.world.server.restart()
    used_up(office.retrieve, 1)
    office.world.server.restart()
    limited(office.proxy)


def test_row_85_no_window_holds_more_than_the_limit_wherever_it_begins(office):
    window, allowed = 2, 5
    office.put(limit(allowed, window))
    messages = list(islice(many_uses(office, proxied=False), 640))
    shots = Swarm(office.world.server.url).run(messages, connections=16, per_second=180)
    passed = sorted((shot for shot in shots if shot.is_success), key=lambda shot: shot.sent)
    assert {shot.error for shot in shots} == {None, "rate_limit_exceeded"}
    for at in range(len(passed) - allowed):
        # What was sent last need not be what was decided last.
        first, *others = passed[at : at + allowed + 1]
        assert max(shot.last_byte for shot in others) - first.sent >= window, "one more than the limit in one window"
    assert len(passed) >= 2 * allowed, "the limit has room again when the window is over"


def test_a_refusal_says_how_long_to_wait_and_that_is_enough(office):
    office.put(limit(2, 5))
    refusal = used_up(office.retrieve, 2)
    assert (refusal.limit, refusal.window_seconds) == (2, 5) and 1 <= refusal.retry_after <= 5
    body = {"grant_id": office.grant_id, "request": {"method": "GET", "url": office.world.echo}}
    answer = office.world.signer().send("POST", "/sdk/token", body)
    assert (answer.status, answer.error) == (429, "rate_limit_exceeded")
    assert answer.headers["retry-after"] == str(answer.json()["retry_after"])
    time.sleep(refusal.retry_after)
    assert office.retrieve().status_code == 200


def test_refused_and_simulated_uses_do_not_count(office):
    office.put({**limit(2), "methods": ["GET"]})
    for _ in range(3):
        refused(office.proxy, "POST")
        with pytest.raises(RestrictedGrantRequiresProxyError):
            office.retrieve()
        assert office.simulate(method="GET", url=office.world.echo)["decision"] == "allow"
    used_up(office.proxy, 2)
    assert office.says("rate_limit") == "deny"


def test_what_one_limit_refuses_does_not_count_for_another(new_office):
    world = new_office.world
    second = world.connect(new_office.jwt, "alice-at-work").grant_id
    new_office.put(limit(3, per="app"), "app")
    new_office.put(limit(1), "grant")
    assert new_office.retrieve(grant_id=new_office.grant_id).status_code == 200
    for _ in range(4):
        assert decision(limited(new_office.retrieve, grant_id=new_office.grant_id))["layer"] == "grant"
    for _ in range(2):
        assert new_office.retrieve(grant_id=second).status_code == 200
    assert decision(limited(new_office.retrieve, grant_id=second))["layer"] == "app"


def test_what_no_rule_decides_does_not_count_either(new_office):
    new_office.put(limit(1))
    user = f"{new_office.path}/users/{new_office.user_id}"
    new_office.management.post(f"{user}/suspend", {"reason": "leave"})
    with pytest.raises(PolicyViolationError):
        new_office.retrieve()
    new_office.management.post(f"{user}/restore", {"reason": "back"})
    with pytest.raises(BackendError):
        new_office.proxy(url="http://elsewhere.test/")
    used_up(new_office.retrieve, 1)


class Crossing:
    """Two of everything that a limit can be counted for."""

    def __init__(self, office: Office) -> None:
        world = self.world = office.world
        world.register(OTHER, world.oauth)
        bob = office.token("bob")
        self.grants = {
            "alice": office.grant_id,
            "alice's second": world.connect(office.jwt, "alice-at-work").grant_id,
            "alice at the other": world.connect(office.jwt, provider_id=OTHER).grant_id,
            "bob": world.connect(bob, "bob").grant_id,
        }
        self.second_key = open_app(world.server.url, world.new_key())

    def passes(self, grant: str, app: App | None = None) -> bool:
        call = (app or self.world.app).request("GET", self.world.echo, grant_id=self.grants[grant])
        try:
            return wait(call).status_code == 200
        except RateLimitError:
            return False


PER = {
    "grant": {"alice's second", "alice at the other", "bob"},
    "user": {"bob"},
    "provider": {"alice at the other"},
    "key": {"second key"},
    "app": set(),
}


@pytest.fixture(scope="module")
def crossing(server, management):
    office = Office(server, management)
    yield office, Crossing(office)
    office.world.close()


@pytest.mark.parametrize("per", PER)
def test_a_limit_counts_for_each_of_what_it_names(crossing, per):
    office, everything = crossing
    office.put(limit(1, per=per), "app")
    assert everything.passes("alice") and not everything.passes("alice")
    still_free = {name for name in everything.grants if name != "alice" and everything.passes(name)}
    still_free |= {"second key"} if everything.passes("alice", everything.second_key) else set()
    office.drop_all()
    # Of a kind that shares the count, the first one that passes takes the room.
    assert still_free == PER[per]


def test_a_limit_per_user_cannot_be_decided_for_a_grant_of_the_app_and_denies(office):
    slug = "static-per-user"
    secret = office.world.add_secret(slug, "bearer", {"token": "a-static-token-per-user"})
    office.put(limit(5, per="user"), slug)
    for use in office.both():
        assert refused(use, grant_id=secret["grant_id"]).details["rule"] == "rate_limit"
    assert office.says("rate_limit", grant_id=secret["grant_id"]) == "deny"
    office.drop(slug)


def test_a_count_stays_when_another_rule_is_edited_and_starts_anew_when_the_limit_is(office):
    office.put(limit(2))
    assert office.retrieve().status_code == 200
    office.put({**limit(2), "allowed_groups": ["eng"]})
    used_up(office.retrieve, 1)
    office.put({**limit(2), "allowed_groups": ["eng", "ops"]})
    limited(office.retrieve)
    office.put(limit(3))
    used_up(office.retrieve, 3)
    office.drop()
    office.put(limit(3))
    used_up(office.proxy, 3)


def test_waiting_is_not_asked_of_who_is_refused_for_good(office):
    office.put(limit(1))
    used_up(office.retrieve, 1)
    office.put({**limit(1), "allowed_groups": ["ops"]})
    assert refused(office.retrieve).details["rule"] == "allowed_groups"


def test_row_85_a_keys_own_limit_is_a_window_that_slides(office):
    if (into_the_minute := time.time() % 60) < 4:
        time.sleep(4 - into_the_minute)
    app = open_app(office.world.server.url, office.world.new_key(rate_limit_rpm=3))
    for _ in range(3):
        wait(app.list_grants())
    started = time.monotonic()
    with pytest.raises(RateLimitError) as refusal:
        wait(app.list_grants())
    # Of a window that begins with the clock's minute, less than this would be left.
    assert refusal.value.scope == "api_key" and 58 <= refusal.value.retry_after <= 60
    time.sleep(1.1)
    waited_seconds = int(time.monotonic() - started)
    with pytest.raises(RateLimitError) as later:
        wait(app.list_grants())
    assert later.value.retry_after <= 60 - waited_seconds


def test_row_85_a_keys_own_limit_is_exact_under_parallel_requests(office):
    signer = office.world.signer()
    signer.api_key = office.world.new_key(rate_limit_rpm=100)
    requests = (signed(signer.request("GET", "/sdk/scopes")) for _ in range(400))
    assert of_swarm(office, requests, 400, connections=200) == {None: 100, "rate_limit_exceeded": 300}


# Terms


def shown(office: Office, grant_id: str | None = None) -> dict[str, Any]:
    return office.management.get(f"{office.path}/grants/{grant_id or office.grant_id}")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def soon(**span: float) -> str:
    return written(datetime.now(UTC) + timedelta(**span))


def term(office: Office, grant_id: str) -> int | None:
    """How many seconds a new grant has; none when it does not end."""
    grant = shown(office, grant_id)
    if (end := grant.get("grant_expires_at")) is None:
        return None
    return round((moment(end) - moment(grant["created_at"])).total_seconds())


def extend(office: Office, until: str, grant_id: str | None = None) -> Any:
    return office.management.post(f"{office.path}/grants/{grant_id or office.grant_id}/extend", {"expires_at": until})


TERMS = [
    ({}, {}, {}, None),
    ({}, {"default_seconds": 600}, {}, 600),
    ({}, {"default_seconds": 600}, {"default_ttl_seconds": 300}, 300),
    ({}, {"default_seconds": 600, "max_seconds": 900}, {"default_ttl_seconds": 1200}, 900),
    ({}, {"max_seconds": 600}, {}, 600),
    ({}, {"max_seconds": 600}, {"max_ttl_seconds": 7200}, 600),
    ({}, {"max_seconds": 600}, {"max_ttl_seconds": 60}, 60),
    ({}, {"max_seconds": 600}, {"expires_at": "2099-01-01T00:00:00Z"}, 600),
    ({}, {"default_seconds": 900, "max_seconds": 600}, {}, 600),
    ({"max_seconds": 300}, {"max_seconds": 600}, {}, 300),
    ({"max_seconds": 600}, {"max_seconds": 300}, {}, 300),
    ({"max_seconds": 300}, {"default_seconds": 600}, {}, 300),
    ({"default_seconds": 500, "max_seconds": 800}, {"max_seconds": 700}, {}, 500),
]


@pytest.mark.parametrize(("of_app", "of_provider", "asked", "seconds"), TERMS)
def test_a_default_fills_in_and_the_shortest_maximum_cuts_without_refusing(office, of_app, of_provider, asked, seconds):
    for layer, rule in ("app", of_app), ("provider", of_provider):
        if rule:
            office.put({"grant_ttl": rule}, layer)
    account = f"alice-{len(office.management.items(f'{office.path}/grants'))}"
    grant = office.world.connect(office.jwt, account, **({"grant_policy": asked} if asked else {}))
    assert term(office, grant.grant_id) == seconds
    wait(office.world.app.revoke_grant(grant.grant_id))


def test_a_second_grant_on_an_account_is_cut_like_the_first(new_office):
    new_office.put(longest(600), "app")
    for label, asked in ("plain", None), ("long", {"max_ttl_seconds": 7200}), ("short", {"max_ttl_seconds": 60}):
        terms = {"grant_policy": asked} if asked else {}
        wait(new_office.world.app.mint_grant(new_office.grant_id, label=label, **terms))
    grants = {
        grant["label"]: grant["grant_id"]
        for grant in new_office.management.items(f"{new_office.path}/grants")
        if grant.get("label")
    }
    assert {label: term(new_office, grant_id) for label, grant_id in grants.items()} == {
        "plain": 600,
        "long": 600,
        "short": 60,
    }


def test_a_retrieved_credential_says_that_it_ends_with_the_grant(new_office):
    new_office.put(longest(60))
    body = {"grant_id": new_office.grant_id, "request": {"method": "GET", "url": new_office.world.echo}}
    end = new_office.world.signer().send("POST", "/sdk/token", body).json()["expires_at"]
    assert moment(end) == moment(shown(new_office)["grant_expires_at"])


def test_a_maximum_acts_on_running_grants_ends_and_revives_them(new_office):
    listed = f"{new_office.path}/grants"
    time.sleep(1)
    for layer in "provider", "app", "grant":
        assert new_office.retrieve().status_code == 200
        new_office.put(longest(1), layer)
        for use in new_office.both():
            expired(use)
            expired(use, grant_id=new_office.grant_id)
        assert shown(new_office)["status"] == "expired"
        assert [grant["grant_id"] for grant in new_office.management.items(listed, status="expired")] == [
            new_office.grant_id
        ]
        assert new_office.management.items(listed, status="active") == []
        newest = new_office.decided()[0]
        assert (newest["decision"], newest["details"]["error"]) == ("deny", "grant_expired")
        assert [each["result"] for each in newest["details"]["rules"] if each["rule"] == "grant_ttl"] == ["deny"]
        new_office.put(longest(HOUR), layer)
        assert new_office.proxy().status_code == 200 and shown(new_office)["status"] == "active"
        new_office.put(longest(1), layer)
        expired(new_office.retrieve)
        new_office.drop(layer)


def test_a_new_consent_starts_a_new_term(new_office):
    new_office.put(longest(4))
    time.sleep(4)
    expired(new_office.retrieve)
    assert new_office.world.connect(new_office.jwt).grant_id == new_office.grant_id
    assert new_office.retrieve().status_code == 200
    left = moment(shown(new_office)["grant_expires_at"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(seconds=4)


def test_an_extension_starts_a_new_term_and_is_cut_to_the_maximum(new_office):
    new_office.put(longest(4))
    time.sleep(4)
    expired(new_office.retrieve)
    assert extend(new_office, soon(days=30))["status"] == "active"
    assert new_office.retrieve().status_code == 200
    left = moment(shown(new_office)["grant_expires_at"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(seconds=4)
    new_office.put(longest(HOUR))
    until = soon(minutes=30)
    assert moment(extend(new_office, until)["grant_expires_at"]) == moment(until)
    assert [record["event"] for record in new_office.world.audit(event="grant.extended")] == ["grant.extended"] * 2


def test_an_extension_holds_no_longer_than_the_grants_own_maximum(new_office):
    grant = new_office.world.connect(new_office.jwt, "alice-at-work", grant_policy={"max_ttl_seconds": 600})
    extend(new_office, soon(days=30), grant.grant_id)
    left = moment(shown(new_office, grant.grant_id)["grant_expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=590) < left <= timedelta(seconds=600)


def test_no_extension_reaches_into_the_past_or_to_what_was_revoked(new_office):
    grant = new_office.world.connect(new_office.jwt, "alice-at-work", grant_policy={"max_ttl_seconds": 600})
    for past in soon(seconds=-1), "1970-01-01T00:00:00Z", "tomorrow":
        assert bad_fields(extend, new_office, past, grant.grant_id) == {"expires_at"}
    assert error_of(extend, new_office, soon(hours=1), NOWHERE) == 404
    new_office.management.post(f"{new_office.path}/grants/{grant.grant_id}/revoke", {"reason": "done"})
    assert error_of(extend, new_office, soon(hours=1), grant.grant_id) == 409
    assert shown(new_office, grant.grant_id)["status"] == "revoked"


def test_grants_of_the_app_itself_have_no_term(office):
    secret = office.world.add_secret("static-term", "bearer", {"token": "a-static-token-without-term"})
    office.world.oauth.accepted_headers.add(("authorization", "Bearer a-static-token-without-term"))
    office.put({"grant_ttl": {"default_seconds": 1, "max_seconds": 1}}, "app")
    time.sleep(1.05)
    for use in office.both():
        assert use(grant_id=secret["grant_id"]).status_code == 200
        expired(use)
    assert office.says("grant_ttl", grant_id=secret["grant_id"]) == "not_applicable"


# Hours


def at(zone: str, local: str, fold: int = 0) -> str:
    return written(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold))


NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"
OFFICE_HOURS = {"business_hours_only": True, "weekdays_only": True}
NIGHTS = {"windows": [{"days": ["mon", "fri"], "start": "22:00", "end": "06:00"}]}


def between(start: str, end: str, *days: str) -> Policy:
    return {"windows": [{**({"days": list(days)} if days else {}), "start": start, "end": end}]}


# 2026-03-02 was a Monday.
HOURS = [
    *((OFFICE_HOURS, zone, f"2026-03-02T{clock}", is_open) for zone in (NEW_YORK, BERLIN) for clock, is_open in (
        ("08:59:59.999", False), ("09:00:00", True), ("16:59:59.999", True), ("17:00:00", False),
    )),
    (OFFICE_HOURS, NEW_YORK, "2026-03-06T12:00:00", True),
    (OFFICE_HOURS, NEW_YORK, "2026-03-07T12:00:00", False),
    (OFFICE_HOURS, NEW_YORK, "2026-03-08T12:00:00", False),
    ({"business_hours_only": True}, NEW_YORK, "2026-03-07T12:00:00", True),
    ({"weekdays_only": True}, NEW_YORK, "2026-03-06T23:59:59.999", True),
    ({"weekdays_only": True}, NEW_YORK, "2026-03-07T00:00:00", False),
    ({"weekdays_only": True}, NEW_YORK, "2026-03-08T23:59:59.999", False),
    ({"weekdays_only": True}, NEW_YORK, "2026-03-09T00:00:00", True),
    (NIGHTS, NEW_YORK, "2026-03-02T21:59:59.999", False),
    (NIGHTS, NEW_YORK, "2026-03-02T22:00:00", True),
    (NIGHTS, NEW_YORK, "2026-03-03T05:59:59.999", True),
    (NIGHTS, NEW_YORK, "2026-03-03T06:00:00", False),
    (NIGHTS, NEW_YORK, "2026-03-02T05:00:00", False),
    (NIGHTS, NEW_YORK, "2026-03-06T23:59:59.999", True),
    (NIGHTS, NEW_YORK, "2026-03-07T00:00:00", True),
    (NIGHTS, NEW_YORK, "2026-03-07T22:30:00", False),
    ({**NIGHTS, "weekdays_only": True}, NEW_YORK, "2026-03-07T03:00:00", False),
    (between("18:00", "24:00", "fri"), BERLIN, "2026-03-06T23:59:59.999", True),
    (between("18:00", "24:00", "fri"), BERLIN, "2026-03-07T00:00:00", False),
    ({"windows": [*between("08:00", "09:00")["windows"], *NIGHTS["windows"]]}, BERLIN, "2026-03-04T08:30:00", True),
    ({"windows": [*between("08:00", "09:00")["windows"], *NIGHTS["windows"]]}, BERLIN, "2026-03-04T09:30:00", False),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "zone", "local", "is_open"), HOURS)
def test_row_83_hours_begin_and_end_on_the_clocks_of_the_zone(office, rule, zone, local, is_open):
    office.put({"time": {**rule, "timezone": zone}})
    assert office.says("time", at=at(zone, local)) == ("allow" if is_open else "deny")


# Clocks of New York went from 02:00 to 03:00 on 2026-03-08 and from 02:00 back to 01:00 on 2026-11-01; those of Berlin
# from 02:00 to 03:00 on 2026-03-29 and from 03:00 back to 02:00 on 2026-10-25.
SUMMER_TIME = [
    (NEW_YORK, between("02:00", "03:00"), "2026-03-08T06:59:59.999Z", False),
    (NEW_YORK, between("02:00", "03:00"), "2026-03-08T07:00:00Z", False),
    (NEW_YORK, between("01:00", "02:30"), "2026-03-08T06:59:59.999Z", True),
    (NEW_YORK, between("01:00", "02:30"), "2026-03-08T07:00:00Z", False),
    (NEW_YORK, between("02:30", "04:00"), "2026-03-08T07:00:00Z", True),
    (NEW_YORK, between("22:00", "06:00", "sat"), "2026-03-08T09:59:59.999Z", True),
    (NEW_YORK, between("22:00", "06:00", "sat"), "2026-03-08T10:00:00Z", False),
    (NEW_YORK, between("01:00", "02:00"), "2026-11-01T05:30:00Z", True),
    (NEW_YORK, between("01:00", "02:00"), "2026-11-01T06:30:00Z", True),
    (NEW_YORK, between("01:00", "02:00"), "2026-11-01T07:00:00Z", False),
    (NEW_YORK, between("02:00", "03:00"), "2026-11-01T06:59:59.999Z", False),
    (BERLIN, between("02:00", "03:00"), "2026-03-29T00:59:59.999Z", False),
    (BERLIN, between("02:00", "03:00"), "2026-03-29T01:00:00Z", False),
    (BERLIN, between("02:00", "03:00"), "2026-10-25T00:30:00Z", True),
    (BERLIN, between("02:00", "03:00"), "2026-10-25T01:30:00Z", True),
    (BERLIN, between("02:00", "03:00"), "2026-10-25T02:00:00Z", False),
    (BERLIN, OFFICE_HOURS, "2026-03-27T08:00:00Z", True),
    (BERLIN, OFFICE_HOURS, "2026-03-30T07:00:00Z", True),
    (BERLIN, OFFICE_HOURS, "2026-03-30T06:59:59.999Z", False),
]


@pytest.mark.parametrize(("zone", "rule", "instant", "is_open"), SUMMER_TIME)
def test_row_83_hours_that_clocks_skip_or_show_twice(office, zone, rule, instant, is_open):
    office.put({"time": {**rule, "timezone": zone}})
    assert office.says("time", at=instant) == ("allow" if is_open else "deny")


def test_without_a_zone_the_clocks_are_those_of_utc(office):
    office.put({"time": {"business_hours_only": True}})
    assert (
        office.says("time", at="2026-07-01T09:00:00Z") == office.says("time", at="2026-07-01T11:00:00+02:00") == "allow"
    )
    assert (
        office.says("time", at="2026-07-01T08:59:59.999Z")
        == office.says("time", at="2026-07-01T09:00:00+02:00")
        == "deny"
    )


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def is_inside(rule: Policy, zone: str, instant: datetime) -> bool:
    """The same judgement, by Python's clocks."""
    local = instant.astimezone(ZoneInfo(zone))
    clock, today, yesterday = local.strftime("%H:%M"), DAYS[local.weekday()], DAYS[local.weekday() - 1]
    if rule.get("business_hours_only") and not "09:00" <= clock < "17:00":
        return False
    if rule.get("weekdays_only") and today in ("sat", "sun"):
        return False

    def holds(window: Policy) -> bool:
        days, start, end = window.get("days", DAYS), window["start"], window["end"]
        if start < end:
            return today in days and start <= clock < end
        return (today in days and start <= clock) or (yesterday in days and clock < end)

    return any(map(holds, rule["windows"])) if "windows" in rule else True


ZONES = (NEW_YORK, BERLIN, "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham")


@pytest.mark.parametrize("zone", ZONES)
def test_row_83_hours_agree_with_pythons_clocks_at_random_instants(office, zone):
    chance = random.Random(zone)

    def clock() -> str:
        return f"{chance.randrange(24):02}:{chance.randrange(0, 60, 15):02}"

    for _ in range(10):
        windows = [
            between(clock(), clock(), *chance.sample(DAYS, chance.randint(1, 7)))["windows"][0] for _ in range(2)
        ]
        windows = [window for window in windows if window["start"] != window["end"]]
        rule = {name: True for name in OFFICE_HOURS if chance.random() < 0.2} | (
            {"windows": windows} if windows else {}
        )
        office.put({"time": {**rule, "timezone": zone}})
        for _ in range(8):
            year, days = chance.randint(2001, 2036), chance.randrange(365)
            instant = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=days, milliseconds=chance.randrange(86_400_000))
            expected = "allow" if is_inside(rule, zone, instant) else "deny"
            assert office.says("time", at=written(instant)) == expected, (rule, instant)


@pytest.mark.parametrize(
    "zone",
    [
        *(
            "Mars/Base",
            "Europe/Atlantis",
            "EST",
            "PST",
            "CET",
            "EST5EDT",
            "GMT+5",
            "GMT-0300",
            "UTC+2",
            "+02:00",
            "-5",
            "Z",
        ),
        *(
            "",
            " ",
            "Europe",
            "Europe/",
            "/Europe/Berlin",
            "europe/berlin",
            "Europe/Berlin ",
            "../../etc/passwd",
            "right/UTC",
        ),
        *("Europe/../Europe/Berlin", "Europe/Berlin\u0000", "Europe//Berlin", "x" * 65, 5, ["UTC"]),
    ],
)
def test_row_83_a_zone_that_does_not_exist_or_is_no_name_is_refused(office, zone):
    assert bad_fields(office.put, {"time": {"business_hours_only": True, "timezone": zone}}) <= {
        "time.timezone",
        "body",
    }
    assert error_of(office.management.get, office.address("provider")) == 404


@pytest.mark.parametrize(
    "instant", ["2016-12-31T23:59:60Z", "2026-02-30T00:00:00Z", "2026-03-02", "now", "2026-03-02T09:00:00", 5]
)
def test_row_83_an_instant_that_is_none_is_refused_or_judged_but_never_breaks(office, instant):
    office.put({"time": ALWAYS})
    try:
        assert (office.says("time", at=instant), instant) == ("allow", "2016-12-31T23:59:60Z")
    except ManagementError as failed:
        assert (failed.status, failed.body["details"]["fields"][0]["field"]) == (422, "at")


# Addresses


def random_address(chance: random.Random) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if chance.random() < 0.5:
        return ipaddress.IPv4Address(chance.getrandbits(32))
    return ipaddress.IPv6Address(chance.getrandbits(128))


def contains(block: str, address: str) -> bool:
    """As Python sees it, where a mapped address is the IPv4 address inside it."""
    network, other = ipaddress.ip_network(block), ipaddress.ip_address(address)
    mapped = ipaddress.ip_network("::ffff:0:0/96")
    if network.version == 6 and network.subnet_of(mapped):
        inside = network.network_address.ipv4_mapped
        network = ipaddress.ip_network(f"{inside}/{network.prefixlen - 96}")
    if other.version == 6 and other.ipv4_mapped:
        other = other.ipv4_mapped
    return other in network


def neighbours(chance: random.Random, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Iterator[str]:
    """Addresses in, at the edge of and around a block, and some that have nothing to do with it."""
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = type(network.network_address)
    yield str(kind(chance.randint(first, last)))
    for edge in first - 1, first, last, last + 1:
        if 0 <= edge < 2**network.max_prefixlen:
            yield str(kind(edge))
    if network.version == 4:
        yield f"::ffff:{kind(chance.randint(first, last))}"
        yield str(ipaddress.IPv6Address(0xFFFF << 32 | min(last + 1, 2**32 - 1)))
    yield str(random_address(chance))


@pytest.mark.parametrize("seed", range(4))
def test_row_84_ranges_hold_the_addresses_that_python_says_they_do(office, seed):
    chance, pairs = random.Random(seed), 0
    for _ in range(20):
        address = random_address(chance)
        length = chance.choice(
            [0, 1, 7, 8, 9, 24, 31, 32, chance.randint(0, address.max_prefixlen), address.max_prefixlen]
        )
        network = ipaddress.ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False)
        office.put({"ip_allowlist": [str(network)]})
        for asked in neighbours(chance, network):
            expected = "allow" if contains(str(network), asked) else "deny"
            assert office.says("ip_allowlist", ip=asked) == expected, (network, asked)
            pairs += 1
    assert pairs > 100


@pytest.mark.parametrize(
    ("block", "address", "is_inside"),
    [
        ("::ffff:203.0.113.0/120", "203.0.113.7", True),
        ("::ffff:203.0.113.0/120", "::ffff:203.0.113.7", True),
        ("::ffff:203.0.113.0/120", "203.0.114.7", False),
        ("::ffff:0:0/96", "8.8.8.8", True),
        ("::ffff:0:0/96", "::8.8.8.8", False),
        ("0.0.0.0/0", "::ffff:1.2.3.4", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "2001:db8::1", True),
        ("203.0.113.7", "::ffff:cb00:7107", True),
        ("2001:DB8::1", "2001:db8:0:0:0:0:0:1", True),
    ],
)
def test_row_84_mapped_addresses_are_the_addresses_inside_them(office, block, address, is_inside):
    office.put({"ip_allowlist": [block]})
    assert office.says("ip_allowlist", ip=address) == ("allow" if is_inside else "deny")


def test_an_address_that_is_not_known_is_denied(office):
    office.put({"ip_allowlist": ["0.0.0.0/0", "::/0"]})
    assert office.says("ip_allowlist") == "deny"


BAD_RANGES = [
    *(
        "10.0.0.0/33",
        "2001:db8::/129",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.0/ 8",
        "10.0.0.0/+8",
    ),
    *(
        "10.0.0.1/8",
        "2001:db8::1/32",
        "fe80::1%eth0",
        "fe80::%1/64",
        "010.0.0.0/8",
        "10.0.0.01",
        "0x0a000000",
        "167772160",
    ),
    *("127.1", "10.0.0", "10.0.0.0.0", "256.0.0.1", "10.0.0.0/255.0.0.0", "10.0.0.*", "10.0.0.1-10.0.0.9", "localhost"),
    *("", " ", " 10.0.0.0/8", "10.0.0.0/8\n", "1::2::3", "12345::", ":::", "::ffff:1.2.3", "unix:", "*", "١٠.0.0.1"),
    *("10.0.0.0,11.0.0.0", "[::1]", "10.0.0.1:80", 7, None, ["10.0.0.0/8"]),
]


@pytest.mark.parametrize("bad", BAD_RANGES, ids=repr)
def test_row_84_a_range_that_is_none_is_refused(office, bad):
    assert bad_fields(office.put, {"ip_allowlist": ["10.0.0.0/8", bad]}) == {"ip_allowlist[1]"}
    assert error_of(office.management.get, office.address("provider")) == 404


@pytest.mark.parametrize("bad", ["127.1", "::1%lo", "010.0.0.1", "127.0.0.1/32", "", "unix:", 7, "127.0.0.1, 10.0.0.1"])
def test_row_84_no_question_is_answered_about_an_address_that_is_none(office, bad):
    assert bad_fields(lambda: office.simulate(ip=bad)) == {"ip"}


FORWARDED = [
    ([], False),
    (["203.0.113.9"], True),
    (["198.51.100.9"], False),
    (["198.51.100.9, 203.0.113.9"], True),
    (["203.0.113.9, 198.51.100.9"], False),
    (["198.51.100.9", "203.0.113.9"], True),
    (["203.0.113.9", "198.51.100.9"], False),
    (["203.0.113.9, 127.0.0.1"], True),
    (["::ffff:203.0.113.9"], True),
    (["garbage"], False),
    (["203.0.113.9, garbage"], False),
    (["203.0.113.9, garbage, 127.0.0.1"], False),
    (["203.0.113.9:443"], False),
    (["203.0.113.09"], False),
    (["fe80::1%eth0"], False),
]


def test_row_84_behind_a_trusted_proxy_the_address_is_the_rightmost_untrusted_one_and_garbage_is_denied(new_server):
    new_server.start(trusted_proxies="127.0.0.0/8")
    office = Office(new_server, Management(new_server.url, new_server.create_operator().pat))
    office.put({"ip_allowlist": ["203.0.113.0/24"]})

    def ask(fields: list[str]) -> RawAnswer:
        body = {"grant_id": office.grant_id, "request": {"method": "GET", "url": office.world.echo}}
        request = office.world.signer().request("POST", "/sdk/token", body)
        for field in fields:
            request = request.adding("X-Forwarded-For", field)
        return request.send()

    for fields, is_allowed in FORWARDED:
        answer = ask(fields)
        if is_allowed:
            assert answer.status == 200, fields
        else:
            assert (answer.status, answer.error) == (403, "policy_violation"), fields
            assert answer.json()["details"]["rule"] == "ip_allowlist"
    office.put({"ip_allowlist": ["0.0.0.0/0", "::/0"]})
    assert [ask([text]).error for text in ("garbage", "203.0.113.9, unknown")] == ["policy_violation"] * 2
    office.world.close()
    assert new_server.stop() == 0


def test_row_84_nobody_else_is_believed_about_an_address(office):
    office.put({"ip_allowlist": ["203.0.113.0/24"]})
    body = {"grant_id": office.grant_id, "request": {"method": "GET", "url": office.world.echo}}
    for name in "X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP":
        value = "for=203.0.113.9" if name == "Forwarded" else "203.0.113.9"
        answer = office.world.signer().request("POST", "/sdk/token", body).adding(name, value).send()
        assert (answer.status, answer.error) == (403, "policy_violation"), name


# Policies that are none

BAD_POLICIES = [
    ({"allow_groups": ["eng"]}, "allow_groups"),
    ({"allowed_groups": "eng"}, "allowed_groups"),
    ({"allowed_groups": ["eng", 1]}, "allowed_groups[1]"),
    ({"allowed_groups": [""]}, "allowed_groups[0]"),
    ({"allowed_groups": ["a\u0000b"]}, "allowed_groups[0]"),
    ({"allowed_roles": {"admin": True}}, "allowed_roles"),
    ({"time": "09:00"}, "time"),
    ({"time": {"business_hours_only": "yes"}}, "time.business_hours_only"),
    ({"time": {"weekdays_only": 1}}, "time.weekdays_only"),
    ({"time": {"hours": "9-5"}}, "time.hours"),
    ({"time": {"windows": []}}, "time.windows"),
    ({"time": {"windows": ["22:00-06:00"]}}, "time.windows[0]"),
    ({"time": {"windows": [{"start": "22:00"}]}}, "time.windows[0].end"),
    *(({"time": between(clock, "12:00")}, "time.windows[0].start") for clock in (
        "24:00", "25:00", "9:00", "09:60", "-1:00", "0900", "09:00:00", "9am", "٠٩:00",
    )),
    ({"time": between("12:00", "24:01")}, "time.windows[0].end"),
    ({"time": between("22:00", "06:00", "monday")}, "time.windows[0].days[0]"),
    ({"time": between("22:00", "06:00", "mon", "Mon")}, "time.windows[0].days[1]"),
    ({"time": {"windows": [{"days": [], "start": "22:00", "end": "06:00"}]}}, "time.windows[0].days"),
    ({"time": {"windows": [{"start": "22:00", "end": "06:00", "timezone": "UTC"}]}}, "time.windows[0].timezone"),
    ({"ip_allowlist": "10.0.0.0/8"}, "ip_allowlist"),
    ({"methods": "GET"}, "methods"),
    ({"methods": [""]}, "methods[0]"),
    ({"paths": ["v1/**"]}, "paths[0]"),
    ({"paths": ["/v1", "https://api.test/v1"]}, "paths[1]"),
    ({"rate_limit": 60}, "rate_limit"),
    ({"rate_limit": {"requests": 60}}, "rate_limit.per_seconds"),
    ({"rate_limit": {"per_seconds": 60}}, "rate_limit.requests"),
    *((limit(requests), "rate_limit.requests") for requests in (0, -1, 1.5, "60", True, 10**30)),
    *((limit(1, seconds), "rate_limit.per_seconds") for seconds in (0, -1, 0.5, "60", 10**30)),
    (limit(1, per="planet"), "rate_limit.per"),
    ({"rate_limit": {"requests": 1, "per_seconds": 1, "burst": 5}}, "rate_limit.burst"),
    ({"grant_ttl": 3600}, "grant_ttl"),
    ({"grant_ttl": {}}, "grant_ttl"),
    *((longest(seconds), "grant_ttl.max_seconds") for seconds in (0, -1, 1.5, "60", 10**30)),
    ({"grant_ttl": {"default_seconds": 0}}, "grant_ttl.default_seconds"),
    ({"time": {"windows": [{"start": "09:00", "end": "09:00"}]}}, "time.windows[0].end"),
    ({"methods": ["G ET"]}, "methods[0]"),
    ({"paths": ["/v1?all"]}, "paths[0]"),
    ({"paths": ["/v1#all"]}, "paths[0]"),
    ({"require_approval": True}, "require_approval"),
    ({"require_approval": {"approvers": "nobody"}}, "require_approval.approvers"),
    ({"require_approval": {"methods": "POST"}}, "require_approval.methods"),
    ({"require_approval": {"paths": ["v1"]}}, "require_approval.paths[0]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "field"), BAD_POLICIES, ids=lambda part: json.dumps(part) if isinstance(part, dict) else ""
)
def test_a_malformed_policy_is_refused_by_the_name_of_the_field_and_changes_nothing(office, policy, field):
    kept = office.put({"allowed_groups": ["eng"]}, "app")
    for layer in "app", "provider":
        assert field in bad_fields(office.put, {"allowed_roles": ["admin"], "methods": ["GET"], **policy}, layer)
    assert office.management.get(office.address("app")) == kept
    assert error_of(office.management.get, office.address("provider")) == 404


def test_a_refused_policy_leaves_no_record_of_a_change(new_office):
    for policy, _ in BAD_POLICIES[:5]:
        bad_fields(new_office.put, policy)
    assert new_office.world.audit(event="policy.changed") == []
    new_office.put({"methods": ["GET"]})
    new_office.drop()
    events = [
        (each["event"], each["provider_id"]) for each in new_office.world.audit() if each["event"].startswith("policy.")
    ]
    assert events == [("policy.deleted", PROVIDER), ("policy.changed", PROVIDER)]


@pytest.mark.parametrize("body", [[], "GET", 7, [{"methods": ["GET"]}]], ids=repr)
def test_a_policy_is_an_object(office, body):
    with pytest.raises(ManagementError) as failed:
        office.put(body)
    assert failed.value.status in (400, 422)
    assert error_of(office.management.get, office.address("provider")) == 404


CORRUPT = [
    *(
        '{"allowed_groups": 7}',
        '{"nobody_knows_this": true}',
        '{"time": {"timezone": "Mars/Base"}}',
        '{"rate_limit": {}}',
    ),
    *('{"ip_allowlist": ["garbage"]}', "[]", "7", "not json", ""),
]


@pytest.fixture
def stored_text(office):
    """Writes the provider's policy past the vault. It goes with the test, whatever the vault makes of it."""

    def execute(statement: str, *values: str) -> None:
        database = office.world.server.database
        database.change(f"{statement} WHERE app_id = ? AND layer = 'provider'", *values, office.world.app_id)

    def write(document: str) -> None:
        execute("UPDATE policies SET document = ?, revision = ?", document, f"corrupt-{random.getrandbits(64)}")

    yield write
    execute("DELETE FROM policies")


@pytest.mark.parametrize("document", CORRUPT)
def test_row_87_a_stored_policy_that_cannot_be_read_denies_everything_and_says_so(office, stored_text, document):
    office.put({"allowed_groups": ["eng"]})
    stored_text(document)
    for use in office.both():
        assert refused(use).details["rule"] == "policy"
    newest = office.decided()[0]
    assert (newest["decision"], [each["rule"] for each in newest["details"]["rules"]]) == ("deny", ["policy"])
    assert refused(office.world.start_connect, office.jwt).details["rule"] == "policy"
    assert office.simulate()["decision"] == office.says("policy") == "deny"


@pytest.mark.parametrize("document", CORRUPT)
def test_row_87_a_stored_policy_that_cannot_be_read_can_be_set_again_and_removed(office, stored_text, document):
    for heal in lambda: office.put({"allowed_groups": ["eng"]}), office.drop:
        office.put({"allowed_groups": ["ops"]})
        stored_text(document)
        heal()
        assert office.retrieve().status_code == office.proxy().status_code == 200


# Simulation

EVERYTHING = {
    "allowed_groups": ["eng"],
    "allowed_roles": ["owner"],
    "time": ALWAYS,
    "ip_allowlist": ["203.0.113.0/24"],
    "methods": ["GET"],
    "paths": ["/v1/**"],
    **limit(5),
    **longest(HOUR),
    "require_approval": {"methods": ["POST"]},
}


def test_a_simulation_names_every_rule_with_its_outcome(office):
    office.put(EVERYTHING)
    office.put({"allowed_groups": ["ops"]}, "key")
    answer = office.simulate(key_id=office.key_id, method="GET", url=office.world.echo, ip="203.0.113.9")
    results = {each["rule"]: each["result"] for each in answer["rules"] if each["layer"] == "provider"}
    assert results == {
        "allowed_groups": "allow",
        "allowed_roles": "deny",
        "time": "allow",
        "ip_allowlist": "allow",
        "methods": "allow",
        "paths": "deny",
        "rate_limit": "allow",
        "grant_ttl": "allow",
        "require_approval": "not_applicable",
    }
    assert [each["result"] for each in answer["rules"] if each["layer"] == "key"] == ["deny"]
    assert {each["layer"] for each in answer["rules"]} == {"vault", "provider", "key"}
    assert all(each["reason"] for each in answer["rules"]) and answer["decision"] == "deny"
    assert all(each["needed"] for each in answer["rules"] if each["result"] == "deny" and each["layer"] != "vault")


def test_a_simulation_decides_as_the_real_use_does(office):
    for policy in ({}, {"allowed_groups": ["ops"]}, {"methods": ["POST"]}, {"paths": ["/api/*"]}, {"time": never()},
                   {"ip_allowlist": ["127.0.0.0/8"]}, {"require_approval": {}}):  # fmt: skip
        office.put(policy)
        for mode, use in ("retrieve", office.retrieve), ("proxy", office.proxy):
            question = {"mode": mode, "method": "GET", "url": office.world.echo, "ip": "127.0.0.1"}
            decision = office.simulate(**question)["decision"]
            by_user = office.simulate(provider_id=PROVIDER, user_id=office.user_id, **question)["decision"]
            try:
                really = "allow" if use().status_code == 200 else "?"
            except (PolicyViolationError, RestrictedGrantRequiresProxyError):
                really = "deny"
            assert decision == by_user == really, (policy, mode)


def test_a_simulation_changes_nothing(new_office):
    new_office.put({**limit(1), **EVERYTHING, "allowed_roles": ["admin"]})
    before = [record["id"] for record in new_office.world.audit()], shown(new_office)
    for mode in "retrieve", "proxy":
        for _ in range(3):
            new_office.simulate(mode=mode, method="GET", url=new_office.world.oauth.url("/v1/a"), ip="203.0.113.9")
            new_office.simulate(provider_id=PROVIDER, user_id=new_office.user_id)
    assert before == ([record["id"] for record in new_office.world.audit()], shown(new_office))
    assert new_office.world.oauth.calls == []
    new_office.put(limit(1))
    used_up(new_office.retrieve, 1)


def test_what_no_policy_decides_is_a_deny_of_the_vault(new_office):
    def denials(**question: Any) -> list[tuple[str, str]]:
        answer = new_office.simulate(**question)
        found = [(each["layer"], each["rule"]) for each in answer["rules"] if each["result"] == "deny"]
        assert answer["decision"] == ("deny" if found else "allow")
        return found

    here = {"method": "GET", "url": new_office.world.echo}
    user = f"{new_office.path}/users/{new_office.user_id}"
    assert denials(**here) == []
    assert [layer for layer, _ in denials(method="GET", url="https://elsewhere.test/")] == ["vault"]
    new_office.management.post(f"{user}/suspend", {"reason": "leave"})
    assert [layer for layer, _ in denials(**here)] == ["vault"]
    assert [layer for layer, _ in denials(provider_id=PROVIDER, user_id=new_office.user_id)] == ["vault"]
    new_office.management.post(f"{user}/restore", {"reason": "back"})
    assert denials(**here) == []
    new_office.management.post(f"{new_office.path}/grants/{new_office.grant_id}/revoke", {"reason": "done"})
    assert [layer for layer, _ in denials(**here)] == ["vault"]


def test_a_simulation_knows_that_the_identity_provider_was_removed(new_office):
    new_office.management.delete(f"{new_office.path}/identity-provider")
    assert new_office.simulate()["decision"] == new_office.says("identity_provider") == "deny"
    with pytest.raises(BackendError) as refusal:
        new_office.retrieve(grant_id=new_office.grant_id)
    assert refusal.value.details["error"] == "identity_provider_inactive"


def test_nothing_is_said_of_what_the_app_does_not_have(office, foreign_world):
    foreign_grant = foreign_world.connect(foreign_world.jwt()).grant_id
    [foreign_key] = [key["id"] for key in office.management.items(f"{foreign_world.path}/keys")]
    foreign_user = foreign_world.user()["id"]
    for question in (
        *({"grant_id": NOWHERE}, {"grant_id": foreign_grant}, {"key_id": NOWHERE}, {"key_id": foreign_key}),
        *({"provider_id": PROVIDER, "user_id": NOWHERE}, {"provider_id": PROVIDER, "user_id": foreign_user}),
        {"grant_id": office.grant_id, "user_id": foreign_user},
    ):
        assert error_of(lambda question=question: office.simulate(**question)) == 404, question
    for owner in f"grants/{NOWHERE}", f"grants/{foreign_grant}", f"keys/{NOWHERE}", f"keys/{foreign_key}", "grants/x":
        address = f"{office.path}/{owner}/policy"
        assert error_of(office.management.get, address) == 404, owner
        assert error_of(office.management.put, address, {"methods": ["GET"]}) == 404, owner
        assert error_of(office.management.delete, address) == 404, owner
    assert error_of(office.management.get, f"/apps/{NOWHERE}/policies/*") == 404


def test_a_question_that_is_none_is_refused_by_field(office):
    def fields(body: Policy) -> set[str]:
        return bad_fields(office.management.post, f"{office.path}/policies/simulate", body)

    assert fields({}) and fields({"grant_id": office.grant_id, "provider_id": PROVIDER})
    for name, bad in {"mode": "both", "url": "not a url", "at": "later", "surprise": 1, "method": 7}.items():
        assert fields({"grant_id": office.grant_id, name: bad}) == {name}


# Drafts, and explanations


def counts(outcome: dict[str, Any]) -> tuple[int, int, int]:
    return outcome["calls"], outcome["newly_denied"], outcome["newly_allowed"]


@pytest.fixture(scope="module")
def past(server, management):
    """Five uses: alice retrieved once, called twice and posted once; her second post was refused."""
    office = Office(server, management)
    office.retrieve()
    office.proxy()
    office.proxy()
    office.proxy("POST")
    office.put({"methods": ["GET"]})
    refused(office.proxy, "POST")
    yield office
    office.world.close()


def test_a_draft_is_tried_on_what_was_allowed_and_on_what_was_denied(past):
    stricter = past.replay({"methods": ["GET"]})
    # The credential that left would have had to stay, and the first post is one more that would not pass.
    assert counts(stricter) == (5, 2, 0)
    assert {change["was"] for change in stricter["changes"]} == {"allow"}
    [post] = [change for change in stricter["changes"] if change["method"] == "POST"]
    assert (post["would_be"], post["rule"], post["url"]) == ("deny", "methods", past.world.echo)
    looser = past.replay({"allowed_groups": ["eng"]})
    assert counts(looser) == (5, 0, 1)
    [change] = looser["changes"]
    assert (change["was"], change["would_be"], change["method"]) == ("deny", "allow", "POST")
    assert counts(past.replay({"allowed_groups": ["ops"]})) == (5, 4, 0)
    assert counts(past.replay({"ip_allowlist": ["127.0.0.0/8"], "paths": ["/api/**"]}))[1:] == (1, 1)


def test_a_draft_of_a_limit_counts_from_the_first_call_on(past):
    assert counts(past.replay(limit(2))) == (5, 2, 0)
    assert counts(past.replay(limit(4, per="user"))) == (5, 0, 0)
    assert counts(past.replay(limit(1, per="app"))) == (5, 3, 0)


def test_a_draft_for_all_providers_leaves_the_providers_own_policy_in_force(past):
    assert counts(past.replay({}, "*")) == (5, 0, 0)
    assert counts(past.replay({"allowed_roles": ["owner"]}, "*")) == (5, 4, 0)


def test_a_draft_is_tried_on_the_time_that_is_asked_for(past):
    first, *_, last = sorted((record["occurred_at"] for record in past.decided()), key=moment)
    assert counts(past.replay({}, **{"from": last}))[0] >= 1
    assert counts(past.replay({}, to=written(moment(first) - timedelta(seconds=1))))[0] == 0
    assert counts(past.replay({}, **{"from": soon(hours=1), "to": soon(hours=2)})) == (0, 0, 0)


def test_trying_a_draft_changes_nothing(past):
    before = [record["id"] for record in past.world.audit()]
    for draft in {"allowed_groups": ["ops"]}, limit(1):
        past.replay(draft)
    assert before == [record["id"] for record in past.world.audit()]
    assert past.management.get(past.address("provider")) == {"methods": ["GET"]}


def test_a_draft_that_is_none_is_refused_by_field(past):
    path = f"{past.path}/policies/replay"
    assert "provider_id" in bad_fields(past.management.post, path, {"policy": {}})
    assert "policy" in bad_fields(past.management.post, path, {"provider_id": PROVIDER})
    [field] = bad_fields(past.replay, {"rate_limit": {"requests": 0, "per_seconds": 1}})
    assert field.endswith("rate_limit.requests")


def test_a_retrieval_refused_for_a_limit_of_calls_is_newly_allowed_by_a_draft_without_it(new_office):
    new_office.put({"methods": ["GET"]})
    with pytest.raises(RestrictedGrantRequiresProxyError):
        new_office.retrieve()
    assert counts(new_office.replay({})) == (1, 0, 1)


def test_what_no_policy_decided_stays_refused_under_any_draft(new_office):
    new_office.put({"allowed_groups": ["ops"]})
    with pytest.raises(BackendError):
        new_office.proxy(url="http://elsewhere.test/")
    user = f"{new_office.path}/users/{new_office.user_id}"
    new_office.management.post(f"{user}/suspend", {"reason": "leave"})
    for use in new_office.both():
        with pytest.raises(PolicyViolationError):
            use()
    assert counts(new_office.replay({})) == (3, 0, 0)


def test_what_another_layer_decided_stays_refused_under_any_draft(new_office):
    new_office.put({"allowed_groups": ["ops"]})
    new_office.put({"allowed_roles": ["owner"]}, "grant")
    refused(new_office.proxy)
    assert counts(new_office.replay({})) == (1, 0, 0)


def test_a_change_names_the_drafts_own_rule(new_office):
    new_office.retrieve()
    for draft in {"paths": ["/api/**"]}, {"methods": ["GET"]}, {"require_approval": {}}, {"time": never()}:
        [change] = new_office.replay(draft)["changes"]
        assert change["rule"] in draft


def test_a_use_refused_by_a_limit_is_newly_allowed_by_a_draft_without_it(new_office):
    new_office.put(limit(1))
    used_up(new_office.retrieve, 1)
    assert counts(new_office.replay({})) == (2, 0, 1)
    assert counts(new_office.replay(limit(1))) == (2, 0, 0)


def run(office: Office, *command: str) -> tuple[int, str]:
    ended = office.world.server.run(*command, "--data-dir", str(office.world.server.data))
    return ended.returncode, ended.stdout + ended.stderr


def test_the_command_line_tries_a_draft_and_prints_what_would_change(new_office, tmp_path):
    new_office.proxy()
    new_office.proxy("POST")
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps({"methods": ["GET"]}))
    command = [
        "policies",
        "replay",
        str(draft),
        "--app",
        new_office.world.app_id,
        "--provider",
        PROVIDER,
        "--last",
        "7d",
    ]
    code, printed = run(new_office, *command, "--output", "json")
    assert code == 0, printed
    assert counts(json.loads(printed)) == counts(new_office.replay({"methods": ["GET"]})) == (2, 1, 0)
    code, printed = run(new_office, *command)
    [change] = [line for line in printed.splitlines() if "POST" in line]
    assert code == 0 and "deny" in change and "methods" in change and new_office.world.echo in change
    assert not [line for line in printed.splitlines() if "GET" in line]


@pytest.mark.parametrize("draft", ['{"methods": "GET"}', '{"nothing": 1}', "not json", None])
def test_the_command_line_refuses_a_draft_that_is_none(office, tmp_path, draft):
    path = tmp_path / "draft.json"
    if draft is not None:
        path.write_text(draft)
    code, printed = run(office, "policies", "replay", str(path), "--app", office.world.app_id, "--last", "7d")
    # Which of the apps is meant has to be said.
    assert run(office, "policies", "replay", str(path), "--last", "7d")[0] != 0
    assert code != 0 and printed.strip() and "Fatal" not in printed
    for span in "7", "week", "0d", "-1d":
        assert run(office, "policies", "replay", str(path), "--app", office.world.app_id, "--last", span)[0] != 0


def explained(office: Office, record: dict[str, Any]) -> str:
    code, printed = run(office, "audit", "explain", record["request_id"])
    assert code == 0, printed
    return printed


def test_an_explanation_names_the_rule_the_layer_and_what_is_needed(office):
    office.put({"allowed_groups": ["ops", "sre"]}, "grant")
    office.put({"ip_allowlist": ["127.0.0.0/8"]})
    refused(office.proxy)
    printed = explained(office, office.decided()[0])
    assert "allowed_groups" in printed and "grant" in printed and "ip_allowlist" in printed
    [needed] = [line for line in printed.splitlines() if "needs" in line]
    assert "ops" in needed and "sre" in needed and "allowed_groups" in needed


def test_an_explanation_of_a_limit_a_term_and_an_allowed_use(office):
    office.put(limit(1))
    used_up(office.retrieve, 1)
    denied, allowed, *_ = office.decided()
    assert "rate_limit" in explained(office, denied) and "per grant" in explained(office, denied)
    assert "allow" in explained(office, allowed) and "needs" not in explained(office, allowed)
    office.put(longest(1))
    time.sleep(1)
    expired(office.retrieve)
    printed = explained(office, office.decided()[0])
    assert "grant_expired" in printed and "extend" in printed


def test_nothing_that_callers_wrote_reaches_the_terminal_as_it_is(office):
    office.proxy(grant_id=office.grant_id, reason="\u001b[2J\u202egone\rallow: all is well")
    printed = explained(office, office.decided()[0])
    assert "gone" in printed and not {"\u001b", "\u202e", "\r"} & set(printed)


def test_an_explanation_of_an_unknown_request_ends_with_4(office):
    for unknown in NOWHERE, "x", "' OR 1=1 --":
        code, printed = run(office, "audit", "explain", unknown)
        assert code == 4 and printed.strip()


@pytest.mark.parametrize("scopes", [["grants:read"], ["grants:read", "tokens:retrieve:elsewhere"]])
def test_an_explanation_of_a_missing_scope_names_it(office, scopes):
    app = open_app(office.world.server.url, office.world.new_key(scopes=scopes))
    with pytest.raises(InsufficientScopeError):
        wait(app.request("GET", office.world.echo, grant_id=office.grant_id))
    printed = explained(office, office.decided()[0])
    assert "insufficient_scope" in printed
    assert any("scope" in line and "tokens:retrieve" in line for line in printed.splitlines())


# Scopes for one provider or grant


@pytest.fixture(scope="module")
def two_providers(server, management):
    office = Office(server, management)
    office.world.register(OTHER, office.world.oauth)
    yield office, office.world.connect(office.jwt, provider_id=OTHER).grant_id
    office.world.close()


def out_of_scope(call: Any) -> InsufficientScopeError:
    with pytest.raises(InsufficientScopeError) as refusal:
        wait(call)
    assert refusal.value.status_code == 403 and refusal.value.missing
    return refusal.value


@pytest.mark.parametrize("by", ["provider", "grant"])
def test_a_key_for_one_provider_or_grant_uses_that_one_only(two_providers, by):
    office, other = two_providers
    instance = PROVIDER if by == "provider" else office.grant_id
    scopes = [f"tokens:retrieve:{instance}", f"proxy:execute:{instance}"]
    app = open_app(office.world.server.url, office.world.new_key(scopes=scopes))
    echo = office.world.echo
    for use in app.request, app.proxy_request:
        for mine in {"grant_id": office.grant_id}, {"provider": PROVIDER, "user_token": office.jwt}:
            assert wait(use("GET", echo, **mine)).status_code == 200
        for foreign in {"grant_id": other}, {"provider": OTHER, "user_token": office.jwt}:
            out_of_scope(use("GET", echo, **foreign))


def test_a_key_that_may_retrieve_from_one_provider_may_not_proxy_to_it(two_providers):
    office, _ = two_providers
    app = open_app(office.world.server.url, office.world.new_key(scopes=[f"tokens:retrieve:{PROVIDER}"]))
    assert wait(app.request("GET", office.world.echo, grant_id=office.grant_id)).status_code == 200
    missing = out_of_scope(app.proxy_request("GET", office.world.echo, grant_id=office.grant_id)).missing
    assert missing[0].startswith("proxy:execute")


def test_a_request_can_be_narrowed_to_one_grant_and_never_widened(two_providers):
    office, other = two_providers
    world, echo = office.world, office.world.echo
    narrowed = world.app.with_constraints(scopes=[f"tokens:retrieve:{office.grant_id}"])
    assert wait(narrowed.request("GET", echo, grant_id=office.grant_id)).status_code == 200
    assert wait(narrowed.request("GET", echo, provider=PROVIDER, user_token=office.jwt)).status_code == 200
    out_of_scope(narrowed.request("GET", echo, grant_id=other))
    out_of_scope(narrowed.request("GET", echo, provider=OTHER, user_token=office.jwt))
    out_of_scope(narrowed.proxy_request("GET", echo, grant_id=office.grant_id))
    assert wait(world.app.request("GET", echo, grant_id=other)).status_code == 200
    limited_key = open_app(world.server.url, world.new_key(scopes=[f"tokens:retrieve:{PROVIDER}"]))
    for wider in "tokens:retrieve", f"tokens:retrieve:{OTHER}", "proxy:execute":
        with pytest.raises(BackendError) as refusal:
            wait(limited_key.with_constraints(scopes=[wider]).request("GET", echo, grant_id=office.grant_id))
        assert (refusal.value.status_code, refusal.value.details["error"]) == (400, "constraint_not_narrowing")


def test_a_key_for_one_provider_learns_nothing_of_other_grants(two_providers):
    office, other = two_providers
    app = open_app(office.world.server.url, office.world.new_key(scopes=[f"tokens:retrieve:{PROVIDER}"]))
    told = [out_of_scope(app.request("GET", office.world.echo, grant_id=asked)) for asked in (other, NOWHERE)]
    assert [refusal.missing for refusal in told] == [[f"tokens:retrieve:{asked}"] for asked in (other, NOWHERE)]
    assert len({refusal.message.replace(other, NOWHERE) for refusal in told}) == 1


def test_a_key_that_connects_no_provider_of_the_app_opens_no_session(two_providers):
    office, _ = two_providers
    app = open_app(office.world.server.url, office.world.new_key(scopes=["connect:initiate:gone"]))
    out_of_scope(app.create_connect_session(user_token=office.jwt))


def test_a_key_for_one_grant_reports_no_missing_scopes_of_another(two_providers):
    office, other = two_providers
    key = office.world.new_key(scopes=[f"tokens:retrieve:{office.grant_id}"])
    body = {"provider_status_code": 403, "provider_error_code": "insufficient_scope", "api_endpoint": office.world.echo}
    foreign = Signer(office.world.server.url, key).send("POST", f"/sdk/grants/{other}/report-scope-mismatch", body)
    assert (foreign.status, foreign.error) == (403, "insufficient_scope")
    assert wait(office.world.app.request("GET", office.world.echo, grant_id=other)).status_code == 200


def test_a_key_that_connects_one_provider_is_offered_that_one(two_providers):
    office, _ = two_providers
    app = open_app(office.world.server.url, office.world.new_key(scopes=[f"connect:initiate:{OTHER}"]))
    session = wait(app.create_connect_session(user_token=office.jwt))
    page = httpx.get(session.connect_url, follow_redirects=True).text
    assert OTHER in page and f'value="{PROVIDER}"' not in page
    out_of_scope(app.create_connect_session(user_token=office.jwt, allowed_providers=[PROVIDER]))
