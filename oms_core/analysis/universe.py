"""Finitely many orders that stand for all: for each thing that tests can tell apart, one that shows each answer.

An order is put together from independent choices: who, from where, what, to whom, when, at which fee, with what having
been observed. Numbers are taken just below, at and above each bound that a test or a cap names; lists of a workspace
are taken whole, with one stranger to each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod

from oms_core.analysis.methods import calls, texts
from oms_core.analysis.moments import moments
from oms_core.analysis.nested import NOBODY, commands, nests
from oms_core.analysis.numbers import amounts, around, bounds
from oms_core.analysis.orders import KEYS, WITHOUT_DESTINATION, Deed, Order
from oms_core.analysis.strangers import unnamed, with_strangers
from oms_core.chains.address import token_of
from oms_core.chains.evm import native_asset, parse_address
from oms_core.chains.money import MONEY
from oms_core.errors import Malformed
from oms_core.policy.facts import Observation, Provenance
from oms_core.policy.fields import OBSERVED
from oms_core.policy.rules import Action, Operator, Rule, Test, Unit
from oms_core.policy.views import OWN_ACCOUNT
from oms_core.workspace import AddressEntry, Asset, ContractEntry, Workspace

_CHAIN = re.compile(r"eip155:[1-9][0-9]{0,17}\Z")
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
    def sizes(self) -> tuple[int, ...]:
        """How many choices there are, in the order of the fields."""
        chosen = (self.who, self.wallet, self.path, self.deed, self.to, self.now, self.fee, self.gas, self.purpose)
        return tuple(map(len, (*chosen, *self.observed)))

    @property
    def size(self) -> int:
        """How many orders can be put together, before those are left out that make no sense."""
        return prod(self.sizes)

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
        gas=tuple(bounds(asked, "fee.gas", 0, MAX_GAS)) if "fee.gas" in fields else (21_000,),
        purpose=("", "hypothetical") if "purpose" in fields else ("",),
        observed=tuple(_observations(name, asked) for name in _observable(asked)),
    )


def _listed(workspace: Workspace) -> tuple[AddressEntry | ContractEntry, ...]:
    return (*workspace.address_book, *workspace.contracts)


def _texts(tests: Iterable[Test], field: str, *operators: Operator) -> list[str]:
    asked = (test for test in tests if test.field == field and test.operator in (operators or Operator))
    return sorted({value for test in asked for value in test.values if isinstance(value, str)})


def _chains(workspaces: Sequence[Workspace], tests: list[Test]) -> list[str]:
    named = {entry.chain for one in workspaces for entry in _listed(one)}
    named |= {asset.asset.partition("/")[0] for one in workspaces for asset in one.assets}
    begun = _texts(tests, "chain", Operator.STARTS)
    named |= set(with_strangers("eip155:", [*named, *_texts(tests, "chain")], begun, "424242", "123456789"))
    return sorted(name for name in named if _CHAIN.match(name))


def _wallets(workspaces: Sequence[Workspace], tests: list[Test]) -> tuple[str, ...]:
    named = {entry.wallet_id for one in workspaces for entry in one.wallets}
    named |= {wallet for one in workspaces for role in one.roles for wallet in role.wallets if wallet != "*"}
    begun = _texts(tests, "source.wallet", Operator.STARTS)
    *made, stranger = with_strangers("wal_", [*named, *_texts(tests, "source.wallet")], begun, "stranger")
    return (*sorted({name for name in made if name.startswith("wal_")}), stranger)


def _paths(tests: list[Test]) -> tuple[tuple[int, ...], ...]:
    """Each path that is named, and one below it that is not."""
    matches = (_PATH.match(text) for text in _texts(tests, "source.path"))
    named = {tuple(int(step) for step in match[1].split("/") if step) for match in matches if match}
    other = max((step for steps in named for step in steps), default=0) + 1
    return tuple(sorted({(), (other,), *named, *((*steps, other) for steps in named)}))


def _accounts(workspaces: Sequence[Workspace], tests: list[Test], chains: list[str]) -> list[tuple[str, bytes]]:
    found = {(entry.chain, entry.address) for one in workspaces for entry in _listed(one)}
    for text in _texts(tests, "destination.address", Operator.IS, Operator.IS_NOT):
        found |= {(chain, parse_address(text)) for chain in chains}
    for one in workspaces:  # of the tokens that are in no list, one on each chain: calls to them can be read
        unlisted = ((chain, account) for chain, _, account in _tokens(one) if (chain, account) not in found)
        found |= set({chain: (chain, account) for chain, account in sorted(unlisted, reverse=True)}.values())
    stranger = unnamed({account for _, account in found})
    found |= {(chain, stranger) for chain in chains}
    if any(test.field == "destination.lookalike" for test in tests):
        found |= {(chain, near) for chain, address in sorted(found) for near in _alike(address)}
    return sorted(found)


def _tokens(workspace: Workspace) -> Iterable[tuple[str, str, bytes]]:
    for asset in workspace.assets:
        with suppress(Malformed):  # the chain's own coin
            yield token_of(asset.asset)


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
    assets: dict[str, list[Asset]] = {native_asset(chain): [] for chain in chains}
    for asset in (asset for one in workspaces for asset in one.assets):
        assets.setdefault(asset.asset, []).append(asset)
    for name, versions in sorted(assets.items()):
        yield from _movements(workspaces, name, amounts(versions, tests, caps, 0))
    made = calls(workspaces, tests)
    for chain in chains:
        values = amounts(assets[native_asset(chain)], tests, caps, 0)
        for name, data in made:  # no coins go along with a call that may move tokens
            sums = values if data[:4] not in MONEY else [0]
            yield from (Deed(Action.CALL, chain, "", 0, value, name, data) for value in sums)
        yield from (Deed(Action.DEPLOY, chain, "", 0, value, "", b"\x00") for value in values)
        yield from (Deed(Action.CALL, chain, inside=target) for target in commands(workspaces, chain))
        said = texts(test for test in tests if test.field == "args.0")
        yield from (Deed(Action.MESSAGE, chain, data=text.encode()) for text in dict.fromkeys(said))
        yield Deed(Action.TYPED_MESSAGE, chain)
    yield from (Deed(action, "") for action in sorted(KEYS))


def _movements(workspaces: Sequence[Workspace], asset: str, sums: list[int]) -> Iterable[Deed]:
    """Transfers and allowances. Coins are sent in calls inside of others, too, and there also none of them.

    Who is shown one of several orders best sees one that moves something, so nothing comes last.
    """
    chain = asset.partition("/")[0]
    coin = asset == native_asset(chain)
    for action in (Action.TRANSFER, Action.APPROVE):
        for amount in sorted(sums, key=lambda amount: not amount):
            if not coin or (action is Action.TRANSFER and amount):
                yield Deed(action, chain, asset, amount)
            if coin and nests(workspaces, chain, action):
                yield Deed(action, chain, asset, amount, inside=NOBODY)


def _fees(workspaces: Sequence[Workspace], rules: list[Rule], tests: list[Test], chains: list[str]) -> list[int]:
    """In wei: none; some, where a limit weighs it; and what tests and caps tell apart that speak of fees."""
    found = {0, *(bounds(tests, "fee.total", 0, MAX_FEE) if any(one.field == "fee.total" for one in tests) else ())}
    weighing = [rule for rule in rules if any(cap.unit is not Unit.COUNT for cap in rule.caps)]
    if weighing:
        found.add(1)
    coins = {native_asset(chain) for chain in chains}
    held = [asset for one in workspaces for asset in one.assets if asset.asset in coins]
    for rule in weighing:
        if any(test.field in {"fee", "amount", "amount.usd"} for test in rule.when):
            found.update(fee for fee in amounts(held, rule.when, rule.caps, 0) if fee <= MAX_FEE)
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
        numbers = {value for test in mine for value in test.values if isinstance(value, int)}
        values = [*around(numbers, min(numbers) - 1, max(numbers) + 1)] if numbers else []
        values += texts(mine) if _texts(mine, name) else []
    return (
        None,
        *(Observation(name, -1, value, said) for value in values for said in (Provenance.ATTESTED, Provenance.CLAIMED)),
    )
