"""Three nodes on one PostgreSQL database: what one of them did binds the others, and each can come and go."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from alter_sdk import (
    AmbiguousGrantError,
    BackendError,
    GrantDeletedError,
    GrantRevokedError,
    KeyInactiveError,
    PolicyViolationError,
    verify_identity_assertion,
)

from harness import browser
from harness.audit_streams import StreamReceiver, open_webhook
from harness.balancer import Balancer
from harness.browser import Browser
from harness.canaries import readable_in
from harness.load import Load, recorded, refusals, retrievals, unrecorded, use
from harness.local_http import Answer, Request
from harness.management import Management
from harness.nodes import Nodes
from harness.oauth_provider import OAuthProvider
from harness.portal import SETUP_ADDRESS, invite, new_password, set_up, sign_in_page, walk
from harness.relay import Relay
from harness.sdk import in_background, wait, wait_all
from harness.server import Server
from harness.signer import RawRequest
from harness.swarm import Message, Shot, Swarm, delivery, message, race, signed, uses
from harness.waiting import eventually
from harness.wallet import enable_sign_in, end, sign_in_to_wallet
from harness.webhooks import Auth0Stream
from harness.world import PROVIDER, World

pytestmark = pytest.mark.postgresql

RACE = int(os.environ.get("SALLYPORT_RACE", "2000"))
"""How many uses race against the end of what they use; 100,000 is the full form."""
RACE_ROUND = 1000
"""Uses of one race, about."""
LATE_SECONDS = 1.0
"""What was decided before an end may still be on its way when the end is acknowledged; it is not held up longer than this."""
LEASE_SECONDS = 60
"""After this, others do what a node that was killed had begun."""
GONE_SECONDS = 20
"""After this, they know that a machine is gone that said nothing."""
SCOPES = "/sdk/scopes"
GONE = {"user_deprovisioned": 403, "grant_deleted": 410}
REVOKED = (403, "grant_revoked")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Three nodes, which began at the same moment. Afterwards every record is in its place, and no secret is readable."""
    with Nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        nodes.start()
        yield nodes
        assert verified(nodes[0]) == (0, "")
        assert nodes.stop() == [0] * len(nodes)
        assert readable_in(nodes.stored()) == []


@pytest.fixture(scope="module")
def server(nodes):
    return nodes[0]


@pytest.fixture
def worlds(nodes, world):
    """The world at each node."""
    return [world, *(world.at(node) for node in list(nodes)[1:])]


@pytest.fixture
def new_nodes(tmp_path):
    with Nodes(tmp_path) as nodes:
        yield nodes


def verified(node: Server) -> tuple[int, str]:
    done = node.run("audit", "verify", "--data-dir", str(node.data))
    return done.returncode, done.stderr


def at(address: str, node: Server) -> str:
    """The same page at another node."""
    return node.url + address.removeprefix("/".join(address.split("/")[:3]))


def everywhere(
    worlds: list[World], messages: Callable[[World], Iterator[Message]], each: int, connections: int = 32
) -> list[Shot]:
    """As many messages to every node at the same time."""
    prepared = [(Swarm(world.server.url), list(islice(messages(world), each))) for world in worlds]

    async def fly() -> list[list[Shot]]:
        return await asyncio.gather(*(swarm.fly(ready, connections=connections) for swarm, ready in prepared))

    return [shot for shots in asyncio.run(fly()) for shot in shots]


# Requests


def test_a_nonce_that_one_node_took_is_refused_by_every_other(worlds, nodes):
    request = worlds[0].signer().request("GET", SCOPES)
    assert request.send().status == 200
    for node in nodes:
        answer = request.sending(base_url=node.url).send()
        assert (answer.status, answer.error) == (401, "nonce_replayed")


def test_of_copies_that_come_to_all_nodes_at_the_same_moment_one_is_answered(worlds, nodes):
    for _ in range(20):
        request = worlds[0].signer().request("GET", SCOPES)
        copies = [request.sending(base_url=node.url) for node in nodes] * 3
        with ThreadPoolExecutor(len(copies)) as pool:
            statuses = sorted(answer.status for answer in pool.map(RawRequest.send, copies))
        assert statuses == [200] + [401] * (len(copies) - 1)


# Ends


