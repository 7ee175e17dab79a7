"""What has to hold of a rule by itself before it may decide anything: what could never hold, or refers to nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

from oms_core.chains.address import chain_id, parse_address
from oms_core.encoding import encode
from oms_core.errors import Malformed, Reason
from oms_core.policy.compiled import MAX_TESTS
from oms_core.policy.fields import Field, Type, field_named
from oms_core.policy.index import Index, index_of
from oms_core.policy.rules import DAY, Action, Cap, Hours, Kind, Operator, Per, Rule, Test, Unit, Zone
from oms_core.workspace import Workspace
from oms_core.workspace.names import NAME

MAX_RULE = 16 << 10  # bytes of its encoding
MAX_VALUES = 256  # of a test
MAX_CAPS = 16
MAX_WINDOW = 366 * DAY
_DAY_MINUTES = 24 * 60
_FARTHEST = 18 * 60  # minutes from UTC
_METHOD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\([A-Za-z0-9_,()\[\]]*\)\Z")
_SELECTOR = re.compile(r"0x[0-9a-f]{8}\Z")
_ACCOUNT = re.compile(r"0[xX][0-9a-fA-F]{40}\Z")
_BYTES = re.compile(r"0[xX][0-9a-fA-F]*\Z")
_PATH = re.compile(r"m/(?:(?:0|[1-9][0-9]{0,9})/)*\Z")
_WALLET = re.compile(r"wal_[0-9A-Za-z_-]{1,40}\Z")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9/_+-]{0,63}\Z")
_SINGLE = (
    "action", "initiator.user", "initiator.team", "source.wallet", "source.tier", "source.path", "chain",
    "destination.address", "asset", "method", "selector", "unlimited", "opaque", "delegate", "protocol",
    "registry.state", "fee", "purpose",
)  # fmt: skip
"""Fields that never show more than one value."""
_LOWER = {Operator.AT_LEAST: 0, Operator.ABOVE: 1}
_UPPER = {Operator.AT_MOST: 0, Operator.BELOW: -1}


def check_rule(workspace: Workspace, rule: Rule) -> None:
    """Raises `Malformed` naming rule and field: UNKNOWN_FIELD, UNKNOWN_USER, NEGATIVE_AMOUNT, UNSUPPORTED_TYPE,
    FACT_UNKNOWN for a limit in USD on an asset without a price, UNSATISFIABLE for tests that can never hold, TOO_LARGE.

    Who is asked by a REQUIRE is the workspace's to check, which asks the same of its governance.
    """
    where = f"rule {rule.rule_id[:64]}"
    if len(encode(rule)) > MAX_RULE or len(rule.when) > MAX_TESTS or len(rule.caps) > MAX_CAPS:
        text = f"{where}: more than {MAX_RULE} bytes, {MAX_TESTS} tests or {MAX_CAPS} caps"
        raise Malformed(text, Reason.TOO_LARGE)
    if bool(rule.caps) is not (rule.kind is Kind.LIMIT):
        raise Malformed(f"{where}: a LIMIT has caps, and no other rule has")
    if (rule.requirement is not None) is not (rule.kind is Kind.REQUIRE):
        raise Malformed(f"{where}: a REQUIRE has a requirement, and no other rule has")
    if asked := rule.requirement:
        if not (asked.all_of or asked.any_of or asked.delay or asked.cosigners):
            raise Malformed(f"{where}: a REQUIRE asks for somebody, or for a delay")
        if any(quorum.threshold < 1 for quorum in (*asked.all_of, *asked.any_of)):
            raise Malformed(f"{where}: a threshold is at least 1")
        if asked.cosigners and {Action.KEY_SUSPEND} == _actions(rule):
            text = f"{where}: cosigners: each suspends a key for itself, so nobody takes part in that with others"
            raise Malformed(text, Reason.UNSATISFIABLE)
    if rule.starts < 0 or rule.ends < 0 or (rule.ends and rule.ends <= rule.starts):
        raise Malformed(f"{where}: ends: not after it starts")
    index = index_of(workspace)
    for test in rule.when:
        with _at(f"{where}, {test.field[:64]}"):
            if test.field == "fee" and rule.kind is not Kind.LIMIT:
                raise Malformed("a LIMIT alone sees fees by themselves; fee.total is what an order may pay at most")
            _check_test(index, test)
    with _at(where):
        _check_together(index, rule)
    with _at(f"{where}, limit"):
        for cap in rule.caps:
            _check_cap(cap)
    if rule.during is not None:
        with _at(f"{where}, during"):
            _check_hours(rule.during)


def _actions(rule: Rule) -> set[str]:
    """The actions that a rule may speak of."""
    actions: set[str] = set(Action)
    for test in rule.when:
        if test.field == "action":
            actions = {one for one in actions if (one in test.values) is (test.operator is Operator.IS)}
    return actions


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Say where what is refused stands."""
    try:
        yield
    except Malformed as error:
        raise Malformed(f"{where}: {error.message}", error.reason) from None


