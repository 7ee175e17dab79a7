"""What a node consists of once its token and its store are open, for whatever decides or acts for it."""

from __future__ import annotations

from dataclasses import dataclass

from cosigner.boots import Boots
from cosigner.convictions import Convictions
from cosigner.halt import Halt
from cosigner.hsm import Token
from cosigner.ledger import Ledger
from cosigner.local_rules import LocalRules
from cosigner.past import Past
from cosigner.pool import Pool
from cosigner.vault import Vault


@dataclass(frozen=True, slots=True)
class Parts:
    """All are of one node, and may be used from any thread."""

    token: Token
    vault: Vault
    ledger: Ledger
    boots: Boots
    pool: Pool
    convictions: Convictions
    halt: Halt
    local: LocalRules
    past: Past
