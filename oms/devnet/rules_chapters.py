"""The chapters of the demo that are about rules: what is refused in whatever disguise, and how the rules change."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from oms.client import Client
from oms.devnet.network import CHAIN, Network
from oms_core.chains import abi
from oms_core.chains.evm import to_checksum
from oms_core.chains.intent import Call
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, LocalError, Reason
from oms_core.evidence import SignedAdoption
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import AddressEntry, ChangeWorkspace, EntryState, identities
from oms_core.workspace.drafting import successor
from oms_core.workspace.sentences import sentences

WALLET = "wal_treasury"
PENSION = bytes.fromhex("9e" * 20)
Say = Callable[[str], None]
Approve = Callable[..., Awaitable[object]]


async def disguised(network: Network, client: Client, say: Say) -> str:
    """A call that looks like a token's transfer, to a contract that is listed but is no token."""
    listed = (await client.workspace()).contracts[1]
    data = abi.encode_texts("transfer(address,uint256)", (to_checksum(PENSION), "0"))
    try:
        intent, _ = await client.prepare(WALLET, Call(listed.address, 0, data), "desk", "looks harmless")
        await client.submit(network.desk().propose(intent))
    except CountersealError as error:
        if error.reason != Reason.ACTION_MISMATCH:
            raise
        say(f"REFUSED   {error.reason}: {error.message}")
        return f"disguised {error.reason}: a transfer that is none, to a listed contract"
    raise LocalError("expected that a disguised call is refused", Reason.INTERNAL)


async def change(network: Network, client: Client, say: Say, approve: Approve) -> str:
    """Another destination: proposed by one administrator, approved by two others, adopted by five nodes."""
    current, now = await client.workspace(), int(time.time())
    entry = AddressEntry("pension-fund", "Pension fund", CHAIN, PENSION, (), EntryState.ACTIVE, now)
    following = successor(current, replace(current, address_book=(*current.address_book, entry)), now)
    for line in sentences(current, following):
        say(f"   {line}")
    wish = ChangeWorkspace(
        f"chg_{secrets.token_hex(13)}", following, "adam", "pays the pensions from here", now, now + 3600
    )
    asked = await client.propose_workspace(network.proposer("adam").propose(wish))
    say("proposed by adam; it loosens the rules, so it takes two others, and a delay")
    await approve(client, asked.change_id, "alice", "dora")
    say("approved by alice and dora; each node counts the delay from when it saw that")
    async for seen in client.watch_workspace_change(asked.change_id):
        say(f"   {seen.state}{f' {seen.detail}' if seen.detail else ''}")
    if seen.state != "ACTIVE":
        raise LocalError(f"expected that the change is active, not {seen.state} {seen.detail}", Reason.INTERNAL)
    keys = identities(following)
    for data in seen.adoptions:
        signed = decode(SignedAdoption, data)
        verify_identity(keys[signed.adoption.index], "adoption", encode(signed.adoption), signed.signature)
        say(f"cosigner {signed.adoption.index} signed: it stands on version {signed.adoption.version}")
    return f"changed   the rules are version {following.version} at {len(seen.adoptions)} cosigners"
