"""The roles that are shipped: what they may, and what they may not together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oms_core.errors import Malformed, Reason
from oms_core.workspace import Privilege, user
from oms_core.workspace.check import check_workspace
from oms_core.workspace.roles import INCOMPATIBLE, TEMPLATES, incompatible, roles
from tests.people import workspace

PLAIN = replace(
    workspace(),
    users=tuple(replace(one, roles=() if "trader" in one.roles else one.roles) for one in workspace().users),
    roles=(*(role for role in workspace().roles if role.role != "trader"), *roles(TEMPLATES)),
    incompatible=INCOMPATIBLE,
    rules=(),
)


def with_roles(*names: str) -> None:
    olga = replace(user(PLAIN, "olga"), roles=("risk", *names))
    check_workspace(replace(PLAIN, users=tuple(olga if one.user_id == "olga" else one for one in PLAIN.users)))


def test_all_templates_make_a_workspace_that_passes() -> None:
    check_workspace(PLAIN)
    for name in TEMPLATES:
        with_roles(name)


def test_nobody_who_audits_or_operates_approves_anything() -> None:
    for name in ("AUDITOR", "NODE_OPERATOR", "SRE", "COSIGNER_OPERATOR", "INTEGRATOR", "BREAKER_OPERATOR"):
        assert not any(may.startswith("APPROVE") for may in TEMPLATES[name])
    assert TEMPLATES["AUDITOR"] == (Privilege.READ,)


def test_a_service_may_have_the_role_of_an_integrator_and_no_role_that_approves() -> None:
    for name, may in TEMPLATES.items():
        desk = replace(user(PLAIN, "desk"), roles=(name,))
        made = replace(PLAIN, users=tuple(desk if one.user_id == "desk" else one for one in PLAIN.users))
        if any(privilege.startswith("APPROVE") for privilege in may):
            with pytest.raises(Malformed, match="a service never does"):
                check_workspace(made)
        else:
            check_workspace(made)


@pytest.mark.parametrize("pair", INCOMPATIBLE, ids=lambda pair: f"{pair.first} and {pair.second}")
def test_a_person_who_holds_an_incompatible_pair_is_refused(pair: object) -> None:
    with pytest.raises(Malformed) as caught:
        with_roles(pair.first, pair.second)  # type: ignore[attr-defined]
    assert caught.value.reason is Reason.INCOMPATIBLE_ROLES


def test_the_pairs_that_custody_asks_for_are_among_them() -> None:
    pairs = {frozenset((pair.first, pair.second)) for pair in INCOMPATIBLE}
    assert len(pairs) == len(INCOMPATIBLE)
    for first, second in (("POLICY_ADMIN", "CRO"), ("COSIGNER_OPERATOR", "POLICY_ADMIN"), ("USER_ADMIN", "CRO")):
        assert {first, second} in pairs


def test_only_pairs_of_roles_that_are_used_are_taken_over() -> None:
    assert incompatible(("TRADER", "CRO", "SRE")) == tuple(
        pair for pair in INCOMPATIBLE if {pair.first, pair.second} == {"TRADER", "CRO"}
    )
    assert incompatible(()) == ()
