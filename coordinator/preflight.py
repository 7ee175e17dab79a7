"""Shows each cosigner a proposal before people are asked, and keeps what each of them read in it, or why it would not.

A person's key has no screen. What she sees comes from one machine; that five others, run by five teams, read the same
is the answer to that. Their readings are signed, so her own tool checks them and need not believe this process.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable

import structlog
from sqlalchemy import RowMapping

from coordinator.cosigners import Cosigners
from coordinator.objections import warn
from coordinator.standing import Standing, Stands
from coordinator.store import Store
from oms_core.chains.intent import Proposal, Subject
from oms_core.chains.render import Rendering, rendering_digest
from oms_core.encoding import decode, encode
from oms_core.errors import Malformed, NotFound, ProofInvalid, Reason, Unavailable
from oms_core.evidence import ReadRequest, SignedReading, SignedRefusal
from oms_core.readings import Agreement, agreement, verify_read_refusal, verify_reading
from oms_core.refusals import PASSING
from proto import cosigner_pb2 as pb

log = structlog.get_logger()

SECONDS = 10.0  # for an answer
AGAIN = 5.0  # seconds until a cosigner that did not answer, or may come round, is asked again


class Preflight(Stands):
    """What cosigners read, by subject."""

    def __init__(self, store: Store, standing: Standing, cosigners: Cosigners) -> None:
        self._store, self._standing, self._cosigners = store, standing, cosigners
        self._asked: dict[tuple[str, int], float] = {}

    async def show(self, subject_id: str, proposal: Proposal) -> None:
        """Ask every attached cosigner that has not answered yet. Those that do not answer are left out."""
        done = {row["cosigner"] for row in await self.readings(subject_id)}
        said = [decode(SignedRefusal, data).refusal for data in await self._store.refusals(subject_id)]
        done |= {one.index for one in said if Reason(one.reason) not in PASSING}
        now = time.monotonic()
        self._asked = {key: at for key, at in self._asked.items() if now - at < AGAIN}
        missing = [
            index
            for index in self._cosigners.attached()
            if index not in done and (subject_id, index) not in self._asked
        ]
        for index in missing:
            self._asked[subject_id, index] = now
        await asyncio.gather(*(self._ask(subject_id, index, proposal) for index in missing))

    def forget(self, subject_id: str) -> None:
        """Nobody will be asked about this any more."""
        for key in [key for key in self._asked if key[0] == subject_id]:
            del self._asked[key]

    async def readings(self, subject_id: str) -> list[RowMapping]:
        """What cosigners read under the version of the workspace that counts now; they are asked anew for each."""
        rows = await self._store.readings(subject_id)
        return [row for row in rows if decode(SignedReading, row["reading"]).reading.workspace == self._standing.digest]

    def agreement(self, subject: Subject, rows: Iterable[RowMapping]) -> Agreement:
        """Who of those whose readings these are reads it as we do, and who does not."""
        return agreement(subject, self._workspace, [row["reading"] for row in rows])

    async def _ask(self, subject_id: str, index: int, proposal: Proposal) -> None:
        request = ReadRequest(proposal, self._standing.digest)
        message = pb.ToCosigner(read=pb.Read(request=encode(request)))
        try:
            answer = await self._cosigners.link(index).ask(message, SECONDS)
            await self._keep(subject_id, index, request, answer)
        except Unavailable as error:
            log.warning("not read", subject=subject_id, cosigner=index, reason=error.reason)
        except (Malformed, NotFound, ProofInvalid) as error:
            log.warning("a reading that does not hold", subject=subject_id, cosigner=index, detail=error.message)
            self._cosigners.strike(index)

    async def _keep(self, subject_id: str, index: int, request: ReadRequest, answer: pb.FromCosigner) -> None:
        body = answer.WhichOneof("body")
        if body == "reading":
            data, lines = answer.reading.signed_reading, tuple(answer.reading.lines)
            reading = verify_reading(data, self._workspace, request.proposal.subject)
            if reading.index != index or reading.rendering != rendering_digest(Rendering(lines)):
                raise ProofInvalid("the reading is another's, or of other sentences", Reason.DIGEST_MISMATCH)
            await self._store.add_reading(subject_id, index, data, lines)
        elif body == "refused":
            refusal = verify_read_refusal(answer.refused.signed_refusal, self._workspace, request)
            if refusal.index != index:
                raise ProofInvalid("the refusal is another's", Reason.DIGEST_MISMATCH)
            await self._store.add_refusal(subject_id, decode(SignedRefusal, answer.refused.signed_refusal))
            warn(subject_id, refusal)
        else:
            raise Malformed(f"neither read nor refused: {answer.failed.reason} {answer.failed.detail}"[:300])


def lines_of(row: RowMapping) -> tuple[str, ...]:
    """The sentences that a cosigner read; their digest is in its reading."""
    return tuple(json.loads(row["lines"]))
