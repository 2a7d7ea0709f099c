"""A development identity provider: discovery document, key set, and tokens of every kind, good and bad."""

import json
import time
from collections import Counter

from .canaries import canary
from .jose import Json, SigningKey, compact, encoded
from .local_http import Answer, LocalServer, Request

DISCOVERY = "/.well-known/openid-configuration"
KEY_SET = "/jwks.json"


class IdentityProvider(LocalServer):
    """One issuer. `keys` sign, `published` says which of them the key set shows."""

    def __init__(self, algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")) -> None:
        super().__init__()
        self.issuer = self.origin
        self.keys: dict[str, SigningKey] = {}
        self.published: list[str] = []
        self.omitted_members: set[str] = set()
        """Members that the published keys lack, such as `kid` or `alg`."""
        self.key_set_text: bytes | None = None
        """Answered in place of the key set when it is given."""
        self.fetches: Counter[str] = Counter()
        for alg in algorithms:
            self.add_key(f"{alg.lower()}-1", alg)

    # Keys

    def add_key(self, kid: str, alg: str = "RS256", published: bool = True) -> SigningKey:
        key = self.keys[kid] = SigningKey(kid, alg)
        if published:
            self.published.insert(0, kid)
        return key

    def hide_key(self, kid: str) -> None:
        self.published.remove(kid)

    def rotate(self, alg: str = "RS256") -> tuple[SigningKey, SigningKey]:
        """Publishes a new key of the algorithm in place of the newest one; answers (old, new)."""
        old = self.key(alg)
        new = self.add_key(f"{alg.lower()}-{len(self.keys) + 1}", alg)
        self.hide_key(old.kid)
        return old, new

    def key(self, alg: str = "RS256") -> SigningKey:
        """The newest published key of an algorithm."""
        return next(self.keys[kid] for kid in self.published if self.keys[kid].alg == alg)

    # Tokens

    def claims(self, claims: Json) -> Json:
        now = int(time.time())
        return {"iss": self.issuer, "iat": now, "exp": now + 600, **claims}

    def mint(
        self,
        claims: Json,
        alg: str = "RS256",
        kid: object = None,
        header: Json | None = None,
        key: SigningKey | None = None,
    ) -> str:
        """A token over our own claims with `claims` on top; ABSENT takes a claim or a header member away."""
        key = key or self.key(alg)
        head = {"alg": alg, "typ": "JWT", "kid": key.kid if kid is None else kid, **(header or {})}
        return canary(compact(encoded(head), encoded(self.claims(claims)), lambda text: key.sign(text, alg)))

    # HTTP

    def answer(self, request: Request) -> Answer:
        self.fetches[request.path] += 1
        if request.path == DISCOVERY:
            return Answer.json(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": self.url("/authorize"),
                    "token_endpoint": self.url("/token"),
                    "jwks_uri": self.url(KEY_SET),
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": sorted({key.alg for key in self.keys.values()}),
                    "code_challenge_methods_supported": ["S256"],
                }
            )
        if request.path == KEY_SET:
            if self.key_set_text is not None:
                return Answer(200, self.key_set_text, {"Content-Type": "application/json"})
            keys = [self.keys[kid].jwk() for kid in self.published]
            shown = [{name: value for name, value in key.items() if name not in self.omitted_members} for key in keys]
            return Answer(200, json.dumps({"keys": shown}).encode(), {"Content-Type": "application/json"})
        return Answer.json({"error": "not_found"}, 404)

    @property
    def key_set_fetches(self) -> int:
        return self.fetches[KEY_SET]
