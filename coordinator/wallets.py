"""The way of a wallet: approvals, key generation by all its cosigners, a test signature, confirmation at each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import RowMapping

from coordinator import durable
from coordinator.approving import GOES_ON, PENDING, Approving
from coordinator.authorizing import Authorizing
from coordinator.calls import Call
from coordinator.cosigners import Cosigners
from coordinator.news import News
from coordinator.outcomes import Outcomes
from coordinator.sessions import SessionFailed, agree, new_spec, run_session
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from oms_core.authorize import review
from oms_core.chains.evm import address_of
from oms_core.chains.intent import CreateWallet, Proposal, subject_digest
from oms_core.crypto import ecdsa
from oms_core.crypto.bip32 import derive
from oms_core.crypto.curve import Point
from oms_core.encoding import decode, encode
from oms_core.errors import CountersealError, Malformed, Reason, Refused, Unavailable
from oms_core.evidence import CreateRequest, ProbeRequest, drill_digest, probe_digest
from oms_core.keys import ChangeKey
from oms_core.log.documents import Confirmations as Confirmations
from oms_core.policy.judge import Outcome
from oms_core.protocol.shares import KeyConfirmation, SignedConfirmation, check_confirmations
from oms_core.workspace import identities, workspace_digest
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

GENERATING, PRE_ACTIVE, ACTIVE, FAILED, DENIED = "GENERATING", "PRE_ACTIVE", "ACTIVE", "FAILED", "DENIED"
ENDED = frozenset({ACTIVE, FAILED, DENIED})
UNDER_WAY = frozenset({PENDING, GENERATING, PRE_ACTIVE})
MAX_PROBES = 10
MAX_ATTEMPTS = 8
RETRY, LONGEST_PAUSE = 2.0, 30.0  # seconds
COVER_SECONDS = 60.0  # for all parties to follow the log to the wish


@dataclass(frozen=True, slots=True)
class ActiveWallet:
    """What signing needs to know of a wallet; ``key`` is (key id, epoch, epoch hash)."""

    parties: tuple[int, ...]
    threshold: int
    level: str
    key: tuple[bytes, int, bytes]
    public_key: Point
    chain_code: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """The newest protocol step of a wallet's creation."""

    step: str
    round: int
    elapsed: float


