"""The checks before this node takes part in anything, cheap ones first. A no is a signed refusal.

The coordinator is hostile input here: what it concluded is not looked at, only the documents that it presents.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosigner.hsm import Token
from cosigner.ledger import Ledger
from cosigner.vault import KeyState, Vault
from oms_core.authorize import Authorized, authorize
from oms_core.chains.evm import address_of
from oms_core.chains.intent import CreateWallet, Intent, subject_digest
from oms_core.crypto import params
from oms_core.encoding import encode
from oms_core.errors import CountersealError, NotFound, Reason, Refused
from oms_core.evidence import (
    CreateRequest,
    ProbeRequest,
    Refusal,
    Request,
    SignedRefusal,
    SignRequest,
    probe_digest,
    request_digest,
)
from oms_core.protocol.envelope import SessionSpec, check_spec
from oms_core.protocol.shares import KeyMaterial
from oms_core.workspace import Workspace, identities

PROTOCOLS = {CreateRequest: "create-key", SignRequest: "sign", ProbeRequest: "probe"}


@dataclass(frozen=True, slots=True)
class Creation:
    """A key may be made."""

    wish: CreateWallet
    workspace: Workspace


@dataclass(frozen=True, slots=True)
class Signing:
    """``digest`` may be signed with ``material``; ``authorized`` is None for a probe."""

    material: KeyMaterial
    digest: bytes
    account: bytes
    authorized: Authorized | None
    workspace: Workspace


class Guard:
    """Decides for this node. ``floor`` is the least security level."""

    def __init__(self, token: Token, vault: Vault, ledger: Ledger, floor: params.Level) -> None:
        self._token, self._vault, self._ledger, self._floor = token, vault, ledger, floor

    def decide(self, spec: SessionSpec, request: Request, now: int) -> Creation | Signing:
        """Yes with what to run, or an error with its reason. Ends by claiming the session id."""
        self._check_spec(spec, request)
        workspace = self._vault.workspace()
        if not set(spec.parties) <= set(identities(workspace)):
            raise Refused("a party is not in the roster", Reason.UNKNOWN_USER)
        granted: Creation | Signing
        if isinstance(request, CreateRequest):
            granted = self._create(spec, request, workspace, now)
        elif isinstance(request, SignRequest):
            granted = self._sign(spec, request, workspace, now)
        else:
            granted = self._probe(spec, request, workspace)
        self._ledger.claim_session(spec.session_id)
        return granted

    def refuse(self, session_id: bytes, request: bytes, error: CountersealError, now: int) -> SignedRefusal:
        """The refusal under this node's identity key."""
        refusal = Refusal(session_id, request, self._token.index, error.reason, error.message[:500], now)
        return SignedRefusal(refusal, self._token.sign("refusal", encode(refusal)))

    def _check_spec(self, spec: SessionSpec, request: Request) -> None:
        check_spec(spec)
        if spec.subject != request_digest(request) or spec.protocol != PROTOCOLS[type(request)]:
            raise Refused("the session is not for this request", Reason.DIGEST_MISMATCH)
        if params.level(spec.level).prime_bits < self._floor.prime_bits:
            raise Refused(f"level {spec.level} is below this node's {self._floor.name}", Reason.CONFIG_INVALID)
        if self._token.index not in spec.parties:
            raise Refused("this node is not a party of the session", Reason.PEER_IDENTITY)

    def _create(self, spec: SessionSpec, request: CreateRequest, workspace: Workspace, now: int) -> Creation:
        wish = authorize(request, workspace, self._ledger.facts(now))
        assert isinstance(wish.subject, CreateWallet)
        expected = (subject_digest(wish.subject), wish.subject.parties, wish.subject.threshold, wish.subject.level)
        if (spec.key_id, spec.parties, spec.threshold, spec.level) != expected or spec.epoch or spec.epoch_hash:
            raise Refused("the session does not make the wallet that was approved", Reason.INTENT_TX_MISMATCH)
        if any(clear.wallet_id == wish.subject.wallet_id for clear in self._vault.all_keys()):
            raise Refused(f"wallet {wish.subject.wallet_id} exists here already", Reason.WRONG_STATE)
        self._ledger.check_counters(request, wish)
        return Creation(wish.subject, workspace)

    def _sign(self, spec: SessionSpec, request: SignRequest, workspace: Workspace, now: int) -> Signing:
        authorized = authorize(request, workspace, self._ledger.facts(now))
        assert isinstance(authorized.subject, Intent)
        key_id = self._vault.find_key(authorized.subject.wallet_id)
        _, material = self._vault.key(key_id, KeyState.ACTIVE)
        self._check_key(spec, material)
        account = address_of(material.share.public_key)
        self._ledger.check_counters(request, authorized)
        self._ledger.check(account, authorized)
        return Signing(material, authorized.digest, account, authorized, workspace)

    def _probe(self, spec: SessionSpec, request: ProbeRequest, workspace: Workspace) -> Signing:
        clear, material = self._vault.key(request.key_id, KeyState.PRE_ACTIVE)
        if clear.wallet_id != request.wallet_id:
            raise NotFound("the key is another wallet's", Reason.UNKNOWN_WALLET)
        self._check_key(spec, material)
        digest = probe_digest(request.key_id, material.share.public_key.to_bytes())
        return Signing(material, digest, b"", None, workspace)

    def _check_key(self, spec: SessionSpec, material: KeyMaterial) -> None:
        share = material.share
        if spec.epoch != share.epoch or spec.epoch_hash != material.epoch_hash:
            raise Refused("the session names another epoch of the key", Reason.EPOCH_STALE)
        if (spec.key_id, spec.threshold, spec.level) != (share.key_id, share.threshold, material.level):
            raise Refused("the session names another key", Reason.DIGEST_MISMATCH)
        if len(spec.parties) != share.threshold or not set(spec.parties) <= set(share.parties):
            raise Refused("the parties are not a quorum of the key", Reason.QUORUM_UNAVAILABLE)
