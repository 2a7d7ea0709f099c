"""The Portal's overview and audit pages: what was done shows there, exactly, and nothing that is secret does."""

import concurrent.futures
import html
import json
import re
import secrets
import subprocess
import sys
import time
from datetime import datetime
from html.parser import HTMLParser
from os import environ
from typing import Any
from urllib.parse import quote

import pytest
from alter_sdk import AlterSDKError, BlockedDestinationError
from playwright.sync_api import expect

from harness.audit_streams import StreamReceiver
from harness.browser import Browser, Page
from harness.canaries import assert_silent, canary, known_secrets
from harness.chromium import chromium, complaints_about, hand_over, profile
from harness.idp import IdentityProvider
from harness.management import Management
from harness.oauth_provider import OAuthProvider
from harness.portal import sign_in_to_portal
from harness.sdk import open_app, wait
from harness.server import Server
from harness.waiting import eventually
from harness.world import PROVIDER, World

ELSEWHERE = "https://elsewhere.test/steal"
NOBODY = "00000000-0000-4000-8000-000000000000"
HOSTILE = "</td><script>alert('x')</script><img src=x onerror=alert(1)>\"'&amp; \u202etxt"
FIGURES = ["Calls", "Refusals", "Refreshes"]
COUNTING_SECONDS = 15
"""Figures follow within a few seconds; the rest is for slow machines."""