class Wallets(Stands):
    """All wallets."""

    def __init__(
        self,
        store: Store,
        standing: Standing,
        cosigners: Cosigners,
        approving: Approving,
        outcomes: Outcomes,
        authorizing: Authorizing,
        news: News,
    ) -> None:
        self._store, self._standing, self._cosigners = store, standing, cosigners
        self._approving, self._outcomes, self._news = approving, outcomes, news
        self._authorizing = authorizing
        self.progress: dict[str, list[Progress]] = {}

    def steps(self) -> tuple[durable.Step, ...]:
        """The wallet's way."""
        return (("approvals", self.approvals), ("generate", self.generate), ("activate", self.activate))

    async def submit(self, proposal: Proposal, call: Call) -> str:
        """Take a wish for a wallet on; returns its wallet id. Raises `Refused` if no rule permits it."""
        wish = proposal.subject
        if not isinstance(wish, CreateWallet):
            raise Malformed("the subject is not a wish for a wallet")
        _, decision = review(proposal, self._workspace, await self._store.facts(int(time.time())))
        if decision.outcome is Outcome.DENY:
            first = decision.objections[0]
            raise Refused(first.text, first.reason, rule=first.rule_id)
        if not set(wish.parties) <= set(identities(self._workspace)):
            raise Malformed("a party is not in the roster", Reason.UNKNOWN_USER)
        if not set(decision.cosigners) <= set(wish.parties):
            text = f"rules want cosigners {list(decision.cosigners)} among those who make the key"
            raise Refused(text, Reason.QUORUM_UNAVAILABLE)
        state = PENDING if decision.outcome is Outcome.NEEDS_APPROVAL else GENERATING
        by = (wish.initiator, proposal.key_id.encode())
        await self._store.add_wallet(
            wish.wallet_id, state, encode(proposal), subject_digest(wish), wish.threshold, call, by
        )
        return wish.wallet_id

    async def approvals(self, wallet_id: str) -> None:
        """PENDING_APPROVAL → GENERATING, DENIED or FAILED."""
        while (row := await self._store.wallet(wallet_id))["state"] == PENDING:
            facts = await self._store.facts(int(time.time()))
            decision, _ = await self._approving.standing(wallet_id, _wish(row), facts)
            if text := await self._approving.denial(wallet_id):
                await self._move(wallet_id, PENDING, DENIED, reason=Reason.APPROVAL_DENIED, detail=text)
            elif facts.now >= _wish(row).valid_until:
                await self._move(wallet_id, PENDING, FAILED, reason=Reason.EXPIRED, detail="not approved in time")
            elif decision.outcome in GOES_ON:
                await self._move(wallet_id, PENDING, GENERATING)
            else:
                await self._approving.preflight.show(wallet_id, _proposal(row))
                await self._news.wait(wallet_id)

    async def generate(self, wallet_id: str) -> None:
        """GENERATING → PRE_ACTIVE, with every party's signed confirmation.

        What passes by itself is waited out, and then the key is made anew: a delay that nodes count, or a change of the
        workspace, under whose new version the rules are asked, and people if it takes that, once more.
        """
        waited = False
        for attempt in range(MAX_ATTEMPTS):
            # One that went back to its people is still in this step, also after a crash.
            while (row := await self._store.wallet(wallet_id))["state"] == PENDING or (
                row["state"] == GENERATING and not await self._still(row)
            ):
                await self.approvals(wallet_id)
            if row["state"] != GENERATING:
                return
            under = self._standing.digest
            try:
                signed = await self._make(row)
            except SessionFailed as failed:
                guilty = await self._outcomes.failed(wallet_id, failed)
                said = [Reason(no.refusal.reason) for no in failed.refusals.values()]
                reason = Reason.DELAYED if Reason.DELAYED in said else (*said, Reason.SESSION_FAILED)[0]
                passing = not guilty and (failed.passes or under != self._standing.digest)
                if not passing or attempt + 1 == MAX_ATTEMPTS:
                    await self._move(wallet_id, GENERATING, FAILED, reason=reason, detail=failed.detail[:500])
                    return
                await self._store.note_wallet(wallet_id, reason=reason, detail=failed.detail[:500])
                await self.pause(wallet_id, _wish(row), attempt, long=reason is Reason.DELAYED and not waited)
                waited |= reason is Reason.DELAYED
            except CountersealError as error:
                await self._move(wallet_id, GENERATING, FAILED, reason=error.reason, detail=error.message)
                return
            else:
                kept = encode(Confirmations(signed))
                await self._move(wallet_id, GENERATING, PRE_ACTIVE, confirmations=kept, reason="", detail="")
                return

    async def _still(self, row: RowMapping) -> bool:
        """Whether the wish is what rules permit and people approve now. If not, it has failed, or people are asked."""
        wallet_id, wish, facts = row["wallet_id"], _wish(row), await self._store.facts(int(time.time()))
        decision, _ = await self._approving.standing(wallet_id, wish, facts)
        if facts.now >= wish.valid_until:
            text = row["detail"] or "not made in time"
            await self._move(wallet_id, GENERATING, FAILED, reason=Reason.EXPIRED, detail=text)
        elif decision.outcome is Outcome.DENY:
            first = decision.objections[0]
            await self._move(wallet_id, GENERATING, FAILED, reason=first.reason, detail=first.text)
        elif decision.outcome is Outcome.NEEDS_APPROVAL:
            needed = "; ".join(need.words for need in decision.needs if need.missing)
            await self._move(wallet_id, GENERATING, PENDING, reason=Reason.APPROVAL_MISSING, detail=needed[:500])
        else:
            return True
        return False

    async def _make(self, row: RowMapping) -> tuple[SignedConfirmation, ...]:
        """One session; what every party confirms. Raises `SessionFailed` and others."""
        wallet_id, wish = row["wallet_id"], _wish(row)
        rounds = self.progress.setdefault(wallet_id, [])
        await self._attached(wish)
        _, approvals = await self._approving.standing_now(wallet_id, wish)
        request = CreateRequest(_proposal(row), workspace_digest(self._workspace), approvals)
        key = (subject_digest(wish), 0, b"")
        spec = new_spec("create-key", wish.level, key, wish.threshold, wish.parties, request)

        def progress(step: str, number: int, elapsed: float) -> None:
            rounds.append(Progress(step, number, elapsed))
            self._news.ring(wallet_id)

        cover = await self._authorizing.covered(wallet_id, request, wish.parties, COVER_SECONDS)
        results = await run_session(self._cosigners, self._workspace, spec, request, progress, cover.note)
        signed = tuple(decode(SignedConfirmation, results[i], 4096) for i in wish.parties)
        said = check_confirmations(signed, {i: identities(self._workspace)[i] for i in wish.parties})
        if (said.wallet_id, said.key_id) != (wallet_id, subject_digest(wish)):
            raise Malformed("the confirmations are of another wallet", Reason.DIGEST_MISMATCH)
        return signed

    async def pause(self, subject_id: str, wish: CreateWallet | ChangeKey, attempt: int, long: bool) -> None:
        """Until it is worth asking again: once as ``long`` as the delay, which every node counts from now."""
        facts, seconds = await self._store.facts(int(time.time())), min(RETRY * (attempt + 1), LONGEST_PAUSE)
        if long:
            decision, _ = await self._approving.standing(subject_id, wish, facts)
            seconds = min(decision.delay + 1, wish.valid_until - facts.now)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await self._news.wait(subject_id, min(left, LONGEST_PAUSE))

    async def activate(self, wallet_id: str) -> None:
        """PRE_ACTIVE → ACTIVE: a quorum makes the test signature, every party verifies it and everyone's word."""
        row = await self._store.wallet(wallet_id)
        while _wish(row).drill and row["state"] == PRE_ACTIVE and not row["drill"]:
            await self._news.wait(wallet_id)
            row = await self._store.wallet(wallet_id)
        for attempt in range(MAX_PROBES):
            if (row := await self._store.wallet(wallet_id))["state"] != PRE_ACTIVE:
                return
            try:
                await self._attached(_wish(row))
                await self._activate(row)
            except (SessionFailed, CountersealError) as error:
                log.warning("wallet not yet active", wallet=wallet_id, attempt=attempt, detail=str(error)[:300])
                await asyncio.sleep(1)
            else:
                await self._move(wallet_id, PRE_ACTIVE, ACTIVE)
        if row["state"] == PRE_ACTIVE:
            text = "the test signature or its confirmation failed"
            await self._move(wallet_id, PRE_ACTIVE, FAILED, reason=Reason.SESSION_FAILED, detail=text)

    async def _activate(self, row: RowMapping) -> None:
        wallet, wish = _active(row), _wish(row)
        request = ProbeRequest(wallet.key[0], row["wallet_id"])
        quorum = self._cosigners.quorum(wallet.parties, wallet.threshold, set())
        if quorum is None:
            raise Unavailable("too few cosigners are attached", Reason.QUORUM_UNAVAILABLE)
        digest = probe_digest(wallet.key[0], wallet.public_key.to_bytes())
        spec = new_spec("probe", wallet.level, wallet.key, wallet.threshold, quorum, request, digest=digest)
        try:
            probe = agree(await run_session(self._cosigners, self._workspace, spec, request))
        except SessionFailed as failed:
            await self._outcomes.failed(row["wallet_id"], failed)
            raise
        ecdsa.verify(wallet.public_key, digest, decode(ecdsa.Signature, probe, 512))
        self.progress.setdefault(row["wallet_id"], []).append(Progress("probe", 0, 0.0))
        confirmations = [encode(signed) for signed in decode(Confirmations, row["confirmations"]).signed]
        message = pb.ConfirmWallet(key_id=wallet.key[0], confirmations=confirmations, probe=probe, drill=row["drill"])
        for index in wish.parties:
            answer = await self._cosigners.link(index).ask(pb.ToCosigner(confirm_wallet=message), 30)
            if answer.WhichOneof("body") != "acknowledged":
                raise Unavailable(f"cosigner {index} did not confirm: {answer.failed.detail}", Reason.SESSION_FAILED)

    async def drilled(self, wallet_id: str, signature: bytes) -> None:
        """Backups of a quorum have signed. Raises `ProofInvalid` if they have not, `Refused` (WRONG_STATE)."""
        row = await self._store.wallet(wallet_id)
        if row["state"] != PRE_ACTIVE:
            raise Refused(f"wallet {wallet_id} is {row['state']}", Reason.WRONG_STATE)
        wallet = _active(row)
        digest = drill_digest(wallet.key[0], wallet.key[1], wallet.public_key.to_bytes())
        ecdsa.verify(wallet.public_key, digest, decode(ecdsa.Signature, signature, 512))
        await self._store.note_wallet(wallet_id, drill=signature)
        self._news.ring(wallet_id)

    async def standing(self, wallet_id: str) -> ActiveWallet:
        """What is known of a wallet with a key, in whatever state. Raises `Refused` (WRONG_STATE) if it has none."""
        return _active(await self._store.wallet(wallet_id))

    async def active(self, wallet_id: str) -> ActiveWallet:
        """Raises `NotFound`, and `Refused` (WRONG_STATE) for a wallet that is not active."""
        row = await self._store.wallet(wallet_id)
        if row["state"] != ACTIVE:
            raise Refused(f"wallet {wallet_id} is {row['state']}", Reason.WRONG_STATE)
        return _active(row)

    async def account(self, wallet_id: str, path: tuple[int, ...] = ()) -> bytes:
        """The wallet's 20-byte EVM account at a path."""
        return account_of(await self._store.wallet(wallet_id), path)

    async def _attached(self, wish: CreateWallet) -> None:
        """Wait a little for all parties. Raises `Unavailable` (QUORUM_UNAVAILABLE)."""
        for _ in range(30):
            missing = [i for i in wish.parties if i not in self._cosigners.willing() | self._cosigners.quarantined]
            if not missing:
                return
            await asyncio.sleep(1)
        raise Unavailable(f"cosigners {missing} are not attached, or halted", Reason.QUORUM_UNAVAILABLE)

    async def _move(self, wallet_id: str, was: str, to: str, **values: Any) -> None:
        await self._store.move_wallet(wallet_id, was, to, **values)
        log.info("wallet", wallet=wallet_id, state=to, reason=str(values.get("reason", "")))
        self._news.ring(wallet_id)


