"""Activity in the Wallet: what users see of the records about them, and what they never see."""

import csv
import io
import json
import re
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from alter_sdk import PolicyViolationError

from harness.browser import Browser, Page
from harness.sdk import wait
from harness.waiting import eventually
from harness.wallet import end, ready_world, signed_in
from harness.world import PROVIDER, World

HEADER = ["time", "what", "provider", "method", "address", "outcome", "status", "latency_ms", "by", "reason"]


@pytest.fixture
def ready(server, management):
    world = ready_world(server, management)
    yield world
    world.close()


def activity(world: World, browser: Browser, query: str = "") -> Page:
    page = browser.open(f"{world.server.url}/wallet/activity{query}")
    assert "Signed in as" in page.text, page.text
    return page


def rows(page: Page) -> list[list[str]]:
    """The cells of the table, as text."""
    bodies = re.findall(r"<tbody>(.*?)</tbody>", page.text, re.DOTALL)
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
        for body in bodies
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def download(world: World, browser: Browser, query: str = "") -> requests.Response:
    return requests.get(
        f"{world.server.url}/wallet/activity.csv{query}", cookies=browser.cookies.get_dict(), timeout=60
    )


def table(answer: requests.Response) -> list[dict[str, str]]:
    lines = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert lines[0] == HEADER
    return [dict(zip(HEADER, line, strict=True)) for line in lines[1:]]


def refused_use(world: World, jwt: str) -> None:
    """A call that a policy refuses, whose rule holds words that nobody outside may read."""
    world.management.put(f"{world.path}/policies/{PROVIDER}", {"allowed_groups": ["canary-group-of-staff"]})
    with pytest.raises(PolicyViolationError):
        world.request_as(jwt)
    world.management.delete(f"{world.path}/policies/{PROVIDER}")


def copy_record(world: World, event: str, number: int, **changes: str) -> None:
    """
    As many copies of one of the world's records, after all others, with reasons that number them. They belong to no
    chain that is verified.
    """
    database = world.server.database
    row = database.rows(
        "SELECT * FROM audit_records WHERE app_id = ? AND event = ? AND user_id IS NOT NULL"
        " ORDER BY position DESC LIMIT 1", world.app_id, event,
    )[0]  # fmt: skip
    # The app writes beside us: the database gives each its position.
    row.pop("position")
    [(sequence,)] = database.query("SELECT coalesce(max(sequence), 0) FROM audit_records WHERE chain = 'copies'")
    record = json.loads(row["record"])

    def copies() -> Iterator[dict[str, Any]]:
        for n in range(1, number + 1):
            place = {"chain": "copies", "sequence": sequence + n, "id": str(uuid.uuid4())}
            text = json.dumps({**record, "reason": f"copy {n}"}, separators=(",", ":"))
            yield {**row, **place, "record": text, **changes}

    database.insert("audit_records", copies())


def test_activity_tells_in_words_what_was_done_with_the_account_by_whom_and_why(ready):
    world = ready
    jwt = world.jwt()
    grant = world.connect(jwt)
    nightly = world.open_app(caller="nightly-sync")
    address = world.oauth.url("/api/echo?page=canary-query")
    wait(nightly.request("GET", address, provider=PROVIDER, user_token=jwt, reason="Copy the calendar"))
    world.proxy(provider=PROVIDER, user_token=jwt, reason="Look again")
    refused_use(world, jwt)
    browser, page = signed_in(world)
    end(browser, page, grant.grant_id)
    page = activity(world, browser)
    told = rows(page)
    assert any(
        "Access was given" in what and call == f"GET {world.oauth.host}/api/echo" and "nightly-sync" in who
        for _, what, _, call, _, who, _ in told
    ), told
    assert any("A call was made" in row[1] and "answered 200" in row[4] and row[6] == "Look again" for row in told), told
    assert any("refused" in row[4] and "not allowed by the app" in row[4] for row in told), told
    assert any(row[1] == "The connection was ended" and row[5] == "You" for row in told), told
    assert any(row[1] == "Connected" for row in told) and any(row[1] == "Signed in" for row in told)
    assert "Copy the calendar" in page.text and 'aria-current="page">Activity' in page.text
    assert all(row[2] == PROVIDER for row in told if row[3])


