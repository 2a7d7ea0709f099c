"""What stands in front of several nodes: one address, and each request goes to the next of them."""

import http.client
from collections import Counter
from itertools import cycle
from urllib.parse import urlsplit

from .local_http import Answer, LocalServer, Request
from .server import Server

_OF_THE_CONNECTION = {"connection", "content-length", "keep-alive", "transfer-encoding"}


class Balancer(LocalServer):
    def __init__(self, nodes: list[Server]) -> None:
        self._turns = cycle(nodes)
        self.passed: Counter[str] = Counter()
        """How many requests each node got, by its address."""
        super().__init__()

    def answer(self, request: Request) -> Answer:
        node = next(self._turns)
        self.passed[node.url] += 1
        connection = http.client.HTTPConnection(urlsplit(node.url).netloc, timeout=30)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in _OF_THE_CONNECTION:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            given = connection.getresponse()
            body = given.read()
        finally:
            connection.close()
        for name in _OF_THE_CONNECTION:
            del given.headers[name]
        return Answer(given.status, body, given.headers)
