"""Lifecycle events as they arrive: who may send them, in which forms, in which order, and what each does to its user."""

import base64
import gzip
import json
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
import requests
from alter_sdk import PolicyViolationError

from harness.canaries import canary
from harness.management import ManagementError
from harness.sdk import wait
from harness.waiting import eventually
from harness.webhooks import Auth0Stream, ClerkEndpoint
from harness.world import PROVIDER, World


@pytest.fixture
def auth0(server, management):
    world = World(server, management, idp_type="auth0")
    yield world, Auth0Stream(world)
    world.close()


@pytest.fixture
def clerk(server, management):
    world = World(server, management, idp_type="clerk", group_claim="org_ids")
    yield world, ClerkEndpoint(world)
    world.close()


def see(world: World, name: str = "alice", **claims) -> dict:
    """The user, after a token of theirs came in."""
    assert wait(world.app.verify_user_token(world.jwt(name, **claims))) == world.subject(name)
    return world.user(name)


def status(world: World) -> dict:
    return world.management.get(f"{world.path}/identity-provider/webhooks")


def latest(world: World) -> dict:
    return status(world)["deliveries"][0]


def refused_code(world: World, jwt: str) -> str:
    with pytest.raises(PolicyViolationError) as refused:
        world.request_as(jwt)
    return refused.value.policy_error


# Who may send


def test_row_45_an_auth0_delivery_is_taken_with_exactly_the_secret(auth0):
    world, stream = auth0
    see(world)
    wrong = [None, "", "wrong", stream.secret[:-1], stream.secret + "x", stream.secret.swapcase()]
    wrong += [f"bearer {stream.secret}", f"BEARER {stream.secret}", f"Bearer  {stream.secret}", f"Bearer {stream.secret}x"]
    wrong += [f"Basic {stream.secret}", f"Bearer Bearer {stream.secret}", f"{stream.secret} {stream.secret}", "Bearer "]
    for authorization in wrong:
        assert stream.send(stream.event(), authorization=authorization).status_code == 401, authorization
    assert world.user()["status"] == "active" and status(world)["deliveries"] == []
    # The line's own end is no part of a header's value (RFC 9110 §5.5); exactly two forms are right.
    for right in stream.secret, f"Bearer {stream.secret}":
        assert stream.send(stream.event("sul"), authorization=right).status_code == 204


def test_row_45_two_authorization_headers_are_nobodys(auth0):
    world, stream = auth0
    see(world)
    body = json.dumps([stream.event()])
    address = urlsplit(stream.url)
    for pair in (stream.secret, stream.secret), ("wrong", stream.secret), (stream.secret, "wrong"):
        lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(body)}"]
        lines += [f"Authorization: {value}" for value in pair] + ["Connection: close", "", body]
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall("\r\n".join(lines).encode())
            assert connection.makefile("rb").readline().split()[1] == b"401", pair
    assert world.user()["status"] == "active"


def test_row_45_of_a_delivery_with_a_wrong_secret_nothing_more_is_read(auth0, clerk):
    for stream, wrong in (auth0[1], "Authorization: wrong"), (clerk[1], "svix-id: msg_1"):
        address = urlsplit(stream.url)
        head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n{wrong}\r\nContent-Length: 9000000\r\n\r\n"
        with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
            connection.sendall(head.encode())
            answer = connection.makefile("rb").read()
        assert answer.split(b" ")[1] == b"401" and b"connection: close" in answer.lower()


def test_row_46_a_rotated_secret_is_refused_from_that_moment_for_clerk_as_well(clerk):
    world, endpoint = clerk
    see(world)
    body = json.dumps(endpoint.user_deleted())
    rotate = f"{world.path}/identity-provider/webhooks/rotate"
    with pytest.raises(ManagementError) as nothing:
        world.management.post(rotate)
    assert nothing.value.status == 422
    old, endpoint.secret = endpoint.secret, endpoint.new_secret()
    world.management.post(rotate, {"signing_secret": endpoint.secret})
    assert endpoint.post(body, endpoint.headers(body, key=old)).status_code == 401
    assert world.user()["status"] == "active"
    assert endpoint.post(body, endpoint.headers(body)).status_code == 204
    assert world.user()["status"] == "deprovisioned"


