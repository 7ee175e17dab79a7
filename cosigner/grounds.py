"""One decision for whatever people ask of a node: on its own facts, by its team's own rules too, after every delay."""

from __future__ import annotations

from dataclasses import replace

from cosigner.ledger import Ledger
from cosigner.local_rules import LocalRules
from cosigner.vault import Vault
from oms_core.authorize import Authorized, authorize, look_back
from oms_core.chains.intent import subject_digest
from oms_core.errors import Reason, Refused
from oms_core.evidence import ChangeRequest, CreateRequest, SignRequest
from oms_core.workspace import Workspace


class Grounds:
    """Decides what sessions and wishes for a state have in common."""

    def __init__(self, vault: Vault, ledger: Ledger, local: LocalRules) -> None:
        self._vault, self._ledger, self._local = vault, ledger, local

    def authorize(
        self, request: CreateRequest | SignRequest | ChangeRequest, workspace: Workspace, now: int
    ) -> Authorized:
        """The yes; what has to wait is remembered from when it could first be granted. Raises as `authorize` does."""
        subject = subject_digest(request.proposal.subject)
        older = self._vault.older()
        back = max(look_back(request, workspace, older), self._local.horizon(workspace))
        facts = replace(self._ledger.facts(now, back), seen_at=self._ledger.seen_at(subject))
        try:
            authorized = authorize(request, workspace, facts, older)
            wanted = self._local.check_authorized(workspace, authorized, facts)
        except Refused as error:
            if error.reason == Reason.DELAYED:
                self._ledger.note_seen(subject, now)
            raise
        return replace(authorized, cosigners=tuple(sorted({*authorized.cosigners, *wanted})))
