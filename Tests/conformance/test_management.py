"""What operators do by the Management API: apps, keys, providers, secrets, policies, users, and the record of it all."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from alter_sdk import (
    InvalidKeyError,
    KeyExpiredError,
    KeyInactiveError,
    KeyRotationExpiredError,
    PolicyViolationError,
    RateLimitError,
    RestrictedGrantRequiresProxyError,
)

from harness.canaries import canary
from harness.management import Management, ManagementError
from harness.sdk import open_app, wait
from harness.signer import RawAnswer, RawRequest
from harness.waiting import eventually
from harness.world import PROVIDER, World

NOBODY = "00000000-0000-4000-8000-000000000000"


def refusal(call, *arguments, **options) -> tuple[int, str]:
    with pytest.raises(ManagementError) as refused:
        call(*arguments, **options)
    return refused.value.status, refused.value.body["error"]


def bad_fields(call, *arguments, **options) -> set[str]:
    with pytest.raises(ManagementError) as refused:
        call(*arguments, **options)
    assert (refused.value.status, refused.value.body["error"]) == (422, "validation_failed")
    return {problem["field"] for problem in refused.value.body["details"]["fields"]}


def events(world: World) -> list[str]:
    return [record["event"] for record in world.audit()]


# Who


def test_every_route_refuses_who_is_nobody_and_shows_a_stranger_nothing(server, management, world):
    stranger = Management(server.url, server.create_operator("stranger@example.test").pat)
    document = requests.get(f"{server.url}/api/v1/openapi.json", timeout=10).json()
    assert len(document["paths"]) > 25
    for path, operations in document["paths"].items():
        address = path.replace("{app_id}", world.app_id)
        for name in "key_id", "user_id", "grant_id", "secret_id", "event_id", "provider_id":
            address = address.replace(f"{{{name}}}", NOBODY)
        for method in operations:
            for headers in {}, {"Authorization": "Bearer alter_pat_wrong"}, {"Authorization": f"Bearer {world.api_key}"}:
                answer = requests.request(method, server.url + address, headers=headers, timeout=10)
                assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated"), (method, path)
            if "{app_id}" in path:
                status, code = refusal(stranger.call, method, address.removeprefix("/api/v1"), None)
                # The body and query are judged before the app is looked for; never does a stranger get further.
                assert (status, code) in {(404, "not_found"), (422, "validation_failed"), (400, "invalid_json")}, path


# Apps


def test_an_archived_app_rests_and_a_deleted_one_is_gone(server, management):
    world = World(server, management)
    jwt = world.jwt()
    grant = world.connect(jwt)
    management.post(f"{world.path}/archive")
    with pytest.raises(KeyInactiveError):
        world.request(grant_id=grant.grant_id)
    assert management.get(world.path)["status"] == "archived"
    management.post(f"{world.path}/unarchive")
    assert world.request(grant_id=grant.grant_id).status_code == 200

    assert bad_fields(management.delete, world.path) == {"confirm"}
    assert bad_fields(management.delete, world.path, confirm="another name") == {"confirm"}
    management.delete(world.path, confirm=management.get(world.path)["name"])
    assert refusal(management.get, world.path) == (404, "not_found")
    with pytest.raises(InvalidKeyError):
        world.request(grant_id=grant.grant_id)
    world.close()


def test_an_app_is_changed_member_by_member(management, world):
    management.call("PATCH", world.path, {"website_url": "https://atlas.example.test/"})
    changed = management.call("PATCH", world.path, {"name": "<b>Atlas</b>"})
    assert (changed["name"], changed["website_url"]) == ("<b>Atlas</b>", "https://atlas.example.test/")
    assert management.call("PATCH", world.path, {"website_url": None})["website_url"] is None
    assert bad_fields(management.call, "PATCH", world.path, {"name": "", "status": "archived", "website_url": 7}) == {
        "name",
        "status",
        "website_url",
    }
    assert refusal(management.post, "/apps", {"name": "x", "organization_id": NOBODY}) == (404, "not_found")


# Keys


def test_a_rotated_key_works_through_its_overlap_and_not_a_day_longer(world, management, server):
    keys = f"{world.path}/keys"
    with_overlap = management.post(keys, {"name": "a"})
    successor = management.post(f"{keys}/{with_overlap['id']}/rotate", {"overlap_days": 1})
    with pytest.warns(UserWarning):
        wait(open_app(server.url, canary(with_overlap["api_key"])).list_grants())
    wait(open_app(server.url, canary(successor["api_key"])).list_grants())
    assert refusal(management.post, f"{keys}/{with_overlap['id']}/rotate", {"overlap_days": 30}) == (409, "conflict")

    at_once = management.post(keys, {"name": "b"})
    canary(management.post(f"{keys}/{at_once['id']}/rotate", {"overlap_days": 0})["api_key"])
    with pytest.raises(KeyRotationExpiredError):
        wait(open_app(server.url, canary(at_once["api_key"])).list_grants())
    # A dead key cannot be rotated back to life.
    assert refusal(management.post, f"{keys}/{at_once['id']}/rotate", {"overlap_days": 30}) == (409, "conflict")


def test_a_key_ends_when_it_was_set_to(world, management, server):
    ends = int(time.time()) + 5
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))
    app = open_app(server.url, world.new_key(expires_at=text))
    wait(app.list_grants())
    time.sleep(max(0.0, ends + 0.1 - time.time()))
    with pytest.raises(KeyExpiredError):
        wait(app.list_grants())
    past = {"name": "x", "expires_at": "2020-01-01T00:00:00Z"}
    assert bad_fields(management.post, f"{world.path}/keys", past) == {"expires_at"}


def test_a_key_is_bound_to_its_addresses(world, server, management):
    inside = open_app(server.url, world.new_key(cidr_allowlist=["127.0.0.0/8", "::1"]))
    wait(inside.list_grants())
    outside = open_app(server.url, world.new_key(cidr_allowlist=["203.0.113.0/24"]))
    with pytest.raises(PolicyViolationError) as refused:
        wait(outside.list_grants())
    assert refused.value.policy_error == "ip_not_allowed"
    for wrong in ["300.0.0.0/8"], ["10.0.0.0/33"], [], ["10.0.0.1; DROP"]:
        assert bad_fields(management.post, f"{world.path}/keys", {"name": "x", "cidr_allowlist": wrong})


def test_a_keys_limit_holds_under_parallel_load_and_says_how_long_to_wait(world, server):
    if time.time() % 60 > 55:
        time.sleep(6)  # the window is the minute
    app = open_app(server.url, world.new_key(rate_limit_rpm=5))
    answers = []
    for _ in range(8):
        try:
            wait(app.list_grants())
            answers.append("ok")
        except RateLimitError as refused:
            assert 0 < refused.details["retry_after_seconds" if "retry_after_seconds" in refused.details else "retry_after"] <= 60
            answers.append("limited")
    assert answers == ["ok"] * 5 + ["limited"] * 3
    assert app.last_rate_limit.limit == 5 and app.last_rate_limit.remaining == 0


def test_an_agent_key_holds_nothing_that_was_not_delegated_to_it(world, management, server, connected):
    world, jwt, grant = connected
    agent = open_app(server.url, world.new_key(key_type="agent"))
    assert wait(agent.list_grants()).total == 0
    for call in (
        agent.request("GET", world.echo, grant_id=grant.grant_id),
        agent.request("GET", world.echo, provider=PROVIDER, user_token=jwt),
        agent.revoke_grant(grant.grant_id),
        agent.mint_grant(grant.grant_id, label="mine"),
    ):
        with pytest.raises(Exception) as refused:
            wait(call)
        assert refused.value.details["status_code"] in (403, 404), refused.value
    assert world.request(grant_id=grant.grant_id).status_code == 200


RECORDED_AS = {"/sdk/token": "credential.retrieved", "/sdk/proxy": "credential.proxied"}


def use_by(world: World, route: str, grant_id: str) -> RawRequest:
    """A use that gets the credential, or has it used."""
    call = {"method": "GET", "url": world.echo}
    named = {"grant_id": grant_id, "reason": "under way"}
    return world.signer().request("POST", route, named | ({"request": call} if route == "/sdk/token" else call))


def assert_nothing_was_used(world: World, route: str, answer: RawAnswer, code: str) -> None:
    """The use got past its authentication, as its record shows, and no further."""
    assert (answer.status, answer.error) == (401, code)
    assert world.oauth.newest_token().encode() not in answer.body and world.oauth.calls == []
    [record] = world.audit(event=RECORDED_AS[route])
    assert (record["request_id"], record["decision"]) == (answer.headers["x-request-id"], "deny")
    assert record["details"]["error"] == code


ENDS_OF_KEYS = {"revoked": "key_revoked", "rotated": "key_rotated_grace_expired", "archived": "key_not_active"}


def end_key(world: World, how: str) -> None:
    [key] = world.management.items(f"{world.path}/keys")
    match how:
        case "revoked":
            world.management.delete(f"{world.path}/keys/{key['id']}")
        case "rotated":
            made = world.management.post(f"{world.path}/keys/{key['id']}/rotate", {"overlap_days": 0})
            canary(made["api_key"])
        case "archived":
            world.management.post(f"{world.path}/archive")


@pytest.mark.parametrize("route", RECORDED_AS)
@pytest.mark.parametrize(("ended", "code"), ENDS_OF_KEYS.items())
def test_a_use_whose_key_ends_while_the_token_is_refreshed_gets_no_credential(world, route, ended, code):
    world.oauth.expires_in, world.oauth.refreshed_expires_in = 30, 3600
    grant_id = world.connect(world.jwt()).grant_id
    with ThreadPoolExecutor(1) as pool:
        with world.oauth.holding("token"):
            under_way = pool.submit(use_by(world, route, grant_id).send)
            eventually(lambda: world.oauth.refreshes, "the refresh is under way")
            end_key(world, ended)
            assert not under_way.done()
        answer = under_way.result(20)
    assert_nothing_was_used(world, route, answer, code)


@pytest.mark.parametrize(("ended", "code"), ENDS_OF_KEYS.items())
def test_a_proxied_call_whose_key_ends_while_the_provider_is_called_brings_no_answer(world, ended, code):
    grant_id = world.connect(world.jwt()).grant_id
    with ThreadPoolExecutor(1) as pool:
        with world.oauth.holding("api"):
            under_way = pool.submit(use_by(world, "/sdk/proxy", grant_id).send)
            eventually(lambda: world.oauth.calls, "the provider is called")
            end_key(world, ended)
            assert not under_way.done()
        answer = under_way.result(20)
    assert (answer.status, answer.error) == (401, code) and "status_code" not in answer.json()
    [use] = world.audit(event="credential.proxied")
    assert (use["decision"], use["status"]) == ("allow", 200), "the call was made, and the record says so"


@pytest.mark.parametrize("route", RECORDED_AS)
@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ("UPDATE api_keys SET revoked_at = ? WHERE app_id = ?", "key_revoked"),
        ("UPDATE apps SET archived_at = ? WHERE id = ?", "key_not_active"),
    ],
    ids=["revoked", "archived"],
)
def test_a_use_whose_key_ends_while_it_waits_for_its_commit_gets_no_credential(world, server, route, ends, code):
    """What is committed between its authentication and its own commit counts, however little time lies between."""
    grant_id = world.connect(world.jwt()).grant_id
    with ThreadPoolExecutor(1) as pool:
        with server.database.locked() as change:
            under_way = pool.submit(use_by(world, route, grant_id).send)
            time.sleep(2)
            assert not under_way.done()
            assert change(ends, round(time.time() * 1000), world.app_id) == 1
        answer = under_way.result(20)
    assert_nothing_was_used(world, route, answer, code)


@pytest.mark.parametrize("route", RECORDED_AS)
def test_a_use_whose_app_is_deleted_while_the_token_is_refreshed_hears_that_its_key_is_unknown(server, management, route):
    world = World(server, management)
    world.oauth.expires_in, world.oauth.refreshed_expires_in = 30, 3600
    grant_id = world.connect(world.jwt()).grant_id
    with ThreadPoolExecutor(1) as pool:
        with world.oauth.holding("token"):
            under_way = pool.submit(use_by(world, route, grant_id).send)
            eventually(lambda: world.oauth.refreshes, "the refresh is under way")
            management.delete(world.path, confirm=management.get(world.path)["name"])
        answer = under_way.result(20)
    assert (answer.status, answer.error) == (401, "invalid_key")
    assert world.oauth.newest_token().encode() not in answer.body and world.oauth.calls == []
    world.close()


# Identity provider


def test_an_app_has_one_identity_provider_whose_claims_lock_with_the_first_sign_in(world, management):
    path = f"{world.path}/identity-provider"
    assert refusal(management.post, path, {"issuer_url": world.idp.issuer}) == (409, "identity_provider_exists")
    assert management.call("PATCH", path, {"group_claim": "https://corp.test/groups"})["claims_locked"] is False
    jwt = world.jwt(**{"https://corp.test/groups": ["eng", "ops"]})
    assert wait(world.app.verify_user_token(jwt)) == world.subject()
    assert world.user()["group_ids"] == ["eng", "ops"]
    locked = management.get(path)
    assert locked["claims_locked"] and locked["locked_at"] and locked["first_sign_in_at"]
    for change in {"group_claim": "other"}, {"role_claim": None}, {"user_id_claim": "email"}, {"user_id_claim": "sub"}:
        assert refusal(management.call, "PATCH", path, change) == (409, "claim_mappings_locked")
    assert management.call("PATCH", path, {"audience": "https://api.test"})["audience"] == "https://api.test"
    before = events(world)
    assert before.count("identity_provider.changed") == 2, before

    assert refusal(management.post, f"{path}/webhooks") == (422, "webhooks_not_supported")
    management.delete(path)
    assert refusal(management.get, path) == (404, "identity_provider_not_found")


def test_removing_the_identity_provider_ends_what_its_users_have(world, management):
    jwt = world.jwt()
    grant = world.connect(jwt)
    session = world.start_connect(jwt)
    management.delete(f"{world.path}/identity-provider")
    for call in (
        world.app.request("GET", world.echo, grant_id=grant.grant_id),
        world.app.request("GET", world.echo, provider=PROVIDER, user_token=jwt),
        world.app.poll_connect_session(session.session_token, timeout=5, poll_interval=0.1),
    ):
        with pytest.raises(Exception) as refused:
            wait(call)
        assert "identity_provider_inactive" in str(refused.value.details), refused.value
    assert wait(world.app.verify_user_token(jwt)) is None
    # The same issuer brings its users and their grants back.
    management.post(f"{world.path}/identity-provider", {"issuer_url": world.idp.issuer})
    assert world.request_as(jwt).status_code == 200


def test_webhooks_tell_what_was_delivered(server, management):
    world = World(server, management, idp_type="auth0")
    path = f"{world.path}/identity-provider/webhooks"
    assert management.get(path)["enabled"] is False
    assert refusal(management.post, f"{path}/rotate") == (409, "conflict")
    enabled = management.post(path)
    secret = canary(enabled["signing_secret"])
    assert enabled["url"] == management.get(f"{world.path}/identity-provider")["webhook_url"]
    event = {"log_id": "1", "data": {"type": "sul", "date": "2026-01-01T00:00:00Z", "user_id": "x"}}
    assert requests.post(enabled["url"], json=[event], headers={"Authorization": secret}, timeout=10).status_code == 204
    status = management.get(path)
    assert status["enabled"] and status["last_delivery_at"] and status["counts"] == {"ignored": 1}
    assert [(d["event_type"], d["outcome"]) for d in status["deliveries"]] == [("sul", "ignored")]
    assert status["event_map"]["sdu"] == "deprovision"
    management.delete(path)
    assert requests.post(enabled["url"], json=[event], headers={"Authorization": secret}, timeout=10).status_code == 401
    world.close()


# Providers, secrets, policies


def test_the_catalogue_has_what_can_be_connected_without_writing_addresses(management, world):
    catalogue = management.items("/oauth-provider-catalog")
    assert len(catalogue) >= 10 and {"github", "google"} <= {item["id"] for item in catalogue}
    assert all(item["token_url"].startswith("https://") for item in catalogue)
    path = f"{world.path}/oauth-providers/github"
    saved = management.put(path, {"client_id": "c", "client_secret": canary("github-client-secret-1"), "scopes": ["repo"]})
    assert saved["redirect_uri"] == f"{world.server.url}/oauth/callback" and "client_secret" not in saved
    assert wait(world.app.oauth_providers.list()).providers["github"].default_scopes == ["repo"]
    assert bad_fields(management.put, path, {"client_id": "c", "client_secret": "s", "token_url": "https://x.test"}) == {
        "token_url"
    }
    management.delete(path)
    assert refusal(management.delete, path) == (404, "not_found")
    assert events(world).count("oauth_provider.deleted") == 1


def test_a_managed_secret_is_listed_replaced_and_deleted_and_never_told(management, world):
    path = f"{world.path}/managed-secrets"
    made = world.add_secret("stats", "bearer", {"token": "first-static-token-0001"})
    assert refusal(world.add_secret, "stats", "bearer", {"token": "another-static-token-0003"}) == (409, "conflict")
    assert [(s["slug"], s["grant_id"]) for s in management.items(path)] == [("stats", made["grant_id"])]
    world.oauth.accepted_headers.add(("authorization", "Bearer second-static-token-0002"))
    management.put(f"{path}/{made['id']}/value", {"token": canary("second-static-token-0002")})
    assert world.request(grant_id=made["grant_id"]).status_code == 200
    management.delete(f"{path}/{made['id']}")
    assert management.items(path) == []
    with pytest.raises(Exception) as refused:
        world.request(grant_id=made["grant_id"])
    assert refused.value.details["error"] == "grant_not_found"
    assert events(world).count("managed_secret.created") == 1
    assert bad_fields(world.add_secret, "Bad Slug", "basic", {"username": "a:b", "password": "p" * 9}) >= {"slug"}


def test_a_policy_acts_on_the_next_request_and_explains_itself(connected, management):
    world, jwt, grant = connected
    path = f"{world.path}/policies/{PROVIDER}"
    management.put(path, {"allowed_groups": ["finance"]})
    with pytest.raises(PolicyViolationError) as refused:
        world.request_as(jwt)
    assert refused.value.details["rule"] == "allowed_groups"
    management.put(path, {"methods": ["GET"], "paths": ["/api/**"]})
    with pytest.raises(RestrictedGrantRequiresProxyError):
        world.request_as(jwt)
    assert world.proxy(grant_id=grant.grant_id).status_code == 200
    with pytest.raises(PolicyViolationError):
        world.proxy("POST", grant_id=grant.grant_id)
    # As many wildcards as fit cost no more than one.
    management.put(path, {"paths": ["/" + "**/a/" * 100 + "b"]})
    started = time.monotonic()
    with pytest.raises(PolicyViolationError):
        world.proxy(url=world.oauth.url("/api" + "/a" * 2000), grant_id=grant.grant_id)
    assert time.monotonic() - started < 5
    assert management.items(f"{world.path}/policies")[0]["provider_id"] == PROVIDER
    management.delete(path)
    assert world.request_as(jwt).status_code == 200
    assert refusal(management.delete, path) == (404, "not_found")
    for wrong in "GitHub", "a b", "x" * 51:
        assert bad_fields(management.put, f"{world.path}/policies/{wrong}", {}) == {"provider_id"}


# Lists and the record


def test_lists_come_in_pages_whose_cursors_fit_no_other_list(management, world, foreign_world):
    for number in range(5):
        world.new_key(name=f"k{number}")
    path = f"{world.path}/keys"
    everything = management.items(path)
    assert [key["id"] for key in management.items(path, limit=2)] == [key["id"] for key in everything]
    cursor = management.get(path, limit=2)["next_cursor"]
    for other, query in (
        (f"{foreign_world.path}/keys", {}),
        (f"{world.path}/users", {}),
        (f"{world.path}/users", {"status": "active"}),
    ):
        assert bad_fields(management.get, other, cursor=cursor, **query) == {"cursor"}
    for wrong in {"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"offset": 1}, {"cursor": "AAAA"}:
        for listed in path, f"{world.path}/oauth-providers", f"{world.path}/policies", "/oauth-provider-catalog":
            assert bad_fields(management.get, listed, **wrong) == set(wrong), (listed, wrong)
    assert management.get("/oauth-provider-catalog", limit=1)["next_cursor"]
    assert len(management.items("/oauth-provider-catalog", limit=3)) == len(management.items("/oauth-provider-catalog"))


def test_users_are_found_by_status_text_and_exact_group(server, management):
    world = World(server, management, group_claim="groups")
    people = {"alice": ["eng"], "bob": ["Eng"], "carol": ["eng ops", "eng_"], "dave": ["engineering", "eng"]}
    for name, groups in people.items():
        wait(world.app.verify_user_token(world.jwt(name, groups=groups)))

    def found(**filters) -> set[str]:
        return {u["email"].split("@")[0] for u in management.items(f"{world.path}/users", **filters)}

    assert found(query="ALICE") == found(query="alice@corp") == {"alice"}
    assert found(query="%") == set() and found() == set(people)
    assert found(status="suspended") == set()
    assert found(group="eng") == {"alice", "dave"}
    assert found(group="Eng") == {"bob"} and found(group="eng%") == set()
    world.close()


def test_groups_are_compared_exactly_by_policy(server, management):
    world = World(server, management, group_claim="groups")
    management.put(f"{world.path}/policies/*", {"allowed_groups": ["caf\u00e9", "K"]})
    world.connect(world.jwt(groups=["caf\u00e9"]))
    assert world.request_as(world.jwt(groups=["caf\u00e9"])).status_code == 200
    for alike in "cafe\u0301", "\u212a", "CAF\u00c9", " K":
        with pytest.raises(PolicyViolationError):
            world.request_as(world.jwt(groups=[alike]))
    world.close()


def test_the_record_is_searched_by_every_filter(connected, management):
    world, jwt, grant = connected
    world.request(grant_id=grant.grant_id)
    eventually(lambda: world.audit(event="call.reported"), "the SDK reports its call")
    user = world.user()["id"]
    everything = world.audit()
    assert world.audit(event="credential.retrieved", decision="allow", grant_id=grant.grant_id, user_id=user)
    assert world.audit(provider_id=PROVIDER, to="2020-01-01T00:00:00Z") == []
    assert world.audit(**{"from": "2020-01-01T00:00:00Z"}) == everything
    assert world.audit(agent_id=NOBODY) == []
    first = everything[0]
    assert management.get(f"{world.path}/audit/{first['id']}") == first
    assert refusal(management.get, f"{world.path}/audit/{NOBODY}") == (404, "not_found")
    assert bad_fields(management.get, f"{world.path}/audit", decision="maybe", user_id="x") == {"decision", "user_id"}


def test_nothing_that_a_caller_sends_breaks_the_chain(server, management, connected):
    world, _, grant = connected
    nested: object = "x"
    for _ in range(60):
        nested = [nested]
    report = {"grant_id": grant.grant_id, "provider_id": PROVIDER, "method": "GET", "url": world.echo}
    bodies = {"request_body": nested, "response_body": "\u0000", "request_headers": {"a": nested, "b": "\u0000"}}
    answer = world.signer().send("POST", "/sdk/oauth/audit/api-call", {**report, **bodies, "response_status": 200})
    assert answer.status < 500
    for odd in "a%00b", "github%00x", "%01", "%7f":
        for method in "PUT", "DELETE":
            for kind in "policies", "oauth-providers":
                assert refusal(management.call, method, f"{world.path}/{kind}/{odd}", {}) == (404, "not_found")
    assert world.audit() != []
    assert management.post(f"{world.path}/audit/verify")["intact"] is True
    verified = server.run("audit", "verify", "--data-dir", str(server.data))
    assert verified.returncode == 0, verified.stderr


# The description


def described(management) -> dict:
    return management.get("/openapi.json")


def test_the_description_says_what_every_operation_takes(server, management):
    world = World(server, management)
    document = described(management)
    organization = management.items("/organizations")[0]["id"]
    checked = 0
    for path, operations in document["paths"].items():
        address = path.removeprefix("/api/v1").replace("{app_id}", world.app_id).replace("{provider_id}", PROVIDER)
        names = "key_id", "user_id", "grant_id", "secret_id", "event_id", "delivery_id", "member_id"
        address = address.replace("{organization_id}", organization)
        for name in names:
            address = address.replace(f"{{{name}}}", NOBODY)
        for method, operation in operations.items():
            query = {p["name"]: p["required"] for p in operation["parameters"] if p["in"] == "query"}
            if method in ("get", "delete"):
                if query:
                    unknown = bad_fields(management.call, method, address, **{name: "\u2603" for name in query}, made_up="1")
                    assert "made_up" in unknown and not unknown - {"made_up", *query}, (method, path, unknown)
                continue
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            assert schema is not None, (method, path)
            if address.endswith("/value"):
                continue  # what it takes depends on the secret's type
            bent = {name: {"not": ["right"]} for name in schema["properties"]}
            named = bad_fields(management.call, method, address, {**bent, "made_up": 1})
            assert "made_up" in named, (method, path)
            assert {name.split(".")[0].split("[")[0] for name in named} <= {"made_up", *bent}, (method, path, named)
            if required := set(schema["required"]):
                missing = bad_fields(management.call, method, address, {})
                assert missing >= required - {"api_hosts"}, (method, path, missing)
            checked += 1
    assert checked > 15
    world.close()


def test_the_description_says_what_every_reading_answers(server, management):
    world = World(server, management, idp_type="auth0")
    grant = world.connect(world.jwt(), grant_policy={"max_ttl_seconds": 3600})
    world.request(grant_id=grant.grant_id)
    world.add_secret("stats", "bearer", {"token": "a-static-token-to-describe"})
    management.put(f"{world.path}/policies/*", {"methods": ["GET"]})
    management.post(f"{world.path}/identity-provider/webhooks")
    management.post(f"{world.path}/grants/{grant.grant_id}/revoke", {"reason": "done"})
    wait(world.app.verify_user_token(world.jwt("bob")))
    management.post(f"{world.path}/users/{world.user('bob')['id']}/deprovision", {"reason": "left"})
    key_id = management.items(f"{world.path}/keys")[0]["id"]
    for owner in f"grants/{grant.grant_id}", f"keys/{key_id}":
        management.put(f"{world.path}/{owner}/policy", {"ip_allowlist": ["127.0.0.0/8"]})
    management.post(f"{world.path}/audit-streams", {"kind": "webhook", "url": "http://127.0.0.1:9/"})
    organization = management.items("/organizations")[0]["id"]
    management.post(f"/organizations/{organization}/invitations", {"email": "described@example.test"})
    document = described(management)
    schemas = document["components"]["schemas"]
    ids = {
        "key_id": key_id,
        "app_id": world.app_id,
        "user_id": world.user("bob")["id"],
        "grant_id": grant.grant_id,
        "event_id": world.audit()[0]["id"],
        "organization_id": organization,
    }
    checked = set()

    def check(answer: dict, name: str, where: str) -> None:
        schema = schemas[name]
        assert set(schema["required"]) <= answer.keys() <= schema["properties"].keys(), (where, name, answer.keys())
        checked.add(name)

    for path, operations in document["paths"].items():
        if "get" not in operations:
            continue
        provider = "*" if "policies" in path else PROVIDER
        address = path.removeprefix("/api/v1").replace("{provider_id}", provider)
        for name, value in ids.items():
            address = address.replace(f"{{{name}}}", value)
        assert "{" not in address, address
        content = operations["get"]["responses"]["200"]["content"]
        if "application/json" not in content:
            answered = management.fetch(address)
            assert answered.headers["Content-Type"].split(";")[0] in content
            continue
        answer = management.get(address)
        schema = content["application/json"]["schema"]
        if "$ref" in schema:
            check(answer, schema["$ref"].rsplit("/", 1)[1], path)
        else:
            assert answer.keys() == set(schema["required"])
            assert answer["items"], f"nothing is listed at {path}"
            for item in answer["items"]:
                check(item, schema["properties"]["items"]["items"]["$ref"].rsplit("/", 1)[1], path)
    assert len(checked) > 10, checked
    world.close()
