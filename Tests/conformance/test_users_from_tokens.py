"""The identity provider of an app, and the users that its tokens make: created at first sight, synced with every token."""

import time

import pytest
import requests
from alter_sdk import AlterSDKError, GrantNotFoundError

from harness.idp import IdentityProvider
from harness.jose import SigningKey
from harness.management import ManagementError
from harness.sdk import wait
from harness.world import World

NOW = int(time.time())


@pytest.fixture
def grouped(server, management):
    world = World(server, management, group_claim="groups", role_claim="roles")
    yield world
    world.close()


def see(world, name="alice", called=None, **claims):
    claims |= {"name": called} if called else {}
    assert wait(world.app.verify_user_token(world.idp.mint({"sub": world.subject(name), "email": f"{name}@corp.test", **claims}))) == world.subject(name)
    return world.user(name)


def facts(user):
    return user["group_ids"], user["email"], user["display_name"]


def test_the_first_token_makes_the_user_and_later_ones_keep_the_record_current(grouped):
    user = see(grouped, groups=["eng"], called="Alice")
    assert facts(user) == (["eng"], "alice@corp.test", "Alice") and user["status"] == "active"
    again = see(grouped, groups=["eng", "ops"], email="a.smith@corp.test", called="Alice Smith")
    assert again["id"] == user["id"] and facts(again) == (["eng", "ops"], "a.smith@corp.test", "Alice Smith")
    assert len(grouped.management.items(f"{grouped.path}/users")) == 1


def test_a_missing_claim_says_nothing_and_an_empty_one_says_none(grouped):
    see(grouped, groups=["eng", "ops"])
    assert see(grouped)["group_ids"] == ["eng", "ops"]
    assert see(grouped, groups=None)["group_ids"] == ["eng", "ops"]
    assert see(grouped, groups=[])["group_ids"] == []


def test_an_older_token_overwrites_nothing_that_a_newer_one_said(grouped):
    see(grouped, iat=NOW - 60, groups=["new"], email="new@corp.test", called="New")
    older = see(grouped, iat=NOW - 120, groups=["old"], email="old@corp.test", called="Old")
    assert facts(older) == (["new"], "new@corp.test", "New")
    # Older is what a token is against the last one that carried that fact.
    see(grouped, "bob", iat=NOW - 120, groups=["eng"])
    see(grouped, "bob", iat=NOW - 30, called="Bob")
    assert facts(see(grouped, "bob", iat=NOW - 60, groups=["ops"], called="Older")) == (
        ["ops"],
        "bob@corp.test",
        "Bob",
    )


def test_roles_are_synced_beside_groups_each_for_itself(grouped):
    assert see(grouped, iat=NOW - 60, roles=["admin", "admin"])["roles"] == ["admin"]
    user = see(grouped, iat=NOW - 90, roles=["owner"], groups=["eng"])
    assert (user["roles"], user["group_ids"]) == (["admin"], ["eng"])
    assert see(grouped, roles=[])["roles"] == []


def test_of_two_tokens_of_one_second_the_later_arrival_counts(grouped):
    see(grouped, iat=NOW, groups=["first"])
    assert see(grouped, iat=NOW, groups=["second"])["group_ids"] == ["second"]


@pytest.mark.parametrize(
    "idp_type, claim, claims, groups",
    [
        (None, "https://corp.example/groups", {"https://corp.example/groups": ["a"]}, ["a"]),
        (None, "realm_access.roles", {"realm_access": {"roles": ["a", "b"]}}, ["a", "b"]),
        (None, "groups", {"groups": "one text"}, ["one text"]),
        ("clerk", None, {"org_id": "org_1", "org_role": "admin"}, ["org_1"]),
        ("clerk", None, {"o": {"id": "org_2", "rol": "admin", "slg": "acme"}}, ["org_2"]),
        ("clerk", "org_memberships", {"org_memberships": {"org_1": "admin", "org_2": "member"}}, ["org_1", "org_2"]),
        ("cognito", None, {"cognito:groups": ["a"]}, ["a"]),
    ],
)
def test_groups_come_in_the_forms_of_their_providers(server, management, idp_type, claim, claims, groups):
    settings = {"idp_type": idp_type, "group_claim": claim}
    world = World(server, management, **{name: value for name, value in settings.items() if value})
    assert see(world, **claims)["group_ids"] == groups
    world.close()


