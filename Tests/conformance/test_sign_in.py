"""Users sign in at the app's identity provider in a browser, and the app gets their token: the SDK's `authenticate()`."""

import time
import webbrowser
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from alter_sdk import AlterSDKError, BackendError, ConnectConfigError, GrantNotFoundError

from harness import browser
from harness.canaries import canary
from harness.jose import SigningKey
from harness.local_http import Answer
from harness.management import Management
from harness.sdk import in_background, wait
from harness.world import PROVIDER, World


def configure(world: World) -> World:
    body = {"client_id": world.idp.client_id, "client_secret": world.idp.client_secret}
    world.management.put(f"{world.path}/identity-provider/sign-in", body)
    return world


@pytest.fixture
def ready(world):
    return configure(world)


def visit(url: str) -> requests.Response:
    """A browser of its own that follows every redirect."""
    return requests.Session().get(url, timeout=20)


def outcome(world: World, session, **options):
    return wait(world.app.poll_auth_session(session.session_token, **{"timeout": 6, "poll_interval": 0.1, **options}))


def sign_in(world: World):
    session = wait(world.app.create_auth_session())
    page = visit(session.auth_url)
    return session, page


def failure(world: World) -> str:
    """The code that reaches the app when a sign-in does not work out."""
    session, page = sign_in(world)
    assert page.status_code == 200 and "You were not signed in" in page.text, page.text
    token = session.session_token
    told = world.signer().send("POST", "/sdk/auth/poll", {"session_token": token}).json()
    assert told["status"] == "error" and told["error_message"]
    assert world.management.items(f"{world.path}/users") == []
    return told["error_code"]


# The journey


def test_authenticate_opens_the_browser_and_everything_after_it_is_done_as_that_user(ready, monkeypatch):
    world = ready
    monkeypatch.setattr(webbrowser, "open", lambda url, *_, **__: bool(visit(url)))
    result = wait(world.app.authenticate(timeout=20))
    canary(result.user_token)
    assert result.user_info["sub"] == world.subject() and result.user_info["email"] == "alice@corp.test"
    with pytest.raises(GrantNotFoundError):
        wait(world.app.request("GET", world.echo, provider=PROVIDER))
    session = wait(world.app.create_connect_session(allowed_providers=[PROVIDER]))
    browser.connect(session.connect_url, PROVIDER)
    assert wait(world.app.request("GET", world.echo, provider=PROVIDER)).status_code == 200
    assert world.user()["status"] == "active" and world.user()["display_name"] == "Alice"
    locked = world.management.get(f"{world.path}/identity-provider")
    assert locked["claims_locked"] and locked["first_sign_in_at"]


def test_an_id_token_of_the_sign_in_is_good_beside_the_apps_own_audience(server, management):
    world = configure(World(server, management, audience="https://api.example.test"))
    session, _ = sign_in(world)
    token = outcome(world, session).user_token
    assert wait(world.app.verify_user_token(token)) == world.subject()
    assert wait(world.app.verify_user_token(world.jwt(aud="https://api.example.test"))) == world.subject()
    assert wait(world.app.verify_user_token(world.jwt(aud="somebody-else"))) is None
    world.close()


def test_the_addresses_are_known_before_anything_is_saved_and_the_secret_is_never_told(world, management):
    before = management.get(f"{world.path}/identity-provider")
    assert before["sign_in"] is None
    saved = management.put(
        f"{world.path}/identity-provider/sign-in",
        {"client_id": world.idp.client_id, "client_secret": world.idp.client_secret, "scopes": ["email"]},
    )
    base = world.server.url
    assert saved == {
        "client_id": world.idp.client_id,
        "redirect_uris": [f"{base}/sdk/auth/callback", f"{base}/wallet/api/auth/callback"],
        "wallet_logout_url": f"{base}/wallet/sign-in",
    }
    after = management.get(f"{world.path}/identity-provider")
    assert after["sign_in"] == {"client_id": world.idp.client_id, "scopes": ["openid", "email"]}
    assert {name: after[name] for name in ("redirect_uris", "wallet_logout_url")} == {
        name: before[name] for name in ("redirect_uris", "wallet_logout_url")
    }


@pytest.mark.parametrize(
    "methods, header",
    [(["client_secret_basic"], True), (["client_secret_post"], False), (["client_secret_basic", "client_secret_post"], False)],
    ids=["basic", "post", "both"],
)
def test_the_client_says_who_it_is_as_the_provider_wants_it(server, management, methods, header):
    world = World(server, management)
    world.management.delete(f"{world.path}/identity-provider")
    world.idp.auth_methods = methods
    world.idp.client_secret = canary("s3cret+/=& :%\u00e9-for-the-client")
    world.management.post(f"{world.path}/identity-provider", {"issuer_url": world.idp.issuer})
    configure(world)
    session, _ = sign_in(world)
    assert outcome(world, session).user_info["sub"] == world.subject()
    assert bool(world.idp.token_requests[-1].headers.get("Authorization")) == header
    world.close()


