"""The way of a change to a key: approvals, then new shares and everyone's certificate, or a new state, at every node.

What a node has to be told is written down before it is told, and told again whenever it attaches, until it answers: a
certificate that exists is never lost, so a node that was away finds its way to the epoch that counts (spec §3.5).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from sqlalchemy import RowMapping

from coordinator import durable
from coordinator.approving import GOES_ON, PENDING, Approving
from coordinator.authorizing import Authorizing
from coordinator.calls import Call
from coordinator.cosigners import Cosigners
from coordinator.keybook import KeyBook
from coordinator.news import News
from coordinator.outcomes import Outcomes
from coordinator.sessions import SessionFailed, agree, new_spec, run_session
from coordinator.standing import Standing
from coordinator.store import Store
from coordinator.telling import COVER_SECONDS, Telling
from coordinator.wallets import ActiveWallet, Confirmations, Wallets
from oms_core.authorize import review
from oms_core.chains.intent import Proposal, subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, Reason, Refused, Unavailable
from oms_core.evidence import ChangeRequest
from oms_core.keys import DEALS, LEADS_TO, MAX_EPOCH, Change, ChangeKey, SignedKeyReceipt
from oms_core.policy.judge import Outcome
from oms_core.protocol.packets import Resharing, SessionSpec
from oms_core.protocol.shares import Epoch, SignedConfirmation, check_confirmations
from oms_core.refusals import PASSING
from oms_core.workspace import identities, workspace_digest
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

RUNNING, COMMITTING, DONE, FAILED, DENIED = "RUNNING", "COMMITTING", "DONE", "FAILED", "DENIED"
ENDED = frozenset({DONE, FAILED, DENIED})
MAX_ATTEMPTS = 8
RETRY = 2.0  # seconds
_AGAIN = PASSING | {Reason.EPOCH_STALE}


class KeyChanges(Telling):
    """All changes of keys."""

    def __init__(
        self,
        book: KeyBook,
        store: Store,
        standing: Standing,
        cosigners: Cosigners,
        wallets: Wallets,
        approving: Approving,
        outcomes: Outcomes,
        authorizing: Authorizing,
        news: News,
    ) -> None:
        self._book, self._store, self._standing, self._cosigners = book, store, standing, cosigners
        self._wallets, self._approving, self._outcomes, self._news = wallets, approving, outcomes, news
        self._authorizing = authorizing

    def steps(self) -> tuple[durable.Step, ...]:
        """A change's way."""
        return (("approvals", self.approvals), ("deal", self.deal), ("settle", self.settle))

    async def submit(self, change_id: str, proposal: Proposal, call: Call) -> None:
        """Take a wish on. Raises `Refused` if no rule permits it, or it is not about the epoch that counts."""
        wish = proposal.subject
        if not isinstance(wish, ChangeKey):
            raise Malformed("the subject is not a wish to change a key")
        _, decision = review(proposal, self._workspace, await self._store.facts(int(time.time())))
        if decision.outcome is Outcome.DENY:
            first = decision.objections[0]
            raise Refused(first.text, first.reason, rule=first.rule_id)
        wallet = await self._wallets.standing(wish.wallet_id)
        if wish.epoch != wallet.key[1]:
            raise Refused(f"the wallet's key is in epoch {wallet.key[1]}, not {wish.epoch}", Reason.EPOCH_STALE)
        if wish.change in DEALS and not set(decision.cosigners) <= {*wallet.parties, *wish.parties}:
            text = f"rules want cosigners {list(decision.cosigners)} among those who deal or get the key"
            raise Refused(text, Reason.QUORUM_UNAVAILABLE)
        values = {
            "change_id": change_id,
            "wallet_id": wish.wallet_id,
            "state": PENDING if decision.outcome is Outcome.NEEDS_APPROVAL else RUNNING,
            "proposal": encode(proposal),
            "subject": subject_digest(wish),
            "by": (wish.initiator, proposal.key_id.encode()),
        }
        await self._book.add_change(values, call)

    async def approvals(self, change_id: str) -> None:
        """PENDING_APPROVAL → RUNNING, DENIED or FAILED."""
        while (row := await self._book.change(change_id))["state"] == PENDING:
            facts = await self._store.facts(int(time.time()))
            decision, _ = await self._approving.standing(change_id, _wish(row), facts)
            if text := await self._approving.denial(change_id):
                await self._move(change_id, PENDING, DENIED, reason=Reason.APPROVAL_DENIED, detail=text)
            elif facts.now >= _wish(row).valid_until:
                await self._move(change_id, PENDING, FAILED, reason=Reason.EXPIRED, detail="not approved in time")
            elif decision.outcome in GOES_ON:
                await self._move(change_id, PENDING, RUNNING)
            else:
                await self._approving.preflight.show(change_id, decode(Proposal, row["proposal"]))
                await self._news.wait(change_id)

    async def deal(self, change_id: str) -> None:
        """RUNNING → COMMITTING: with a certificate of the new epoch, or at once for a new state."""
        row = await self._book.change(change_id)
        if row["state"] != RUNNING:
            return
        if _wish(row).change not in DEALS:
            request = await self._request(row, None)
            await self._move(change_id, RUNNING, COMMITTING, request=encode(request))
            return
        wallet, refused = await self._wallets.standing(row["wallet_id"]), set[int]()
        waited = False
        for attempt in range(MAX_ATTEMPTS):
            delayed = False
            try:
                claims = await self._claims(wallet)
                number = 1 + claims[attempt % len(claims)]
                signed, request = await self._new_epoch(row, wallet, number, refused)
            except SessionFailed as failed:
                guilty = await self._outcomes.failed(change_id, failed)
                said = {i: Reason(r.refusal.reason) for i, r in failed.refusals.items()}
                refused |= {i for i, reason in said.items() if reason not in _AGAIN}
                delayed = Reason.DELAYED in said.values()
                if refused and not self._possible(_wish(row), wallet, refused):
                    reason = next(said[i] for i in said if i in refused) if refused & set(said) else Reason.NO_PERMIT
                    await self._move(change_id, RUNNING, FAILED, reason=reason, detail=failed.detail[:500])
                    return
                if guilty:
                    text = f"cosigners {sorted(guilty)} lied; change the committee, or pardon them"
                    await self._move(change_id, RUNNING, FAILED, reason=Reason.CULPRIT_IDENTIFIED, detail=text)
                    return
                await self._say(change_id, Reason.SESSION_FAILED, failed.detail)
            except Refused as error:
                await self._move(change_id, RUNNING, FAILED, reason=error.reason, detail=error.message)
                return
            except CountersealError as error:
                await self._say(change_id, error.reason, error.message)
            else:
                kept = encode(Confirmations(signed))
                await self._move(change_id, RUNNING, COMMITTING, certificate=kept, request=encode(request))
                return
            await self._wallets.pause(change_id, _wish(row), attempt, long=delayed and not waited)
            waited |= delayed
        row = await self._book.change(change_id)
        await self._move(change_id, RUNNING, FAILED, reason=row["reason"], detail=row["detail"])

    async def _new_epoch(
        self, row: RowMapping, wallet: ActiveWallet, number: int, refused: set[int]
    ) -> tuple[tuple[SignedConfirmation, ...], ChangeRequest]:
        """Moduli, then shares; every new member's word that it has sealed them. Raises `SessionFailed` and others."""
        wish, (key_id, old, _) = _wish(row), wallet.key
        receivers = wish.parties or wallet.parties
        threshold = wish.threshold or wallet.threshold
        if barred := sorted(self._cosigners.quarantined & set(receivers)):
            raise Refused(f"cosigners {barred} are in quarantine", Reason.CULPRIT_IDENTIFIED)
        if missing := [i for i in receivers if i not in self._cosigners.attached()]:
            raise Unavailable(f"cosigners {missing} are not attached", Reason.QUORUM_UNAVAILABLE)
        request = await self._request(row, None)
        spec = new_spec("aux", wallet.level, (key_id, number, b""), threshold, receivers, request)
        decision, _ = await self._approving.standing_now(row["change_id"], wish)
        dealers = self._dealers(wish, wallet, refused, set(decision.cosigners) - set(receivers))
        epoch = await self._public(wallet, dealers)
        aux = agree(await self._run(row, spec, request))
        request = await self._request(row, epoch)
        resharing = Resharing(dealers, receivers, threshold, number, aux)
        parties = tuple(sorted({*dealers, *receivers}))
        spec = new_spec("reshare", wallet.level, wallet.key, wallet.threshold, parties, request, resharing=resharing)
        results = await self._run(row, spec, request)
        signed = tuple(decode(SignedConfirmation, results[i], 4096) for i in receivers)
        said = check_confirmations(signed, {i: identities(self._workspace)[i] for i in receivers})
        if (said.key_id, said.public_key, said.epoch) != (key_id, wallet.public_key, number):
            raise Malformed("the confirmations are of another key or epoch", Reason.DIGEST_MISMATCH)
        log.info("new epoch certified", wallet=wish.wallet_id, old=old, new=number)
        return signed, request

    async def _run(self, row: RowMapping, spec: SessionSpec, request: ChangeRequest) -> dict[int, bytes]:
        """A session that stands on the log. Raises `SessionFailed`, `Unavailable`."""
        cover = await self._authorizing.covered(row["change_id"], request, spec.parties, COVER_SECONDS)
        return await run_session(self._cosigners, self._workspace, spec, request, checkpoint=cover.note)

    async def _claims(self, wallet: ActiveWallet) -> list[int]:
        """What attached nodes say to be the newest epoch of this key, the highest first.

        A liar may claim anything: nodes refuse numbers that run away, and then the next claim is tried.
        """
        claims = {wallet.key[1]}
        for index in self._cosigners.attached():
            try:
                answer = await self._cosigners.link(index).ask(pb.ToCosigner(get_status=pb.GetStatus()), 10)
            except Unavailable:
                continue
            claims |= {one.newest for one in answer.status.epochs if one.key_id == wallet.key[0]}
        return sorted((claim for claim in claims if wallet.key[1] <= claim < MAX_EPOCH - 1), reverse=True)

    @staticmethod
    def _possible(wish: ChangeKey, wallet: ActiveWallet, refused: set[int]) -> bool:
        """Whether the change can be made without those that refuse: receivers are named, dealers can be others."""
        if wish.change is Change.REFRESH:
            return not refused
        return not refused & set(wish.parties) and len(set(wallet.parties) - refused) >= wallet.threshold

    def _dealers(self, wish: ChangeKey, wallet: ActiveWallet, refused: set[int], wanted: set[int]) -> tuple[int, ...]:
        if wish.change is Change.REFRESH:
            return wallet.parties
        dealers = self._cosigners.quorum(wallet.parties, wallet.threshold, refused, tuple(sorted(wanted)))
        if dealers is None:
            raise Unavailable("too few holders of the key are attached", Reason.QUORUM_UNAVAILABLE)
        return dealers

    async def _public(self, wallet: ActiveWallet, dealers: tuple[int, ...]) -> Epoch:
        """What is public of the epoch that is dealt from, as its hash has it. Raises `Unavailable`."""
        message = pb.ToCosigner(get_epoch=pb.GetEpoch(key_id=wallet.key[0]))
        for index in dealers:
            try:
                answer = await self._cosigners.link(index).ask(message, 30)
                epoch = decode(Epoch, answer.epoch_public.epoch, 1 << 20)
            except (Unavailable, Malformed):
                self._cosigners.strike(index)
                continue
            if epoch.hash == wallet.key[2]:
                return epoch
            self._cosigners.strike(index)
        raise Unavailable("no dealer shows the epoch that is dealt from", Reason.EPOCH_STALE)

    async def settle(self, change_id: str) -> None:
        """COMMITTING → DONE, when enough nodes have carried it out; the others are told when they attach."""
        while (row := await self._book.change(change_id))["state"] == COMMITTING:
            wish, wallet = _wish(row), await self._wallets.standing(row["wallet_id"])
            members = wish.parties or wallet.parties
            if not await self._book.receipts(change_id):
                told = tuple(sorted({*members, *wallet.parties}))
                await self._book.owe(change_id, told, self._message(row, wallet).SerializeToString())
            await asyncio.gather(*(self._tell(index) for index in self._cosigners.attached()))
            done = await self._done(row, wish, members)
            if len(done) >= self._enough(wish, wallet):
                await self._enter(row, wish, wallet)
                await self._move(change_id, COMMITTING, DONE)
            elif not row["certificate"] and time.time() >= wish.valid_until:
                text = f"carried out at {sorted(done)} only; ask again"
                await self._move(change_id, COMMITTING, FAILED, reason=Reason.EXPIRED, detail=text)
            else:
                await self._say(change_id, Reason.QUORUM_UNAVAILABLE, f"carried out at {sorted(done)} so far")
                await asyncio.sleep(RETRY)

    async def _done(self, row: RowMapping, wish: ChangeKey, members: tuple[int, ...]) -> set[int]:
        """Who has carried it out: by a receipt for a new state; by having answered, for a new epoch."""
        if wish.change in DEALS:
            return set(members) - await self._book.owing(row["change_id"])
        receipts = [decode(SignedKeyReceipt, data).receipt for data in await self._book.receipts(row["change_id"])]
        subject = subject_digest(wish)
        return {one.index for one in receipts if (one.subject, one.state) == (subject, LEADS_TO[wish.change])}

    def _message(self, row: RowMapping, wallet: ActiveWallet) -> pb.ToCosigner:
        if not row["certificate"]:
            return pb.ToCosigner(change_key=pb.ChangeKey(request=row["request"]))
        signed = [encode(one) for one in decode(Confirmations, row["certificate"]).signed]
        commit = pb.CommitEpoch(key_id=wallet.key[0], confirmations=signed, request=row["request"])
        return pb.ToCosigner(commit_epoch=commit)

    @staticmethod
    def _enough(wish: ChangeKey, wallet: ActiveWallet) -> int:
        """To sign again takes a quorum; to stop signing, so many that no quorum is left."""
        if wish.change in DEALS:
            return wish.threshold or wallet.threshold
        return wallet.threshold if wish.change is Change.RESUME else len(wallet.parties) - wallet.threshold + 1

    async def _enter(self, row: RowMapping, wish: ChangeKey, wallet: ActiveWallet) -> None:
        """What counts from now on, for orders."""
        if wish.change in DEALS:
            threshold = wish.threshold or wallet.threshold
            await self._store.note_wallet(wish.wallet_id, confirmations=row["certificate"], threshold=threshold)
        else:
            await self._store.note_wallet(wish.wallet_id, state=str(LEADS_TO[wish.change]))
        self._news.ring(wish.wallet_id)

    async def _request(self, row: RowMapping, epoch: Epoch | None) -> ChangeRequest:
        _, approvals = await self._approving.standing_now(row["change_id"], _wish(row))
        ordered = tuple(sorted(approvals, key=lambda approval: approval.claim.approver))
        return ChangeRequest(decode(Proposal, row["proposal"]), workspace_digest(self._workspace), ordered, epoch)

    async def _move(self, change_id: str, was: str, to: str, **values: Any) -> None:
        await self._book.move_change(change_id, was, to, **values)
        log.info("key change", change=change_id, state=to, reason=str(values.get("reason", "")))
        self._news.ring(change_id)

    async def _say(self, change_id: str, reason: str, detail: str) -> None:
        await self._book.note_change(change_id, reason=str(reason), detail=detail[:500])
        self._news.ring(change_id)


def _wish(row: RowMapping) -> ChangeKey:
    wish = decode(Proposal, row["proposal"]).subject
    assert isinstance(wish, ChangeKey)
    return wish
