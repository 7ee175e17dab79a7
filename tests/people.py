"""A workspace with people and keys in memory, and what they sign, for tests that need no network."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import cache

from oms.authenticator import SoftwareAuthenticator
from oms.signer import ProposalSigner
from oms_core.approvals import Approval, Verdict
from oms_core.authorize import expected_claim
from oms_core.chains.intent import Bounds, CreateWallet, Execution, Intent, Proposal, Subject, Transfer
from oms_core.errors import CountersealError
from oms_core.evidence import ChangeRequest, ChangeWorkspaceRequest, CreateRequest, SignRequest
from oms_core.keys import Change, ChangeKey
from oms_core.policy.facts import FEE, Facts, Spend
from oms_core.policy.rules import Action, Quorum, Requirement, Rule
from oms_core.policy.text import rules_from_yaml
from oms_core.readings import plain_decision
from oms_core.workspace import (
    AddressEntry,
    Asset,
    ChangeWorkspace,
    Direction,
    EntryState,
    Governance,
    Group,
    Incompatible,
    LogSettings,
    Member,
    Privilege,
    Role,
    User,
    Workspace,
    workspace_digest,
)
from oms_core.workspace.check import check_workspace
from tests.folders import lasting
from tests.parties import identity, witness_key

NOW = 1_800_000_000
CHAIN, COIN = "eip155:31337", "eip155:31337/slip44:60"
KNOWN, DENIED, STRANGE = bytes.fromhex("11" * 20), bytes.fromhex("22" * 20), bytes.fromhex("33" * 20)
ORIGIN = "http://localhost:8080"
BAD_MEMBER = "eve"
APPROVERS = ("ravi", "olga", "ravi2", "tara", "sam", "sonja", "adam", "alice", "carol")
DELAY = 60  # seconds that a loosening change waits
RULES = """
- rule: permit-book
  permit:
  when: {action: TRANSFER, initiator.role: trader, destination.type: WHITELISTED}
- rule: permit-keys
  permit:
  when: {action: [KEY_CREATE, KEY_CHANGE, KEY_SUSPEND], initiator.role: operator}
- rule: limit
  limit:
  - {amount: 1,000}
  - {amount: 2,000, every: 24h}
  when: {asset: ETH, fee: no}
- rule: require-risk
  require: {approvals: 2, from groups: [risk]}
  when: {action: TRANSFER, amount: above 100}
- rule: require-security
  require: {approvals: 2, from groups: [security]}
  when: {action: [KEY_CREATE, KEY_CHANGE]}
- rule: deny
  deny:
  when: {destination.address: "0x2222222222222222222222222222222222222222"}
- rule: deny-eve
  deny:
  when: {initiator.user: eve}
"""


@dataclass(frozen=True)
class Keys:
    """Everybody's keys: FIDO2, and those with which the desk and two administrators propose."""

    approvers: dict[str, SoftwareAuthenticator]
    proposers: dict[str, ProposalSigner]

    @property
    def desk(self) -> ProposalSigner:
        return self.proposers["desk"]


@cache
def keys() -> Keys:
    root = lasting("cs-people-")
    made = {name: SoftwareAuthenticator.create(root / f"{name}.json", "localhost") for name in APPROVERS}
    signers = {name: ProposalSigner.create(root / f"{name}.pem", f"{name}-1") for name in ("desk", "adam", "alice")}
    return Keys(made, signers)


def person(user_id: str, role: str, human: str = "") -> User:
    """A user with one role, a key, and the team that is called like the role."""
    return User(
        user_id=user_id,
        person_id=human or f"person-{user_id}",
        name="Ravi" if user_id.startswith("ravi") else user_id.title(),
        team=role,
        site="",
        roles=(role,),
        credentials=(keys().approvers[user_id].credential,) if user_id in APPROVERS else (),
        proposal_keys=(keys().proposers[user_id].public,) if user_id in keys().proposers else (),
        enabled=True,
    )


def rules(text: str = RULES) -> tuple[Rule, ...]:
    """Rules in YAML, with the assets of the workspace."""
    return rules_from_yaml(text, ASSETS)


ASSETS = (Asset(COIN, "ETH", 18, ("coin",), 3_000_000_000, b""),)
_ROLES = (
    Role("trader", (Privilege.READ, Privilege.PROPOSE_ORDERS), ("*",)),
    Role("operator", (Privilege.READ, Privilege.PROPOSE_KEYS), ("*",)),
    Role("risk", (Privilege.READ, Privilege.APPROVE_ORDERS), ("*",)),
    Role("security", (Privilege.READ, Privilege.APPROVE_KEYS), ("*",)),
    Role("admin", (Privilege.READ, Privilege.PROPOSE_CHANGES, Privilege.APPROVE_CHANGES), ("*",)),
)


def committee(threshold: int, delay: int) -> Requirement:
    """So many of the committee."""
    quorum = Quorum(threshold, (), ("committee",), (), False, False, False)
    return Requirement((quorum,), (), overlap=False, expires_in=0, delay=delay, cosigners=())


