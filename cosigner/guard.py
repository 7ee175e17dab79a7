"""The checks before this node takes part in anything, cheap ones first. A no is a signed refusal.

The coordinator is hostile input here: what it concluded is held against what this node concludes, and nothing stands on
it. The order is that of the work: this node's own standing and the session's shape; the transaction, derived anew; the
rules; people's approvals; this team's own rules; the log; the key and the ledger. The session id is claimed last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cosigner.grounds import Grounds
from cosigner.parts import Parts
from cosigner.vault import Clear, SealedAux
from oms_core.authorize import Authorized, Versions
from oms_core.chains.evm import address_of, what_is_signed
from oms_core.chains.intent import CreateWallet, Intent, check_subject, subject_digest
from oms_core.chains.render import Rendering
from oms_core.crypto import params
from oms_core.encoding import encode
from oms_core.errors import CountersealError, Malformed, NotFound, Reason, Refused
from oms_core.evidence import (
    ChangeRequest,
    CreateRequest,
    PresignRequest,
    ProbeRequest,
    ReadRequest,
    Refusal,
    Request,
    SignedReading,
    SignedRefusal,
    SignRequest,
    probe_digest,
    request_digest,
)
from oms_core.keys import DEALS, MAX_EPOCH, Change, ChangeKey, KeyState
from oms_core.policy.limits import horizon
from oms_core.protocol.packets import Resharing, SessionSpec, check_spec
from oms_core.protocol.shares import Epoch, KeyMaterial, aux_digest, child_key
from oms_core.readings import plain_decision, read
from oms_core.workspace import Workspace, identities, operators_differ, workspace_digest

PROTOCOLS: dict[type[object], tuple[str, ...]] = {
    CreateRequest: ("create-key",),
    SignRequest: ("sign", "sign-online"),
    ProbeRequest: ("probe",),
    PresignRequest: ("presign",),
    ChangeRequest: ("aux", "reshare"),
}


MAX_AHEAD = 1024  # epochs: numbers that attempts may skip


@dataclass(frozen=True, slots=True)
class Creation:
    """A key may be made."""

    wish: CreateWallet
    workspace: Workspace


@dataclass(frozen=True, slots=True)
class Signing:
    """``digest`` may be signed with ``material``; ``authorized`` is None for a probe, which is no transaction.

    ``share`` is by how much limits over time were divided, ``at`` when that was decided (Unix seconds).
    """

    material: KeyMaterial
    digest: bytes
    account: bytes
    authorized: Authorized | None
    workspace: Workspace
    older: Versions
    request: SignRequest | None
    share: int = 1
    at: int = 0


@dataclass(frozen=True, slots=True)
class Presigning:
    """A presignature may be made and kept."""

    wallet_id: str
    material: KeyMaterial
    workspace: Workspace


@dataclass(frozen=True, slots=True)
class Dealing:
    """A key may be dealt anew. ``material`` is mine of the old epoch, if I deal; ``aux`` are my moduli of the new one.

    Without ``epoch`` only the moduli are made.
    """

    wish: ChangeKey
    workspace: Workspace
    material: KeyMaterial | None
    epoch: Epoch | None
    aux: SealedAux | None


Granted = Creation | Signing | Presigning | Dealing


class Guard:
    """Decides for this node. ``floor`` is the least security level."""

    def __init__(self, parts: Parts, floor: params.Level) -> None:
        self._token, self._vault, self._ledger, self._floor = parts.token, parts.vault, parts.ledger, floor
        self._boots, self._pool, self._convictions = parts.boots, parts.pool, parts.convictions
        self._halt, self._local, self._past = parts.halt, parts.local, parts.past
        self._grounds = Grounds(parts)

    def decide(self, spec: SessionSpec, request: Request, now: int, note: bytes = b"") -> Granted:
        """Yes with what to run, or an error with its reason. Ends by claiming the session id.

        ``note`` is the checkpoint by which witnesses vouch for what stands in the log of this request.
        """
        self._boots.check()
        self._halt.check()
        workspace = self._vault.workspace()
        if identities(workspace).get(self._token.index) != self._token.public:
            raise Refused("this node has been replaced in the roster", Reason.PEER_IDENTITY)
        self._check_spec(spec, request)
        self._ledger.check_session(spec.session_id)
        self._convictions.check(spec.parties)
        self._check_parties(spec, workspace)
        granted: Granted
        match request:
            case CreateRequest():
                granted = self._create(spec, request, workspace, note, now)
            case SignRequest():
                granted = self._sign(spec, request, workspace, note, now)
            case ChangeRequest():
                granted = self._deal(spec, request, workspace, note, now)
            case PresignRequest():
                granted = self._presign(spec, request, workspace)
            case ProbeRequest():
                granted = self._probe(spec, request, workspace)
        self._ledger.claim_session(spec.session_id)
        return granted

    def read(self, request: ReadRequest, now: int) -> tuple[SignedReading, Rendering]:
        """What this node reads in a proposal, under its identity key. Raises what it would refuse it for already.

        Approvals and delays are still to come, so they are not missed, and so is the entry in the log, whatever stands
        there of it already; a halted node reads, too.
        """
        self._boots.check()
        workspace = self._vault.workspace()
        back = max(horizon(workspace), self._local.horizon(workspace))
        facts = self._past.facts_anew(subject_digest(request.proposal.subject), now, back)
        reading, rendering = read(self._token.index, request, workspace, facts)
        self._local.check_reading(workspace, request.proposal.subject, facts)
        return SignedReading(reading, self._token.sign("reading", encode(reading))), rendering

    def refuse(self, session_id: bytes, request: bytes, error: CountersealError, now: int) -> SignedRefusal:
        """The refusal under this node's identity key."""
        refusal = Refusal(session_id, request, self._token.index, error.reason, error.message[:500], now)
        return SignedRefusal(refusal, self._token.sign("refusal", encode(refusal)))

    def _check_spec(self, spec: SessionSpec, request: Request) -> None:
        check_spec(spec)
        if spec.epoch >= MAX_EPOCH:
            raise Malformed("an epoch is below 2^31")
        if spec.subject != request_digest(request) or spec.protocol not in PROTOCOLS[type(request)]:
            raise Refused("the session is not for this request", Reason.DIGEST_MISMATCH)
        if params.level(spec.level).prime_bits < self._floor.prime_bits:
            raise Refused(f"level {spec.level} is below this node's {self._floor.name}", Reason.CONFIG_INVALID)
        if (spec.resharing is not None) != (spec.protocol == "reshare") or bool(spec.presignature) != (
            spec.protocol == "sign-online"
        ):
            raise Refused("the session is not of the shape of its protocol", Reason.DIGEST_MISMATCH)
        if self._token.index not in spec.parties:
            raise Refused("this node is not a party of the session", Reason.PEER_IDENTITY)

    def _check_parties(self, spec: SessionSpec, workspace: Workspace) -> None:
        if not set(spec.parties) <= set(identities(workspace)):
            raise Refused("a party is not in the roster", Reason.UNKNOWN_USER)
        signs = spec.protocol not in ("create-key", "aux", "reshare")
        if signs and workspace.distinct_operators and not operators_differ(workspace, spec.parties):
            raise Refused("two of the quorum are run by one operator", Reason.OPERATOR_NOT_DISTINCT)

    def _create(
        self, spec: SessionSpec, request: CreateRequest, workspace: Workspace, note: bytes, now: int
    ) -> Creation:
        wish, _ = self._grounds.authorize(request, workspace, note, now)
        assert isinstance(wish.subject, CreateWallet)
        self._boots.check_proposed(wish.subject.valid_from)
        expected = (subject_digest(wish.subject), wish.subject.parties, wish.subject.threshold, wish.subject.level)
        if (spec.key_id, spec.parties, spec.threshold, spec.level) != expected or spec.epoch or spec.epoch_hash:
            raise Refused("the session does not make the wallet that was approved", Reason.INTENT_TX_MISMATCH)
        check_wanted(wish.cosigners, spec.parties)
        if any(clear.wallet_id == wish.subject.wallet_id for clear in self._vault.all_keys()):
            raise Refused(f"wallet {wish.subject.wallet_id} exists here already", Reason.WRONG_STATE)
        self._ledger.check_counters(request, wish)
        return Creation(wish.subject, workspace)

    def _sign(self, spec: SessionSpec, request: SignRequest, workspace: Workspace, note: bytes, now: int) -> Signing:
        intent = self._check_claims(spec, request, workspace, now)
        authorized, share = self._grounds.authorize(request, workspace, note, now)
        check_wanted(authorized.cosigners, spec.parties)
        self._boots.check_proposed(intent.valid_from)
        clear = self._vault.find_key(intent.wallet_id)
        _, material = self._vault.key(clear.key_id, KeyState.ACTIVE)
        self._check_key(spec, material, intent.path, authorized.digest)
        account = address_of(child_key(material, intent.path))
        self._ledger.check_counters(request, authorized)
        self._ledger.check(account, authorized)
        older = self._vault.older()
        return Signing(material, authorized.digest, account, authorized, workspace, older, request, share, now)

    def _check_claims(self, spec: SessionSpec, request: SignRequest, workspace: Workspace, now: int) -> Intent:
        """What the coordinator says that it comes to, held against what this node comes to: the cheap part first."""
        intent = request.proposal.subject
        if not isinstance(intent, Intent):
            raise Refused("the request does not fit its subject", Reason.INTENT_TX_MISMATCH)
        check_subject(intent, now)
        _, digest = what_is_signed(intent, request.execution)
        if (spec.path, spec.digest) != (intent.path, digest):
            raise Refused("the session signs something else, or under another path", Reason.DIGEST_MISMATCH)
        if request.workspace != workspace_digest(workspace):
            raise Refused("the request stands on another version of the workspace", Reason.POLICY_VERSION_MISMATCH)
        if request.decision != plain_decision(intent, workspace):
            raise Refused("the coordinator's rules come to another decision than mine", Reason.DIGEST_MISMATCH)
        return intent

    def _probe(self, spec: SessionSpec, request: ProbeRequest, workspace: Workspace) -> Signing:
        clear, material = self._vault.key(request.key_id, KeyState.PRE_ACTIVE)
        if clear.wallet_id != request.wallet_id:
            raise NotFound("the key is another wallet's", Reason.UNKNOWN_WALLET)
        digest = probe_digest(request.key_id, material.share.public_key.to_bytes())
        self._check_key(spec, material, (), digest)
        return Signing(material, digest, b"", None, workspace, {}, None)

    def _presign(self, spec: SessionSpec, request: PresignRequest, workspace: Workspace) -> Presigning:
        clear, material = self._vault.key(request.key_id, KeyState.ACTIVE)
        if clear.wallet_id != request.wallet_id:
            raise NotFound("the key is another wallet's", Reason.UNKNOWN_WALLET)
        self._check_key(spec, material, request.path, b"")
        self._pool.check_room(request.key_id)
        return Presigning(clear.wallet_id, material, workspace)

    def _deal(self, spec: SessionSpec, request: ChangeRequest, workspace: Workspace, note: bytes, now: int) -> Dealing:
        authorized, _ = self._grounds.authorize(request, workspace, note, now)
        wish = authorized.subject
        assert isinstance(wish, ChangeKey)
        self._boots.check_proposed(wish.valid_from)
        if wish.change not in DEALS:
            raise Refused("the wish is not to deal a key anew", Reason.INTENT_TX_MISMATCH)
        self._ledger.check_counters(request, authorized)
        held = self._held(wish.wallet_id)
        material = self._vault.epoch(held.key_id, held.epoch) if held else None
        if material is not None and held is not None:
            share = material.share
            own = (share.key_id, share.public_key.to_bytes(), share.chain_code)
            if own != (wish.key_id, wish.public_key, wish.chain_code) or held.epoch > wish.epoch:
                raise Refused(f"the wish is about epoch {wish.epoch}, here is {held.epoch}", Reason.EPOCH_STALE)
            if material.level != spec.level:
                raise Refused(f"the key is of level {material.level}", Reason.CONFIG_INVALID)
            if KeyState(held.state) is not KeyState.ACTIVE:
                raise Refused(f"a key that is {held.state} is not dealt anew", Reason.WRONG_STATE)
            if held.epoch < wish.epoch:
                material = None  # what is held here is over: this node can receive, and not deal
        if spec.key_id != wish.key_id:
            raise Refused("the session is about another key than the wish", Reason.EPOCH_STALE)
        if any(c.key_id == wish.key_id and c.wallet_id != wish.wallet_id for c in self._vault.all_keys(pending=True)):
            raise Refused("the key is another wallet's here", Reason.EPOCH_STALE)
        if spec.resharing is None:
            return self._new_moduli(spec, wish, workspace, material)
        check_wanted(authorized.cosigners, spec.parties)
        return self._reshare(spec, spec.resharing, request, wish, workspace, material)

    def _new_moduli(
        self, spec: SessionSpec, wish: ChangeKey, workspace: Workspace, material: KeyMaterial | None
    ) -> Dealing:
        parties = wish.parties if wish.change is Change.RESHARE else material.share.parties if material else ()
        threshold = wish.threshold if wish.change is Change.RESHARE else material.share.threshold if material else 0
        if (spec.parties, spec.threshold) != (parties, threshold) or spec.epoch_hash:
            raise Refused("the session does not make the moduli of the committee", Reason.INTENT_TX_MISMATCH)
        self._check_new_epoch(spec.key_id, spec.epoch, "aux", wish.epoch)
        return Dealing(wish, workspace, material, None, None)

    def _reshare(
        self,
        spec: SessionSpec,
        new: Resharing,
        request: ChangeRequest,
        wish: ChangeKey,
        workspace: Workspace,
        material: KeyMaterial | None,
    ) -> Dealing:
        epoch, me = request.epoch, self._token.index
        if epoch is None or epoch.hash != spec.epoch_hash or (epoch.key_id, epoch.epoch) != (spec.key_id, wish.epoch):
            raise Refused("the session deals from the epoch that the wish names", Reason.EPOCH_STALE)
        if (epoch.public_key.to_bytes(), epoch.chain_code) != (wish.public_key, wish.chain_code):
            raise Refused("the epoch is not of the key that people named", Reason.EPOCH_STALE)
        if material is not None and material.epoch_hash != epoch.hash:
            raise Refused("the epoch is not the one that this node holds", Reason.EPOCH_STALE)
        if spec.threshold != epoch.threshold or not set(new.dealers) <= set(epoch.parties):
            raise Refused("dealers are a quorum of the old epoch", Reason.INTENT_TX_MISMATCH)
        if wish.change is Change.REFRESH:
            fits = new.dealers == new.receivers == epoch.parties and new.threshold == epoch.threshold
        else:
            fits = (new.receivers, new.threshold) == (wish.parties, wish.threshold)
        if not fits:
            raise Refused("the resharing is not the one that was approved", Reason.INTENT_TX_MISMATCH)
        if me in new.dealers and material is None:
            raise Refused("this node holds no share to deal", Reason.UNKNOWN_WALLET)
        aux = None
        if me in new.receivers:
            self._check_new_epoch(spec.key_id, new.epoch, "key", wish.epoch)
            aux = self._vault.aux(spec.key_id, new.epoch)
            members = tuple(peer.index for peer in aux.aux.public)
            if (aux_digest(aux.aux), aux.level, members) != (new.aux, spec.level, new.receivers):
                raise Refused("the moduli are not those that were made for this epoch", Reason.DIGEST_MISMATCH)
        return Dealing(wish, workspace, material if me in new.dealers else None, epoch, aux)

    def _held(self, wallet_id: str) -> Clear | None:
        try:
            return self._vault.find_key(wallet_id)
        except NotFound:
            return None

    def _check_new_epoch(self, key_id: bytes, epoch: int, purpose: str, base: int) -> None:
        """Each attempt takes a new number, so that what is pending of another one is never overwritten.

        The share of an attempt has the number of its moduli. Moduli that wait block their own number alone, and numbers
        do not run away: so whatever was tried before, there is another one.
        """
        newest, moduli = self._vault.blocked(key_id)
        if epoch <= newest or (purpose == "aux" and epoch in moduli):
            raise Refused(f"epoch {epoch} of this key is taken here; the newest share is {newest}", Reason.EPOCH_STALE)
        if epoch > max(newest, base) + MAX_AHEAD:
            raise Refused(f"epoch {epoch} is too far ahead of {newest}", Reason.EPOCH_STALE)

    def _check_key(self, spec: SessionSpec, material: KeyMaterial, path: tuple[int, ...], digest: bytes) -> None:
        share = material.share
        if (spec.path, spec.digest) != (path, digest):
            raise Refused("the session signs something else, or under another path", Reason.DIGEST_MISMATCH)
        if spec.epoch != share.epoch or spec.epoch_hash != material.epoch_hash:
            raise Refused("the session names another epoch of the key", Reason.EPOCH_STALE)
        if (spec.key_id, spec.threshold, spec.level) != (share.key_id, share.threshold, material.level):
            raise Refused("the session names another key", Reason.DIGEST_MISMATCH)
        if len(spec.parties) != share.threshold or not set(spec.parties) <= set(share.parties):
            raise Refused("the parties are not a quorum of the key", Reason.QUORUM_UNAVAILABLE)


def check_wanted(cosigners: Iterable[int], parties: tuple[int, ...]) -> None:
    """Those whom a rule wants to sign, or to deal or get a key, are there. Raises `Refused` (QUORUM_UNAVAILABLE)."""
    if not (wanted := set(cosigners)) <= set(parties):
        raise Refused(f"a rule wants cosigners {sorted(wanted)} among those who take part", Reason.QUORUM_UNAVAILABLE)
