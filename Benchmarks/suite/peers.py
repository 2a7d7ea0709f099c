"""Python servers that keep secrets for others, as yardsticks: each reads one stored secret again and again."""

import base64
import json
import os
import secrets
import subprocess
from pathlib import Path

import requests

from .calls import plain
from .subjects import Nginx, Peer, venv

_WORKERS = 2


class Barbican(Peer):
    """
    OpenStack's key manager on SQLite, its secrets encrypted by its own software plug-in. It asks nobody who they are here,
    which is faster than an installation that does.
    """

    name = "barbican"
    _PROJECT = {"X-Project-Id": "bench"}

    # Three things that its own start-up leaves to others: the prefix of the API, an id that its middleware reads from each
    # request, and a path for the settings.
    _APPLICATION = """
import os, uuid
from barbican.common import config
config.CONF([], project="barbican", prog="barbican-api", default_config_files=[os.environ["BARBICAN_SETTINGS"]])
from barbican.api.app import create_main_app
from barbican.api.middleware.context import UnauthenticatedContextMiddleware
served = UnauthenticatedContextMiddleware(create_main_app({}))


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if not path.startswith("/v1/"):
        start_response("200 OK", [])
        return [b""]
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/v1", path[3:]
    environ["webob.adhoc_attrs"] = {"request_id": f"req-{uuid.uuid4()}"}
    return served(environ, start_response)
"""

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder)
        self._programs = venv(cache, "barbican==23.0.0", "gunicorn==27.0.1", "paste==3.10.1", "pastedeploy==3.1.0")
        # Its encryption plug-in looks for settings in the home folder and nowhere else.
        settings = self.folder / ".barbican/barbican.conf"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(self._settings(creates_tables=True))
        (self.folder / "application.py").write_text(self._APPLICATION)
        self._environment = {
            **os.environ,
            "HOME": str(self.folder),
            "BARBICAN_SETTINGS": str(settings),
            "PYTHONPATH": str(self.folder),
        }
        # Once, by one process: workers that start together fall over each other.
        self._run("python", "-c", "import application")
        settings.write_text(self._settings(creates_tables=False))

    def _settings(self, creates_tables: bool) -> str:
        self._key = getattr(self, "_key", base64.b64encode(secrets.token_bytes(32)).decode())
        database = f"sqlite:///{self.folder}/barbican.db"
        return f"""
[DEFAULT]
host_href = {self.origin}
log_file = {self.folder}/barbican.log
db_auto_create = {creates_tables}
sql_connection = {database}
[database]
connection = {database}
[oslo_policy]
enforce_scope = False
enforce_new_defaults = False
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = {self._key}
"""

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"barbican could not be set up:\n{done.stdout}{done.stderr}")

    def __enter__(self) -> "Barbican":
        served = ["--workers", str(_WORKERS), "--bind", f"127.0.0.1:{self.port}", "application:application"]
        self.start([self._programs / "gunicorn", "--no-control-socket", *served], ready="/", env=self._environment)
        stored = {"name": "token", "payload": secrets.token_urlsafe(40), "payload_content_type": "text/plain"}
        made = requests.post(f"{self.origin}/v1/secrets", json=stored, headers=self._PROJECT, timeout=30)
        made.raise_for_status()
        self.path = made.json()["secret_ref"].removeprefix(self.origin) + "/payload"
        self.call = plain(self.origin + self.path, Accept="text/plain", **self._PROJECT)
        read = requests.get(self.origin + self.path, headers={**self._PROJECT, "Accept": "text/plain"}, timeout=30)
        assert read.text == stored["payload"], read.text
        return self


class ContextForge(Peer):
    """An MCP gateway that puts a stored token into the calls that it makes for others: nearest to the vault's proxy."""

    name = "contextforge"
    path = "/rpc"

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder)
        self._programs = venv(cache, "mcp-contextforge-gateway==1.0.7.post20260921", "gunicorn==27.0.1")
        self._upstream = Nginx(self.folder, b'{"ok": true}')

    def __enter__(self) -> "ContextForge":
        self._upstream.__enter__()
        password = f"Aa1!{secrets.token_urlsafe(18)}"
        served = [
            "--workers",
            str(_WORKERS),
            "--worker-class",
            "uvicorn.workers.UvicornWorker",
            "--bind",
            f"127.0.0.1:{self.port}",
        ]
        environment = {**os.environ, **self._settings(password)}
        self.start(
            [self._programs / "gunicorn", "--no-control-socket", *served, "mcpgateway.main:app"],
            ready="/health",
            env=environment,
        )
        self._register(password)
        return self

    def _settings(self, password: str) -> dict[str, str]:
        off = ["MCPGATEWAY_UI_ENABLED", "OTEL_ENABLE_OBSERVABILITY", "OBSERVABILITY_ENABLED", "PLUGINS_ENABLED"]
        off += ["DB_METRICS_RECORDING_ENABLED", "PASSWORD_CHANGE_ENFORCEMENT_ENABLED"]
        # They would lock the one caller out after a hundred calls.
        off += ["RATE_LIMITING_ENABLED", "RATE_LIMIT_LOCKOUT_ENABLED"]
        on = ["MCPGATEWAY_ADMIN_API_ENABLED", "SSRF_ALLOW_LOCALHOST", "SSRF_ALLOW_PRIVATE_NETWORKS"]
        return {
            # For its locks: those of an earlier run are none of this one's.
            "TMPDIR": str(self.folder),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{self.folder}/gateway.db",
            "CACHE_TYPE": "memory",
            "LOG_LEVEL": "ERROR",
            "JWT_SECRET_KEY": secrets.token_hex(32),
            "AUTH_ENCRYPTION_SECRET": secrets.token_hex(32),
            "BASIC_AUTH_USER": "admin",
            "BASIC_AUTH_PASSWORD": password,
            "PLATFORM_ADMIN_EMAIL": "admin@example.com",
            "PLATFORM_ADMIN_PASSWORD": password,
            "DEFAULT_USER_PASSWORD": password,
            "TOOL_RATE_LIMIT": "100000000",
            "HEALTH_CHECK_INTERVAL": "3600",
            **dict.fromkeys(off, "false"),
            **dict.fromkeys(on, "true"),
        }

    def _register(self, password: str) -> None:
        """Signs in, stores a tool with its token, and calls it once."""
        signed_in = requests.post(
            f"{self.origin}/auth/login", json={"email": "admin@example.com", "password": password}, timeout=30
        )
        signed_in.raise_for_status()
        authorization = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        tool = {
            "name": "echo",
            "url": self._upstream.origin + "/echo",
            "description": "echo",
            "integration_type": "REST",
            "request_type": "GET",
            "input_schema": {"type": "object", "properties": {}},
            "auth_type": "bearer",
            "auth_token": secrets.token_urlsafe(40),
        }
        body = {"tool": tool, "team_id": None, "visibility": "public"}
        requests.post(f"{self.origin}/tools", json=body, headers=authorization, timeout=30).raise_for_status()
        call = json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
        ).encode()
        self.call = plain(self.origin + self.path, "POST", call, **authorization)
        called = requests.post(
            self.origin + self.path,
            data=call,
            headers={**authorization, "Content-Type": "application/json"},
            timeout=30,
        )
        assert called.ok and "error" not in called.json(), called.text

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._upstream.__exit__()
