"""Whether an attempt is authorised, said without the code under test.

It knows what the rules of `world` come to, who truly pressed which key for what, and how an EVM transaction is hashed.
It is asked about one cosigner that starts with nothing: what a node has done before is the state tests' own business.
"""

from __future__ import annotations

from dataclasses import fields

from eth_account._utils.legacy_transactions import serializable_unsigned_transaction_from_dict
from rlp.exceptions import SerializationError

from oms_core.approvals import Verdict
from oms_core.chains.intent import Allow, Call, Execution, Intent, Transfer
from oms_core.errors import CountersealError
from oms_core.evidence import SignRequest, request_digest
from oms_core.protocol.packets import SessionSpec
from oms_core.readings import plain_decision
from tests.attack.coordinator.scene import DEPOSIT_SELECTOR, Pressed, Scene
from tests.attack.coordinator.world import CHAIN, COIN, KNOWN, MEMBERS, OTHER, PEOPLE, ROUTER, TOKEN, WALLET

RECIPIENTS = (KNOWN, OTHER)
SIZES = {COIN: 1000, TOKEN: 1000}  # base units in one order
TRANSFER_SELECTOR, APPROVE_SELECTOR = bytes.fromhex("a9059cbb"), bytes.fromhex("095ea7b3")
TOKEN_CONTRACT = bytes.fromhex("71c7656ec7ab88b098defb751b7401b5f6d8976f")


def objections(scene: Scene, request: SignRequest, spec: SessionSpec, index: int) -> list[str]:
    """Why cosigner ``index`` may not take part in this; empty if it is authorised."""
    intent = request.proposal.subject
    if not isinstance(intent, Intent):
        return ["not an order"]
    found = {
        "no proposal of the desk's or of Ivan's": _proposed(scene, request),
        "not an order that anybody may have": _permitted(intent),
        "out of its time": intent.valid_from - 60 <= scene.now < intent.valid_until,
        "the execution breaks its bounds": _within(intent, request.execution),
        "another workspace": request.workspace == scene.digest,
        "not what the rules come to": request.decision == _decision(scene, intent),
        "not the people who have to approve it": _approved(scene, intent, request),
        "a session for something else": _fits(scene, spec, request, intent, index),
    }
    return [objection for objection, fine in found.items() if not fine]


def _decision(scene: Scene, intent: Intent) -> bytes:
    """The one thing that is taken from the code: nobody but it can say what a decision's digest is."""
    try:
        return plain_decision(intent, scene.workspace)
    except CountersealError:
        return b""


def _proposed(scene: Scene, request: SignRequest) -> bool:
    true = scene.proposed.get(request.proposal.signature)
    return true == request.proposal


def _permitted(intent: Intent) -> bool:
    if (intent.chain, intent.wallet_id) != (CHAIN, WALLET) or intent.initiator not in ("desk", "ivan"):
        return False
    what = intent.action
    if isinstance(what, Transfer):
        return what.to in RECIPIENTS and 0 < what.amount <= SIZES.get(what.asset, 0)
    if isinstance(what, Allow):
        return (what.asset, what.spender) == (TOKEN, ROUTER) and 0 <= what.amount <= SIZES[TOKEN]
    if isinstance(what, Call):
        if what.to != ROUTER or len(what.data) != 68 or what.data[:4] != DEPOSIT_SELECTOR:
            return False
        return what.value == 0 and what.data[36:48] == bytes(12)
    return False


def _within(intent: Intent, execution: Execution | None) -> bool:
    if execution is None:
        return False
    gas, fee = execution.gas_limit, execution.max_fee_per_gas
    tip = execution.max_priority_fee_per_gas
    return (
        execution.type in (0, 1, 2)
        and execution.nonce >= 0
        and 21_000 <= gas <= intent.bounds.gas_limit_cap
        and fee > 0
        and gas * fee <= intent.bounds.max_fee_total
        and 0 <= tip <= fee
        and (execution.type == 2 or tip == fee)
    )


