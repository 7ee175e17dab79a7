"""What a change of the workspace means, told before anybody signs or approves it, and who is asked about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from oms_core.workspace import ChangeWorkspace, Direction, Privilege, Workspace, governed, privileges, user
from oms_core.workspace.change import check_successor
from oms_core.workspace.check import check_workspace
from oms_core.workspace.grants import gainers
from oms_core.workspace.parts import Part, direction_of, parts
from oms_core.workspace.quorums import listed, newly_unmet
from oms_core.workspace.words import requirement_words


@dataclass(frozen=True, slots=True)
class Report:
    """Every difference, which way it goes, what nobody could meet any more, and what the governance asks for."""

    parts: tuple[Part, ...]
    direction: Direction
    unsatisfiable: tuple[str, ...]
    approvals: str
    delay: int

    def stranding(self, more: Iterable[str]) -> Report:
        """With further things that the change leaves useless."""
        return replace(self, unsatisfiable=(*self.unsatisfiable, *more))


def report(current: Workspace, following: Workspace) -> Report:
    """Raises `Refused` (POLICY_VERSION_MISMATCH) for what does not follow, `Malformed` for what is no workspace."""
    check_successor(current, following)
    check_workspace(following)
    return described(current, following)


def described(current: Workspace, following: Workspace) -> Report:
    """The report on a version that was checked before."""
    found = parts(current, following)
    way = direction_of(found)
    required = governed(current, way).approvals
    unmet = tuple(one.words for one in newly_unmet(current, following))
    return Report(found, way, unmet, requirement_words(required), required.delay)


def eligible(current: Workspace, wish: ChangeWorkspace) -> frozenset[str]:
    """Users whose approval counts: named by the governance, privileged, not who asks, nor who gains by it."""
    way = direction_of(parts(current, wish.next))
    required = governed(current, way).approvals
    barred = {user(current, wish.initiator).person_id, *gainers(current, wish.next)}
    named = {one.user_id: one for quorum in (*required.all_of, *required.any_of) for one in listed(current, quorum)}
    return frozenset(
        user_id
        for user_id, one in named.items()
        if one.person_id not in barred and Privilege.APPROVE_CHANGES in privileges(current, one, "")
    )
