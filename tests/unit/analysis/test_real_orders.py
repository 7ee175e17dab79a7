"""Proofs against orders made of bytes, and not of the choices that proofs are made of: what is proved holds of them."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import pytest

from oms_core.analysis.cheapest import cheapest
from oms_core.analysis.checks import Problem, check_rules
from oms_core.analysis.claims import Asker, People
from oms_core.analysis.diff import difference
from oms_core.analysis.properties import Approvals, Condition, Delay, Denied, Property, parse_property
from oms_core.analysis.prove import Verdict, prove
from oms_core.analysis.prove import tests_of as parts_of
from oms_core.analysis.strangers import STRANGER
from oms_core.analysis.tables import Wondered
from oms_core.chains.abi import method
from oms_core.chains.address import to_checksum
from oms_core.chains.evm import parse_address
from oms_core.chains.intent import (
    Allow,
    Bounds,
    Call,
    Deploy,
    Intent,
    Message,
    Transfer,
    TypedData,
    What,
    check_subject,
)
from oms_core.errors import Malformed, Refused
from oms_core.policy.compiled import FALSE
from oms_core.policy.decision import Outcome
from oms_core.policy.facts import Facts
from oms_core.policy.index import index_of
from oms_core.policy.judge import judge
from oms_core.policy.rules import Kind, Operator, Rule
from oms_core.policy.rules import Test as One
from oms_core.policy.spends import operations_of
from oms_core.policy.views import view_of_operation
from oms_core.workspace import Asset, Workspace
from tests.unit.analysis.world import ASSETS, COIN, NOW, ODD, USDC, workspace
from tests.unit.policy.world import CHAIN, DOLLAR, KRAKEN, ROUTER, limit, quorum, require, rule, usd
from tests.unit.policy.world import STRANGER as NOT_LISTED

ART = f"{CHAIN}/erc721:0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D"
CARRIES, PROGRAM = "execute(address,uint256,bytes)", "execute(bytes,bytes[])"
CANCEL = "cancel(bytes32)"
ETHER = 10**18
IS, NOT = Operator.IS, Operator.IS_NOT


def token(asset: str) -> bytes:
    return parse_address(asset.rpartition(":")[2])


def under(rules: str | tuple[Rule, ...], *methods: str, **changes: object) -> Workspace:
    """The world with a thing that is no sum, and a contract that has these methods."""
    made = workspace(rules, assets=(*ASSETS, Asset(ART, "ART", 0, ("art",), DOLLAR, b"")), **changes)
    return replace(made, contracts=(replace(made.contracts[0], methods=methods),)) if methods else made


def order(what: What, fee: int = 0, gas: int = 100_000, wallet: str = "wal_hot", chain: str = CHAIN) -> Intent:
    bounds = Bounds(0, 0) if isinstance(what, Message | TypedData) else Bounds(fee, gas)
    return Intent("int_1", wallet, (), chain, what, bounds, "desk", "", NOW - 10, NOW + 1000)


def carried(to: bytes, value: int = 0, data: bytes = b"") -> Call:
    return Call(ROUTER, 0, method(CARRIES).encode(to, value, data))


def program(*steps: tuple[int, bytes]) -> Call:
    return Call(ROUTER, 0, method(PROGRAM).encode(bytes(one for one, _ in steps), tuple(data for _, data in steps)))


def permitted(amount: int, spender: bytes = NOT_LISTED, contract: bytes | None = None) -> TypedData:
    """An ERC-2612 permit: an allowance by a signature."""
    domain = {"chainId": 1, "verifyingContract": to_checksum(contract or token(USDC))}
    members = {"owner": "address", "spender": "address", "value": "uint256", "nonce": "uint256", "deadline": "uint256"}
    kinds = {"chainId": "uint256", "verifyingContract": "address"}
    message = {"owner": to_checksum(KRAKEN), "spender": to_checksum(spender), "value": str(amount), "nonce": "0",
               "deadline": "9"}  # fmt: skip
    types = {"EIP712Domain": kinds, "Permit": members}
    listed = {name: [{"name": key, "type": kind} for key, kind in one.items()] for name, one in types.items()}
    return TypedData(json.dumps({"types": listed, "primaryType": "Permit", "domain": domain, "message": message}))


PAY = method("transfer(address,uint256)")
ALL = "- rule: all\n  permit:\n"
READABLE = "- rule: calls\n  permit:\n  when: {action: CALL, opaque: no}\n"
WRAPPED_ETH = method("WRAP(address,uint256)").encode(NOT_LISTED, 5)[4:]


@pytest.mark.parametrize(
    ("world", "asked", "real"),
    [
        (under(ALL), "action = APPROVE and asset.class = art -> denied",
         order(Call(token(ART), 0, method("approve(address,uint256)").encode(NOT_LISTED, 77)))),
        (under("- rule: said\n  permit:\n  when: {action: MESSAGE, args.0: login}\n"), "any -> denied",
         order(Message("login"))),
        (under(f"- rule: one\n  permit:\n  when: {{action: CALL, args.0: '0x{'11' * 32}'}}\n", CANCEL), "any -> denied",
         order(Call(ROUTER, 0, method(CANCEL).encode(b"\x11" * 32)))),
        (under("- rule: some\n  permit:\n  when: {action: CALL, args.0: {starts with: '0x44'}}\n", "give(address)"),
         "any -> denied", order(Call(ROUTER, 0, method("give(address)").encode(NOT_LISTED)))),
        (under("- rule: text\n  permit:\n  when: {action: CALL, opaque: no}\n"
               "- rule: no\n  deny:\n  when: {args.0: {starts with: s}}\n", "say(string)"),
         'any -> denied', order(Call(ROUTER, 0, method("say(string)").encode("other")))),
        (under(ALL + "- rule: coins\n  limit: {amount: 1 ETH}\n  when: {action: TRANSFER, asset: ETH}\n", CARRIES),
         "action = TRANSFER and fee.total > 1,000,000,000,000,000,000 and chain = eip155:1 -> denied",
         order(carried(NOT_LISTED, 5), 2 * ETHER)),
        (under(READABLE + "- rule: batch\n  deny:\n  when: {method: '"
               "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)'}\n", PROGRAM),
         "action = CALL and destination.type = ONE_TIME -> denied", order(program((0x0B, WRAPPED_ETH)))),
        (under("- rule: all\n  permit:\n  when: {action: TRANSFER}\n- rule: few\n  limit: {usd: 100}\n"),
         f"asset = {ODD} -> denied", order(Call(token(ODD), 0, PAY.encode(NOT_LISTED, 0)))),
        (under("- rule: all\n  permit:\n  when: {action: APPROVE}\n- rule: gas\n  deny:\n  when: {fee.gas: above 0}\n"),
         "any -> denied", order(permitted(5))),
        (under("- rule: x\n  permit:\n  when: {source.wallet: {starts with: wal_x}}\n"
               "- rule: not-x\n  deny:\n  when: {source.wallet: wal_x}\n"),
         "any -> denied", order(Transfer(COIN, KRAKEN, 5), wallet="wal_xa")),
        (under(ALL + "- rule: sent\n  deny:\n  when: {action: TRANSFER, value: above 0 ETH}\n", PROGRAM),
         f"asset = {COIN} and action = TRANSFER -> denied",
         order(program((0x05, method("T(address,address,uint256)").encode(bytes(20), NOT_LISTED, 5)[4:])))),
        (under(ALL, address_book=(replace(workspace().address_book[0], address=STRANGER),)),
         "destination.type = ONE_TIME and chain = eip155:1 -> denied", order(Transfer(COIN, NOT_LISTED, 5))),
        (under(ALL + "- rule: far\n  deny:\n  when: {chain: ['eip155:1', 'eip155:424242']}\n"),
         "action = TRANSFER -> denied", order(Transfer("eip155:5/slip44:60", KRAKEN, 5), chain="eip155:5")),
    ],
)  # fmt: skip
def test_what_an_order_of_bytes_refutes_is_not_proved(world: Workspace, asked: str, real: Intent) -> None:
    """Each of these was said to be proved once, though the order passes."""
    check_subject(real, NOW)
    prop = parse_property(asked)
    assert judge(world, real, Facts(NOW)).outcome is Outcome.PERMIT
    assert fits(world, real, prop.condition)
    assert prove(world, prop, NOW).verdict is not Verdict.PROVED


def test_a_permit_that_only_real_bytes_fit_is_not_dead() -> None:
    said = "- rule: said\n  permit:\n  when: {action: MESSAGE, args.0: login}\n"
    things = f"- rule: art\n  permit:\n  when: {{action: APPROVE, asset: {ART}}}\n"
    found = [(one.problem, one.about) for one in check_rules(under(said + things), NOW)]
    assert not {about for problem, about in found if problem in {Problem.DEAD, Problem.SHADOWED}}


def test_what_changes_between_two_prices_is_shown() -> None:
    """Bounds in USD are other sums of tokens under each price."""
    between = ALL + "- rule: between\n  deny:\n  when: {amount.usd: {above: 1000 USD, below: 1200 USD}}\n"
    now, dearer = workspace(between), workspace(between)
    dearer = replace(dearer, assets=tuple(replace(one, usd_micro=2 * one.usd_micro) for one in dearer.assets))
    both = [{one.effect for one in difference(*pair, NOW).examples} for pair in ((dearer, now), (now, dearer))]
    assert both == [{"NEWLY_PERMITTED", "NEWLY_DENIED"}] * 2


def test_what_takes_nobody_is_the_cheapest_way_also_where_nothing_has_a_price() -> None:
    unpriced = workspace(ALL, assets=tuple(replace(one, usd_micro=0) for one in ASSETS))
    found = cheapest(unpriced, "wal_cold", One("amount", Operator.AT_LEAST, (5,)), NOW, One("asset", IS, (USDC,)))
    assert min(one.people for one in found.routes) == 1


# Generated worlds and orders


def conditions(of: Random) -> One:
    def some(field: str, *values: int | str) -> One:
        return One(field, of.choice([IS, NOT]), (of.choice(values),))

    def bound(field: str, *values: int) -> One:
        operators = [Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST]
        return One(field, of.choice(operators), (of.choice(values),))

    return of.choice(
        [
            some("action", "TRANSFER", "APPROVE", "CALL", "MESSAGE", "TYPED_MESSAGE"),
            some("destination.type", "WHITELISTED", "CONTRACT", "ONE_TIME"),
            some("asset", COIN, USDC, ODD, ART),
            some("asset.class", "stable", "art"),
            some("opaque", 0, 1),
            some("method", CARRIES, PROGRAM, "transfer(address,uint256)", CANCEL),
            some("args.0", "login", to_checksum(KRAKEN), f"0x{'11' * 32}"),
            some("source.wallet", "wal_hot", "wal_x"),
            One("source.wallet", Operator.STARTS, (of.choice(["wal_x", "wal_h"]),)),
            some("protocol", "uniswap"),
            some("registry.state", "ACTIVE"),
            some("chain", CHAIN, "eip155:424242"),
            bound("amount.usd", 0, 100 * DOLLAR, 5000 * DOLLAR),
            bound("amount", 0, 5, ETHER),
            bound("value", 0, 5),
            bound("fee.total", 1, ETHER),
            bound("fee.gas", 1, 100_000),
            bound("depth", 1),
        ]
    )


def rules(of: Random) -> tuple[Rule, ...]:
    made = []
    for at in range(of.randint(2, 6)):
        kind = of.choice([Kind.PERMIT, Kind.PERMIT, Kind.DENY, Kind.LIMIT, Kind.REQUIRE])
        when, name = tuple(conditions(of) for _ in range(of.randint(0, 2))), f"r{at}"
        if kind is Kind.REQUIRE:
            made.append(require(quorum(of.randint(1, 2), "risk"), when=when, rule_id=name, delay=of.choice([0, 60])))
        elif kind is Kind.LIMIT:
            made.append(replace(limit(usd(of.choice([0, 5000])), when=when), rule_id=name))
        else:
            made.append(rule(name, kind, *when))
    return tuple(made)


def orders(of: Random) -> Intent:
    """One order of bytes, of any shape that can be read."""
    to = of.choice([KRAKEN, ROUTER, NOT_LISTED, STRANGER])
    asset, amount = of.choice([COIN, USDC, ODD]), of.choice([0, 1, 5, 6, 100 * DOLLAR, 5000 * DOLLAR, 10**18 + 1])
    erc20 = token(of.choice([USDC, ODD]))
    empty = method("safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)").encode(KRAKEN, to, (), (), b"")
    paid = PAY.encode(to, amount)
    things = method("approve(address,uint256)").encode(to, amount)
    steps = [
        (0x0B, method("W(address,uint256)").encode(to, amount)[4:]),
        (0x05, method("T(address,address,uint256)").encode(bytes(20), to, amount)[4:]),
        (0x04, method("S(address,address,uint256)").encode(token(USDC), to, amount)[4:]),
        (0x3F, b"unknown"),
    ]
    shapes: list[What] = [
        Transfer(asset, to, amount or 1),
        Allow(USDC, to, amount),
        Call(erc20, 0, paid),
        Call(token(ART), 0, things),
        Call(erc20, 0, empty),
        Call(to, amount, b"\xde\xad\xbe\xef"),
        Call(to, 0, method(CANCEL).encode(of.choice([b"\x11", b"\x22"]) * 32)),
        carried(to, amount),
        carried(erc20, 0, paid),
        carried(to, 0, b"\xde\xad\xbe\xef"),
        program(of.choice(steps), of.choice(steps)),
        Message(of.choice(["login", "other"])),
        Deploy(amount, b"\x00"),
        permitted(amount, to),
    ]
    return order(
        of.choice(shapes), of.choice([0, 0, 1, ETHER, 2 * ETHER]), of.choice([1, 100_000, 200_000]),
        of.choice(["wal_hot", "wal_x", "wal_xa", "wal_other"]),
    )  # fmt: skip


def fits(world: Workspace, real: Intent, condition: Condition) -> bool:
    """Whether a condition, a test or several of them, may hold of anything that an order does."""
    tests = list(parts_of(condition))
    views = (
        view_of_operation(index_of(world), NOW, real, at, one, {}) for at, one in enumerate(operations_of(real, world))
    )
    return any(all(Wondered(one).on(view) != FALSE for one in tests) for view in views)


def enough(world: Workspace, real: Intent, asked: Property, people: People) -> bool:
    """Whether an order is denied, or asks for what is claimed."""
    decision = judge(world, real, Facts(NOW))
    applied = {line.rule_id for line in decision.trace if line.applies}
    needed = tuple(one.requirement for one in world.rules if one.rule_id in applied and one.requirement)
    asker = Asker(index_of(world).person(real.initiator), real.wallet_id, keys=False)
    return decision.outcome is Outcome.DENY or people.meets(asked.claim, needed, asker)


@pytest.mark.parametrize("seed", range(40))
def test_no_order_of_bytes_refutes_what_is_proved_of_generated_rules(seed: int) -> None:
    of = Random(seed)
    world = under(rules(of), *of.choice([(CARRIES, PROGRAM, CANCEL), (CANCEL,), (CARRIES,), ()]))
    asked = Property(conditions(of), of.choice([Denied(), Approvals("", 1), Approvals("risk", 2), Delay(60)]), "")
    people, answer = People(world), prove(world, asked, NOW, 5_000)
    for _ in range(400):
        real = orders(of)
        try:
            check_subject(real, NOW)
            counts = fits(world, real, asked.condition)
        except (Refused, Malformed):
            continue
        if answer.verdict is Verdict.PROVED and counts:
            assert enough(world, real, asked, people), real


def said(world: Workspace, real: Intent) -> tuple[Outcome, object]:
    """What becomes of an order, and who is asked."""
    decision = judge(world, real, Facts(NOW))
    applied = {line.rule_id for line in decision.trace if line.applies}
    needed = tuple(one.requirement for one in world.rules if one.rule_id in applied and one.requirement)
    asker = Asker(index_of(world).person(real.initiator), real.wallet_id, keys=False)
    least = People(world).least(needed, asker, "") if decision.outcome is not Outcome.DENY else None
    return decision.outcome, least and least.cost


@pytest.mark.parametrize("seed", range(8))
def test_no_order_of_bytes_fares_otherwise_without_what_is_found_or_where_nothing_changes(seed: int) -> None:
    of = Random(seed)
    world = under(rules(of), *of.choice([(CARRIES, PROGRAM, CANCEL), (CANCEL,), ()]))
    found = check_rules(world, NOW, 5_000)
    permits = {one.rule_id for one in world.rules if one.kind is Kind.PERMIT}
    idle = {one.about for one in found if one.problem in {Problem.DEAD, Problem.SHADOWED}}
    idle |= {one.about for one in found if one.problem is Problem.CONTRADICTORY} & permits
    kept = replace(world, rules=tuple(one for one in world.rules if one.rule_id not in idle))
    changed = replace(world, rules=world.rules[1:])
    shown = difference(world, changed, NOW, most=3, milliseconds=5_000)
    for _ in range(150):
        real = orders(of)
        try:
            check_subject(real, NOW)
            was = said(world, real)
        except (Refused, Malformed):
            continue
        assert said(kept, real) == was, (idle, real)
        assert not shown.none or said(changed, real) == was, real
