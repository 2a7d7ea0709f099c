"""A development identity provider: discovery document, key set, and tokens of every kind, good and bad."""

import base64
import hashlib
import json
import secrets
import time
from collections import Counter
from urllib.parse import unquote_plus, urlencode

from .canaries import canary
from .jose import Json, SigningKey, base64url, compact, encoded
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
        # Browser sign-in
        self.client_id = "vault-client"
        self.client_secret = canary(secrets.token_urlsafe(24))
        self.person = "idp|alice"
        """Who sits at the browser and is signed in at once."""
        self.auth_methods = ["client_secret_basic", "client_secret_post"]
        self.client_auth_method: str | None = None
        """The one method that this client was registered for, whatever else the discovery document offers."""
        self.names_issuer = False
        """Whether answers carry `iss` (RFC 9207), and the document says so."""
        self.has_logout = False
        """Whether there is an end_session_endpoint."""
        self.callback_changes: dict[str, str | None] = {}
        """Members of the answer in the browser, changed or (None) left out."""
        self.id_token_claims: Json = {}
        self.id_token_key: SigningKey | None = None
        self.token_answer: Answer | None = None
        """Answered by the token endpoint in place of everything else."""
        self.token_requests: list[Request] = []
        self._codes: dict[str, dict[str, str]] = {}
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
                    "token_endpoint_auth_methods_supported": self.auth_methods,
                    "authorization_response_iss_parameter_supported": self.names_issuer,
                    **({"end_session_endpoint": self.url("/logout")} if self.has_logout else {}),
                }
            )
        if request.path == "/logout" and self.has_logout:
            asked = dict(request.query)
            return Answer.redirect(f"{asked['post_logout_redirect_uri']}?{urlencode({'state': asked['state']})}")
        if request.path == "/authorize":
            return self._authorize(dict(request.query))
        if request.path == "/token":
            return self._token(request)
        if request.path == KEY_SET:
            if self.key_set_text is not None:
                return Answer(200, self.key_set_text, {"Content-Type": "application/json"})
            keys = [self.keys[kid].jwk() for kid in self.published]
            shown = [{name: value for name, value in key.items() if name not in self.omitted_members} for key in keys]
            return Answer(200, json.dumps({"keys": shown}).encode(), {"Content-Type": "application/json"})
        return Answer.json({"error": "not_found"}, 404)

    # Browser sign-in

    def _authorize(self, asked: dict[str, str]) -> Answer:
        problems = [
            asked.get("client_id") != self.client_id,
            asked.get("response_type") != "code",
            "openid" not in asked.get("scope", "").split(),
            asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"),
            not asked.get("state") or not asked.get("nonce"),
        ]
        if any(problems):
            return Answer.json({"error": "invalid_request", "problems": problems}, 400)
        code = canary(secrets.token_urlsafe(24))
        self._codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.issuer if self.names_issuer else None}
        answer |= self.callback_changes
        given = {name: value for name, value in answer.items() if value is not None}
        return Answer.redirect(f"{asked['redirect_uri']}?{urlencode(given)}")

    def _token(self, request: Request) -> Answer:
        self.token_requests.append(request)
        if self.token_answer is not None:
            return self.token_answer
        form = request.form()
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            method = "client_secret_basic"
            client = [unquote_plus(part) for part in base64.b64decode(credentials).decode().split(":", 1)]
        else:
            method = "client_secret_post"
            client = [form.get("client_id"), form.get("client_secret")]
        if client != [self.client_id, self.client_secret] or self.client_auth_method not in (None, method):
            return Answer.json({"error": "invalid_client"}, 401)
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if not asked or asked["redirect_uri"] != form.get("redirect_uri") or asked["code_challenge"] != challenge:
            return Answer.json({"error": "invalid_grant"}, 400)
        name = self.person.split("|")[-1]
        claims = {"sub": self.person, "email": f"{name}@corp.test", "name": name.title(), "aud": self.client_id}
        id_token = self.mint({**claims, "nonce": asked["nonce"], **self.id_token_claims}, key=self.id_token_key)
        access_token = canary(secrets.token_urlsafe(24))
        return Answer.json({"access_token": access_token, "token_type": "Bearer", "id_token": id_token})

    @property
    def key_set_fetches(self) -> int:
        return self.fetches[KEY_SET]
