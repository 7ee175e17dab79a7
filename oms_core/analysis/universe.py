"""Finitely many orders that stand for all: for each thing that tests can tell apart, one that shows each answer.

An order is put together from independent choices: who, from where, what, to whom, when, at which fee, with what having
been observed. Numbers are taken just below, at and above each bound that a test or a cap names; lists of a workspace
are taken whole, with one stranger to each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oms_core.analysis.methods import calls
from oms_core.analysis.moments import moments
from oms_core.analysis.numbers import amounts, around, bounds
from oms_core.analysis.orders import WITHOUT_DESTINATION, Deed, Order
from oms_core.chains.evm import native_asset, parse_address
from oms_core.policy.facts import Observation, Provenance
from oms_core.policy.fields import OBSERVED
from oms_core.policy.rules import Action, Rule, Test, Unit
from oms_core.policy.views import OWN_ACCOUNT
from oms_core.workspace import AddressEntry, Asset, ContractEntry, Workspace

STRANGER = bytes.fromhex("5ca1ab1e" * 5)
_PATH = re.compile(r"m/((?:[0-9]+/)*)\Z")
MAX_GAS = (1 << 32) - 1
MAX_FEE = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class Universe:
    """The choices. ``to`` are (chain, account), with ("", b"") where there is no counterparty.

    ``observed`` are for each fact that rules name what may have been observed of it, None for nothing.
    """

    who: tuple[str, ...]
    wallet: tuple[str, ...]
    path: tuple[tuple[int, ...], ...]
    deed: tuple[Deed, ...]
    to: tuple[tuple[str, bytes], ...]
    now: tuple[int, ...]
    fee: tuple[int, ...]
    gas: tuple[int, ...]
    purpose: tuple[str, ...]
    observed: tuple[tuple[Observation | None, ...], ...]

    @property
    def size(self) -> int:
        """How many orders can be put together, before those are left out that make no sense."""
        made = len(self.who) * len(self.wallet) * len(self.path) * len(self.deed) * len(self.to) * len(self.now)
        made *= len(self.fee) * len(self.gas) * len(self.purpose)
        for choices in self.observed:
            made *= len(choices)
        return made

    def order(self, places: Sequence[int]) -> Order | None:
        """The order of these choices, by their places in the order of the fields; None where they make no sense."""
        deed, (chain, to) = self.deed[places[3]], self.to[places[4]]
        if (deed.action in WITHOUT_DESTINATION) is bool(to) or (to and chain != deed.chain):
            return None
        seen = (choices[place] for choices, place in zip(self.observed, places[9:], strict=True))
        return Order(
            initiator=self.who[places[0]],
            wallet_id=self.wallet[places[1]],
            deed=deed,
            to=to,
            now=self.now[places[5]],
            path=self.path[places[2]],
            max_fee_total=self.fee[places[6]],
            gas_limit_cap=self.gas[places[7]],
            purpose=self.purpose[places[8]],
            observed=tuple(one for one in seen if one is not None),
        )


def universe(workspaces: Sequence[Workspace], now: int, tests: Iterable[Test] = ()) -> Universe:
    """Everything that the rules of these workspaces, and other tests, can tell apart from ``now`` on."""
    rules = [rule for one in workspaces for rule in one.rules]
    asked = list(dict.fromkeys([*(test for rule in rules for test in rule.when), *tests]))
    fields = {test.field for test in asked}
    chains = _chains(workspaces, asked)
    return Universe(
        who=tuple(dict.fromkeys(user.user_id for one in workspaces for user in one.users)),
        wallet=_wallets(workspaces, asked),
        path=_paths(asked) if "source.path" in fields else ((),),
        deed=tuple(_deeds(workspaces, rules, asked, chains)),
        to=(("", b""), *_accounts(workspaces, asked, chains)),
        now=tuple(moments(rules, _ages(workspaces, asked), now)),
        fee=tuple(_fees(workspaces, rules, asked, chains)),
        gas=tuple(bounds(asked, "fee.gas", 1, MAX_GAS)) if "fee.gas" in fields else (21_000,),
        purpose=("", "hypothetical") if "purpose" in fields else ("",),
        observed=tuple(_observations(name, asked) for name in _observable(asked)),
    )


def _listed(workspace: Workspace) -> tuple[AddressEntry | ContractEntry, ...]:
    return (*workspace.address_book, *workspace.contracts)


def _texts(tests: Iterable[Test], field: str) -> list[str]:
    return sorted({value for test in tests if test.field == field for value in test.values if isinstance(value, str)})


def _chains(workspaces: Sequence[Workspace], tests: list[Test]) -> list[str]:
    named = {entry.chain for one in workspaces for entry in _listed(one)}
    named |= {asset.asset.partition("/")[0] for one in workspaces for asset in one.assets}
    named |= {name for name in _texts(tests, "chain") if re.match(r"eip155:[1-9][0-9]{0,17}\Z", name)}
    return sorted({*named, "eip155:424242"})


def _wallets(workspaces: Sequence[Workspace], tests: list[Test]) -> tuple[str, ...]:
    named = {entry.wallet_id for one in workspaces for entry in one.wallets}
    named |= {wallet for one in workspaces for role in one.roles for wallet in role.wallets if wallet != "*"}
    return (*sorted(named | set(_texts(tests, "source.wallet"))), "wal_stranger")


def _paths(tests: list[Test]) -> tuple[tuple[int, ...], ...]:
    """Each path that is named, and one below it that is not."""
    found: set[tuple[int, ...]] = {(), (2_000_000_011,)}
    for text in _texts(tests, "source.path"):
        if match := _PATH.match(text):
            steps = tuple(int(step) for step in match[1].split("/") if step)
            found |= {steps, (*steps, 2_000_000_011)}
    return tuple(sorted(found))


def _accounts(workspaces: Sequence[Workspace], tests: list[Test], chains: list[str]) -> list[tuple[str, bytes]]:
    found = {(entry.chain, entry.address) for one in workspaces for entry in _listed(one)}
    for text in _texts(tests, "destination.address"):
        found |= {(chain, parse_address(text)) for chain in chains}
    found |= {(chain, STRANGER) for chain in chains}
    if any(test.field == "destination.lookalike" for test in tests):
        found |= {(chain, near) for chain, address in sorted(found) for near in _alike(address)}
    return sorted(found)


def _alike(address: bytes) -> Iterable[bytes]:
    """Accounts that differ from one in more and more digits."""
    digits = address.hex()
    for count in range(1, 40):
        changed = "".join("a" if digit != "a" else "5" for digit in digits[20 : 20 + count])
        more = "".join("c" if digit != "c" else "7" for digit in digits[: max(0, count - 20)])
        yield bytes.fromhex(more + digits[len(more) : 20] + changed + digits[20 + len(changed) :])


def _ages(workspaces: Sequence[Workspace], tests: list[Test]) -> list[int]:
    """When entries reach each age that is asked for, or expire."""
    ages = {
        field: [at for at in bounds(tests, field, 0, 1 << 40) if at < 1 << 40]
        for field in ("destination.age", "registry.age", "registry.audit_age")
        if any(test.field == field for test in tests)
    }
    found = {contract.expires_at for one in workspaces for contract in one.contracts if contract.expires_at}
    listed = ages.get("destination.age", []) + ages.get("registry.age", [])
    for one in workspaces:
        found |= {entry.added_at + age for entry in _listed(one) for age in listed}
        found |= {entry.audited_at + age for entry in one.contracts for age in ages.get("registry.audit_age", [])}
    return sorted(found)


def _deeds(workspaces: Sequence[Workspace], rules: list[Rule], tests: list[Test], chains: list[str]) -> Iterable[Deed]:
    caps = [cap for rule in rules for cap in rule.caps]
    assets: dict[str, Asset | None] = {native_asset(chain): None for chain in chains}
    assets |= {asset.asset: asset for one in workspaces for asset in one.assets}
    for action in Action:
        match action:
            case Action.TRANSFER | Action.APPROVE:
                for name, asset in sorted(assets.items()):
                    chain, _, reference = name.partition("/")
                    if action is Action.TRANSFER or reference.startswith("erc20:"):
                        least = 1 if action is Action.TRANSFER else 0
                        for amount in amounts(asset, tests, caps, least):
                            yield Deed(action, chain, name, amount)
            case Action.CALL | Action.DEPLOY:
                for chain in chains:
                    values = amounts(assets[native_asset(chain)], tests, caps, 0)
                    made = calls(workspaces, tests) if action is Action.CALL else (("", b"\x00"),)
                    yield from (
                        Deed(action, chain, "", 0, value, name, data) for name, data in made for value in values
                    )
            case Action.MESSAGE | Action.TYPED_MESSAGE:
                yield from (Deed(action, chain) for chain in chains)
            case _:
                yield Deed(action, "")


def _fees(workspaces: Sequence[Workspace], rules: list[Rule], tests: list[Test], chains: list[str]) -> list[int]:
    """In wei: none; some, where a limit weighs it; and what tests and caps tell apart that speak of fees."""
    found = {0, *(bounds(tests, "fee.total", 0, MAX_FEE) if any(one.field == "fee.total" for one in tests) else ())}
    if any(cap.unit is not Unit.COUNT for rule in rules for cap in rule.caps):
        found.add(1)
    coins = {native_asset(chain) for chain in chains}
    for rule in rules:
        if any(test.field == "fee" for test in rule.when):
            for asset in (None, *(one for held in workspaces for one in held.assets if one.asset in coins)):
                found.update(fee for fee in amounts(asset, rule.when, rule.caps, 0) if fee <= MAX_FEE)
    return sorted(found)


def _observable(tests: list[Test]) -> list[str]:
    named = {test.field for test in tests if test.field.partition(".")[0] in OBSERVED}
    if any(test.field == "destination.type" and "OWN" in test.values for test in tests):
        named.add(OWN_ACCOUNT)
    return sorted(named)


def _observations(name: str, tests: list[Test]) -> tuple[Observation | None, ...]:
    """Nothing; each value that matters, as somebody says who has to be believed, or only claims it."""
    if name == OWN_ACCOUNT:
        values: list[int | str] = [0, 1]
    else:
        mine = [test for test in tests if test.field == name]
        values = [*_texts(mine, name)]
        numbers = {value for test in mine for value in test.values if isinstance(value, int)}
        values += around(numbers, min(numbers) - 1, max(numbers) + 1) if numbers else []
        texts = [test for test in mine if any(isinstance(value, str) for value in test.values)]
        values += ["stranger", *(f"{text}/stranger" for text in values if isinstance(text, str))] if texts else []
    return (
        None,
        *(Observation(name, -1, value, said) for value in values for said in (Provenance.ATTESTED, Provenance.CLAIMED)),
    )
