"""A coordinator that lies: after people have approved, or without, it shows the cosigners something else.

It runs the real coordinator's code with a few methods bent, it has stolen the order desk's proposal key, and it has led
people's browsers where it wanted. How it lies about an order says the order's purpose: the name of a trick, and after a
semicolon the cosigners that are its accomplices. Started like the real one:
python -m tests.attack.evil_coordinator --config F serve
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import click
from sqlalchemy import RowMapping

from coordinator import desk as honest
from coordinator.config import load
from coordinator.desk import Desk, Session
from coordinator.orders import intent_of
from coordinator.server import serve
from coordinator.sessions import SessionFailed
from oms.authenticator import SoftwareAuthenticator
from oms.signer import ProposalSigner
from oms_core.approvals import Approval, Verdict, challenge
from oms_core.authorize import expected_claim
from oms_core.chains.intent import Intent, Transfer, subject_digest
from oms_core.errors import CountersealError, Reason
from oms_core.evidence import Request, SignRequest
from oms_core.lifecycle import State
from oms_core.log.cover import Mode
from oms_core.protocol.packets import SessionSpec
from oms_core.readings import plain_decision
from oms_core.workspace import Workspace

ORIGIN = "http://localhost:8080"
ALL = (1, 2, 3, 4, 5)
EVERYBODY = ((1, 2, 3), (1, 4, 5))
"""Two quorums that are all five."""


@dataclass
class Stolen:
    """What the coordinator has of others': files in ``people``."""

    people: Path

    def desk(self) -> ProposalSigner:
        return ProposalSigner.load(self.people / "desk.pem", "desk-1")

    def press(
        self,
        workspace: Workspace,
        intent: Intent,
        person: str,
        origin: str = ORIGIN,
        verified: bool = True,
        key: str = "",
    ) -> Approval:
        """What comes of a person's key where this coordinator's page asked for it; ``key`` is another's."""
        now = intent.valid_from + 1
        claim = expected_claim(intent, workspace, person, Verdict.APPROVE, now, min(now + 600, intent.valid_until))
        authenticator = SoftwareAuthenticator(self.people / f"{key or person}.json")
        made = authenticator.sign_challenge(challenge(claim), origin, user_verified=verified)
        return Approval(claim, made.credential_id, made.authenticator_data, made.client_data_json, made.signature)


Trick = Callable[[Stolen, Workspace, SignRequest], SignRequest]


def changed(change: Callable[[Intent], Intent]) -> Trick:
    """Another order under the same approvals, and the stolen key's signature."""

    def trick(stolen: Stolen, workspace: Workspace, request: SignRequest) -> SignRequest:
        intent = request.proposal.subject
        assert isinstance(intent, Intent)
        other = change(intent)
        decision = plain_decision(other, workspace)
        return replace(request, proposal=stolen.desk().propose(other), decision=decision)

    return trick


def executed(**changes: Any) -> Trick:
    def trick(_: Stolen, __: Workspace, request: SignRequest) -> SignRequest:
        assert request.execution is not None
        return replace(request, execution=replace(request.execution, **changes))

    return trick


def approved(*presses: dict[str, Any]) -> Trick:
    """These presses are all the approvals that there are."""

    def trick(stolen: Stolen, workspace: Workspace, request: SignRequest) -> SignRequest:
        intent = request.proposal.subject
        assert isinstance(intent, Intent)
        return replace(request, approvals=tuple(stolen.press(workspace, intent, **press) for press in presses))

    return trick


def _elsewhere(intent: Intent) -> Intent:
    """Another entry of the address book, so that the rules have nothing to say."""
    assert isinstance(intent.action, Transfer)
    other = "be0eb53f46cd790cd13851d5eff43d12404d33e8"
    return replace(intent, action=replace(intent.action, to=bytes.fromhex(other)))


def _byte(intent: Intent) -> Intent:
    data = bytearray(intent.action.data)  # type: ignore[union-attr]
    data[-1] ^= 1
    return replace(intent, action=replace(intent.action, data=bytes(data)))  # type: ignore[arg-type]


def _another_orders(stolen: Stolen, workspace: Workspace, request: SignRequest) -> SignRequest:
    intent = request.proposal.subject
    assert isinstance(intent, Intent)
    other = stolen.press(workspace, replace(intent, intent_id=intent.intent_id[:-1] + "x"), "ravi")
    return replace(request, approvals=(other,))


def _renamed(_: Stolen, __: Workspace, request: SignRequest) -> SignRequest:
    one = request.approvals[0]
    return replace(request, approvals=(replace(one, claim=replace(one.claim, approver="olga")),))


def _forged(_: Stolen, workspace: Workspace, request: SignRequest) -> SignRequest:
    assert isinstance(request.proposal.subject, Intent)
    other = _elsewhere(request.proposal.subject)
    proposal = replace(request.proposal, subject=other)
    return replace(request, proposal=proposal, decision=plain_decision(other, workspace))


@dataclass(frozen=True)
class Plan:
    """``after`` people have truly approved, or without them; ``spec`` is what the session says otherwise."""

    trick: Trick = lambda stolen, workspace, request: request
    after: bool = True
    spec: dict[str, Any] = field(default_factory=dict)


