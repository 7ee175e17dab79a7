"""An order from the ceremony to its block, as a coordinator's log would have it, and the pack of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import coincurve

from auditor.pack import Held, Pack, PackAnchor
from oms_core.approvals import Verdict
from oms_core.chains.evm import address_of, assemble, derive, transaction_hash, what_is_signed
from oms_core.chains.intent import Bounds, CreateWallet, Execution, Intent, Message, Proposal, subject_digest
from oms_core.crypto.bip32 import derive as key_at
from oms_core.crypto.curve import Point, mul_base
from oms_core.crypto.ecdsa import Signature
from oms_core.encoding import encode
from oms_core.evidence import (
    CreateRequest,
    ReadRequest,
    Refusal,
    SignedReading,
    SignedRefusal,
    SignRequest,
    request_digest,
)
from oms_core.log.documents import Confirmations, RuleTrace
from oms_core.log.entries import AUTHORIZED, WORKSPACE_APPROVED, Record, item, read_entry
from oms_core.policy.facts import Facts
from oms_core.protocol.shares import KeyConfirmation, SignedConfirmation
from oms_core.readings import plain_decision, read
from oms_core.workspace import Workspace, workspace_digest
from tests import people
from tests.parties import identity
from tests.people import NOW, approve, following, intent, propose, reform, wish, workspace, workspace_request
from tests.witnessed import FOUR, Logbook

TXN, WALLET = "txn_01", "wal_1"
SECRET, CHAIN_CODE = 0x1234567890ABCDEF, hashlib.sha256(b"chain code").digest()
BLOCK = "0x" + "ab" * 32


@cache
def public() -> Point:
    return mul_base(SECRET)


def account(path: tuple[int, ...] = ()) -> bytes:
    return address_of(key_at(public(), CHAIN_CODE, path).public_key)


def signature(digest: bytes, secret: int = SECRET) -> Signature:
    made = coincurve.PrivateKey(secret.to_bytes(32, "big")).sign_recoverable(digest, hasher=None)
    return Signature(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:64], "big"), made[64])


class Story(Logbook):
    """A log with what a coordinator writes down. Whatever it says can be said otherwise."""

    def __init__(self, begins_with: Workspace | None = None) -> None:
        super().__init__(begins_with)
        self.workspace = begins_with or workspace()
        self.versions = {workspace_digest(self.workspace): self.workspace}

    def tell(
        self, event: str, subject: str, *documents: bytes, note: str = "", actor: str = "coordinator", at: int = NOW
    ) -> int:
        """One entry more, with a remark."""
        index = self.size
        at = max(at, read_entry(self.items[-1].entry).at)
        salt = hashlib.sha256(b"salt %d" % index).digest()[:16]
        previous = self._newest.get(subject, -1) if subject else -1
        self.items.append(item(index, at, event, subject, previous, Record(actor, b"", note, documents), salt))
        self.tree.append(self.items[-1].entry)
        self._newest[subject] = index
        return index

    def note(self, size: int | None = None, by: Iterable[int] = FOUR, at: int = NOW + 200, times: Any = None) -> bytes:
        """As any log's; after what a story tells."""
        return super().note(size, by, at, times)

    def change(self, **changes: object) -> Workspace:
        """The next version of the workspace, approved by two of the committee."""
        made = following(self.workspace, **changes)
        asked = reform(made)
        approvals = [approve(asked, one, under=self.workspace) for one in ("alice", "carol")]
        self.tell(WORKSPACE_APPROVED, "chg_1", encode(workspace_request(asked, *approvals)))
        self.workspace = made
        self.versions[workspace_digest(made)] = made
        return made

    def wallet(self, subject: CreateWallet | None = None) -> CreateWallet:
        """Wished for, approved, made and confirmed."""
        asked = subject or wish()
        approvals = tuple(approve(asked, one, under=self.workspace) for one in ("sam", "sonja"))
        proposal = propose(asked)
        self.tell("wallet.pending_approval", WALLET, encode(proposal), actor="desk")
        for approval in approvals:
            self.tell("wallet.decision", WALLET, encode(approval), actor=approval.claim.approver)
        self.tell("wallet.generating", WALLET)
        request = CreateRequest(proposal, workspace_digest(self.workspace), approvals)
        self.tell(AUTHORIZED, WALLET, encode(request))
        self.tell("wallet.pre_active", WALLET, self.confirmations(subject_digest(asked), asked.parties))
        self.tell("wallet.active", WALLET)
        return asked

    def confirmations(self, key_id: bytes, parties: Iterable[int], epoch: int = 0, **changes: object) -> bytes:
        """All parties' words."""
        made = []
        for index in parties:
            said = KeyConfirmation(WALLET, key_id, public(), CHAIN_CODE, epoch, b"t" * 32, index)
            said = replace(said, **changes)  # type: ignore[arg-type]
            made.append(SignedConfirmation(said, identity(index).sign("key-confirmation", encode(said))))
        return encode(Confirmations(tuple(made)))

    def reading(self, order: Intent, index: int) -> bytes:
        request = ReadRequest(propose(order), workspace_digest(self.workspace))
        made, _ = read(index, request, self.workspace, Facts(NOW))
        return encode(SignedReading(made, identity(index).sign("reading", encode(made))))

    def refusal(self, order: Intent, index: int, proposal: Proposal | None = None) -> bytes:
        request = ReadRequest(proposal or propose(order), workspace_digest(self.workspace))
        made = Refusal(b"", request_digest(request), index, "HALTED", "not now", NOW)
        return encode(SignedRefusal(made, identity(index).sign("refusal", encode(made))))

    def trace(self) -> bytes:
        lines = tuple(f"{rule.kind} {rule.rule_id}: no, said so" for rule in self.workspace.rules)
        return encode(RuleTrace(lines))

    def request(self, order: Intent, execution: Execution | None, *by: str) -> SignRequest:
        approvals = tuple(sorted((approve(order, one, under=self.workspace) for one in by), key=_approver))
        decision = plain_decision(order, self.workspace)
        return SignRequest(propose(order), execution, workspace_digest(self.workspace), approvals, decision)

    def order(
        self,
        order: Intent | None = None,
        txn: str = TXN,
        execution: Execution | None = people.EXECUTION,
        by: tuple[str, ...] = ("olga", "ravi"),
    ) -> bytes:
        """From submission to confirmation; returns the signed transaction."""
        made = order or intent(150)
        request = self.request(made, execution, *by)
        self.tell("order.submitted", txn, encode(request.proposal), actor="desk")
        for index in (1, 2, 3):
            self.tell("order.reading", txn, self.reading(made, index), actor=f"cosigner-{index}")
        self.tell("order.refusal", txn, self.refusal(made, 4, request.proposal), note="HALTED", actor="cosigner-4")
        self.tell("order.pending_approval", txn, self.trace())
        for approval in request.approvals:
            self.tell("order.decision", txn, encode(approval), actor=approval.claim.approver)
        self.tell("order.approved", txn)
        self.tell("order.nonce", txn, note=f"7 of {account().hex()} on {made.chain}")
        if execution is not None:
            self.tell("order.execution", txn, encode(execution))
        self.tell(AUTHORIZED, txn, encode(request), at=NOW + 100)
        self.tell("order.signing", txn, note="cosigners 1, 2, 3, interactively")
        return self.sign(made, execution, txn)

    def sign(self, made: Intent, execution: Execution | None, txn: str = TXN, secret: int = SECRET) -> bytes:
        """Signed, sent and confirmed."""
        signed = signature(what_is_signed(made, execution)[1], secret)
        if execution is None:
            raw = signed.compact() + bytes([27 + signed.v])
            self.tell("order.signed", txn, raw, note="by cosigners 1, 2, 3")
            self.tell("order.confirmed", txn, note="a message goes to no chain")
            return raw
        raw = assemble(derive(made, execution), signed)
        name = "0x" + transaction_hash(raw).hex()
        self.tell("order.signed", txn, raw, note="by cosigners 1, 2, 3")
        self.tell("order.sending", txn, note=name)
        self.tell("order.broadcast", txn)
        self.tell("order.mined", txn, note=f"in block 5 {BLOCK}")
        self.tell("order.confirmed", txn, note=f"in block 5 {BLOCK}")
        return raw

    def held(self, index: int, size: int | None = None) -> Held:
        return Held(self.items[index], self.tree.inclusion(index, size or self.size))

    def pack(
        self, txn: str = TXN, also: Iterable[int] = (), by: Iterable[int] = FOUR, anchor: PackAnchor | None = None
    ) -> Pack:
        """All of an order, of its wallet, and of the workspace's chain."""
        chosen = {*also}
        for index, one in enumerate(self.items):
            entry = read_entry(one.entry)
            if index == 0 or entry.event == WORKSPACE_APPROVED or entry.subject in (txn, WALLET):
                chosen.add(index)
        note = self.note(by=by, at=NOW + 200).decode()
        return Pack(txn, note, tuple(self.held(index) for index in sorted(chosen)), anchor)


def _approver(approval: object) -> str:
    return approval.claim.approver  # type: ignore[attr-defined]


def story(**changes: object) -> Story:
    """The whole of it, with something of others in between."""
    made = Story()
    made.tell("cosigner.attached", "cosigner-1")
    made.change(**(changes or {"refusals_block_at": 2}))
    made.tell("workspace.version", "chg_1", note="1")
    made.wallet()
    made.tell("order.submitted", "txn_other", note="another one")
    made.order()
    made.tell("order.submitted", "txn_later", note="and another")
    return made


def message() -> Intent:
    return intent(action=Message("I am the treasury"), bounds=Bounds(0, 0))


DENY = Verdict.DENY