def _approved(scene: Scene, intent: Intent, request: SignRequest) -> bool:
    """Every approval is a true one for this very order, and together they are what the order needs."""
    pressed: list[Pressed] = []
    for approval in request.approvals:
        true = scene.pressed.get(approval.signature)
        if true is None or true.approval != approval or not _stands(scene, true, intent):
            return False
        pressed.append(true)
    people = [PEOPLE[one.person].human for one in pressed]
    if len(set(people)) != len(people) or "person-" + intent.initiator in people:
        return False
    fresh = [one for one in pressed if scene.now - one.decided_at <= 3600]
    risk = {PEOPLE[one.person].team for one in fresh if one.person in MEMBERS["risk"]}
    bound = [one for one in pressed if one.person in MEMBERS["security"] and PEOPLE[one.person].bound]
    large = isinstance(intent.action, Transfer | Allow) and intent.action.amount > 500
    return len(risk) >= 2 and (bool(bound) or not large)


def _stands(scene: Scene, one: Pressed, intent: Intent) -> bool:
    person = PEOPLE[one.person]
    return (
        one.properly
        and one.intent == intent
        and one.verdict is Verdict.APPROVE
        and person.enabled
        and not person.revoked
        and bool({"risk", "security"} & set(person.roles))
        and intent.valid_from - 60 <= one.decided_at <= scene.now + 60
        and scene.now < one.expires_at <= intent.valid_until
    )


def _fits(scene: Scene, spec: SessionSpec, request: SignRequest, intent: Intent, index: int) -> bool:
    online = spec.protocol == "sign-online" and len(spec.presignature) == 32
    expected = {
        "session_id": spec.session_id,
        "protocol": "sign-online" if online else "sign",
        "presignature": spec.presignature if online else b"",
        "level": "L112",
        "key_id": scene.material.share.key_id,
        "epoch": 0,
        "epoch_hash": scene.material.epoch_hash,
        "threshold": 3,
        "parties": tuple(sorted(set(spec.parties))),
        "subject": request_digest(request),
        "path": intent.path,
        "digest": digest(intent, request.execution),
        "resharing": None,
    }
    quorum = len(spec.parties) == 3 and index in spec.parties and set(spec.parties) <= {1, 2, 3, 4, 5}
    same = all(getattr(spec, field.name) == expected[field.name] for field in fields(SessionSpec))
    return quorum and same and len(spec.session_id) == 32


def digest(intent: Intent, execution: Execution | None) -> bytes:
    """What has to be signed for this order, by eth_account; empty where there is nothing to sign."""
    try:
        return _digest(intent, execution)
    except (TypeError, OverflowError, SerializationError):  # no transaction at all
        return b""


def _digest(intent: Intent, execution: Execution | None) -> bytes:
    what = intent.action
    if execution is None or execution.type not in (0, 1, 2):
        return b""
    if isinstance(what, Transfer) and what.asset == COIN:
        to, value, data = what.to, what.amount, b""
    elif isinstance(what, Transfer):
        to, value, data = TOKEN_CONTRACT, 0, TRANSFER_SELECTOR + bytes(12) + what.to + what.amount.to_bytes(32, "big")
    elif isinstance(what, Allow):
        data = APPROVE_SELECTOR + bytes(12) + what.spender + what.amount.to_bytes(32, "big")
        to, value = TOKEN_CONTRACT, 0
    elif isinstance(what, Call):
        to, value, data = what.to, what.value, what.data
    else:
        return b""
    fields_ = {
        "chainId": int(intent.chain.removeprefix("eip155:")),
        "nonce": execution.nonce,
        "gas": execution.gas_limit,
        "to": to,
        "value": value,
        "data": data,
    }
    listed = [{"address": one.address, "storageKeys": one.slots} for one in execution.access_list]
    if execution.type == 2:
        fields_ |= {
            "maxFeePerGas": execution.max_fee_per_gas,
            "maxPriorityFeePerGas": execution.max_priority_fee_per_gas,
            "accessList": listed,
        }
    else:
        fields_ |= {"gasPrice": execution.max_fee_per_gas}
    if execution.type:
        fields_ |= {"type": execution.type}
    if execution.type == 1:
        fields_ |= {"accessList": listed}
    return bytes(serializable_unsigned_transaction_from_dict(fields_).hash())
