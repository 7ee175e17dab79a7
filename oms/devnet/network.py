"""A running development network: where everything is, and what can be done to it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx

from oms.authenticator import SoftwareAuthenticator
from oms.client import Client, Tls
from oms.devnet import cast, ceremony, contracts
from oms.devnet.processes import Processes, free_ports
from oms.signer import ProposalSigner
from oms_core.errors import LocalError, Reason, Unavailable
from oms_core.workspace import LogSettings, Workspace, workspace_digest

CHAIN = "eip155:31337"
LOG_ORIGIN = "counterseal.example/devnet"
LOG_SECONDS = 60, 86_400  # how fresh the log has to be, and how long fewer witnesses than all are enough
DELAY = 5  # seconds that a loosening change of the workspace waits
ANVIL = Path("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")

Say = Callable[[str], None]


class Network:
    """anvil, one coordinator, and cosigners of two processes each, under one folder."""

    def __init__(
        self,
        root: Path,
        level: str = "L112",
        keep: bool = False,
        block_seconds: float = 1,
    ) -> None:
        self.root, self.count, self.level, self._block_seconds = root, 5, level, block_seconds
        self.processes = Processes(root / "logs", keep)
        self.oms, self.inner, self.rpc = free_ports(3)
        self.workspace: Workspace | None = None

    def prepare(self, say: Say = lambda _: None) -> None:
        """Hold the ceremony in a fresh folder."""
        ceremony.certificates(self.root, self.count)
        say(f"private CA and {self.count + 2} certificates")
        target = f"localhost:{self.inner}"
        configs = {i: ceremony.cosigner_files(self.root, i, target, self.level) for i in range(1, self.count + 1)}
        cards = dict(ceremony.init_token(config) for config in configs.values())
        say(f"{self.count} SoftHSM2 tokens, each with a seal key and an identity key that cannot be extracted")
        self.start_chain()
        deployed = contracts.deploy(f"http://127.0.0.1:{self.rpc}")
        say("a chain with WETH, a USDC and Uniswap V2 on it")
        log = LogSettings(LOG_ORIGIN, ceremony.log_key(self.root), *LOG_SECONDS)
        self.workspace = cast.workspace(self.root, cards, CHAIN, deployed, DELAY, log)
        digest = workspace_digest(self.workspace)
        for config in configs.values():
            ceremony.pin(config, self.root, digest)
        say(f"workspace version 0, {digest.hex()[:16]}…, pinned by every cosigner")
        addresses = (f"127.0.0.1:{self.oms}", f"127.0.0.1:{self.inner}")
        url = f"http://127.0.0.1:{self.rpc}"
        ceremony.coordinator_files(self.root, *addresses, CHAIN, url)
        ceremony.client_file(self.root, f"localhost:{self.oms}")

    def start(self) -> None:
        """Start everything."""
        if not self.processes.running("anvil"):
            self.start_chain()
        for index in range(1, self.count + 1):
            self.start_cosigner(index)
        self.start_coordinator()

    def start_chain(self) -> None:
        """Start anvil; its state is kept over restarts."""
        if not ANVIL.exists():
            raise LocalError("anvil is not installed: run `make setup` in the project's folder", Reason.CONFIG_INVALID)
        state = str(self.root / "chain.json")
        options = ("--port", str(self.rpc), "--chain-id", "31337", "--silent", "--state", state)
        self.processes.start("anvil", str(ANVIL), *options, "--block-time", str(self._block_seconds))

    def start_cosigner(self, index: int, enclave: tuple[str, ...] = ("cosigner",)) -> None:
        """Start one cosigner's enclave, or a module with arguments that stands in for it, and its gateway."""
        self._start_part("enclave", index, enclave)
        self._start_part("gateway", index)

    def _start_part(self, part: str, index: int, module: tuple[str, ...] = ("cosigner",)) -> None:
        config = str(self.root / f"cosigner-{index}" / "cosigner.toml")
        self.processes.start(f"{part}-{index}", sys.executable, "-m", *module, "--config", config, part)

    def ended(self) -> list[str]:
        """What has ended although nobody stopped or killed it, with its exit code."""
        codes = {name: self.processes.exit_code(name) for name in self._names()}
        return [f"{name} ({code})" for name, code in codes.items() if code is not None]

    def start_missing(self) -> None:
        """Start whatever does not run, each process by itself."""
        for name in self._names():
            part, _, index = name.partition("-")
            if self.processes.running(name):
                continue
            if index:
                self._start_part(part, int(index))
            else:
                (self.start_chain if part == "anvil" else self.start_coordinator)()

    def _names(self) -> list[str]:
        parts = [f"{part}-{i}" for i in range(1, self.count + 1) for part in ("enclave", "gateway")]
        return ["anvil", *parts, "coordinator"]

    def start_coordinator(self, module: str = "coordinator") -> None:
        """Start the coordinator, or a module that stands in for it."""
        config = str(self.root / "coordinator" / "coordinator.toml")
        self.processes.start("coordinator", sys.executable, "-m", module, "--config", config, "serve")

    def kill_cosigner(self, index: int) -> None:
        """SIGKILL both processes of a cosigner."""
        self.processes.kill(f"enclave-{index}")
        self.processes.kill(f"gateway-{index}")

    def client(self) -> Client:
        """A client with the order desk's certificate."""
        tls = self.root / "tls"
        files = Tls(self.root / "ca" / "ca.pem", tls / "front-end.pem", tls / "front-end.key")
        return Client(f"localhost:{self.oms}", files)

    def desk(self) -> ProposalSigner:
        """The order desk's proposal key."""
        return self.proposer("desk")

    def proposer(self, user_id: str) -> ProposalSigner:
        """The proposal key of somebody who has one."""
        return ProposalSigner.load(self.root / "people" / f"{user_id}.pem", f"{user_id}-1")

    def authenticator(self, user_id: str) -> SoftwareAuthenticator:
        """A person's (software) key."""
        return SoftwareAuthenticator(self.root / "people" / f"{user_id}.json")

    async def attached(self, indices: Iterable[int], seconds: float = 300.0) -> None:
        """Wait until exactly these cosigners are attached. Raises `Unavailable`."""
        wanted, deadline = set(indices), time.monotonic() + seconds
        found, seen = set[int](), dict[str, str]()
        async with self.client() as client:
            while time.monotonic() < deadline:
                try:
                    cosigners = (await client.status()).cosigners
                    found = {c.index for c in cosigners if c.state == "ATTACHED"}
                    seen = {str(c.index): f"{c.state}, heard {c.last_heard_seconds:.1f} s ago" for c in cosigners}
                except Unavailable as error:
                    found, seen = set(), {"coordinator": error.message}
                if found == wanted:
                    return
                await asyncio.sleep(0.2)
        text = f"attached are {sorted(found)}, not {sorted(wanted)}"
        raise Unavailable(text, Reason.QUORUM_UNAVAILABLE, **{f"last_{who}": what for who, what in seen.items()})

    def account(self, lines: int = 12) -> str:
        """Which processes live, and the end of each log: for whoever has to find out what went wrong."""
        told = []
        for log in sorted((self.root / "logs").glob("*.log")):
            code = self.processes.exit_code(log.stem)
            how = (
                "runs" if self.processes.running(log.stem) else "was stopped" if code is None else f"ended with {code}"
            )
            told.append(f"-- {log.stem} {how}")
            told += log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(told)

    async def rpc_call(self, method: str, *params: object) -> object:
        """Ask the chain directly, past the coordinator."""
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer = (await http.post(f"http://127.0.0.1:{self.rpc}", json=body)).json()
        if "error" in answer:
            raise LocalError(str(answer["error"]), Reason.CHAIN_UNAVAILABLE)
        return answer["result"]

    async def fund(self, address: str, wei: int) -> None:
        """Send coins from one of anvil's rich accounts, and wait for the block."""
        accounts = await self.rpc_call("eth_accounts")
        assert isinstance(accounts, list)
        call = {"from": accounts[0], "to": address, "value": hex(wei)}
        tx_hash = await self.rpc_call("eth_sendTransaction", call)
        while await self.rpc_call("eth_getTransactionReceipt", tx_hash) is None:
            await asyncio.sleep(0.1)

    def stop(self) -> None:
        """End every process."""
        self.processes.stop_all()

    def remove(self) -> None:
        """End every process and delete the folder."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)


def how_to_use(root: Path) -> list[str]:
    """Commands to paste."""
    base = f".venv/bin/oms --config {root}/oms.toml"
    people = f"{root}/people"
    return [
        "The network is up. Try, in another terminal:",
        f"  {base} status",
        f"  {base} workspace show",
        f"  {base} wallet create wal_mine --level L112",
        f"  {base} approve sam wal_mine --key {people}/sam.json",
        f"  {base} approve sonja wal_mine --key {people}/sonja.json",
        f"  {base} wallet watch wal_mine",
        f"  {base} transfer wal_mine entry:kraken-hot 2 --purpose 'rebalance'",
        f"  {base} inbox ravi",
        f"  {base} tx list",
        f"  .venv/bin/oms devnet down --root {root}",
    ]
