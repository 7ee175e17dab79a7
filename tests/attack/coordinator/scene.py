"""What honest people do, and a diary of it; and what a coordinator then puts before the cosigners: an `Attempt`."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from oms.signer import ProposalSigner
from oms_core.approvals import Approval, ApprovalClaim, Verdict
from oms_core.authorize import execution_digest, expected_claim
from oms_core.chains.evm import what_is_signed
from oms_core.chains.intent import Allow, Bounds, Call, Execution, Intent, Proposal, Transfer, What, subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError
from oms_core.evidence import SignRequest, request_digest
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.shares import KeyMaterial
from oms_core.readings import plain_decision
from oms_core.workspace import Workspace, workspace_digest
from tests.attack.coordinator.authenticator import PROPER, Authenticator, Press
from tests.attack.coordinator.world import CHAIN, COIN, KNOWN, NOW, OTHER, ROUTER, TOKEN, WALLET, keys

DEPOSIT_SELECTOR = bytes.fromhex("6e553f65")  # deposit(uint256,address), by ERC-4626
QUORUM = (1, 2, 3)
_numbers = count(1)


@dataclass(frozen=True)
class Pressed:
    """One press of a person's own key: what she believed that she decided, and what came out."""

    person: str
    intent: Intent
    verdict: Verdict
    decided_at: int
    expires_at: int
    properly: bool
    approval: Approval


@dataclass(frozen=True)
class Attempt:
    """What a hostile coordinator shows a cosigner. ``spec`` overrides fields of the session that would fit.

    ``decision`` is what it says that the rules come to; None for the truth.
    With ``stolen`` it has the order desk's proposal key, so that only the approvals stand in its way.
    """

    intent: Intent
    execution: Execution | None
    proposal: Proposal
    approvals: tuple[Approval, ...]
    workspace: bytes
    decision: bytes | None = None
    parties: tuple[int, ...] = QUORUM
    spec: Mapping[str, Any] = field(default_factory=dict)
    stolen: bool = False
    done: tuple[str, ...] = ()

    def approved_by(self, *approvals: Approval) -> Attempt:
        return replace(self, approvals=approvals)


