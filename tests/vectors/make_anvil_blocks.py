"""Records blocks of anvil's as JSON-RPC shows them, with their transactions as they were broadcast.

Run from the project's folder: `.venv/bin/python -m tests.vectors.make_anvil_blocks`. What is recorded is another
implementation's opinion about headers and tries: one transaction, all types in one block, and three hundred.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account

from oms.devnet.network import ANVIL
from oms.devnet.processes import free_ports

FILE = Path(__file__).with_name("anvil_blocks.json")
RICH = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # anvil's first account, known to all
TO = "0x000000000000000000000000000000000000dEaD"
COUNT = 300


class Chain:
    """One anvil without automatic mining."""

    def __init__(self, url: str) -> None:
        self.url, self.nonce = url, 0

    def call(self, method: str, *params: object) -> Any:
        answer = httpx.post(self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).json()
        assert "error" not in answer, answer
        return answer["result"]

    def send(self, **fields: object) -> None:
        """Sign and broadcast one transaction."""
        tx = {"to": TO, "value": 1, "gas": 100_000, "nonce": self.nonce, "chainId": 31337, **fields}
        raw = Account.sign_transaction(tx, RICH).raw_transaction
        self.call("eth_sendRawTransaction", "0x" + raw.hex().removeprefix("0x"))
        self.nonce += 1

    def block(self) -> dict[str, object]:
        """Mine, and record."""
        self.call("anvil_mine", "0x1")
        block = self.call("eth_getBlockByNumber", "latest", False)
        places = range(len(block["transactions"]))
        raws = [self.call("eth_getRawTransactionByBlockHashAndIndex", block["hash"], hex(i)) for i in places]
        return {"block": {**block, "transactions": len(raws)}, "transactions": raws}


def fees(tip: int) -> dict[str, int]:
    return {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": tip}


def record(chain: Chain) -> list[dict[str, object]]:
    chain.send(gasPrice=10**10)
    one = chain.block()
    listed = [{"address": TO, "storageKeys": ["0x" + "11" * 32]}]
    handed = Account.from_key(RICH).sign_authorization({"chainId": 31337, "address": TO, "nonce": chain.nonce + 5})
    chain.send(gasPrice=10**10)
    chain.send(gasPrice=10**10, accessList=listed, type=1)
    chain.send(**fees(1), accessList=listed, data=b"\x01" * 300)
    chain.send(**fees(1), authorizationList=[handed])
    every = chain.block()
    for number in range(COUNT):
        chain.send(**fees(1), value=number)
    return [one, every, chain.block()]


def main() -> None:
    [port] = free_ports(1)
    anvil = subprocess.Popen([str(ANVIL), "--port", str(port), "--silent", "--no-mining", "--order", "fifo"])
    try:
        time.sleep(1)
        FILE.write_text(json.dumps(record(Chain(f"http://127.0.0.1:{port}")), indent=0) + "\n")
    finally:
        anvil.terminate()
        anvil.wait()


if __name__ == "__main__":
    main()