def confirmed(row: RowMapping) -> tuple[SignedConfirmation, ...]:
    """Signed confirmations of a wallet; none before its key exists."""
    return decode(Confirmations, row["confirmations"]).signed if row["confirmations"] else ()


def account_of(row: RowMapping, path: tuple[int, ...]) -> bytes:
    """The 20-byte EVM account at a path of a wallet. Raises `Refused` (WRONG_STATE) if it has no key."""
    wallet = _active(row)
    return address_of(derive(wallet.public_key, wallet.chain_code, path).public_key)


def _proposal(row: RowMapping) -> Proposal:
    return decode(Proposal, row["proposal"])


def _wish(row: RowMapping) -> CreateWallet:
    wish = _proposal(row).subject
    assert isinstance(wish, CreateWallet)
    return wish


def _active(row: RowMapping) -> ActiveWallet:
    if not (signed := confirmed(row)):
        raise Refused(f"nothing is known of the key of wallet {row['wallet_id']}", Reason.WRONG_STATE)
    said: KeyConfirmation = signed[0].confirmation
    key = (said.key_id, said.epoch, said.transcript)
    parties = tuple(one.confirmation.index for one in signed)
    return ActiveWallet(parties, row["threshold"], _wish(row).level, key, said.public_key, said.chain_code)
