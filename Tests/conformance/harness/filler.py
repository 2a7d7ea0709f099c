"""Fills the app of a stopped installation with users, grants and a trail, by copying what the server itself wrote."""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from .database import Database

DAYS = 60
"""How far back the trail reaches."""
NAMES = ["Barbara", "Annie", "Donald", "Emmy", "Frances", "Hedy", "John", "Katherine", "Leslie", "Mary", "Radia", "Tim"]


class Filler:
    """Every row is one that the server could have written, but for the chain of the trail."""

    def __init__(self, database: Database, app_id: str) -> None:
        self._database = database
        self._app_id = app_id
        self._now = int(time.time() * 1000)

    def fill(self, users: int, grants: int, records: int) -> None:
        subjects = self._users(users)
        owned = self._grants(subjects, grants)
        self._records(owned, records)

    def _one(self, table: str, condition: str, *values: object) -> dict[str, object]:
        """The first row that fits, by column."""
        rows = self._database.rows(f"SELECT * FROM {table} WHERE {condition} LIMIT 1", *values)
        assert rows, f"no row of {table} where {condition}"
        return rows[0]

    def _users(self, count: int) -> list[str]:
        model = self._one("users", "app_id = ? AND status = 'active'", self._app_id)
        ids = [str(uuid.uuid4()) for _ in range(count)]
        self._database.insert("users", (self._user(model, number, each) for number, each in enumerate(ids)))
        subjects = ({"user_id": each, "subject": f"idp|person-{number}"} for number, each in enumerate(ids))
        self._database.insert("user_subjects", subjects)
        return ids

    def _user(self, model: dict[str, object], number: int, each: str) -> dict[str, object]:
        names = {"external_subject_id": f"idp|person-{number}", "subject": f"idp|person-{number}"}
        name = NAMES[number % len(NAMES)]
        profile = {"email": f"{name.lower()}{number}@atlas.example", "display_name": f"{name} {number}"}
        seen = self._now - number * 60_000
        is_suspended = number % 50 == 7
        state = {"status": "suspended" if is_suspended else "active", "suspended_by": "operator" if is_suspended else None}
        return {**model, "id": each, **names, **profile, **state, "first_seen_at": seen, "last_seen_at": seen}

    def _grants(self, users: list[str], count: int) -> list[tuple[str, str, str]]:
        """Answers (grant, user, provider) of each."""
        model = self._one("grants", "app_id = ? AND kind = 'oauth' AND revoked_at IS NULL", self._app_id)
        credential = self._one("credentials", "id = ?", model["credential_id"])
        providers = [provider for (provider,) in self._database.query("SELECT DISTINCT provider_id FROM oauth_providers")]
        owned = [(str(uuid.uuid4()), users[n % len(users)], providers[n % len(providers)]) for n in range(count)]
        first, step = self._now - DAYS * 86_400_000, DAYS * 86_400_000 // max(count, 1)

        def credentials() -> Iterator[dict[str, object]]:
            for grant, user, provider in owned:
                yield {**credential, "id": grant, "user_id": user, "provider_id": provider, "account_id": grant}

        def grants() -> Iterator[dict[str, object]]:
            for number, (grant, user, provider) in enumerate(owned):
                account = {"account_id": grant, "account_identifier": f"{NAMES[number % len(NAMES)].lower()}{number}@provider.test"}
                made = first + number * step
                revoked = made + 1 if number % 20 == 0 else None
                kept = {"credential_id": None if revoked else grant, "credential_ref": grant, "revoked_at": revoked}
                times = {"created_at": made, "last_used_at": self._now, "term_started_at": made}
                yield {**model, "id": grant, "user_id": user, "provider_id": provider, **account, **kept, **times}

        self._database.insert("credentials", credentials())
        self._database.insert("grants", grants())
        return owned

    def _records(self, owned: list[tuple[str, str, str]], count: int) -> None:
        """In a chain of their own: pages do not verify, and the server's own chains stay whole."""
        model = self._one("audit_records", "app_id = ? AND event = 'credential.retrieved'", self._app_id)
        [(position,)] = self._database.query("SELECT max(position) FROM audit_records")
        first = self._now - DAYS * 86_400_000
        step = DAYS * 86_400_000 / max(count, 1)
        record = json.loads(str(model["record"]))

        def records() -> Iterator[dict[str, object]]:
            for number in range(count):
                each, request = str(uuid.uuid4()), str(uuid.uuid4())
                grant, user, provider = owned[number * 7 % len(owned)]
                at = int(first + number * step)
                decision = "deny" if number % 25 == 0 else "allow"
                when = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                about = {"user_id": user, "grant_id": grant, "provider_id": provider, "request_id": request}
                told = {**record, "id": each, "occurred_at": when, "decision": decision, **about}
                text = json.dumps(told, separators=(",", ":"))
                place = {"position": position + 1 + number, "chain": "bench", "sequence": number}
                yield {**model, **about, **place, "id": each, "occurred_at": at, "decision": decision, "record": text}

        self._database.insert("audit_records", records())

    def is_counted(self) -> bool:
        """Whether the figures of the overview are up to date: they follow from the trail, some records at a time."""
        query = "SELECT (SELECT max(position) FROM audit_records), (SELECT position FROM usage_progress)"
        [(last, counted)] = self._database.query(query)
        return counted >= last
