"""What was acknowledged is still true after a crash, and no secret of a run can be read on the disk."""

import pytest
from alter_sdk import GrantDeletedError, GrantRevokedError, PolicyViolationError

from harness.canaries import readable_in
from harness.management import Management
from harness.sdk import wait
from harness.world import World


def test_a_killed_server_still_knows_every_acknowledged_grant_revocation_and_record(new_server):
    server = new_server
    server.start()
    world = World(server, Management(server.url, server.create_operator().pat))
    kept = world.connect(world.jwt())
    revoked = world.connect(world.jwt("bob"), account="bob")
    gone = world.connect(world.jwt("carol"), account="carol")
    wait(world.app.revoke_grant(revoked.grant_id))
    world.request(grant_id=kept.grant_id)
    before = {record["id"]: record for record in world.audit()}
    world.management.post(f"{world.path}/users/{world.user('carol')['id']}/deprovision", {"reason": "left"})
    server.kill()

    server.start()
    with pytest.raises(GrantDeletedError):
        world.request(grant_id=gone.grant_id)
    with pytest.raises(PolicyViolationError):
        world.request_as(world.jwt("carol"))
    with pytest.raises(GrantRevokedError):
        world.request(grant_id=revoked.grant_id)
    assert world.request(grant_id=kept.grant_id).json()["account"] == "alice"
    after = {record["id"]: record for record in world.audit()}
    assert {key: after.get(key) for key in before} == before
    world.close()
    assert server.stop() == 0


def test_no_secret_is_readable_in_the_data_folder_or_in_the_log_while_the_server_runs(connected):
    world, jwt, grant = connected
    world.request_as(jwt)
    world.proxy(grant_id=grant.grant_id)
    world.add_secret("stats", "bearer", {"token": "a-static-token-of-a-provider"})
    assert readable_in(world.server.files()) == []
