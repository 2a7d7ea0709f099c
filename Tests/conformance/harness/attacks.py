"""User tokens that must not be believed, each made from the identity provider of the test."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .canaries import canary
from .idp import IdentityProvider
from .jose import ABSENT, Json, SigningKey, base64url, compact, encoded, hs256


class Forger:
    """Knows the provider and the claims of a good token, and makes variations of it."""

    def __init__(self, idp: IdentityProvider, claims: Json) -> None:
        self.idp = idp
        self.good_claims = claims
        self.now = int(time.time())

    def claims(self, alg: str = "RS256", **changes: Any) -> str:
        return self.idp.mint({**self.good_claims, **changes}, alg)

    def header(self, signed_as: str = "RS256", **changes: Any) -> str:
        """Signed with the key's own algorithm, whatever the header says."""
        key = self.idp.key(signed_as)
        return self.made({"alg": signed_as, "typ": "JWT", "kid": key.kid, **changes}, key.sign)

    def made(self, header: Json | bytes, sign: Callable[[bytes], bytes], payload: bytes | None = None) -> str:
        head = header if isinstance(header, bytes) else encoded(header)
        return canary(compact(head, payload or encoded(self.idp.claims(self.good_claims)), sign))

    def payload(self, payload: bytes) -> str:
        key = self.idp.key()
        return self.made({"alg": "RS256", "typ": "JWT", "kid": key.kid}, key.sign, payload)

    def secret(self, form: str, before: bytes = b"") -> str:
        key = self.idp.key()
        return self.made({"alg": "HS256", "typ": "JWT", "kid": key.kid}, hs256(before + key.public_bytes(form)))

    def text(self, change: Callable[[str, str, str], str]) -> str:
        return change(*self.claims().split("."))

    def signature(self, alg: str, change: Callable[[bytes], bytes]) -> str:
        key = self.idp.key(alg)
        return self.made({"alg": alg, "typ": "JWT", "kid": key.kid}, lambda text: change(key.sign(text)))

    def payload_with(self, member: str) -> bytes:
        """The good claims as text, with one more member at the end."""
        return encoded(self.idp.claims(self.good_claims))[:-1] + b"," + member.encode() + b"}"

    def header_with(self, member: str) -> str:
        key = self.idp.key()
        head = encoded({"alg": "RS256", "typ": "JWT", "kid": key.kid})[:-1] + b"," + member.encode() + b"}"
        return self.made(head, key.sign)


def _standard_alphabet(header: str, payload: str, signature: str) -> str:
    signature = base64.b64encode(base64.urlsafe_b64decode(signature + "==")).decode().rstrip("=")
    return f"{header}.{payload}.{signature}"


