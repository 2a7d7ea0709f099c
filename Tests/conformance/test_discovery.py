"""An operator types an issuer: what is previewed, and what is said when it cannot be used. Nothing is saved."""

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from harness.idp import DISCOVERY, KEY_SET, IdentityProvider
from harness.local_http import Answer
from harness.management import Management, ManagementError
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
    """The one word for what failed. Both verbs refuse alike and say it in a sentence; nothing is there afterwards."""
    told = []
    for path in f"{app}/discover", app:
        with pytest.raises(ManagementError) as refused:
            management.post(path, {"issuer_url": issuer})
        body = refused.value.body
        assert (refused.value.status, body["error"]) == (422, "discovery_failed"), body
        assert body["message"] == f"Discovery failed: {body['details']['reason']}"
        told.append(body["details"])
    assert told[0] == told[1]
    with pytest.raises(ManagementError) as nothing:
        management.get(app)
    assert nothing.value.body["error"] == "identity_provider_not_found"
    return told[0]["failed"], told[0]["reason"]


def test_a_preview_shows_what_the_issuer_says_and_saves_nothing(management, app, hostile):
    hostile.document(end_session_endpoint=hostile.url("/logout"), surprise={"nested": [1, 2, 3]})
    assert management.post(f"{app}/discover", {"issuer_url": f"{hostile.issuer}/"}) == {
        "idp_type": "custom_oidc",
        "issuer": hostile.issuer,
        "authorization_endpoint": hostile.url("/authorize"),
        "token_endpoint": hostile.url("/token"),
        "jwks_uri": hostile.url(KEY_SET),
        "end_session_endpoint": hostile.url("/logout"),
        "suggested_claims": {"user_id": "sub", "group": None, "role": None},
        "capabilities": {"jwt_sync": True, "oidc_sign_in": True, "webhooks": False, "rp_initiated_logout": True},
    }
    with pytest.raises(ManagementError):
        management.get(app)


def test_a_customers_domain_does_not_hide_the_vendor(management, app, hostile):
    hostile.document(
        token_endpoint=hostile.url("/oauth/token"),
        jwks_uri=hostile.url("/.well-known/jwks.json"),
        mfa_challenge_endpoint=hostile.url("/mfa/challenge"),
    )
    hostile.told["/.well-known/jwks.json"] = Answer.json({"keys": [hostile.key().jwk()]})
    seen = management.post(f"{app}/discover", {"issuer_url": hostile.issuer})
    assert seen["idp_type"] == "auth0" and seen["capabilities"]["webhooks"]


