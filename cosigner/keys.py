"""What happens to a key at this node outside of protocol sessions: confirmed, moved to another state, a new epoch.

Nothing here is believed because the coordinator says it: people's approvals, everyone's signed confirmations and the
test signature are verified each time. Each change is carried out once, and answered with a signed receipt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from cosigner.grounds import Grounds
from cosigner.parts import Parts
from cosigner.vault import Clear
from oms_core.authorize import Versions, authorize
from oms_core.chains.intent import subject_digest
from oms_core.crypto import ecdsa
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, NotFound, ProofInvalid, Reason, Refused
from oms_core.evidence import ChangeRequest, EpochCertificate, drill_digest, probe_digest
from oms_core.keys import (
    DEALS,
    LEADS_TO,
    MAX_EPOCH,
    Change,
    ChangeKey,
    KeyReceipt,
    KeyState,
    SignedKeyReceipt,
    certificate_digest,
)
from oms_core.policy.facts import Facts
from oms_core.protocol.shares import Epoch, KeyConfirmation, KeyMaterial, SignedConfirmation, check_confirmations
from oms_core.workspace import Workspace, identities

log = structlog.get_logger()

_LIMIT = 256 * 1024
_STOPPED = frozenset({KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED})


class Keys:
    """Confirms, changes and replaces this node's keys. All methods may be called from any thread."""

    def __init__(self, parts: Parts) -> None:
        self._token, self._vault, self._ledger = parts.token, parts.vault, parts.ledger
        self._boots, self._pool, self._halt, self._past = parts.boots, parts.pool, parts.halt, parts.past
        self._grounds = Grounds(parts)
        self._turn = threading.Lock()

    def confirm(self, key_id: bytes, confirmations: tuple[bytes, ...], probe: bytes, drill: bytes) -> None:
        """All parties confirm the key, it has signed, and so have its backups if it was wished: it becomes ACTIVE.

        Idempotent. Raises `Refused`, `NotFound`, `Malformed`.
        """
        self._boots.check()
        if any(c.key_id == key_id and c.state == KeyState.ACTIVE for c in self._vault.all_keys()):
            return
        clear, material = self._vault.key(key_id, KeyState.PRE_ACTIVE)
        share = material.share
        signed = tuple(decode(SignedConfirmation, data, 4096) for data in confirmations)
        roster = {j: key for j, key in identities(self._vault.workspace()).items() if j in share.parties}
        try:
            said = check_confirmations(signed, roster)
            if _said(said) != _own(clear, material):
                raise ProofInvalid("the confirmations are of this node's key")
            digest = probe_digest(share.key_id, share.public_key.to_bytes())
            ecdsa.verify(share.public_key, digest, decode(ecdsa.Signature, probe, 512))
            if clear.drill:
                digest = drill_digest(share.key_id, share.epoch, share.public_key.to_bytes())
                ecdsa.verify(share.public_key, digest, decode(ecdsa.Signature, drill, 512))
        except ProofInvalid as error:
            raise Refused(f"the wallet is not confirmed: {error.message}", Reason.DIGEST_MISMATCH) from error
        self._vault.advance_key(share.key_id, share.epoch, KeyState.PRE_ACTIVE, KeyState.ACTIVE)
        log.info("wallet active", wallet=clear.wallet_id)

    def change(self, data: bytes, note: bytes = b"") -> SignedKeyReceipt:
        """Carry out a wish to suspend, resume, deactivate, destroy … a key, once. Raises `Refused`, `Malformed`.

        A halted node still stops a key; it neither resumes nor destroys one. ``note`` vouches for what stands in the
        log; a key is suspended without: that is undone by a wish, and may not wait for witnesses.
        One after the other: what was looked at is so when it is acted on.
        """
        with self._turn:
            return self._change(data, note)

    def _change(self, data: bytes, note: bytes) -> SignedKeyReceipt:
        self._boots.check()
        request = decode(ChangeRequest, data, _LIMIT)
        wish = request.proposal.subject
        if not isinstance(wish, ChangeKey) or wish.change not in LEADS_TO:
            raise Refused("the wish is not for a state", Reason.INTENT_TX_MISMATCH)
        subject = subject_digest(wish)
        if done := self._ledger.change_done(subject):
            self._vault.finish_erasing()
            self._boots.settle()
            return done
        to = LEADS_TO[wish.change]
        if to not in _STOPPED:
            self._halt.check()
        workspace, now, waits = self._vault.workspace(), int(time.time()), to is not KeyState.SUSPENDED
        authorized, _ = self._grounds.authorize(request, workspace, note if waits else None, now)
        self._ledger.check_counters(request, authorized)
        clear = self._meant(wish)
        if wish.change is Change.RESUME:
            self._boots.check_proposed(wish.valid_from)
            if wish.valid_from < self._ledger.stopped_at(wish.wallet_id):
                raise Refused("the key was suspended after this wish to resume it", Reason.WRONG_STATE)
        receipt = self._receipt(clear, to, subject)
        notes: list[Callable[[Connection], object]] = [
            lambda connection: self._vault.check_workspace(connection, workspace),
            self._ledger.noting_change(subject, receipt),
        ]
        if waits:
            notes.append(lambda connection: self._past.check_logged(connection, request, workspace, now))
        if wish.change is Change.RESUME:
            notes.append(self._ledger.noting_resume(wish.wallet_id))
        if to in _STOPPED:
            notes.append(self._ledger.noting_stop(wish.wallet_id, wish.valid_from))
        also = _all(*notes, self._boots.count)
        if clear.state == KeyState.PENDING and to is KeyState.DESTROYED:
            self._vault.destroy_epochs(clear.key_id, MAX_EPOCH, also)
        elif clear.state == KeyState.PENDING or clear.state == to in (KeyState.SUSPENDED, KeyState.ACTIVE):
            self._vault.note(also)  # noted for when it counts; or said again, which answers older wishes
        else:
            self._vault.advance_key(clear.key_id, clear.epoch, KeyState(clear.state), to, also)
        self._pool.drop_key(clear.key_id)
        self._boots.settle()
        log.warning("key changed", wallet=clear.wallet_id, state=to)
        return receipt

    def _meant(self, wish: ChangeKey) -> Clear:
        """The epoch that a wish for a state is about: to stop, also one that is only pending here, or a later one."""
        stops = LEADS_TO[wish.change] is not KeyState.ACTIVE
        held = [c for c in self._vault.all_keys(pending=True) if c.key_id == wish.key_id]
        held = [c for c in held if c.wallet_id == wish.wallet_id]
        counted = [c for c in held if c.state != KeyState.PENDING] or (held[-1:] if stops else [])
        if not counted:
            raise NotFound(f"no wallet {wish.wallet_id[:64]!r} of this key here", Reason.UNKNOWN_WALLET)
        clear = counted[0]
        if clear.epoch < wish.epoch or (clear.epoch > wish.epoch and not stops):
            raise Refused(f"the wish is about epoch {wish.epoch}, here is {clear.epoch}", Reason.EPOCH_STALE)
        return clear

    def commit(self, key_id: bytes, confirmations: tuple[bytes, ...], data: bytes) -> SignedKeyReceipt | None:
        """Go over to a new epoch that all its members have confirmed, and destroy those before it (spec §3.5).

        Idempotent. The receipt is for the epoch that was destroyed here; None if there was none. Raises `Refused`,
        `NotFound`, `Malformed`; nothing is lost then.
        """
        with self._turn:
            return self._commit(key_id, confirmations, data)

    def _commit(self, key_id: bytes, confirmations: tuple[bytes, ...], data: bytes) -> SignedKeyReceipt | None:
        self._boots.check()
        read = (decode(SignedConfirmation, one, 4096) for one in confirmations)
        signed = tuple(sorted(read, key=lambda one: one.confirmation.index))
        # The same words in another order, or signed again, are the same.
        certificate = certificate_digest(tuple(one.confirmation for one in signed))
        request = decode(ChangeRequest, data, _LIMIT)
        wish = request.proposal.subject
        if not signed or not isinstance(wish, ChangeKey):
            raise Refused("a certificate has confirmations and a wish", Reason.INTENT_TX_MISMATCH)
        if done := self._ledger.change_done(certificate):
            self._vault.finish_erasing()
            self._boots.settle()
            return done
        epoch = signed[0].confirmation.epoch
        if not 0 <= epoch < MAX_EPOCH:
            raise Malformed("an epoch is not negative, and below 2^31")
        before = [c for c in self._vault.all_keys() if c.key_id == key_id and c.epoch < epoch]
        receipt = self._receipt(before[0], KeyState.DESTROYED, certificate) if before else None
        document = encode(EpochCertificate(signed, request))
        notes = [self._ledger.keeping(key_id, epoch, document)]
        if receipt:
            notes.append(self._ledger.noting_change(certificate, receipt))
        note = _all(*notes, self._boots.count)
        try:
            material = self._vault.epoch(key_id, epoch)
        except NotFound:
            self._check_leaving(wish, request, signed, before)
            self._vault.destroy_epochs(key_id, epoch, note)
        else:
            clear = self._find(key_id, epoch)
            self._check_wish(wish, request, clear, material.share.parties)
            self._check_certificate(
                signed, material.share.parties, _own(clear, material), request, material.share.roster
            )
            stopped = self._ledger.stopped(clear.wallet_id)
            self._vault.commit_epoch(key_id, epoch, note, KeyState.SUSPENDED if stopped else KeyState.ACTIVE)
        self._pool.drop_key(key_id, epoch)
        self._boots.settle()
        log.warning("epoch committed", key=key_id.hex()[:16], epoch=epoch)
        return receipt

    def certificates(self) -> list[EpochCertificate]:
        """By which this node went over to an epoch, or left: for whoever has to tell the others."""
        return [decode(EpochCertificate, document, 1 << 20) for _, _, document in self._ledger.certificates()]

    def public(self, key_id: bytes) -> Epoch:
        """What is public of the epoch that counts. Raises `NotFound`."""
        clear = next((c for c in self._vault.all_keys() if c.key_id == key_id), None)
        if clear is None:
            raise NotFound("no such key at this cosigner", Reason.UNKNOWN_WALLET)
        return self._vault.epoch(key_id, clear.epoch).public

    def _check_wish(self, wish: ChangeKey, request: ChangeRequest, clear: Clear, parties: tuple[int, ...]) -> None:
        """What is kept with a certificate is what people have approved: others act on it."""
        self._check_approved(wish, request)
        if (wish.wallet_id, wish.key_id) != (clear.wallet_id, clear.key_id) or wish.change not in DEALS:
            raise Refused("the wish is about another key, or deals none", Reason.EPOCH_STALE)
        if wish.change is Change.RESHARE and wish.parties != parties:
            raise Refused("the wish is for another committee", Reason.EPOCH_STALE)

    def _check_leaving(
        self,
        wish: ChangeKey,
        request: ChangeRequest,
        signed: tuple[SignedConfirmation, ...],
        before: list[Clear],
    ) -> None:
        """This node is not in the new committee: it needs people's word, and all members' for the new epoch.

        The members may be liars all; so people's word has to stand in the log, of when it counted.
        """
        if not before:
            raise NotFound("no such key at this cosigner", Reason.UNKNOWN_WALLET)
        mine = before[0]
        self._check_approved(wish, request)
        said = signed[0].confirmation
        about = (wish.wallet_id, wish.change) == (mine.wallet_id, Change.RESHARE)
        if not about or not mine.epoch <= wish.epoch < said.epoch:  # later epochs than the wish's were not meant
            raise Refused("the wish is about another wallet or epoch, or no resharing", Reason.EPOCH_STALE)
        if self._token.index in wish.parties:
            raise Refused("this node is to hold the new epoch, and does not", Reason.EPOCH_STALE)
        old = self._vault.epoch(mine.key_id, mine.epoch)
        expected = (mine.wallet_id, mine.key_id, old.share.public_key, old.share.chain_code, said.epoch)
        self._check_certificate(signed, wish.parties, (*expected, said.transcript), request)
        window = self._vault.workspace().log.degraded_window
        self._past.check_was_authorized(request, self._then(request)[0], window, int(time.time()))

    def _check_approved(self, wish: ChangeKey, request: ChangeRequest) -> None:
        """That people approved it under the version that it names, which the workspace may have left since.

        The approvals are taken as of when the last one was given: a certificate may arrive late, and the members, who
        held them against their clocks and their version, have confirmed. What rules say of time is as of the wish's
        entry, as it was for them: people may have approved at night what is dealt by day.
        """
        then, older = self._then(request)
        now = max([wish.valid_from, *(approval.claim.decided_at for approval in request.approvals)])
        authorize(request, then, Facts(now, seen_at=0, logged_at=self._past.wished_at(request)), older)

    def _then(self, request: ChangeRequest) -> tuple[Workspace, Versions]:
        """The version that a certificate was made under. Raises `Refused` (POLICY_VERSION_MISMATCH)."""
        then = self._vault.versions.named(request.workspace)
        return then, self._vault.versions.before(then)

    def _check_certificate(
        self,
        signed: tuple[SignedConfirmation, ...],
        parties: tuple[int, ...],
        expected: tuple[object, ...],
        request: ChangeRequest,
        held: tuple[tuple[int, bytes], ...] | None = None,
    ) -> None:
        """All of ``parties`` confirm it, under the version that the wish names.

        ``held`` are the identity keys with which a member has made the epoch: a token that has been replaced since that
        version, and may be stolen, does not speak for its successor, which may hold nothing.
        """
        roster = {j: key for j, key in identities(self._then(request)[0]).items() if j in parties}
        try:
            if held is not None and roster != dict(held):
                raise ProofInvalid("the members are those who have made it")
            said = check_confirmations(signed, roster)
            if len(roster) != len(parties) or _said(said) != expected:
                raise ProofInvalid("all members confirm this epoch of this key")
        except ProofInvalid as error:
            raise Refused(f"the new epoch is not confirmed: {error.message}", Reason.DIGEST_MISMATCH) from error

    def _find(self, key_id: bytes, epoch: int) -> Clear:
        return next(c for c in self._vault.all_keys(pending=True) if (c.key_id, c.epoch) == (key_id, epoch))

    def _receipt(self, clear: Clear, state: KeyState, subject: bytes) -> SignedKeyReceipt:
        at, index = int(time.time()), self._token.index
        receipt = KeyReceipt(clear.wallet_id, clear.key_id, clear.epoch, state, subject, index, at)
        return SignedKeyReceipt(receipt, self._token.sign("key-receipt", encode(receipt)))


def _said(said: KeyConfirmation) -> tuple[object, ...]:
    return said.wallet_id, said.key_id, said.public_key, said.chain_code, said.epoch, said.transcript


def _own(clear: Clear, material: KeyMaterial) -> tuple[object, ...]:
    share = material.share
    transcript = material.epoch_hash
    return clear.wallet_id, share.key_id, share.public_key, share.chain_code, share.epoch, transcript


def _all(*notes: Callable[[Connection], object]) -> Callable[[Connection], None]:
    def note(connection: Connection) -> None:
        for one in notes:
            one(connection)

    return note
