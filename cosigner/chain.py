"""How this node goes from one version of the workspace to the next: by people's approvals, and after their delay.

The coordinator brings the request; what it says about it is not looked at. A delay counts from when this node has first
seen the change approved, by its own clock, or from when so many others say that they have that one of them is honest.
One change follows a version: whichever is adopted first makes all others of the same parent stale. Only what stands in
the log that this node follows is adopted, so no version counts anywhere that not everybody can see.
"""

from __future__ import annotations

import contextlib
import threading

import structlog
from sqlalchemy import Connection, Engine, delete, func, insert, select

from cosigner import logbook
from cosigner.boots import Boots
from cosigner.hsm import Token
from cosigner.store import log_changes, sightings
from cosigner.versions import LIMIT, Said, Versions
from oms_core.chains.intent import subject_digest
from oms_core.encoding import decode, encode
from oms_core.errors import LocalError, Malformed, NotFound, ProofInvalid, Reason, Refused
from oms_core.evidence import (
    Adoption,
    ChangeWorkspaceRequest,
    Scheduling,
    SignedAdoption,
    SignedScheduling,
)
from oms_core.log.cover import check_window
from oms_core.protocol.identity import verify_identity
from oms_core.workspace import Workspace, identities, workspace_digest
from oms_core.workspace.change import honest_among, ready, verify_change
from oms_core.workspace.roster import check_identities

log = structlog.get_logger()

ANSWER = 6 << 20  # bytes of requests in one answer