class Scene:
    """Honest people, and the order desk whose key may be stolen. ``now`` is the cosigners' clock."""

    def __init__(self, workspace: Workspace, material: KeyMaterial, seed: int) -> None:
        self.workspace, self.material, self.now = workspace, material, NOW
        self.digest = workspace_digest(workspace)
        self.random = random.Random(seed)
        self.pressed: dict[bytes, Pressed] = {}
        self.proposed: dict[bytes, Proposal] = {}

    def intent(self, what: What, **changes: Any) -> Intent:
        """A new order of the desk's."""
        plain = Intent(
            intent_id=f"int_{next(_numbers)}",
            wallet_id=WALLET,
            path=(),
            chain=CHAIN,
            action=what,
            bounds=Bounds(10**16, 200_000),
            initiator="desk",
            purpose="rebalance",
            valid_from=self.now - 3 * 3600,
            valid_until=self.now + 3600,
        )
        return replace(plain, **changes)

    def what(self) -> What:
        """Something that the rules permit."""
        amount = self.random.choice((1, 5, 20, 501, 700)) if self.random.random() < 0.2 else self.random.randint(1, 30)
        kind = self.random.randrange(4)
        if kind == 0:
            return Transfer(COIN, self.random.choice((KNOWN, OTHER)), amount)
        if kind == 1:
            return Transfer(TOKEN, self.random.choice((KNOWN, OTHER)), min(amount, 3))
        if kind == 2:
            return Allow(TOKEN, ROUTER, min(amount, 3))
        return Call(ROUTER, 0, deposit(amount, KNOWN))

    def propose(self, intent: Intent, signer: ProposalSigner | None = None) -> Proposal:
        """A proposal under the desk's key, which the diary notes."""
        made = (signer or keys().desk).propose(intent)
        self.proposed[made.signature] = made
        return made

    def swap(self, attempt: Attempt, intent: Intent) -> Attempt:
        """Another order under the same approvals: signed with the stolen key, or with a signature that does not fit."""
        if attempt.stolen and intent.initiator == "desk":
            return replace(attempt, intent=intent, proposal=self.propose(intent))
        return replace(attempt, intent=intent, proposal=replace(attempt.proposal, subject=intent))

    def claim(self, intent: Intent, person: str, verdict: Verdict = Verdict.APPROVE, **changes: Any) -> ApprovalClaim:
        """What an honest client shows to a person for this order; a hostile one, where an honest one shows nothing."""
        times = self.now - 30, self.now + 600
        try:
            claim = expected_claim(intent, self.workspace, person, verdict, *times)
        except CountersealError:
            shown = self.random.randbytes(32)
            claim = ApprovalClaim(subject_digest(intent), self.digest, shown, b"", b"", person, verdict, *times)
        return replace(claim, **changes)

    def press(
        self,
        intent: Intent,
        person: str,
        verdict: Verdict = Verdict.APPROVE,
        how: Press = PROPER,
        key: Authenticator | None = None,
        **changes: Any,
    ) -> Approval:
        """A person decides about an order that she has seen; the diary notes it if it was her own key."""
        claim = self.claim(intent, person, verdict, **changes)
        made = (key or keys().people[person]).press(claim, how)
        if key is None:
            properly = how == PROPER and not set(changes) - {"decided_at", "expires_at"}
            noted = (person, intent, verdict, claim.decided_at, claim.expires_at, properly, made)
            self.pressed[made.signature] = Pressed(*noted)
        return made

    def approvers(self, what: What) -> tuple[str, ...]:
        """Some people whose approvals suffice."""
        risk = self.random.sample(["olga", self.random.choice(["ravi", "rosa"]), "otto", "ravi2"], 3)
        pair = next(pair for pair in _pairs(risk) if set(pair) != {"ravi", "ravi2"} and set(pair) != {"otto", "ravi2"})
        large = isinstance(what, Transfer | Allow) and what.amount > 500
        return (*pair, "sam") if large else pair

    def legal(self, what: What | None = None, approvers: tuple[str, ...] | None = None, **changes: Any) -> Attempt:
        """An order that is as it should be, with all that it needs."""
        what = what or self.what()
        intent = self.intent(what, **changes)
        approvals = tuple(self.press(intent, person) for person in approvers or self.approvers(what))
        return Attempt(intent, self.execution(), self.propose(intent), approvals, self.digest)

    def exactly(self, attempt: Attempt) -> Attempt:
        """The same people approve it again, the exact transaction this time."""
        bound, people = execution_digest(attempt.execution), [one.claim.approver for one in attempt.approvals]
        return attempt.approved_by(*(self.press(attempt.intent, person, execution=bound) for person in people))

    def execution(self, **changes: Any) -> Execution:
        """How an honest coordinator executes an order: at a nonce that it has not used."""
        fee = self.random.randint(2, 10) * 10**9
        type_ = self.random.choice((0, 1, 2))
        plain = Execution(type_, next(_numbers), 150_000, fee, fee if type_ < 2 else 10**9, ())
        return replace(plain, **changes)

    def request(self, attempt: Attempt) -> SignRequest:
        """The request, as it comes out of the wire."""
        decision = attempt.decision
        if decision is None:
            try:
                decision = plain_decision(attempt.intent, self.workspace)
            except CountersealError:
                decision = bytes(32)  # the rules come to nothing here
        made = SignRequest(attempt.proposal, attempt.execution, attempt.workspace, attempt.approvals, decision)
        return decode(SignRequest, encode(made), 1 << 22)

    def session(self, attempt: Attempt, request: SignRequest | None = None) -> SessionSpec:
        """The session for an attempt: one that fits it, but for what the attempt overrides."""
        request = request or self.request(attempt)
        try:
            _, digest = what_is_signed(attempt.intent, attempt.execution)
        except CountersealError:
            digest = secrets.token_bytes(32)  # nothing can be signed here; a liar says something
        fitting = SessionSpec(
            session_id=secrets.token_bytes(32),
            protocol="sign",
            level="L112",
            key_id=self.material.share.key_id,
            epoch=0,
            epoch_hash=self.material.epoch_hash,
            threshold=3,
            parties=attempt.parties,
            subject=request_digest(request),
            path=attempt.intent.path,
            digest=digest,
        )
        return replace(fitting, **attempt.spec)


def deposit(amount: int, receiver: bytes) -> bytes:
    """Calldata of the one call that the rules permit."""
    return DEPOSIT_SELECTOR + amount.to_bytes(32, "big") + bytes(12) + receiver


def _pairs(people: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(people) for b in people[i + 1 :]]
