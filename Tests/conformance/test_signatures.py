"""What the server does with requests that are not exactly what their sender signed."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.signer import (
    ACTOR_ID,
    CALLER,
    CALLER_TYPE,
    CONTENT_HASH,
    CONTEXT,
    NONCE,
    REQUEST_RULE,
    SCOPE_CONSTRAINTS,
    SIGNATURE,
    SIGNATURE_V2,
    TIMESTAMP,
    RawAnswer,
    RawRequest,
    Signer,
)
from harness.world import World

SCOPES = "/sdk/scopes"
LIST = "/sdk/grants/list"
PAGE = {"limit": 10, "offset": 0}
IDENTITY = {CALLER: "billing-cron", CALLER_TYPE: "service"}


@pytest.fixture(scope="module")
def world(server, management):
    world = World(server, management)
    yield world
    world.close()


@pytest.fixture(scope="module")
def signer(world) -> Signer:
    return world.signer()


@pytest.fixture
def good(signer) -> RawRequest:
    """A correct request with a body."""
    return signer.request("POST", LIST, PAGE)


@pytest.fixture
def named(signer) -> RawRequest:
    """A correct request that names its caller, and so has both signatures."""
    return signer.request("POST", LIST, PAGE, signed_headers=IDENTITY)


def assert_refused(answer: RawAnswer, *codes: str) -> None:
    assert (answer.status, answer.headers.get("content-type", "").split(";")[0]) == (401, "application/json"), answer
    assert answer.error in (codes or ("invalid_signature",)), answer
    assert answer.json()["message"]


def test_a_correct_request_is_answered_with_and_without_identity(good, named):
    assert good.send().status == 200
    answer = named.send()
    assert answer.status == 200
    assert str(uuid.UUID(answer.headers["x-alter-actor-id"])) == answer.headers["x-alter-actor-id"]


def test_the_actor_of_an_earlier_answer_is_accepted_when_it_is_signed(signer, named):
    actor = named.send().headers["x-alter-actor-id"]
    again = signer.send("POST", LIST, PAGE, signed_headers={**IDENTITY, ACTOR_ID: actor, CONTEXT: '{"tool":"list"}'})
    assert (again.status, again.headers["x-alter-actor-id"]) == (200, actor)


def test_constraints_and_a_rule_are_part_of_what_is_signed(signer):
    rule = (
        "eyJydWxlX3R5cGUiOiJqc29uX21hdGNoIiwicnVsZV9ib2R5Ijp7IndoZW4iOnsibWV0aG9kIjoiUE9TVCJ9LCJlZmZlY3QiOiJkZW55In19"
    )
    constrained = signer.request("POST", LIST, PAGE, signed_headers={SCOPE_CONSTRAINTS: "grants:read"})
    ruled = signer.request("POST", LIST, PAGE, signed_headers={REQUEST_RULE: rule})
    for request, name in (constrained, SCOPE_CONSTRAINTS), (ruled, REQUEST_RULE):
        assert_refused(request.without(name).send())
        assert request.send().status == 200
    assert_refused(signer.request("POST", LIST, PAGE).adding(SCOPE_CONSTRAINTS, "grants:read").send())


# Headers


@pytest.mark.parametrize("name", [TIMESTAMP, NONCE, CONTENT_HASH, SIGNATURE])
def test_a_missing_header_is_refused(good, name):
    assert_refused(good.without(name).send())


@pytest.mark.parametrize("name", [TIMESTAMP, NONCE, CONTENT_HASH, SIGNATURE, CALLER, CALLER_TYPE, SIGNATURE_V2])
def test_a_repeated_header_is_refused_even_with_the_same_value(named, name):
    assert_refused(named.adding(name, named.value(name)).send())
    assert_refused(named.adding(name, "something else").send())


def test_a_repeated_key_is_refused(good):
    assert_refused(good.adding("x-api-key", good.value("x-api-key")).send(), "invalid_signature", "invalid_key")


@pytest.mark.parametrize(
    "name, value",
    [
        (TIMESTAMP, ""),
        (TIMESTAMP, "now"),
        (TIMESTAMP, "-1"),
        (TIMESTAMP, "1e9"),
        (TIMESTAMP, "9" * 40),
        (TIMESTAMP, "+1"),
        (NONCE, ""),
        (NONCE, "00"),
        (NONCE, "g" * 32),
        (NONCE, "0" * 33),
        (CONTENT_HASH, ""),
        (CONTENT_HASH, "0" * 63),
        (CONTENT_HASH, "z" * 64),
    ],
)
def test_a_malformed_header_is_refused_although_it_is_signed(signer, name, value):
    answer = signer.send("POST", LIST, PAGE, signed_headers={name: value})
    assert_refused(answer, "invalid_signature", "timestamp_out_of_range")


@pytest.mark.parametrize(
    "change",
    [str.upper, lambda s: s[:-1], lambda s: s + "0", lambda s: "0" * 64, lambda s: ""],
    ids=["upper case", "cut", "longer", "zeros", "empty"],
)
def test_a_malformed_or_wrong_signature_is_refused(good, change):
    assert_refused(good.setting(SIGNATURE, change(good.value(SIGNATURE))).send())


# Content


def test_a_changed_body_is_refused(good):
    assert_refused(good.sending(body=good.body.replace(b"10", b"11")).send())
    assert_refused(good.sending(body=good.body + b" ").send())
    assert_refused(good.sending(body=b"").send())


def test_a_changed_body_with_a_fitting_hash_is_refused(good, signer):
    other = signer.request("POST", LIST, {"limit": 11, "offset": 0})
    assert_refused(good.sending(body=other.body).setting(CONTENT_HASH, other.value(CONTENT_HASH)).send())


def test_a_changed_path_or_method_is_refused(good, signer):
    assert_refused(good.sending(target="/sdk/token").send())
    assert_refused(good.sending(target=LIST + "?a=1").send())
    assert_refused(good.sending(method="PUT").send())
    assert_refused(signer.request("GET", SCOPES).sending(target="/sdk/oauth/provider-catalog").send())


def test_the_order_of_the_query_is_free_but_its_content_is_not(signer):
    signed = signer.request("GET", f"{SCOPES}?b=2&a=1&a=0&c=%C3%A9+x&empty=")
    assert_refused(signed.sending(target=f"{SCOPES}?b=2&a=1&a=1&c=%C3%A9+x&empty=").send())
    assert_refused(signed.sending(target=f"{SCOPES}?b=2&a=1&c=%C3%A9+x&empty=").send())
    assert_refused(signed.sending(target=SCOPES).send())
    assert signed.sending(target=f"{SCOPES}?empty&c=%c3%a9%20x&&a=0&a=1&b=2").send().status == 200


def test_an_empty_query_is_no_query(signer):
    assert signer.request("GET", SCOPES).sending(target=SCOPES + "?").send().status == 200


# Time


@pytest.mark.parametrize("seconds", [-310, 310, -86400, 86400])
def test_a_timestamp_outside_the_window_is_refused(signer, seconds):
    assert_refused(signer.send("GET", SCOPES, timestamp=int(time.time()) + seconds), "timestamp_out_of_range")


@pytest.mark.parametrize("seconds", [-290, 290])
def test_a_timestamp_inside_the_window_is_accepted(signer, seconds):
    assert signer.send("GET", SCOPES, timestamp=int(time.time()) + seconds).status == 200


def test_a_fresh_timestamp_on_an_old_request_is_refused(signer):
    old = signer.request("GET", SCOPES, timestamp=int(time.time()) - 1000)
    assert_refused(old.setting(TIMESTAMP, str(int(time.time()))).send())


# Replay


def test_a_request_is_answered_once(good):
    assert good.send().status == 200
    assert_refused(good.send(), "nonce_replayed")


def test_a_used_nonce_is_refused_for_another_request_of_the_same_key_only(signer, world):
    other_key = Signer(signer.base_url, world.new_key())
    used = signer.request("GET", SCOPES)
    assert used.send().status == 200
    nonce = used.value(NONCE)
    assert_refused(signer.send("POST", LIST, PAGE, nonce=nonce, timestamp=int(time.time()) - 5), "nonce_replayed")
    assert other_key.send("GET", SCOPES, nonce=nonce).status == 200


def test_a_refused_request_does_not_use_up_the_nonce(good):
    assert_refused(good.sending(body=b"{}").send())
    assert_refused(good.setting(SIGNATURE, "0" * 64).send())
    assert good.send().status == 200


def test_of_many_copies_at_the_same_time_one_is_answered(signer):
    for _ in range(5):
        request = signer.request("GET", SCOPES)
        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(answer.status for answer in pool.map(RawRequest.send, [request] * 8))
        assert statuses == [200] + [401] * 7


@pytest.mark.parametrize("route", ["/sdk/token", "/sdk/proxy"])
def test_of_many_copies_of_a_use_one_is_made_and_recorded(signer, world, route):
    """Their nonces are committed with what they do, so that a copy gets as far as the commit, and no further."""
    grant_id = world.connect(world.jwt()).grant_id
    call = {"method": "GET", "url": world.echo}
    body = {"grant_id": str(grant_id), "reason": route} | ({"request": call} if route == "/sdk/token" else call)
    before = len(world.audit(grant_id=str(grant_id)))
    request = signer.request("POST", route, body)
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(answer.status for answer in pool.map(RawRequest.send, [request] * 8))
    assert statuses == [200] + [401] * 7
    assert_refused(request.send(), "nonce_replayed")
    assert len(world.audit(grant_id=str(grant_id))) == before + 1


def test_a_use_that_comes_to_nothing_burns_its_nonce_all_the_same(signer):
    target = {"method": "GET", "url": "https://api.example.com/"}
    unknown = signer.request("POST", "/sdk/token", {"grant_id": str(uuid.uuid4()), "request": target})
    malformed = signer.request("POST", "/sdk/token", {"grant_id": 7})
    for request, status in (unknown, 404), (malformed, 422):
        assert request.send().status == status
        assert_refused(request.send(), "nonce_replayed")


def test_a_replay_is_refused_after_a_restart_too(good, server):
    assert good.send().status == 200
    server.restart()
    assert_refused(good.send(), "nonce_replayed")


def test_a_replay_is_refused_after_a_crash_too(good, server):
    assert good.send().status == 200
    server.kill()
    server.start()
    assert_refused(good.send(), "nonce_replayed")


# Identity headers


def test_stripping_the_second_signature_is_refused(named):
    assert_refused(named.without(SIGNATURE_V2).send())


def test_a_second_signature_without_identity_is_refused(good):
    assert_refused(good.adding(SIGNATURE_V2, good.value(SIGNATURE)).send())


def test_two_signatures_that_differ_are_refused(named, signer):
    plain = signer.request("POST", LIST, PAGE, timestamp=named.value(TIMESTAMP), nonce=named.value(NONCE))
    assert plain.value(SIGNATURE) != named.value(SIGNATURE)
    assert_refused(named.setting(SIGNATURE, plain.value(SIGNATURE)).send())
    assert_refused(named.setting(SIGNATURE_V2, plain.value(SIGNATURE)).send())


@pytest.mark.parametrize(
    "name, value",
    [(CALLER, "somebody"), (CALLER_TYPE, "agent"), (ACTOR_ID, "87f8c8a5-af36-4b83-a593-9ae3ca6ca3e4"), (CONTEXT, "{}")],
)
def test_an_added_identity_header_is_refused(good, name, value):
    added = good.adding(name, value)
    assert_refused(added.send())
    assert_refused(added.adding(SIGNATURE_V2, good.value(SIGNATURE)).send())


@pytest.mark.parametrize(
    "names", [(CALLER,), (CALLER_TYPE,), (CALLER, CALLER_TYPE), (CALLER, CALLER_TYPE, SIGNATURE_V2)], ids=", ".join
)
def test_a_removed_identity_header_is_refused(named, names):
    assert_refused(named.without(*names).send())


def test_a_changed_identity_header_is_refused(named):
    assert_refused(named.setting(CALLER, "billing-cron2").send())
    assert_refused(named.setting(CALLER_TYPE, "agent").send())


# Keys


def test_a_signature_of_another_key_is_refused(good, world):
    other = Signer(world.server.url, world.new_key())
    assert_refused(good.setting("x-api-key", other.api_key).send())
    mine = other.request("POST", LIST, PAGE)
    assert_refused(mine.setting("x-api-key", good.value("x-api-key")).send())
    assert mine.send().status == 200


@pytest.mark.parametrize(
    "key",
    [
        "alter_rk_abcdefghijklmnopqrstuv_iwpykn",  # well formed, known to nobody
        "alter_rk_abcdefghijklmnopqrstuv_iwpykm",  # wrong check
        "alter_key_" + "A" * 40,
        "alter_pat_" + "A" * 40,
        "",
        "x" * 5000,
        "' OR 1=1 --",
    ],
    ids=lambda key: key[:24] or "empty",
)
def test_an_unknown_key_is_refused_as_invalid(world, key):
    assert_refused(Signer(world.server.url, key).send("GET", SCOPES), "invalid_key")


def test_a_missing_key_is_refused_as_invalid(good):
    assert_refused(good.without("x-api-key").send(), "invalid_key")


def test_parts_of_a_real_key_are_refused_as_invalid(world):
    for key in world.api_key[:-1], world.api_key.upper(), world.api_key + "a":
        assert_refused(Signer(world.server.url, key).send("GET", SCOPES), "invalid_key")


# Routes


@pytest.mark.parametrize(
    "target",
    ["/sdk/unknown", "/sdk/", SCOPES + "/", "/sdk//scopes", LIST + "/", "/sdk/%2e%2e/api/v1/apps", "/sdk/scopes%00"],
)
def test_an_unknown_path_is_a_json_404_for_who_signs_and_a_401_for_all_others(signer, target):
    signed = signer.request("GET", target)
    answer = signed.send()
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (404, "application/json")
    assert answer.error
    assert_refused(signed.without(SIGNATURE).send())
    assert_refused(RawRequest(signer.base_url, "GET", target, ()).send(), "invalid_key")


def test_a_doubled_slash_before_the_sdk_is_no_sdk_path(signer):
    assert signer.request("GET", "//sdk/scopes").send().status == 404


@pytest.mark.parametrize(
    "method, target", [("GET", LIST), ("DELETE", "/sdk/token"), ("POST", SCOPES), ("PUT", "/sdk/proxy")]
)
def test_a_wrong_method_is_a_json_405_for_who_signs_and_a_401_for_all_others(signer, method, target):
    answer = signer.send(method, target)
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (405, "application/json")
    assert answer.error
    assert_refused(RawRequest(signer.base_url, method, target, ()).send(), "invalid_key")


@pytest.mark.parametrize(
    "body, status, code",
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 20_000, 400, "invalid_json"),
        (b"[]", 422, "validation_failed"),
        (b'{"limit":"10"}', 422, "validation_failed"),
        (b'{"limit":0}', 422, "validation_failed"),
        (b'{"limit":1001}', 422, "validation_failed"),
        (b'{"limit":1e400}', (400, 422), ("invalid_json", "validation_failed")),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_signed_but_unusable_body_is_explained(signer, body, status, code):
    answer = signer.send("POST", LIST, body)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    assert answer.error in (code if isinstance(code, tuple) else (code,))


def test_unknown_members_of_a_body_are_ignored(signer):
    assert signer.send("POST", LIST, {**PAGE, "made_up": {"a": [1]}}).status == 200
