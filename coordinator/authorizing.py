"""What cosigners are about to be asked for is in the log first, and a note vouches for it: without that they refuse.

An entry holds the request exactly as it is sent. It is written anew if the request has changed, or is so old that nodes
would not take it. What nodes say of windows is said of one entry, and of no other one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.journal import COORDINATOR, append
from coordinator.standing import Standing, Stands
from coordinator.tables import log_items, orders, refusals, spends
from coordinator.witnessing import CosignedCheckpoint, Witnessing
from oms_core.encoding import encode
from oms_core.errors import Malformed, Reason, Unavailable
from oms_core.evidence import ChangeRequest, CreateRequest, SignRequest, request_digest
from oms_core.history import AUTHORIZED_FOR, REQUEST_LIMIT, what_it_signs
from oms_core.lifecycle import IllegalTransition, State
from oms_core.log.cover import Mode
from oms_core.log.entries import AUTHORIZED, Record
from oms_core.log.quorum import degraded, full
from oms_core.policy.spends import spends as spends_of
from oms_core.workspace import ChangeWorkspace

Asked = SignRequest | CreateRequest | ChangeRequest
PATIENCE = 4.0  # seconds for full cover
LASTING = 90  # seconds that an entry has to be good for yet: a session may take that long
_FRESH = AUTHORIZED_FOR - LASTING


@dataclass(frozen=True, slots=True)
class _Entry:
    """A request's, in place ``index`` of the log, dated ``at`` (Unix seconds); ``written`` by our monotonic clock."""

    request: bytes
    index: int
    at: int
    written: float


class Authorizing(Stands):
    """Writes down what is asked for, and gets it vouched for."""

    def __init__(self, engine: AsyncEngine, standing: Standing, witnessing: Witnessing) -> None:
        self._engine, self._standing, self.witnessing = engine, standing, witnessing
        self._entries: dict[str, _Entry] = {}  # by subject: nodes take no other than the newest

    async def order(self, order_id: str, request: SignRequest) -> int:
        """The entry of an approved order's request. From now on it counts, whatever becomes of it.

        Raises `IllegalTransition` if the order is not APPROVED any more.
        """

        async def also(connection: AsyncConnection, index: int) -> None:
            mine = update(orders).where(orders.c.order_id == order_id, orders.c.state == State.APPROVED)
            at = select(log_items.c.at).where(log_items.c.index == index).scalar_subquery()
            if (await connection.execute(mine.values(authorized_at=at))).rowcount != 1:
                raise IllegalTransition(order_id, State.APPROVED, State.SIGNING)
            subject = select(orders.c.subject).where(orders.c.order_id == order_id).scalar_subquery()
            await connection.execute(update(spends).where(spends.c.subject == subject).values(at=at))
            said = (refusals.c.order_id == order_id) & (refusals.c.reason == Reason.VELOCITY_EXCEEDED)
            await connection.execute(refusals.delete().where(said))  # of another window, and it stands in the log

        return await self.entry(order_id, request, also)

    async def entry(
        self,
        subject_id: str,
        request: Asked,
        also: Callable[[AsyncConnection, int], Awaitable[None]] | None = None,
    ) -> int:
        """The index of a request's own entry: a fresh one, or a new one, made with what is done ``also``.

        Raises `Malformed` or `Refused` for what no node could read there.
        """
        now, named = time.monotonic(), request_digest(request)
        self._entries = {key: one for key, one in self._entries.items() if now - one.written < _FRESH}
        if (held := self._entries.get(subject_id)) is not None and held.request == named:
            return held.index
        self._check_readable(request)
        async with self._engine.begin() as connection:
            record = Record(COORDINATOR, b"", "", (encode(request),))
            index = await append(connection, AUTHORIZED, subject_id, record)
            if also is not None:
                await also(connection, index)
            at = (await connection.execute(select(log_items.c.at).where(log_items.c.index == index))).scalar_one()
        self._entries[subject_id] = _Entry(named, index, int(at), now)
        return index

    def logged_at(self, subject_id: str) -> int | None:
        """The time (Unix seconds) of the entry under which cosigners are asked; None if there has to be another one."""
        held = self._entries.get(subject_id)
        return held.at if held is not None and time.monotonic() - held.written < _FRESH else None

    def give_up(self, subject_id: str) -> None:
        """Ask under this entry no more: whoever is asked again is asked under a new one, in the windows of then."""
        self._entries.pop(subject_id, None)

    def _check_readable(self, request: Asked) -> None:
        """That every node can read the entry: one that none can would end the log. Raises what says why not."""
        if len(encode(request)) > REQUEST_LIMIT:
            raise Malformed("no cosigner takes so long a request", Reason.TOO_LARGE)
        what_it_signs(request)
        subject, ours = request.proposal.subject, request.workspace == self._standing.digest
        version = self._workspace if ours else self._standing.named(request.workspace)
        assert not isinstance(subject, ChangeWorkspace)
        spends_of(version, subject, int(time.time()))

    async def cover(self, index: int, among: tuple[int, ...] = (), seconds: float = PATIENCE) -> CosignedCheckpoint:
        """A note that vouches for an entry: in full, or after a while with what there is. Raises `Unavailable`.

        ``among`` are nodes that have to have cosigned it.
        """
        n, witnessing = len(self._workspace.roster), self.witnessing
        wanted = full(n) if witnessing.mode() is not Mode.DEGRADED else degraded(n)
        cover = await witnessing.covered(index, wanted, seconds, among)
        if cover.mode is Mode.STOPPED:
            text = witnessing.status().words or f"too few cosigners vouch for entry {index} of the log"
            raise Unavailable(text, Reason.NOT_LOGGED)
        if missing := sorted(set(among) - set(cover.cosigners)):
            raise Unavailable(f"cosigners {missing} have not followed the log to entry {index}", Reason.NOT_LOGGED)
        return cover

    async def covered(
        self, subject_id: str, request: CreateRequest | ChangeRequest, among: tuple[int, ...], seconds: float
    ) -> CosignedCheckpoint:
        """Entry and cover of a wish about a key. Raises `Unavailable` (NOT_LOGGED) without cover."""
        return await self.cover(await self.entry(subject_id, request), among, seconds)
