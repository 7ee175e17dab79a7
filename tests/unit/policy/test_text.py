"""Rules as text: what they read as, that nothing is guessed, and that writing and reading are one another's inverse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_core.errors import Malformed, Reason
from oms_core.policy.fields import FIELDS, Type, field_named
from oms_core.policy.hours import UTC
from oms_core.policy.rules import (
    Calendar,
    Cap,
    Hours,
    Kind,
    Operator,
    Per,
    Quorum,
    Requirement,
    Rule,
    Unit,
    Zone,
)
from oms_core.policy.rules import Test as Condition
from oms_core.policy.text import requirement_from_yaml, requirement_to_yaml, rules_from_yaml, rules_to_yaml
from tests.unit.policy.world import ASSETS, COIN, DOLLAR, ETHER, KRAKEN, SWAP, TEXT, USDC

IS, IS_NOT = Operator.IS, Operator.IS_NOT


def read(text: str) -> tuple[Rule, ...]:
    return rules_from_yaml(text, ASSETS)


def only(when: str) -> tuple[Condition, ...]:
    """The tests of a rule with these conditions, written in one line."""
    (rule,) = read(f"- rule: r\n  permit:\n  when: {when}\n")
    return rule.when


def cap(body: str, when: str = "{}") -> Cap:
    (rule,) = read(f"- rule: r\n  limit: {body}\n  when: {when}\n")
    (one,) = rule.caps
    return one


SAMPLE = """
- rule: big-transfers-need-risk
  require: {approvals: 2, from groups: [risk], distinct teams: yes, expires after: 1h}
  when: {action: [TRANSFER, CALL], amount.usd: above 1,000,000 USD}
- rule: desk-to-the-book
  permit:
  when: {action: TRANSFER, initiator.role: trader, destination.type: WHITELISTED}
- rule: daily
  limit: {usd: 500,000, per: [initiator], every: 24h}
  when: {action: [TRANSFER, APPROVE, CALL]}
