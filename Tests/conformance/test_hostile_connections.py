"""Connections, limits and signals that stop or stall servers of this kind. After each of them this one still serves."""

import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import parse_headers

import pytest

from harness.local_http import Answer
from harness.management import Management
from harness.signer import RawAnswer
from harness.swarm import signed
from harness.waiting import eventually
from harness.world import World

HEALTH = b"GET /healthz HTTP/1.1\r\n"
BODY_SECONDS = 15
"""How long a body may take to arrive."""


def read_to_end(connection: socket.socket) -> bytes:
    """What the server says until it hangs up."""
    received = b""
    while chunk := connection.recv(65_536):
        received += chunk
    return received


def exchange(server, request: bytes) -> bytes:
    with server.connect() as connection:
        connection.settimeout(10)
        connection.sendall(request)
        return read_to_end(connection)


# HTTP


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEALTH + b"\r\n",
        HEALTH + b"Host: \r\n\r\n",
        HEALTH + b"Host: a\r\nHost: b\r\n\r\n",
        HEALTH + b"Host: a\r\nHost: a\r\n\r\n",
        b"GET http://elsewhere.test/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["none", "empty", "two", "two-alike", "absolute-target", "asterisk-target"],
)
def test_a_request_without_one_host_and_a_path_is_refused_and_the_connection_closed(server, request_bytes):
    answer = exchange(server, request_bytes)
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"error":"invalid_request"' in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: a\r\n\r\n",
        HEALTH + b"Host: a\r\nConnection: Close\r\n\r\n",
        HEALTH + b"Host: a\r\nConnection: keep-alive, close\r\n\r\n",
    ],
    ids=["http-1.0", "http-1.0-host", "Close", "list"],
)
def test_old_clients_and_those_who_ask_for_it_are_answered_and_hung_up_on(server, request_bytes):
    assert b" 200 OK\r\n" in exchange(server, request_bytes)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /sdk/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /sdk/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /sdk/token HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /sdk/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        HEALTH + b"Host: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        HEALTH + b"Host: a\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"\r\n\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=[
        "length-and-chunked",
        "two-lengths",
        "negative-length",
        "chunk-overflow",
        "long-header",
        "5000-headers",
        "long-target",
        "http-9.9",
        "tls-hello",
        "blank-lines",
        "nul-in-method",
    ],
)
def test_what_is_not_http_is_refused_and_harms_nobody(server, request_bytes):
    with server.connect() as connection:
        connection.settimeout(5)
        try:
            connection.sendall(request_bytes)
            connection.shutdown(socket.SHUT_WR)
            answer = read_to_end(connection)
        except OSError:
            answer = b""  # it hung up, at whatever moment
    assert not answer.startswith(b"HTTP/1.1 5") and b" 200 " not in answer.split(b"\r\n")[0]
    assert server.is_healthy()


def test_idle_and_dripping_connections_are_closed_and_stop_nobody(server):
    """Idle, a header byte a second, a body byte a second: each has its end, and others are answered meanwhile."""

    def idle(connection: socket.socket) -> None:
        time.sleep(40)

    def drip(head: bytes):
        def send(connection: socket.socket) -> None:
            connection.sendall(head)
            for _ in range(60):
                time.sleep(1)
                connection.sendall(b"x")

        return send

    def seconds_until_closed(send) -> float:
        started = time.monotonic()
        with server.connect() as connection:
            sender = threading.Thread(target=lambda: quietly(send, connection), daemon=True)
            sender.start()
            try:
                read_to_end(connection)
            except ConnectionError:
                pass
            return time.monotonic() - started

    def quietly(send, connection: socket.socket) -> None:
        try:
            send(connection)
        except OSError:
            pass  # the server hung up, which is what the test waits for

    body = b"POST /sdk/token HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    ways = {"idle": idle, "header": drip(HEALTH + b"Host: a\r\nX: "), "body": drip(body)}
    with ThreadPoolExecutor() as pool:
        closing = {name: pool.submit(seconds_until_closed, way) for name, way in ways.items()}
        while not all(future.done() for future in closing.values()):
            assert server.is_healthy()
            time.sleep(1)
    assert all(future.result() < 50 for future in closing.values()), closing


def test_more_connections_than_the_process_may_have_do_not_end_it(new_server):
    server = new_server
    server.start(descriptors=150)
    held = []
    try:
        for _ in range(300):
            connection = server.connect()
            held.append(connection)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        time.sleep(1)
        assert server.is_running()
    finally:
        for connection in held:
            connection.close()
    eventually(server.is_healthy, "the server answers again once the flood is over")
    assert server.stop() == 0


