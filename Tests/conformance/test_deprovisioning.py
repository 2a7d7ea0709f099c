"""When the identity provider or an operator says that a user is gone, everything of that user ends."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from alter_sdk import ConnectFlowError, GrantDeletedError, GrantNotFoundError, PolicyViolationError

from harness import browser
from harness.canaries import canary
from harness.sdk import in_background, wait
from harness.waiting import eventually
from harness.webhooks import Auth0Stream, ClerkEndpoint, OperatorDecision
from harness.world import PROVIDER, World


@pytest.fixture(params=[Auth0Stream, ClerkEndpoint, OperatorDecision], ids=lambda way: way.__name__)
def ending(request, server, management):
    """A world, alice's grant in it, and the way in which alice will end."""
    world = World(server, management, idp_type=request.param.idp_type)
    yield world, world.connect(world.jwt()), request.param(world)
    world.close()


@pytest.fixture
def auth0(server, management):
    world = World(server, management, idp_type="auth0")
    yield world, Auth0Stream(world)
    world.close()


def assert_refused(code, call):
    with pytest.raises(PolicyViolationError) as refused:
        wait(call)
    assert refused.value.policy_error == code


def test_a_deprovisioned_user_is_refused_everywhere_and_the_provider_is_told(ending):
    world, grant, way = ending
    jwt, bob = world.jwt(), world.jwt("bob")
    world.connect(bob, account="bob")
    assert world.request_as(jwt).status_code == 200
    open_session = world.start_connect(jwt)
    calls = len(world.oauth.calls)

    way.end_user()

    for valid in jwt, world.jwt(), world.jwt(iat=int(time.time()) + 5):
        assert_refused("user_deprovisioned", world.app.request("GET", world.echo, provider=PROVIDER, user_token=valid))
        assert_refused(
            "user_deprovisioned", world.app.request("GET", world.echo, grant_id=grant.grant_id, user_token=valid)
        )
        assert_refused(
            "user_deprovisioned", world.app.proxy_request("GET", world.echo, provider=PROVIDER, user_token=valid)
        )
        assert_refused(
            "user_deprovisioned", world.app.create_connect_session(allowed_providers=[PROVIDER], user_token=valid)
        )
        assert_refused("user_deprovisioned", world.app.list_grants(end_user_token=valid))
        assert wait(world.app.verify_user_token(valid)) is None
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=grant.grant_id)
    with pytest.raises(GrantDeletedError):
        world.proxy(grant_id=grant.grant_id)
    with pytest.raises(ConnectFlowError):
        world.outcome(open_session)
    assert len(world.oauth.calls) == calls
    assert world.user()["status"] == "deprovisioned"
    assert [g["status"] for g in world.management.items(f"{world.path}/grants", user_id=world.user()["id"])] == [
        "revoked"
    ]

    alices_tokens, bobs_tokens = world.oauth.families
    eventually(lambda: not alices_tokens.access_tokens, "the provider's revocation endpoint is called for alice")
    assert bobs_tokens.access_tokens and world.request_as(bob).json()["account"] == "bob"


def test_a_forged_deprovisioning_is_refused_and_changes_nothing(ending):
    world, grant, way = ending
    answers = [answer.status_code for answer in way.forgeries()]
    assert answers and set(answers) == {401}
    assert world.request_as(world.jwt()).status_code == 200
    assert world.request(grant_id=grant.grant_id).status_code == 200
    assert world.user()["status"] == "active"