def _der_of(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def _changed_subject(header: str, payload: str, signature: str) -> str:
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{base64url(encoded({**claims, 'sub': 'idp|somebody-else'}))}.{signature}"


def _flattened(header: str, payload: str, signature: str) -> str:
    return json.dumps({"protected": header, "payload": payload, "signature": signature})


def _unsigned(alg: object) -> Callable[[Forger], str]:
    return lambda f: f.made({"alg": alg, "typ": "JWT"}, lambda _: b"")


def _embedded_key(f: Forger) -> str:
    mine = SigningKey("mine")
    return f.made({"alg": "RS256", "typ": "JWT", "kid": "mine", "jwk": mine.jwk()}, mine.sign)


def _foreign_key(f: Forger) -> str:
    return f.idp.mint(f.good_claims, key=SigningKey(f.idp.key().kid))


def _unfitting_key(alg: str, kid_of: str) -> Callable[[Forger], str]:
    """The header claims an algorithm that does not fit the key which it names."""
    return lambda f: f.made({"alg": alg, "typ": "JWT", "kid": f.idp.key(kid_of).kid}, f.idp.key(alg).sign)


ATTACKS: dict[str, Callable[[Forger], str]] = {
    # Time
    "expired": lambda f: f.claims(exp=f.now - 1),
    "an event token": lambda f: f.claims(events={}),
    "expired long ago": lambda f: f.claims(exp=1),
    "no exp": lambda f: f.claims(exp=ABSENT),
    "exp null": lambda f: f.claims(exp=None),
    "exp text": lambda f: f.claims(exp=str(f.now + 600)),
    "exp negative": lambda f: f.claims(exp=-1),
    "exp true": lambda f: f.claims(exp=True),
    "nbf in the future": lambda f: f.claims(nbf=f.now + 120),
    "nbf text": lambda f: f.claims(nbf="soon"),
    "iat in the future": lambda f: f.claims(iat=f.now + 120),
    # Issuer and audience
    "issuer of somebody else": lambda f: f.claims(iss="https://elsewhere.test"),
    "issuer with a final slash": lambda f: f.claims(iss=f.idp.issuer + "/"),
    "issuer with a path": lambda f: f.claims(iss=f.idp.issuer + "/x"),
    "issuer in upper case": lambda f: f.claims(iss=f.idp.issuer.upper()),
    "issuer as a list": lambda f: f.claims(iss=[f.idp.issuer]),
    "no issuer": lambda f: f.claims(iss=ABSENT),
    "audience of another client": lambda f: f.claims(aud="another"),
    "audience a prefix of ours": lambda f: f.claims(aud=f.good_claims["aud"][:-1]),
    "audience in upper case": lambda f: f.claims(aud=f.good_claims["aud"].upper()),
    "audience list without ours": lambda f: f.claims(aud=["another", "third"]),
    "audience empty list [13]": lambda f: f.claims(aud=[]),
    "audience empty text": lambda f: f.claims(aud=""),
    "audience number": lambda f: f.claims(aud=7),
    "audience object": lambda f: f.claims(aud={f.good_claims["aud"]: True}),
    "no audience": lambda f: f.claims(aud=ABSENT),
    # Subject
    "sub empty": lambda f: f.claims(sub=""),
    "sub number": lambda f: f.claims(sub=7),
    "sub null": lambda f: f.claims(sub=None),
    "sub object": lambda f: f.claims(sub={"id": 1}),
    "sub list": lambda f: f.claims(sub=[f.good_claims["sub"]]),
    "sub of 256 characters": lambda f: f.claims(sub="x" * 256),
    "sub of 20,000 characters": lambda f: f.claims(sub="x" * 20_000),
    "no sub": lambda f: f.claims(sub=ABSENT),
    # No signature
    "alg none": _unsigned("none"),
    "alg None": _unsigned("None"),
    "alg NONE": _unsigned("NONE"),
    "alg nOnE": _unsigned("nOnE"),
    "alg empty": _unsigned(""),
    "alg null": _unsigned(None),
    "alg number": _unsigned(0),
    "no alg": _unsigned(ABSENT),
    "alg none with a good signature": lambda f: f.header(alg="none"),
    "signature empty": lambda f: f.text(lambda h, p, s: f"{h}.{p}."),
    "signature cut": lambda f: f.text(lambda h, p, s: f"{h}.{p}.{s[:-4]}"),
    "payload changed": lambda f: f.text(_changed_subject),
    # Confusion of algorithms
    "HS256 with the public key as PEM": lambda f: f.secret("pem"),
    "HS256 with a newline before the PEM": lambda f: f.secret("pem", b"\n"),
    "HS256 with the public key as DER": lambda f: f.secret("der"),
    "HS256 with the public key as JWK": lambda f: f.secret("jwk"),
    "HS256 with an empty secret": lambda f: f.made({"alg": "HS256", "kid": f.idp.key().kid}, hs256(b"")),
    "ES256 under the kid of an RSA key": _unfitting_key("ES256", "RS256"),
    "RS256 under the kid of an EC key": _unfitting_key("RS256", "ES256"),
    "EdDSA under the kid of an EC key": _unfitting_key("EdDSA", "ES256"),
    "ES256 header over an RSA signature": lambda f: f.header(alg="ES256"),
    "PS256 by a key that is for RS256": lambda f: f.idp.mint(f.good_claims, "PS256", key=f.idp.key("RS256")),
    "RS512 by a key that is for RS256": lambda f: f.idp.mint(f.good_claims, "RS512", key=f.idp.key("RS256")),
    "alg unheard of": lambda f: f.header(alg="RS1"),
    # Which key
    "unknown kid": lambda f: f.header(kid="nobody-knows"),
    "no kid with several keys": lambda f: f.header(kid=ABSENT),
    "kid null": lambda f: f.header(kid=None),
    "kid number": lambda f: f.header(kid=1),
    "kid list": lambda f: f.header(kid=[f.idp.key().kid]),
    "kid of 10 kB": lambda f: f.header(kid="k" * 10_000),
    "kid a path": lambda f: f.header(kid="../../../../dev/null"),
    "kid with SQL": lambda f: f.header(kid="' UNION SELECT 'x' --"),
    "kid with NUL": lambda f: f.header(kid=f.idp.key().kid + "\0"),
    "foreign key under our kid": _foreign_key,
    "key inside the header": _embedded_key,
    # Purpose and critical members
    "crit known to nobody": lambda f: f.header(crit=["exp"]),
    "crit empty": lambda f: f.header(crit=[]),
    "crit with b64 false": lambda f: f.header(crit=["b64"], b64=False),
    "typ logout+jwt": lambda f: f.header(typ="logout+jwt"),
    "typ secevent+jwt": lambda f: f.header(typ="secevent+jwt"),
    "typ dpop+jwt": lambda f: f.header(typ="dpop+jwt"),
    "typ number": lambda f: f.header(typ=1),
    # Text
    "sub twice": lambda f: f.payload(f.payload_with('"sub":"idp|somebody-else"')),
    "sub twice, once escaped": lambda f: f.payload(f.payload_with('"s\\u0075b":"idp|somebody-else"')),
    "exp twice": lambda f: f.payload(f.payload_with('"exp":9999999999')),
    "alg twice": lambda f: f.header_with('"alg":"none"'),
    "kid twice": lambda f: f.header_with('"kid":"other"'),
    "padded header": lambda f: f.text(lambda h, p, s: f"{h}=.{p}.{s}"),
    "padded payload": lambda f: f.text(lambda h, p, s: f"{h}.{p}==.{s}"),
    "padded signature": lambda f: f.text(lambda h, p, s: f"{h}.{p}.{s}=="),
    "signature in the standard alphabet": lambda f: f.text(_standard_alphabet),
    "blank before": lambda f: f.text(lambda h, p, s: f" {h}.{p}.{s}"),
    "newline after": lambda f: f.text(lambda h, p, s: f"{h}.{p}.{s}\n"),
    "blank inside": lambda f: f.text(lambda h, p, s: f"{h}. {p}.{s}"),
    "with its scheme": lambda f: "Bearer " + f.claims(),
    "two segments": lambda f: f.text(lambda h, p, s: f"{h}.{p}"),
    "four segments": lambda f: f.text(lambda h, p, s: f"{h}.{p}.{s}.{s}"),
    "five segments [17]": lambda f: f.text(lambda h, p, s: f"{h}.{p}.{s}.{p}.{s}"),
    "flattened JSON": lambda f: f.text(_flattened),
    "two dots": lambda f: "..",
    "plain text": lambda f: "not-a-token",
    "three words": lambda f: "a.b.c",
    "payload not an object": lambda f: f.payload(b"[]"),
    "payload not JSON": lambda f: f.payload(b"{"),
    "payload not UTF-8": lambda f: f.payload(f.payload_with('"x":"').replace(b'"x":"', b'"x":"\xff"')),
    "payload with a byte order mark": lambda f: f.payload(b"\xef\xbb\xbf" + f.payload_with('"x":1')),
    "payload nested 10,000 deep [14]": lambda f: f.payload(f.payload_with('"x":' + "[" * 10_000 + "]" * 10_000)),
    "header not an object": lambda f: f.made(b"[]", f.idp.key().sign),
    "100 kB": lambda f: f.claims(padding="x" * 75_000),
    # Malleable signatures [16]
    "ECDSA as DER": lambda f: f.signature("ES256", _der_of),
    "ECDSA of 63 bytes": lambda f: f.signature("ES256", lambda raw: raw[:-1]),
    "ECDSA of 65 bytes": lambda f: f.signature("ES256", lambda raw: raw + b"\0"),
    "ECDSA all zero": lambda f: f.signature("ES256", lambda raw: bytes(64)),
    "ECDSA r zero": lambda f: f.signature("ES256", lambda raw: bytes(32) + raw[32:]),
    "EdDSA all zero": lambda f: f.signature("EdDSA", lambda raw: bytes(64)),
    "RSA all zero": lambda f: f.signature("RS256", lambda raw: bytes(256)),
    "RSA with a zero before": lambda f: f.signature("RS256", lambda raw: b"\0" + raw),
}
