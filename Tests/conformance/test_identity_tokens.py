"""Which user tokens the vault believes. Numbers in brackets are rows of the attack list in the threat model."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from alter_sdk import GrantNotFoundError, ReAuthRequiredError

from harness.attacks import ATTACKS, Forger
from harness.idp import IdentityProvider
from harness.jose import ABSENT, Json, SigningKey, compact, encoded
from harness.management import ManagementError
from harness.sdk import wait
from harness.waiting import eventually
from harness.world import PROVIDER, World

AUDIENCE = "vault-app"


@pytest.fixture(scope="module")
def believed(server, management):
    """A world with two keys an algorithm could stand for, and alice's account connected in it."""
    world = World(server, management, audience=AUDIENCE)
    world.idp.add_key("rs256-second")
    world.connect(world.jwt(aud=AUDIENCE))
    yield world
    world.close()


@pytest.fixture(scope="module")
def forger(believed) -> Forger:
    return Forger(believed.idp, {"sub": believed.subject(), "email": "alice@corp.test", "aud": AUDIENCE})


def answer_to(world: World, token: str) -> str:
    """`accepted` when alice's API was called, and the code of the refusal otherwise."""
    try:
        response = world.request_as(token)
    except ReAuthRequiredError as refusal:
        assert refusal.status_code == 401
        return refusal.details["error"]
    assert response.json()["account"] == "alice"
    return "accepted"


def is_believed(world: World, token: str) -> bool:
    """For worlds without a connected account: a believed user has no grant, an unbelieved one is nobody."""
    try:
        world.request_as(token)
    except GrantNotFoundError:
        return True
    except ReAuthRequiredError as refusal:
        assert (refusal.status_code, refusal.details["error"]) == (401, "jwt_validation_error")
        return False
    raise AssertionError("nobody is connected here")


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bad_token_is_refused(attack, believed, forger, attack_table):
    answer = answer_to(believed, ATTACKS[attack](forger))
    attack_table.append((attack, answer))
    assert answer == "jwt_validation_error"


GOOD = {
    "RS256": lambda f: f.claims(),
    "ES256": lambda f: f.claims("ES256"),
    "EdDSA": lambda f: f.claims("EdDSA"),
    "typ at+jwt": lambda f: f.header(typ="at+jwt"),
    "no typ": lambda f: f.header(typ=ABSENT),
    "audience list with ours": lambda f: f.claims(aud=["another", AUDIENCE]),
    "nbf and iat within the leeway": lambda f: f.claims(nbf=int(time.time()) + 30, iat=int(time.time()) + 30),
    "exp with a fraction": lambda f: f.claims(exp=int(time.time()) + 600.5),
    "the older of two keys": lambda f: f.idp.mint(f.good_claims, key=f.idp.keys["rs256-1"]),
    "claims that mean nothing to us": lambda f: f.claims(auth_time=1795444046.65, nested={"a": [1, None]}),
}


@pytest.mark.parametrize("variant", GOOD)
def test_a_good_token_is_accepted(variant, believed, forger, attack_table):
    answer = answer_to(believed, GOOD[variant](forger))
    attack_table.append((f"(good) {variant}", answer))
    assert answer == "accepted"


def test_a_subject_of_255_characters_is_a_user(believed, forger):
    assert wait(believed.app.verify_user_token(forger.claims(sub="s" * 255))) == "s" * 255


def test_subjects_that_only_look_alike_are_different_users(believed, forger):
    for lookalike in "idp|Alice", "idp|alice ", "idp|alic\u00e9", "idp|alice\u200b", "idp|\u0430lice":
        with pytest.raises((GrantNotFoundError, ReAuthRequiredError)):
            believed.request_as(forger.claims(sub=lookalike))


def test_a_token_of_another_apps_issuer_is_refused(world, believed, forger):
    assert is_believed(world, world.jwt())
    assert not is_believed(world, forger.claims())


def test_without_an_audience_any_audience_passes(world):
    for audience in "anything", ["a", "b"], ABSENT:
        assert is_believed(world, world.jwt(aud=audience))


def test_an_empty_audience_list_does_not_end_a_server_that_asks_for_no_audience(world):
    is_believed(world, world.jwt(aud=[]))
    assert is_believed(world, world.jwt())


def test_key_addresses_named_by_a_token_are_never_fetched(believed, forger):
    attacker = IdentityProvider()
    key = attacker.key()
    for address in "jku", "x5u":
        header = {"alg": "RS256", "typ": "JWT", "kid": key.kid, address: attacker.url("/jwks.json")}
        assert answer_to(believed, forger.made(header, key.sign)) == "jwt_validation_error"
    # The issuer of an unverified token is an address too.
    assert answer_to(believed, attacker.mint(forger.good_claims)) == "jwt_validation_error"
    attacker.close()
    assert not attacker.fetches


# Key sets


def test_a_forged_token_does_not_decide_which_algorithm_a_key_without_one_has(world):
    world.idp.omitted_members = {"alg"}
    key = world.idp.key()
    for alg in "PS512", "RS512", "HS256", "ES256":
        forged = Forger(world.idp, {"sub": world.subject()}).made({"alg": alg, "kid": key.kid}, lambda _: bytes(256))
        assert not is_believed(world, forged)
    assert is_believed(world, world.jwt())


