"""REQUIREs: who may approve, whose approvals count towards which quorum, and what is still missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from oms_core.policy.decision import Given, Need
from oms_core.policy.index import Index
from oms_core.policy.matching import Candidate, assign
from oms_core.policy.rules import Quorum, Requirement
from oms_core.workspace import Assurance, Privilege, User, privileges


@dataclass(frozen=True, slots=True)
class Asking:
    """For which subject people are asked: whose person may not approve it, and what they have to be allowed."""

    index: Index
    person: str
    wallet_id: str
    privilege: Privilege
    _known: dict[Quorum, tuple[User, ...]] = field(default_factory=dict, compare=False, repr=False)

    def eligible(self, quorum: Quorum) -> tuple[User, ...]:
        """Users who may give an approval that counts towards a quorum, by id; the initiator's person is not asked."""
        if quorum not in self._known:
            self._known[quorum] = self._eligible(quorum)
        return self._known[quorum]

    def _eligible(self, quorum: Quorum) -> tuple[User, ...]:
        index, names = self.index, set(quorum.users)
        for group in quorum.groups:
            names.update(index.members.get(group, ()))
        roles = set(quorum.roles)
        able = (user for name, user in sorted(index.users.items()) if name in names or not roles.isdisjoint(user.roles))
        return tuple(user for user in able if self._may(user, quorum.device_bound))

    def _may(self, user: User, device_bound: bool) -> bool:
        if user.person_id == self.person or not any(_fits(key.assurance, device_bound) and not key.revoked
                                                    for key in user.credentials):  # fmt: skip
            return False
        return self.privilege in privileges(self.index.workspace, user, self.wallet_id)


def _fits(assurance: Assurance, device_bound: bool) -> bool:
    return assurance is Assurance.DEVICE_BOUND or not device_bound


def needs(rule_id: str, requirement: Requirement, asking: Asking, given: Iterable[Given], now: int) -> tuple[Need, ...]:
    """Every quorum with what it has; the requirement is met if none of them misses anybody.

    Approvals count that are not older than the requirement wants, by people who are eligible, each in one quorum only
    unless they may overlap. A person's several approvals are one. Raises ValueError for a quorum that nobody can mean.
    """
    if any(quorum.threshold < 1 for quorum in (*requirement.all_of, *requirement.any_of)):
        raise ValueError("a threshold is at least 1")
    fresh = [one for one in given if not requirement.expires_in or now - one.approved_at < requirement.expires_in]
    chosen = _choose(requirement, asking, fresh)
    approved = {name for _, _, names in chosen for name in names}
    people = {asking.index.users[name].person_id for name in approved}
    made = []
    for quorum, alternative, names in chosen:
        taken = people if not requirement.overlap else {asking.index.users[name].person_id for name in names}
        waiting = tuple(user.user_id for user in asking.eligible(quorum) if user.person_id not in taken)
        made.append(Need(rule_id, quorum, alternative, names, waiting))
    return tuple(made)


_Chosen = list[tuple[Quorum, bool, tuple[str, ...]]]


def _choose(requirement: Requirement, asking: Asking, given: Sequence[Given]) -> _Chosen:
    """All quorums of ``all_of``, and of ``any_of`` the first that can be filled besides, or what each one has."""
    firm = [(quorum, False) for quorum in requirement.all_of]
    tried = []
    for quorum in requirement.any_of:
        filled = _filled([*firm, (quorum, True)], asking, given, requirement.overlap)
        if all(len(names) >= one.threshold for one, _, names in filled):
            return filled
        _, _, names = filled[-1]
        tried.append((quorum, True, names[: quorum.threshold - 1]))  # whatever is missing, this one is not met
    return _filled(firm, asking, given, requirement.overlap) + tried


def _filled(quorums: list[tuple[Quorum, bool]], asking: Asking, given: Sequence[Given], overlap: bool) -> _Chosen:
    candidates = [_candidates(quorum, asking, given) for quorum, _ in quorums]
    seats = assign([quorum for quorum, _ in quorums], candidates, overlap)
    return [(quorum, alternative, names) for (quorum, alternative), names in zip(quorums, seats, strict=True)]


def _candidates(quorum: Quorum, asking: Asking, given: Sequence[Given]) -> list[Candidate]:
    """Who has given an approval that counts towards a quorum."""
    keys = {one.user_id for one in given if _fits(one.assurance, quorum.device_bound)}
    return [Candidate(u.user_id, u.person_id, u.team, u.site) for u in asking.eligible(quorum) if u.user_id in keys]


def satisfiable(requirement: Requirement, asking: Asking) -> bool:
    """Whether it would be met if everybody approved who may."""
    everybody = [Given(name, Assurance.DEVICE_BOUND, 0) for name in asking.index.users]
    plain = Requirement(requirement.all_of, requirement.any_of, requirement.overlap, 0, 0, ())
    return not any(need.missing for need in needs("", plain, asking, everybody, 0))