def test_row_50_messages_within_five_minutes_and_under_either_name_of_the_headers_are_taken(clerk):
    world, endpoint = clerk
    body = json.dumps(endpoint.event("session.created", {"object": "session", "id": "sess_1"}))
    for seconds in 290, -290:
        assert endpoint.post(body, endpoint.headers(body, age=timedelta(seconds=seconds))).status_code == 204
    standard = {name.replace("svix-", "webhook-"): value for name, value in endpoint.headers(body).items()}
    assert endpoint.post(body, standard).status_code == 204


def test_rows_50_51_52_the_right_signature_is_found_anywhere_in_a_list_of_others(clerk):
    world, endpoint = clerk
    body = json.dumps(endpoint.event("session.created", {"object": "session", "id": "sess_1"}))
    good = endpoint.headers(body)
    right = good["svix-signature"]
    wrong = "v1," + base64.b64encode(secrets.token_bytes(32)).decode()
    for number, entries in enumerate(
        (
            *([wrong, right], [right, wrong], ["v2," + right[3:], right], ["v1a," + wrong[3:], "v1,", "", right]),
            *(["v1,AAAA"] * 1000 + [right], [wrong] * 500 + [right]),
        )
    ):
        headers = endpoint.headers(body, message_id=f"msg_{number}_{secrets.token_hex(8)}")
        listed = " ".join(headers["svix-signature"] if entry == right else entry for entry in entries)
        assert endpoint.post(body, {**headers, "svix-signature": listed}).status_code == 204, entries[:5]
    for entries in [wrong] * 500, ["v1,AAAA"] * 1000, ["v1,"] * 1000:
        assert endpoint.post(body, {**good, "svix-signature": " ".join(entries)}).status_code == 401


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_!!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_row_50_a_signing_secret_that_is_none_is_refused_when_it_is_pasted(server, management, secret):
    world = World(server, management, idp_type="clerk")
    with pytest.raises(ManagementError) as refused:
        management.post(f"{world.path}/identity-provider/webhooks", {"signing_secret": secret})
    assert refused.value.status == 422
    assert not status(world)["enabled"]
    world.close()


def test_row_54_a_delivery_for_another_app_ends_nobody_here_even_under_the_same_secret(server, management):
    worlds = [World(server, management, idp_type="clerk") for _ in range(2)]
    mine, other = endpoints = [ClerkEndpoint(world) for world in worlds]
    for world in worlds:
        see(world)
    body = json.dumps(mine.user_deleted())
    assert mine.post(body, mine.headers(body), url=other.url).status_code == 401
    worlds[1].management.post(
        f"{worlds[1].path}/identity-provider/webhooks/rotate", {"signing_secret": mine.secret}
    )
    # With one secret for both the message is authentic: it is about the user of the address it came to, and no other.
    assert other.post(body, mine.headers(body)).status_code == 204
    assert [world.user()["status"] for world in worlds] == ["active", "deprovisioned"]
    assert len({endpoint.url for endpoint in endpoints}) == 2
    for world in worlds:
        world.close()


def test_row_46_a_delivery_that_waited_while_its_secret_was_rotated_does_nothing(auth0):
    world, stream = auth0
    see(world)
    crowd = [stream.event("s", name=f"person-{number}") for number in range(24_000)]
    with ThreadPoolExecutor(5) as pool:
        busy = [pool.submit(stream.send, *crowd[n::3], authorization=stream.secret) for n in range(3)]
        eventually(lambda: status(world)["counts"], "the first ones are being worked on")
        late = pool.submit(stream.send, stream.event(), authorization=stream.secret)
        time.sleep(0.1)
        world.management.post(f"{world.path}/identity-provider/webhooks/rotate")
        assert late.result(60).status_code in (204, 401)
        # One that was still waiting, or half done, is refused from the rotation on.
        assert 401 in {each.result(60).status_code for each in busy} | {late.result().status_code}
    assert world.user()["status"] == ("deprovisioned" if late.result().status_code == 204 else "active")


def test_row_57_a_flood_at_one_apps_address_does_not_hold_up_the_delivery_of_another(auth0, server, management):
    flooded, stream = auth0
    other = World(server, management, idp_type="auth0")
    others = Auth0Stream(other)
    see(other)
    with ThreadPoolExecutor(6) as pool:
        crowd = [[stream.event("s", name=f"person-{number}-{n}") for n in range(4_000)] for number in range(6)]
        flood = [pool.submit(stream.send, *events, authorization=stream.secret) for events in crowd]
        eventually(lambda: status(flooded)["counts"], "the flood is being worked on")
        assert others.send(others.event(), authorization=others.secret).status_code == 204
        # First come, first served, it would have come after three of them.
        assert sum(each.done() for each in flood) < 3, "it did not wait for those who came before"
        assert {each.result(60).status_code for each in flood} == {204}
    assert other.user()["status"] == "deprovisioned"
    assert status(flooded)["counts"] == {"ignored": 24_000}
    other.close()