def test_one_key_without_a_kid_serves_tokens_without_a_kid(world):
    world.idp.published = [world.idp.key().kid]
    world.idp.omitted_members = {"kid"}
    assert is_believed(world, world.idp.mint({"sub": world.subject()}, kid=ABSENT))


def test_several_keys_without_a_kid_harm_nobody(world):
    world.idp.omitted_members = {"kid", "alg"}
    world.idp.add_key("another")
    is_believed(world, world.idp.mint({"sub": world.subject()}, kid=ABSENT))
    is_believed(world, world.jwt())
    assert requests.get(f"{world.server.url}/healthz", timeout=10).ok


def test_a_new_key_is_found_without_a_restart_and_a_withdrawn_one_is_forgotten(world):
    assert is_believed(world, world.jwt())
    fetches = world.idp.key_set_fetches
    old, _ = world.idp.rotate()
    assert is_believed(world, world.jwt())
    assert world.idp.key_set_fetches == fetches + 1
    assert not is_believed(world, world.idp.mint({"sub": world.subject()}, key=old))


UNUSABLE_KEY_SETS = [
    b"",
    b"nonsense",
    b"[]",
    b"{}",
    b'{"keys":7}',
    b'{"keys":[7,{"kty":"RSA"},{"kty":"RSA","n":"*","e":"AQAB"}]}',
    b"[" * 100_000,
    b'{"keys":[' + b" " * (5 << 20) + b"]}",
]


def test_an_unusable_key_set_stops_no_token_of_a_known_key_and_is_read_again(server, management):
    worlds = [World(server, management) for _ in UNUSABLE_KEY_SETS]
    for world, garbage in zip(worlds, UNUSABLE_KEY_SETS, strict=True):
        assert is_believed(world, world.jwt())
        known, new = world.idp.key(), world.idp.add_key("new")
        world.idp.key_set_text = garbage
        assert not is_believed(world, world.idp.mint({"sub": world.subject()}, key=new)), garbage[:20]
        assert is_believed(world, world.idp.mint({"sub": world.subject()}, key=known)), garbage[:20]
        world.idp.key_set_text = None
    for world in worlds:
        eventually(lambda w=world: is_believed(w, w.jwt()), "the good key set is read after the cool-down", 15)
        world.close()


def test_one_unusable_key_does_not_hide_the_good_ones(world):
    good = world.idp.key().jwk()
    bad = [{"kty": "RSA", "kid": "no-modulus", "e": "AQAB"}, {"kty": "unheard-of", "kid": "odd"}, 7, {**good, "kid": 5}]
    world.idp.key_set_text = json.dumps({"keys": [*bad, good]}).encode()
    assert is_believed(world, world.jwt())


def shown_keys(world: World, keys: list[Json]) -> None:
    """The issuer shows these keys, and the vault reads them now."""
    world.idp.key_set_text = json.dumps({"keys": keys}).encode()
    path = f"{world.path}/identity-provider"
    world.management.delete(path)
    world.management.post(path, {"issuer_url": world.idp.issuer})


def test_row_7_of_two_keys_under_one_id_neither_is_believed(world):
    good, sound = world.idp.key(), world.idp.key("ES256")
    twin = SigningKey(good.kid)
    for keys in [twin, good, sound], [good, twin, sound]:
        shown_keys(world, [key.jwk() for key in keys])
        for key in good, twin:
            assert not is_believed(world, world.idp.mint({"sub": world.subject()}, key=key))
        assert is_believed(world, world.idp.mint({"sub": world.subject()}, "ES256"))


def test_row_7_the_key_among_ten_thousand_is_looked_for_or_the_whole_set_is_refused(world):
    other = SigningKey("other", "ES256").jwk()
    many = [{**other, "kid": f"k{number}"} for number in range(10_000)]
    with pytest.raises(ManagementError) as refused:
        shown_keys(world, [*many, world.idp.key().jwk()])
    assert refused.value.body["details"]["failed"] == "key_set_unusable"
    world.idp.key_set_text = json.dumps({"keys": [*many[:99], world.idp.key().jwk()]}).encode()
    world.management.post(f"{world.path}/identity-provider", {"issuer_url": world.idp.issuer})
    assert is_believed(world, world.jwt())


def test_a_storm_of_unknown_keys_causes_one_fetch_and_does_not_stop_good_tokens(world):
    jwt = world.jwt()
    assert is_believed(world, jwt)
    fetches, started = world.idp.key_set_fetches, time.monotonic()
    signer = world.signer()
    claims = encoded(world.idp.claims({"sub": world.subject()}))
    # Not noted as secrets, as a forger's others are: every answer after them would be searched for all of them.
    tokens = [
        compact(encoded({"alg": "RS256", "typ": "JWT", "kid": f"storm-{n}"}), claims, lambda _: bytes(256))
        for n in range(10_000)
    ]
    tokens[::5] = [jwt] * 2_000

    def status_of(token: str) -> int:
        body = {
            "provider_id": PROVIDER,
            "reason": None,
            "request": {"method": "GET", "url": world.echo},
            "user_token": token,
        }
        return signer.send("POST", "/sdk/token", body).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(status_of, tokens))
    allowed = 1 + int(time.monotonic() - started) // 10  # one for each cool-down of 10 s
    assert statuses[::5] == [404] * 2_000
    assert {status for n, status in enumerate(statuses) if n % 5} == {401}
    assert 1 <= world.idp.key_set_fetches - fetches <= allowed
