"""What people want to be proved of rules, as a sentence: for every order where this may hold, that has to hold.

    property   = condition "->" claim
    condition  = conditions with "and", "or", "not" and brackets; "any" is every order
               | field (">" | ">=" | "<" | "<=" | "=" | "!=") value       amount.usd > 1,000,000
               | field "in" "(" value "," value ... ")"                    action in (TRANSFER, CALL)
               | field "starts" value
    claim      = claims with "and", "or" and brackets
               | "denied"
               | "approvals" [ "(" group or role ")" ] ">=" number        approvals(risk) >= 2
               | "delay" ">=" duration                                     delay >= 24h

An order that is denied satisfies every claim. ``amount.usd`` is in USD; other amounts are in base units. Names of a
group and a role are told apart as ``group:risk`` and ``role:risk`` where both exist. Durations are 90s, 15m, 24h, 7d.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from oms_core.errors import CountersealError, Malformed
from oms_core.policy import units
from oms_core.policy.fields import Type, field_named
from oms_core.policy.rules import Operator, Test

MAX_LENGTH = 2_000  # characters
MICRO_USD = 6


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Its opposite."""

    part: Condition


Condition = Test | And | Or | Not


@dataclass(frozen=True, slots=True)
class Denied:
    """The order does not pass."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """At least ``least`` different people out of a group or role have to approve; of anybody, if ``who`` is empty."""

    who: str
    least: int


@dataclass(frozen=True, slots=True)
class Delay:
    """At least ``seconds`` pass between proposal and signature."""

    seconds: int


@dataclass(frozen=True, slots=True)
class All:
    """All of these claims."""

    parts: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of these claims."""

    parts: tuple[Claim, ...]


Claim = Denied | Approvals | Delay | All | Either


@dataclass(frozen=True, slots=True)
class Property:
    """Wherever ``condition`` may hold, ``claim`` does."""

    condition: Condition
    claim: Claim
    text: str