# Several requests on one connection


class Pipeline:
    """One connection, on which requests do not wait for each other's answers."""

    def __init__(self, server) -> None:
        self._connection = server.connect()
        self._answers = self._connection.makefile("rb")

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._connection.close()

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def drip(self, data: bytes) -> None:
        """A byte a second, for as long as the server takes them, in a thread."""

        def send() -> None:
            for number in range(len(data)):
                time.sleep(1)
                try:
                    self.send(data[number : number + 1])
                except OSError:
                    return  # it hung up

        threading.Thread(target=send, daemon=True).start()

    def answer(self) -> RawAnswer:
        """The next one."""
        status = int(self._answers.readline().split()[1])
        headers = {name.lower(): value for name, value in parse_headers(self._answers).items()}
        return RawAnswer(status, headers, self._answers.read(int(headers["content-length"])))

    def is_over(self) -> bool:
        """Waits for the end, which may be a word of the server that it is; whatever comes before it is none."""
        try:
            return self._answers.read(1) == b""
        except ConnectionError:
            return True


def uses(world: World, *routes: str) -> list[bytes]:
    """Signed uses of one grant as they go over the wire; the record calls each by its number."""
    grant_id = world.connect(world.jwt()).grant_id
    call = {"method": "GET", "url": world.echo}
    made = []
    for number, route in enumerate(routes):
        body = {"grant_id": grant_id, "reason": f"use {number}"}
        body |= {"request": call} if route == "/sdk/token" else call
        made.append(signed(world.signer().request("POST", route, body)).data)
    return made


def recorded(world: World) -> list[tuple[str, str]]:
    """Number and request of every use that was allowed, in the order in which they were."""
    records = world.audit(decision="allow")[::-1]
    return [(record["reason"], record["request_id"]) for record in records if record["reason"]]


def test_many_requests_that_come_at_once_are_made_and_answered_in_their_order(server, world):
    many = uses(world, *["/sdk/token", "/sdk/proxy"] * 10)
    with Pipeline(server) as pipeline:
        pipeline.send(b"".join(many))
        answers = [pipeline.answer() for _ in many]
    assert {answer.status for answer in answers} == {200}
    assert recorded(world) == [(f"use {n}", answer.headers["x-request-id"]) for n, answer in enumerate(answers)]


def test_two_requests_that_come_at_once_are_answered_in_order_though_the_body_of_one_is_late(server, world):
    first, second = uses(world, "/sdk/token", "/sdk/token")
    with Pipeline(server) as pipeline:
        pipeline.send(first + second[:-20])
        answers = [pipeline.answer()]
        time.sleep(2)
        pipeline.send(second[-20:])
        answers.append(pipeline.answer())
        # And the connection is as good as before.
        [third] = uses(world, "/sdk/token")
        pipeline.send(third)
        assert pipeline.answer().status == 200
    assert [answer.status for answer in answers] == [200, 200]
    assert recorded(world)[:2] == [(f"use {n}", answer.headers["x-request-id"]) for n, answer in enumerate(answers)]


def test_a_body_has_its_time_from_when_its_turn_comes_and_not_while_another_request_is_worked_on(server, world):
    first, second = uses(world, "/sdk/proxy", "/sdk/token")
    world.oauth.api_delay_seconds = BODY_SECONDS + 2.0
    with Pipeline(server) as pipeline:
        began = time.monotonic()
        pipeline.send(first + second[:-20])
        answers = [pipeline.answer()]
        assert time.monotonic() - began > BODY_SECONDS
        time.sleep(3)
        pipeline.send(second[-20:])
        answers.append(pipeline.answer())
    assert [answer.status for answer in answers] == [200, 200]
    assert recorded(world) == [(f"use {n}", answer.headers["x-request-id"]) for n, answer in enumerate(answers)]


def test_a_body_that_drips_behind_another_request_has_its_end_and_its_request_was_not_made(server, world):
    first, second = uses(world, "/sdk/proxy", "/sdk/token")
    world.oauth.api_delay_seconds = 4.0
    with Pipeline(server) as pipeline:
        pipeline.send(first + second[:-100])
        answer = pipeline.answer()
        assert answer.status == 200
        began = time.monotonic()
        pipeline.drip(second[-100:])
        late = pipeline.answer()
        assert (late.status, late.error) == (408, "request_timeout")
        assert BODY_SECONDS - 6 < time.monotonic() - began < BODY_SECONDS + 12
        assert pipeline.is_over()
    assert recorded(world) == [("use 0", answer.headers["x-request-id"])]
    # Nothing of it counts: it is good on another connection.
    with Pipeline(server) as pipeline:
        pipeline.send(second)
        assert pipeline.answer().status == 200


