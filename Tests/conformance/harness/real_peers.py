"""Software that is not ours: glewlwyd as the identity provider, django-oauth-toolkit as the OAuth provider or as both."""

import base64
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import playwright.sync_api as chromium
import requests
from joserfc.jwk import RSAKey

from .browser import Browser, Page, connect
from .canaries import canary
from .jose import SigningKey
from .processes import Process
from .waiting import free_port

GLEWLWYD_SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
GLEWLWYD_MODULES = Path("/usr/lib/glewlwyd")
GLEWLWYD_PAGES = Path("/usr/share/glewlwyd/webapp")
USERS = {"alice": ["engineering", "finance"], "bob": ["support"]}
"""Who can sign in, and the groups that glewlwyd says they are in."""
DJANGO_APP = Path(__file__).with_name("django_provider.py")

REDIRECT_PATHS = ["/sdk/auth/callback", "/wallet/api/auth/callback", "/oauth/callback"]
LOGOUT_PATH = "/wallet/sign-in"
"""What an operator registers at a provider, on the address of the vault."""


def _answer(
    page: chromium.Page, user: str, password: str, name: chromium.Locator, consent: chromium.Locator, origin: str
) -> None:
    name.or_(consent).first.wait_for()
    if name.is_visible():
        name.fill(user)
        page.fill("input[type=password]", password)
        page.keyboard.press("Enter")
    consent.click()
    page.wait_for_url(lambda url: not url.startswith(f"{origin}/"))


