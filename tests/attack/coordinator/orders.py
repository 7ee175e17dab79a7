"""Lies about the order: what is moved, where, by whom, until when, and how it is executed (C02 to C05, C16 to C24)."""

from __future__ import annotations

from dataclasses import replace

from oms_core.chains.intent import (
    Access,
    Allow,
    Bounds,
    Call,
    Deploy,
    Execution,
    Message,
    Transfer,
    TypedData,
    What,
)
from oms_core.errors import Reason
from tests.attack.coordinator.lies import lie
from tests.attack.coordinator.scene import Attempt, Scene, deposit
from tests.attack.coordinator.world import (
    COIN,
    KNOWN,
    OLD_ROUTER,
    OTHER,
    OTHER_CHAIN,
    OTHER_WALLET,
    ROUTER,
    STRANGE,
    TOKEN,
    TOKEN_ADDRESS,
    keys,
)

FORGED, MOVED = (Reason.SIGNATURE_INVALID,), (Reason.CHALLENGE_MISMATCH,)
"""Why a changed order is refused: its proposal's signature does not fit; with a stolen key, nobody approved it."""
PERMIT = (
    '{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"chainId","type":"uint256"},'
    '{"name":"verifyingContract","type":"address"}],"Permit":[{"name":"owner","type":"address"},'
    '{"name":"spender","type":"address"},{"name":"value","type":"uint256"},{"name":"nonce","type":"uint256"},'
    '{"name":"deadline","type":"uint256"}]},"primaryType":"Permit","domain":{"name":"USD","chainId":"31337",'
    '"verifyingContract":"0x71C7656EC7ab88b098defB751B7401B5f6d8976F"},"message":{'
    '"owner":"0x1111111111111111111111111111111111111111","spender":"0x3333333333333333333333333333333333333333",'
    '"value":"1000","nonce":"0","deadline":"1900000000"}}'
)


def _with(scene: Scene, attempt: Attempt, what: What) -> Attempt:
    return scene.swap(attempt, replace(attempt.intent, action=what))


def _instead(scene: Scene, attempt: Attempt, **changes: object) -> Attempt:
    return scene.swap(attempt, replace(attempt.intent, **changes))  # type: ignore[arg-type]


@lie("C04", reasons=FORGED, stolen=MOVED)
def another_recipient(scene: Scene, attempt: Attempt) -> Attempt:
    """One that the address book has as well, so that the rules have nothing to say."""
    what = attempt.intent.action
    if isinstance(what, Transfer):
        return _with(scene, attempt, replace(what, to=KNOWN if what.to == OTHER else OTHER))
    if isinstance(what, Call):
        return _with(scene, attempt, replace(what, data=what.data[:-20] + STRANGE))
    return _with(scene, attempt, Transfer(TOKEN, OTHER, 1))


@lie("C04", reasons=FORGED, stolen=MOVED)
def another_amount(scene: Scene, attempt: Attempt) -> Attempt:
    what = attempt.intent.action
    if isinstance(what, Transfer | Allow):
        return _with(scene, attempt, replace(what, amount=what.amount + scene.random.randint(1, 200)))
    if isinstance(what, Call):
        more = int.from_bytes(what.data[4:36], "big") + scene.random.randint(1, 1 << 60)
        return _with(scene, attempt, replace(what, data=what.data[:4] + more.to_bytes(32, "big") + what.data[36:]))
    return _with(scene, attempt, Transfer(COIN, KNOWN, 31))


@lie("C23", reasons=FORGED, stolen=MOVED)
def units_of_another_asset(scene: Scene, attempt: Attempt) -> Attempt:
    """So many whole units of an asset with 18 decimals, in base units of one with 6, or the other way round."""
    what = attempt.intent.action
    if isinstance(what, Transfer):
        return _with(scene, attempt, replace(what, asset=TOKEN if what.asset == COIN else COIN))
    return _with(scene, attempt, Transfer(COIN, OTHER, 10**12))


@lie("C04", reasons=FORGED, stolen=MOVED)
def one_byte_of_calldata(scene: Scene, attempt: Attempt) -> Attempt:
    what = attempt.intent.action
    data = bytearray(what.data if isinstance(what, Call) and len(what.data) == 68 else deposit(3, KNOWN))
    data[scene.random.randrange(len(data))] ^= 1 << scene.random.randrange(8)
    return _with(scene, attempt, Call(ROUTER, 0, bytes(data)))


