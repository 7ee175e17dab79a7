"""A workspace whose assets and contracts have real names, so that orders can be derived from bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from oms.devnet import cast
from oms.devnet.contracts import Deployed, address_of
from oms_core.policy.rules import Rule
from oms_core.policy.text import rules_from_yaml
from oms_core.workspace import Asset, Direction, Governance, Privilege, ProposalKey, Role, Workspace
from tests import people
from tests.unit.policy import world as plain
from tests.unit.policy.world import CHAIN, COIN, DOLLAR, NOW, quorum, require

USDC = f"{CHAIN}/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ODD = f"{CHAIN}/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7"
ASSETS = (
    Asset(COIN, "ETH", 18, ("native",), 3_000 * DOLLAR, b""),
    Asset(USDC, "USDC", 6, ("stable", "erc20"), DOLLAR, b""),
    Asset(ODD, "ODD", 18, ("erc20",), 0, b""),
)
ROLES = (
    Role("trader", (Privilege.PROPOSE_ORDERS, Privilege.PROPOSE_KEYS), ("*",)),
    Role("risk", (Privilege.APPROVE_ORDERS,), ("*",)),
    Role("chief", (Privilege.APPROVE_ORDERS, Privilege.APPROVE_KEYS, Privilege.PROPOSE_CHANGES), ("*",)),
    Role("security", (Privilege.APPROVE_KEYS, Privilege.APPROVE_CHANGES), ("*",)),
)


def workspace(rules: str | tuple[Rule, ...] = (), **changes: object) -> Workspace:
    """The engine's world with other assets, and a governance."""
    loosen = require(quorum(2, roles=("security",)), delay=86_400).requirement
    tighten = require(quorum(1, roles=("security",))).requirement
    assert loosen is not None
    assert tighten is not None
    before = plain.workspace().users
    users = tuple(one for one in before if one.user_id != "cleo")
    (cleo,) = set(before) - set(users)
    read = rules_from_yaml(rules, ASSETS) if isinstance(rules, str) else rules
    made = replace(
        plain.workspace(*read),
        assets=ASSETS,
        roles=ROLES,
        users=(*users, replace(cleo, proposal_keys=(ProposalKey("cleo-1", b"c"),))),
        governance=(Governance(Direction.LOOSEN, loosen), Governance(Direction.TIGHTEN, tighten)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def devnet(root: Path) -> Workspace:
    """Version 0 of a development network, whose people's keys are in this folder."""
    deployed = {name: Deployed(address_of(name), bytes(32)) for name in ("weth", "usdc", "router", "anchor")}
    cards = {one.index: (one.identity, one.witness) for one in people.workspace().roster}
    return cast.workspace(root, cards, "eip155:31337", deployed, 5, people.workspace().log)


__all__ = ["ASSETS", "COIN", "NOW", "ODD", "USDC", "devnet", "workspace"]