def test_nobody_is_told_which_addresses_exist(auth0):
    world, stream = auth0
    answers = {
        requests.post(f"{stream.url[:-4]}{end}", b"[]", headers={"Authorization": "x"}, timeout=10).status_code
        for end in ("AAAA", "")
    }
    assert answers == {404}
    world.management.delete(f"{world.path}/identity-provider/webhooks")
    assert stream.send(stream.event(), authorization=stream.secret).status_code == 401
    world.management.delete(f"{world.path}/identity-provider")
    assert stream.send(stream.event(), authorization=stream.secret).status_code == 404


# In which forms


@pytest.mark.parametrize("form", ["array", "lines", "lines-crlf", "pretty"])
def test_row_47_a_batch_is_read_in_every_content_format_of_a_log_stream(auth0, form):
    world, stream = auth0
    names = ["alice", "bob"]
    for name in names:
        see(world, name)
    events = [stream.event(name=name) for name in names]
    body = {
        "array": json.dumps(events),
        "lines": "\n".join(json.dumps(event) for event in events) + "\n",
        "lines-crlf": "".join(json.dumps(event) + "\r\n" for event in events),
        "pretty": json.dumps(events, indent=2),
    }[form]
    assert requests.post(stream.url, body, headers={"Authorization": stream.secret}, timeout=20).status_code == 204
    assert [world.user(name)["status"] for name in names] == ["deprovisioned"] * 2


@pytest.mark.parametrize("form", ["wrapped", "inner", "inner-without-id"])
def test_row_47_a_single_event_is_read_wrapped_and_bare(auth0, form):
    world, stream = auth0
    see(world)
    event = stream.event()
    body = event if form == "wrapped" else event["data"]
    if form == "inner-without-id":
        del body["log_id"]
    for _ in range(2):
        assert requests.post(stream.url, json=body, headers={"Authorization": stream.secret}, timeout=20).status_code == 204
    assert world.user()["status"] == "deprovisioned" and len(status(world)["deliveries"]) == 1


def test_row_47_bodies_that_hold_no_event_are_told_so_and_are_on_the_log(auth0):
    world, stream = auth0
    good = json.dumps([stream.event()])
    bodies = [b"", b"[]", b"{}", b"null", b"7", b'"sdu"', b"[[]]", b"nonsense", good[:-2].encode(), good.encode("utf-16")]
    bodies += [gzip.compress(good.encode()), b'{"data":{"type":"sdu","type":"sul"}}', b"[" * 100_000]
    bodies += [b'{"log_id":7,"data":{"type":"sdu"}}', b'{"log_id":"a\\u0000b","data":{"type":"sdu"}}']
    for body in bodies:
        answer = requests.post(stream.url, body, headers={"Authorization": stream.secret}, timeout=20)
        assert answer.status_code == 400 and answer.json()["error"], body[:40]
    logged = status(world)
    assert set(logged["counts"]) == {"invalid"} and logged["counts"]["invalid"] >= 9
    huge = requests.post(stream.url, b" " * (11 << 20), headers={"Authorization": stream.secret}, timeout=60)
    assert huge.status_code == 413


def test_row_47_ten_thousand_events_in_one_body_are_all_applied(auth0):
    world, stream = auth0
    see(world)
    events = [stream.event("s", name=f"person-{number}") for number in range(9_998)]
    events[7_000:7_000] = [stream.event(), {"log_id": "x", "data": {"type": 7}}]
    answer = requests.post(stream.url, json=events, headers={"Authorization": stream.secret}, timeout=60)
    assert answer.status_code == 204
    assert world.user()["status"] == "deprovisioned"
    assert status(world)["counts"] == {"deprovisioned": 1, "ignored": 9_998, "invalid": 1}


def test_a_clerk_message_that_is_no_event_is_told_so(clerk):
    world, endpoint = clerk
    for body in "", "nonsense", "[]", "{}", '{"type":7,"data":{}}', '{"type":"","data":{}}', '{"data":{"id":"user_1"}}':
        assert endpoint.post(body, endpoint.headers(body)).status_code == 400, body


