"""What the rules let through and what no rule can let through, on a whole network with real tokens."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from oms.client import Client
from oms.devnet.cast import ETHER, KRAKEN
from oms.devnet.contracts import DEPLOYER, address_of
from oms.devnet.network import CHAIN, Network
from oms_core.chains import abi, rlp
from oms_core.chains.address import to_checksum
from oms_core.chains.intent import Allow, Call, Deploy, Message, Transfer, TypedData, What
from oms_core.errors import CountersealError, Reason
from proto import oms_pb2 as pb
from tests import cluster

USDC = f"{CHAIN}/erc20:0x{address_of('usdc').hex()}"
COIN = f"{CHAIN}/slip44:60"
DOLLAR = 10**6
STRANGER = bytes.fromhex("57" * 20)
ROUTER, TOKEN = address_of("router"), address_of("usdc")
STRANGER_TEXT, TOKEN_TEXT, ROUTER_TEXT = to_checksum(STRANGER), to_checksum(TOKEN), to_checksum(ROUTER)


async def order(
    network: Network, client: Client, action: What | bytes, user: str = "desk", seconds: int = 0
) -> pb.Transaction:
    """Propose anything from the treasury."""
    intent, _ = await client.prepare(cluster.WALLET, action, user, "tests", seconds)
    return await client.submit(network.proposer(user).propose(intent))


async def settled(network: Network, client: Client, action: What | bytes, user: str = "desk") -> pb.Transaction:
    """Propose, have a risk officer approve if rules ask for one, and wait for the end."""
    tx = await order(network, client, action, user)
    seen = await cluster.until(client, tx.transaction_id, "PENDING_APPROVAL", "CONFIRMED", "REJECTED", "SIGNED")
    if seen.state == "PENDING_APPROVAL":
        await cluster.approve(network, client, tx.transaction_id, "ravi")
    return await client.ended(tx.transaction_id)


async def refusal(network: Network, action: What | bytes, user: str = "desk") -> tuple[str, str]:
    """The reason, and what is said of it, whether it is refused at once or by the rules; nothing is ever signed."""
    async with network.client() as client:
        try:
            tx = await order(network, client, action, user)
        except CountersealError as error:
            return error.reason, error.message
        tx = await client.ended(tx.transaction_id)
        assert tx.state == "REJECTED", tx
        assert not tx.raw
        return tx.reason, tx.detail


async def token(network: Network, method: str, *words: bytes) -> int:
    """A number that the token's contract answers."""
    data = abi.method(method).selector + b"".join(word.rjust(32, b"\0") for word in words)
    answer = await network.rpc_call("eth_call", {"to": TOKEN_TEXT, "data": "0x" + data.hex()}, "latest")
    return int(str(answer), 16)


async def treasury(network: Network) -> bytes:
    """The treasury's account, with a million dollars in it."""
    async with network.client() as client:
        account = bytes.fromhex((await client.wallet(cluster.WALLET)).address[2:])
    data = abi.encode_texts("transfer(address,uint256)", (to_checksum(account), str(10**6 * DOLLAR)))
    if await token(network, "balanceOf(address)", account) < 10**6 * DOLLAR:
        call = {"from": DEPLOYER, "to": TOKEN_TEXT, "data": "0x" + data.hex()}
        sent = await network.rpc_call("eth_sendTransaction", call)
        while await network.rpc_call("eth_getTransactionReceipt", sent) is None:
            await asyncio.sleep(0.1)
    return account


async def test_a_traders_day_is_limited_whatever_leaves_and_however(network: Network) -> None:
    """Tokens, coins, calls with coins, allowances and what waits for approval all count towards 500,000 USD."""
    account = await treasury(network)
    async with network.client() as client:
        before, began = await token(network, "balanceOf(address)", KRAKEN), time.monotonic()
        sent = await settled(network, client, Transfer(USDC, KRAKEN, 300_000 * DOLLAR), "tara")
        soon = 30 + 5 * int(time.monotonic() - began)  # seconds in which others are refused, however busy the machine
        assert sent.state == "CONFIRMED", (sent.reason, sent.detail)
        assert await token(network, "balanceOf(address)", KRAKEN) == before + 300_000 * DOLLAR

        reason, said = await refusal(network, Transfer(USDC, KRAKEN, 250_000 * DOLLAR), "tara")
        assert reason == Reason.VELOCITY_EXCEEDED
        assert "300,025 USD before" in said, said  # at most 0.01 ETH may have been paid
        assert "500,000" in said, said

        waiting = await order(network, client, Transfer(USDC, KRAKEN, 150_000 * DOLLAR), "tara", seconds=soon)
        await cluster.until(client, waiting.transaction_id, "PENDING_APPROVAL")
        assert (await refusal(network, Transfer(USDC, KRAKEN, 100_000 * DOLLAR), "tara"))[0] == Reason.VELOCITY_EXCEEDED
        await cluster.until(client, waiting.transaction_id, "EXPIRED", seconds=soon + cluster.PATIENT)

        allowed = await settled(network, client, Allow(USDC, ROUTER, 150_000 * DOLLAR), "tara")
        assert allowed.state == "CONFIRMED", (allowed.reason, allowed.detail)
        assert await token(network, "allowance(address,address)", account, ROUTER) == 150_000 * DOLLAR
        for action in (
            Transfer(USDC, KRAKEN, 100_000 * DOLLAR),
            Transfer(COIN, KRAKEN, 30 * ETHER),
            Call(address_of("weth"), 30 * ETHER, abi.method("deposit()").selector),
            Allow(USDC, ROUTER, 100_000 * DOLLAR),
        ):
            assert (await refusal(network, action, "tara"))[0] == Reason.VELOCITY_EXCEEDED, action
        small = await settled(network, client, Transfer(COIN, KRAKEN, 4 * ETHER), "tara")
        assert small.state == "CONFIRMED", (small.reason, small.detail)