def test_a_delivery_that_comes_twice_is_acknowledged_twice_and_acts_once(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    event = stream.event()
    assert [stream.send(event, authorization=f"Bearer {stream.secret}").ok for _ in range(2)] == [True, True]
    assert world.user()["status"] == "deprovisioned"
    eventually(lambda: world.oauth.revocations, "the provider's revocation endpoint is called")
    world.management.post(f"{world.path}/users/{world.user()['id']}/restore", {"reason": "hired again"})
    assert stream.send(event, authorization=stream.secret).ok
    assert world.user()["status"] == "active", "an old delivery ended the user again"


def test_a_subject_deleted_before_it_was_ever_seen_stays_denied(auth0):
    world, stream = auth0
    stream.end_user()
    assert_refused(
        "user_deprovisioned", world.app.request("GET", world.echo, provider=PROVIDER, user_token=world.jwt())
    )


def test_row_64_a_new_token_of_a_deprovisioned_subject_is_refused_until_an_operator_acts_and_the_trail_says_so(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    stream.end_user()
    time.sleep(1.1)  # a token of after the end, in whole seconds as tokens count
    for _ in range(2):
        assert_refused(
            "user_deprovisioned", world.app.request("GET", world.echo, provider=PROVIDER, user_token=world.jwt())
        )
    refused = world.audit(event="credential.retrieved", decision="deny")
    assert [record["details"]["error"] for record in refused] == ["user_deprovisioned"] * 2
    assert {record["user_id"] for record in refused} == {world.user()["id"]}

    old = world.jwt()
    time.sleep(1.1)
    world.management.post(f"{world.path}/users/{world.user()['id']}/restore", {"reason": "hired again"})
    [restored] = world.audit(event="user.restored")
    assert restored["principal"]["type"] == "operator" and restored["details"]["reason"] == "hired again"
    user = world.user()
    assert (user["status"], user["group_ids"], user["roles"]) == ("active", [], [])
    # Nothing of before comes back: it takes a new consent.
    fresh = world.jwt()
    with pytest.raises(GrantNotFoundError):
        wait(world.app.request("GET", world.echo, provider=PROVIDER, user_token=old))
    world.connect(fresh)
    assert world.request_as(fresh).status_code == 200


def test_events_that_end_nobody_are_acknowledged_and_ignored(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    ignored = [stream.event(kind) for kind in ("sul", "limit_sul", "s", "unheard-of")]
    assert stream.send(*ignored, authorization=stream.secret).ok
    assert world.request_as(world.jwt()).status_code == 200


def test_one_bad_item_does_not_hide_the_good_ones_of_its_batch(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    bad = {"log_id": "x", "data": {"type": 7}}
    assert stream.send(bad, stream.event(), authorization=stream.secret).ok
    assert world.user()["status"] == "deprovisioned"
    for nonsense in b"", b"nonsense", b'{"data":':
        answer = requests.post(stream.url, nonsense, headers={"Authorization": stream.secret}, timeout=20)
        assert answer.status_code == 400, nonsense


def test_a_rotated_webhook_secret_is_refused_at_once(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    fresh = canary(world.management.post(f"{world.path}/identity-provider/webhooks/rotate")["signing_secret"])
    assert stream.send(stream.event(), authorization=stream.secret).status_code == 401
    assert world.user()["status"] == "active"
    assert stream.send(stream.event(), authorization=fresh).ok
    assert world.user()["status"] == "deprovisioned"


def test_a_suspended_user_is_refused_until_restored_and_needs_no_new_consent(connected):
    world, jwt, grant = connected
    path = f"{world.path}/users/{world.user()['id']}"
    world.management.post(f"{path}/suspend", {"reason": "on leave"})
    assert world.user()["status"] == "suspended"
    assert_refused("user_suspended", world.app.request("GET", world.echo, provider=PROVIDER, user_token=jwt))
    assert_refused("user_suspended", world.app.request("GET", world.echo, grant_id=grant.grant_id))
    assert_refused("user_suspended", world.app.proxy_request("GET", world.echo, grant_id=grant.grant_id))
    assert_refused("user_suspended", world.app.create_connect_session(allowed_providers=[PROVIDER], user_token=jwt))
    assert_refused("user_suspended", world.app.list_grants(end_user_token=jwt))
    assert wait(world.app.verify_user_token(jwt)) is None
    assert world.oauth.revocations == [] and world.oauth.calls == []
    world.management.post(f"{path}/restore", {"reason": "back"})
    assert world.request_as(jwt).status_code == 200
    assert world.request(grant_id=grant.grant_id).status_code == 200


def test_a_user_who_leaves_during_a_refresh_gets_nothing_of_it_and_the_provider_ends_it(auth0):
    world, stream = auth0
    world.oauth.expires_in = 30
    grant = world.connect(world.jwt())
    with world.oauth.holding("token"):
        by_grant = in_background(world.app.request("GET", world.echo, grant_id=grant.grant_id))
        by_token = in_background(world.app.request("GET", world.echo, provider=PROVIDER, user_token=world.jwt()))
        eventually(lambda: world.oauth.refreshes, "the refresh is under way")
        stream.end_user()
    with pytest.raises(GrantDeletedError):
        by_grant.result(20)
    with pytest.raises((PolicyViolationError, GrantDeletedError)):
        by_token.result(20)
    eventually(
        lambda: not any(family.access_tokens for family in world.oauth.families),
        "what the provider issued meanwhile is revoked as well",
    )
    assert world.oauth.calls == []
    uses = world.audit(event="credential.retrieved")
    assert [use["decision"] for use in uses] == ["deny", "deny"], "each refused use has its one record"


def test_a_proxied_call_that_was_under_way_when_the_user_left_brings_no_answer(auth0):
    world, stream = auth0
    grant = world.connect(world.jwt())
    with world.oauth.holding("api"):
        call = in_background(world.app.proxy_request("GET", world.echo, grant_id=grant.grant_id))
        eventually(lambda: world.oauth.calls, "the provider is called")
        stream.end_user()
    with pytest.raises(GrantDeletedError):
        call.result(20)
    [use] = world.audit(event="credential.proxied")
    assert use["decision"] == "allow" and use["status"] in (200, 401), "the call was made, and the record says so"


@pytest.mark.parametrize("code", ["user_deprovisioned", "user_suspended"])
def test_consent_that_comes_too_late_is_not_kept_and_the_provider_is_told(auth0, code):
    world, stream = auth0
    jwt = world.jwt()
    assert wait(world.app.verify_user_token(jwt)) == world.subject()
    session = world.start_connect(jwt)
    with ThreadPoolExecutor() as pool:
        with world.oauth.holding("token"):
            browsing = pool.submit(browser.connect, session.connect_url, PROVIDER)
            eventually(lambda: world.oauth.token_requests, "the code is being exchanged")
            if code == "user_deprovisioned":
                stream.end_user()
            else:
                world.management.post(f"{world.path}/users/{world.user()['id']}/suspend", {"reason": "on leave"})
        browsing.result(20)
    with pytest.raises(ConnectFlowError) as refused:
        world.outcome(session)
    assert code in str(refused.value.details)
    eventually(lambda: world.oauth.revocations, "the provider is told to revoke the tokens")
    assert world.management.items(f"{world.path}/grants") == []


def test_an_older_delete_does_not_undo_a_newer_restore(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    first, late = stream.event(), stream.event()
    assert stream.send(first, authorization=stream.secret).ok
    world.management.post(f"{world.path}/users/{world.user()['id']}/restore", {"reason": "it was a mistake"})
    # The provider reports one deletion twice, under two ids.
    assert stream.send(late, authorization=stream.secret).ok
    assert world.user()["status"] == "active"
    assert stream.send(stream.event(), authorization=stream.secret).ok
    assert world.user()["status"] == "deprovisioned"


def test_a_block_that_arrives_after_its_newer_release_changes_nothing(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    block = stream.event("user.suspended")
    time.sleep(0.01)
    release = stream.event("user.unsuspended")
    assert stream.send(release, authorization=stream.secret).ok
    assert stream.send(block, authorization=stream.secret).ok
    assert world.user()["status"] == "active"


def test_events_find_the_user_by_every_subject_that_the_mapped_id_came_with(server, management):
    world = World(server, management, idp_type="auth0", user_id_claim="email")
    stream = Auth0Stream(world)
    grant = world.connect(world.jwt())
    twin = world.idp.mint({"sub": world.subject("alice-by-password"), "email": "alice@corp.test"})
    assert world.request_as(twin).status_code == 200
    assert stream.send(stream.event(name="alice-by-password"), authorization=stream.secret).ok
    for token in twin, world.jwt():
        assert_refused(
            "user_deprovisioned", world.app.request("GET", world.echo, provider=PROVIDER, user_token=token)
        )
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=grant.grant_id)
    world.close()
