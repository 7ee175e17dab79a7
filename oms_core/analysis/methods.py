"""Calls of registered methods, with arguments that show each answer of the tests on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, product

from oms_core.analysis.numbers import around
from oms_core.analysis.strangers import unnamed, with_strangers
from oms_core.chains.abi import Base, Method, Type, Value, method
from oms_core.chains.evm import parse_address
from oms_core.chains.known import methods_of
from oms_core.errors import CountersealError
from oms_core.policy.rules import Operator, Test
from oms_core.workspace import Workspace

MOST = 64  # combinations of arguments for each method
_BATCH = method("safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)")
_NAMED = frozenset({Base.ADDRESS, Base.FIXED, Base.BYTES})  # read as text, and made of what tests name as a whole


def calls(workspaces: Sequence[Workspace], tests: Iterable[Test]) -> list[tuple[str, bytes]]:
    """(signature, data) of each registered method with telling arguments, and of one that nobody knows."""
    asked = [test for test in tests if test.field.startswith("args.")]
    methods = listed(workspaces)
    found = [("", unnamed({known.selector for known in methods.values()}, 4))]
    for signature, known in methods.items():
        choices = [_values(kind, str(place), asked) for place, kind in enumerate(known.inputs)]
        for values in islice(product(*choices), MOST):
            try:
                found.append((signature, known.encode(*values)))
            except CountersealError:
                continue
    return found


def complete(workspaces: Sequence[Workspace], tests: Iterable[Test]) -> bool:
    """Whether `calls` shows every answer: all tests are on arguments that stand by themselves, and they are few."""
    asked = [test for test in tests if test.field.startswith("args.")]
    begun = {test.field.removeprefix("args.") for test in asked if test.operator is Operator.STARTS}
    for known in listed(workspaces).values():
        count = 1
        for place, kind in enumerate(known.inputs):
            count *= len(_values(kind, str(place), asked))
            if kind.base in _NAMED and str(place) in begun:
                return False
        if count > MOST:
            return False
    return all(test.field.removeprefix("args.").isdecimal() for test in asked)


def listed(workspaces: Iterable[Workspace]) -> dict[str, Method]:
    """All methods that registries list, those whose arguments are calls among them, by signature in order.

    Where a token is registered a batch of nothing can be read, too, which is a call and no movement.
    """
    versions = list(workspaces)
    entries = (entry for one in versions for entry in one.contracts)
    found = {text: known for entry in entries for text, known in methods_of(entry).items()}
    if any("/erc" in asset.asset for one in versions for asset in one.assets):
        found[_BATCH.signature] = _BATCH
    return {text: found[text] for text in sorted(found)}


def _values(kind: Type, place: str, tests: list[Test]) -> list[Value]:
    """A plain value, and those that tests on this place name, with their neighbours."""
    named = [value for test in tests if test.field == f"args.{place}" for value in test.values]
    plain = _plain(kind)
    match kind.base:
        case Base.UINT | Base.INT | Base.BOOL:
            least = -(1 << (kind.size - 1)) if kind.base is Base.INT else 0
            most = 1 if kind.base is Base.BOOL else (1 << (kind.size - (kind.base is Base.INT))) - 1
            numbers = {value for value in named if isinstance(value, int)}
            return list(around(numbers, least, most)) if numbers else [plain]
        case Base.ADDRESS:
            return [plain, *_addresses(named)]
        case Base.STRING:
            return list(texts(test for test in tests if test.field == f"args.{place}"))
        case Base.FIXED | Base.BYTES:
            return [plain, *_bytes(kind, named)]
    return [plain]


def texts(tests: Iterable[Test]) -> list[str]:
    """Texts that these tests name, others that begin like them, and such as begin like none."""
    said = [(value, test.operator) for test in tests for value in test.values if isinstance(value, str)]
    begun = [value for value, operator in said if operator is Operator.STARTS]
    return ["", *with_strangers("", [value for value, _ in said], begun, "stranger")]


def _addresses(named: list[int | str]) -> Iterable[bytes]:
    for text in sorted({value for value in named if isinstance(value, str)}):
        try:
            yield parse_address(text)
        except CountersealError:
            continue


def _bytes(kind: Type, named: list[int | str]) -> Iterable[bytes]:
    for text in sorted({value for value in named if isinstance(value, str) and value.startswith("0x")}):
        try:
            found = bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            continue
        if any(found) and (kind.base is Base.BYTES or len(found) == kind.size):
            yield found


def _plain(kind: Type) -> Value:
    match kind.base:
        case Base.ADDRESS:
            return bytes.fromhex("5ca1ab1e" * 5)
        case Base.FIXED:
            return bytes(kind.size)
        case Base.BYTES:
            return b""
        case Base.STRING:
            return "stranger"
        case Base.TUPLE:
            return tuple(_plain(part) for part in kind.parts)
        case Base.ARRAY:
            return (_plain(kind.parts[0]),) * max(0, kind.size)
    return 0