def test_an_event_that_names_nobody_is_acknowledged_and_on_the_log(clerk):
    world, endpoint = clerk
    nameless = endpoint.user_deleted()
    del nameless["data"]["id"]
    for subject in None, "", 7, "x" * 256, "a\u0000b", {"id": "x"}:
        event = endpoint.user_deleted()
        event["data"]["id"] = subject
        assert endpoint.send(event).status_code == 204, subject
    assert endpoint.send(nameless).status_code == 204
    assert status(world)["counts"] == {"ignored": 7}
    assert latest(world)["detail"] == "the event names no user"
    assert world.management.items(f"{world.path}/users") == []


# What each does


def test_row_48_what_auth0_calls_a_released_block_restores_and_the_log_says_why(auth0):
    world, stream = auth0
    see(world)
    assert stream.send(stream.event("ublkdu"), authorization=stream.secret).ok
    assert world.user()["status"] == "suspended"
    released = stream.event("ublkdu")
    released["data"]["details"] = {"title": "User login block released"}
    assert stream.send(released, authorization=stream.secret).ok
    assert world.user()["status"] == "active"
    assert latest(world)["outcome"] == "restored" and "released" in latest(world)["detail"]
    assert stream.send(stream.event("ublkdu"), authorization=stream.secret).ok
    assert stream.send(stream.event("ubuu"), authorization=stream.secret).ok
    assert world.user()["status"] == "active"


def operation(stream: Auth0Stream, method: str, name: str, body: dict, code: int = 200) -> dict:
    """What a tenant sends when an administrator calls its Management API: the subject is in the path."""
    event = stream.event("sapi", name="the-administrator")
    event["data"]["description"] = "Update a User"
    event["data"]["details"] = {
        "request": {"method": method, "path": f"/api/v2/users/idp%7C{name}", "body": body, "ip": "203.0.113.7"},
        "response": {"statusCode": code, "body": {}},
    }
    return event


def test_row_48_an_administrators_call_acts_on_its_subject_and_never_on_the_administrator(auth0):
    world, stream = auth0
    see(world), see(world, "the-administrator")

    def call(*arguments, **options):
        assert stream.send(operation(stream, *arguments, **options), authorization=stream.secret).ok
        assert world.user("the-administrator")["status"] == "active"
        return world.user()["status"]

    assert call("patch", "alice", {"blocked": True}, code=403) == "active"
    assert call("patch", "alice", {"name": "Alice"}) == "active"
    assert call("patch", "alice", {"blocked": True}) == "suspended"
    assert call("PATCH", "alice", {"blocked": False}) == "active"
    assert call("delete", "alice", {}, code=204) == "deprovisioned"


def test_row_48_blocking_somebody_never_seen_leaves_a_suspended_record(auth0):
    world, stream = auth0
    assert stream.send(stream.event("ublkdu"), authorization=stream.secret).ok
    assert refused_code(world, world.jwt()) == "user_suspended"
    assert stream.send(stream.event("ubuu"), authorization=stream.secret).ok
    assert world.user()["status"] == "active"


def test_row_49_order_of_arrival_changes_nothing(auth0):
    world, stream = auth0
    see(world)
    block = stream.event("ublkdu")
    time.sleep(0.01)
    release = stream.event("ubuu")
    time.sleep(0.01)
    again = stream.event("ublkdu")
    for events in ([again, release, block], [block], [release, block]):
        assert stream.send(*events, authorization=stream.secret).ok
        assert world.user()["status"] == "suspended"
    # A stream that was started again from an old cursor sends what was sent before.
    assert status(world)["counts"] == {"suspended": 1, "stale": 2}


def test_an_operators_suspension_is_not_lifted_by_the_provider(auth0):
    world, stream = auth0
    user = see(world)
    world.management.post(f"{world.path}/users/{user['id']}/suspend", {"reason": "under investigation"})
    assert stream.send(stream.event("ublkdu"), stream.event("ubuu"), authorization=stream.secret).ok
    assert world.user()["status"] == "suspended"


