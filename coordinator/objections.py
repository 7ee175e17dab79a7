"""What follows for an order from the cosigners' signed refusals, whenever they were given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from oms_core.encoding import decode
from oms_core.errors import Reason
from oms_core.evidence import Refusal, SignedRefusal
from oms_core.refusals import NOT_FINAL, Weight, weight
from oms_core.workspace import Workspace, operators_differ

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an order ends."""

    reason: Reason
    text: str
    alarming: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """What some cosigners say is wrong with an order that goes on with the others."""

    reason: Reason
    text: str


def read_refusals(kept: Iterable[bytes]) -> tuple[Refusal, ...]:
    """Refusals as the store keeps them: verified when they came in."""
    return tuple(decode(SignedRefusal, data).refusal for data in kept)


def refusers(said: Iterable[Refusal]) -> set[int]:
    """Cosigners that will not sign this order whoever asks them again."""
    return {one.index for one in said if Reason(one.reason) not in NOT_FINAL}


def ending(said: tuple[Refusal, ...], workspace: Workspace) -> Ending | None:
    """Why an order ends by these refusals, if it does.

    As many refusals end it as the workspace says, whatever they are for; and so many of integrity that one of them at
    least is an honest node's, whatever the workspace says. Fewer end nothing: a liar could end any order with one.
    """
    grave = _of(said, Weight.INTEGRITY)
    if len({one.index for one in grave}) > (len(workspace.roster) - 1) // 2:
        return Ending(Reason(grave[0].reason), in_text(grave), alarming=True)
    against = (*grave, *_of(said, Weight.POLICY))
    if len({one.index for one in against}) >= workspace.refusals_block_at > 0:
        return Ending(Reason(against[0].reason), in_text(against), alarming=bool(grave))
    return None


def without_quorum(said: tuple[Refusal, ...]) -> Ending:
    """The end of an order that too few are left for."""
    final = [one for one in said if one.index in refusers(said)]
    grave = _of(said, Weight.INTEGRITY)
    return Ending(Reason((grave or final)[0].reason), in_text(final), alarming=bool(grave))


def can_sign(workspace: Workspace, cosigners: set[int], size: int, wanted: Iterable[int]) -> bool:
    """Whether so many of these could sign together, with all those among them whom rules want."""
    wanted = set(wanted)
    if not wanted <= cosigners or len(wanted) > size:
        return False
    if not workspace.distinct_operators:
        return len(cosigners) >= size
    operators = {one.operator for one in workspace.roster if one.index in cosigners}
    return operators_differ(workspace, wanted) and len(operators) >= size


def hold(said: Iterable[Refusal]) -> Hold | None:
    """What is to be seen of an order that is not signed yet: refusals of integrity, by however few."""
    grave = _of(said, Weight.INTEGRITY)
    return Hold(Reason(grave[0].reason), in_text(grave)) if grave else None


def warn(order_id: str, refusal: Refusal) -> None:
    """Say at once what cannot be while that cosigner and this coordinator are both honest."""
    if weight(Reason(refusal.reason)) is Weight.INTEGRITY:
        about = {"order": order_id, "cosigner": refusal.index, "reason": refusal.reason}
        log.warning("a cosigner refuses for integrity", **about, detail=refusal.detail)


def alert(order_id: str, end: Ending) -> None:
    """Say loudly what cannot happen while everybody is honest: whoever watches the logs is to be woken."""
    if end.alarming:
        log.critical("ALERT: refused for integrity", order=order_id, reason=str(end.reason), detail=end.text)


def _of(said: Iterable[Refusal], kind: Weight) -> list[Refusal]:
    return [one for one in said if weight(Reason(one.reason)) is kind]


def in_text(said: Iterable[Refusal]) -> str:
    """Each cosigner's no in words."""
    return "; ".join(f"cosigner {one.index}: {one.reason} {one.detail}" for one in said)[:1000]
