"""docs/OPERATIONS.md, the dashboard and the alert rules held against what a server that is used says of itself."""

import json
import re
from collections import defaultdict

import pytest
import requests
from alter_sdk import PolicyViolationError

from harness.prometheus import Figures, scrape
from harness.server import REPOSITORY
from harness.waiting import eventually
from harness.webhooks import Auth0Stream
from harness.world import PROVIDER, World

GUIDE = REPOSITORY / "docs/OPERATIONS.md"
ALERTS = REPOSITORY / "docs/operations/alerts.yml"
DASHBOARD = REPOSITORY / "docs/operations/dashboard.json"

METRIC = re.compile(r"\b(?:sallyport|process)_[a-z]+(?:_[a-z]+)*\b")
TABLE_ROW = re.compile(r"^\| `((?:sallyport|process)_\w+)` \| (\w+) \|([^|]*)\|(.*)\|$", re.MULTILINE)
SELECTOR = re.compile(r"\b((?:sallyport|process)_\w+)\{((?:[^\"}]|\"[^\"]*\")*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")
# What Prometheus itself adds to every sample.
TARGET_LABELS = {"job", "instance"}
# Labels of which a used server has every value that is asked for.
CLOSED_LABELS = {"queue", "outcome", "route", "decision"}


@pytest.fixture(scope="module")
def figures(server, management) -> Figures:
    """A scrape of a server in which everything that is counted has happened."""
    world = World(server, management, idp_type="auth0")
    for path in "/sdk/token", "/api/v1/apps":
        assert requests.post(server.url + path, timeout=10).status_code == 401
    stream = Auth0Stream(world)
    world.oauth.expires_in = 30
    grant = world.connect(world.jwt())
    world.request(grant_id=grant.grant_id)
    world.proxy(grant_id=grant.grant_id)
    management.put(f"{world.path}/policies/{PROVIDER}", {"allowed_groups": ["finance"]})
    with pytest.raises(PolicyViolationError):
        world.request(grant_id=grant.grant_id)
    # Nobody listens at the discard port.
    management.post(f"{world.path}/audit-streams", {"kind": "webhook", "url": "http://127.0.0.1:9/", "from_start": True})
    stream.end_user()
    eventually(lambda: scrape(server.url).value("sallyport_audit_stream_batches_total"), "a batch is sent")
    world.close()
    return scrape(server.url)


def labels(figures: Figures) -> dict[str, set[str]]:
    """The labels of each family and of each name that its samples have."""
    found = defaultdict(set)
    for name, pairs in figures.samples:
        found[name] |= {label for label, _ in pairs}
    for family, kind in figures.types.items():
        if kind == "histogram":
            found[family] = found[f"{family}_bucket"]
    return found


def panels() -> list[dict]:
    return json.loads(DASHBOARD.read_text())["panels"]


def expressions() -> str:
    """Everything that Prometheus evaluates, of both files."""
    return "\n".join([ALERTS.read_text(), *(target["expr"] for panel in panels() for target in panel["targets"])])


@pytest.mark.parametrize("document", [GUIDE, ALERTS, DASHBOARD], ids=lambda path: path.name)
def test_every_metric_that_is_named_is_there(figures, document):
    named = set(METRIC.findall(document.read_text()))
    assert named, f"{document.name} names no metric"
    known = figures.types.keys() | {name for name, _ in figures.samples}
    assert named - known == set()


def test_the_table_has_every_metric_with_its_type_and_labels(figures):
    table = {name: (kind, set(re.findall(r"`(\w+)`", named))) for name, kind, named, _ in TABLE_ROW.findall(GUIDE.read_text())}
    has = labels(figures)
    assert table == {family: (kind, has[family]) for family, kind in figures.types.items()}


def test_every_selector_asks_for_labels_that_the_samples_have(figures):
    has = labels(figures)
    selectors = SELECTOR.findall(expressions())
    assert selectors
    for name, matchers in selectors:
        asked = {label for label, _ in MATCHER.findall(matchers)}
        assert asked and asked <= has[name] | TARGET_LABELS, (name, matchers)


def values(figures: Figures, name: str, label: str) -> set[str]:
    return {value for found, pairs in figures.samples for has, value in pairs if (found, has) == (name, label)}


def test_the_guide_names_every_queue_and_outcome(figures):
    meanings = {name: meaning for name, _, _, meaning in TABLE_ROW.findall(GUIDE.read_text())}
    for name in figures.types:
        for label in "queue", "outcome":
            named = set(re.findall(r"`(\w+)`", meanings[name]))
            assert values(figures, name, label) <= named, name


def test_every_selector_asks_for_values_that_are_there(figures):
    asked = [
        (name, label, pattern)
        for name, matchers in SELECTOR.findall(expressions())
        for label, value in MATCHER.findall(matchers)
        if label in CLOSED_LABELS
        for pattern in value.split("|")
    ]
    assert {label for _, label, _ in asked} == CLOSED_LABELS
    for name, label, pattern in asked:
        # A template's braces mean themselves.
        pattern = pattern.replace("{", r"\{").replace("}", r"\}")
        assert any(re.fullmatch(pattern, value) for value in values(figures, name, label)), (name, label, pattern)


def test_every_panel_has_a_title_and_asks_for_something():
    assert panels()
    for panel in panels():
        assert panel["title"].strip(), panel["id"]
        assert panel["targets"] and all(target["expr"].strip() for target in panel["targets"]), panel["title"]
    places = [panel["id"] for panel in panels()]
    assert len(set(places)) == len(places)


def test_every_panel_and_every_rule_is_in_the_guide():
    guide = GUIDE.read_text()
    rules = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    assert rules
    assert [rule for rule in rules if f"`{rule}`" not in guide] == []
    assert [panel["title"] for panel in panels() if panel["title"] not in guide] == []
