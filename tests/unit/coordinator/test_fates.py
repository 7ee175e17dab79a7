"""What nodes say to signed bytes, in the words of the clients that there are: taken, waited out, or the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.chain.fates import TAKEN, Fate, Said, is_trouble, meaning, weigh
from oms_core.errors import Reason

DONE, USED, PASSES, STAYS = Fate.DONE, Fate.USED, Fate.PASSES, Fate.STAYS
LATER, FUNDS, FEE = Reason.CHAIN_UNAVAILABLE, Reason.INSUFFICIENT_FUNDS, Reason.FEE_EXCEEDED
NONCE, GAS, KEY = Reason.NONCE_CONFLICT, Reason.GAS_UNSUITABLE, Reason.SIGNATURE_INVALID
CHAIN, NO = Reason.CHAIN_MISMATCH, Reason.BROADCAST_REJECTED

# Client, code, words, what they come to.
SAYINGS: list[tuple[str, int, str, Fate, str]] = [
    ("geth", -32000, "already known", DONE, ""),
    ("geth of old", -32000, "known transaction: 3a5c", DONE, ""),
    ("besu", -32000, "Known transaction", DONE, ""),
    ("nethermind", -32010, "AlreadyKnown", DONE, ""),
    ("erigon", -32000, "existing txn with same hash", DONE, ""),
    ("erigon of old", -32000, "INTERNAL_ERROR: existing tx with same hash", DONE, ""),
    ("anvil", -32003, "transaction already imported", DONE, ""),
    ("anvil", -32603, "Tx: [0x12] already Imported", DONE, ""),
    ("geth", -32000, "nonce too low: next nonce 8, tx nonce 7", USED, NONCE),
    ("besu", -32001, "Nonce too low", USED, NONCE),
    ("nethermind", -32010, "OldNonce, Current nonce: 8, nonce of rejected tx: 7", USED, NONCE),
    ("anvil", -32003, "nonce too low", USED, NONCE),
    ("openethereum", -32010, "Transaction nonce is too low. Try incrementing the nonce.", USED, NONCE),
    ("geth", -32000, "invalid sender: invalid chain id for signer: have 1 want 31337", STAYS, CHAIN),
    ("besu", -32000, "Wrong chainId", STAYS, CHAIN),
    ("reth", -32000, "invalid chain ID", STAYS, CHAIN),
    ("anvil", -32003, "Incompatible EIP-155 transaction, signed for another chain", STAYS, CHAIN),
    ("geth", -32000, "invalid sender", STAYS, KEY),
    ("geth", -32000, "invalid transaction v, r, s values", STAYS, KEY),
    ("besu", -32002, "Invalid signature", STAYS, KEY),
    ("nethermind", -32010, "failed to recover sender", STAYS, KEY),
    ("reth", -32602, "invalid transaction signature", STAYS, KEY),
    ("geth", -32000, "intrinsic gas too low: gas 20000, minimum needed 21000", STAYS, GAS),
    ("geth", -32000, "insufficient gas for floor data gas cost: gas 21000, minimum needed 22000", STAYS, GAS),
    ("geth", -32000, "exceeds block gas limit", STAYS, GAS),
    ("geth", -32000, "transaction gas limit too high (cap: 16777216, tx: 20000000)", STAYS, GAS),
    ("erigon", -32000, "IntrinsicGas", STAYS, GAS),
    ("erigon", -32000, "gas limit is too high", STAYS, GAS),
    ("besu", -32003, "Intrinsic gas exceeds gas limit", STAYS, GAS),
    ("besu", -32005, "Transaction gas limit exceeds block gas limit", STAYS, GAS),
    ("nethermind", -32010, "gas limit reached", STAYS, GAS),
    ("nethermind", -32010, "GasLimitExceeded, Gas limit: 30000000", STAYS, GAS),
    ("reth", -32000, "exceeds max transaction gas limit", STAYS, GAS),
    ("anvil", -32003, "intrinsic gas too high -- CallerGasLimitMoreThanBlock", STAYS, GAS),
    ("anvil", -32003, "Transaction gas limit is greater than the block gas limit, gas_limit: 9, cap: 8", STAYS, GAS),
    ("geth", -32000, "oversized data: transaction size 140000, limit 131072", STAYS, NO),
    ("reth", -32602, "failed to decode signed transaction", STAYS, NO),
    ("geth", -32000, "replacement transaction underpriced", PASSES, NONCE),
    ("besu", -32000, "Replacement transaction underpriced", PASSES, NONCE),
    ("erigon", -32000, "could not replace existing tx", PASSES, NONCE),
    ("nethermind", -32010, "ReplacementNotAllowed", PASSES, NONCE),
    ("anvil", -32603, "Tx: [0x12] insufficient gas price to replace existing transaction", PASSES, NONCE),
    ("geth", -32000, "nonce too high: tx nonce 9, gapped nonce 7", PASSES, NONCE),
    ("besu", -32000, "Transaction nonce is too distant from current sender nonce", PASSES, NONCE),
    ("besu", -32000, "An invalid transaction with a lower nonce exists", PASSES, NONCE),
    ("nethermind", -32010, "delegation nonce gap", PASSES, NONCE),
    ("geth", -32000, "insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1", PASSES, FUNDS),
    ("besu", -32004, "Upfront cost exceeds account balance", PASSES, FUNDS),
    ("nethermind", -32010, "InsufficientFunds, Account balance: 0, cumulative cost: 1", PASSES, FUNDS),
    ("anvil", -32003, "Insufficient funds for gas * price + value", PASSES, FUNDS),
    ("geth", -32000, "transaction underpriced: gas tip cap 0, minimum needed 1", PASSES, FEE),
    ("geth", -32000, "transaction gas price below minimum: gas tip cap 0, minimum needed 1", PASSES, FEE),
    ("nethermind", -32010, "FeeTooLowToCompete", PASSES, FEE),
    ("besu", -32009, "Gas price below current base fee", PASSES, FEE),
    ("anvil", -32003, "max fee per gas less than block base fee", PASSES, FEE),
    ("reth", -32003, "transaction priority fee below minimum required priority fee 7", PASSES, FEE),
    ("erigon", -32000, "underpriced", PASSES, FEE),
    ("geth", -32000, "txpool is full", PASSES, LATER),
    ("erigon", -32000, "pending sub-pool is full", PASSES, LATER),
    ("geth", -32000, "pool already terminated", PASSES, LATER),
    ("besu", -32008, "Initial sync is still in progress", PASSES, LATER),
    ("besu", -32002, "Transaction pool not enabled. (Either disabled, or node not yet in sync).", PASSES, LATER),
    ("nethermind", -32000, "node is syncing", PASSES, LATER),
    ("geth", -32000, "transaction indexing is in progress", PASSES, LATER),
    ("a provider", -32005, "daily request count exceeded, request rate limited", PASSES, LATER),
    ("a provider", -32005, "", PASSES, LATER),
    ("a provider", 429, "Your app has exceeded its compute units per second capacity", PASSES, LATER),
    ("a provider", -32029, "Too Many Requests", PASSES, LATER),
    ("anybody", -32603, "Internal error", PASSES, LATER),
    ("anybody", -32603, "what nobody has ever seen", PASSES, LATER),
    ("besu", -32603, "Timeout expired", PASSES, LATER),
    ("erigon", -32000, "context deadline exceeded", PASSES, LATER),
    ("a provider", -32600, "the token's signature is invalid", PASSES, NO),
    # What is an operator's to set right, or is not known: people see it, and it is tried again.
    ("geth", -32000, "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", PASSES, NO),
    ("besu", -32007, "Sender account not authorized to send transactions", PASSES, NO),
    ("geth", -32000, "transaction type not supported", PASSES, NO),
    ("anvil", -32000, "Unknown transaction type not supported", PASSES, NO),
    ("anybody", -32000, "no", PASSES, NO),
    ("anybody", 0, "", PASSES, NO),
]


@pytest.mark.parametrize(("client", "code", "words", "fate", "reason"), SAYINGS)
def test_what_a_client_says_is_read_as_what_it_means(
    client: str, code: int, words: str, fate: Fate, reason: str
) -> None:
    said = meaning(code, words)
    assert (said.fate, said.reason) == (fate, reason), client
    if fate is not DONE:
        assert said.words.startswith("the node answered: ")
        assert words in said.words


@given(st.integers(), st.text(max_size=2000))
def test_any_words_mean_something_and_no_code_alone_is_the_end(code: int, words: str) -> None:
    said = meaning(code, words)
    assert len(said.words) <= 400
    assert meaning(code, "").fate is PASSES


@pytest.mark.parametrize(
    "words", ["execution reverted: try again, connection busy", "VM Exception: rate limit exceeded"]
)
def test_what_a_contract_says_is_not_taken_for_trouble_of_the_node(words: str) -> None:
    assert not is_trouble(3, words)
    assert not is_trouble(-32603, words)
    assert is_trouble(-32603, "Internal error")


NEVER, LOW = Said(STAYS, KEY, "the node answered: invalid sender"), Said(USED, NONCE, "nonce too low")
POOR, AWAY = Said(PASSES, FUNDS, "too little"), Said(PASSES, LATER, "no chain node answers")


@pytest.mark.parametrize(
    ("answers", "fate", "reason"),
    [
        ([NEVER, AWAY, TAKEN], DONE, ""),
        ([AWAY, POOR], PASSES, FUNDS),
        ([POOR, LOW, NEVER], USED, NONCE),
        ([NEVER, NEVER], STAYS, KEY),
        ([], PASSES, LATER),
    ],
)
def test_one_node_that_has_the_bytes_is_enough_and_who_knows_more_is_heard_first(
    answers: list[Said], fate: Fate, reason: str
) -> None:
    said = weigh(answers)
    assert (said.fate, said.reason) == (fate, reason)


@pytest.mark.parametrize("other", [AWAY, POOR])
def test_no_node_ends_an_order_while_another_one_does_not_say_the_same(other: Said) -> None:
    for answers in ([NEVER, other], [other, NEVER]):
        said = weigh(answers)
        assert (said.fate, said.reason) == (PASSES, KEY)
        assert said.words == "1 of 2 nodes: the node answered: invalid sender"