"""


def test_rules_read_as_sentences() -> None:
    risk, desk, daily = read(SAMPLE)
    assert risk.requirement == Requirement(
        (Quorum(2, (), ("risk",), (), True, False, False),), (), overlap=False, expires_in=3600, delay=0, cosigners=()
    )
    assert risk.when[1] == Condition("amount.usd", Operator.ABOVE, (10**12,))
    assert (desk.kind, desk.when[0]) == (Kind.PERMIT, Condition("action", IS, ("TRANSFER",)))
    assert daily.caps == (Cap(Unit.USD, 5 * 10**11, 86_400, None, None, (Per.INITIATOR,)),)


@pytest.mark.parametrize(
    ("when", "tests"),
    [
        ("{action: TRANSFER}", [("action", IS, ("TRANSFER",))]),
        ("{destination.tag: [a, b]}", [("destination.tag", IS, ("a", "b"))]),
        ("{destination.tag: not a}", [("destination.tag", IS_NOT, ("a",))]),
        ("{destination.tag: {not: [a, b]}}", [("destination.tag", IS_NOT, ("a", "b"))]),
        ('{destination.tag: {is: "not a"}}', [("destination.tag", IS, ("not a",))]),
        ("{amount.usd: at least 0.25 USD}", [("amount.usd", Operator.AT_LEAST, (250_000,))]),
        ("{amount.usd: 5}", [("amount.usd", IS, (5 * DOLLAR,))]),
        ("{depth: {at least: 1, at most: 3}}", [("depth", Operator.AT_LEAST, (1,)), ("depth", Operator.AT_MOST, (3,))]),
        ("[{depth: above 1}, {depth: below 4}]", [("depth", Operator.ABOVE, (1,)), ("depth", Operator.BELOW, (4,))]),
        ("{asset: USDC, amount: above 1.5 USDC}", [("asset", IS, (USDC,)), ("amount", Operator.ABOVE, (1_500_000,))]),
        ("{amount: above 1.5 ETH, asset: ETH}", [("amount", Operator.ABOVE, (15 * 10**17,)), ("asset", IS, (COIN,))]),
        (f"{{amount: at most {2**256 - 1}}}", [("amount", Operator.AT_MOST, (2**256 - 1,))]),
        ("{amount: above 1,000}", [("amount", Operator.ABOVE, (1000,))]),
        (f"{{asset: not {USDC}}}", [("asset", IS_NOT, (USDC,))]),
        ("{value: above 0.1 ETH}", [("value", Operator.ABOVE, (ETHER // 10,))]),
        ("{fee.total: at most 10 ETH}", [("fee.total", Operator.AT_MOST, (10 * ETHER,))]),
        ("{opaque: yes, delegate: no}", [("opaque", IS, (1,)), ("delegate", IS, (0,))]),
        ("{destination.age: below 7d}", [("destination.age", Operator.BELOW, (7 * 86_400,))]),
        ("{registry.age: at least 90s}", [("registry.age", Operator.AT_LEAST, (90,))]),
        ("{source.path: starts with m/0/7}", [("source.path", Operator.STARTS, ("m/0/7/",))]),
        (f"{{destination.address: '{TEXT[KRAKEN]}'}}", [("destination.address", IS, (TEXT[KRAKEN],))]),
        (f'{{method: "{SWAP}"}}', [("method", IS, (SWAP,))]),
        ("{args.0: above 5, args.1: '7'}", [("args.0", Operator.ABOVE, (5,)), ("args.1", IS, ("7",))]),
        ("{'args.1[*]': [1, x]}", [("args.1[*]", IS, (1, "x"))]),
        ("{simulation.loss_usd: above 1,000 USD}", [("simulation.loss_usd", Operator.ABOVE, (1000 * DOLLAR,))]),
        ("{broadcast.route: PRIVATE}", [("broadcast.route", IS, ("PRIVATE",))]),
        ("{oracle.drift: above -5}", [("oracle.drift", Operator.ABOVE, (-5,))]),
    ],
)
def test_a_condition_reads_as(when: str, tests: list[tuple[str, Operator, tuple[int | str, ...]]]) -> None:
    assert only(when) == tuple(Condition(*one) for one in tests)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{usd: 1,500.50, every: 7d}", Cap(Unit.USD, 1_500_500_000, 7 * 86_400, None, None, ())),
        ("{usd: 100}", Cap(Unit.USD, 100 * DOLLAR, 0, None, None, ())),
        ("{count: 10, every: 1h, per: [source, asset]}",
         Cap(Unit.COUNT, 10, 3600, None, None, (Per.SOURCE, Per.ASSET))),
        ("{usd: 5, every: month, zone: UTC}", Cap(Unit.USD, 5 * DOLLAR, 0, Calendar.MONTH, UTC, ())),
        ("{amount: 1000}", Cap(Unit.BASE, 1000, 0, None, None, ())),
    ],
)  # fmt: skip
def test_a_limit_reads_as(body: str, expected: Cap) -> None:
    assert cap(body) == expected


def test_an_amount_in_a_limit_has_the_unit_of_the_rules_asset() -> None:
    assert cap("{amount: 100.5 USDC}", "{asset: USDC}").maximum == 100_500_000


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("- rule: r\n  permit:\n  wehn: {}", "line 3, rule r: unknown key 'wehn'", Reason.UNKNOWN_FIELD),
        ("- rule: r\n  permit:\n  when:\n    depth: 1\n    amout: 5", "line 5, rule r, amout:", Reason.UNKNOWN_FIELD),
        ("- rule: r\n  permit:\n- rule: r\n  deny:", "line 3, rule r: there is one of this name", Reason.MALFORMED),
        ("- rule: r\n  limit: {usd: 5, evry: 1h}", "line 2, rule r, limit:", Reason.UNKNOWN_FIELD),
        ("- rule: r\n  require: {approvals: 1, from: x}", "line 2, rule r, require:", Reason.UNKNOWN_FIELD),
        ("- rule: r\n  deny:\n  when: {amount: {over: 5}}", "line 3, rule r, amount:", Reason.UNKNOWN_FIELD),
        ("- rule: r\n  deny:\n  when: {amount.usd: above 5 EUR}", "line 3, rule r, amount.usd:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {amount.usd: above 1.5e3}", "line 3, rule r, amount.usd:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {amount.usd: above 0.0000001}", "amount.usd:", Reason.PRECISION),
        ("- rule: r\n  deny:\n  when: {amount.usd: above -5}", "amount.usd:", Reason.NEGATIVE_AMOUNT),
        ("- rule: r\n  deny:\n  when: {amount.usd: above 1,00}", "rule r, 00:", Reason.UNKNOWN_FIELD),
        ("- rule: r\n  deny:\n  when: {amount: above 5 USDC}", "line 3, rule r, amount:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {asset: [USDC, ETH], amount: above 5 USDC}", "amount:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {asset: USDT}", "line 3, rule r, asset:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {depth: above 1.5}", "line 3, rule r, depth:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {depth: above [1, 2]}", "line 3", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {depth: {above: [1, 2]}}", "line 3, rule r, depth:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {action: MINT}", "line 3, rule r, action:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {action: above 5}", "line 3, rule r, action:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {action: {is: {x: y}}}", "line 3, rule r, action:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {opaque: true}", "line 3, rule r, opaque:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {opaque: above 0}", "line 3, rule r, opaque:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {destination.age: below 1y}", "destination.age:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {destination.address: '0x11'}", "destination.address:", Reason.BAD_ADDRESS),
        (f"- rule: r\n  deny:\n  when: {{destination.address: '{'0x' + 'aB' * 20}'}}", "line 3", Reason.BAD_CHECKSUM),
        ("- rule: r\n  limit: {usd: 5, every: 0s}", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  limit: {usd: 5, every: month}", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  limit: {usd: 5, every: 1h, zone: UTC}", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  limit: {usd: 5, every: day, zone: Mars/Base}", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  limit: {usd: 5, count: 1}", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  limit: {every: 1h}", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  limit: {usd: 5, per: [moon]}", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  limit: {usd: 500, 000}", "line 2, rule r, limit:", Reason.UNKNOWN_FIELD),
        ("- rule: r\n  limit:", "line 2, rule r, limit:", Reason.MALFORMED),
        ("- rule: r\n  require:", "line 2, rule r, require:", Reason.MALFORMED),
        ("- rule: r\n  require: {approvals: two}", "line 2, rule r, require:", Reason.MALFORMED),
        ("- rule: r\n  require: {from groups: [risk]}", "line 2, rule r, require:", Reason.MALFORMED),
        ("- rule: r\n  require: {approvals: 1, all of: []}", "line 2, rule r, require:", Reason.MALFORMED),
        ("- rule: r\n  permit: yes", "line 2, rule r, permit:", Reason.MALFORMED),
        ("- rule: r\n  permit:\n  deny:", "line 1, rule r:", Reason.MALFORMED),
        ("- rule: r", "line 1, rule r:", Reason.MALFORMED),
        ("- permit:", "line 1:", Reason.MALFORMED),
        ("rule: r\npermit:", "line 1:", Reason.MALFORMED),
        ("- rule: r\n  rule: s\n  permit:", "line 2: 'rule' stands there twice", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: &w {depth: 1}\n- rule: s\n  deny:\n  when: *w", "line 3:", Reason.MALFORMED),
        ("- rule: !!str r\n  deny:", "line 1:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n---\n- rule: s", "line 3:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  when: {depth: 1", "line", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  starts: 1800000000", "line 3, rule r, starts:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  enabled: maybe", "line 3, rule r, enabled:", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  during: {zone: UTC, days: [mon-x], from: 08:00, to: 18:00}", "days", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  during: {zone: UTC, days: [mon], from: 25:00, to: 18:00}", "during", Reason.MALFORMED),
        ("- rule: r\n  deny:\n  during: {zone: UTC, days: [mon], from: 08:00}", "during", Reason.MALFORMED),
        ("[" * 50, "line 1:", Reason.MALFORMED),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_its_place(text: str, where: str, reason: Reason) -> None:
    with pytest.raises(Malformed) as caught:
        read(text)
    assert caught.value.reason is reason
    assert where in caught.value.message
    assert caught.value.message.startswith("line ")


def test_too_much_text_is_not_even_read() -> None:
    with pytest.raises(Malformed) as caught:
        read("#" * (5 << 20))
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_zone_is_named_if_it_is_known_or_given_in_full() -> None:
    rome = Zone("Europe/Rome", ((0, 60), (1_000, 120)), 5_000)
    text = "- rule: r\n  limit: {usd: 5, every: day, zone: Europe/Rome}\n"
    (named,) = rules_from_yaml(text, zones=[rome])
    assert named.caps[0].zone == rome
    assert rules_from_yaml(rules_to_yaml([named])) == (named,)


def test_hours_read_as() -> None:
    text = """
    - rule: r
      permit:
      during: {zone: UTC, days: [mon-wed, sun], from: 08:30, to: 24:00, except: [1970-01-02]}
    """
    assert read(text)[0].during == Hours(UTC, (0, 1, 2, 6), 8 * 60 + 30, 24 * 60, (1,))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_stands_there_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    text = SAMPLE + EXTRAS
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.one_of(st.text(max_size=3), st.sampled_from(["{", "[", "- ", ": ", "\n", "&a", "*a", "999"]))
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 5)) :]
    said = "line "
    try:
        read(text)
    except Malformed as error:
        said = error.message
    assert said.startswith("line ")


EXTRAS = """
- rule: extras
  limit: [{amount: 5 USDC, every: month, zone: UTC}, {count: 3}]
  when: {asset: USDC, args.0: 5, destination.age: below 7d}
  during: {zone: {name: A, offsets: [[0, 60]], known until: 9}, days: [mon-fri], from: 08:00, to: 18:00}
  starts: 2030-01-01T00:00:00Z
