"""Where audit records are sent: receivers of signed webhooks and of OTLP/HTTP, with moods that a test may set."""

import json
import threading
from dataclasses import dataclass
from email.message import Message
from typing import Any

from svix.webhooks import Webhook

from .canaries import canary
from .local_http import Answer, LocalServer, Request
from .world import World


@dataclass(frozen=True)
class Batch:
    fields: Message
    body: bytes
    status: int
    """What it was answered with."""

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.fields.items()}

    @property
    def id(self) -> str | None:
        return self.headers.get("webhook-id")

    def json(self) -> Any:
        return json.loads(self.body)


class StreamReceiver(LocalServer):
    def __init__(self, port: int = 0) -> None:
        # Behaviour that a test may set
        self.failures: list[Answer] = []
        """Answered before anything is taken, the first one first."""
        self.hangs = threading.Event()
        """Answers nothing while it is set."""
        self.is_webhook = False
        """Then what does not verify by the real Svix library is refused."""
        self.secret: str | None = None
        # What happened
        self.asked = 0
        """How many messages came, those that are not answered yet included."""
        self.batches: list[Batch] = []
        self.forged: list[str] = []
        self._released = threading.Event()
        super().__init__(port)

    def close(self) -> None:
        self.release()
        super().close()

    def release(self) -> None:
        """Who hangs is answered now."""
        self.hangs.clear()
        self._released.set()

    def answer(self, request: Request) -> Answer:
        self.asked += 1
        if self.hangs.is_set():
            self._released.wait(25)
        answer = self.failures.pop(0) if self.failures else self._judge(dict(request.headers.items()), request.body)
        self.batches.append(Batch(request.headers, request.body, answer.status))
        return answer

    def _judge(self, headers: dict[str, str], body: bytes) -> Answer:
        if self.is_webhook:
            if self.secret is None:
                return Answer(503)
            try:
                Webhook(self.secret).verify(body, headers)
            except Exception as unverified:  # noqa: BLE001 - whatever the library says, the test is to say it
                self.forged.append(repr(unverified))
                return Answer(401)
        return Answer(204)

    def taken(self) -> list[Batch]:
        return [batch for batch in list(self.batches) if batch.status < 300]

    # Webhooks

    def records(self) -> list[dict[str, Any]]:
        """The records that it took, in the order in which each came first."""
        first: dict[int, dict[str, Any]] = {}
        for batch in self.taken():
            for record in batch.json()["records"]:
                assert first.setdefault(record["sequence"], record) == record, "a record changed on its way"
        return list(first.values())

    def sequences(self) -> list[int]:
        return [record["sequence"] for record in self.records()]

    # OTLP

    def log_records(self) -> list[dict[str, Any]]:
        return [
            record
            for batch in self.taken()
            for resource in batch.json()["resourceLogs"]
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]


def streams(world: World) -> str:
    return f"{world.path}/audit-streams"


def open_webhook(world: World, receiver: StreamReceiver, **settings: Any) -> dict[str, Any]:
    """A stream to the receiver; a delivery that is faster than the answer with the secret has to come again."""
    receiver.is_webhook = True
    stream = world.management.post(streams(world), {"kind": "webhook", "url": receiver.url("/audit"), **settings})
    receiver.secret = canary(stream["signing_secret"])
    return stream
