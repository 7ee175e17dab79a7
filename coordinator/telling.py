"""Tells nodes what they have to be told about keys, and learns from them what this coordinator does not know.

What a node has to be told is written down before it is told, and told again whenever it attaches, until it answers.
"""

from __future__ import annotations

import asyncio

import structlog

from coordinator.authorizing import Authorizing
from coordinator.cosigners import Cosigners
from coordinator.keybook import KeyBook
from coordinator.news import News
from coordinator.pausing import rest
from coordinator.standing import Stands
from coordinator.store import Store
from coordinator.wallets import Confirmations, Wallets
from oms_core.authorize import authorize
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, ProofInvalid, Reason, Unavailable
from oms_core.evidence import ChangeRequest, EpochCertificate
from oms_core.keys import DEALS, Change, ChangeKey, SignedKeyReceipt, certificate_digest
from oms_core.policy.facts import Facts
from oms_core.protocol.identity import verify_identity
from oms_core.protocol.shares import check_confirmations
from oms_core.workspace import identities, member
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

PAUSE, SOON = 30.0, 3.0  # seconds between looks, and while the log does not cover what is to be told
COVER_SECONDS = 20.0  # for those who take part to follow the log to the wish
SUSPEND_SECONDS = 2.0
_HOPELESS = frozenset({Reason.UNKNOWN_WALLET, Reason.EPOCH_STALE, Reason.APPROVAL_EXPIRED, Reason.EXPIRED})


class Telling(Stands):
    """One node after the other attaches, and hears what it has missed."""

    _book: KeyBook
    _store: Store
    _cosigners: Cosigners
    _wallets: Wallets
    _authorizing: Authorizing
    _news: News
    _uncovered: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Tell nodes that attach what they have missed; until told to stop."""
        while not stop.is_set():
            changed = self._cosigners.changed
            await asyncio.gather(*(self._hear(index) for index in self._cosigners.attached()))
            pause, self._uncovered = SOON if self._uncovered else PAUSE, False
            await rest(pause, changed, stop)

    async def _hear(self, index: int) -> None:
        await self._tell(index)
        await self._learn(index)

    async def _tell(self, index: int) -> None:
        """As `deliver`; what a node answers can never hold up the others."""
        try:
            await self.deliver(index)
        except Exception as error:
            self._cosigners.strike(index)
            log.exception("could not tell", cosigner=index, kind=type(error).__name__)

    async def _learn(self, index: int) -> None:
        """Pass on certificates that a node holds and this coordinator does not know of (spec §3.5).

        Nodes destroy shares by certificates alone, and keep them; so the way to the epoch that counts is never lost
        with a coordinator.
        """
        try:
            answer = await self._cosigners.link(index).ask(pb.ToCosigner(get_certificates=pb.GetCertificates()), 30)
        except Unavailable:
            return
        for document in answer.certificates.documents:
            try:
                await self._adopt(decode(EpochCertificate, document, 1 << 20))
            except CountersealError as error:
                log.info("a certificate that is not adopted", cosigner=index, detail=error.message)
            except Exception as error:
                log.exception("no certificate learnt", cosigner=index, kind=type(error).__name__)

    async def _adopt(self, certificate: EpochCertificate) -> None:
        """As a node that leaves would: everyone's word, and people's, so that nobody is told what others refuse."""
        wish, request = certificate.request.proposal.subject, certificate.request
        signed = tuple(sorted(certificate.confirmations, key=lambda one: one.confirmation.index))
        if not isinstance(wish, ChangeKey) or wish.change not in DEALS or not signed:
            return
        then = self._standing.named(request.workspace)  # members have confirmed it under that version
        wallet = await self._wallets.standing(wish.wallet_id)
        parties = tuple(one.confirmation.index for one in signed)
        said = check_confirmations(signed, {i: identities(then)[i] for i in parties})
        same = (said.wallet_id, said.key_id, said.public_key, wish.key_id) == (
            wish.wallet_id,
            wallet.key[0],
            wallet.public_key,
            wallet.key[0],
        )
        if not same or said.epoch <= wallet.key[1] or parties != (wish.parties or wallet.parties):
            return
        now = max([wish.valid_from, *(approval.claim.decided_at for approval in request.approvals)])
        logged_at = await self._book.logged_at(request)
        authorize(request, then, Facts(now, seen_at=0, logged_at=logged_at), self._standing.before(then))
        change_id = f"chg_{certificate_digest(tuple(one.confirmation for one in signed)).hex()[:28]}"
        confirmations = [encode(one) for one in signed]
        commit = pb.CommitEpoch(key_id=said.key_id, confirmations=confirmations, request=encode(request))
        told = tuple(sorted({*parties, *wallet.parties}))
        await self._book.owe(change_id, told, pb.ToCosigner(commit_epoch=commit).SerializeToString())
        threshold = wish.threshold or wallet.threshold
        kept = encode(Confirmations(signed))
        await self._store.note_wallet(wish.wallet_id, confirmations=kept, threshold=threshold)
        log.warning("a certified epoch was learnt", wallet=wish.wallet_id, epoch=said.epoch)

    async def deliver(self, index: int) -> None:
        """Tell a node what it has to be told. What it will never accept is dropped, and said in the log."""
        for row in await self._book.owed_to(index):
            message = pb.ToCosigner.FromString(row["message"])
            try:
                await self._cover(index, row["change_id"], message)
                answer = await self._cosigners.link(index).ask(message, 60)
            except Unavailable as error:
                self._uncovered |= error.reason is Reason.NOT_LOGGED
                log.info("not told yet", cosigner=index, change=row["change_id"], detail=error.message)
                return
            if answer.WhichOneof("body") == "key_changed":
                for data in answer.key_changed.receipts:
                    self._check_receipt(index, data)
                    await self._book.add_receipt(row["change_id"], index, data)
            elif answer.failed.reason not in _HOPELESS:
                log.warning("not carried out", cosigner=index, reason=answer.failed.reason, detail=answer.failed.detail)
                continue
            else:
                log.warning("will not carry out", cosigner=index, reason=answer.failed.reason)
            await self._book.told(row["change_id"], index)
            self._news.ring(row["change_id"])

    async def _cover(self, index: int, change_id: str, message: pb.ToCosigner) -> None:
        """A new state stands on the log as a session does, whenever the node is told. Raises `Unavailable`.

        To suspend a key, nodes need no note: it is what one wants when witnesses are out of reach.
        """
        if message.WhichOneof("body") == "change_key":
            request = decode(ChangeRequest, message.change_key.request, 1 << 20)
            wish = request.proposal.subject
            suspends = isinstance(wish, ChangeKey) and wish.change is Change.SUSPEND
            try:
                seconds = SUSPEND_SECONDS if suspends else COVER_SECONDS
                cover = await self._authorizing.covered(change_id, request, (index,), seconds)
                message.change_key.checkpoint = cover.note
            except Unavailable:
                if not suspends:
                    raise

    def _check_receipt(self, index: int, data: bytes) -> None:
        signed = decode(SignedKeyReceipt, data, 4096)
        if signed.receipt.index != index:
            raise ProofInvalid("the receipt is another node's")
        verify_identity(
            member(self._workspace, index).identity, "key-receipt", encode(signed.receipt), signed.signature
        )