class Chain:
    """Takes changes of the workspace. All methods may be called from any thread."""

    def __init__(self, engine: Engine, token: Token, versions: Versions, boots: Boots) -> None:
        self._engine, self._token, self._versions, self._boots = engine, token, versions, boots
        self._turn = threading.Lock()

    def offer(self, data: bytes, now: int) -> Said:
        """Take a request: say that it was seen approved and, after its delay, that the node stands on the new version.

        Idempotent. Raises `Refused` (POLICY_VERSION_MISMATCH for what does not follow the current version, NOT_LOGGED
        for what is due and does not stand in the log, LOG_STALE for a node that may have been left behind),
        `Malformed`, `NotFound`; nothing is adopted then.
        """
        self._boots.check()
        request = decode(ChangeWorkspaceRequest, data, LIMIT)
        following, change = request.wish.next, subject_digest(request.wish)
        with self._turn:
            current = self._versions.current()
            # What no store can hold is not looked up in one.
            here = 0 <= following.version <= current.version
            if here and (done := self._versions.said(following.version)):
                return self._again(*done, change)
            if (following.parent, following.version) != (workspace_digest(current), current.version + 1):
                text = f"version {following.version} does not follow this node's version {current.version}"
                raise Refused(text, Reason.POLICY_VERSION_MISMATCH)
            seen, others = self._seen(change), self._others(request, change, current, now)
            logged = self._logged(change, request)
            moments = [*logged, *(one.scheduling.at for one in (*([seen] if seen else []), *others))]
            delay = _delay(request, current, [*moments, now])
            check_identities(following, current, self._versions.before(current).values())
            if seen is None:
                seen = self._note(change, following.parent, now)
            if not ready(change, seen.scheduling.at, others, current.roster, delay, now):
                return Said(seen, None)
            return self._adopt(request, seen, now, current.log.degraded_window)

    def requests(self, after: int) -> list[bytes]:
        """What led to the versions after this one, in order; the first ones, if they are many."""
        found, size = list[bytes](), 0
        for number in range(max(after, self._versions.first().version) + 1, self._versions.current().version + 1):
            found.append(encode(self._versions.request(number)))
            size += len(found[-1])
            if size > ANSWER:
                return found[:-1] or found
        return found

    def _again(self, change: bytes, said: Said, asked: bytes) -> Said:
        if change != asked:
            raise Refused("another change led to that version here", Reason.POLICY_VERSION_MISMATCH)
        self._boots.settle()
        return said

    def _logged(self, change: bytes, request: ChangeWorkspaceRequest) -> list[int]:
        """When the log that this node follows says that people had approved it: it may be shown here much later."""
        with self._engine.begin() as connection:
            return _logged_at(connection, change, request)

    def _seen(self, change: bytes) -> SignedScheduling | None:
        """What this node said when it saw the change approved first; it believes its own signature only."""
        with self._engine.begin() as connection:
            row = connection.execute(select(sightings.c.scheduling).filter_by(change=change)).first()
        if row is None:
            return None
        try:
            signed = decode(SignedScheduling, row.scheduling)
            verify_identity(self._token.public, "scheduling", encode(signed.scheduling), signed.signature)
        except (Malformed, ProofInvalid):
            raise LocalError("the store holds a sighting that this node did not sign", Reason.STORE_CORRUPT) from None
        if signed.scheduling.change != change:
            raise LocalError("the store holds the sighting of another change", Reason.STORE_CORRUPT)
        return signed

    def _others(
        self, request: ChangeWorkspaceRequest, change: bytes, current: Workspace, now: int
    ) -> list[SignedScheduling]:
        """The earliest of the others' statements that they have seen it: so many that one is honest; else none.

        What is not theirs, or of the future, is passed over: a relay may mix anything in.
        """
        roster, said = identities(current), dict[int, SignedScheduling]()
        for signed in request.scheduled[: 2 * len(roster)]:
            one = signed.scheduling
            if one.change != change or one.index not in roster or one.index == self._token.index or one.at > now:
                continue
            try:
                verify_identity(roster[one.index], "scheduling", encode(one), signed.signature)
            except ProofInvalid:
                continue
            said[one.index] = signed
        earliest, enough = sorted(said.values(), key=lambda one: one.scheduling.at), honest_among(len(roster))
        return earliest[:enough] if len(earliest) >= enough else []

    def _note(self, change: bytes, parent: bytes, now: int) -> SignedScheduling:
        said = Scheduling(self._token.index, change, now)
        signed = SignedScheduling(said, self._token.sign("scheduling", encode(said)))
        values = {"change": change, "parent": parent, "scheduling": encode(signed)}
        with self._engine.begin() as connection:
            connection.execute(insert(sightings).values(values))
        log.info("change of the workspace seen approved", change=change.hex()[:16])
        return signed

    def _adopt(self, request: ChangeWorkspaceRequest, seen: SignedScheduling, now: int, window: int) -> Said:
        following = request.wish.next
        said = Adoption(self._token.index, following.version, workspace_digest(following), now)
        signed = SignedAdoption(said, self._token.sign("adoption", encode(said)))
        try:
            with self._engine.begin() as connection:
                if not _logged_at(connection, seen.scheduling.change, request):
                    raise Refused("the change does not stand in the log that this node follows", Reason.NOT_LOGGED)
                # The next version names the witnesses that are believed from then on: whoever was left behind for
                # longer could be taken over by people who have been revoked meanwhile.
                check_window(logbook.followed(connection).full_at, now, window)
                self._versions.add(connection, request, seen, signed)
                connection.execute(delete(sightings).where(sightings.c.parent == following.parent))
                self._boots.count(connection)
        finally:
            self._versions.forget()
        self._boots.settle()
        log.warning("workspace adopted", version=following.version, digest=said.workspace.hex()[:16])
        return Said(seen, signed)


def _logged_at(connection: Connection, change: bytes, request: ChangeWorkspaceRequest) -> list[int]:
    """When entries of the log were made that have this change with these very approvals; it is held against them here.

    One without them tells nobody that it was approved, and nothing about when: they may have been kept back until they
    had ended, while all who follow the log passed that entry over.
    """
    mine = func.instr(log_changes.c.request, encode(request.approvals)) > 0  # whoever writes the log may have many more
    rows = connection.execute(select(log_changes.c.at, log_changes.c.request).where(mine).filter_by(change=change))
    return [at for at, data in rows if decode(ChangeWorkspaceRequest, data, LIMIT).approvals == request.approvals]


def _delay(request: ChangeWorkspaceRequest, current: Workspace, moments: list[int]) -> int:
    """How long the change waits, if people had approved it at one of these moments. Raises what the last one raises.

    Approvals end, and a node may come late. That it was approved in time is known from the log that it follows, from
    its own first sight, or from others', of whom one is honest, and takes nothing for seen that was not approved then.
    """
    for moment in moments[:-1]:
        with contextlib.suppress(Refused, Malformed, NotFound):
            return verify_change(request, current, moment).delay
    return verify_change(request, current, moments[-1]).delay
