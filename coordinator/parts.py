"""What a coordinator consists of once its database is open, for whatever serves it."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.anchorbook import AnchorBook
from coordinator.chainbook import ChainBook
from coordinator.desk import Desk
from coordinator.durable import Step
from coordinator.journal import Journal
from coordinator.key_changes import KeyChanges
from coordinator.keybook import KeyBook
from coordinator.store import Store
from coordinator.wallets import Wallets
from coordinator.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Books:
    """All that is kept, in one database."""

    store: Store
    keys: KeyBook
    chain: ChainBook
    anchors: AnchorBook
    journal: Journal


@dataclass(frozen=True, slots=True)
class Ways:
    """Who brings what to its end."""

    orders: Desk
    wallets: Wallets
    keys: KeyChanges
    workspaces: Workspaces

    def steps(self) -> dict[str, tuple[Step, ...]]:
        """By the kind of what they are taken for."""
        return {
            "order": self.orders.steps(),
            "wallet": self.wallets.steps(),
            "change": self.keys.steps(),
            "workspace": self.workspaces.steps(),
        }
