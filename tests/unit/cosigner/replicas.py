"""What a node counts by, following a log in a store of its own; and orders to be logged."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from cosigner import logbook
from cosigner.history import History
from oms_core.chains.intent import Intent, subject_digest
from oms_core.evidence import SignRequest
from oms_core.log.tree import leaf_hash
from oms_core.policy.facts import Facts
from oms_core.policy.rules import DAY
from oms_core.workspace import Workspace, workspace_digest
from tests.people import EXECUTION, NOW, intent, sign_request, workspace
from tests.witnessed import Logbook


class Replica:
    """A history that follows a log."""

    def __init__(self, store: Engine, log: Logbook) -> None:
        self.store, self.log, self.history, self.size = store, log, History(), 0

    def follow(self, size: int | None = None) -> Replica:
        """Take in what stands in the log up to this size, in one transaction."""
        with self.store.begin() as connection:
            new = list(self.log.after(self.size))[: (size or self.log.size) - self.size]
            for entry, one in new:
                self.history.fold(connection, entry, one)
            head = logbook.followed(connection)
            root = logbook.grow(connection, head, [leaf_hash(one.entry) for _, one in new]) if new else head.root
            logbook.put(connection, replace(head, size=head.size + len(new), root=root))
        self.size = size or self.log.size
        return self

    def facts(self, order: Intent | None = None, now: int = NOW, back: int = DAY, share: int = 1) -> Facts:
        subject = subject_digest(order) if order else b"nobody's"
        with self.store.begin() as connection:
            return self.history.facts(connection, subject, now, back, share)

    def counted(self, order: Intent | None = None, now: int = NOW, back: int = DAY) -> list[int]:
        """The amounts that this order counts, or one that was never authorised; without fees."""
        spent = self.facts(order, now, back).spent
        return sorted(one.amount for one in spent if one.operation >= 0)


def order(amount: int, number: int = 1, **changes: object) -> Intent:
    return intent(amount, intent_id=f"int_{number}", **changes)


def asked(subject: Intent, nonce: int = 7, under: Workspace | None = None) -> SignRequest:
    request = sign_request(subject, execution=replace(EXECUTION, nonce=nonce))
    return replace(request, workspace=workspace_digest(under or workspace()))
