"""What is known about the world when a decision is made, and where each fact is from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Provenance(StrEnum):
    """Who says so. A CLAIMED fact may add an objection, never remove one."""

    OWN = "OWN"
    ATTESTED = "ATTESTED"
    CLAIMED = "CLAIMED"


@dataclass(frozen=True, slots=True)
class Spend:
    """An outflow that counts against limits: ``amount`` base units at Unix second ``at``, for the 32-byte subject."""

    wallet_id: str
    asset: str
    amount: int
    at: int
    subject: bytes
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Facts:
    """The time (Unix seconds) and the known outflows."""

    now: int
    spent: tuple[Spend, ...] = ()