def test_a_client_that_does_not_read_its_answers_keeps_nobody_from_ending_anything(server, world, monkeypatch):
    large = Answer(200, b"x" * 4_000_000)
    answered = world.oauth.answer
    monkeypatch.setattr(world.oauth, "answer", lambda asked: large if asked.path == "/api/echo" else answered(asked))
    calls = uses(world, *["/sdk/proxy"] * 8)
    with Pipeline(server) as pipeline:
        pipeline.send(b"".join(calls))
        eventually(lambda: len(recorded(world)) > 1, "calls are made although nobody reads", 60)
        time.sleep(2)
        assert len(recorded(world)) < len(calls), "some answers are stuck, and what comes behind them waits"
        began = time.monotonic()
        [grant] = world.management.items(f"{world.path}/grants")
        world.management.post(f"{world.path}/grants/{grant['grant_id']}/revoke", {"reason": "done"})
        assert time.monotonic() - began < 5


# Ends


def test_a_call_that_does_not_come_back_is_cut_at_a_stop_and_recorded(new_server):
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat))
    grant = world.connect(world.jwt())
    world.oauth.api_delay_seconds = 24.0
    with ThreadPoolExecutor() as pool:
        stuck = pool.submit(
            world.signer().send,
            "POST",
            "/sdk/proxy",
            {"method": "GET", "url": world.echo, "grant_id": grant.grant_id},
        )
        eventually(lambda: world.oauth.calls, "the provider is called")
        assert server.stop(timeout_seconds=30) == 0
        assert stuck.exception() or stuck.result().status >= 500
    world.oauth.api_delay_seconds = 0.0
    # Long enough ago that no other node can still be making it.
    server.database.change("UPDATE open_uses SET created_at = created_at - 600000")
    server.start()
    [record] = world.audit(event="credential.proxied")
    assert record["grant_id"] == grant.grant_id
    world.close()
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGILL, signal.SIGABRT], ids=lambda number: number.name)
def test_a_crash_ends_the_process_at_once_and_prints_no_memory(new_server, number):
    server = new_server
    server.start()
    before = server.log.read_text()
    started = time.monotonic()
    assert server.signal(number) == -number
    assert time.monotonic() - started < 5
    assert server.log.read_text() == before
    assert not list(server.data.parent.glob("**/core*"))


# Configuration


def test_a_wrong_configuration_is_reported_whole_and_without_its_secrets(new_server):
    refused = new_server.run(
        "serve",
        "--listen",
        "nowhere",
        "--public-url",
        "http://vault.example.test",
        "--tls-key",
        "/does/not/exist.pem",
        "--data-dir",
        str(new_server.data),
        SALLYPORT_DATABASE="mysql://root:hunter2-hunter2@db/vault",
        SALLYPORT_TRUSTED_PROXIES="10.0.0.0/8, everybody",
    )
    assert refused.returncode == 2
    for named in "listen:", "public url:", "tls:", "database:", "trusted proxies:":
        assert named in refused.stderr, refused.stderr
    assert "hunter2" not in refused.stderr + refused.stdout
    assert not new_server.data.exists()


def test_development_mode_needs_a_loopback_listener(new_server):
    refused = new_server.run(
        "serve", "--development", "--listen", "0.0.0.0:0", "--data-dir", str(new_server.data)
    )
    assert refused.returncode == 2 and "development" in refused.stderr


def test_the_master_key_is_private_and_irreplaceable(new_server):
    server = new_server
    server.create_operator()
    key_file = server.data / "master.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert server.data.stat().st_mode & 0o777 == 0o700
    verify = ("audit", "verify", "--data-dir", str(server.data))
    assert server.run(*verify).returncode == 0

    key_file.chmod(0o640)
    refused = server.run(*verify)
    assert (refused.returncode, "0600" in refused.stderr) == (1, True)
    key_file.chmod(0o600)

    key = key_file.read_text()
    key_file.write_text("A" * 43 + "=\n")
    refused = server.run(*verify)
    assert refused.returncode == 1 and "does not open" in refused.stderr
    key_file.unlink()
    refused = server.run(*verify)
    assert refused.returncode == 1 and "master key" in refused.stderr
    assert not key_file.exists(), "a key store got a new master key"
    key_file.write_text(key)
    key_file.chmod(0o600)
    assert server.run(*verify).returncode == 0
