"""What people propose and approve: small, typed, canonical documents. The unsigned transaction is derived from them.

Amounts are integers in base units (wei). Times are Unix seconds. Addresses are 20 raw bytes; people see EIP-55.
"""

from __future__ import annotations

import re

from oms_core.chains.abi import MAX_CALLDATA
from oms_core.chains.address import native_asset, token_of
from oms_core.chains.eip712 import read_typed
from oms_core.chains.messages import check_text
from oms_core.crypto.bip32 import check_path
from oms_core.crypto.params import level
from oms_core.encoding import digest, document
from oms_core.errors import Malformed, Reason
from oms_core.keys import ChangeKey, check_change, check_committee
from oms_core.workspace import ChangeWorkspace

PURPOSE_LIMIT = 280  # characters
CLOCK_SKEW = 60  # seconds


@document("transfer/1")
class Transfer:
    """Move ``amount`` base units of ``asset`` (CAIP-19: ``eip155:1/slip44:60``) to the account ``to`` (20 bytes)."""

    asset: str
    to: bytes
    amount: int


@document("allow/1")
class Allow:
    """Let ``spender`` (20 bytes) take up to ``amount`` base units of the ERC-20 token ``asset``; 0 takes it back."""

    asset: str
    spender: bytes
    amount: int


@document("call/1")
class Call:
    """Call the contract ``to`` (20 bytes) with ``value`` wei and ``data``, at least a selector of 4 bytes."""

    to: bytes
    value: int
    data: bytes


@document("deploy/1")
class Deploy:
    """Create a contract from init ``code``, giving it ``value`` wei."""

    value: int
    code: bytes


@document("message/1")
class Message:
    """Sign a text under EIP-191 (``personal_sign``): it can be no transaction."""

    text: str


@document("typed-data/1")
class TypedData:
    """Sign structured data under EIP-712; ``json`` is its text: ``types``, ``primaryType``, ``domain``, ``message``."""

    json: str


@document("bounds/1")
class Bounds:
    """What the execution may not exceed, whoever chooses it: the total fee in wei, and the gas. Both 0 for messages."""

    max_fee_total: int
    gas_limit_cap: int


@document("intent/1")
class Intent:
    """An order: who wants what from which wallet, within which bounds, until when, and why."""

    intent_id: str
    wallet_id: str
    path: tuple[int, ...]
    chain: str
    action: Transfer | Allow | Call | Deploy | Message | TypedData
    bounds: Bounds
    initiator: str
    purpose: str
    valid_from: int
    valid_until: int


@document("create-wallet/1")
class CreateWallet:
    """A wish for a new key, shared ``threshold`` of ``parties`` (roster indices), at level L112 or L128.

    With ``drill``, it becomes active only when backups of a quorum have been seen to sign.
    """

    wallet_id: str
    label: str
    threshold: int
    parties: tuple[int, ...]
    level: str
    initiator: str
    purpose: str
    valid_from: int
    valid_until: int
    drill: bool = False


What = Transfer | Allow | Call | Deploy | Message | TypedData
Subject = Intent | CreateWallet | ChangeKey | ChangeWorkspace


@document("access/1")
class Access:
    """An entry of an EIP-2930 access list: a 20-byte account and 32-byte storage slots."""

    address: bytes
    slots: tuple[bytes, ...]


@document("execution/2")
class Execution:
    """What the coordinator adds to turn an intent into a transaction; held against its bounds.

    ``type`` is the EIP-2718 type: 0 (with EIP-155), 1 or 2. Types 0 and 1 have one gas price: both fees are equal.
    """

    type: int
    nonce: int
    gas_limit: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    access_list: tuple[Access, ...]


@document("proposal/1")
class Proposal:
    """A subject signed by its initiator's registered P-256 key: raw ``r || s`` (64 bytes) over `subject_digest`."""

    subject: Intent | CreateWallet | ChangeKey | ChangeWorkspace
    key_id: str
    signature: bytes


def subject_digest(subject: Subject) -> bytes:
    """The 32 bytes that stand for an intent or a wish for a wallet everywhere: in approvals, sessions and the log."""
    return digest("subject", subject)


_ID = re.compile(r"[a-z]{3}_[0-9A-Za-z_-]{1,40}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}\Z")
_CHAIN = re.compile(r"eip155:[1-9][0-9]{0,18}\Z")  # CAIP-2
_ASSET = re.compile(r"eip155:[1-9][0-9]{0,18}/[a-z0-9]{3,8}:[A-Za-z0-9.-]{1,78}\Z")  # CAIP-19
NOBODY = bytes(20)  # the zero address, where coins are burnt
MAX_LIFE = 400 * 86_400  # seconds
MAX_CODE = 48 * 1024  # bytes of init code (EIP-3860)