class Glewlwyd:
    """Debian's glewlwyd with one OIDC client; alice and bob sign in by its JSON API, as its own page does."""

    client_id = "vault"
    _redirect_uri = "http://127.0.0.1:9/nobody-listens"
    _scope = "openid groups"

    def __init__(self, folder: Path, vault_url: str) -> None:
        folder.mkdir()
        port = free_port()
        self._vault_url = vault_url
        self._origin = f"http://127.0.0.1:{port}"
        self._api = f"{self._origin}/api"
        self.issuer = f"{self._api}/oidc"
        self.client_secret = canary(secrets.token_urlsafe(24))
        self._passwords = {user: canary(secrets.token_urlsafe(12)) for user in USERS}
        with sqlite3.connect(folder / "glewlwyd.db") as database:
            database.executescript(GLEWLWYD_SCHEMA.read_text())
        database.close()
        # The package's pages hold links that its own server does not follow.
        shutil.copytree(GLEWLWYD_PAGES, folder / "pages", ignore=shutil.ignore_patterns("config.json"))
        pages = {"GlewlwydUrl": "./", "LoginUrl": "login.html", "ProfileUrl": "profile.html", "lang": ["en"]}
        (folder / "pages/config.json").write_text(json.dumps(pages))
        self._write_configuration(folder, port)
        self._process = Process(["glewlwyd", "-c", folder / "glewlwyd.conf"], folder / "out.log")
        self._process.wait_for_url(f"{self._origin}/config")
        self._configure()

    def _write_configuration(self, folder: Path, port: int) -> None:
        """All of it, so that nothing depends on how the package was set up."""
        modules = {
            "user_module_path": "user",
            "user_middleware_module_path": "user_middleware",
            "client_module_path": "client",
            "user_auth_scheme_module_path": "scheme",
            "plugin_module_path": "plugin",
        }
        settings = {
            "port": port,
            "bind_address": "127.0.0.1",
            "external_url": f"{self._origin}/",
            "login_url": "login.html",
            "api_prefix": "api",
            "static_files_path": f"{folder}/pages/",
            "log_mode": "file",
            "log_level": "INFO",
            "log_file": f"{folder}/glewlwyd.log",
            "session_expiration": 3600,
            "session_key": "GLEWLWYD2_SESSION_ID",
            "admin_session_authentication": "cookie",
            "profile_session_authentication": "cookie",
            "login_api_enabled": True,
            "admin_scope": "g_admin",
            "profile_scope": "g_profile",
            "hash_algorithm": "SHA512",
            "cookie_secure": 0,
            **{name: f"{GLEWLWYD_MODULES}/{kind}" for name, kind in modules.items()},
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        kinds = {".html": "text/html", ".css": "text/css", ".js": "application/javascript", ".json": "application/json"}
        listed = ", ".join(f'{{ extension = "{end}" mime_type = "{kind}" compress = 0 }}' for end, kind in kinds.items())
        lines.append(f"static_files_mime_types = ( {listed} );")
        lines.append(f'database = {{ type = "sqlite3" path = "{folder}/glewlwyd.db" }};')
        (folder / "glewlwyd.conf").write_text("\n".join(lines) + "\n")

    def _configure(self) -> None:
        admin = requests.Session()

        def call(method: str, path: str, body: Any = None) -> Any:
            answer = admin.request(method, self._api + path, json=body, timeout=20)
            if answer.status_code != 200:
                raise RuntimeError(f"glewlwyd: {method} {path} answered {answer.status_code}: {answer.text}")
            return answer.json() if answer.text else None

        call("POST", "/auth", {"username": "admin", "password": "password"})
        users = call("GET", "/mod/user/database")
        users["parameters"]["data-format"]["groups"] = {
            "multiple": True,
            "read": True,
            "write": True,
            "profile-read": True,
            "profile-write": False,
        }
        call("PUT", "/mod/user/database", users)
        call("PUT", "/mod/user/database/reset")
        clients = call("GET", "/mod/client/database")
        clients["parameters"]["data-format"]["post_logout_redirect_uris"] = {
            "multiple": True,
            "read": True,
            "write": True,
        }
        call("PUT", "/mod/client/database", clients)
        call("PUT", "/mod/client/database/reset")
        call(
            "POST",
            "/scope/",
            {
                "name": "groups",
                "display_name": "groups",
                "password_required": False,
                "scheme": {},
                "scheme_required": {},
            },
        )
        call(
            "POST",
            "/mod/plugin/",
            {"module": "oidc", "name": "oidc", "display_name": "OIDC", "enabled": True, "parameters": self._plugin()},
        )
        for user, groups in USERS.items():
            call(
                "POST",
                "/user/",
                {
                    "username": user,
                    "name": user.title(),
                    "email": f"{user}@corp.test",
                    "password": self._passwords[user],
                    "enabled": True,
                    "scope": ["openid", "groups"],
                    "groups": groups,
                },
            )
        call(
            "POST",
            "/client/",
            {
                "client_id": self.client_id,
                "name": self.client_id,
                "client_secret": self.client_secret,
                "confidential": True,
                "enabled": True,
                "scope": ["openid"],
                "authorization_type": ["code"],
                "token_endpoint_auth_method": ["client_secret_basic"],
                "redirect_uri": [self._redirect_uri, *(self._vault_url + path for path in REDIRECT_PATHS)],
                "post_logout_redirect_uris": [self._vault_url + LOGOUT_PATH],
            },
        )

    def _plugin(self) -> dict[str, Any]:
        keys = [SigningKey("rs-1", "RS256"), SigningKey("es-1", "ES256")]
        return {
            "iss": self.issuer,
            "jwks-private": json.dumps({"keys": [key.jwk(private=True) for key in keys]}),
            "jwks-show": True,
            "default-kid": "rs-1",
            "jwt-type": "rsa",
            "jwt-key-size": "256",
            "subject-type": "public",
            "access-token-duration": 300,
            "refresh-token-duration": 3600,
            "code-duration": 60,
            "refresh-token-rolling": False,
            "auth-type-code-enabled": True,
            "auth-type-token-enabled": False,
            "auth-type-none-enabled": False,
            "auth-type-password-enabled": False,
            "auth-type-client-enabled": False,
            "auth-type-device-enabled": False,
            "auth-type-refresh-enabled": False,
            "allow-non-oidc": True,
            "pkce-allowed": True,
            "pkce-method-plain-allowed": False,
            "pkce-required": True,
            "allowed-scope": ["openid", "groups"],
            "scope": [],
            "name-claim": "mandatory",
            "name-claim-scope": [],
            "email-claim": "mandatory",
            "email-claim-scope": [],
            "scope-claim": "no",
            "scope-claim-scope": [],
            "address-claim": {"type": "no"},
            "claims": [
                {
                    "name": "groups",
                    "user-property": "groups",
                    "type": "string",
                    "mandatory": True,
                    "on-demand": False,
                    "scope": [],
                }
            ],
            "additional-parameters": [],
            "introspection-revocation-allowed": False,
            "register-client-allowed": False,
            "oauth-as-iss-id": True,
            "session-management-allowed": True,
            "session-cookie-name": "GLEWLWYD2_OIDC_SID",
            "session-cookie-expiration": 3600,
            "request-parameter-allow": False,
        }

    def sign_in(self, user: str) -> str:
        """Authorization code with PKCE; answers the ID token."""
        discovery = requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=20).json()
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self._scope,
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        browser = requests.Session()
        browser.post(
            f"{self._api}/auth", json={"username": user, "password": self._passwords[user]}, timeout=20
        ).raise_for_status()
        browser.put(
            f"{self._api}/auth/grant/{self.client_id}", json={"scope": self._scope}, timeout=20
        ).raise_for_status()
        authorize = f"{discovery['authorization_endpoint']}?{urlencode(asked)}&g_continue"
        location = browser.get(authorize, allow_redirects=False, timeout=20).headers["Location"]
        returned = dict(parse_qsl(urlsplit(location).query))
        assert returned.get("state") == asked["state"], location
        tokens = requests.post(
            discovery["token_endpoint"],
            auth=(self.client_id, self.client_secret),
            data={
                "grant_type": "authorization_code",
                "code": returned["code"],
                "redirect_uri": self._redirect_uri,
                "code_verifier": verifier,
            },
            timeout=20,
        )
        tokens.raise_for_status()
        return canary(tokens.json()["id_token"])

    def answer(self, page: chromium.Page, user: str) -> None:
        """Its sign-in page, unless the browser has a session, and its consent page, until it sends the browser away."""
        go_on = page.get_by_title("Continue to client application")
        _answer(page, user, self._passwords[user], page.locator("#username"), go_on, self._origin)

    def close(self) -> None:
        self._process.stop()