def test_row_55_clerks_bans_and_locks_suspend_and_the_profile_follows(clerk):
    world, endpoint = clerk
    world.connect(world.jwt())
    assert endpoint.send(endpoint.user_updated()).ok
    user = world.user()
    assert (user["email"], user["display_name"], user["status"]) == ("alice.new@corp.test", "Alice Conformance", "active")
    assert latest(world)["outcome"] == "updated"
    for flag in "banned", "locked":
        assert endpoint.send(endpoint.user_updated(**{flag: True})).ok
        assert refused_code(world, world.jwt()) == "user_suspended"
        assert endpoint.send(endpoint.user_updated()).ok
        assert world.request_as(world.jwt()).status_code == 200, "the connection outlives a suspension"
    assert endpoint.send(endpoint.user_updated("nobody")).ok
    assert "never seen" in latest(world)["detail"]


def test_a_profile_of_an_older_event_or_token_does_not_replace_a_newer_one(clerk):
    world, endpoint = clerk
    now = int(time.time())
    see(world, iat=now - 50, email="first@corp.test")
    assert endpoint.send(endpoint.user_updated(at=now - 30)).ok
    for late in now - 40, now - 30:
        assert see(world, iat=late, email="late@corp.test")["email"] == "alice.new@corp.test"
    older = endpoint.user_updated(at=now - 45, email_addresses=[{"id": "idn_2", "email_address": "older@corp.test"}])
    assert endpoint.send(older).ok
    assert world.user()["email"] == "alice.new@corp.test"
    assert see(world, iat=now - 20, email="token@corp.test")["email"] == "token@corp.test"


def test_row_55_the_end_of_one_of_two_memberships_takes_that_group_and_nothing_else(clerk):
    world, endpoint = clerk
    now = int(time.time())
    jwt = world.jwt(org_ids=["org_1", "org_2"], iat=now - 60)
    world.connect(jwt)
    world.management.put(f"{world.path}/policies/{PROVIDER}", {"allowed_groups": ["org_1"]})
    assert world.request_as(jwt).status_code == 200
    assert endpoint.send(endpoint.membership_deleted("org_1", at=now - 30)).ok
    assert (world.user()["status"], world.user()["group_ids"]) == ("active", ["org_2"])
    assert latest(world)["outcome"] == "membership_removed"
    # Row 65: no token of before the removal brings the group back.
    for old in jwt, world.jwt(org_ids=["org_1", "org_2"], iat=now - 30):
        assert refused_code(world, old) == "policy_violation"
    assert world.user()["group_ids"] == ["org_2"]
    assert world.request_as(world.jwt(org_ids=["org_1"], iat=now - 10)).status_code == 200


def test_row_65_the_end_of_the_last_membership_ends_the_user_by_default(clerk):
    world, endpoint = clerk
    now = int(time.time())
    jwt = world.jwt(org_ids=["org_1"], iat=now - 60)
    grant = world.connect(jwt)
    assert endpoint.send(endpoint.membership_deleted("org_1")).ok
    assert refused_code(world, jwt) == "user_deprovisioned"
    assert refused_code(world, world.jwt(org_ids=["org_1"])) == "user_deprovisioned"
    assert world.management.get(f"{world.path}/grants/{grant.grant_id}")["status"] == "revoked"


def test_what_ended_before_other_news_of_the_user_came_ends_all_the_same(clerk):
    world, endpoint = clerk
    now = time.time()
    see(world, org_ids=["org_1", "org_2"], iat=int(now) - 60)
    assert endpoint.send(endpoint.user_updated(at=now)).ok
    assert endpoint.send(endpoint.membership_deleted("org_1", at=now - 5)).ok
    assert world.user()["group_ids"] == ["org_2"]
    assert endpoint.send(endpoint.user_deleted(at=now - 5)).ok
    assert world.user()["status"] == "deprovisioned"


def test_a_name_that_cannot_be_stored_keeps_nobody_from_being_blocked(clerk):
    world, endpoint = clerk
    see(world)
    for _ in range(3):
        odd = endpoint.user_updated(banned=True, first_name="Al\u0000ice\u2028", last_name="x" * 100_000)
        assert endpoint.send(odd).status_code == 204
    user = world.user()
    assert user["status"] == "suspended" and user["display_name"].startswith("Alice xxx") and len(user["display_name"]) == 200
    assert len(world.audit(event="user.suspended")) == 1, "one suspension, however often it is reported"


