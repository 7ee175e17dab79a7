"""The workspace changes on a whole network: nobody has to believe the coordinator, and whoever was away follows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from oms.authenticator import SoftwareAuthenticator
from oms.client import Client
from oms.devnet.cast import ETHER, ORIGIN, RP_ID
from oms.devnet.network import Network
from oms_core.encoding import decode, encode
from oms_core.errors import NotFound, Reason, Refused
from oms_core.evidence import SignedAdoption
from oms_core.policy.rules import Rule
from oms_core.policy.text import rules_from_yaml
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import ChangeWorkspace, Workspace, identities, workspace_digest
from oms_core.workspace.drafting import successor
from proto import oms_pb2 as pb
from tests import cluster

STRICTER = """
- rule: require-risk
  require: {approvals: 2, from groups: [risk]}
  when: {action: [TRANSFER, APPROVE, CALL], amount.usd: "above 2,500 USD"}
"""
CRO = """
- rule: require-cro
  require: {approvals: 1, from groups: [cro]}
  when: {action: TRANSFER, amount.usd: "above 2,500 USD"}
"""


@pytest.fixture
async def client(network: Network) -> AsyncIterator[Client]:
    """A client; afterwards the rules are what they were, so that other tests find their network."""
    async with network.client() as made:
        before = await made.workspace()
        yield made
        if (now := await made.workspace()).rules != before.rules:
            await put_back(network, made, replace(now, rules=before.rules))


async def put_back(network: Network, client: Client, drafted: Workspace) -> None:
    """Adopt it with as many approvals as it takes: one where it tightens, and then the second comes too late."""
    change = await proposed(network, client, drafted)
    async with cluster.approving(network, client, "alice", "dora"):
        change = await ended(client, change.change_id)
    assert change.state == "ACTIVE", (change.state, change.reason, change.detail)


def with_rules(current: Workspace, text: str) -> Workspace:
    """These rules in the place of those of the same name."""
    made: dict[str, Rule] = {rule.rule_id: rule for rule in current.rules}
    made |= {rule.rule_id: rule for rule in rules_from_yaml(text, current.assets)}
    return replace(current, rules=tuple(made.values()))


async def proposed(
    network: Network, client: Client, drafted: Workspace, confirmed: bool = False, parent: Workspace | None = None
) -> pb.WorkspaceChange:
    """An administrator asks for it."""
    now = int(time.time())
    made = successor(parent or await client.workspace(), drafted, now)
    wish = ChangeWorkspace(f"chg_{time.time_ns()}", made, "adam", "tests", now, now + 3600)
    return await client.propose_workspace(network.proposer("adam").propose(wish), confirmed)


async def ended(client: Client, change_id: str) -> pb.WorkspaceChange:
    """Once nothing more is done for it."""
    return [seen async for seen in client.watch_workspace_change(change_id)][-1]


async def adopted(
    network: Network, client: Client, drafted: Workspace, *approvers: str, confirmed: bool = False
) -> pb.WorkspaceChange:
    """Proposed, approved, and active."""
    change = await proposed(network, client, drafted, confirmed)
    await cluster.approve(network, client, change.change_id, *approvers)
    change = await ended(client, change.change_id)
    assert change.state == "ACTIVE", (change.state, change.reason, change.detail)
    return change


async def settled(client: Client, version: int, seconds: float = cluster.PATIENT) -> None:
    """Wait until every cosigner is attached and stands on this version."""
    async with asyncio.timeout(seconds):
        while True:
            shown = (await client.status()).cosigners
            if {(one.state, one.version) for one in shown} == {("ATTACHED", version)}:
                return
            await asyncio.sleep(0.2)


async def test_a_loosening_takes_a_quorum_and_a_delay_and_every_cosigner_adopts_it_itself(
    network: Network, client: Client
) -> None:
    before = await client.workspace()
    drafted = replace(before, rules=tuple(rule for rule in before.rules if rule.rule_id != "require-risk"))
    told = await client.review_workspace(successor(before, drafted, int(time.time())))
    assert (told.direction, told.delay) == ("LOOSEN", 5)
    assert any("require-risk" in part.path and part.direction == "LOOSEN" for part in told.parts)
    change = await proposed(network, client, drafted)
    await cluster.approve(network, client, change.change_id, "alice")
    async with asyncio.timeout(cluster.PATIENT):
        while (await client.workspace_change(change.change_id)).reason != Reason.APPROVAL_MISSING:
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    change = await client.workspace_change(change.change_id)
    assert (change.state, change.reason) == ("PROPOSED", Reason.APPROVAL_MISSING)
    started = time.monotonic()
    await cluster.approve(network, client, change.change_id, "dora")
    change = await ended(client, change.change_id)
    assert change.state == "ACTIVE"
    assert time.monotonic() - started > told.delay - 1  # nodes count whole seconds
    assert [stage.state for stage in change.stages] == ["PROPOSED", "APPROVED", "SCHEDULED", "ACTIVE"]
    assert len(change.adoptions) >= 4
    keys, digest = identities(before), change.digest
    for data in change.adoptions:
        signed = decode(SignedAdoption, data)
        verify_identity(keys[signed.adoption.index], "adoption", encode(signed.adoption), signed.signature)
        assert (signed.adoption.workspace, signed.adoption.version) == (digest, before.version + 1)
    assert workspace_digest(await client.workspace()) == digest
    assert await client.workspace(workspace_digest(before)) == before
    await settled(client, before.version + 1)
    tx = await client.ended((await cluster.propose(network, client, wei=2 * ETHER)).transaction_id)
    assert (tx.state, tx.decisions) == ("CONFIRMED", [])


async def test_a_version_that_does_not_follow_the_current_one_is_refused(network: Network, client: Client) -> None:
    before = await client.workspace()
    await adopted(network, client, with_rules(before, STRICTER), "alice")
    with pytest.raises(Refused) as caught:
        await proposed(network, client, with_rules(before, CRO), parent=before)
    assert caught.value.reason == Reason.POLICY_VERSION_MISMATCH


async def test_orders_that_wait_are_decided_by_the_stricter_rules_and_approvals_of_both_versions_count(
    network: Network, client: Client
) -> None:
    before = await client.workspace()
    tx = await cluster.propose(network, client, wei=2 * ETHER)
    await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL")
    await adopted(network, client, with_rules(before, STRICTER), "alice")
    await cluster.approve(network, client, tx.transaction_id, "ravi")
    await adopted(
        network,
        client,
        with_rules(await client.workspace(), "- rule: deny-nobody\n  deny:\n  when: {initiator.user: ulf}"),
        "alice",
    )
    await asyncio.sleep(1)
    waiting = await client.transaction(tx.transaction_id)
    assert waiting.state == "PENDING_APPROVAL"
    assert [(one.user_id, one.state) for one in waiting.decisions] == [("ravi", "VALID")]
    await cluster.approve(network, client, tx.transaction_id, "olga")
    assert (await client.ended(tx.transaction_id)).state == "CONFIRMED"


async def test_a_cosigner_that_was_away_is_chosen_for_nothing_until_it_has_caught_up(
    network: Network, client: Client
) -> None:
    before = await client.workspace()
    network.kill_cosigner(5)
    await network.attached((1, 2, 3, 4))
    await adopted(network, client, with_rules(before, STRICTER), "alice")
    await adopted(network, client, with_rules(await client.workspace(), CRO), "alice")
    network.start_cosigner(5)
    await settled(client, before.version + 2)
    tx = await client.ended((await cluster.propose(network, client)).transaction_id)
    assert tx.state == "CONFIRMED"


async def test_a_killed_coordinator_stands_on_the_same_version_and_goes_on_with_what_waited(
    network: Network, client: Client
) -> None:
    before = await client.workspace()
    drafted = replace(before, rules=tuple(rule for rule in before.rules if rule.rule_id != "require-risk"))
    change = await proposed(network, client, drafted)
    await cluster.approve(network, client, change.change_id, "alice", "dora")
    network.processes.kill("coordinator")
    network.start_coordinator()
    await cluster.ready(network)
    assert (await ended(client, change.change_id)).state == "ACTIVE"
    network.processes.kill("coordinator")
    network.start_coordinator()
    await cluster.ready(network)
    assert workspace_digest(await client.workspace()) == change.digest
    await settled(client, before.version + 1)


async def test_when_somebody_leaves_her_rules_are_named_first_and_her_approvals_are_void_everywhere(
    network: Network, client: Client
) -> None:
    before = await client.workspace()
    await adopted(network, client, with_rules(before, CRO + STRICTER), "alice")
    tx = await cluster.propose(network, client, wei=2 * ETHER)
    await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL")
    await cluster.approve(network, client, tx.transaction_id, "carol")
    current = await client.workspace()
    carol = next(one for one in current.users if one.user_id == "carol")
    revoked = replace(carol, credentials=tuple(replace(one, revoked=True) for one in carol.credentials))
    drafted = replace(current, users=tuple(revoked if one is carol else one for one in current.users))
    with pytest.raises(Refused) as caught:
        await proposed(network, client, drafted)
    assert caught.value.reason == Reason.UNSATISFIABLE
    assert "require-cro" in caught.value.message
    await adopted(network, client, drafted, "alice", confirmed=True)
    waiting = await client.transaction(tx.transaction_id)
    assert waiting.state == "PENDING_APPROVAL"
    (decision,) = waiting.decisions
    assert (decision.user_id, decision.state, decision.reason) == ("carol", "INVALIDATED", Reason.CREDENTIAL_REVOKED)
    assert all("carol" not in need.given for need in waiting.needs)
    await cluster.approve(network, client, tx.transaction_id, "ravi", "olga")
    assert (await client.transaction(tx.transaction_id)).state == "PENDING_APPROVAL"
    with pytest.raises(NotFound):
        await anew(network, client, tx.transaction_id, network.authenticator("carol"))
    # She comes back with another key, which takes a quorum and its delay.
    fresh = SoftwareAuthenticator.create(network.root / "people" / f"carol-{time.time_ns()}.json", RP_ID)
    back = replace(revoked, credentials=(*revoked.credentials, fresh.credential))
    current = await client.workspace()
    users = tuple(back if one.user_id == "carol" else one for one in current.users)
    await adopted(network, client, replace(current, users=users), "alice", "dora")
    await anew(network, client, tx.transaction_id, fresh)
    # What the others approved was under a version in which she could not: it is asked for anew, besides hers from one.
    await cluster.approve(network, client, tx.transaction_id, "ravi")
    tx = await client.ended(tx.transaction_id)
    assert tx.state == "CONFIRMED", (tx.reason, tx.detail)


async def test_people_do_all_of_it_on_the_command_line(network: Network, client: Client, tmp_path: Path) -> None:
    before, file = await client.workspace(), tmp_path / "next.yaml"
    assert before.name in await oms(network, "workspace", "show", "--out", str(file))
    text = file.read_text()
    assert "amount: 50 ETH" in text
    file.write_text(text.replace("amount: 50 ETH", "amount: 48 ETH"))
    propose = ("workspace", "propose", str(file), "--purpose", "tests", "--yes")
    mistaken = (await oms(network, *propose, user="adam")).split()[0]
    with pytest.raises(AssertionError, match="CREDENTIAL_UNKNOWN"):
        await oms(network, "workspace", "withdraw", mistaken)
    assert "WITHDRAWN" in await oms(network, "workspace", "withdraw", mistaken, user="adam")
    file.write_text(text.replace("amount: 50 ETH", "amount: 49 ETH"))
    told = await oms(network, "workspace", "diff", str(file))
    assert "it only tightens what is possible" in told
    assert "limit-coin" in told
    change_id = (await oms(network, *propose, user="adam")).split()[0]
    key = str(network.root / "people" / "alice.json")
    async with asyncio.timeout(cluster.PATIENT):
        while len([r for one in await client.inbox("alice") for r in one.readings if one.subject_id == change_id]) < 5:
            await asyncio.sleep(0.2)
    await oms(network, "workspace", "approve", "alice", change_id, "--key", key)
    assert "ACTIVE" in (await oms(network, "workspace", "watch", change_id)).splitlines()[-2:][0]
    async with asyncio.timeout(cluster.PATIENT):  # the last one may go over after it is active
        while len((change := await client.workspace_change(change_id)).adoptions) + len(change.schedulings) < 10:
            await asyncio.sleep(0.2)
    shown = await oms(network, "workspace", "change", change_id)
    assert shown.count("signature verified") == 10
    assert "alice: APPROVE" in shown
    assert f"version {before.version + 1}" in await oms(network, "status")
    assert change_id in await oms(network, "workspace", "changes")
    old = await oms(network, "workspace", "show", "--digest", workspace_digest(before).hex())
    assert old.startswith(f"{before.name} version {before.version}")


async def oms(network: Network, *arguments: str, user: str = "desk") -> str:
    """What the command line of somebody prints."""
    config = network.root / f"oms-{user}.toml"
    text = (network.root / "oms.toml").read_text()
    config.write_text(
        text.replace('"desk"', f'"{user}"').replace("desk.pem", f"{user}.pem").replace("desk-1", f"{user}-1")
    )
    call = (sys.executable, "-c", "from oms.cli import main; main()", "--config", str(config), *arguments)
    done = await asyncio.to_thread(subprocess.run, call, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def anew(network: Network, client: Client, subject_id: str, key: SoftwareAuthenticator) -> None:
    """Carol decides with this key. Raises `NotFound` if nothing waits for her."""
    for one in await client.inbox("carol"):
        if one.subject_id == subject_id:
            await client.decide(subject_id, key.approve(one.claim, ORIGIN))
            return
    raise NotFound(f"{subject_id} does not wait for carol in {network.root.name}", Reason.UNKNOWN_TRANSACTION)