def check_subject(subject: Subject, now: int) -> None:
    """Everything about a subject that needs no workspace. Raises `Malformed`, EXPIRED included."""
    if not isinstance(subject, ChangeWorkspace):
        _check_id("a wallet id", "wal_", subject.wallet_id)
    if not _NAME.match(subject.initiator):
        raise Malformed("the initiator is not a user id")
    if len(subject.purpose) > PURPOSE_LIMIT or not subject.purpose.isprintable():
        raise Malformed(f"a purpose has at most {PURPOSE_LIMIT} printable characters")
    if not 0 <= subject.valid_from < subject.valid_until <= subject.valid_from + MAX_LIFE:
        raise Malformed("validity ends after it begins, within 400 days")
    if now < subject.valid_from - CLOCK_SKEW:
        raise Malformed("not valid yet", Reason.EXPIRED)
    if now >= subject.valid_until:
        raise Malformed("no longer valid", Reason.EXPIRED)
    match subject:
        case Intent():
            _check_intent(subject)
        case CreateWallet():
            _check_wallet(subject)
        case ChangeKey():
            check_change(subject)
        case ChangeWorkspace():
            _check_id("a change's id", "chg_", subject.change_id)


def _check_id(what: str, prefix: str, text: str) -> None:
    if not _ID.match(text) or not text.startswith(prefix):
        raise Malformed(f"{what} is {prefix} and up to 40 letters, digits, - or _")


def _check_intent(intent: Intent) -> None:
    _check_id("an intent id", "int_", intent.intent_id)
    check_path(intent.path)
    if not _CHAIN.match(intent.chain):
        raise Malformed("a chain is eip155:N", Reason.UNSUPPORTED_TYPE)
    check_action(intent)
    check_bounds(intent)


def check_bounds(intent: Intent) -> None:
    """What an order may cost at most. Raises `Malformed`."""
    bounds = intent.bounds
    if isinstance(intent.action, Message | TypedData):
        if bounds != Bounds(0, 0):
            raise Malformed("a message costs nothing: its bounds are 0")
    elif not 0 <= bounds.max_fee_total < 1 << 128 or not 0 < bounds.gas_limit_cap < 1 << 32:
        raise Malformed("bounds out of range")


def check_action(intent: Intent) -> None:
    """What an order does, by itself and on its chain.

    Raises `Malformed`: UNSUPPORTED_TYPE, CHAIN_MISMATCH, BAD_ADDRESS, BAD_CHECKSUM, NEGATIVE_AMOUNT, TOO_LARGE,
    MALFORMED.
    """
    action = intent.action
    match action:
        case Transfer():
            _check_asset_on(intent.chain, action.asset)
            _check_account(action.to)
            _check_amount(action.amount, least=1)
        case Allow():
            _check_asset_on(intent.chain, action.asset)
            if token_of(action.asset)[1] != "erc20":
                raise Malformed("allowances are of ERC-20 tokens", Reason.UNSUPPORTED_TYPE)
            _check_account(action.spender)
            _check_amount(action.amount)
        case Call():
            _check_account(action.to)
            _check_amount(action.value)
            _check_size(action.data, 4, MAX_CALLDATA)
        case Deploy():
            _check_amount(action.value)
            _check_size(action.code, 1, MAX_CODE)
        case Message():
            check_text(action.text)
        case TypedData():
            read_typed(action.json, intent.chain)


def _check_asset_on(chain: str, asset: str) -> None:
    check_asset(asset)
    if asset == native_asset(chain):
        return
    if not asset.startswith(f"{chain}/"):
        raise Malformed(f"asset {asset[:60]} is not on {chain}", Reason.CHAIN_MISMATCH)
    if token_of(asset)[1] != "erc20":
        raise Malformed(f"{asset[:60]} is neither the chain's coin nor an ERC-20 token", Reason.UNSUPPORTED_TYPE)


def _check_account(address: bytes) -> None:
    if len(address) != 20:
        raise Malformed("an address has 20 bytes", Reason.BAD_ADDRESS)
    if address == NOBODY:
        raise Malformed("the zero address is nobody's", Reason.BAD_ADDRESS)


def _check_amount(amount: int, least: int = 0) -> None:
    if amount < 0:
        raise Malformed("the amount is negative", Reason.NEGATIVE_AMOUNT)
    if not least <= amount < 1 << 256:
        raise Malformed(f"an amount is between {least} and 2^256 - 1 base units")


def _check_size(data: bytes, least: int, most: int) -> None:
    if len(data) < least:
        raise Malformed(f"at least {least} bytes of data are needed")
    if len(data) > most:
        raise Malformed(f"{len(data)} bytes of data where at most {most} are allowed", Reason.TOO_LARGE)


def check_asset(asset: str) -> None:
    """The shape of a CAIP-19 name on an EVM chain. Raises `Malformed` (UNSUPPORTED_TYPE)."""
    if not _ASSET.match(asset):
        raise Malformed("an asset is a CAIP-19 name on eip155:N", Reason.UNSUPPORTED_TYPE)


def _check_wallet(wish: CreateWallet) -> None:
    level(wish.level)
    if not _NAME.match(wish.label):
        raise Malformed("a label has up to 64 letters, digits, blanks and . _ -")
    check_committee(wish.parties, wish.threshold)
