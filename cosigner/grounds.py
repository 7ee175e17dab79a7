"""One decision for whatever people ask of a node: on its own facts, by its team's own rules too, after every delay."""

from __future__ import annotations

from dataclasses import replace

from cosigner.parts import Parts
from oms_core.authorize import Authorized, authorize, look_back
from oms_core.chains.intent import subject_digest
from oms_core.errors import CountersealError, Malformed, Reason, Refused
from oms_core.history import Asked
from oms_core.workspace import Workspace


class Grounds:
    """Decides what sessions and wishes for a state have in common."""

    def __init__(self, parts: Parts) -> None:
        self._vault, self._ledger, self._local, self._past = parts.vault, parts.ledger, parts.local, parts.past

    def authorize(self, request: Asked, workspace: Workspace, note: bytes | None, now: int) -> tuple[Authorized, int]:
        """The yes, and by how much limits over time were divided for it. Raises as `authorize` and `Past.share` do.

        ``note`` shows that it stands in the log; None for what needs not. Whoever is refused by people or rules is told
        that, and not what the log lacks; but for a window that is full: in which one it stands is the log's to say.
        What has to wait is remembered from when it could first be granted.
        """
        subject, older = subject_digest(request.proposal.subject), self._vault.older()
        back = max(look_back(request, workspace, older), self._local.horizon(workspace))
        share, lacking = self._share(request, workspace, note, now)
        facts = self._past.facts(subject, now, back, share)
        facts = replace(facts, seen_at=self._ledger.seen_at(subject))
        try:
            authorized = authorize(request, workspace, facts, older)
            wanted = self._local.check_authorized(workspace, authorized, facts)
        except Refused as error:
            if error.reason == Reason.DELAYED:
                self._ledger.note_seen(subject, now)
            if lacking is not None and error.reason == Reason.VELOCITY_EXCEEDED:
                raise lacking from error
            raise
        if lacking is not None:
            raise lacking
        return replace(authorized, cosigners=tuple(sorted({*authorized.cosigners, *wanted}))), share

    def _share(
        self, request: Asked, workspace: Workspace, note: bytes | None, now: int
    ) -> tuple[int, CountersealError | None]:
        if note is None:
            return 1, None
        try:
            return self._past.share(request, workspace, note, now), None
        except (Refused, Malformed) as error:
            return 1, error