@pytest.mark.parametrize("method, tries", [("client_secret_post", 1), ("client_secret_basic", 2), ("none", 2)])
def test_credentials_refused_one_way_are_sent_the_other_way_and_no_more(ready, method, tries):
    ready.idp.client_auth_method = method
    if method == "none":
        assert failure(ready) == "invalid_client"
    else:
        session, _ = sign_in(ready)
        assert outcome(ready, session).user_info["sub"] == ready.subject()
    assert len(ready.idp.token_requests) == tries


def test_a_code_that_is_refused_is_not_sent_again(ready):
    ready.idp.token_answer = Answer.json({"error": "invalid_grant"}, 400)
    assert failure(ready) == "invalid_grant"
    assert len(ready.idp.token_requests) == 1


def test_an_app_without_a_sign_in_client_is_told_what_is_missing(world):
    with pytest.raises(ConnectConfigError) as refused:
        wait(world.app.create_auth_session())
    assert refused.value.details["error"] == "idp_signin_not_configured"
    assert refused.value.details["details"]["reason"] == "missing_client_id"


# Polling


def test_a_held_poll_answers_as_soon_as_the_user_is_back_and_keeps_nobody_else_waiting(ready):
    world = ready
    session = wait(world.app.create_auth_session())
    started = time.monotonic()
    held = [
        in_background(world.app.poll_auth_session(session.session_token, timeout=60, poll_interval=40))
        for _ in range(100)
    ]
    time.sleep(1)
    assert world.server.is_healthy() and not any(poll.done() for poll in held)
    visit(session.auth_url)
    tokens = {poll.result(30).user_token for poll in held}
    assert len(tokens) == 1 and time.monotonic() - started < 20


def test_a_stop_waits_for_nobody_who_only_waits(new_server):
    new_server.start()
    world = configure(World(new_server, Management(new_server.url, new_server.create_operator().pat)))
    session = wait(world.app.create_auth_session())
    body = {"session_token": session.session_token, "wait_ms": 15_000}
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(world.signer().send, "POST", "/sdk/auth/poll", body)
        time.sleep(1.5)
        assert not held.done()
        started = time.monotonic()
        assert new_server.stop() == 0
        assert time.monotonic() - started < 8
        assert held.result().json()["status"] == "pending"
    world.close()


def test_a_session_is_read_only_by_the_app_that_opened_it(ready, foreign_world):
    session, _ = sign_in(ready)
    with pytest.raises(AlterSDKError):
        outcome(foreign_world, session, timeout=1)
    for token in session.session_token, "nonsense", session.session_token[:-1]:
        answer = foreign_world.signer().send("POST", "/sdk/auth/poll", {"session_token": token})
        assert (answer.status, answer.json()) == (200, {"status": "expired"})
    assert outcome(ready, session).user_token
    assert outcome(ready, session).user_token, "an answer that was lost can be asked for again"


# What can go wrong


def test_a_denial_reaches_the_app(ready):
    ready.idp.callback_changes = {"code": None, "error": "access_denied", "error_description": "<script>"}
    assert failure(ready) == "access_denied"


@pytest.mark.parametrize("error", ["user_deprovisioned", "identity_provider_inactive", "<b>", "x" * 5000])
def test_a_provider_cannot_speak_in_the_vaults_words(ready, error):
    ready.idp.callback_changes = {"code": None, "error": error}
    assert failure(ready) == "provider_error"


def test_row_31_an_answer_of_another_issuer_is_nobodys(ready):
    ready.idp.callback_changes = {"iss": "https://evil.example"}
    assert failure(ready) == "issuer_mismatch"
    assert ready.idp.token_requests == [], "the code was sent somewhere"


def test_row_31_an_issuer_that_names_itself_must(server, management):
    world = World(server, management)
    management.delete(f"{world.path}/identity-provider")
    world.idp.names_issuer = True
    management.post(f"{world.path}/identity-provider", {"issuer_url": world.idp.issuer})
    configure(world)
    session, _ = sign_in(world)
    assert outcome(world, session).user_token
    world.idp.person = "idp|bob"
    world.idp.callback_changes = {"iss": None}
    second, page = sign_in(world)
    assert "not signed in" in page.text
    world.close()