@pytest.mark.parametrize("ended", ["policy", "grant", "user", "key", "app", "token"])
def test_what_one_node_ends_is_ended_for_the_next_request_at_every_other(worlds, ended):
    world, management = worlds[0], worlds[0].management
    grant_id = world.connect(world.jwt()).grant_id
    token = management.post("/tokens", {"name": "script"})
    for there in worlds:
        # Whatever a node keeps for itself, it has now.
        assert use(there, grant_id) == (200, None)
        assert Management(there.server.url, token["token"]).get(world.path)["id"] == world.app_id
    [key] = management.items(f"{world.path}/keys")
    answers = {
        "policy": (403, "policy_violation"),
        "grant": REVOKED,
        "user": (403, "user_suspended"),
        "key": (401, "key_revoked"),
        "app": (401, "key_not_active"),
    }
    match ended:
        case "policy":
            management.put(f"{world.path}/policies/{PROVIDER}", {"ip_allowlist": ["203.0.113.0/24"]})
        case "grant":
            management.post(f"{world.path}/grants/{grant_id}/revoke", {"reason": "r"})
        case "user":
            management.post(f"{world.path}/users/{world.user()['id']}/suspend", {"reason": "r"})
        case "key":
            management.delete(f"{world.path}/keys/{key['id']}")
        case "app":
            management.post(f"{world.path}/archive")
        case "token":
            management.delete(f"/tokens/{token['id']}")
    for there in worlds:
        if ended == "token":
            headers = {"Authorization": f"Bearer {token['token']}"}
            assert requests.get(f"{there.server.url}/api/v1/apps", headers=headers, timeout=10).status_code == 401
        else:
            assert use(there, grant_id) == answers[ended]


@pytest.mark.parametrize("begun_again", ["user", "app"])
def test_what_one_node_begins_again_is_good_for_the_next_request_at_every_other(worlds, begun_again):
    world, management = worlds[0], worlds[0].management
    jwt = world.jwt()
    world.connect(jwt)
    user = f"{world.path}/users/{world.user()['id']}"
    end, begin, body = {
        "user": (f"{user}/suspend", f"{user}/restore", {"reason": "r"}),
        "app": (f"{world.path}/archive", f"{world.path}/unarchive", None),
    }[begun_again]
    for _ in range(3):
        for there in worlds:
            assert there.request_as(jwt).status_code == 200
        management.post(end, body)
        for there in worlds:
            with pytest.raises((PolicyViolationError, KeyInactiveError)):
                there.request_as(jwt)
        management.post(begin, body)


@pytest.mark.parametrize("change", ["audience", "ended and begun again", "a second account"])
def test_a_token_that_one_node_stops_to_take_is_refused_by_every_other(worlds, change):
    world, management = worlds[0], worlds[0].management
    jwt = world.jwt()
    world.connect(jwt)
    for there in worlds:
        assert there.request_as(jwt).status_code == 200
    match change:
        case "audience":
            management.call("PATCH", f"{world.path}/identity-provider", {"audience": "https://another.test"})
        case "ended and begun again":
            user = f"{world.path}/users/{world.user()['id']}"
            management.post(f"{user}/deprovision", {"reason": "left"})
            management.post(f"{user}/restore", {"reason": "back"})
        case "a second account":
            world.connect(jwt, account="alice-at-work")
    for there in worlds:
        with pytest.raises((BackendError, PolicyViolationError, AmbiguousGrantError)):
            there.request_as(jwt)


def test_an_edit_of_a_policy_at_one_node_binds_the_next_request_at_every_other(worlds):
    grant_id = worlds[0].connect(worlds[0].jwt()).grant_id
    for number in range(24):
        editor = worlds[number % 3]
        allows = number % 2 == 1
        addresses = ["127.0.0.0/8"] if allows else ["203.0.113.0/24"]
        editor.management.put(f"{editor.path}/policies/{PROVIDER}", {"ip_allowlist": addresses})
        for there in worlds:
            assert use(there, grant_id) == ((200, None) if allows else (403, "policy_violation"))


