"""Keeps presignatures ready for quorums that are healthy: in the background, one at a time, when nobody is signing.

The cosigners hold them, in memory; here is only which there are. Taking one out here comes first, and each cosigner
takes its part out once, so whatever this book says, none is used twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict, deque
from dataclasses import dataclass

import structlog
from sqlalchemy import RowMapping

from coordinator.cosigners import Cosigners
from coordinator.keybook import KeyBook
from coordinator.outcomes import Outcomes
from coordinator.pausing import rest
from coordinator.sessions import SessionFailed, agree, new_spec, run_session
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from coordinator.wallets import ACTIVE, ActiveWallet, Wallets
from oms_core.errors import CountersealError, Unavailable
from oms_core.evidence import PresignRequest
from oms_core.lifecycle import State
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

PAUSE = 1.0  # seconds between looks
CLEANING = 10.0  # seconds between comparisons with what the nodes hold
ABSENCE = 600.0  # seconds after which what an absent node holds is given up
_HEAVY = 3  # uses within an hour make a path worth a pool


@dataclass(frozen=True, slots=True)
class Taken:
    """A presignature that is ours alone to use, and with whom."""

    presignature_id: bytes
    quorum: tuple[int, ...]


class Presigning(Stands):
    """The pool as the coordinator sees it. ``target`` unused ones are kept for each wallet and busy path."""

    def __init__(
        self,
        book: KeyBook,
        store: Store,
        standing: Standing,
        cosigners: Cosigners,
        wallets: Wallets,
        outcomes: Outcomes,
        target: int,
    ) -> None:
        self._book, self._store, self._standing, self._cosigners = book, store, standing, cosigners
        self._wallets, self._outcomes, self._target = wallets, outcomes, target
        self._uses: dict[tuple[str, tuple[int, ...]], deque[float]] = defaultdict(lambda: deque(maxlen=_HEAVY))
        self._seen: dict[int, float] = {}
        self._strange: dict[int, set[bytes]] = {}
        self._cleaned = 0.0

    async def take(
        self,
        wallet_id: str,
        wallet: ActiveWallet,
        path: tuple[int, ...],
        without: set[int],
        among: tuple[int, ...] = (),
    ) -> Taken | None:
        """The oldest presignature whose whole quorum is there, with all of ``among`` in it; None if there is none."""
        self._uses[wallet_id, path].append(time.monotonic())
        there = self._cosigners.willing() - without
        for row in await self._book.presignatures(wallet_id):
            quorum = tuple(json.loads(row["quorum"]))
            fits = row["epoch"] == wallet.key[1] and tuple(json.loads(row["path"])) == path
            fits = fits and set(among) <= set(quorum) and self._cosigners.distinct(quorum)
            if fits and set(quorum) <= there and await self._book.drop_presignatures([row["presignature_id"]]) == 1:
                return Taken(row["presignature_id"], quorum)
        return None

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            try:
                await self._outcomes.load()
                if time.monotonic() - self._cleaned > CLEANING:
                    await self._clean()
                    self._cleaned = time.monotonic()
                made = await self._refill()
            except Exception as error:
                log.exception("presigning failed", kind=type(error).__name__)
                made = False
            if not made:
                await rest(PAUSE, stop)

    async def _refill(self) -> bool:
        """Make one presignature where it is most wanted; whether there was anything to do."""
        if self._target < 1 or await self._store.orders_in(State.SIGNING):
            return False
        for row in await self._store.wallets():
            if row["state"] != ACTIVE:
                continue
            wallet = await self._wallets.active(row["wallet_id"])
            quorum = self._cosigners.quorum(wallet.parties, wallet.threshold, set())
            if quorum is None:
                continue
            for path in self._busy_paths(row["wallet_id"]):
                held = [
                    one
                    for one in await self._book.presignatures(row["wallet_id"])
                    if tuple(json.loads(one["path"])) == path and set(json.loads(one["quorum"])) <= self._there()
                ]
                if len(held) < self._target:
                    await self._make(row["wallet_id"], wallet, path, quorum)
                    return True
        return False

    async def _make(self, wallet_id: str, wallet: ActiveWallet, path: tuple[int, ...], quorum: tuple[int, ...]) -> None:
        request = PresignRequest(wallet.key[0], wallet_id, path)
        spec = new_spec("presign", wallet.level, wallet.key, wallet.threshold, quorum, request, path=path)
        try:
            made = agree(await run_session(self._cosigners, self._workspace, spec, request))
        except SessionFailed as failed:
            await self._outcomes.failed(wallet_id, failed)
            await asyncio.sleep(PAUSE)
            return
        await self._book.add_presignature(made, wallet_id, wallet.key[1], path, quorum)

    def _busy_paths(self, wallet_id: str) -> list[tuple[int, ...]]:
        hour, full = time.monotonic() - 3600, _HEAVY
        busy = {path for (of, path), uses in self._uses.items() if of == wallet_id and len(uses) == full}
        return [(), *sorted(path for path in busy if path and self._uses[wallet_id, path][0] > hour)]

    def _there(self) -> set[int]:
        return set(self._cosigners.attached()) - self._cosigners.quarantined

    async def _clean(self) -> None:
        """Compare the book with what the nodes hold: drop what one of a quorum lacks, and what nobody knows of."""
        now = time.monotonic()
        held: dict[int, set[bytes]] = {}
        for index in self._cosigners.attached():
            try:
                answer = await self._cosigners.link(index).ask(pb.ToCosigner(get_status=pb.GetStatus()), 10)
            except Unavailable:
                continue
            held[index] = set(answer.status.presignatures)
            self._cosigners.stock[index] = list(answer.status.stock)
            self._cosigners.rolled_back[index] = answer.status.rolled_back
            self._cosigners.logs[index] = (answer.status.log_mode, answer.status.log_detail)
            self._cosigners.stands_still(index, answer.status.halted)
            self._seen[index] = now
        rows = await self._book.presignatures()
        dead = [row["presignature_id"] for row in rows if await self._is_dead(row, held, now)]
        if dead:
            await self._book.drop_presignatures(dead)
            log.info("presignatures dropped", count=len(dead))
        known = {row["presignature_id"] for row in rows} - set(dead)
        for index, ids in held.items():
            strange = ids - known
            again = strange & self._strange.get(index, set())
            self._strange[index] = strange
            if again:
                message = pb.DropPresignatures(ids=list(again))
                try:
                    await self._cosigners.link(index).ask(pb.ToCosigner(drop_presignatures=message), 10)
                except Unavailable:
                    continue

    async def _is_dead(self, row: RowMapping, held: dict[int, set[bytes]], now: float) -> bool:
        presignature_id, quorum = row["presignature_id"], json.loads(row["quorum"])
        try:
            wallet = await self._wallets.active(row["wallet_id"])
        except CountersealError:
            return True
        if row["epoch"] != wallet.key[1] or set(quorum) & self._cosigners.quarantined:
            return True
        for index in quorum:
            if index in held and presignature_id not in held[index]:
                return True
            if now - self._seen.setdefault(index, now) > ABSENCE:
                return True
        return False
