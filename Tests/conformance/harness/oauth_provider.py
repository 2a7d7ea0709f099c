"""A development OAuth provider with an API behind its tokens. It keeps what it was asked, for the tests to look at."""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote_plus, urlencode

from .canaries import canary
from .jose import base64url
from .local_http import Answer, LocalServer, Request


@dataclass
class Family:
    """What one consent made: the tokens live and die together when they are revoked."""

    account: str
    scope: str
    access_tokens: dict[str, float] = field(default_factory=dict)
    refresh_token: str | None = None

    @property
    def newest_access_token(self) -> str:
        return list(self.access_tokens)[-1]


@dataclass(frozen=True)
class Code:
    family: Family
    redirect_uri: str
    challenge: str


class OAuthProvider(LocalServer):
    def __init__(self, client_id: str = "sallyport", expires_in: int | None = 3600) -> None:
        super().__init__()
        self.client_id = client_id
        self.client_secret = canary(secrets.token_urlsafe(24))
        # Behaviour that a test may set
        self.account = "alice"
        """Who sits at the browser and consents at once."""
        self.denies = False
        self.expires_in = expires_in
        self.refreshed_expires_in: int | None = None
        """The life of refreshed tokens where it differs from the first ones'."""
        self.token_format = "json"
        self.token_failures: list[Answer] = []
        """Answered by the token endpoint before anything else, the first one first."""
        self.revocation_answer: Answer | None = None
        """Answered by the revocation endpoint in place of everything else."""
        self.revocation_delay_seconds = 0.0
        self.echoes_credential = False
        """Whether the API tells what it was sent, the credential included."""
        self.userinfo_failures = 0
        """How many questions about the person are answered with 503."""
        self.token_delay_seconds = 0.0
        self.api_delay_seconds = 0.0
        self.accepted_headers: set[tuple[str, str]] = set()
        """Static credentials that the API takes too, as (header in lower case, value)."""
        # What happened
        self.authorizations: list[dict[str, str]] = []
        self.token_requests: list[dict[str, str]] = []
        self.calls: list[Request] = []
        self.revocations: list[str] = []
        self.families: list[Family] = []
        self._codes: dict[str, Code] = {}
        self._lock = threading.Lock()
        self._gates: dict[str, threading.Event] = {}

    @property
    def refreshes(self) -> int:
        return sum(form.get("grant_type") == "refresh_token" for form in self.token_requests)

    def newest_token(self, account: str = "alice") -> str:
        return next(f for f in reversed(self.families) if f.account == account and f.access_tokens).newest_access_token

    @contextmanager
    def holding(self, what: str) -> Iterator[None]:
        """Requests to `what`, which is `token` or `api`, are noted meanwhile, and answered once it is over."""
        gate = self._gates[what] = threading.Event()
        try:
            yield
        finally:
            del self._gates[what]
            gate.set()

    def _pass(self, what: str) -> None:
        if gate := self._gates.get(what):
            gate.wait(20)

    def answer(self, request: Request) -> Answer:
        if request.path.startswith("/api/"):
            return self._api(request)
        route = {
            "/authorize": self._authorize,
            "/token": self._token,
            "/revoke": self._revoke,
            "/userinfo": self._userinfo,
        }
        handler = route.get(request.path)
        if handler is None:
            return Answer.json({"error": "not_found"}, 404)
        if request.path == "/revoke":
            time.sleep(self.revocation_delay_seconds)
        if request.path == "/token":
            self.token_requests.append(request.form())
            time.sleep(self.token_delay_seconds)
            self._pass("token")
        with self._lock:
            return handler(request)

    # OAuth

    def _authorize(self, request: Request) -> Answer:
        asked = dict(request.query)
        self.authorizations.append(asked)
        if asked.get("client_id") != self.client_id or asked.get("code_challenge_method") != "S256":
            return Answer.json({"error": "invalid_request"}, 400)
        if self.denies:
            answer = {"error": "access_denied", "error_description": "the user said no"}
        else:
            family = Family(self.account, asked.get("scope", ""))
            code = canary(secrets.token_urlsafe(24))
            self._codes[code] = Code(family, asked["redirect_uri"], asked["code_challenge"])
            answer = {"code": code}
        return Answer.redirect(f"{asked['redirect_uri']}?{urlencode({**answer, 'state': asked['state']})}")

    def _token(self, request: Request) -> Answer:
        form = request.form()
        if self.token_failures:
            return self.token_failures.pop(0)
        if not self._is_our_client(request, form):
            return Answer.json({"error": "invalid_client"}, 401)
        if form.get("grant_type") == "authorization_code":
            code = self._codes.pop(form.get("code", ""), None)
            verifier = form.get("code_verifier", "").encode()
            if code is None or code.redirect_uri != form.get("redirect_uri"):
                return Answer.json({"error": "invalid_grant"}, 400)
            if base64url(hashlib.sha256(verifier).digest()) != code.challenge:
                return Answer.json({"error": "invalid_grant", "error_description": "wrong verifier"}, 400)
            self.families.append(code.family)
            return self._issue(code.family, self.expires_in)
        if form.get("grant_type") == "refresh_token":
            refresh_token = form.get("refresh_token")
            family = next((f for f in self.families if refresh_token and f.refresh_token == refresh_token), None)
            if family is None:
                return Answer.json({"error": "invalid_grant"}, 400)
            return self._issue(family, self.refreshed_expires_in or self.expires_in)
        return Answer.json({"error": "unsupported_grant_type"}, 400)

    def _issue(self, family: Family, expires_in: int | None) -> Answer:
        access_token = canary(secrets.token_urlsafe(32))
        family.access_tokens[access_token] = time.time() + (expires_in or 3600)
        family.refresh_token = canary(secrets.token_urlsafe(32))
        members = {
            "access_token": access_token,
            "token_type": "bearer",
            "refresh_token": family.refresh_token,
            "scope": family.scope,
        }
        if expires_in is not None:
            members["expires_in"] = expires_in
        if self.token_format == "form":
            return Answer(200, urlencode(members).encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        return Answer.json(members, Cache_Control="no-store")

    def _is_our_client(self, request: Request, form: dict[str, str]) -> bool:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            # RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
            pair = [unquote_plus(part) for part in base64.b64decode(credentials).decode().split(":", 1)]
        else:
            pair = [form.get("client_id"), form.get("client_secret")]
        return pair == [self.client_id, self.client_secret]

    def _revoke(self, request: Request) -> Answer:
        if self.revocation_answer is not None:
            return self.revocation_answer
        form = request.form()
        if not self._is_our_client(request, form):
            return Answer.json({"error": "invalid_client"}, 401)
        token = form.get("token", "")
        self.revocations.append(token)
        for family in self.families:
            if token == family.refresh_token or token in family.access_tokens:
                family.refresh_token = None
                family.access_tokens.clear()
        return Answer()

    # The API

    def _family_of(self, request: Request) -> Family | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return None
        return next((f for f in self.families if f.access_tokens.get(token, 0) > time.time()), None)

    def _userinfo(self, request: Request) -> Answer:
        if self.userinfo_failures > 0:
            self.userinfo_failures -= 1
            return Answer.json({"error": "server_error"}, 503)
        family = self._family_of(request)
        if family is None:
            return Answer.json({"error": "invalid_token"}, 401)
        return Answer.json({"sub": f"acct-{family.account}", "email": f"{family.account}@provider.test"})

    def _api(self, request: Request) -> Answer:
        self.calls.append(request)
        time.sleep(self.api_delay_seconds)
        self._pass("api")
        family = self._family_of(request)
        sent = {(name.lower(), value) for name, value in request.headers.items()}
        if family is None and not sent & self.accepted_headers:
            return Answer.json({"error": "invalid_token"}, 401, WWW_Authenticate='Bearer error="invalid_token"')
        match request.path.split("/")[2:]:
            case ["status", code]:
                return Answer.json({"status": int(code)}, int(code))
            case ["needs-scope", scope]:
                challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
                return Answer.json({"error": "insufficient_scope"}, 403, WWW_Authenticate=challenge)
            case ["redirect"]:
                return Answer.redirect(dict(request.query)["to"])
            case _:
                told = {"X-Seen": request.headers.get("Authorization", "")} if self.echoes_credential else {}
                return Answer.json(
                    {
                        "seen": told,
                        "account": family.account if family else None,
                        "method": request.method,
                        "path": request.path,
                        "query": request.query,
                        "body": request.body.decode(),
                    },
                    **{name.replace("-", "_"): value for name, value in told.items()},
                )