class Desk:
    """An operator with the Portal in a browser, and the Management API of the author of the same apps."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.author = f"author-{secrets.token_hex(4)}@example.test"
        self.management = Management(server.url, server.create_operator(self.author).pat)
        self.browser, _ = sign_in_to_portal(server, self.management)

    def world(self, **options: Any) -> World:
        return World(self.server, self.management, **options)

    def open(self, app_id: str, page: str = "", **query: str) -> Page:
        """A page of an app. None of them may tell a secret that was known before."""
        path = f"/portal/apps/{app_id}" + (f"/{page}" if page else "")
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        known = known_secrets()
        opened = self.browser.open(self.server.url + path + (f"?{asked}" if asked else ""))
        assert_silent(opened.text.encode(), f"GET {path}", known)
        return opened


@pytest.fixture(scope="module")
def desk(server):
    return Desk(server)


@pytest.fixture
def shop(desk):
    world = desk.world()
    yield world
    world.close()


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self._label = ""
        self._row: list[str] | None = None
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "div" and given.get("class") == "table":
            self._label = given.get("aria-label") or ""
        elif tag == "table":
            self.found[self._label] = []
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._cell = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None and self._row is not None:
            self._row.append("".join(self._cell).strip())
            self._cell = None
        elif tag == "tr" and self._row is not None:
            self.found[self._label].append(self._row)
            self._row = None


def tables(page: Page) -> dict[str, list[list[str]]]:
    """The tables of a page by their labels; the first row of each is its head."""
    parser = _Tables()
    parser.feed(page.text)
    return parser.found


def number(text: str) -> int:
    return int(text.replace(",", ""))


def over_time(page: Page) -> dict[str, int]:
    """The sums of the table under the chart over time; nothing happened when there is none."""
    rows = tables(page).get("Use over time", [["", *FIGURES]])
    assert rows[0][1:] == FIGURES
    return {name: sum(number(row[index + 1]) for row in rows[1:]) for index, name in enumerate(FIGURES)}


def by_provider(page: Page) -> dict[str, dict[str, int]]:
    rows = tables(page).get("Use by provider", [["", *FIGURES]])
    return {row[0]: dict(zip(FIGURES, map(number, row[1:]), strict=True)) for row in rows[1:]}


def key_figures(page: Page) -> dict[str, str]:
    pairs = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page.text)
    return {name.split(",")[0]: value for name, value in pairs}


def figures(calls: int = 0, refusals: int = 0, refreshes: int = 0) -> dict[str, int]:
    return dict(zip(FIGURES, (calls, refusals, refreshes), strict=True))


def settle(desk: Desk, app_id: str, expected: dict[str, int]) -> Page:
    """Waits until the overview shows what is expected, and that it stays so over another count."""
    eventually(lambda: over_time(desk.open(app_id)) == expected, f"figures {expected}", COUNTING_SECONDS)
    time.sleep(2.5)
    page = desk.open(app_id)
    assert over_time(page) == expected
    return page


def record_ids(page: Page) -> list[str]:
    return re.findall(r'<a href="/portal/apps/[^"/]+/audit/([0-9a-f-]{36})"', page.text)


def next_link(page: Page) -> tuple[str, str] | None:
    """The address and the words of the way on."""
    found = re.search(r'<p class="pager"><a [^>]*href="([^"]+)"[^>]*>([^<]+)</a>', page.text)
    return (html.unescape(found[1]), found[2]) if found else None


def refuse(world: World, **addressed: str) -> None:
    with pytest.raises(BlockedDestinationError):
        world.proxy(url=ELSEWHERE, **addressed)


# Getting started


def ticks(page: Page) -> list[str]:
    """The steps that are done."""
    items = re.findall(r"<li( class=\"is-done\")?><span class=\"tick\".*?<a href=\"[^\"]*\">([^<]*)</a>", page.text)
    assert len(items) == 5, page.text
    return [title for done, title in items if done]


def test_the_checklist_ticks_itself_as_things_happen(desk):
    idp, oauth = IdentityProvider(), OAuthProvider()
    app_id = desk.management.post("/apps", {"name": "Getting started"})["id"]
    path = f"/apps/{app_id}"
    done: list[str] = []

    def ticked(step: str) -> None:
        done.append(step)
        assert ticks(desk.open(app_id)) == done

    assert ticks(desk.open(app_id)) == []
    value = {"token": canary(f"a-static-token-{secrets.token_hex(8)}")}
    secret = desk.management.post(
        f"{path}/managed-secrets",
        {
            "slug": "stats",
            "name": "Stats",
            "credential_type": "bearer",
            "value": value,
            "allowed_hosts": [oauth.host],
        },
    )
    ticked("Add an OAuth provider")
    api_key = canary(desk.management.post(f"{path}/keys", {"name": "first"})["api_key"])
    ticked("Mint an API key")
    desk.management.post(f"{path}/identity-provider", {"issuer_url": idp.issuer})
    ticked("Add your identity provider")
    app = open_app(desk.server.url, api_key)
    assert wait(app.verify_user_token(idp.mint({"sub": "idp|alice"}))) == "idp|alice"
    ticked("See the first user")
    wait(app.proxy_request("GET", oauth.url("/api/echo"), grant_id=secret["grant_id"]))
    page = desk.open(app_id)
    assert "all 5 steps are done" in page.text and 'class="checklist"' not in page.text
    idp.close()
    oauth.close()


def test_an_app_in_which_nothing_happened_says_so_and_draws_nothing(desk):
    app_id = desk.management.post("/apps", {"name": "Quiet"})["id"]
    page = desk.open(app_id)
    assert "Nothing happened in the last 24 hours" in page.text and "<svg" not in page.text
    shown = key_figures(page)
    assert (shown["Users"], shown["Grants"], shown["Calls"], shown["Refusals"]) == ("0", "0", "0", "0")


def snippet(page: Page, name: str) -> str:
    return html.unescape(re.search(rf'<code id="block-{name}">(.*?)</code>', page.text, re.DOTALL)[1])


def test_the_python_snippet_makes_a_first_call(desk, shop):
    jwt = canary(shop.jwt())
    shop.connect(jwt)
    code = snippet(desk.open(shop.app_id), "python")
    host = f"https://{shop.oauth.host}/"
    assert desk.server.url in code and f'provider="{PROVIDER}"' in code and host in code
    # The provider of the test speaks plain HTTP.
    code = code.replace(host, shop.echo)
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "ALTER_API_KEY": shop.api_key, "USER_TOKEN": jwt},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0 and run.stdout.startswith("200 "), run.stdout + run.stderr


def test_snippets_name_the_grant_where_the_app_has_only_a_secret_of_its_own(desk):
    app_id = desk.management.post("/apps", {"name": "Backend"})["id"]
    body = {
        "slug": "stats",
        "name": "Stats",
        "credential_type": "bearer",
        "value": {"token": canary(f"a-static-token-{secrets.token_hex(8)}")},
        "allowed_hosts": ["api.stats.example"],
    }
    grant_id = desk.management.post(f"/apps/{app_id}/managed-secrets", body)["grant_id"]
    page = desk.open(app_id)
    for name in "python", "swift":
        code = snippet(page, name)
        assert desk.server.url in code and grant_id in code and "https://api.stats.example/" in code


# Figures


def test_the_figures_are_what_was_done(desk, shop):
    shop.oauth.expires_in = 30
    renewing = shop.connect(shop.jwt()).grant_id
    shop.oauth.expires_in = 3600
    lasting = shop.connect(shop.jwt("bob"), account="bob").grant_id
    secret = shop.add_secret("stats", "bearer", {"token": f"a-static-token-{secrets.token_hex(8)}"})["grant_id"]
    shop.proxy(grant_id=renewing)
    for _ in range(3):
        shop.request(grant_id=lasting)
    for _ in range(2):
        shop.proxy(grant_id=secret)
    for _ in range(2):
        refuse(shop, grant_id=lasting)
    with pytest.raises(AlterSDKError):
        shop.proxy(provider=f"made-up-{secrets.token_hex(4)}", user_token=shop.jwt())
    page = settle(desk, shop.app_id, figures(calls=6, refusals=3, refreshes=1))

    assert by_provider(page) == {
        PROVIDER: figures(calls=4, refusals=2, refreshes=1),
        "stats": figures(calls=2),
        # Nobody fills the figures with names of their own.
        "no provider named": figures(refusals=1),
    }
    shown = key_figures(page)
    assert (shown["Users"], shown["Grants"], shown["Calls"], shown["Refusals"]) == ("2", "3", "6", "3")
    records = shop.audit()
    uses = [record for record in records if record["event"] in ("credential.retrieved", "credential.proxied")]
    assert [record["decision"] for record in uses].count("allow") == 6


def test_every_range_shows_the_same_sums_in_slots_of_its_own(desk, shop):
    grant = shop.connect(shop.jwt()).grant_id
    for _ in range(3):
        shop.proxy(grant_id=grant)
    refuse(shop, grant_id=grant)
    settle(desk, shop.app_id, figures(calls=3, refusals=1))
    for name, slots in {"day": 24, "week": 28, "month": 30}.items():
        page = desk.open(shop.app_id, range=name)
        assert over_time(page) == figures(calls=3, refusals=1)
        assert len(tables(page)["Use over time"]) == slots + 1
        assert re.findall(r'range=(\w+)" aria-current="true"', page.text) == [name]


def test_the_charts_draw_what_their_tables_say(desk, shop):
    grant = shop.connect(shop.jwt()).grant_id
    for _ in range(12):
        shop.proxy(grant_id=grant)
    refuse(shop, grant_id=grant)
    page = settle(desk, shop.app_id, figures(calls=12, refusals=1))
    charts = re.findall(r"<svg .*?</svg>", page.text, re.DOTALL)
    assert len(charts) == 2
    for chart in charts:
        assert 'role="img"' in chart and "style=" not in chart
        assert "12 calls, 1 refusal" in chart
        ids = re.search(r'aria-labelledby="([^"]+)"', chart)[1].split()
        assert all(f'id="{name}"' in chart for name in ids)
        heights = [float(height) for height in re.findall(r'<rect class="refusal"[^>]* height="([\d.]+)"', chart)]
        widths = [float(width) for width in re.findall(r'<rect class="refusal"[^>]* width="([\d.]+)"', chart)]
        # What is small beside the rest is still to be seen.
        assert len(heights) == len(widths) == 1 and min(heights + widths) >= 2
        assert '<rect class="call"' in chart


def test_a_kill_counts_nothing_twice_and_loses_nothing(new_server):
    new_server.start()
    desk = Desk(new_server)
    world = desk.world()
    grant = world.connect(world.jwt()).grant_id
    calls = 0
    for pause in 0, 0.7, 1.4, 2.1:
        for _ in range(5):
            world.proxy(grant_id=grant)
            calls += 1
        # Before, within and after a count.
        time.sleep(pause)
        new_server.kill()
        new_server.start()
    refuse(world, grant_id=grant)
    settle(desk, world.app_id, figures(calls=calls, refusals=1))
    new_server.restart()
    settle(desk, world.app_id, figures(calls=calls, refusals=1))
    world.close()
    assert new_server.stop() == 0


def test_an_app_that_was_deleted_keeps_no_other_from_being_counted(desk, shop):
    gone = desk.world()
    grant = gone.connect(gone.jwt()).grant_id
    gone.proxy(grant_id=grant)
    name = desk.management.get(f"/apps/{gone.app_id}")["name"]
    desk.management.delete(f"/apps/{gone.app_id}", confirm=name)
    gone.close()
    shop.proxy(grant_id=shop.connect(shop.jwt()).grant_id)
    settle(desk, shop.app_id, figures(calls=1))


# Looking through the trail


@pytest.fixture(scope="module")
def trail(desk):
    """Something of everything on record; nothing is added to it unasked."""
    world = desk.world()
    secret = world.add_secret("stats", "bearer", {"token": f"a-static-token-{secrets.token_hex(8)}"})["grant_id"]
    alice = world.connect(world.jwt()).grant_id
    bob = world.connect(world.jwt("bob"), account="bob").grant_id
    world.proxy(grant_id=alice, reason="monthly figures")
    world.request(grant_id=bob, reason=HOSTILE, context={"tool": HOSTILE})
    world.proxy(grant_id=secret)
    for grant in alice, bob:
        refuse(world, grant_id=grant, reason=HOSTILE)
    eventually(lambda: world.audit(event="call.reported"), "the SDK's report")
    yield world
    world.close()


@pytest.mark.parametrize("name", ["event", "decision", "provider_id", "user_id", "grant_id", "request_id"])
def test_a_filter_shows_what_the_api_lists(desk, trail, name):
    everything = trail.audit()
    values = list({record[name]: None for record in everything if record[name]})
    assert len(values) > 1
    for value in values[:6]:
        # As a form sends it: with every field that was left empty.
        empty = {"event": "", "decision": "", "provider_id": "", "user_id": "", "from": "", "to": ""}
        page = desk.open(trail.app_id, "audit", **{**empty, name: value})
        assert record_ids(page) == [record["id"] for record in everything if record[name] == value], value


def test_a_time_shows_what_the_api_lists(desk, trail):
    everything = trail.audit()
    moments = sorted({record["occurred_at"] for record in everything}, key=datetime.fromisoformat)
    bounds = {"from": moments[len(moments) // 3], "to": moments[2 * len(moments) // 3]}
    listed = [record["id"] for record in trail.audit(**bounds)]
    assert 0 < len(listed) < len(everything)
    assert record_ids(desk.open(trail.app_id, "audit", **bounds)) == listed
    assert record_ids(desk.open(trail.app_id, "audit", **{"from": "2031-01-01T00:00"})) == []
    assert record_ids(desk.open(trail.app_id, "audit", to="2001-01-01T00:00")) == []
    assert len(record_ids(desk.open(trail.app_id, "audit", **{"from": "2001-01-01T00:00"}))) == len(everything)


@pytest.mark.parametrize(
    "bad", [{"user_id": "nobody"}, {"decision": "perhaps"}, {"from": "yesterday"}, {"cursor": "of-another-list"}]
)
def test_a_filter_that_cannot_be_read_is_shown_again_with_the_reason(desk, trail, bad):
    page = desk.open(trail.app_id, "audit", **bad)
    assert page.status == 422 and record_ids(page) == []
    assert 'class="problem"' in page.text or 'role="alert"' in page.text


def test_a_record_that_fits_nothing_says_so(desk, trail):
    page = desk.open(trail.app_id, "audit", grant_id=NOBODY)
    assert record_ids(page) == [] and "Nothing fits" in page.text


def test_a_row_says_when_what_who_and_why(desk, trail):
    page = desk.open(trail.app_id, "audit", event="credential.proxied", decision="deny")
    head, *rows = tables(page)["Audit records"]
    assert head == ["Time", "Event", "Decision", "Who", "Provider", "What", "Reason"]
    assert len(rows) == 2
    for row in rows:
        assert row[1].startswith("Call made by the vault") and "credential.proxied" in row[1]
        assert (row[2], row[4], row[5]) == ("refused", PROVIDER, "GET elsewhere.test/steal")
        assert row[3].startswith("key ") and row[6].startswith("</td><script>")


def test_an_operator_is_named_by_their_address(desk, trail):
    page = desk.open(trail.app_id, "audit", event="oauth_provider.saved")
    assert [row[3] for row in tables(page)["Audit records"][1:]] == [desk.author]


def test_pages_lead_to_the_first_record_and_no_further(desk, shop):
    for index in range(120):
        desk.management.call("PATCH", shop.path, {"name": f"Renamed {index}"})
    expected = [record["id"] for record in shop.audit()]
    page, found, live = desk.open(shop.app_id, "audit"), [], []
    while True:
        found += record_ids(page)
        live.append('data-live="records"' in page.text)
        way = next_link(page)
        if way is None:
            break
        assert way[1] == "Older" and len(record_ids(page)) == 50
        page = desk.browser.open(desk.server.url + way[0])
    assert found == expected
    assert live == [True] + [False] * (len(live) - 1), "only the newest page grows"


def test_a_rare_record_is_found_by_looking_further_back(desk, shop):
    total = 5_100
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        token = desk.management.authorization.removeprefix("Bearer ")
        clients = [Management(desk.server.url, token) for _ in range(8)]

        def rename(client: Management) -> None:
            for index in range(-(-total // len(clients))):
                client.call("PATCH", shop.path, {"name": f"Renamed {index}"})

        list(pool.map(rename, clients))
    [rare] = [record["id"] for record in shop.audit(event="app.created")]
    begun = time.monotonic()
    page = desk.open(shop.app_id, "audit", event="app.created")
    assert time.monotonic() - begun < 5
    assert record_ids(page) == []
    address, words = next_link(page)
    assert words == "Look further back" and "There may be more further back" in page.text
    page = desk.browser.open(desk.server.url + address)
    assert record_ids(page) == [rare] and next_link(page) is None
    # With an index of its own, what is rare is found at once.
    grant = shop.connect(shop.jwt()).grant_id
    refuse(shop, grant_id=grant)
    for _ in range(60):
        desk.management.call("PATCH", shop.path, {"name": "Again"})
    assert len(record_ids(desk.open(shop.app_id, "audit", decision="deny"))) == 1


# One record


def test_a_record_shows_all_that_is_in_it(desk, trail):
    for record in trail.audit():
        page = desk.open(trail.app_id, f"audit/{record['id']}")
        assert page.status == 200
        assert json.loads(snippet(page, "record")) == record
        for name, place in {"user_id": "users", "grant_id": "grants"}.items():
            link = f'href="/portal/apps/{trail.app_id}/{place}/{record[name]}"'
            assert (link in page.text) == bool(record[name])


def test_a_refused_record_says_which_rule_refused_and_what_it_needed(desk, shop):
    grant = shop.connect(shop.jwt()).grant_id
    desk.management.put(f"{shop.path}/policies/{PROVIDER}", {"allowed_groups": ["engineering"]})
    with pytest.raises(AlterSDKError):
        shop.proxy(grant_id=grant)
    [record] = shop.audit(event="credential.proxied")
    page = desk.open(shop.app_id, f"audit/{record['id']}")
    assert "What would have to change" in page.text
    head, *rows = tables(page)["Rules"]
    assert head == ["Rule", "Policy", "Outcome", "Why", "Needed"]
    recorded = record["details"]["rules"]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        (rule["rule"], rule["layer"], rule["reason"], rule.get("needed", "")) for rule in recorded
    ]
    assert "refuses" in [row[2] for row in rows]


def test_a_record_of_another_app_is_not_there(desk, trail, shop):
    [record, *_] = trail.audit()
    assert desk.open(shop.app_id, f"audit/{record['id']}").status == 404
    assert desk.open(shop.app_id, "audit/not-an-id").status == 404


def test_what_others_write_is_text_on_every_page(desk, trail):
    hostile = [record for record in trail.audit() if record["reason"] == HOSTILE]
    assert len(hostile) >= 3
    pages = [
        desk.open(trail.app_id),
        desk.open(trail.app_id, "audit"),
        desk.open(trail.app_id, "audit", event=HOSTILE, provider_id=HOSTILE, user_id=HOSTILE),
        *(desk.open(trail.app_id, f"audit/{record['id']}") for record in hostile),
    ]
    for page in pages:
        assert "<script>alert" not in page.text and "<img" not in page.text and "\u202e" not in page.text


# Exports


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
@pytest.mark.parametrize("filters", [{"event": "credential.proxied"}, {"provider_id": PROVIDER, "decision": "deny"}])
def test_an_export_is_the_apis_export(desk, trail, kind, filters):
    page = desk.open(trail.app_id, "audit", **filters)
    [link] = [html.unescape(found) for found in re.findall(rf'href="([^"]+/export\?format={kind}[^"]*)"', page.text)]
    here = desk.browser.open(desk.server.url + link)
    there = desk.management.fetch(f"{trail.path}/audit/export", format=kind, **filters)
    assert here.status == 200 and here.text == there.text and len(here.text.splitlines()) >= 2


# Integrity, retention, streams


def trail_form(page: Page, end: str) -> Any:
    return next(form for form in page.forms if form.action.endswith(end))


def test_the_trail_is_verified_on_request(desk, shop):
    page = desk.open(shop.app_id, "audit/trail")
    shown = desk.browser.submit(page, trail_form(page, "/verify"))
    assert shown.status == 200 and "The trail holds" in shown.text
    [checkpoint, *_] = desk.management.get(f"{shop.path}/audit/checkpoints")["items"]
    assert checkpoint["statement"] in desk.open(shop.app_id, "audit/trail").text


def test_a_changed_trail_is_told_at_the_record(new_server):
    new_server.start()
    desk = Desk(new_server)
    world = desk.world()
    new_server.stop()
    new_server.database.change(
        "UPDATE audit_records SET record = replace(record, 'Test app', 'Best app') WHERE chain = ? AND sequence = 1",
        world.app_id,
    )
    new_server.start()
    page = desk.open(world.app_id, "audit/trail")
    shown = desk.browser.submit(page, trail_form(page, "/verify"))
    assert "does not hold at record 1" in shown.text
    world.close()


def test_retention_is_set_and_taken_back(desk, shop):
    page = desk.open(shop.app_id, "audit/trail")
    page = desk.browser.submit(page, trail_form(page, "/retention"), days="90")
    assert desk.management.get(f"{shop.path}/audit/retention")["days"] == 90 and "for 90 days" in page.text
    refused = desk.browser.submit(page, trail_form(page, "/retention"), days="0")
    assert refused.status == 422 and 'class="problem"' in refused.text
    assert desk.management.get(f"{shop.path}/audit/retention")["days"] == 90
    desk.browser.submit(page, trail_form(page, "/retention"), days="")
    assert desk.management.get(f"{shop.path}/audit/retention")["days"] is None


def test_a_stream_is_made_its_secret_shown_once_and_deleted(desk, shop):
    receiver = StreamReceiver()
    page = desk.open(shop.app_id, "audit/trail")
    made = desk.browser.submit(page, trail_form(page, "/streams"), kind="webhook", url=receiver.url("/hook"))
    secret = canary(re.search(r'value="(whsec_[^"]+)"', made.text)[1])
    page = desk.open(shop.app_id, "audit/trail")
    assert receiver.url("/hook") in page.text and secret not in page.text
    [stream] = desk.management.get(f"{shop.path}/audit-streams")["items"]
    desk.browser.submit(page, trail_form(page, f"/streams/{stream['id']}/delete"))
    assert desk.management.get(f"{shop.path}/audit-streams")["items"] == []
    receiver.close()


def test_a_collectors_header_fields_are_not_written_back(desk, shop):
    token = canary(f"collector-token-{secrets.token_hex(8)}")
    page = desk.open(shop.app_id, "audit/trail")
    form = trail_form(page, "/streams")
    lines = f"Authorization: Bearer {token}\nno field at all {token}"
    refused = desk.browser.submit(page, form, kind="otlp", url="http://127.0.0.1:9/v1/logs", headers=lines)
    assert refused.status == 422 and token not in refused.text and "line 2" in refused.text
    lines = f"Authorization: Bearer {token}"
    desk.browser.submit(page, form, kind="otlp", url="http://127.0.0.1:9/v1/logs", headers=lines)
    [stream] = desk.management.get(f"{shop.path}/audit-streams")["items"]
    assert stream["kind"] == "otlp"
    desk.open(shop.app_id, "audit/trail")


def test_who_may_only_look_gets_no_forms_that_change_anything(desk, shop):
    desk.server.database.change("UPDATE memberships SET role = 'read_only'")
    try:
        page = desk.open(shop.app_id, "audit/trail")
        actions = [form.action for form in page.forms]
        assert any(action.endswith("/verify") for action in actions)
        assert not any(part in action for action in actions for part in ("/retention", "/streams"))
        csrf = page.forms[0].fields["csrf"]
        stream = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
        for action, data in {"retention": {"days": "1"}, "streams": stream}.items():
            address = f"{desk.server.url}/portal/apps/{shop.app_id}/audit/trail/{action}"
            assert desk.browser.post(address, {"csrf": csrf, **data}, {"Origin": desk.server.url}).status_code == 403
    finally:
        desk.server.database.change("UPDATE memberships SET role = 'admin'")


def test_a_form_without_the_sessions_token_does_nothing(desk, shop):
    address = f"{desk.server.url}/portal/apps/{shop.app_id}/audit/trail/retention"
    assert desk.browser.post(address, {"days": "1"}, {"Origin": desk.server.url}).status_code == 403
    assert desk.management.get(f"{shop.path}/audit/retention")["days"] is None


def test_another_operator_finds_nothing_and_a_stranger_is_asked_who_they_are(desk, trail):
    elsewhere, _ = sign_in_to_portal(desk.server)
    [record, *_] = trail.audit()
    for page in "", "/audit", "/audit/trail", "/audit/export", f"/audit/{record['id']}":
        address = f"{desk.server.url}/portal/apps/{trail.app_id}{page}"
        foreign = elsewhere.open(address)
        assert foreign.status == 404 and trail.app_id not in foreign.text
        assert "/portal/sign-in" in Browser().open(address).url


def test_new_records_come_by_themselves_while_that_is_ticked(desk, shop):
    with chromium() as browser, profile(browser) as context:
        hand_over(desk.browser, context, desk.server.url)
        page = context.new_page()
        faults = complaints_about(page, desk.server.url)
        page.goto(f"{desk.server.url}/portal/apps/{shop.app_id}/audit")
        newest = page.locator("#records tbody a").first
        before = newest.get_attribute("href")
        desk.management.call("PATCH", shop.path, {"name": "Renamed while somebody looks"})
        page.wait_for_timeout(3500)
        assert newest.get_attribute("href") == before, "nothing moves by itself"
        page.get_by_label("Show new records as they come").check()
        expect(newest).not_to_have_attribute("href", before, timeout=10_000)
        expect(newest).to_have_text("App changed")
        assert faults == []