def _check_test(index: Index, test: Test) -> None:
    field = field_named(test.field)
    if test.operator not in field.operators:
        raise Malformed(f"cannot be compared by {test.operator}", Reason.UNSUPPORTED_TYPE)
    one = test.operator not in (Operator.IS, Operator.IS_NOT)
    if not 1 <= len(test.values) <= (1 if one else MAX_VALUES) or len(set(test.values)) != len(test.values):
        raise Malformed(f"takes {'one value' if one else f'1 to {MAX_VALUES} different values'}")
    for value in test.values:
        _check_type(field, test.operator, value)
    check_names(index, test)


def check_names(index: Index, test: Test) -> None:
    """That what a test names exists, or has at least the shape of such a name. Raises `Malformed`.

    The beginning of a name may be any text; of a path it is a path.
    """
    whole = test.operator in (Operator.IS, Operator.IS_NOT)
    named = [value for value in test.values if isinstance(value, str)]
    for value in named if whole and test.field.startswith("args.") else ():
        _check_argument(value)
    if (known := _KNOWN.get(test.field)) is not None and (whole or field_named(test.field).type is Type.PATH):
        for value in named:
            known(index, value)


def _check_type(field: Field, operator: Operator, value: int | str) -> None:
    if isinstance(value, bool) or (field.is_text and not isinstance(value, str)):
        raise Malformed(f"{value!r} is not text")
    if isinstance(value, str):
        if field.type is not Type.ANY and not field.is_text:
            raise Malformed(f"{value[:40]!r} is not a number")
        if field.type is Type.ANY and operator not in (Operator.IS, Operator.IS_NOT, Operator.STARTS):
            raise Malformed(f"{value[:40]!r} is not a number")
        if not 1 <= len(value) <= 280 or not value.isprintable():
            raise Malformed("a text has 1 to 280 printable characters")
        if field.choices and value not in field.choices:
            raise Malformed(f"{value[:40]!r} is none of {', '.join(field.choices)}")
        return
    if operator is Operator.STARTS:
        raise Malformed(f"{value} is not text")
    if field.type is not Type.ANY and value < 0:
        raise Malformed(f"{value} is negative", Reason.NEGATIVE_AMOUNT)
    if abs(value) >= 1 << 256 or (field.type is Type.FLAG and value > 1):
        raise Malformed(f"{value} is out of range")


def _check_argument(value: str) -> None:
    """Decoded accounts are EIP-55 text and other bytes lower case: what is written otherwise is equal to none."""
    if _ACCOUNT.match(value):
        parse_address(value, allow_lower=False)
    elif _BYTES.match(value) and value != value.lower():
        raise Malformed(f"{value[:40]!r}: bytes are written in lower case")


def _check_together(index: Index, rule: Rule) -> None:
    """Bounds that leave nothing between them, texts that exclude each other, and worths of what has no price."""
    for field in _SINGLE:
        wanted = [set(test.values) for test in rule.when if (test.field, test.operator) == (field, Operator.IS)]
        if wanted and not set.intersection(*wanted):
            raise Malformed(f"{field}: all conditions hold together, and it is only one", Reason.UNSATISFIABLE)
    bounds: dict[str, list[tuple[int | None, int | None]]] = {}
    for test in rule.when:
        value = test.values[0]
        if isinstance(value, int) and test.operator in _LOWER:
            bounds.setdefault(test.field, []).append((value + _LOWER[test.operator], None))
        elif isinstance(value, int) and test.operator in _UPPER:
            bounds.setdefault(test.field, []).append((None, value + _UPPER[test.operator]))
    for field, pairs in bounds.items():
        lows, highs = [low for low, _ in pairs if low is not None], [high for _, high in pairs if high is not None]
        if lows and highs and max(lows) > min(highs):
            raise Malformed(f"{field}: nothing is between {max(lows)} and {min(highs)}", Reason.UNSATISFIABLE)
    in_usd = any(cap.unit is Unit.USD for cap in rule.caps) or any(test.field == "amount.usd" for test in rule.when)
    for test in rule.when if in_usd else ():
        if (test.field, test.operator) == ("asset", Operator.IS):
            for name in test.values:
                asset = index.assets.get(str(name))
                if asset is not None and not asset.usd_micro:
                    raise Malformed(f"{asset.symbol} has no price in USD", Reason.FACT_UNKNOWN)


