"""The main job in one run: five cosigners make a key, sign and settle transfers, lose nodes, name a liar, and refuse.

Run by `make demo`. Ends with a non-zero code unless everything happened as it is shown.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from oms.cli import prompts
from oms.client import Client, Waiting
from oms.devnet import rules_chapters
from oms.devnet.cast import ETHER, ORIGIN
from oms.devnet.network import Network, how_to_use
from oms_core.chains.evm import address_of, decode_signed, sender, signing_digest, to_checksum
from oms_core.chains.intent import CreateWallet
from oms_core.crypto import ecdsa
from oms_core.encoding import decode, decode_one_of, encode
from oms_core.errors import CountersealError, LocalError, Reason
from oms_core.evidence import SignedRefusal
from oms_core.keys import Change, ChangeKey, SignedKeyReceipt
from oms_core.protocol.accuse import CASE_LIMIT, Equivocation, SignedCase
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.judge import judge
from oms_core.protocol.shares import SignedConfirmation, check_confirmations
from oms_core.workspace import identities, member
from proto import oms_pb2 as pb

WALLET = "wal_treasury"
_EVIDENCE: tuple[type[Any], ...] = (SignedCase, Equivocation)
NOT_IN_THE_BOOK = "0x000000000000000000000000000000000000dEaD"


class Demo:
    """One run's state: the network, and the clock that stamps each line."""

    def __init__(self, network: Network) -> None:
        self.network, self._started = network, time.monotonic()
        self.summary: list[str] = []
        self._chapter = 0

    def head(self, text: str) -> None:
        """A new chapter."""
        self._chapter += 1
        click.echo(f"\n{self._chapter}. {text}")

    def say(self, text: str) -> None:
        """One line with the seconds since the start."""
        click.echo(f"  {time.monotonic() - self._started:6.1f} s  {text}")

    async def run(self) -> None:
        """All chapters."""
        self.head("Set up: certificates, HSM tokens, processes")
        self.network.prepare(self.say)
        self.network.start()
        count = len(self.network.processes.pids())
        self.say(f"started anvil, 1 coordinator, 5 enclaves, 5 gateways: {count} processes on loopback")
        await self.network.attached(range(1, 6), 60)
        self.say("all five cosigners have dialled in over mutual TLS")
        async with self.network.client() as client:
            await self.make_wallet(client)
            await self.first_transfer(client)
            await self.forbidden(client)
            await self.new_rules(client)
            await self.two_nodes_down(client)
            await self.liar(client)
            await self.without_the_liar(client)
        await self.swapped()

    async def make_wallet(self, client: Client) -> None:
        """Key generation, confirmed by all."""
        self.head("A wallet: distributed key generation, any 3 of 5 sign")
        now = int(time.time())
        wish = CreateWallet(WALLET, "Treasury", 3, (1, 2, 3, 4, 5), "L112", "desk", "the demo", now, now + 3600)
        await client.create_wallet(self.network.desk().propose(wish))
        await self.approve(client, WALLET, "sam", "sonja")
        self.say("approved by two security officers; the nodes look for safe primes")
        async for event in client.watch_wallet(WALLET):
            if event.round:
                self.say(f"round {event.round:2}  {event.step:16} {event.elapsed_seconds:5.1f} s into the session")
            elif event.step:
                self.say("test signature made by three and verified by all five")
            elif event.wallet.state in ("FAILED", "DENIED"):
                raise LocalError(event.wallet.detail, Reason(event.wallet.reason))
        wallet, workspace = await client.wallet(WALLET), await client.workspace()
        signed = tuple(decode(SignedConfirmation, data) for data in wallet.confirmations)
        said = check_confirmations(signed, identities(workspace))
        address = to_checksum(address_of(said.public_key))
        self.expect(address == wallet.address and wallet.state == "ACTIVE", "the wallet is active under one address")
        for one in signed:
            name = member(workspace, one.confirmation.index).name
            self.say(f"cosigner {one.confirmation.index} {name:10} signed with its HSM key: {address}")
        self.summary.append(f"wallet    {address}, confirmed by all five")

    async def first_transfer(self, client: Client) -> None:
        """Fund, propose, approve, sign, settle."""
        self.head("A transfer: propose, approve by FIDO2, sign with three of five, settle")
        wallet = await client.wallet(WALLET)
        await self.network.fund(wallet.address, 100 * ETHER)
        self.say("funded with 100 ETH from anvil")
        tx = await self.transfer(client, "entry:kraken-hot", 2 * ETHER, "ravi")
        await self.check_signature(tx, wallet)
        self.summary.append(f"transfer  {tx.hash} by cosigners {_names(tx)}")

    async def two_nodes_down(self, client: Client) -> None:
        """Two dead nodes stop nothing, but three witnesses of the log ask for more."""
        self.head("Two cosigners killed (SIGKILL): the other three sign what people approve to the byte")
        for index in (2, 4):
            self.network.kill_cosigner(index)
        self.say("killed enclave and gateway of cosigners 2 and 4")
        said = await self.mode(client, "DEGRADED")
        self.say(f"{said.mode}  log of {said.size} entries: {said.detail}")
        small = await self.propose(client, "entry:kraken-hot", ETHER // 10)
        tx = await self.transfer(client, "entry:kraken-hot", 3 * ETHER, "olga", exactly=True)
        self.expect(set(tx.signers) == {1, 3, 5}, "signed by the three that live")
        small = await client.transaction(small.transaction_id)
        self.expect(small.reason == Reason.EXACT_BYTES_NEEDED, f"what nobody approves waits, and is not {small.state}")
        self.say(f"waits     0.1 ETH, which nobody has to approve: {small.reason}")
        self.summary.append(f"transfer  {tx.hash} by cosigners {_names(tx)}, two dead, exact bytes approved")

    async def mode(self, client: Client, wanted: str) -> pb.LogStatus:
        """Wait until so many vouch for the log."""
        for _ in range(600):
            if (said := (await client.status()).log).mode == wanted:
                return said
            await asyncio.sleep(0.1)
        raise LocalError(f"expected that the log is {wanted}, not {said.mode}: {said.detail}", Reason.INTERNAL)

    async def forbidden(self, client: Client) -> None:
        """The policy says no."""
        self.head("A transfer that the policy forbids")
        tx = await self.propose(client, NOT_IN_THE_BOOK, ETHER)
        tx = await client.ended(tx.transaction_id)
        self.expect(tx.state == "REJECTED" and tx.reason == Reason.NO_PERMIT, "the order is rejected: NO_PERMIT")
        self.say(f"REJECTED  {tx.reason}: {tx.detail}")
        for line in tx.trace:
            self.say(f"   {line}")
        self.summary.append(f"forbidden {tx.reason}: refused by the policy")
        self.summary.append(await rules_chapters.disguised(self.network, client, self.say))

    async def new_rules(self, client: Client) -> None:
        """The address book grows; what it permits then is signed."""
        self.head("The rules change: other people, a delay, and five nodes that verify for themselves")
        self.summary.append(await rules_chapters.change(self.network, client, self.say, self.approve))
        tx = await self.propose(client, "entry:pension-fund", ETHER // 10)
        tx = await client.ended(tx.transaction_id)
        self.expect(tx.state == "CONFIRMED", f"the new entry is paid, not {tx.state} {tx.reason} {tx.detail}")
        self.say(f"settled   {tx.hash}, to an account that the version before did not know")

    async def liar(self, client: Client) -> None:
        """With two nodes dead, a third one lies: it is named, with evidence that anybody can judge."""
        self.head("A cosigner that lies inside the protocol")
        self.network.kill_cosigner(3)
        self.network.start_cosigner(3, ("tests.attack.evil_cosigner", "sigma"))
        await self.network.attached((1, 3, 5), 60)
        self.say("2 and 4 are still dead; 3 now gives wrong shares of signatures")
        tx = await self.propose(client, "entry:kraken-hot", 2 * ETHER)
        await self.mode(client, "DEGRADED")
        await self.approve(client, tx.transaction_id, "ravi")
        while not (found := await client.evidence()):
            await asyncio.sleep(0.2)
        document = (await client.evidence_document(found[0].evidence_id)).document
        accusation = decode_one_of(_EVIDENCE, document, CASE_LIMIT)
        verdict = judge(accusation, identities(await client.workspace()))
        self.expect(verdict.culprit == 3, "the evidence convicts cosigner 3")
        self.say(f"evidence  {found[0].evidence_id}: {len(document)} bytes, accused by cosigner {_accuser(accusation)}")
        self.say(f"CONFIRMED offline, from public data: cosigner 3 lied at {verdict.step}: {verdict.reason}")
        for index in (2, 4):
            self.network.start_cosigner(index)
        tx = await client.ended(tx.transaction_id)
        self.expect(tx.state == "CONFIRMED" and 3 not in tx.signers, "the order is signed without the liar")
        self.say(f"settled   {tx.hash}, signed by {_names(tx)} when 2 and 4 were back; 3 is in quarantine")
        self.summary.append(f"liar      cosigner 3 convicted of {verdict.step}; signed by {_names(tx)}")

    async def without_the_liar(self, client: Client) -> None:
        """Resharing: another committee, the same key."""
        self.head("The key is dealt anew to the other four; the address stays")
        wallet, keys = await client.wallet(WALLET), identities(await client.workspace())
        now = int(time.time())
        key = (wallet.key_id, wallet.public_key, wallet.chain_code)
        four, until = (1, 2, 4, 5), now + 3600
        wish = ChangeKey(WALLET, *key, Change.RESHARE, wallet.epoch, 3, four, "desk", "3 lied", now, until)
        change = await client.change_key(self.network.desk().propose(wish))
        await self.approve(client, change.change_id, "sam", "sonja")
        self.say("approved by two security officers; the four make new moduli and new shares")
        change = [seen async for seen in client.watch_key_change(change.change_id)][-1]
        self.expect(change.state == "DONE", f"the key is dealt anew, not {change.state} {change.detail}")
        for data in change.receipts:
            signed = decode(SignedKeyReceipt, data)
            receipt = signed.receipt
            verify_identity(keys[receipt.index], "key-receipt", encode(receipt), signed.signature)
            self.say(f"cosigner {receipt.index} signed: its share of epoch {receipt.epoch} is {receipt.state}")
        after = await client.wallet(WALLET)
        same = after.address == wallet.address and tuple(after.parties) == four
        self.expect(same, "the address stays, the committee does not")
        tx = await self.transfer(client, "entry:kraken-hot", 2 * ETHER, "ravi")
        self.summary.append(f"reshared  to {', '.join(map(str, four))}, same address; signed by {_names(tx)}")
        self.network.kill_cosigner(3)
        self.network.start_cosigner(3)
        await self.network.attached(range(1, 6), 60)

    async def swapped(self) -> None:
        """A coordinator that lies to the cosigners."""
        self.head("A coordinator that swaps the recipient after approval")
        async with self.network.client() as client:
            tx = await self.propose(client, "entry:kraken-hot", 5 * ETHER, "recipient")  # names its lie
        self.network.processes.stop("coordinator")
        self.network.start_coordinator("tests.attack.evil_coordinator")
        await self.network.attached(range(1, 6), 60)
        self.say("stopped the coordinator, started an evil one that has stolen the desk's key, too")
        async with self.network.client() as client:
            await self.approve(client, tx.transaction_id, "ravi")
            self.say("ravi approved 5 ETH to Kraken; the evil one asks for signatures that pay somebody else")
            tx = await client.ended(tx.transaction_id)
            workspace = await client.workspace()
        for one in tx.refusals:
            signed = decode(SignedRefusal, one.signed_refusal)
            key = member(workspace, one.index).identity
            verify_identity(key, "refusal", encode(signed.refusal), signed.signature)
            self.say(f"cosigner {one.index} {one.name:10} REFUSED {one.reason}: {one.detail} (its signature verified)")
        refused = {one.index for one in tx.refusals if one.reason == Reason.CHALLENGE_MISMATCH}
        said = (tx.state, tx.reason, bool(tx.raw), len(refused) >= 3)
        self.expect(said == ("REJECTED", Reason.CHALLENGE_MISMATCH, False, True), "no quorum signed the swapped order")
        self.summary.append(f"swapped   {Reason.CHALLENGE_MISMATCH}: refused by {len(refused)} cosigners, no signature")

    async def propose(
        self, client: Client, to: str, wei: int, purpose: str = "rebalance for the demo"
    ) -> pb.Transaction:
        """Propose under the order desk's key."""
        intent, lines = await client.prepare_transfer(WALLET, to, wei, "desk", purpose)
        tx = await client.submit(self.network.desk().propose(intent))
        self.say(f"proposed  {lines[0]} {lines[1]}")
        return tx

    async def transfer(self, client: Client, to: str, wei: int, approver: str, exactly: bool = False) -> pb.Transaction:
        """Propose, approve, and follow to the end; ``exactly``: her approval has to name the transaction."""
        tx = await self.propose(client, to, wei)
        (asked,) = await self.approve(client, tx.transaction_id, approver)
        self.say(f"approved  by {approver} with a FIDO2 assertion over the order's digest")
        self.expect((asked.execution is not None) == exactly, "a transaction is named where that is needed")
        for line in prompts.exactly(asked):
            self.say(f"   {line}")
        shown = await client.transaction(tx.transaction_id)
        self.say(f"read      {shown.agreement}; check words: {shown.check_words}")
        tx = await client.ended(tx.transaction_id)
        self.expect(tx.state == "CONFIRMED", f"the transfer is confirmed, not {tx.state} {tx.reason} {tx.detail}")
        first = tx.stages[0].at
        for stage in tx.stages:
            self.say(f"   {stage.at - first:6.2f} s  {stage.state:17} {stage.note}")
        self.say(f"settled   {tx.hash} in block {tx.block_number}, signed by {_names(tx)}")
        return tx

    async def approve(self, client: Client, subject_id: str, *people: str) -> list[Waiting]:
        """Each presses her (software) key; waits until the subject is in her inbox. Returns what they were asked."""
        asked = []
        for person in people:
            for _ in range(100):
                waiting = [one for one in await client.inbox(person) if one.subject_id == subject_id]
                if waiting:
                    break
                await asyncio.sleep(0.1)
            else:
                raise LocalError(f"{subject_id} did not reach {person}", Reason.APPROVAL_MISSING)
            approval = self.network.authenticator(person).approve(waiting[0].claim, ORIGIN)
            await client.decide(subject_id, approval)
            asked.append(waiting[0])
        return asked

    async def check_signature(self, tx: pb.Transaction, wallet: pb.Wallet) -> None:
        """Three independent opinions about the signature."""
        parsed, signature = decode_signed(tx.raw)
        public = decode(SignedConfirmation, wallet.confirmations[0]).confirmation.public_key
        ecdsa.verify_independent(public, signing_digest(parsed), signature)
        recovered = ecdsa.recover(signature, signing_digest(parsed))
        onchain = await self.network.rpc_call("eth_getTransactionByHash", tx.hash)
        self.expect(recovered == public and to_checksum(sender(tx.raw)) == wallet.address, "recovery gives the key")
        self.expect(isinstance(onchain, dict) and onchain["from"].lower() == wallet.address.lower(), "the chain agrees")
        self.say("verified  by python-ecdsa, by libsecp256k1 recovery, and by the chain")

    def expect(self, holds: bool, what: str) -> None:
        """Fail the run unless it happened."""
        if not holds:
            raise LocalError(f"expected that {what}", Reason.INTERNAL)


def _accuser(accusation: SignedCase | Equivocation) -> str:
    return str(accusation.case.accuser) if isinstance(accusation, SignedCase) else "its own signatures"


def _names(tx: pb.Transaction) -> str:
    return ", ".join(map(str, tx.signers))


def main(keep: bool) -> None:
    """Run the demo; with ``keep`` the network stays up."""
    root = Path(".devnet") if keep else Path(tempfile.mkdtemp(prefix="counterseal-"))
    if keep and root.exists():
        click.echo("CONFIG_INVALID: .devnet exists; run `.venv/bin/oms devnet down` first", err=True)
        sys.exit(2)
    root.mkdir(mode=0o700, exist_ok=True)
    network = Network(root.resolve(), keep=keep)
    demo, done = Demo(network), False
    started = time.monotonic()
    try:
        asyncio.run(demo.run())
        done = True
    except CountersealError as error:
        click.echo(f"\nthe demo failed: {error}", err=True)
        click.echo(_tail(root), err=True)
    except KeyboardInterrupt:
        click.echo("\ninterrupted", err=True)
    finally:
        if keep and done:
            network.processes.stop("coordinator")
            network.start_coordinator()
            asyncio.run(network.attached(range(1, network.count + 1), 60))
        else:
            network.remove()
    if not done:
        sys.exit(1)
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s.")
    click.echo("\n".join(f"  {line}" for line in demo.summary))
    click.echo("\n".join(how_to_use(Path(".devnet"))) if keep else "  no process is left behind")


def _tail(root: Path) -> str:
    """The last line of each log, for whoever has to find out."""
    lines = []
    for log in sorted((root / "logs").glob("*.log")):
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        lines += [f"  {log.stem}: {line[:300]}" for line in last]
    return "\n".join(lines)


if __name__ == "__main__":
    main(os.environ.get("KEEP", "") not in ("", "0"))
