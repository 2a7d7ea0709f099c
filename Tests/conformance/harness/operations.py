"""What the operations of the Management API take, for tests that walk all of them."""

import re
from typing import Any

from .world import PROVIDER, World


def management_bodies(world: World) -> dict[str, dict[str, Any]]:
    """Templates of the bodies, by method and path of the OpenAPI document; the others take no fields."""
    provider = {
        "client_id": "c",
        "client_secret": "s",
        "scopes": ["a"],
        "display_name": "Acme",
        "authorization_url": world.oauth.url("/authorize"),
        "token_url": world.oauth.url("/token"),
        "revocation_url": world.oauth.url("/revoke"),
        "userinfo_url": world.oauth.url("/userinfo"),
        "api_hosts": [world.oauth.host],
        "pkce": "S256",
        "token_auth": "client_secret_basic",
        "account_claim": "email",
    }
    secret = {
        "slug": "s",
        "name": "S",
        "credential_type": "api_key",
        "value": {"key": "0123456789"},
        "allowed_hosts": ["api.example.test"],
        "injection": {"header": "X-Key", "format": "{token}", "additional": []},
    }
    key = {
        "name": "k",
        "scopes": ["tokens:retrieve"],
        "key_type": "runtime",
        "cidr_allowlist": ["10.0.0.0/8"],
        "rate_limit_rpm": 10,
        "expires_at": "2035-01-01T00:00:00Z",
    }
    policy = {
        "allowed_groups": ["eng"],
        "allowed_roles": ["admin"],
        "time": {"timezone": "America/New_York", "windows": [{"days": ["mon"], "start": "22:00", "end": "06:00"}]},
        "ip_allowlist": ["203.0.113.0/24"],
        "methods": ["GET"],
        "paths": ["/v1/**"],
        "rate_limit": {"requests": 60, "per_seconds": 60, "per": "grant"},
        "grant_ttl": {"default_seconds": 3600, "max_seconds": 86400},
    }
    app = "/api/v1/apps/{app_id}"
    return {
        "POST /api/v1/apps": {"name": "n", "website_url": "https://example.test", "organization_id": None},
        f"PATCH {app}": {"name": "n", "website_url": "https://example.test"},
        f"PATCH {app}/branding": {"accent_color": "#1f5f5b", "logo": "R0lGODlhAQABAAAAACw="},
        f"POST {app}/keys": key,
        f"POST {app}/keys/{{key_id}}/rotate": {"overlap_days": 1},
        f"POST {app}/identity-provider/discover": {"issuer_url": world.oauth.url("/nothing")},
        f"POST {app}/identity-provider": {
            "issuer_url": world.idp.issuer,
            "idp_type": "custom_oidc",
            "audience": "a",
            "user_id_claim": "sub",
            "group_claim": "groups",
            "role_claim": "roles",
        },
        f"PATCH {app}/identity-provider": {"group_claim": "g", "audience": "a", "user_id_claim": "sub"},
        f"PUT {app}/oauth-providers/{{provider_id}}": provider,
        f"POST {app}/managed-secrets": secret,
        f"PUT {app}/managed-secrets/{{secret_id}}/value": {"key": "0123456789"},
        f"PUT {app}/policies/{{provider_id}}": policy,
        f"POST {app}/users/{{user_id}}/suspend": {"reason": "r"},
        f"POST {app}/grants/{{grant_id}}/revoke": {"reason": "r"},
    }


def management_address(world: World, template: str, **ids: str) -> str:
    """The template with ids that exist where the world has them, or they are given."""
    known = {"app_id": world.app_id, "provider_id": PROVIDER, **ids}
    return re.sub(r"{(\w+)}", lambda name: known.get(name[1], "00000000-0000-4000-8000-000000000000"), template)
