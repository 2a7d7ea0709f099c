"""Attacks on an operator's account by way of the installation's identity provider, and on the server by way of its forms."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from harness.browser import Browser
from harness.configured import ConfiguredServer
from harness.idp import IdentityProvider
from harness.management import Management
from harness.portal import accept, invitation, new_email, organization_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("takeover")
    provider = IdentityProvider()
    secret = folder / "client-secret"
    secret.write_text(provider.client_secret)
    server = ConfiguredServer(
        folder,
        SALLYPORT_OPERATOR_ISSUER=provider.issuer,
        SALLYPORT_OPERATOR_CLIENT_ID=provider.client_id,
        SALLYPORT_OPERATOR_CLIENT_SECRET_FILE=str(secret),
    )
    server.start()
    yield server, provider
    assert server.stop() == 0
    provider.close()


def arrive(place, email: str, start: str = "/portal/sign-in/start") -> tuple[Browser, object]:
    server, provider = place
    provider.person, provider.id_token_claims = f"idp|{email.encode().hex()}", {"email": email, "email_verified": True}
    browser = Browser()
    return browser, browser.open(server.url + start)


def test_an_account_made_ahead_for_somebody_elses_address_gets_none_of_their_organizations(place):
    server, _ = place
    stranger = Management(server.url, server.create_operator(new_email("stranger")).pat)
    victim = new_email("victim")
    # The inviter sees the link, and uses it: an account of that address with the stranger's password.
    ahead = accept(invitation(stranger, email=victim))
    admin = Management(server.url, server.create_operator(new_email("admin")).pat)
    way = invitation(admin, "admin", email=victim)["invitation_url"].removeprefix(server.url) + "/sign-in"
    arrive(place, victim, way)
    assert organization_of(admin) not in ahead.browser.open(f"{server.url}/portal/organizations").text


@pytest.mark.parametrize("change", [lambda text: text.replace("k", "\u212a"), lambda text: text + "\u00a0"])
def test_an_address_that_only_looks_alike_binds_no_account(place, change):
    server, _ = place
    email = new_email("kim")
    server.create_operator(email)
    _, page = arrive(place, change(email))
    assert page.status == 401 and email not in page.text


def test_forms_of_strangers_keep_nobody_waiting(place):
    server, _ = place

    def send(_: int) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        requests.post(f"{server.url}/portal/sign-in", data="a=+&" * 262_000, headers=form, timeout=120)

    with ThreadPoolExecutor(12) as senders:
        sent = [senders.submit(send, number) for number in range(12)]
        time.sleep(0.3)
        began = time.monotonic()
        requests.get(f"{server.url}/healthz", timeout=120)
        waited = time.monotonic() - began
        assert [task.result() for task in sent] and waited < 3