@pytest.mark.attack
@pytest.mark.parametrize("target", ["an address in the book", "a listed contract", "a stranger"])
async def test_what_looks_like_a_tokens_transfer_is_refused_unless_it_goes_to_a_token(
    network: Network, target: str
) -> None:
    to = {"an address in the book": KRAKEN, "a listed contract": ROUTER, "a stranger": STRANGER}[target]
    data = abi.encode_texts("transfer(address,uint256)", (to_checksum(KRAKEN), "1000"))
    reason, _ = await refusal(network, Call(to, 0, data))
    assert reason == Reason.ACTION_MISMATCH


@pytest.mark.attack
async def test_a_wallets_delegate_call_into_foreign_code_is_refused(network: Network) -> None:
    inner = abi.encode_texts("transfer(address,uint256)", (to_checksum(KRAKEN), "0"))
    method = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
    nobody = "0x" + "00" * 20
    texts = (STRANGER_TEXT, "0", "0x" + inner.hex(), "1", "0", "0", "0", nobody, nobody, "0x")
    reason, _ = await refusal(network, Call(ROUTER, 0, abi.encode_texts(method, texts)))
    assert reason == Reason.ACTION_MISMATCH


def permit(spender: str, value: int, **domain: object) -> TypedData:
    """EIP-2612: an allowance that is only signed, and sent by somebody else."""
    names = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    full = {"name": "USD", "version": "1", "chainId": 31337, "verifyingContract": TOKEN_TEXT} | domain
    full = {name: one for name, one in full.items() if one is not None}
    fields = {"owner": "address", "spender": "address", "value": "uint256", "nonce": "uint256", "deadline": "uint256"}
    message = {
        "owner": to_checksum(KRAKEN),
        "spender": spender,
        "value": str(value),
        "nonce": "0",
        "deadline": "9" * 10,
    }
    types = {
        "EIP712Domain": [{"name": name, "type": names[name]} for name in full],
        "Permit": [{"name": name, "type": kind} for name, kind in fields.items()],
    }
    return TypedData(json.dumps({"types": types, "primaryType": "Permit", "domain": full, "message": message}))


@pytest.mark.attack
@pytest.mark.parametrize("how", ["approve", "increaseAllowance", "setApprovalForAll", "permit", "signed permit"])
async def test_an_allowance_for_a_stranger_is_refused_however_it_is_given(network: Network, how: str) -> None:
    some = str(5 * DOLLAR)
    actions: dict[str, What] = {
        "approve": Allow(USDC, STRANGER, 5 * DOLLAR),
        "increaseAllowance": Call(
            TOKEN, 0, abi.encode_texts("increaseAllowance(address,uint256)", (STRANGER_TEXT, some))
        ),
        "setApprovalForAll": Call(
            TOKEN, 0, abi.encode_texts("setApprovalForAll(address,bool)", (STRANGER_TEXT, "true"))
        ),
        "permit": Call(
            TOKEN,
            0,
            abi.encode_texts(
                "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
                (to_checksum(KRAKEN), STRANGER_TEXT, some, "9999999999", "27", "0x" + "11" * 32, "0x" + "22" * 32),
            ),
        ),
        "signed permit": permit(STRANGER_TEXT, 5 * DOLLAR),
    }
    reason, said = await refusal(network, actions[how])
    assert reason in (Reason.NO_PERMIT, Reason.UNLIMITED_ALLOWANCE), (reason, said)
    assert "APPROVE" in said or "allowance" in said, said


@pytest.mark.attack
@pytest.mark.parametrize("how", ["approve", "signed permit"])
async def test_an_unlimited_allowance_is_refused_even_for_the_listed_router(network: Network, how: str) -> None:
    most = (1 << 256) - 1
    action = Allow(USDC, ROUTER, most) if how == "approve" else permit(ROUTER_TEXT, most)
    reason, _ = await refusal(network, action)
    assert reason == Reason.UNLIMITED_ALLOWANCE