def assert_ended_with(ack: Shot, shots: list[Shot], errors: set[tuple[int, str]]) -> None:
    """What was sent after the acknowledgement is refused everywhere, and nothing is answered in any other way."""
    after = [shot for shot in shots if shot.sent > ack.last_byte]
    assert any(shot.is_success and shot.sent < ack.sent for shot in shots) and len(after) >= 100, "it came in the middle"
    assert refusals(shots).keys() <= errors
    assert [shot for shot in after if shot.is_success] == []
    late = max((shot.first_byte - ack.last_byte for shot in shots if shot.is_success), default=0.0)
    assert late < LATE_SECONDS, f"an answer came {late:.3f} s after the acknowledgement"


def assert_no_use_after(world: World, event: str, **about: str) -> None:
    """In the record, no credential was handed out after the end."""
    [ended] = world.audit(event=event, **about)
    handed_out = world.audit(event="credential.retrieved", decision="allow", **about)
    assert handed_out and handed_out[0]["sequence"] < ended["sequence"]


@pytest.mark.alone
@pytest.mark.timeout(60 + RACE // 20)
def test_after_an_acknowledged_revocation_no_node_lets_the_grant_be_used(worlds):
    world, others = worlds[0], worlds[1:]
    operator = Swarm(world.server.url)
    for number in range(max(1, RACE // RACE_ROUND)):
        grant_id = world.connect(world.jwt(), account=f"account-{number}").grant_id
        flights = [
            (Swarm(there.server.url), list(islice(retrievals(there, grant_id), RACE_ROUND))) for there in others
        ]

        async def revoke() -> Shot:
            url = f"{world.server.url}/api/v1{world.path}/grants/{grant_id}/revoke"
            headers = {"Authorization": world.management.authorization, "Content-Type": "application/json"}
            [ack] = await operator.fly([message("POST", url, headers, b'{"reason":"r"}')], connections=1)
            assert ack.is_success, ack
            return ack

        ack, shots = asyncio.run(race(flights, revoke, connections=32, before=RACE_ROUND // 2))
        assert_ended_with(ack, shots, {REVOKED})
        assert_no_use_after(world, "grant.revoked", grant_id=grant_id)


@pytest.mark.alone
@pytest.mark.timeout(60 + RACE // 20)
def test_after_an_acknowledged_deprovisioning_no_node_serves_the_user(nodes, management):
    world = World(nodes[0], management, idp_type="auth0")
    others = [world.at(node) for node in list(nodes)[1:]]
    stream, provider = Auth0Stream(world), Swarm(world.server.url)
    for number in range(max(1, RACE // RACE_ROUND)):
        name = f"person-{number}"
        accounts = [world.connect(world.jwt(name), account=f"{name}-{n}") for n in range(2)]
        grants = {
            grant.grant_id: {"provider_id": PROVIDER, "account": f"{name}-{n}@provider.test"}
            for n, grant in enumerate(accounts)
        }
        flights = [
            (Swarm(there.server.url), list(islice(uses(there, world.jwt(name), grants), RACE_ROUND)))
            for there in others
        ]

        async def leave() -> Shot:
            [ack] = await provider.fly([delivery(stream, stream.event(name=name))], connections=1)
            assert ack.status == 204, ack
            return ack

        ack, shots = asyncio.run(race(flights, leave, connections=32, before=RACE_ROUND // 2))
        assert_ended_with(ack, shots, {(status, code) for code, status in GONE.items()})
        assert [shot.error for shot in shots if shot.sent > ack.last_byte and shot.error != shot.label] == []
        assert_no_use_after(world, "user.deprovisioned", user_id=world.user(name)["id"])
        assert world.server.database.count("credentials WHERE user_id = ?", world.user(name)["id"]) == 0
    world.close()


def test_a_delivery_that_comes_to_all_nodes_at_the_same_moment_counts_once(nodes, management):
    world = World(nodes[0], management, idp_type="auth0")
    grant = world.connect(world.jwt())
    stream = Auth0Stream(world)
    event = stream.event()

    def deliver(node: Server) -> int:
        headers = {"Authorization": stream.secret}
        return requests.post(at(stream.url, node), json=[event], headers=headers, timeout=20).status_code

    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(deliver, [*nodes] * 3)) == [204] * 9
    assert len(world.audit(event="user.deprovisioned")) == 1
    assert world.server.database.count("webhook_deliveries WHERE delivery_id = ?", event["log_id"]) == 1
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=grant.grant_id)
    world.close()


def test_providers_hear_of_each_end_once_whichever_node_tells_them(worlds):
    world = worlds[0]
    # Long enough for a second node to find the same token waiting.
    world.oauth.revocation_delay_seconds = 0.5
    grants = [world.connect(world.jwt(), account=f"account-{number}").grant_id for number in range(3)]
    for there, grant_id in zip(worlds, grants, strict=True):
        there.management.post(f"{there.path}/grants/{grant_id}/revoke", {"reason": "r"})
    waiting = "revocations WHERE app_id = ? AND status = 'pending'"
    eventually(lambda: world.server.database.count(waiting, world.app_id) == 0, "all are told", 45)
    told = Counter(world.oauth.revocations)
    assert len(told) >= len(grants) and set(told.values()) == {1}


# Counts


def test_a_limit_lets_exactly_as_many_uses_pass_through_all_nodes_together(worlds):
    grant_id = worlds[0].connect(worlds[0].jwt()).grant_id
    rule = {"requests": 100, "per_seconds": 3600, "per": "grant"}
    worlds[0].management.put(f"{worlds[0].path}/policies/{PROVIDER}", {"rate_limit": rule})
    shots = everywhere(worlds, lambda there: retrievals(there, grant_id), each=100)
    assert Counter(shot.error for shot in shots) == {None: 100, "rate_limit_exceeded": 200}
    decisions = Counter(record["decision"] for record in worlds[0].audit(event="credential.retrieved"))
    assert decisions == {"allow": 100, "deny": 200}


def test_a_keys_own_limit_is_exact_through_all_nodes_together(worlds):
    key = worlds[0].new_key(rate_limit_rpm=50)

    def scopes(there: World) -> Iterator[Message]:
        signer = there.signer()
        signer.api_key = key
        while True:
            yield signed(signer.request("GET", SCOPES))

    shots = everywhere(worlds, scopes, each=50)
    assert Counter(shot.error for shot in shots) == {None: 50, "rate_limit_exceeded": 100}


def test_guesses_of_a_password_count_together_wherever_they_are_made(nodes, management):
    operator = invite(management)
    statuses = [
        sign_in_page(nodes[number % 3].url, operator.email, new_password()).status for number in range(7)
    ]
    assert statuses[:5] == [401] * 5 and 429 in statuses, statuses


def test_figures_of_use_count_every_use_once(worlds, nodes):
    grant_id = worlds[0].connect(worlds[0].jwt()).grant_id
    shots = everywhere(worlds, lambda there: retrievals(there, grant_id), each=30, connections=8)
    assert refusals(shots) == {}

    def counted() -> int:
        query = "SELECT coalesce(sum(total), 0) FROM usage_figures WHERE app_id = ? AND outcome = 'call'"
        [(total,)] = nodes[0].database.query(query, worlds[0].app_id)
        return int(total)

    eventually(lambda: counted() >= 90, "the uses are counted", 15)
    time.sleep(2.5)  # another round of every node
    assert counted() == 90


# Refresh


def test_a_token_near_its_end_is_refreshed_once_for_those_who_wait_at_all_nodes(worlds):
    world = worlds[0]
    world.oauth.expires_in, world.oauth.refreshed_expires_in = 30, 3600
    world.oauth.token_delay_seconds = 0.5
    grant_id = world.connect(world.jwt()).grant_id
    answers = wait_all([there.app.request("GET", world.echo, grant_id=grant_id) for there in worlds * 4])
    assert [getattr(answer, "status_code", answer) for answer in answers] == [200] * 12
    assert world.oauth.refreshes == 1
    fresh = world.oauth.newest_token()
    assert {call.headers["Authorization"] for call in world.oauth.calls} == {f"Bearer {fresh}"}


def test_a_refresh_token_that_rotates_is_never_sent_twice_wherever_it_is_used(worlds):
    world = worlds[0]
    world.oauth.expires_in = 60
    grant_id = world.connect(world.jwt()).grant_id
    for _ in range(3):
        answers = wait_all([there.app.request("GET", world.echo, grant_id=grant_id) for there in worlds * 2])
        assert [getattr(answer, "status_code", answer) for answer in answers] == [200] * 6
    sent = Counter(form["refresh_token"] for form in world.oauth.token_requests if "refresh_token" in form)
    assert len(sent) >= 3 and set(sent.values()) == {1}


class LosingProvider(OAuthProvider):
    """The first refresh never arrives: nothing is issued and nothing rotates."""

    lost = 0

    def answer(self, request: Request) -> Answer:
        if request.form().get("grant_type") == "refresh_token" and self.lost == 0:
            self.lost += 1
            time.sleep(8)
            return Answer(503)
        return super().answer(request)


@pytest.mark.timeout(LEASE_SECONDS + 60)
def test_a_node_that_is_killed_while_it_refreshes_leaves_the_credential_to_the_others(new_nodes):
    new_nodes.start()
    world = World(new_nodes[0], Management(new_nodes[0].url, new_nodes[0].create_operator().pat))
    provider = LosingProvider(expires_in=30)
    provider.refreshed_expires_in = 3600
    world.register(PROVIDER, provider)
    world.oauth.close()
    world.oauth = provider
    grant_id = world.connect(world.jwt()).grant_id
    there = world.at(new_nodes[1])
    started = in_background(world.app.request("GET", world.echo, grant_id=grant_id))
    eventually(lambda: provider.lost, "the refresh is under way")
    new_nodes[0].kill()
    assert started.exception(20)
    eventually(lambda: use(there, grant_id) == (200, None), "another node refreshes", LEASE_SECONDS)
    assert provider.refreshes == 1
    world.close()


# Journeys


def test_a_connect_session_begun_at_one_node_is_finished_at_the_next_and_read_at_the_third(worlds, nodes):
    first, second, third = worlds
    jwt = first.jwt()
    session = first.start_connect(jwt)
    with first.at_the_browser(jwt):
        browser.connect(at(session.connect_url, nodes[1]), PROVIDER)
    [result] = third.outcome(session)
    for there in worlds:
        assert there.request(grant_id=result.grant_id).json()["account"] == "alice"
    wait(second.app.revoke_grant(result.grant_id))
    for there in worlds:
        with pytest.raises(GrantRevokedError):
            there.request(grant_id=result.grant_id)


def test_a_poll_held_at_one_node_is_answered_soon_after_the_sign_in_at_another(worlds, nodes):
    enable_sign_in(worlds[0])
    session = wait(worlds[0].app.create_auth_session())
    held = [
        in_background(there.app.poll_auth_session(session.session_token, timeout=20, poll_interval=5))
        for there in worlds
    ]
    time.sleep(0.5)
    assert not any(poll.done() for poll in held)
    began = time.monotonic()
    requests.Session().get(at(session.auth_url, nodes[1]), timeout=20)
    assert len({poll.result(10).user_token for poll in held}) == 1
    assert time.monotonic() - began < 3


def test_a_session_of_the_portal_is_good_at_every_node_until_it_ends_at_one(nodes, management):
    operator = invite(management)
    for node in nodes:
        page = operator.browser.open(f"{node.url}/portal/apps")
        assert page.status == 200 and page.url == f"{node.url}/portal/apps"
    page = operator.browser.open(f"{nodes[1].url}/portal/apps")
    operator.browser.click(page, "Sign out")
    for node in nodes:
        assert "/portal/sign-in" in operator.browser.open(f"{node.url}/portal/apps").url


def test_a_session_of_the_wallet_is_good_at_every_node_and_what_ends_there_is_ended(worlds, nodes):
    enable_sign_in(worlds[0])
    grant_id = worlds[0].connect(worlds[0].jwt()).grant_id
    person, _ = sign_in_to_wallet(worlds[0], "alice")
    for node in nodes:
        assert "alice@provider.test" in person.open(f"{node.url}/wallet/connections").text
    end(person, person.open(f"{nodes[2].url}/wallet/connections"), grant_id)
    for there in worlds:
        assert use(there, grant_id) == REVOKED


def test_a_statement_that_one_node_signed_is_verified_with_the_keys_that_another_publishes(worlds, nodes):
    audience = "https://downstream.example.test"
    rotated = nodes[0].run("signing-key", "rotate", "--now", "--data-dir", str(nodes[0].data))
    assert rotated.returncode == 0, rotated.stderr
    for signer in worlds:
        assertion = wait(signer.app.assert_identity(audience=audience, user_token=signer.jwt()))
        for node in nodes:
            keys = requests.get(f"{node.url}/.well-known/jwks.json", timeout=10).json()
            expected = {"audience": audience, "issuer": signer.server.url, "expected_app_id": signer.app_id}
            assert verify_identity_assertion(assertion.token, jwks=keys, **expected)


def test_everything_works_when_each_request_comes_to_another_node(new_nodes):
    """Through one address, as users reach several nodes; the main job and every page of the Portal."""
    balancer = Balancer(list(new_nodes))
    for node in new_nodes:
        node.start(public_url=balancer.origin)
    front = copy(new_nodes[0])
    front.url = balancer.origin
    world = World(front, Management(front.url, front.create_operator().pat), idp_type="auth0", group_claim="groups")
    enable_sign_in(world)
    jwt = world.jwt(groups=["eng"])
    grant = world.connect(jwt)
    for _ in range(3):
        assert world.request(grant_id=grant.grant_id).json()["account"] == "alice"
        assert world.proxy(provider=PROVIDER, user_token=jwt).status_code == 200
    person, page = sign_in_to_wallet(world, "alice")
    assert "alice@provider.test" in page.text
    operator = invite(world.management, "admin")
    pages = list(walk(operator.browser, f"{front.url}/portal/apps", f"{front.url}/portal/apps/{world.app_id}"))
    assert len(pages) > 15 and {page.status for page in pages} == {200}
    stream = Auth0Stream(world)
    stream.end_user()
    for _ in new_nodes:
        with pytest.raises(GrantDeletedError):
            world.request(grant_id=grant.grant_id)
        assert "/wallet/sign-in" in person.open(f"{front.url}/wallet/connections").url
    assert world.management.post(f"{world.path}/audit/verify")["intact"] is True
    assert min(balancer.passed[node.url] for node in new_nodes) > 20
    world.close()
    balancer.close()
    assert new_nodes.stop() == [0, 0, 0]


# The record


@pytest.mark.alone
def test_what_all_nodes_write_at_the_same_time_is_one_chain_with_one_record_for_each_use(worlds, nodes):
    world = worlds[0]
    grants = [world.connect(world.jwt(), account=f"account-{number}").grant_id for number in range(3)]

    def mixed(there: World) -> Iterator[Message]:
        named = {grant_id: {"provider_id": PROVIDER} for grant_id in grants}
        return (each for each in uses(there, there.jwt(), named) if b"provider_id" not in each.data)

    shots = everywhere(worlds, mixed, each=200)
    assert refusals(shots) == {}
    records = world.audit()
    used = Counter(record["request_id"] for record in records if record["event"] in ("credential.retrieved", "credential.proxied"))
    assert used == Counter(shot.headers["x-request-id"] for shot in shots)
    assert [record["sequence"] for record in reversed(records)] == list(range(1, len(records) + 1))
    for there in worlds:
        assert there.management.post(f"{there.path}/audit/verify")["intact"] is True
    assert verified(nodes[1]) == (0, "")


class SlowReceiver(StreamReceiver):
    """Slow enough for another node to find the same records waiting."""

    def answer(self, request: Request) -> Answer:
        time.sleep(0.7)
        return super().answer(request)


def sent(receiver: StreamReceiver) -> list[int]:
    """The numbers of the records as they came, those that came again included."""
    return [record["sequence"] for batch in receiver.taken() for record in batch.json()["records"]]


def all_sequences(world: World) -> list[int]:
    return list(range(1, world.audit()[0]["sequence"] + 1))


def test_a_stream_gets_each_record_once_and_in_order(worlds):
    world, receiver = worlds[0], SlowReceiver()
    open_webhook(world, receiver, from_start=True)
    grant_id = world.connect(world.jwt()).grant_id
    for _ in range(3):
        everywhere(worlds, lambda there: retrievals(there, grant_id), each=40, connections=4)
        time.sleep(0.4)
    expected = all_sequences(world)
    eventually(lambda: len(sent(receiver)) >= len(expected), "everything arrives", 20)
    time.sleep(2.5)  # another round of every node
    assert sent(receiver) == expected and receiver.forged == []
    receiver.close()


@pytest.mark.timeout(LEASE_SECONDS + 60)
def test_a_stream_stays_in_order_when_the_node_that_sends_it_is_killed(new_nodes):
    new_nodes.start()
    world = World(new_nodes[0], Management(new_nodes[0].url, new_nodes[0].create_operator().pat))
    receiver = SlowReceiver()
    open_webhook(world, receiver, from_start=True)
    grant_id = world.connect(world.jwt()).grant_id
    for node in list(new_nodes)[1:]:
        there = world.at(node)
        for _ in range(30):
            assert use(there, grant_id) == (200, None)
        node.kill()
    assert use(world, grant_id) == (200, None)
    eventually(lambda: receiver.sequences() == all_sequences(world), "everything arrives in order", LEASE_SECONDS)
    assert receiver.forged == []
    world.close()
    receiver.close()


@pytest.mark.alone
def test_what_a_node_had_leased_whose_machine_is_gone_without_a_word_is_done_by_another_soon(tmp_path):
    receiver = StreamReceiver()
    with Nodes(tmp_path, count=1) as nodes, Relay(nodes.storage.cluster.port) as relay:
        port = nodes.storage.cluster.port
        lost = nodes.add(SALLYPORT_DATABASE=nodes.storage.url.replace(f":{port}/", f":{relay.port}/"))
        lost.start()
        world = World(lost, Management(lost.url, lost.create_operator().pat))
        receiver.hangs.set()
        open_webhook(world, receiver, from_start=True)
        eventually(lambda: receiver.asked, "a node has the stream and sends")
        nodes[0].start()
        there = world.at(nodes[0])
        # It does not even hear how its message was taken.
        os.kill(lost.pid, signal.SIGSTOP)
        receiver.failures.append(Answer(503))
        receiver.release()
        time.sleep(4)  # two rounds of the other node
        assert receiver.taken() == [], "who is only slow keeps what it has"
        assert relay.cut()
        eventually(lambda: receiver.sequences() == all_sequences(there), "the other node sends", GONE_SECONDS)
        assert receiver.forged == []
        assert verified(nodes[0]) == (0, "")
        lost.kill()
        world.close()
    receiver.close()


# Nodes that come and go


def test_nodes_that_begin_together_on_an_empty_database_are_one_installation(new_nodes):
    new_nodes.start()
    key_sets = [requests.get(f"{node.url}/.well-known/jwks.json", timeout=10).json() for node in new_nodes]
    assert key_sets[0]["keys"] and all(each == key_sets[0] for each in key_sets)
    assert new_nodes.storage.database.count("installation") == new_nodes.storage.keys.count("installation") == 1
    eventually(lambda: any(SETUP_ADDRESS.search(node.printed()) for node in new_nodes), "a setup address")
    addresses = [found.group() for node in new_nodes if (found := SETUP_ADDRESS.search(node.printed()))]
    operator = set_up(addresses[0])
    assert {Browser().open(address).status for address in addresses} == {404}, "there is an operator now"
    for node in new_nodes:
        assert operator.browser.open(f"{node.url}/portal/apps").status == 200
    assert new_nodes.stop() == [0, 0, 0]


@pytest.mark.alone
def test_a_node_that_joins_and_leaves_costs_the_clients_of_the_others_nothing(new_nodes):
    *stay, node = new_nodes
    for each in stay:
        each.start()
    world = World(stay[0], Management(stay[0].url, stay[0].create_operator().pat))
    grant_id = world.connect(world.jwt()).grant_id
    loads = [Load(each.url, retrievals(world, grant_id), connections=6) for each in stay]
    for ending in node.stop, node.kill, node.stop:
        node.start()
        assert use(world.at(node), grant_id) == (200, None)
        assert ending() in (0, None)
        for load in loads:
            load.goes_on(20)
    shots = [shot for load in loads for shot in load.end()]
    assert refusals(shots) == {}
    assert max(shot.seconds for shot in shots) < 5, "nobody waits for who is gone"
    assert unrecorded(world, shots) == set()
    assert new_nodes.stop() == [0, 0]
    world.close()


@pytest.mark.alone
def test_a_node_that_is_killed_takes_no_acknowledged_record_with_it(worlds, nodes):
    grant_id = worlds[0].connect(worlds[0].jwt()).grant_id
    for _ in range(3):
        with Load(nodes[2].url, retrievals(worlds[2], grant_id), connections=16, per_second=400) as load:
            load.goes_on(100)
            nodes[2].kill()
        assert load.successes >= 100
        assert unrecorded(worlds[0], load.shots) == set()
        nodes[2].start()
    assert use(worlds[2], grant_id) == (200, None)
    assert verified(nodes[0]) == (0, "")


@pytest.mark.alone
def test_tables_that_a_newer_version_widens_under_load_cost_the_nodes_that_serve_a_retry_and_nothing_else(new_nodes):
    """Every statement that a node had prepared for such a table is of no use any more."""
    new_nodes.start()
    world = World(new_nodes[0], Management(new_nodes[0].url, new_nodes[0].create_operator().pat))
    grant_id = world.connect(world.jwt()).grant_id
    with ExitStack() as ending:
        loads = [
            ending.enter_context(Load(node.url, retrievals(world, grant_id), connections=6, per_second=60))
            for node in new_nodes
        ]
        for load in loads:
            load.goes_on(30)
        for version in "next", "second_next":
            for database in new_nodes.storage.database, new_nodes.storage.keys:
                for table in database.tables():
                    database.change(f"ALTER TABLE {table} ADD COLUMN of_the_{version}_version TEXT")
            for load in loads:
                load.goes_on(30, timeout_seconds=5)
    for shots in (load.shots for load in loads):
        refused = [shot for shot in shots if not shot.is_success]
        assert refused and refusals(refused).keys() == {(503, "service_unavailable")}, "it was noticed, and told"
        assert all(int(shot.headers["retry-after"]) > 0 for shot in refused)
        assert unrecorded(world, shots) == set()
        assert not {shot.headers["x-request-id"] for shot in refused} & recorded(world).keys(), "nothing is half done"
    assert set(recorded(world).values()) == {1}
    assert verified(new_nodes[0]) == (0, "")
    assert new_nodes.stop() == [0, 0, 0]
    world.close()


def proxied(world: World, grant_id: str) -> RawRequest:
    body = {"method": "GET", "url": world.echo, "grant_id": grant_id}
    return world.signer().request("POST", "/sdk/proxy", body)


def test_a_node_that_begins_leaves_the_calls_of_the_others_alone(worlds, nodes):
    world = worlds[0]
    grant_id = world.connect(world.jwt()).grant_id
    world.oauth.api_delay_seconds = 3.0
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(proxied(world, grant_id).send)
        eventually(lambda: world.oauth.calls, "the provider is called")
        nodes[2].restart()
        nodes[1].restart()
        answer = slow.result(20)
    assert answer.status == 200
    [record] = world.audit(event="credential.proxied")
    assert (record["request_id"], record["decision"]) == (answer.headers["x-request-id"], "allow")


def test_a_call_cut_by_the_end_of_its_node_is_put_on_record_by_any_other(worlds, nodes):
    world, there = worlds[0], worlds[2]
    grant_id = world.connect(world.jwt()).grant_id
    world.oauth.api_delay_seconds = 3.0
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(proxied(there, grant_id).send)
        eventually(lambda: world.oauth.calls, "the provider is called")
        nodes[2].kill()
        assert cut.exception(10)

    # Long enough ago that nobody can still be making it.
    aged = "UPDATE open_uses SET created_at = created_at - 600000 WHERE entry LIKE ?"
    assert nodes[0].database.change(aged, f"%{grant_id}%") == 1
    nodes[1].restart()
    [record] = world.audit(event="credential.proxied", grant_id=grant_id)
    assert record["details"]["interrupted"] is True
    nodes[2].start()
    assert len(world.audit(event="credential.proxied", grant_id=grant_id)) == 1


def test_a_stop_while_others_serve_ends_well_and_the_next_start_serves_again(worlds, nodes):
    grant_id = worlds[0].connect(worlds[0].jwt()).grant_id
    for node, there in zip(nodes, worlds, strict=True):
        assert node.stop() == 0
        assert [use(other, grant_id) for other in worlds if other is not there] == [(200, None)] * 2
        node.start()
        assert use(there, grant_id) == (200, None)