def _check_cap(cap: Cap) -> None:
    if cap.maximum < 0:
        raise Malformed("the maximum is negative", Reason.NEGATIVE_AMOUNT)
    if cap.maximum >= 1 << 256:
        raise Malformed("the maximum is out of range")
    if not 0 <= cap.seconds <= MAX_WINDOW:
        raise Malformed("a window has at most a year")
    if (cap.calendar is not None and cap.seconds) or (cap.calendar is None) is not (cap.zone is None):
        raise Malformed("a window is rolling, or of the calendar in some zone")
    if len(set(cap.per)) != len(cap.per):
        raise Malformed("per: not unique")
    if cap.unit is Unit.COUNT and not cap.seconds and cap.calendar is None and Per.INITIATOR in cap.per:
        raise Malformed("per: one order has one initiator")
    if cap.zone is not None:
        _check_zone(cap.zone)


def _check_hours(hours: Hours) -> None:
    if not hours.days or len(set(hours.days)) != len(hours.days) or not set(hours.days) <= set(range(7)):
        raise Malformed("days: some of 0 (Monday) to 6, each once")
    if not 0 <= hours.opens < hours.closes <= _DAY_MINUTES:
        raise Malformed("closes after it opens, within a day")
    if len(set(hours.closed)) != len(hours.closed) or any(not 0 <= day < 1 << 22 for day in hours.closed):
        raise Malformed("except: dates, each once")
    _check_zone(hours.zone)


def _check_zone(zone: Zone) -> None:
    starts = [at for at, _ in zone.offsets]
    if not _ZONE.match(zone.name):
        raise Malformed("zone: an IANA name")
    if not starts or starts != sorted(set(starts)) or zone.known_until <= starts[-1]:
        raise Malformed("zone: offsets ascend, and end before what is known does")
    if any(abs(minutes) > _FARTHEST for _, minutes in zone.offsets):
        raise Malformed("zone: an offset of more than 18 hours")


def _shape(pattern: re.Pattern[str], what: str) -> Callable[[Index, str], None]:
    def check(_: Index, value: str) -> None:
        if not pattern.match(value):
            raise Malformed(f"{value[:60]!r} is not {what}")

    return check


def _among(
    names: Callable[[Index], Container[str]], what: str, reason: Reason = Reason.MALFORMED
) -> Callable[[Index, str], None]:
    def check(index: Index, value: str) -> None:
        if value not in names(index):
            raise Malformed(f"there is no {what} {value[:80]!r}", reason)

    return check


def _address(_: Index, value: str) -> None:
    parse_address(value, allow_lower=False)


def _chain(_: Index, value: str) -> None:
    chain_id(value)


_KNOWN: dict[str, Callable[[Index, str], None]] = {
    "initiator.user": _among(lambda index: index.users, "user", Reason.UNKNOWN_USER),
    "initiator.role": _among(lambda index: {role.role for role in index.workspace.roles}, "role"),
    "initiator.group": _among(lambda index: index.members, "group"),
    "source.wallet": _shape(_WALLET, "a wallet id"),
    "source.path": _shape(_PATH, "a path as in m/0/7/"),
    "chain": _chain,
    "destination.address": _address,
    "initiator.team": _shape(NAME, "a team's name"),
    "source.tag": _shape(NAME, "a tag"),
    "source.tier": _shape(NAME, "a tier"),
    "destination.tag": _shape(NAME, "a tag"),
    "asset.class": _shape(NAME, "a class"),
    "protocol": _shape(NAME, "a protocol"),
    "destination.entry": _among(lambda index: index.entry_ids, "entry"),
    "asset": _among(lambda index: index.assets, "asset with the CAIP-19 name"),
    "method": _shape(_METHOD, "a canonical signature"),
    "selector": _shape(_SELECTOR, "a selector as in 0x38ed1739"),
}