@lie("C04", "C24", reasons=FORGED, stolen=MOVED)
def another_chain(scene: Scene, attempt: Attempt) -> Attempt:
    what = Transfer(f"{OTHER_CHAIN}/slip44:60", KNOWN, 5)
    return _instead(scene, attempt, chain=OTHER_CHAIN, action=what)


@lie("C24", reasons=(Reason.ACTION_MISMATCH,))
def a_token_of_another_chain(scene: Scene, attempt: Attempt) -> Attempt:
    what = Transfer(TOKEN.replace("eip155:31337/", OTHER_CHAIN + "/"), KNOWN, 5)
    return _instead(scene, attempt, chain=OTHER_CHAIN, action=what)


@lie("C24", reasons=(Reason.UNSUPPORTED_TYPE,))
def chain_number_zero(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, chain="eip155:0")


@lie("C24", reasons=(Reason.CHAIN_MISMATCH,))
def an_asset_of_another_chain(scene: Scene, attempt: Attempt) -> Attempt:
    return _with(scene, attempt, Transfer("eip155:1/slip44:60", KNOWN, 5))


@lie("C04", reasons=FORGED, stolen=MOVED)
def another_wallet(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, wallet_id=OTHER_WALLET)


@lie("C04", reasons=FORGED, stolen=MOVED)
def another_derivation_path(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, path=(*attempt.intent.path, scene.random.randrange(1 << 31)))


@lie("C04", reasons=FORGED, stolen=MOVED)
def a_higher_fee_ceiling(scene: Scene, attempt: Attempt) -> Attempt:
    bounds = attempt.intent.bounds
    return _instead(scene, attempt, bounds=replace(bounds, max_fee_total=bounds.max_fee_total * 1000))


@lie("C16", "A15", reasons=FORGED, stolen=MOVED)
def a_longer_life(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, valid_until=attempt.intent.valid_until + 86_400)


@lie("C16", reasons=FORGED, stolen=MOVED)
def an_earlier_beginning(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, valid_from=attempt.intent.valid_from - 86_400)


@lie("A14", reasons=FORGED, stolen=MOVED)
def another_order_under_the_same_words(scene: Scene, attempt: Attempt) -> Attempt:
    """Only its name differs: what was approved is an order, not a text."""
    return _instead(scene, attempt, intent_id=attempt.intent.intent_id + "b")


@lie("C22", reasons=FORGED, stolen=MOVED)
def another_purpose(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, purpose="routine test")


@lie("C22", reasons=(Reason.MALFORMED,))
def a_purpose_that_hides_what_follows(scene: Scene, attempt: Attempt) -> Attempt:
    trick = scene.random.choice(("\u202e0001 drowteN", "pay\u200bday", "a\nTO: Known", "a\x1b[2K", "\ufeffx"))
    return _instead(scene, attempt, purpose=trick)


@lie("C04", reasons=(Reason.CREDENTIAL_UNKNOWN,))
def somebody_elses_initiative(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, initiator=scene.random.choice(("tara", "ivan", "ravi")))


@lie("C04", reasons=(Reason.UNKNOWN_USER,))
def an_initiator_that_does_not_exist(scene: Scene, attempt: Attempt) -> Attempt:
    return _instead(scene, attempt, initiator="mallory")


@lie("C04", reasons=(Reason.CREDENTIAL_UNKNOWN,))
def an_unregistered_proposal_key(scene: Scene, attempt: Attempt) -> Attempt:
    return replace(attempt, proposal=replace(attempt.proposal, key_id="desk-2"))


@lie("C01", reasons=(Reason.SIGNATURE_INVALID,))
def a_proposal_signed_by_another_key(scene: Scene, attempt: Attempt) -> Attempt:
    other = keys().ivan.propose(attempt.intent)
    return replace(attempt, proposal=replace(attempt.proposal, key_id="desk-1", signature=other.signature))


@lie("C02", reasons=FORGED)
def the_proposal_of_another_order(scene: Scene, attempt: Attempt) -> Attempt:
    other = scene.legal()
    return replace(attempt, proposal=replace(attempt.proposal, signature=other.proposal.signature))


@lie("C19", reasons=FORGED, stolen=MOVED)
def a_message_instead(scene: Scene, attempt: Attempt) -> Attempt:
    return _said(scene, attempt, Message("Log in as the treasury."))


@lie("C19", reasons=(Reason.UNSUPPORTED_TYPE,))
def a_message_that_could_be_a_hash(scene: Scene, attempt: Attempt) -> Attempt:
    digest = scene.random.randbytes(32).hex()
    return _said(scene, attempt, Message(scene.random.choice((digest, "0x" + digest, "y" * 32))))


