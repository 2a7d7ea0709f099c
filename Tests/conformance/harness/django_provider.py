"""django-oauth-toolkit, OpenID Connect included, as one file: run it to make the database, serve `application` with gunicorn."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import django
from django.conf import settings

folder = Path(os.environ["PROVIDER_FOLDER"])

settings.configure(
    SECRET_KEY=hashlib.sha256(os.environ["PROVIDER_CLIENT"].encode()).hexdigest(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    LOGIN_URL="/admin/login/",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": folder / "provider.db",
            # So that two requests at once wait for each other, where SQLite would refuse the second.
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    OAUTH2_PROVIDER={
        "PKCE_REQUIRED": True,
        "REQUEST_APPROVAL_PROMPT": "force",
        "ROTATE_REFRESH_TOKEN": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
        "ACCESS_TOKEN_EXPIRE_SECONDS": 60,
        "SCOPES": {"repo:read": "Read repositories", "openid": "Know who you are", "email": "Know your address"},
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": os.environ["PROVIDER_SIGNING_KEY"],
        "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
        "OAUTH2_VALIDATOR_CLASS": f"{Path(__file__).stem}.Validator",
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],
    },
)
django.setup()

from django.contrib import admin  # noqa: E402 - only after the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Validator(OAuth2Validator):
    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        """What an ID token says beside the subject."""
        return {"email": request.user.email, "name": request.user.username.title()}


@protected_resource(scopes=["repo:read"])
def me(request: HttpRequest) -> JsonResponse:
    """Names the token by its digest, so that a caller sees which one was used without seeing it."""
    token = request.headers["Authorization"].removeprefix("Bearer ")
    user = request.resource_owner
    return JsonResponse(
        {"sub": str(user.pk), "email": user.email, "token_digest": hashlib.sha256(token.encode()).hexdigest()}
    )


urlpatterns = [
    path("admin/", admin.site.urls),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("api/me", me),
]
application = get_wsgi_application()


def populate() -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    for name, password in json.loads(os.environ["PROVIDER_USERS"]).items():
        # Staff, because the sign-in form is the one of Django's admin pages.
        User.objects.create_user(name, f"{name}@provider.test", password, is_staff=True)
    client_id, client_secret = json.loads(os.environ["PROVIDER_CLIENT"])
    Application.objects.create(
        client_id=client_id,
        client_secret=client_secret,
        name="Sallyport",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=os.environ["PROVIDER_REDIRECT_URIS"],
        post_logout_redirect_uris=os.environ["PROVIDER_LOGOUT_URI"],
        algorithm=Application.RS256_ALGORITHM,
    )


if __name__ == "__main__":
    populate()