@pytest.mark.parametrize(
    "claims, code",
    [
        ({"nonce": "another"}, "nonce_mismatch"),
        ({"nonce": None}, "nonce_mismatch"),
        ({"aud": "another-client"}, "jwt_validation_error"),
        ({"aud": ["vault-client", "another"]}, "jwt_validation_error"),
        ({"azp": "another"}, "jwt_validation_error"),
        ({"azp": 7}, "jwt_validation_error"),
        ({"iss": "https://evil.example"}, "jwt_validation_error"),
        ({"exp": 1}, "jwt_validation_error"),
        ({"events": {}}, "jwt_validation_error"),
        ({"sub": ""}, "jwt_validation_error"),
    ],
    ids=lambda value: str(value),
)
def test_row_33_an_id_token_that_is_not_for_this_sign_in_signs_nobody_in(ready, claims, code):
    ready.idp.id_token_claims = claims
    assert failure(ready) == code


def test_an_id_token_of_a_foreign_key_signs_nobody_in(ready):
    ready.idp.id_token_key = SigningKey("rs256-1", "RS256")
    assert failure(ready) == "jwt_validation_error"


@pytest.mark.parametrize(
    "answer, code",
    [
        (Answer.json({"error": "invalid_grant"}, 400), "invalid_grant"),
        (Answer.json({"access_token": "a", "token_type": "Bearer"}), "invalid_response"),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), "invalid_response"),
        (Answer.json({"error": "server_error"}, 503), "service_unavailable"),
        (Answer(302, b"", {"Location": "https://evil.example/"}), "service_unavailable"),
    ],
    ids=["refused", "no-id-token", "a-page", "in-trouble", "a-redirect"],
)
def test_a_token_endpoint_that_does_not_play_along_signs_nobody_in(ready, answer, code):
    ready.idp.token_answer = answer
    assert failure(ready) == code


def test_trouble_of_the_provider_is_an_error_to_try_again_after(ready):
    ready.idp.token_answer = Answer.json({}, 503)
    session, _ = sign_in(ready)
    with pytest.raises(BackendError) as refused:
        outcome(ready, session)
    assert "service_unavailable" in str(refused.value.details)


def test_row_29_a_state_works_once_in_the_browser_that_began(ready):
    session = wait(ready.app.create_auth_session())
    mine = requests.Session()
    to_provider = mine.get(session.auth_url, allow_redirects=False, timeout=10).headers["Location"]
    back = mine.get(to_provider, allow_redirects=False, timeout=10).headers["Location"]
    for stranger in requests.Session(), requests.Session():
        assert stranger.get(back, timeout=10).status_code == 400
    for bent in back.replace("state=", "state=x"), back.split("?")[0], back + "&code=again", back.split("&state")[0]:
        assert mine.get(bent, timeout=10).status_code == 400
    assert "You are signed in" in mine.get(back, timeout=10).text
    assert mine.get(back, timeout=10).status_code == 400
    assert outcome(ready, session).user_token


@pytest.mark.parametrize("action, code", [("suspend", "user_suspended"), ("deprovision", "user_deprovisioned")])
def test_who_is_suspended_or_gone_is_not_signed_in_and_a_finished_sign_in_is_taken_back(ready, action, code):
    world = ready
    finished, _ = sign_in(world)
    world.management.post(f"{world.path}/users/{world.user()['id']}/{action}", {"reason": "test"})
    late, page = sign_in(world)
    assert "not signed in" in page.text
    for session in finished, late:
        told = world.signer().send("POST", "/sdk/auth/poll", {"session_token": session.session_token}).json()
        assert (told["status"], told["error_code"]) == ("error", code)


def test_removing_the_identity_provider_ends_sign_ins_under_way(ready):
    session = wait(ready.app.create_auth_session())
    ready.management.delete(f"{ready.path}/identity-provider")
    assert visit(session.auth_url).status_code == 404
    with pytest.raises(BackendError) as refused:
        outcome(ready, session)
    assert "identity_provider_inactive" in str(refused.value.details)


def test_of_fifty_racing_first_sign_ins_and_claim_edits_one_order_wins(server, management):
    world = World(server, management)
    path = f"{world.path}/identity-provider"

    def edit(number: int) -> str:
        try:
            management.call("PATCH", path, {"group_claim": f"claim{number}"})
            return f"claim{number}"
        except Exception as refused:
            assert "claim_mappings_locked" in str(refused), refused
            return ""

    tokens = [world.jwt(f"user{n}", **{f"claim{m}": [f"group{m}"] for m in range(50)}) for n in range(50)]
    with ThreadPoolExecutor(100) as pool:
        edits = [pool.submit(edit, number) for number in range(50)]
        signed = [pool.submit(lambda t=t: wait(world.app.verify_user_token(t))) for t in tokens]
        accepted = [name for edit in edits if (name := edit.result())]
        [future.result() for future in signed]
    final = management.get(path)["group_claim"]
    assert final == (accepted[-1] if accepted else None) or final in accepted
    expected = [final.replace("claim", "group")] if final else []
    users = management.items(f"{world.path}/users")
    assert users and all(user["group_ids"] == expected for user in users), "somebody was mapped half"
    world.close()