"""


# There and back.

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=12)
names = st.one_of(
    words, st.sampled_from(["not a", "above 5", "is x", "yes", "null", "12", "1,000 USD", "a, b", "~", "- x"])
)
numbers = st.integers(0, 10**50)


def values(name: str) -> st.SearchStrategy[int | str]:
    field = field_named(name)
    match field.type:
        case Type.TEXT:
            return st.sampled_from(field.choices) if field.choices else names
        case Type.ADDRESS:
            return st.sampled_from(list(TEXT.values()))
        case Type.ASSET:
            return st.sampled_from([asset.asset for asset in ASSETS] + ["eip155:9/erc20:0x00"])
        case Type.PATH:
            return st.sampled_from(["m/", "m/0/", "m/0/7/"])
        case Type.FLAG:
            return st.sampled_from([0, 1])
        case Type.ANY:
            return st.one_of(names, st.integers(-(2**255), 2**255))
    return numbers if field.type is not Type.SECONDS else st.integers(0, 10**9)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from([*FIELDS, "args.0", "args.1[*]", "args.2.0[3]", "simulation.loss_usd", "risk.score"]))
    operator = draw(st.sampled_from(sorted(field_named(name).operators)))
    if operator in (IS, IS_NOT):
        return Condition(name, operator, tuple(draw(st.lists(values(name), max_size=3))))
    one: st.SearchStrategy[int | str] = names if operator is Operator.STARTS and name != "source.path" else values(name)
    if operator is not Operator.STARTS:
        one = st.integers(0, 10**9) if field_named(name).type is not Type.ANY else st.integers(-9, 10**30)
    elif name in ("asset", "destination.address"):
        one = values(name)
    return Condition(name, operator, (draw(one),))


zones = st.sampled_from([UTC, Zone("Europe/Rome", ((0, 60), (9, -30)), 99), Zone('odd "name"', (), 0)])
pers = st.lists(st.sampled_from(Per), unique=True).map(tuple)
caps = st.one_of(
    st.builds(lambda u, m, s, p: Cap(u, m, s, None, None, p), st.sampled_from(Unit), numbers, st.integers(0, 10**9),
              pers),
    st.builds(lambda u, m, c, z, p: Cap(u, m, 0, c, z, p), st.sampled_from(Unit), numbers, st.sampled_from(Calendar),
              zones, pers),
)  # fmt: skip
few = st.lists(names, max_size=2).map(tuple)
quorums = st.builds(Quorum, st.integers(0, 9), few, few, few, st.booleans(), st.booleans(), st.booleans())
several = st.lists(quorums, max_size=2).map(tuple)
requirements = st.builds(
    Requirement, several, several, st.booleans(), st.integers(0, 10**6), st.integers(0, 10**6),
    st.lists(st.integers(1, 9), max_size=2).map(tuple),
)  # fmt: skip
hours = st.builds(
    Hours, zones, st.lists(st.integers(0, 6), max_size=3).map(tuple), st.integers(0, 1440), st.integers(0, 1440),
    st.lists(st.integers(0, 40_000), max_size=2).map(tuple),
)  # fmt: skip


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from(Kind))
    return Rule(
        rule_id=draw(names),
        kind=kind,
        description=draw(names),
        owner=draw(names),
        when=tuple(draw(st.lists(conditions(), max_size=4))),
        during=draw(st.none() | hours),
        caps=tuple(draw(st.lists(caps, max_size=2))) if kind is Kind.LIMIT else (),
        requirement=draw(requirements) if kind is Kind.REQUIRE else None,
        enabled=draw(st.booleans()),
        starts=draw(st.integers(0, 4_000_000_000)),
        ends=draw(st.integers(0, 4_000_000_000)),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(rules(), max_size=3, unique_by=lambda rule: rule.rule_id))
def test_what_is_written_reads_as_the_same_rules(some: list[Rule]) -> None:
    assert rules_from_yaml(rules_to_yaml(some, ASSETS), ASSETS) == tuple(some)


@settings(max_examples=50, deadline=None)
@given(requirements)
def test_what_is_written_reads_as_the_same_requirement(one: Requirement) -> None:
    assert requirement_from_yaml(requirement_to_yaml(one)) == one


def test_the_sample_is_written_as_it_would_be_by_hand() -> None:
    text = rules_to_yaml(read(SAMPLE), ASSETS)
    assert "    amount.usd: above 1,000,000 USD\n" in text
    assert "    usd: 500,000\n    every: 1d\n    per: [initiator]\n" in text
    assert "  permit:\n  when:\n    action: TRANSFER\n" in text