PLANS: dict[str, Plan] = {
    "recipient": Plan(changed(_elsewhere)),
    "recipient without the desk's key": Plan(_forged),
    "amount": Plan(changed(lambda i: replace(i, action=replace(i.action, amount=i.action.amount + 1)))),  # type: ignore[union-attr, arg-type]
    "calldata": Plan(changed(_byte)),
    "chain": Plan(
        changed(lambda i: replace(i, chain="eip155:1", action=replace(i.action, asset="eip155:1/slip44:60")))  # type: ignore[arg-type]
    ),
    "path": Plan(changed(lambda i: replace(i, path=(7,))), spec={"path": (7,)}),
    "path of the session": Plan(spec={"path": (7,)}),
    "digest of the session": Plan(spec={"digest": b"d" * 32}),
    "fee": Plan(executed(max_fee_per_gas=10**15, max_priority_fee_per_gas=10**15)),
    "workspace": Plan(lambda stolen, workspace, request: replace(request, workspace=b"w" * 32)),
    "decision": Plan(lambda stolen, workspace, request: replace(request, decision=b"d" * 32)),
    "approver": Plan(_renamed),
    "approvals dropped": Plan(lambda stolen, workspace, request: replace(request, approvals=())),
    "unapproved": Plan(after=False),
    "unregistered key": Plan(approved({"person": "ravi", "key": "mallory"}), after=False),
    "revoked key": Plan(approved({"person": "lena"}), after=False),
    "another order's": Plan(_another_orders, after=False),
    "unverified": Plan(approved({"person": "ravi", "verified": False}), after=False),
    "another origin": Plan(approved({"person": "ravi", "origin": "https://evil.example"}), after=False),
    "the initiator's own": Plan(approved({"person": "tara"}), after=False),
}


def plan_of(row: RowMapping) -> tuple[Plan | None, tuple[int, ...]]:
    """How it lies about this order, and with whom; None if it does not."""
    name, _, helpers = intent_of(row).purpose.partition(";")
    return PLANS.get(name.strip()), tuple(int(index) for index in helpers.split())


class EvilDesk(Desk):
    """Shows every cosigner the lie, each quorum after the other, and takes a signature wherever one comes."""

    stolen: Stolen

    async def approvals(self, order_id: str) -> None:
        row = await self._store.order(order_id)
        plan, _ = plan_of(row)
        if plan is None or plan.after:
            await super().approvals(order_id)
        elif row["state"] == State.PENDING_APPROVAL:
            await self._move(order_id, State.PENDING_APPROVAL, State.APPROVED)

    async def request(self, row: RowMapping) -> SignRequest:
        plan, _ = plan_of(row)
        told = await super().request(row)
        return told if plan is None else plan.trick(self.stolen, self._workspace, told)

    async def sign(self, order_id: str) -> None:
        row = await self._store.order(order_id)
        plan, helpers = plan_of(row)
        if plan is None:
            return await super().sign(order_id)
        others = [index for index in ALL if index not in helpers]
        rest = 3 - len(helpers)
        quorums = [tuple(sorted((*helpers, *more))) for more in combinations(others, rest)] if helpers else EVERYBODY
        reason = Reason.SESSION_FAILED
        for quorum in quorums:
            row = await self._store.order(order_id)
            if row["state"] not in (State.APPROVED, State.SIGNING):
                return None
            if row["state"] == State.APPROVED:
                await self._move(order_id, State.APPROVED, State.SIGNING)
            try:
                CURRENT.update(plan.spec)
                await self._sign_with(row, Session(*await self._shown(row, quorum), Mode.FULL))
                return None
            except SessionFailed as failed:
                for refusal in failed.refusals.values():
                    await self._store.add_refusal(order_id, refusal)
                    reason = Reason(refusal.refusal.reason)
            except CountersealError as error:
                reason = error.reason
            finally:
                CURRENT.clear()
        await self._end(await self._store.order(order_id), State.REJECTED, reason, "nobody believed it")
        return None

    async def _shown(
        self, row: RowMapping, quorum: tuple[int, ...]
    ) -> tuple[SignRequest, tuple[int, ...], bytes, bytes]:
        """The lie, written down in the log and covered as the truth would be, where it can be written there at all."""
        request, note = await self.request(row), b""
        try:
            subject_id = f"lie_{subject_digest(request.proposal.subject).hex()[:24]}"
            note = (await self._authorizing.cover(await self._authorizing.entry(subject_id, request))).note
        except CountersealError:
            note = b""  # nodes follow no log that holds what cannot be read
        return request, quorum, b"", note


CURRENT: dict[str, Any] = {}
"""What the session under way says otherwise than the order."""


async def showing(cosigners: Any, workspace: Workspace, spec: SessionSpec, request: Request, **more: Any) -> Any:
    """The honest relay of a session that says something else."""
    return await honest_session(cosigners, workspace, replace(spec, **CURRENT), request, **more)


def shrugging(intent: Intent, execution: Any) -> Any:
    """What is signed, also where nothing can be."""
    try:
        return honest_derivation(intent, execution)
    except CountersealError:
        return None, b"d" * 32


honest_session, honest_derivation = honest.run_session, honest.what_is_signed  # type: ignore[attr-defined]


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.argument("verb", type=click.Choice(["serve"]))
def main(path: Path, verb: str) -> None:
    """Serve, evilly."""
    people = path.parent.parent / "people"
    EvilDesk.stolen = Stolen(people)
    if not (people / "mallory.json").exists():
        SoftwareAuthenticator.create(people / "mallory.json", "localhost")
    honest.run_session, honest.what_is_signed = showing, shrugging  # type: ignore[attr-defined, assignment]
    asyncio.run(serve(load(path), EvilDesk))


if __name__ == "__main__":
    main()