def test_a_malformed_group_claim_is_refused_and_changes_nothing(grouped):
    see(grouped, groups=["eng"])
    for malformed in 7, ["a", 7], {"id": 7}:
        assert wait(grouped.app.verify_user_token(grouped.jwt(groups=malformed))) is None
    assert grouped.user()["group_ids"] == ["eng"]


def test_the_same_subject_of_another_issuer_is_another_user(world, management):
    mine = see(world)
    grant = world.connect(world.jwt())
    path = f"{world.path}/identity-provider"
    with pytest.raises(ManagementError) as refused:
        management.post(path, {"issuer_url": world.idp.issuer})
    assert refused.value.status == 409 and "Remove" in refused.value.body["hint"]

    successor = IdentityProvider()
    management.delete(path)
    contract = management.post(path, {"issuer_url": successor.issuer})
    assert contract["id"] != world.identity_provider["id"] and not contract["claims_locked"]
    jwt = successor.mint({"sub": world.subject(), "email": "alice@corp.test"})
    with pytest.raises(GrantNotFoundError):
        world.request_as(jwt)
    users = [u for u in management.items(f"{world.path}/users") if u["external_subject_id"] == world.subject()]
    assert len(users) == 2 and {u["id"] for u in users} > {mine["id"]}
    with pytest.raises(AlterSDKError):
        world.request(grant_id=grant.grant_id)
    assert wait(world.app.verify_user_token(world.jwt())) is None, "a token of the issuer that was removed"
    successor.close()


def test_a_browser_sign_in_locks_the_claims_as_a_token_does(world, management):
    path = f"{world.path}/identity-provider"
    client = {"client_id": world.idp.client_id, "client_secret": world.idp.client_secret}
    management.put(f"{path}/sign-in", client)
    management.call("PATCH", path, {"group_claim": "groups"})
    session = wait(world.app.create_auth_session())
    assert requests.Session().get(session.auth_url, timeout=20).status_code == 200
    assert management.get(path)["claims_locked"]
    with pytest.raises(ManagementError) as locked:
        management.call("PATCH", path, {"group_claim": "teams"})
    assert (locked.value.status, locked.value.body["error"]) == (409, "claim_mappings_locked")


def test_while_the_provider_is_away_known_keys_are_believed_and_unknown_ones_are_not(world):
    see(world)
    world.connect(world.jwt())
    unpublished = world.idp.add_key("never-seen", published=False)
    world.idp.close()
    assert world.request_as(world.jwt()).status_code == 200
    forged = world.idp.mint({"sub": world.subject()}, key=unpublished)
    with pytest.raises(AlterSDKError):
        world.request_as(forged)
    assert world.request_as(world.jwt()).status_code == 200


def test_an_issuer_that_closes_kept_connections_is_read_all_the_same(world, management):
    world.idp.hangs_up_on_reuse = True
    path = f"{world.path}/identity-provider"
    management.delete(path)
    management.post(path, {"issuer_url": world.idp.issuer})
    see(world)


def test_an_issuer_that_is_added_anew_is_believed_by_its_keys_of_now(world, management):
    see(world)
    newest = world.idp.key("RS256").kid
    world.idp.keys[newest] = SigningKey(newest, "RS256")  # another key under the same id
    assert wait(world.app.verify_user_token(world.jwt())) is None
    path = f"{world.path}/identity-provider"
    management.delete(path)
    management.post(path, {"issuer_url": world.idp.issuer})
    see(world)