class DjangoProvider:
    """django-oauth-toolkit under gunicorn: opaque 60-second tokens, rotation, an API behind them, and ID tokens."""

    client_id = "vault"
    scope = "repo:read"

    def __init__(self, folder: Path, vault_url: str) -> None:
        folder.mkdir()
        port = free_port()
        self.host = f"127.0.0.1:{port}"
        self.origin = f"http://{self.host}"
        self.issuer = f"{self.origin}/o"
        self.client_secret = canary(secrets.token_urlsafe(32))
        self._passwords = {user: canary(secrets.token_urlsafe(12)) for user in USERS}
        environment = {
            **os.environ,
            "PYTHONPATH": str(DJANGO_APP.parent),
            "PROVIDER_FOLDER": str(folder),
            "PROVIDER_REDIRECT_URIS": " ".join(vault_url + path for path in REDIRECT_PATHS),
            "PROVIDER_LOGOUT_URI": vault_url + LOGOUT_PATH,
            "PROVIDER_SIGNING_KEY": RSAKey.generate_key(2048).as_pem(private=True).decode(),
            "PROVIDER_CLIENT": json.dumps([self.client_id, self.client_secret]),
            "PROVIDER_USERS": json.dumps(self._passwords),
        }
        subprocess.run([sys.executable, DJANGO_APP], env=environment, check=True, timeout=60)
        gunicorn = [sys.executable, "-m", "gunicorn", "--no-control-socket", "--threads", "4", "--bind", self.host]
        self._process = Process([*gunicorn, f"{DJANGO_APP.stem}:application"], folder / "gunicorn.log", env=environment)
        self._process.wait_for_url(f"{self.origin}/o/.well-known/oauth-authorization-server")

    def settings(self) -> dict[str, Any]:
        """As the Management API takes a custom provider."""
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scopes": [self.scope],
            "authorization_url": f"{self.origin}/o/authorize/",
            "token_url": f"{self.origin}/o/token/",
            "revocation_url": f"{self.origin}/o/revoke_token/",
            "userinfo_url": f"{self.origin}/api/me",
            "api_hosts": [self.host],
            "account_claim": "email",
        }

    def consent(self, page: Page, browser: Browser, user: str, says: str = "repo") -> Page:
        """From the provider's sign-in page through its consent page, which `says` so, to wherever it leads then."""
        form = page.form_with_input("password")
        assert form, f"no sign-in form at {page.url}: {page.text}"
        page = browser.submit(page, form, username=user, password=self._passwords[user])
        assert says in page.text and page.form_with_button("allow"), f"no consent form at {page.url}: {page.text}"
        return browser.press(page, "allow")

    def answer(self, page: chromium.Page, user: str) -> None:
        """Its sign-in page, unless the browser has a session, and its consent page, until it sends the browser away."""
        allow = page.get_by_role("button", name="Authorize")
        _answer(page, user, self._passwords[user], page.locator("#id_username"), allow, self.origin)

    def connect(self, connect_url: str, provider_id: str, user: str) -> Page:
        browser = Browser()
        page = self.consent(connect(connect_url, provider_id, browser), browser, user)
        return browser.press(page, "confirm") if page.form_with_button("confirm") else page

    def call_api(self, access_token: str) -> requests.Response:
        return requests.get(f"{self.origin}/api/me", headers={"Authorization": f"Bearer {access_token}"}, timeout=20)

    def introspect(self, token: str) -> dict[str, Any]:
        credentials = (self.client_id, self.client_secret)
        answer = requests.post(f"{self.origin}/o/introspect/", data={"token": token}, auth=credentials, timeout=20)
        answer.raise_for_status()
        return answer.json()

    def close(self) -> None:
        self._process.stop()
