"""An operator types an issuer: what is previewed, and what is said when it cannot be used. Nothing is saved."""

import gzip
import json
import socket
import threading
import time

import pytest

from harness.idp import DISCOVERY, KEY_SET, IdentityProvider
from harness.local_http import Answer
from harness.management import Management, Refused
from harness.server import Server

MEMBERS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class HostileProvider(IdentityProvider):
    """Answers its two addresses as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, Answer] = {}
        self.asked: list[str] = []

    def answer(self, request):
        self.asked.append(request.path)
        return self.told.get(request.path) or super().answer(request)

    def document(self, **changes):
        """The good document with members changed; `None` leaves one out."""
        good = {
            "issuer": self.issuer,
            "authorization_endpoint": self.url("/authorize"),
            "token_endpoint": self.url("/token"),
            "jwks_uri": self.url(KEY_SET),
        }
        self.told[DISCOVERY] = Answer.json({n: v for n, v in {**good, **changes}.items() if v is not None})


@pytest.fixture
def hostile():
    provider = HostileProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def app(management):
    return f"/apps/{management.post('/apps', {'name': 'Discovery'})['id']}/identity-provider"


def failure(management, app, issuer):
    """The one word and the sentence; both verbs refuse alike, and nothing is there afterwards."""
    told = []
    for path in (f"{app}/discover", app):
        with pytest.raises(Refused) as refused:
            management.post(path, {"issuer_url": issuer})
        assert (refused.value.status, refused.value.code) == (422, "discovery_failed"), refused.value
        told.append(refused.value.details["reason"])
    with pytest.raises(Refused) as nothing:
        management.get(app)
    assert nothing.value.code == "identity_provider_not_found"
    assert told[0] == told[1]
    return told[0], str(refused.value)
