"""The roles that are shipped: templates for a workspace's own, and which of them no person may hold together."""

from __future__ import annotations

from collections.abc import Iterable

from oms_core.workspace import Incompatible, Privilege, Role
from oms_core.workspace.names import ANY

_P = Privilege
TEMPLATES: dict[str, tuple[Privilege, ...]] = {
    "TRADER": (_P.READ, _P.PROPOSE_ORDERS),
    "PORTFOLIO_MANAGER": (_P.READ, _P.PROPOSE_ORDERS),
    "RISK_OFFICER": (_P.READ, _P.APPROVE_ORDERS),
    "CRO": (_P.READ, _P.APPROVE_ORDERS),
    "SECURITY_COMMITTEE": (_P.READ, _P.APPROVE_KEYS, _P.APPROVE_CHANGES),
    "POLICY_ADMIN": (_P.READ, _P.PROPOSE_CHANGES, _P.APPROVE_CHANGES),
    "USER_ADMIN": (_P.READ, _P.PROPOSE_CHANGES),
    "BREAKER_OPERATOR": (_P.READ, _P.PROPOSE_KEYS),
    "COSIGNER_OPERATOR": (_P.READ, _P.PROPOSE_KEYS),
    "NODE_OPERATOR": (_P.READ,),
    "AUDITOR": (_P.READ,),
    "INTEGRATOR": (_P.READ, _P.PROPOSE_ORDERS),
    "SRE": (_P.READ,),
}
"""What each may do. Who counts in a quorum, the rules and the governance say: a privilege alone makes nobody count."""

_APPROVERS = ("RISK_OFFICER", "CRO", "SECURITY_COMMITTEE")
_DESKS = ("TRADER", "PORTFOLIO_MANAGER")
INCOMPATIBLE: tuple[Incompatible, ...] = (
    Incompatible("POLICY_ADMIN", "CRO", "who writes rules does not approve under them"),
    Incompatible("POLICY_ADMIN", "RISK_OFFICER", "who writes rules does not approve under them"),
    Incompatible("COSIGNER_OPERATOR", "POLICY_ADMIN", "who runs a node does not write the rules that it holds"),
    *(Incompatible("USER_ADMIN", role, "who enrols people is none of those who approve") for role in _APPROVERS),
    *(
        Incompatible(desk, role, "who trades does not approve trades")
        for desk in _DESKS
        for role in ("RISK_OFFICER", "CRO")
    ),
    *(
        Incompatible("AUDITOR", role, "who audits takes no part in what is audited")
        for role in (*_DESKS, *_APPROVERS, "POLICY_ADMIN", "USER_ADMIN")
    ),
)


def roles(names: Iterable[str]) -> tuple[Role, ...]:
    """These templates as roles, for all wallets. Raises KeyError for a name that is none of them."""
    return tuple(Role(name, TEMPLATES[name], (ANY,)) for name in names)


def incompatible(names: Iterable[str]) -> tuple[Incompatible, ...]:
    """The pairs among these roles that no person may hold together."""
    held = set(names)
    return tuple(pair for pair in INCOMPATIBLE if {pair.first, pair.second} <= held)
