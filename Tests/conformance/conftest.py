import playwright.sync_api
import pytest

from harness import chromium as chromium_browser
from harness import database, postgres
from harness.canaries import readable_in
from harness.management import Management
from harness.real_peers import DjangoProvider, Glewlwyd
from harness.server import Server
from harness.world import World


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A fresh server for the module. It must also end well, and leave no secret readable behind."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    assert server.stop() == 0, server.log_tail()
    assert readable_in(server.stored()) == []
    server.storage.remove()


@pytest.fixture
def new_server(tmp_path):
    """A server that was never started, for tests about starting and stopping."""
    server = Server(tmp_path)
    yield server
    server.kill()
    server.storage.remove()


@pytest.fixture(scope="module")
def management(server):
    return Management(server.url, server.create_operator().pat)


@pytest.fixture
def world(server, management):
    world = World(server, management)
    yield world
    world.close()


@pytest.fixture
def foreign_world(server, management):
    """Another app of the same operator."""
    world = World(server, management)
    yield world
    world.close()


@pytest.fixture
def connected(world):
    """The world, alice's token, and the grant of the account that she connected."""
    jwt = world.jwt()
    return world, jwt, world.connect(jwt)


@pytest.fixture(scope="module")
def glewlwyd(tmp_path_factory, server):
    peer = Glewlwyd(tmp_path_factory.mktemp("peer") / "glewlwyd", server.url)
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def django(tmp_path_factory, server):
    peer = DjangoProvider(tmp_path_factory.mktemp("peer") / "django", server.url)
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def chromium():
    with chromium_browser.chromium() as browser:
        yield browser


@pytest.fixture
def attack_table(request):
    """Rows of (attack, answer), printed after the run, whichever process ran the test."""
    rows: list[tuple[str, str]] = []
    yield rows
    request.node.user_properties += [("attack", row) for row in rows]


def pytest_collection_modifyitems(items):
    for item in items:
        if database.ENGINE != "sqlite" and (mark := item.get_closest_marker("sqlite")):
            item.add_marker(pytest.mark.skip(reason=f"about SQLite: {mark.args[0]}"))


def pytest_sessionfinish():
    postgres.remove_shared_cluster()


def pytest_terminal_summary(terminalreporter):
    ended = [report for report in terminalreporter.stats.get("", []) if report.when == "teardown"]
    rows = [row for report in ended for name, row in report.user_properties if name == "attack"]
    if rows:
        terminalreporter.section("identity tokens: attack → answer")
        width = max(len(attack) for attack, _ in rows)
        for attack, answer in rows:
            terminalreporter.write_line(f"{attack:<{width}}  {answer}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    used = getattr(item, "funcargs", {})
    servers = [server for name in ("nodes", "new_nodes") for server in used.get(name, [])]
    servers += [used[name] for name in ("server", "new_server") if name in used and used[name] not in servers]
    if report.failed:
        for server in servers:
            report.sections.append((f"sallyport log in {server.data.parent.name}", server.log_tail()))
    page = used.get("page")
    if report.failed and call.when == "call" and page is not None:
        try:
            shown = page.locator("body").inner_text(timeout=2_000)
        except playwright.sync_api.Error as gone:
            shown = str(gone)
        report.sections.append(("browser", f"{page.url}\n{shown}"))
    return report
