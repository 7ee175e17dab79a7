"""Peers that this node holds proof against: it takes part in nothing with them until its operator pardons them."""

from __future__ import annotations

import time

import structlog
from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.sqlite import insert

from cosigner.hsm import Token
from cosigner.store import convictions
from oms_core.encoding import encode
from oms_core.errors import CountersealError, ProtocolAbort, Reason, Refused
from oms_core.protocol.accuse import Accusation, Case, sign_case, unsigned_cases
from oms_core.protocol.envelope import Channel
from oms_core.protocol.judge import convict, judge
from oms_core.protocol.shares import Epoch, PublicPresignature

log = structlog.get_logger()


class Convictions:
    """What makes a failed session into evidence, and remembers whom it names."""

    def __init__(self, engine: Engine, token: Token) -> None:
        self._engine, self._token = engine, token

    def convict(
        self,
        channel: Channel,
        error: ProtocolAbort,
        epoch: Epoch | None,
        presignature: PublicPresignature | None,
    ) -> None:
        """Put what could be said to the judge, sign what holds, keep it, and attach it to ``error``."""
        roster = {j: channel.identity_of(j) for j in channel.spec.parties}
        found: list[bytes] = []
        for case in unsigned_cases(channel, error, epoch, presignature):
            try:
                verdict = convict(case, roster) if isinstance(case, Case) else judge(case, roster)
                accusation: Accusation = sign_case(case, self._token) if isinstance(case, Case) else case
            except CountersealError as reason:
                log.info("no case", detail=reason.message)
                continue
            log.warning("peer convicted", culprit=verdict.culprit, step=verdict.step, detail=verdict.reason)
            found.append(encode(accusation))
            self._keep(verdict.culprit, found[-1])
        error.evidence = tuple(found)

    def check(self, parties: tuple[int, ...]) -> None:
        """Raises `Refused` (CULPRIT_IDENTIFIED) if one of these has been convicted here."""
        if guilty := sorted(set(self.convicted()) & set(parties)):
            raise Refused(f"cosigner {guilty[0]} has been convicted here of lying", Reason.CULPRIT_IDENTIFIED)

    def convicted(self) -> tuple[int, ...]:
        """Indices, ascending."""
        with self._engine.begin() as connection:
            return tuple(connection.execute(select(convictions.c.index).order_by(convictions.c.index)).scalars())

    def evidence(self, index: int) -> bytes | None:
        """What convicted this peer."""
        with self._engine.begin() as connection:
            row = connection.execute(select(convictions.c.evidence).filter_by(index=index)).first()
        return bytes(row.evidence) if row else None

    def pardon(self, index: int) -> bool:
        """The operator's word that the peer may take part again; whether it was convicted."""
        with self._engine.begin() as connection:
            return connection.execute(delete(convictions).where(convictions.c.index == index)).rowcount == 1

    def _keep(self, index: int, evidence: bytes) -> None:
        with self._engine.begin() as connection:
            values = {"index": index, "evidence": evidence, "at": int(time.time())}
            connection.execute(insert(convictions).values(values).on_conflict_do_nothing())