BROKEN_DOCUMENTS = {
    "a page": (Answer(200, b"<html></html>", {"Content-Type": "text/html"}), "not_json"),
    "a list": (Answer.json([1]), "not_json"),
    "nothing": (Answer(200), "not_json"),
    "half of it": (Answer(200, b'{"issuer": "http'), "not_json"),
    "duplicate members": (Answer(200, b'{"issuer": "a", "issuer": "b"}'), "not_json"),
    "200,000 brackets": (Answer(200, b"[" * 200_000), "not_json"),
    "two megabytes": (Answer(200, b" " * (2 << 20) + b"{}"), "too_large"),
    "compressed": (Answer(200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"}), "not_json"),
    "missing": (Answer.json({"error": "not_found"}, 404), "status"),
    "trouble": (Answer(503, b"<html>"), "status"),
    "no content": (Answer(204), "status"),
}


@pytest.mark.parametrize("broken", BROKEN_DOCUMENTS)
def test_row_25_a_document_that_is_none_is_named(management, app, hostile, broken):
    hostile.told[DISCOVERY], expected = BROKEN_DOCUMENTS[broken]
    assert failure(management, app, hostile.issuer)[0] == expected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_row_24_a_redirect_is_named_and_not_followed(management, app, hostile, status):
    hostile.told[DISCOVERY] = Answer(status, b"", {"Location": hostile.url("/elsewhere"), "Set-Cookie": "a=b"})
    word, sentence = failure(management, app, hostile.issuer)
    assert word == "status" and "redirect" in sentence
    assert "/elsewhere" not in hostile.asked


@pytest.mark.parametrize(
    "named",
    ["https://evil.example", "", 7, None, ["x"], "{issuer}/tenant", "{issuer}?a=b", "{issuer}#a", "{issuer}//"],
    ids=repr,
)
def test_row_25_a_document_of_another_issuer_is_refused(management, app, hostile, named):
    hostile.document(issuer=named.replace("{issuer}", hostile.issuer) if isinstance(named, str) else named)
    expected = {7: "member_malformed", None: "member_missing"}.get(named if not isinstance(named, list) else 7)
    assert failure(management, app, hostile.issuer)[0] == (expected or "issuer_differs")


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize(
    "value", [None, 7, ["http://127.0.0.1"], "", "not an address", "ftp://127.0.0.1/a", "http://u:p@127.0.0.1/", "javascript:alert(1)"]
)
def test_row_25_an_address_that_is_none_is_named(management, app, hostile, member, value):
    hostile.document(**{member: value})
    word, sentence = failure(management, app, hostile.issuer)
    assert word == ("member_missing" if value is None else "member_malformed")
    assert member in sentence and "u:p" not in sentence


KEY_SETS = {
    "missing": Answer(404),
    "a page": Answer(200, b"<html></html>"),
    "no keys": Answer.json({"keys": []}),
    "keys of an unknown kind": Answer.json({"keys": [{"kty": "xyz", "kid": "1"}]}),
    "a shared secret": Answer.json({"keys": [{"kty": "oct", "kid": "1", "k": "c2VjcmV0"}]}),
    "a redirect": Answer.redirect("/other-keys"),
    "two megabytes": Answer(200, b" " * (2 << 20) + b'{"keys": []}'),
}


@pytest.mark.parametrize("broken", KEY_SETS)
def test_row_25_a_key_set_without_a_usable_key_is_named_before_anything_is_saved(management, app, hostile, broken):
    hostile.told[KEY_SET] = KEY_SETS[broken]
    word, sentence = failure(management, app, hostile.issuer)
    assert word == "key_set_unusable" and "jwks_uri" in sentence
    assert "/other-keys" not in hostile.asked


def test_row_25_an_issuer_that_never_finishes_is_given_up_in_time(management, app):
    """A byte a second, and headers without end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=drip, args=(connection,), daemon=True).start()

        def drip(connection):
            with connection:
                try:
                    connection.recv(65536)  # an answer before the question is another fault
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
                    for _ in range(60):
                        connection.sendall(b" ")
                        threading.Event().wait(0.5)
                except OSError:
                    pass

        threading.Thread(target=trickle, daemon=True).start()
        issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ManagementError) as refused:
            management.post(f"{app}/discover", {"issuer_url": issuer})
        assert refused.value.body["details"]["failed"] == "timed_out"


def test_row_26_a_certificate_that_nobody_vouches_for_is_named(management, app, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "self-signed.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        assert failure(management, app, f"https://127.0.0.1:{server.server_port}")[0] == "tls"
        server.shutdown()


def test_an_issuer_that_nobody_serves_is_unreachable(management, app):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert failure(management, app, f"http://127.0.0.1:{nobody.getsockname()[1]}")[0] == "unreachable"


@pytest.mark.parametrize(
    "issuer, word",
    [
        ("file:///etc/passwd", "not_https"),
        ("ftp://id.example", "not_https"),
        ("gopher://id.example", "not_https"),
        ("data:text/plain,hello", "not_https"),
        ("unix:/run/secret", "not_https"),
        ("id.example", "not_https"),
        ("https://", "not_an_address"),
        ("https://u:p@id.example", "not_an_address"),
        ("https://id.example#a", "not_an_address"),
        ("https://id.example?a=b", "not_an_address"),
        ("https://id.example/.well-known/openid-configuration", "not_an_address"),
        ("https://id.exa mple", "not_an_address"),
        ("https://id.example\r\nHost: evil", "not_an_address"),
        ("https://" + "a" * 300 + ".example", "not_an_address"),
    ],
)
def test_row_21_what_is_no_issuer_is_never_asked(management, app, issuer, word):
    told, sentence = failure(management, app, issuer)
    assert told == word, sentence
    assert "u:p" not in sentence


# In production: neither http nor the inside of the network.


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("production"))
    server.start(public_url="https://vault.example.test", development=False)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def guarded(production):
    management = Management(production.url, production.create_operator().pat)
    return management, f"/apps/{management.post('/apps', {'name': 'Guarded'})['id']}/identity-provider"


INSIDE = (
    "127.0.0.1 127.1 0 0.0.0.0 2130706433 0x7f000001 0177.0.0.1 [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] "
    "[64:ff9b::7f00:1] [fe80::1] localhost localhost. LOCALHOST 169.254.169.254 [fd00:ec2::254] 100.64.0.1 10.0.0.1 "
    "172.16.0.1 192.168.0.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255"
).split()


@pytest.mark.parametrize("host", INSIDE)
def test_row_22_production_calls_nothing_inside_the_network(guarded, host):
    word, sentence = failure(*guarded, f"https://{host}")
    assert word in ("address_refused", "not_an_address"), sentence


def test_row_21_production_asks_no_issuer_over_http(guarded, hostile):
    assert failure(*guarded, hostile.issuer)[0] == "not_https"
    assert failure(*guarded, "http://id.example")[0] == "not_https"
    assert hostile.asked == []
