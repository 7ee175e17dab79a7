"""What follows for an order from the cosigners' signed refusals, whenever they were given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.refusals import PASSING, Weight, weight
from oms_core.workspace import Workspace

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an order ends."""

    reason: Reason
    text: str
    alarming: bool


def read_refusals(kept: Iterable[bytes]) -> tuple[Refusal, ...]:
    """Refusals as the store keeps them: verified when they came in."""
    return tuple(decode(SignedRefusal, data).refusal for data in kept)


def refusers(said: Iterable[Refusal]) -> set[int]:
    """Cosigners that will not sign this order whoever asks them again."""
    return {one.index for one in said if Reason(one.reason) not in PASSING}


def ending(said: tuple[Refusal, ...], workspace: Workspace) -> Ending | None:
    """One refusal of integrity ends an order, and as many of policy as the workspace says; None if it goes on."""
    if grave := [one for one in said if weight(Reason(one.reason)) is Weight.INTEGRITY]:
        return Ending(Reason(grave[0].reason), in_text(grave), alarming=True)
    against = [one for one in said if weight(Reason(one.reason)) is Weight.POLICY]
    if len({one.index for one in against}) >= workspace.refusals_block_at > 0:
        return Ending(Reason(against[0].reason), in_text(against), alarming=False)
    return None


def alert(order_id: str, end: Ending) -> None:
    """Say loudly what cannot happen while everybody is honest: whoever watches the logs is to be woken."""
    if end.alarming:
        log.critical("ALERT: refused for integrity", order=order_id, reason=str(end.reason), detail=end.text)


def in_text(said: Iterable[Refusal]) -> str:
    """Each cosigner's no in words."""
    return "; ".join(f"cosigner {one.index}: {one.reason} {one.detail}" for one in said)[:1000]
