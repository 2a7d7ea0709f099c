"""Compact JWS made by hand: what a good library refuses to make is what the tests need."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey

Json = dict[str, Any]
ABSENT = object()
"""As the value of a claim or header member: leave it out."""

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(members: Json) -> bytes:
    return json.dumps({k: v for k, v in members.items() if v is not ABSENT}, separators=(",", ":")).encode()


def compact(header: bytes, payload: bytes, sign: Callable[[bytes], bytes]) -> str:
    signing_input = f"{base64url(header)}.{base64url(payload)}"
    return f"{signing_input}.{base64url(sign(signing_input.encode()))}"


class SigningKey:
    """A private key with its `kid`, and the algorithm it is published for."""

    def __init__(self, kid: str, alg: str = "RS256") -> None:
        options = {"kid": kid, "alg": alg, "use": "sig"}
        self.kid, self.alg = kid, alg
        if alg.startswith(("RS", "PS")):
            self._jwk = RSAKey.generate_key(2048, options)
        elif alg == "EdDSA":
            self._jwk = OKPKey.generate_key("Ed25519", options)
        else:
            self._jwk = ECKey.generate_key("P-" + alg[2:], options)

    def jwk(self, private: bool = False) -> Json:
        return self._jwk.as_dict(private=private)

    def public_bytes(self, form: str) -> bytes:
        """The public key as the text that algorithm confusion uses as a shared secret."""
        return (
            encoded(self.jwk())
            if form == "jwk"
            else (self._jwk.as_pem if form == "pem" else self._jwk.as_der)(private=False)
        )

    def sign(self, signing_input: bytes, alg: str | None = None) -> bytes:
        alg, key = alg or self.alg, self._jwk.private_key
        if isinstance(key, rsa.RSAPrivateKey):
            digest = _HASHES[alg[2:]]
            scheme = (
                padding.PSS(padding.MGF1(digest), digest.digest_size) if alg.startswith("PS") else padding.PKCS1v15()
            )
            return key.sign(signing_input, scheme, digest)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(_HASHES[alg[2:]])))
            size = (key.key_size + 7) // 8
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return key.sign(signing_input)


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda signing_input: hmac.new(secret, signing_input, hashlib.sha256).digest()