def test_no_rule_no_operator_no_key_no_id_and_no_query_is_ever_shown(ready):
    world = ready
    jwt = world.jwt()
    grant = world.connect(jwt)
    world.request_as(jwt, world.oauth.url("/api/echo?token=canary-query"))
    refused_use(world, jwt)
    user = f"{world.path}/users/{world.user()['id']}"
    world.management.post(f"{user}/suspend", {"reason": "canary-reason of an operator"})
    world.management.post(f"{user}/restore", {"reason": "canary-reason of an operator"})
    world.management.post(f"{world.path}/grants/{grant.grant_id}/revoke", {"reason": "canary-reason of an operator"})
    browser, _ = signed_in(world)
    page, file = activity(world, browser).text, download(world, browser).text
    kept = world.audit(user_id=world.user()["id"])
    hidden = {"canary", "allowed_groups", "policy_violation", world.api_key[:12], "@example", grant.grant_id}
    for record in kept:
        hidden |= {record["id"], record["request_id"] or record["id"], record["user_id"], record["hash"]}
        hidden |= {str(value) for name, value in record["principal"].items() if name.endswith("_id")}
    for secret in hidden:
        assert secret not in page and secret not in file, secret
    assert "All access was suspended" in page and "The people who run" in page
    assert "not allowed by the app" in page and "not allowed by the app" in file


def test_row_43_records_of_other_users_and_of_other_apps_are_not_there(ready, foreign_world):
    world = ready
    world.connect(world.jwt("bob"), account="bob")
    world.connect(world.jwt())
    world.request_as(world.jwt("bob"), reason="only about bob")
    world.request_as(world.jwt(), reason="only about alice")
    # The same user's id in a record of another app: whatever wrote it, this Wallet is not its place.
    copy_record(world, "grant.connected", 1, app_id=foreign_world.app_id, provider_id="canary-provider")
    browser, _ = signed_in(world)
    page, file = activity(world, browser), download(world, browser)
    for text in (page.text, file.text):
        assert "only about alice" in text and "only about bob" not in text and "bob@" not in text
    assert sum(row[1] == "Connected" for row in rows(page)) == 1
    assert sum(row["what"] == "Connected" for row in table(file)) == 1
    assert "canary-provider" not in page.text


def test_the_list_is_narrowed_by_provider_kind_and_dates_and_so_is_the_file(ready):
    world = ready
    jwt = world.jwt()
    world.connect(jwt)
    world.request_as(jwt)
    eventually(lambda: world.audit(event="call.reported"), "the app reports its call")
    refused_use(world, jwt)
    browser, _ = signed_in(world)
    today = datetime.now(UTC).date()
    yesterday, tomorrow = today - timedelta(days=1), today + timedelta(days=1)
    for query, words in (
        ("?kind=used", {"Access was given for a call", "The app said how a call went"}),
        ("?kind=refused", {"Access was refused"}),
        ("?kind=account", {"Signed in"}),
    ):
        found = {row[1] for row in rows(activity(world, browser, query))}
        assert found and found <= words, (query, found)
        assert {row["what"] for row in table(download(world, browser, query))} == found
    everything = len(rows(activity(world, browser)))
    assert everything == len(rows(activity(world, browser, f"?provider=&kind=&from={yesterday}&to={tomorrow}")))
    assert 0 < len(rows(activity(world, browser, f"?provider={PROVIDER}"))) < everything
    for query in (f"?from={tomorrow}", f"?to={yesterday}", "?provider=another", f"?from={tomorrow}&to={yesterday}"):
        page = activity(world, browser, query)
        assert rows(page) == [] and "Nothing fits" in page.text and "Look further back" not in page.text
        assert table(download(world, browser, query)) == []
    page = activity(world, browser, f"?kind=refused&from={yesterday}")
    assert f'href="/wallet/activity.csv?kind=refused&amp;from={yesterday}"' in page.text
    assert '<option value="refused" selected>' in page.text and f'value="{yesterday}"' in page.text
    for bad in ("?from=yesterday", "?to=2026-02-30", "?kind=rules", "?before=AAAAAAAAAAAAAAAAAAAAAA", "?before=%00", "?kind=a&kind=b"):
        refused = activity(world, browser, bad)
        assert refused.status in (400, 422) and "That did not work" in refused.text, bad