def test_the_group_is_the_organizations_id_or_else_its_slug(clerk):
    world, endpoint = clerk
    see(world, org_ids=["acme-corp", "org_2"])
    assert endpoint.send(endpoint.membership_deleted("org_1", slug="acme-corp")).ok
    assert world.user()["group_ids"] == ["org_2"]
    see(world, "bob", org_ids=["acme-corp", "org_1"])
    assert endpoint.send(endpoint.membership_deleted("org_1", "bob", slug="acme-corp")).ok
    assert world.user("bob")["group_ids"] == ["acme-corp"]


def test_memberships_that_end_in_any_order_of_arrival_all_end(clerk):
    world, endpoint = clerk
    now = int(time.time())
    see(world, org_ids=["org_1", "org_2", "org_3"], iat=now - 60)
    for organization, at in ("org_2", now - 20), ("org_1", now - 30):
        assert endpoint.send(endpoint.membership_deleted(organization, at=at)).ok
    assert world.user()["group_ids"] == ["org_3"]
    # One that is older than what a token said since is overtaken: the person came back.
    see(world, org_ids=["org_1", "org_3"], iat=now - 10)
    assert endpoint.send(endpoint.membership_deleted("org_1", at=now - 15)).ok
    assert world.user()["group_ids"] == ["org_1", "org_3"] and latest(world)["outcome"] == "stale"


@pytest.mark.parametrize(
    ("rule", "left"),
    [("always_deprovision", "deprovisioned"), ("last_membership", "active"), ("membership_only", "active")],
)
def test_an_operator_chooses_what_the_end_of_a_membership_does(clerk, rule, left):
    world, endpoint = clerk
    answer = world.management.call("PATCH", f"{world.path}/identity-provider/webhooks", {"membership_removal": rule})
    assert answer["membership_removal"] == rule
    see(world, org_ids=["org_1", "org_2"])
    assert endpoint.send(endpoint.membership_deleted("org_1")).ok
    assert world.user()["status"] == left
    see(world, "bob", org_ids=["org_1"])
    assert endpoint.send(endpoint.membership_deleted("org_1", "bob")).ok
    assert world.user("bob")["status"] == ("active" if rule == "membership_only" else "deprovisioned")


def test_a_membership_of_somebody_never_seen_is_not_brought_back_by_an_old_token(clerk):
    world, endpoint = clerk
    world.management.call(
        "PATCH", f"{world.path}/identity-provider/webhooks", {"membership_removal": "membership_only"}
    )
    now = int(time.time())
    assert endpoint.send(endpoint.membership_deleted("org_1", at=now - 30)).ok
    assert see(world, org_ids=["org_1"], iat=now - 60)["group_ids"] == []
    assert see(world, org_ids=["org_1"], iat=now - 10)["group_ids"] == ["org_1"]


# Twice, and again


def test_row_53_a_message_that_comes_again_is_acknowledged_and_does_nothing(clerk):
    world, endpoint = clerk
    user = see(world)
    event = endpoint.user_deleted()
    assert endpoint.send(event, message_id="msg_first").status_code == 204
    world.management.post(f"{world.path}/users/{user['id']}/restore", {"reason": "it was a mistake"})
    assert endpoint.send(event, message_id="msg_first").status_code == 204
    # Not by another id either: it is older than the restoration.
    assert endpoint.send(event, message_id="msg_second").status_code == 204
    assert world.user()["status"] == "active"
    assert len(world.audit(event="user.deprovisioned")) == 1


def test_deliveries_of_one_event_at_the_same_time_act_once(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    event = stream.event()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: stream.send(event, authorization=stream.secret).status_code, range(32)))
    assert answers == [204] * 32
    assert len(world.audit(event="user.deprovisioned")) == 1 and status(world)["counts"] == {"deprovisioned": 1}


