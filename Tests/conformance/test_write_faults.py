"""Killed at each write of a deprovisioning, the server loses nothing acknowledged and leaves nothing half done."""

import os
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace

import pytest
import requests
from alter_sdk import AlterSDKError, PolicyViolationError

from harness.canaries import readable_in
from harness.faults import NEVER, KillSwitch, MortalServer
from harness.management import Management
from harness.waiting import eventually
from harness.webhooks import Auth0Stream
from harness.world import World

pytestmark = pytest.mark.sqlite("its files, write by write")

KILLS = int(os.environ.get("SALLYPORT_KILLS", "12"))
"""How many steps the server is killed at. With 750, it is every one, and every write torn as well."""

ACCOUNTS = 3
"""What each person connects."""


@pytest.fixture(scope="session")
def switch(tmp_path_factory):
    return KillSwitch(tmp_path_factory.mktemp("switch"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, switch):
    server = MortalServer(tmp_path_factory.mktemp("server"), switch)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def departures(server, management):
    departures = Departures(server, management)
    departures.round("no step", NEVER)
    yield departures
    departures.world.close()
    assert readable_in(server.stored()) == []


@dataclass(frozen=True)
class Person:
    name: str
    user_id: str
    data_key_id: str
    grant_ids: list[str]
    event: dict
    """Kept, because an identity provider repeats what was not acknowledged."""

    @property
    def accounts(self) -> list[str]:
        return [f"{self.name}-{number}" for number in range(ACCOUNTS)]


@dataclass(frozen=True)
class State:
    """What there is of a person: for the app, for the operator, and in the files."""

    status: str
    grants: dict[str, int]
    uses: dict[str, int]
    records: int
    deliveries: tuple[str, ...]
    credentials: int
    data_keys: int


UNTOUCHED = State("active", {"active": ACCOUNTS}, {"answered": ACCOUNTS}, 0, (), ACCOUNTS, 1)
GONE = State("deprovisioned", {"revoked": ACCOUNTS}, {"GrantDeletedError": ACCOUNTS}, 1, ("deprovisioned",), 0, 0)


@dataclass(frozen=True)
class Steps:
    """What one deprovisioning does to the files: a letter for each step, and how many there are before the answer."""

    kinds: str
    acknowledged_after: int


class Departures:
    """
    Somebody new connects three accounts and leaves, over and over; the server dies each time. Every round begins with
    the same files, so that a step is the same step in each: in growing ones, it would move.
    """

    def __init__(self, server: MortalServer, management: Management) -> None:
        self.world = World(server, management, idp_type="auth0")
        self.outcomes: Counter[str] = Counter()
        """How often each kind of end was seen."""
        self.steps = Steps("", 0)
        """Of the latest round whose server was not to die by itself."""
        self._server = server
        self._stream = Auth0Stream(self.world)
        self._bystander = self.world.connect(self.world.jwt("bystander"), account="bystander").grant_id
        self._people = 0
        assert server.stop() == 0, server.log_tail()
        self._files = server.data.with_name("files at the beginning")
        shutil.copytree(server.data, self._files)

    def round(self, at: str, step: int, torn: bool = False, recovery_step: int | None = None) -> int:
        """
        One person, one death and, if wanted, another one during the start that follows; then everything is looked at.
        `at` says in a failure which round it was. Answers how many steps the start had that was to die.
        """
        try:
            return self._round(step, torn, recovery_step)
        except BaseException as failure:
            failure.add_note(f"killed at {at}")
            raise

    def _round(self, step: int, torn: bool, recovery_step: int | None) -> int:
        shutil.rmtree(self._server.data)
        shutil.copytree(self._files, self._server.data)
        self._server.start()
        person = self._arrive()
        is_acknowledged = self._leave(person, step, torn)
        start_steps = 0 if recovery_step is None else self._server.start_and_die_at(recovery_step)
        self._server.start()
        state = self._state(person)
        if is_acknowledged:
            assert state == GONE, f"acknowledged, then lost: {state}"
        else:
            assert state in (UNTOUCHED, GONE), f"half done: {state}"
            answer = self._stream.send(person.event, authorization=self._stream.secret)
            assert answer.ok, f"the repeated event was answered {answer.status_code}: {answer.text}"
            repeated = self._state(person)
            assert repeated == GONE, f"repeated without full effect: {repeated}"
        self.outcomes["acknowledged" if is_acknowledged else "done" if state == GONE else "untouched"] += 1
        self._check_the_rest(person)
        assert self._server.stop() == 0, self._server.log_tail()
        verified = self._server.run("audit", "verify", "--data-dir", str(self._server.data))
        assert verified.returncode == 0, verified.stderr
        if self._people % 10 == 0:
            assert readable_in(self._server.stored()) == []
        return start_steps

    def _arrive(self) -> Person:
        self._people += 1
        name = f"person-{self._people}"
        person = Person(name, "", "", [], self._stream.event(name=name))
        jwt = self.world.jwt(name)
        grant_ids = [self.world.connect(jwt, account=account).grant_id for account in person.accounts]
        [(user_id, data_key_id)] = self._server.database.query(
            "SELECT id, data_key_id FROM users WHERE external_subject_id = ?", self.world.subject(name)
        )
        return replace(person, user_id=user_id, data_key_id=data_key_id, grant_ids=grant_ids)

    def _leave(self, person: Person, step: int, torn: bool) -> bool:
        """Ends with the server. Answers whether the event was acknowledged."""
        switch = self._server.switch
        switch.arm(step, torn)
        try:
            answer = self._stream.send(person.event, authorization=self._stream.secret)
        except requests.RequestException:
            is_acknowledged = False
        else:
            assert answer.ok, (answer.status_code, answer.text)
            is_acknowledged = True
        acknowledged_after = switch.count
        assert is_acknowledged or acknowledged_after >= step, "no answer, and the server did not come to the step"
        # What follows the answer: providers are told, beside everything else.
        self._wait_until_dead_or_quiet(1.0 if step == NEVER else 0.4)
        self._server.kill()
        if step == NEVER:
            self.steps = Steps(switch.kinds(), acknowledged_after)
        return is_acknowledged

    def _wait_until_dead_or_quiet(self, quiet_seconds: float) -> None:
        seen, since = -1, time.monotonic()
        while self._server.is_running() and time.monotonic() < since + quiet_seconds:
            if self._server.switch.count != seen:
                seen, since = self._server.switch.count, time.monotonic()
            time.sleep(0.01)

    # Looking

    def _state(self, person: Person) -> State:
        world, management = self.world, self.world.management
        # The files first: what a start owes was done before anything is served.
        data_keys = self._server.keys.count("data_keys WHERE id = ?", person.data_key_id)
        credentials = self._server.database.count("credentials WHERE user_id = ?", person.user_id)
        query = "SELECT outcome FROM webhook_deliveries WHERE delivery_id = ?"
        deliveries = self._server.database.query(query, person.event["log_id"])
        grants = management.items(f"{world.path}/grants", user_id=person.user_id)
        return State(
            status=management.get(f"{world.path}/users/{person.user_id}")["status"],
            grants=dict(Counter(grant["status"] for grant in grants)),
            uses=dict(Counter(self._use(grant_id) for grant_id in person.grant_ids)),
            records=len(world.audit(event="user.deprovisioned", user_id=person.user_id)),
            deliveries=tuple(outcome for (outcome,) in deliveries),
            credentials=credentials,
            data_keys=data_keys,
        )

    def _use(self, grant_id: str) -> str:
        try:
            self.world.request(grant_id=grant_id)
        except AlterSDKError as refused:
            return type(refused).__name__
        return "answered"

    def _check_the_rest(self, person: Person) -> None:
        """What must hold of somebody who is gone, beside the state, and of everybody else."""
        world, management = self.world, self.world.management
        with pytest.raises(PolicyViolationError) as refused:
            world.request_as(world.jwt(person.name))
        assert refused.value.policy_error == "user_deprovisioned"
        [record] = world.audit(event="user.deprovisioned", user_id=person.user_id)
        assert sorted(record["details"]["grants_revoked"]) == sorted(person.grant_ids)
        webhooks = management.get(f"{world.path}/identity-provider/webhooks")
        assert webhooks["counts"] == {"deprovisioned": 1}, "a delivery was counted twice, or not"
        assert world.request(grant_id=self._bystander).json()["account"] == "bystander"

        families = [family for family in world.oauth.families if family.account in person.accounts]
        assert len(families) == ACCOUNTS
        eventually(
            lambda: not any(family.access_tokens for family in families), "the provider is told to end all tokens"
        )
        # A refresh and an access token of each account; what became of each is recorded once.
        told, status = [("done",)] * 2 * ACCOUNTS, "SELECT status FROM revocations WHERE user_id = ?"
        eventually(lambda: self._server.database.query(status, person.user_id) == told, "every revocation is done")
        assert len(world.audit(event="provider_revocation.done", user_id=person.user_id)) == len(told)
        eventually(lambda: self._server.database.count("key_destructions") == 0, "no destruction of a key is pending")
        # One is made ahead of the next use.
        assert self._server.keys.count("data_keys WHERE purpose = 'revocation'") <= 1, "a one-off key was left"


def spread(first: int, last: int, number: int) -> list[int]:
    """`number` steps from the first to the last, at even distances."""
    if number < 2:
        return [last][:number]
    return [first + round(i * (last - first) / (number - 1)) for i in range(number)]


def plan(steps: Steps, kills: int, chance: random.Random) -> list[tuple[int, bool]]:
    """The steps to die at, and whether their writes are torn."""
    total = len(steps.kinds)
    whole = [(step, False) for step in range(1, total + 3)]
    torn = [(step, True) for step, kind in enumerate(steps.kinds, start=1) if kind == "w"]
    if kills >= len(whole):
        every = whole + torn
        return (every + chance.choices(every, k=kills))[:kills]
    torn_number = kills // 4
    after_number = (kills - torn_number) // 3
    before = spread(1, steps.acknowledged_after, kills - torn_number - after_number)
    after = spread(steps.acknowledged_after + 1, total + 2, after_number)
    chosen = [torn[index] for index in spread(0, len(torn) - 1, torn_number + 1)[:torn_number]]
    return [(step, False) for step in before + after] + chosen


@pytest.mark.timeout(60 + 10 * KILLS)
def test_rows_56_and_61_killed_at_each_write_of_a_deprovisioning_it_is_done_exactly_once_or_repeatable(departures):
    seed = random.randrange(2**32)
    rounds = plan(departures.steps, KILLS, random.Random(seed))
    departures.outcomes.clear()
    of = f"of some {len(departures.steps.kinds)}, {departures.steps.acknowledged_after} of them before the answer"
    for number, (step, torn) in enumerate(rounds, start=1):
        at = f"{'torn ' if torn else ''}step {step} {of} (round {number}, seed {seed})"
        departures.round(at, step, torn)
    if KILLS >= 12:
        assert set(departures.outcomes) == {"untouched", "done", "acknowledged"}, departures.outcomes


@pytest.mark.timeout(60 + 10 * KILLS)
def test_rows_56_and_61_killed_again_at_each_write_of_the_start_that_follows_it_is_done_exactly_once_or_repeatable(departures):
    departures.outcomes.clear()
    # At the first write nothing is decided; after the first flush the end is, and the person's key still lives; at the
    # last step before the answer, or just after it, the key is destroyed.
    for step in 1, departures.steps.kinds.index("s") + 2, departures.steps.acknowledged_after:
        total = departures.round(f"step {step}", step, recovery_step=NEVER)
        for recovery_step in spread(1, total + 1, min(total + 1, KILLS // 4)):
            at = f"step {step}, then at step {recovery_step} of some {total} of the start"
            departures.round(at, step, recovery_step=recovery_step)
    assert set(departures.outcomes) >= {"untouched", "done"}, departures.outcomes
