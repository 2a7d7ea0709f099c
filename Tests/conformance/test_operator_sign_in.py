"""Operators who sign in to the Portal at the installation's own identity provider."""

import pytest

from harness.browser import Browser
from harness.configured import ConfiguredServer
from harness.idp import IdentityProvider
from harness.management import Management
from harness.portal import invite


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An installation with an identity provider for its operators, and its first operator, made by command line."""
    folder = tmp_path_factory.mktemp("place")
    provider = IdentityProvider()
    secret = folder / "client-secret"
    secret.write_text(provider.client_secret + "\n")
    server = ConfiguredServer(
        folder,
        SALLYPORT_OPERATOR_ISSUER=provider.issuer,
        SALLYPORT_OPERATOR_CLIENT_ID=provider.client_id,
        SALLYPORT_OPERATOR_CLIENT_SECRET_FILE=str(secret),
    )
    server.start()
    management = Management(server.url, server.create_operator("ann@example.test").pat)
    yield server, provider, management
    assert server.stop() == 0
    provider.close()


def arrive(place, person: str, email: str, verified: object = True, start: str = "/portal/sign-in/start", browser=None):
    server, provider, _ = place
    provider.person = person
    provider.id_token_claims = {"email": email, "email_verified": verified}
    return (browser or Browser()).open(server.url + start)


def test_a_verified_address_of_an_account_binds_the_identity_and_from_then_on_the_subject_alone_counts(place):
    server, _, _ = place
    assert "Sign in with 127.0.0.1" in Browser().open(f"{server.url}/portal/sign-in").text
    first = arrive(place, "idp|ann", "Ann@Example.test")
    assert first.url == f"{server.url}/portal/apps" and "ann@example.test" in first.text
    # Another address, and one that is not verified any more: still the same person.
    assert "ann@example.test" in arrive(place, "idp|ann", "ann@elsewhere.test", verified=False).text
    # Somebody else who now has that address at the provider gets no account with it.
    stranger = arrive(place, "idp|newcomer", "ann@example.test")
    assert stranger.status == 401 and "Ask an admin" in stranger.text


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_is_not_verified_is_nobodys(place, verified):
    server, _, _ = place
    server.create_operator(f"bob-{verified}@example.test".lower())
    page = arrive(place, f"idp|bob-{verified}", f"bob-{verified}@example.test", verified)
    assert page.status == 401 and "Ask an admin" in page.text


def test_nobody_gets_an_account_without_an_invitation_and_an_invitation_is_for_its_address(place):
    server, _, management = place
    assert arrive(place, "idp|eve", "eve@example.test").status == 401
    organization = management.items("/organizations")[0]["id"]
    invited = management.post(f"/organizations/{organization}/invitations", {"email": "eve@example.test"})
    way = invited["invitation_url"].removeprefix(server.url) + "/sign-in"
    assert arrive(place, "idp|mallory", "mallory@example.test", start=way).status == 401
    page = arrive(place, "idp|eve", "eve@example.test", start=way)
    assert page.url == f"{server.url}/portal/apps" and "eve@example.test" in page.text
    emails = {member["email"] for member in management.items(f"/organizations/{organization}/members")}
    assert {"eve@example.test"} == emails - {"ann@example.test"}
    assert arrive(place, "idp|eve", "eve@example.test", start=way).status == 404


def test_rows_29_and_30_an_answer_counts_once_and_in_the_browser_that_began(place):
    server, provider, _ = place
    provider.person, provider.id_token_claims = "idp|ann", {"email": "ann@example.test", "email_verified": True}
    browser = Browser()
    asked = browser.location_of(f"{server.url}/portal/sign-in/start")
    answer = browser.location_of(asked)
    other = Browser()
    assert other.open(answer).status == 400
    assert browser.open(answer).url == f"{server.url}/portal/apps"
    assert browser.open(answer).status == 400
    for changed in answer.replace("state=", "state=x"), f"{server.url}/portal/sign-in/callback?code=1", f"{answer}&iss=https://evil.test":
        assert browser.open(changed).status in (400, 401)


@pytest.mark.parametrize("claims", [{"aud": "other-client"}, {"nonce": "another"}, {"iss": "https://evil.test"}, {"exp": 1}])
def test_row_33_an_id_token_that_is_not_for_this_sign_in_signs_nobody_in(place, claims):
    server, provider, _ = place
    provider.person = "idp|ann"
    provider.id_token_claims = {"email": "ann@example.test", "email_verified": True, **claims}
    page = Browser().open(f"{server.url}/portal/sign-in/start")
    assert page.status == 401 and "ann@example.test" not in page.text


def test_a_provider_that_is_away_says_so_and_passwords_still_work(place, tmp_path):
    _, _, _ = place
    gone = IdentityProvider()
    gone.close()
    secret = tmp_path / "secret"
    secret.write_text("unused")
    server = ConfiguredServer(
        tmp_path / "gone",
        SALLYPORT_OPERATOR_ISSUER=gone.issuer,
        SALLYPORT_OPERATOR_CLIENT_ID="client",
        SALLYPORT_OPERATOR_CLIENT_SECRET_FILE=str(secret),
    )
    (tmp_path / "gone").mkdir(exist_ok=True)
    server.start()
    page = Browser().open(f"{server.url}/portal/sign-in/start")
    assert page.status == 503 and "could not be asked" in page.text
    assert Browser().open(f"{server.url}/portal/sign-in").form_with_input("password") is not None
    server.stop()


def test_an_account_with_a_password_is_bound_by_who_is_signed_in_to_it_and_in_no_other_way(place):
    server, provider, management = place
    operator = invite(management, email="carol@example.test")
    refused = arrive(place, "idp|carol", operator.email)
    assert refused.status == 401 and "Sign in to it with its password" in refused.text
    page = operator.open("/portal/account")
    provider.person, provider.id_token_claims = "idp|carol", {}
    added = operator.browser.click(page, "Add sign-in with 127.0.0.1")
    assert added.url == f"{server.url}/portal/apps" and operator.email in added.text
    # From now on the subject counts, whatever address comes with it.
    assert operator.email in arrive(place, "idp|carol", "another@example.test").text
    # The identity is taken, and the account has one.
    other = invite(management, email="dan@example.test")
    provider.person, provider.id_token_claims = "idp|carol", {}
    taken = other.browser.click(other.open("/portal/account"), "Add sign-in with 127.0.0.1")
    assert taken.status == 401 and "another operator" in taken.text


def test_an_identity_is_added_only_while_the_account_is_signed_in(place):
    server, provider, management = place
    operator = invite(management, email="erin@example.test")
    provider.person, provider.id_token_claims = "idp|next-at-the-browser", {}
    page = operator.open("/portal/account")
    begun = operator.browser.redirect_of(page, page.form_that_says("Add sign-in with 127.0.0.1"))
    answer = operator.browser.location_of(begun)
    operator.browser.click(operator.open("/portal/account"), "Sign out")
    late = operator.browser.open(answer)
    assert late.status == 400 and operator.email not in late.text
    # Nothing was bound, and nobody is signed in by it.
    assert arrive(place, "idp|next-at-the-browser", "nobody@example.test").status == 401


def test_the_provider_is_asked_once_for_many_visits(place):
    server, provider, _ = place
    Browser().location_of(f"{server.url}/portal/sign-in/start")
    before = provider.fetches["/.well-known/openid-configuration"]
    for _ in range(20):
        Browser().location_of(f"{server.url}/portal/sign-in/start")
    assert provider.fetches["/.well-known/openid-configuration"] == before