def test_an_operator_sees_and_edits_what_events_do_and_replays_what_was_ignored(auth0):
    world, stream = auth0
    see(world)
    path = f"{world.path}/identity-provider/webhooks"
    assert status(world)["event_map"] == {
        "sdu": "deprovision", "ublkdu": "suspend", "ubuu": "restore", "sapi": "by_operation",
        "user.deleted": "deprovision", "user.suspended": "suspend", "user.unsuspended": "restore",
    }  # fmt: skip
    assert stream.send(stream.event("fui"), authorization=stream.secret).ok
    ignored = latest(world)
    assert ignored["outcome"] == "ignored" and world.user()["status"] == "active"

    edited = world.management.call("PATCH", path, {"event_map": {"fui": "suspend", "ublkdu": "ignore"}})["event_map"]
    assert (edited["fui"], edited["ublkdu"], edited["sdu"]) == ("suspend", "ignore", "deprovision")
    assert stream.send(stream.event("ublkdu"), authorization=stream.secret).ok
    assert world.user()["status"] == "active"
    replayed = world.management.post(f"{path}/deliveries/{ignored['id']}/replay")
    assert (replayed["id"], replayed["outcome"]) == (ignored["id"], "suspended") and replayed["replayed_at"]
    assert world.user()["status"] == "suspended"
    assert status(world)["counts"] == {"ignored": 1, "suspended": 1}
    [record] = world.audit(event="webhook_delivery.replayed")
    assert record["principal"]["type"] == "operator" and record["details"]["outcome"] == "suspended"

    world.management.call("PATCH", path, {"event_map": {"fui": None, "ublkdu": None}})
    assert "fui" not in status(world)["event_map"] and status(world)["event_map"]["ublkdu"] == "suspend"
    assert [record["details"]["event_map"].get("fui") for record in world.audit(event="webhooks.event_rules_changed")] == [
        None, "suspend",
    ]  # fmt: skip


def test_a_replay_undoes_nothing_that_is_newer_and_finds_only_what_is_there(auth0, clerk):
    world, stream = auth0
    see(world)
    path = f"{world.path}/identity-provider/webhooks/deliveries"
    assert stream.send(stream.event("ublkdu"), authorization=stream.secret).ok
    block = latest(world)["id"]
    time.sleep(0.01)
    assert stream.send(stream.event("ubuu"), authorization=stream.secret).ok
    assert world.management.post(f"{path}/{block}/replay")["outcome"] == "stale"
    assert world.user()["status"] == "active"
    undated = stream.event("ublkdu", name="bob")
    del undated["data"]["date"]
    assert stream.send(undated, authorization=stream.secret).ok
    without_a_time = latest(world)["id"]
    world.management.post(f"{world.path}/users/{world.user('bob')['id']}/restore", {"reason": "a mistake"})
    assert world.management.post(f"{path}/{without_a_time}/replay")["outcome"] == "stale"
    assert world.user("bob")["status"] == "active"
    foreign, endpoint = clerk
    assert endpoint.send(endpoint.user_updated()).ok
    for nothing in latest(foreign)["id"], block.upper(), "x", block[:-1] + "0" * 2:
        with pytest.raises(ManagementError) as refused:
            world.management.post(f"{path}/{nothing}/replay")
        assert refused.value.status == 404
    requests.post(stream.url, b'{"a":1}', headers={"Authorization": stream.secret}, timeout=10)
    with pytest.raises(ManagementError) as no_event:
        world.management.post(f"{path}/{latest(world)['id']}/replay")
    assert no_event.value.status == 409


@pytest.mark.parametrize(
    "edit",
    [
        {"event_map": {"sapi": "deprovision"}},
        {"event_map": {"sdu": "sync"}},
        {"event_map": {"sdu": "explode"}},
        {"event_map": {"": "ignore"}},
        {"event_map": []},
        {"membership_removal": "never"},
        {"events": {}},
    ],
)
def test_rules_for_events_that_would_hurt_or_mean_nothing_are_refused(auth0, edit):
    world, _ = auth0
    before = status(world)
    with pytest.raises(ManagementError) as refused:
        world.management.call("PATCH", f"{world.path}/identity-provider/webhooks", edit)
    assert refused.value.status == 422
    assert status(world) == before


def test_what_is_kept_of_an_event_is_what_was_read_of_it(auth0):
    world, stream = auth0
    event = stream.event("sul")
    event["data"] |= {"ip": "203.0.113.77", "user_agent": "an-agent-that-nobody-needs", "user_name": "alice@corp.test"}
    assert stream.send(event, authorization=stream.secret).ok
    query = "SELECT source FROM webhook_deliveries WHERE delivery_id = ?"
    [(source,)] = world.server.database.query(query, event["log_id"])
    assert json.loads(source)["user_id"] == world.subject()
    assert not any(text in source for text in ("203.0.113.77", "an-agent", "corp.test"))


