"""The table of fields that a rule may test: what each one means, which type it has, and what its absence means.

How each is read from an order is in `oms_core.policy.views`. Absence is never a reason to let something pass:

- A field that an operation *cannot have* (the asset of a message) is not what any text says, so IS and STARTS are FALSE
  on it; every other test on it is UNKNOWN. Any test on a number that there is not is UNKNOWN.
- A field that an operation *could have and has not* (the tag of an account that is in no list) is an empty set: IS is
  FALSE and IS_NOT is TRUE.
- A field that is *not known* (the class of an asset that is not registered) makes every test UNKNOWN.

UNKNOWN makes a DENY, LIMIT or REQUIRE apply, and is not enough for a PERMIT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from oms_core.errors import Malformed, Reason
from oms_core.policy.rules import Action, Operator


class Type(StrEnum):
    """What a field's values are, and in which unit people write them."""

    TEXT = "TEXT"
    ADDRESS = "ADDRESS"  # EIP-55 text
    ASSET = "ASSET"  # CAIP-19 text
    PATH = "PATH"  # m/ and each step followed by /, so that the beginning of a path is one of its text
    NUMBER = "NUMBER"
    AMOUNT = "AMOUNT"  # base units of the operation's asset
    WEI = "WEI"
    USD = "USD"  # micro-USD
    SECONDS = "SECONDS"
    FLAG = "FLAG"  # 0 or 1; people write no or yes
    ANY = "ANY"  # integers or text, as it was decoded or observed


_IN = frozenset({Operator.IS, Operator.IS_NOT})
_ORDERED = frozenset({Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST})
_TEXTS = frozenset({Type.TEXT, Type.ADDRESS, Type.ASSET, Type.PATH})


class Destination(StrEnum):
    """What is known of a counterparty. It may be several of the first three; ONE_TIME is what is in no list."""

    WHITELISTED = "WHITELISTED"
    CONTRACT = "CONTRACT"
    OWN = "OWN"
    ONE_TIME = "ONE_TIME"


@dataclass(frozen=True, slots=True)
class Field:
    """A name, its type, what it and its absence mean, and the only texts that it can be, if they are few."""

    name: str
    type: Type
    about: str
    choices: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the field never is a number."""
        return self.type in _TEXTS

    @property
    def operators(self) -> frozenset[Operator]:
        """How it may be compared."""
        if self.type is Type.FLAG:
            return _IN
        if self.is_text:
            return _IN if self.choices else _IN | {Operator.STARTS}
        return _IN | _ORDERED | ({Operator.STARTS} if self.type is Type.ANY else frozenset())


_STATES = ("ACTIVE", "SUSPENDED", "REVOKED")  # of oms_core.workspace.EntryState
_LISTED = "; an empty set where it is in no list"

_TABLE = (
    Field("action", Type.TEXT, "what kind of thing is done, as the bytes say", tuple(Action)),
    Field("initiator.user", Type.TEXT, "user id of who proposes"),
    Field("initiator.role", Type.TEXT, "her roles, as a set"),
    Field("initiator.group", Type.TEXT, "the groups that she is in, as a set"),
    Field("initiator.team", Type.TEXT, "her team"),
    Field("source.wallet", Type.TEXT, "wallet id"),
    Field("source.tag", Type.TEXT, "the wallet's tags, as a set; unknown for a wallet that is not listed"),
    Field("source.tier", Type.TEXT, "the wallet's tier; unknown for a wallet that is not listed"),
    Field("source.path", Type.PATH, "derivation path, as m/0/7/; there is none where a key is made or changed"),
    Field("chain", Type.TEXT, "CAIP-2 name; there is none where a key is made or changed"),
    Field("destination.address", Type.ADDRESS, "the counterparty: recipient, spender, or the contract that is called"),
    Field("destination.entry", Type.TEXT, "its entries in address book and registry" + _LISTED),
    Field("destination.tag", Type.TEXT, "tags of its entries" + _LISTED),
    Field("destination.type", Type.TEXT, "what is known of it; OWN has to be observed, and is unknown until it is",
          tuple(Destination)),
    Field("destination.age", Type.SECONDS, "since it was listed (the later entry); there is none where it is not"),
    Field("destination.lookalike", Type.NUMBER, "edit distance of its 40 digits to the nearest other listed account"),
    Field("asset", Type.ASSET, "what leaves, or may be taken; unknown where it is more, or an opaque call"),
    Field("asset.class", Type.TEXT, "the asset's classes, as a set; unknown for an asset that is not registered"),
    Field("amount", Type.AMOUNT, "what leaves, or may be taken: 0 if nothing, unknown if opaque, none for messages"),
    Field("amount.usd", Type.USD, "its worth at the registered price, rounded up; unknown without one, or if opaque"),
    Field("value", Type.WEI, "the chain's own coin that is sent along; there is none for messages"),
    Field("method", Type.TEXT, "canonical signature of what is called; unknown if opaque, none without a call"),
    Field("selector", Type.TEXT, "four bytes of the method, as 0x and hex; unknown if opaque, none for typed data"),
    Field("unlimited", Type.FLAG, "an allowance without a bound"),
    Field("opaque", Type.FLAG, "data that nobody can read"),
    Field("delegate", Type.FLAG, "foreign code that would run in our account's name"),
    Field("depth", Type.NUMBER, "how many calls it is wrapped into"),
    Field("protocol", Type.TEXT, "the protocol of the registry's entry: of what is called, or who gets what" + _LISTED),
    Field("registry.state", Type.TEXT, "state of the registry's entry" + _LISTED, _STATES),
    Field("registry.age", Type.SECONDS, "since the registry's entry was added; there is none without an entry"),
    Field("registry.audit_age", Type.SECONDS, "since the contract was audited; there is none without an audit"),
    Field("registry.severity", Type.NUMBER, "worst open finding of the audit; there is none without an entry"),
    Field("fee", Type.FLAG, "whether it is the order's fee that is counted, which a LIMIT alone ever sees by itself"),
    Field("fee.total", Type.WEI, "the most that may be paid as fee; 0 where no transaction is sent"),
    Field("fee.gas", Type.NUMBER, "the most gas that may be used; 0 where no transaction is sent"),
    Field("purpose", Type.TEXT, "whether a purpose is given", ("given", "empty")),
)  # fmt: skip
FIELDS = {field.name: field for field in _TABLE}

OBSERVED = ("simulation", "oracle", "exposure", "risk", "broadcast")
_OBSERVED = re.compile(rf"(?:{'|'.join(OBSERVED)})(?:\.[a-z][a-z0-9_]{{0,39}}){{1,3}}\Z")
_ARGUMENT = re.compile(r"args\.(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})|\[(?:0|[1-9][0-9]{0,3}|\*)\]){0,8}\Z")


def field_named(name: str) -> Field:
    """The field, also one of the open families ``args.*`` and of what is observed. Raises `Malformed` (UNKNOWN_FIELD).

    ``args.1[*]`` speaks of all members of an array: a PERMIT wants the test to hold for each, other rules for any.
    """
    if held := FIELDS.get(name):
        return held
    if _ARGUMENT.match(name):
        return Field(name, Type.ANY, "a decoded argument; unknown where there is none")
    if _OBSERVED.match(name):
        return Field(name, Type.ANY, "what was observed; unknown where nothing was, or for a PERMIT only claimed")
    raise Malformed(f"there is no field {name[:64]!r}", Reason.UNKNOWN_FIELD)