def test_pages_go_on_to_the_last_record_and_none_comes_twice(ready):
    world = ready
    jwt = world.jwt()
    world.connect(jwt)
    world.request_as(jwt)
    copy_record(world, "credential.retrieved", 120)
    browser, _ = signed_in(world)
    page, seen = activity(world, browser, "?kind=used"), []
    while True:
        assert len(rows(page)) <= 50
        seen += [row[6] for row in rows(page) if row[6].startswith("copy ")]
        older = re.search(r'<a href="([^"]*)" rel="next">Older</a>', page.text)
        if older is None:
            break
        assert "kind=used" in older[1]
        page = browser.open(world.server.url + older[1].replace("&amp;", "&"))
    assert seen == [f"copy {number}" for number in range(120, 0, -1)] and "Newest" in page.text
    # A place in one person's list is none in another's.
    world.idp.person = "idp|bob"
    other, _ = signed_in(world)
    assert activity(world, other, page.url.split("/activity")[1]).status == 400


def test_a_filter_that_fits_nothing_in_a_long_trail_costs_no_more_than_a_page(ready):
    world = ready
    jwt = world.jwt()
    world.connect(jwt)
    refused_use(world, jwt)
    world.request_as(jwt)
    copy_record(world, "credential.retrieved", 12_000)
    browser, _ = signed_in(world)
    started = time.monotonic()
    page = activity(world, browser, "?kind=refused")
    assert time.monotonic() - started < 8
    assert rows(page) == [] and "Nothing so far" in page.text
    further = re.search(r'<a href="([^"]*)" rel="next">Look further back</a>', page.text)
    assert further and "kind=refused" in further[1]
    # With a date there is no need to go through what is newer.
    earlier = datetime.now(UTC).date() - timedelta(days=3)
    started = time.monotonic()
    page = activity(world, browser, f"?kind=refused&to={earlier}")
    assert time.monotonic() - started < 8 and "Nothing fits" in page.text and "further" not in page.text
    answer = download(world, browser, "?kind=used")
    lines = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert len(lines) == 1 + 10_000 + 1 and lines[-1][0].startswith("Older records were left out")


def test_the_file_is_an_attachment_and_nothing_in_it_is_run_by_a_spreadsheet(ready):
    world = ready
    jwt = world.jwt()
    world.connect(jwt)
    reasons = ['=HYPERLINK("https://evil.example")', "+1", "-1", "@SUM(A1)", 'a "quoted", reason']
    for reason in reasons:
        world.request_as(jwt, reason=reason)
    browser, page = signed_in(world)
    answer = download(world, browser)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="activity.csv"'
    told = {row["reason"] for row in table(answer)}
    assert told >= {"'" + reason for reason in reasons[:4]} | {reasons[4]}
    for row in table(answer):
        assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for cell in row.values()), row
    assert requests.get(f"{world.server.url}/wallet/activity.csv", allow_redirects=False, timeout=10).status_code == 303


def test_row_39_what_others_wrote_is_shown_as_text(ready):
    world = ready
    jwt = world.jwt()
    world.connect(jwt)
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    app = world.open_app(caller="<b>robot</b>")
    wait(app.request("GET", world.echo, provider=PROVIDER, user_token=jwt, reason=hostile))
    browser, _ = signed_in(world)
    page = activity(world, browser)
    assert "<script>" not in page.text and "<img" not in page.text and "<b>robot" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text and "&lt;b&gt;robot" in page.text
    assert "<script>" not in activity(world, browser, "?provider=%3Cscript%3E%22%3E").text