def test_the_log_keeps_no_profile_of_anybody(clerk):
    world, endpoint = clerk
    see(world)
    for name in "alice", "a-stranger":
        assert endpoint.send(endpoint.user_updated(name)).ok
    rows = world.server.database.query("SELECT source FROM webhook_deliveries")
    sources = " ".join(source for (source,) in rows if source)
    assert "user.updated" in sources
    assert not any(text in sources for text in ("new@corp.test", "Conformance", "engineering"))


@pytest.mark.parametrize("moment", [-(2**60), 2**60, -(2**63), 2**63 - 1, -1, 0])
def test_times_that_never_were_stop_nothing(clerk, moment):
    world, endpoint = clerk
    see(world, "alice", org_ids=["org_1"]), see(world, "bob")
    for event in endpoint.user_updated("bob"), endpoint.membership_deleted("org_2"), endpoint.user_deleted():
        event["timestamp"] = moment
        event["data"]["updated_at"] = moment
        assert endpoint.send(event).status_code == 204
    assert len(status(world)["deliveries"]) == 3
    assert world.user()["status"] == "deprovisioned"
    receipt = world.management.get(f"{world.path}/users/{world.user()['id']}/deprovisioning-receipt")["receipt"]
    assert receipt.count(".") == 2


def test_events_without_id_and_time_are_never_taken_for_repeats(auth0):
    world, stream = auth0
    see(world)
    for kind, left in ("ublkdu", "suspended"), ("ubuu", "active"), ("ublkdu", "suspended"):
        body = {"type": kind, "user_id": world.subject()}
        assert requests.post(stream.url, json=body, headers={"Authorization": stream.secret}, timeout=10).ok
        assert world.user()["status"] == left


# When the vault cannot


def test_who_reads_the_database_at_length_keeps_no_deprovisioning_waiting(auth0):
    world, stream = auth0
    for name in "alice", "bob":
        world.connect(world.jwt(name), account=name)
    with world.server.database.read_at_length():
        for name in "alice", "bob":
            before = time.monotonic()
            assert stream.send(stream.event(name=name), authorization=stream.secret).status_code == 204
            assert time.monotonic() - before < 2


@pytest.mark.sqlite("the write-ahead log is emptied by the server")
def test_the_log_is_emptied_once_a_long_reader_is_gone(auth0):
    world, stream = auth0
    world.connect(world.jwt())
    with world.server.database.read_at_length():
        stream.end_user()
    log = world.server.data / "sallyport.db-wal"
    eventually(lambda: log.stat().st_size < 200_000, "the log is emptied")


def test_row_59_a_delivery_that_cannot_be_stored_is_not_acknowledged_and_works_when_it_is_sent_again(auth0):
    world, stream = auth0
    grant = world.connect(world.jwt())
    event = stream.event()
    with world.server.database.locked():
        answer = stream.send(event, authorization=stream.secret)
        assert answer.status_code == 503 and answer.headers["Retry-After"]
        with pytest.raises(ManagementError) as undecided:
            world.management.post(f"{world.path}/grants/{grant.grant_id}/revoke", {"reason": "r"})
        assert undecided.value.status == 503
    assert world.user()["status"] == "active"
    assert world.management.get(f"{world.path}/grants/{grant.grant_id}")["status"] == "active"
    assert stream.send(event, authorization=stream.secret).status_code == 204
    assert world.user()["status"] == "deprovisioned"


def test_a_date_in_the_future_does_not_outweigh_what_comes_after(auth0):
    world, stream = auth0
    see(world)
    early = stream.event("ublkdu")
    early["data"]["date"] = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    assert stream.send(early, authorization=stream.secret).ok
    assert world.user()["status"] == "suspended"
    time.sleep(0.01)
    assert stream.send(stream.event("ubuu"), authorization=stream.secret).ok
    assert world.user()["status"] == "active"


def test_only_providers_with_webhooks_have_them(world):
    with pytest.raises(ManagementError) as refused:
        world.management.post(f"{world.path}/identity-provider/webhooks")
    assert (refused.value.status, refused.value.body["error"]) == (422, "webhooks_not_supported")


def test_the_secret_of_auth0_is_shown_once_and_is_not_readable_on_the_disk(auth0):
    world, stream = auth0
    canary(stream.secret)
    assert stream.secret not in json.dumps(world.management.get(f"{world.path}/identity-provider"))
    assert stream.secret not in json.dumps(status(world))
    eventually(lambda: world.audit(event="webhooks.enabled"), "the enabling is on record")
    assert stream.secret not in json.dumps(world.audit())
