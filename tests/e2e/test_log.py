"""The log on a whole network: an order's way stands in it, signing stands on it, and nobody is shown another one."""

from __future__ import annotations

import asyncio
import time

import pytest

from oms.cli.prompts import exactly, own_claim
from oms.client import Client
from oms.devnet.cast import ETHER, ORIGIN
from oms.devnet.network import Network
from oms_core.authorize import execution_digest
from oms_core.chains.transaction import read_unsigned  # noqa: F401
from oms_core.encoding import decode
from oms_core.errors import Reason
from tests import cluster


async def mode(client: Client, wanted: str, seconds: float = 60) -> None:
    """Wait until so many vouch for the log."""
    deadline = time.monotonic() + seconds
    while (said := (await client.status()).log).mode != wanted:
        assert time.monotonic() < deadline, (said.mode, said.detail)
        await asyncio.sleep(0.1)