_TOKEN = re.compile(
    r"\s*(?:(?P<arrow>->)|(?P<operator>>=|<=|!=|==|=|>|<)|(?P<mark>[(),])"
    r'|"(?P<quoted>[^"]*)"|(?P<word>[A-Za-z0-9_](?:[A-Za-z0-9_.:/*\[\]]|-(?!>))*(?:,[0-9]{3}(?![0-9]))*(?:\.[0-9]+)?))'
)
_OPERATORS = {
    ">": Operator.ABOVE,
    ">=": Operator.AT_LEAST,
    "<": Operator.BELOW,
    "<=": Operator.AT_MOST,
    "=": Operator.IS,
    "==": Operator.IS,
    "!=": Operator.IS_NOT,
}
_NUMBER = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\Z|[0-9]+(?:\.[0-9]+)?\Z")
_DURATION = re.compile(r"([0-9]{1,9})([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_YES_NO = {"yes": 1, "no": 0}
_RESERVED = {"and", "or", "not", "in", "starts", "any", "denied", "approvals", "delay"}


def parse_property(text: str) -> Property:
    """Read a property. Raises `Malformed`, saying at which character."""
    reader = _Reader(text)
    condition = reader.condition()
    reader.expect("->")
    claim = reader.claim()
    reader.end()
    return Property(condition, claim, " ".join(text.split()))


def parse_condition(text: str) -> Condition:
    """Read a condition alone. Raises `Malformed` as `parse_property`."""
    reader = _Reader(text)
    condition = reader.condition()
    reader.end()
    return condition


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    kind: str
    at: int


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise Malformed(f"a property has at most {MAX_LENGTH} characters")
        self._tokens = [*_tokens(text), _Token("", "end", len(text))]
        self._at = 0

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _fail(self, wanted: str, token: _Token) -> Malformed:
        found = repr(token.text[:40]) if token.kind != "end" else "the end"
        return Malformed(f"character {token.at + 1}: {wanted}, not {found}")

    def expect(self, mark: str) -> None:
        token = self._next()
        if token.text != mark or token.kind not in {"arrow", "mark"}:
            raise self._fail(f"here has to be {mark!r}", token)

    def end(self) -> None:
        if self._peek().kind != "end":
            raise self._fail("here has to be 'and', 'or' or the end", self._peek())

    def _said(self, *words: str) -> bool:
        token = self._peek()
        if token.text in words and token.kind in {"word", "mark"}:
            self._next()
            return True
        return False

    def condition(self) -> Condition:
        parts = [self._conjunction()]
        while self._said("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Condition:
        parts = [self._single()]
        while self._said("and"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _single(self) -> Condition:
        if self._said("not"):
            return Not(self._single())
        if self._said("("):
            made = self.condition()
            self.expect(")")
            return made
        if self._said("any"):
            return And(())
        return self._test()

    def _test(self) -> Test:
        field = self._next()
        if field.kind != "word" or field.text in _RESERVED or _NUMBER.match(field.text):
            raise self._fail("here has to be a field", field)
        try:
            text = field_named(field.text).is_text
        except Malformed as error:
            raise Malformed(f"character {field.at + 1}: {error.message}", error.reason) from None
        if self._said("starts"):
            return Test(field.text, Operator.STARTS, (self._value(field.text),))
        if self._said("in"):
            self.expect("(")
            values = [self._value(field.text)]
            while self._said(","):
                values.append(self._value(field.text))
            self.expect(")")
            return Test(field.text, Operator.IS, tuple(values))
        sign = self._next()
        if sign.kind != "operator":
            raise self._fail(f"after {field.text} has to be a comparison, 'in' or 'starts'", sign)
        operator = _OPERATORS[sign.text]
        if operator not in {Operator.IS, Operator.IS_NOT} and text:
            raise self._fail(f"{field.text} is no number and has only = and !=", sign)
        return Test(field.text, operator, (self._value(field.text),))

    def _value(self, field: str) -> int | str:
        token = self._next()
        if token.kind not in {"word", "quoted"}:
            raise self._fail(f"here has to be a value of {field}", token)
        held = field_named(field)
        if held.is_text or token.kind == "quoted":
            return token.text
        if token.text in _YES_NO and held.type is Type.FLAG:
            return _YES_NO[token.text]
        if duration := _DURATION.match(token.text):
            return int(duration[1]) * _SECONDS[duration[2]]
        if not _NUMBER.match(token.text):
            if held.type is Type.ANY:
                return token.text
            raise self._fail(f"{field} is a number", token)
        try:
            return units.decimal(token.text, MICRO_USD if held.type is Type.USD else 0)
        except CountersealError as error:
            raise Malformed(f"character {token.at + 1}: {error.message}", error.reason) from None

    def claim(self) -> Claim:
        parts = [self._claims()]
        while self._said("or"):
            parts.append(self._claims())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _claims(self) -> Claim:
        parts = [self._one_claim()]
        while self._said("and"):
            parts.append(self._one_claim())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one_claim(self) -> Claim:
        if self._said("("):
            made = self.claim()
            self.expect(")")
            return made
        token = self._next()
        if token.text == "denied":
            return Denied()
        if token.text == "delay":
            return Delay(self._least("delay"))
        if token.text != "approvals":
            raise self._fail("a claim is 'denied', 'approvals(...) >= N' or 'delay >= 24h'", token)
        who = ""
        if self._said("("):
            name = self._next()
            if name.kind not in {"word", "quoted"}:
                raise self._fail("here has to be a group or role", name)
            who = name.text
            self.expect(")")
        return Approvals(who, self._least("approvals"))

    def _least(self, what: str) -> int:
        sign = self._next()
        if sign.text != ">=":
            raise self._fail(f"{what} is compared with >=", sign)
        token = self._next()
        duration = _DURATION.match(token.text) if what == "delay" else None
        if duration:
            return int(duration[1]) * _SECONDS[duration[2]]
        if not token.text.isdecimal() or len(token.text) > 9:
            raise self._fail("here has to be a number" if what == "approvals" else "here has to be a duration", token)
        return int(token.text)


def _tokens(text: str) -> Iterator[_Token]:
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            blank = len(text[at:]) - len(text[at:].lstrip())
            raise Malformed(f"character {at + blank + 1}: {text[at + blank]!r} means nothing here")
        yield _Token(match[match.lastgroup], match.lastgroup, match.start(match.lastgroup))
        at = match.end()
