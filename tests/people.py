"""A workspace with people and keys in memory, and what they sign, for tests that need no network."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from oms.authenticator import SoftwareAuthenticator
from oms.signer import ProposalSigner
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import expected_claim
from oms_core.chains.intent import Bounds, CreateWallet, Execution, Intent, Proposal, Subject, Transfer
from oms_core.evidence import ChangeRequest, CreateRequest, SignRequest
from oms_core.keys import Change, ChangeKey
from oms_core.policy.rules import ANY, Action, Deny, Destination, Limit, Permit, Require
from oms_core.workspace import AddressEntry, Member, User, Workspace, check_workspace, workspace_digest
from tests.parties import identity

NOW = 1_800_000_000
CHAIN, COIN = "eip155:31337", "eip155:31337/slip44:60"
KNOWN, DENIED, STRANGE = bytes.fromhex("11" * 20), bytes.fromhex("22" * 20), bytes.fromhex("33" * 20)
ORIGIN = "http://localhost:8080"
BAD_MEMBER = "eve"


@dataclass(frozen=True)
class Keys:
    """Everybody's keys."""

    approvers: dict[str, SoftwareAuthenticator]
    desk: ProposalSigner


@cache
def keys() -> Keys:
    root = Path(tempfile.mkdtemp(prefix="cs-people-"))
    names = ("ravi", "olga", "ravi2", "tara", "sam", "sonja")
    made = {name: SoftwareAuthenticator.create(root / f"{name}.json", "localhost") for name in names}
    return Keys(made, ProposalSigner.create(root / "desk.pem", "desk-1"))


def person(user_id: str, role: str, human: str = "") -> User:
    credential = keys().approvers[user_id].credential
    return User(user_id, human or f"person-{user_id}", user_id.title(), role, (role,), (credential,), ())


@cache
def workspace() -> Workspace:
    desk = User("desk", "person-desk", "Order desk", "trading", ("trader", "security"), (), (keys().desk.public,))
    made = Workspace(
        name="tests",
        version=0,
        parent=b"",
        created_at=NOW,
        rp_id="localhost",
        origins=(ORIGIN,),
        users=(
            desk,
            person("tara", "trader"),
            person("ravi", "risk"),
            person("ravi2", "risk", "person-ravi"),
            person("olga", "risk"),
            person("sam", "security"),
            person("sonja", "security"),
            User(BAD_MEMBER, "person-eve", "Eve", "trading", ("trader",), (), ()),
        ),
        roster=tuple(
            Member(i, f"node-{i}", f"op-{i}", f"team-{i}", f"site-{i}", identity(i).public) for i in range(1, 6)
        ),
        address_book=(AddressEntry("known", "Known", CHAIN, KNOWN), AddressEntry("denied", "Denied", CHAIN, DENIED)),
        rules=(
            Permit("permit-book", (Action.TRANSFER,), (ANY,), ("trader",), Destination.ADDRESS_BOOK),
            Permit(
                "permit-keys",
                (Action.KEY_CREATE, Action.KEY_CHANGE, Action.KEY_SUSPEND),
                (ANY,),
                ("security",),
                Destination.ANY,
            ),
            Limit("limit", (ANY,), COIN, 1000, 2000),
            Require("require-risk", (Action.TRANSFER,), (ANY,), COIN, 100, 2, "risk"),
            Require("require-security", (Action.KEY_CREATE, Action.KEY_CHANGE), (ANY,), COIN, 0, 2, "security"),
            Deny("deny", (ANY,), (DENIED,), (BAD_MEMBER,)),
        ),
    )
    check_workspace(made)
    return made


def intent(amount: int = 50, to: bytes = KNOWN, **changes: object) -> Intent:
    plain = Intent(
        intent_id="int_1",
        wallet_id="wal_1",
        path=(),
        chain=CHAIN,
        action=Transfer(COIN, to, amount),
        bounds=Bounds(10**16, 100_000),
        initiator="desk",
        purpose="rebalance",
        valid_from=NOW - 10,
        valid_until=NOW + 1000,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def wish(**changes: object) -> CreateWallet:
    plain = CreateWallet("wal_1", "One", 3, (1, 2, 3, 4, 5), "L112", "desk", "", NOW - 10, NOW + 1000)
    return replace(plain, **changes)  # type: ignore[arg-type]


def change(change: Change = Change.REFRESH, **changes: object) -> ChangeKey:
    parties, threshold = ((2, 3, 4, 5), 3) if change is Change.RESHARE else ((), 0)
    key = (b"k" * 32, b"\x02" + b"x" * 32, b"c" * 32)
    plain = ChangeKey("wal_1", *key, change, 0, threshold, parties, "desk", "", NOW - 10, NOW + 1000)
    return replace(plain, **changes)  # type: ignore[arg-type]


EXECUTION = Execution(nonce=7, gas_limit=21_000, max_fee_per_gas=10**9, max_priority_fee_per_gas=10**8)


def propose(subject: Subject) -> Proposal:
    return keys().desk.propose(subject)


def approve(
    subject: Subject, user_id: str, verdict: Verdict = Verdict.APPROVE, expires_at: int = NOW + 500
) -> Approval:
    claim = expected_claim(subject, workspace(), user_id, verdict, expires_at)
    return keys().approvers[user_id].approve(claim, ORIGIN)


def sign_request(subject: Intent, *approvals: Approval, execution: Execution = EXECUTION) -> SignRequest:
    return SignRequest(propose(subject), execution, workspace_digest(workspace()), approvals)


def create_request(subject: CreateWallet, *approvals: Approval) -> CreateRequest:
    return CreateRequest(propose(subject), workspace_digest(workspace()), approvals)


def change_request(subject: ChangeKey, *approvals: Approval) -> ChangeRequest:
    return ChangeRequest(propose(subject), workspace_digest(workspace()), approvals, None)