def witness(index: int) -> bytes:
    """The 32-byte key with which a cosigner cosigns checkpoints, or of the log (0)."""
    return witness_key(index).public_key().public_bytes_raw()


@cache
def workspace() -> Workspace:
    desk = replace(person("desk", "trading", "service-desk"), name="Order desk", roles=("trader", "operator"))
    made = Workspace(
        name="tests",
        version=0,
        parent=b"",
        created_at=NOW,
        rp_id="localhost",
        origins=(ORIGIN,),
        aaguids=(),
        users=(
            desk,
            person("tara", "trader"),
            person("ravi", "risk"),
            person("ravi2", "risk", "person-ravi"),
            person("olga", "risk"),
            person("sam", "security"),
            person("sonja", "security"),
            person(BAD_MEMBER, "trader"),
            person("adam", "admin"),
            person("alice", "admin"),
            person("carol", "admin"),
        ),
        roles=_ROLES,
        groups=(
            Group("risk", ("ravi", "ravi2", "olga")),
            Group("security", ("sam", "sonja")),
            Group("committee", ("adam", "alice", "carol")),
        ),
        incompatible=(Incompatible("trader", "risk", "who trades does not approve trades"),),
        roster=tuple(
            Member(i, f"node-{i}", f"op-{i}", f"team-{i}", f"site-{i}", identity(i).public, witness(i))
            for i in range(1, 6)
        ),
        wallets=(),
        assets=ASSETS,
        address_book=(
            AddressEntry("known", "Known", CHAIN, KNOWN, (), EntryState.ACTIVE, NOW),
            AddressEntry("denied", "Denied", CHAIN, DENIED, (), EntryState.ACTIVE, NOW),
        ),
        contracts=(),
        rules=rules(),
        governance=(
            Governance(Direction.TIGHTEN, committee(1, 0)),
            Governance(Direction.LOOSEN, committee(2, DELAY)),
        ),
        distinct_operators=False,
        refusals_block_at=3,
        log=LogSettings("example.org/log", witness(0), 60, 86_400),
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


EXECUTION = Execution(
    type=2, nonce=7, gas_limit=21_000, max_fee_per_gas=10**9, max_priority_fee_per_gas=10**8, access_list=()
)


def following(current: Workspace | None = None, **changes: object) -> Workspace:
    """The version after ``current``, by default after that of the tests."""
    before = current or workspace()
    place = {"version": before.version + 1, "parent": workspace_digest(before)}
    return replace(before, **{**place, **changes})  # type: ignore[arg-type]


def reform(made: Workspace, **changes: object) -> ChangeWorkspace:
    """A wish for this version."""
    plain = ChangeWorkspace("chg_1", made, "adam", "", NOW - 10, NOW + 1000)
    return replace(plain, **changes)  # type: ignore[arg-type]


def spend(amount: int, at: int = NOW - 10, subject: bytes = b"other", **changes: object) -> Spend:
    """An outflow of coins from the wallet to the known address, as this node counted it."""
    plain = Spend(
        subject=subject,
        operation=0,
        action=Action.TRANSFER,
        wallet_id="wal_1",
        initiator="desk",
        chain=CHAIN,
        destination=KNOWN,
        protocol="",
        asset=COIN,
        amount=amount,
        usd_micro=0,
        at=at,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def moved(facts: Facts) -> list[int]:
    """The amounts that were spent, without fees."""
    return [one.amount for one in facts.spent if one.operation != FEE]


def propose(subject: Subject) -> Proposal:
    """Signed by its initiator, or by the desk where that has no key."""
    return keys().proposers.get(subject.initiator, keys().desk).propose(subject)


def approve(
    subject: Subject,
    user_id: str,
    verdict: Verdict = Verdict.APPROVE,
    expires_at: int = NOW + 500,
    decided_at: int = NOW - 5,
    under: Workspace | None = None,
    execution: bytes = b"",
) -> Approval:
    claim = expected_claim(subject, under or workspace(), user_id, verdict, decided_at, expires_at, execution)
    return keys().approvers[user_id].approve(claim, ORIGIN)


def sign_request(subject: Intent, *approvals: Approval, execution: Execution | None = EXECUTION) -> SignRequest:
    """With the decision that an honest coordinator names; of what cannot be judged at all, none."""
    decision = b""
    with contextlib.suppress(CountersealError):
        decision = plain_decision(subject, workspace())
    return SignRequest(propose(subject), execution, workspace_digest(workspace()), approvals, decision)


def create_request(subject: CreateWallet, *approvals: Approval) -> CreateRequest:
    return CreateRequest(propose(subject), workspace_digest(workspace()), approvals)


def change_request(subject: ChangeKey, *approvals: Approval) -> ChangeRequest:
    return ChangeRequest(propose(subject), workspace_digest(workspace()), approvals, None)


def workspace_request(subject: ChangeWorkspace, *approvals: Approval) -> ChangeWorkspaceRequest:
    return ChangeWorkspaceRequest(propose(subject), approvals, ())