async def test_a_bounded_allowance_for_the_listed_router_passes_and_is_shown_as_what_may_be_taken(
    network: Network,
) -> None:
    account = await treasury(network)
    async with network.client() as client:
        tx = await settled(network, client, Allow(USDC, ROUTER, 7 * DOLLAR))
        assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
        assert await token(network, "allowance(address,address)", account, ROUTER) == 7 * DOLLAR
        assert any("7 USDC" in line for line in tx.lines), tx.lines
        back = await settled(network, client, Allow(USDC, ROUTER, 0))
        assert back.state == "CONFIRMED", (back.reason, back.detail)
        assert await token(network, "allowance(address,address)", account, ROUTER) == 0


def unsigned(kind: str) -> bytes:
    """An unsigned transfer of 1 finney to the exchange in one of the types of transactions."""
    chain, fee, gas, value = (rlp.integer(n) for n in (31337, 10**10, 21_000, 10**15))
    zero: rlp.Item = b""
    head: list[rlp.Item] = [chain, zero, fee, fee, gas, KRAKEN, value, zero, []]
    match kind:
        case "legacy with EIP-155":
            return rlp.encode([zero, fee, gas, KRAKEN, value, zero, chain, zero, zero])
        case "legacy without EIP-155":
            return rlp.encode([zero, fee, gas, KRAKEN, value, zero])
        case "type 1":
            return b"\x01" + rlp.encode([chain, zero, fee, gas, KRAKEN, value, zero, []])
        case "type 2":
            return b"\x02" + rlp.encode(head)
        case "type 3":
            return b"\x03" + rlp.encode([*head, fee, [bytes(32)]])
        case "type 4 for every chain":
            return b"\x04" + rlp.encode([*head, [[zero, STRANGER, zero, zero, fee, fee]]])
        case "another chain":
            return b"\x02" + rlp.encode([rlp.integer(1), *head[1:]])
        case "trailing bytes":
            return b"\x02" + rlp.encode(head) + b"\x00"
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["legacy with EIP-155", "type 1", "type 2"])
async def test_an_unsigned_transaction_of_an_allowed_type_is_taken_as_what_it_says(network: Network, kind: str) -> None:
    async with network.client() as client:
        tx = await settled(network, client, unsigned(kind))
    assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
    onchain = await network.rpc_call("eth_getTransactionByHash", tx.hash)
    assert isinstance(onchain, dict)
    assert (onchain["to"], int(onchain["value"], 16)) == (to_checksum(KRAKEN).lower(), 10**15)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("legacy without EIP-155", Reason.CHAIN_MISMATCH),
        ("type 3", Reason.UNSUPPORTED_TYPE),
        ("type 4 for every chain", Reason.UNSUPPORTED_TYPE),
        ("another chain", Reason.CHAIN_MISMATCH),
        ("trailing bytes", Reason.TRAILING_BYTES),
    ],
)
async def test_an_unsigned_transaction_of_another_type_is_refused(network: Network, kind: str, reason: Reason) -> None:
    assert (await refusal(network, unsigned(kind)))[0] == reason


@pytest.mark.parametrize(
    ("what", "reasons"),
    [
        ("a deployment", {Reason.NO_PERMIT, Reason.OPAQUE_CALL}),
        ("32 bytes as a text", {Reason.MALFORMED, Reason.UNSUPPORTED_TYPE}),
        ("typed data without a chain id", {Reason.MALFORMED, Reason.CHAIN_MISMATCH, Reason.UNSUPPORTED_TYPE}),
        ("typed data for another chain", {Reason.CHAIN_MISMATCH}),
    ],
)
async def test_what_no_rule_lets_an_account_sign_is_refused(network: Network, what: str, reasons: set[Reason]) -> None:
    action: What = {
        "a deployment": Deploy(0, bytes.fromhex("6000")),
        "32 bytes as a text": Message("0x" + "ab" * 32),
        "typed data without a chain id": permit(ROUTER_TEXT, 1, chainId=None),
        "typed data for another chain": permit(ROUTER_TEXT, 1, chainId=1),
    }[what]
    assert (await refusal(network, action))[0] in reasons


async def test_a_text_is_signed_under_eip_191_when_a_risk_officer_has_read_it(network: Network) -> None:
    from eth_account import Account
    from eth_account.messages import encode_defunct

    text = "Counterseal holds this account"
    async with network.client() as client:
        tx = await settled(network, client, Message(text))
        account = (await client.wallet(cluster.WALLET)).address
    assert tx.state == "CONFIRMED", (tx.reason, tx.detail)
    assert Account.recover_message(encode_defunct(text=text), signature=tx.raw) == account