@lie("C19", reasons=(Reason.MALFORMED,))
def a_message_that_is_no_text(scene: Scene, attempt: Attempt) -> Attempt:
    return _said(scene, attempt, Message("\x19\x01" + "x" * 64))


@lie("C19", reasons=FORGED, stolen=MOVED)
def a_signed_permit_instead(scene: Scene, attempt: Attempt) -> Attempt:
    return _said(scene, attempt, TypedData(PERMIT))


def _said(scene: Scene, attempt: Attempt, what: What) -> Attempt:
    """A message has no execution and costs nothing."""
    return _instead(scene, replace(attempt, execution=None), action=what, bounds=Bounds(0, 0))


@lie("C20", reasons=FORGED, stolen=MOVED)
def a_contract_instead(scene: Scene, attempt: Attempt) -> Attempt:
    return _with(scene, attempt, Deploy(0, bytes.fromhex("6000600055")))


@lie("C20", reasons=FORGED, stolen=MOVED)
def an_allowance_without_end(scene: Scene, attempt: Attempt) -> Attempt:
    return _with(scene, attempt, Allow(TOKEN, ROUTER, (1 << 256) - 1))


@lie("C20", reasons=FORGED, stolen=MOVED)
def a_call_that_nobody_can_read(scene: Scene, attempt: Attempt) -> Attempt:
    data = b"\xde\xad" + scene.random.randbytes(2 + 32 * scene.random.randrange(4))
    return _with(scene, attempt, Call(scene.random.choice((ROUTER, OLD_ROUTER, STRANGE)), 0, data))


@lie("C20", reasons=(Reason.TRAILING_BYTES,))
def bytes_after_the_arguments(scene: Scene, attempt: Attempt) -> Attempt:
    data = deposit(5, KNOWN) + scene.random.randbytes(scene.random.choice((1, 31, 32)))
    return _with(scene, attempt, Call(ROUTER, 0, data))


@lie("C20", reasons=FORGED, stolen=MOVED)
def a_transfer_dressed_as_a_call(scene: Scene, attempt: Attempt) -> Attempt:
    data = bytes.fromhex("a9059cbb") + bytes(12) + STRANGE + (1).to_bytes(32, "big")
    return _with(scene, attempt, Call(TOKEN_ADDRESS, 0, data))


# How it is executed is the coordinator's to choose, within the order's bounds.


def _executed(attempt: Attempt, **changes: object) -> Attempt:
    plain = attempt.execution or Execution(2, 1, 150_000, 10**9, 10**9, ())
    return replace(attempt, execution=replace(plain, **changes))  # type: ignore[arg-type]


@lie("C04", reasons=(Reason.FEE_EXCEEDED,))
def a_fee_above_the_ceiling(scene: Scene, attempt: Attempt) -> Attempt:
    fee = attempt.intent.bounds.max_fee_total // 150_000 + scene.random.randint(1, 10**12)
    return _executed(attempt, gas_limit=150_000, max_fee_per_gas=fee, max_priority_fee_per_gas=fee)


@lie("C04", reasons=(Reason.FEE_EXCEEDED,))
def gas_above_the_cap(scene: Scene, attempt: Attempt) -> Attempt:
    gas = attempt.intent.bounds.gas_limit_cap + scene.random.randint(1, 100)
    return _executed(attempt, gas_limit=gas, max_fee_per_gas=1, max_priority_fee_per_gas=1)


@lie("C20", "C24", reasons=(Reason.UNSUPPORTED_TYPE,))
def a_type_of_transaction_that_is_not_signed(scene: Scene, attempt: Attempt) -> Attempt:
    return _executed(attempt, type=scene.random.choice((3, 4, 5, 126, -1)))


@lie("C04", reasons=(Reason.MALFORMED, Reason.FEE_EXCEEDED))
def an_execution_that_cannot_be(scene: Scene, attempt: Attempt) -> Attempt:
    wrong: tuple[dict[str, object], ...] = (
        {"nonce": -1},
        {"nonce": 1 << 64},
        {"gas_limit": 0},
        {"max_fee_per_gas": -1, "max_priority_fee_per_gas": -1},
        {"type": 2, "max_fee_per_gas": 5, "max_priority_fee_per_gas": 6},
        {"access_list": (Access(b"\x01" * 19, ()),)},
    )
    return _executed(attempt, **scene.random.choice(wrong))


@lie("C04", reasons=(Reason.INTENT_TX_MISMATCH,))
def no_execution(scene: Scene, attempt: Attempt) -> Attempt:
    return replace(attempt, execution=None)
