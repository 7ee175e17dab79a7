"""What a decision asks for, held against what a property claims: exactly, by the engine's own counting of people."""

from __future__ import annotations

from dataclasses import dataclass

from oms_core.analysis.people import Fewest, electorate, fewest
from oms_core.analysis.properties import All, Approvals, Claim, Delay, Denied
from oms_core.errors import Malformed, Reason
from oms_core.policy.index import index_of
from oms_core.policy.require import Asking, satisfiable
from oms_core.policy.rules import Requirement
from oms_core.workspace import Privilege, Workspace

_KINDS = ("group", "role")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for approvals, for which wallet, and whether of orders or of keys."""

    person: str
    wallet_id: str
    keys: bool


def _asking(workspace: Workspace, asker: Asker) -> Asking:
    privilege = Privilege.APPROVE_KEYS if asker.keys else Privilege.APPROVE_ORDERS
    return Asking(index_of(workspace), asker.person, asker.wallet_id, privilege)


class People:
    """The people of a workspace, and how many of some of them requirements take at least; remembered."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._known: dict[tuple[tuple[Requirement, ...], Asker, str], Fewest | None] = {}
        self._able: dict[tuple[tuple[Requirement, ...], Asker], frozenset[str]] = {}
        self._possible: dict[tuple[Requirement, Asker], bool] = {}
        self._wallets: dict[frozenset[str], str] = {}

    def least(self, requirements: tuple[Requirement, ...], asker: Asker, who: str) -> Fewest | None:
        """The fewest people of a group or role, or of all, without whom it cannot be met; None if it never can be.

        Raises `Malformed` (UNKNOWN_FIELD) if there is no such group or role, `Undecided`.
        """
        key = (requirements, self._like(requirements, asker), who)
        if key not in self._known:
            counted = self.of(who)
            self._known[key] = fewest(
                requirements, electorate(_asking(self.workspace, key[1])), lambda p: int(p in counted)
            )
        return self._known[key]

    def possible(self, requirement: Requirement, asker: Asker) -> bool:
        """Whether it would be met if everybody approved who may."""
        like = self._like((requirement,), asker)
        if (requirement, like) not in self._possible:
            self._possible[requirement, like] = satisfiable(requirement, _asking(self.workspace, like))
        return self._possible[requirement, like]

    def _like(self, requirements: tuple[Requirement, ...], asker: Asker) -> Asker:
        """An asker for whom all is the same: by roles, wallets are few; and who may not approve may be anybody."""
        roles = frozenset(r.role for r in self.workspace.roles if asker.wallet_id in r.wallets or "*" in r.wallets)
        wallet = self._wallets.setdefault(roles, asker.wallet_id)
        anybody = Asker("", wallet, asker.keys)
        key = (requirements, anybody)
        if key not in self._able:
            asking = _asking(self.workspace, anybody)
            quorums = (quorum for one in requirements for quorum in (*one.all_of, *one.any_of))
            self._able[key] = frozenset(user.person_id for quorum in quorums for user in asking.eligible(quorum))
        return Asker(asker.person, wallet, asker.keys) if asker.person in self._able[key] else anybody

    def of(self, who: str) -> frozenset[str]:
        """Ids of the people in a group or role; of all if ``who`` is empty. Raises `Malformed` (UNKNOWN_FIELD)."""
        workspace = self.workspace
        if not who:
            return frozenset(one.person_id for one in workspace.users)
        kind, _, name = who.partition(":") if who.partition(":")[0] in _KINDS else ("", "", who)
        groups = [group for group in workspace.groups if group.group_id == name and kind in {"", "group"}]
        roles = [role for role in workspace.roles if role.role == name and kind in {"", "role"}]
        if groups and roles:
            members = {*groups[0].members} ^ {one.user_id for one in workspace.users if name in one.roles}
            if members:
                raise Malformed(f"{name!r} is a group and a role: say group:{name} or role:{name}")
        if not groups and not roles:
            raise Malformed(f"there is no group or role {name[:64]!r}", Reason.UNKNOWN_FIELD)
        return frozenset(
            one.person_id
            for one in workspace.users
            if (groups and one.user_id in groups[0].members) or (roles and name in one.roles)
        )

    def meets(self, claim: Claim, requirements: tuple[Requirement, ...], asker: Asker) -> bool:
        """Whether an order that is not denied, of which these are required, is as claimed. Raises as `least`."""
        match claim:
            case Denied():
                return False
            case Delay(seconds):
                return any(one.delay >= seconds for one in requirements)
            case Approvals(who, least):
                found = self.least(requirements, asker, who)
                return found is None or found.cost >= least
            case All(parts):
                return all(self.meets(part, requirements, asker) for part in parts)
        return any(self.meets(part, requirements, asker) for part in claim.parts)
