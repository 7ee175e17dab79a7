"""The key ceremony of a development network: certificates, tokens, cards, configuration, and what every node pins."""

from __future__ import annotations

import secrets
import sys
import tomllib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from oms.devnet.cast import ANCHOR, ANCHOR_WALLET, ORIGIN
from oms.devnet.processes import run
from oms.signer import write_secret

ANCHOR_MINUTES = 10  # between anchors, once there is a wallet for them
MODULE = "/usr/lib/softhsm/libsofthsm2.so"


def certificates(root: Path, count: int) -> None:
    """A private CA, and one certificate for the coordinator, each cosigner and the OMS front end."""
    tool = (sys.executable, "-m", "certs")
    run(*tool, "init", str(root / "ca"))
    out = ("--out", str(root / "tls"))
    run(*tool, "issue", str(root / "ca"), "--kind", "coordinator", "--name", "coordinator", "--dns", "localhost", *out)
    run(*tool, "issue", str(root / "ca"), "--kind", "oms", "--name", "front-end", *out)
    for index in range(1, count + 1):
        run(*tool, "issue", str(root / "ca"), "--kind", "cosigner", "--name", str(index), *out)


def cosigner_files(root: Path, index: int, coordinator: str, level: str) -> Path:
    """A cosigner's folder: token directory, PIN file and configuration. Returns the configuration's path."""
    home = root / f"cosigner-{index}"
    (home / "tokens").mkdir(parents=True, mode=0o700)
    (home / "run").mkdir(mode=0o700)
    write_secret(home / "pin", str(secrets.randbelow(10**12)).zfill(12).encode())
    (home / "softhsm2.conf").write_text(f"directories.tokendir = {home / 'tokens'}\nlog.level = ERROR\n")
    config = home / "cosigner.toml"
    config.write_text(
        f"""index = {index}
socket = "run/enclave.sock"
store = "store.sqlite"
coordinators = ["{coordinator}"]
level = "{level}"

[hsm]
module = "{MODULE}"
token_label = "cosigner-{index}"
pin_file = "pin"
softhsm_conf = "softhsm2.conf"

[tls]
ca = "../ca/ca.pem"
cert = "../tls/{index}.pem"
key = "../tls/{index}.key"
"""
    )
    return config


def init_token(config: Path) -> tuple[int, tuple[bytes, bytes]]:
    """Make a node's token; returns its card: index, and identity and witness key."""
    card = tomllib.loads(run(sys.executable, "-m", "cosigner", "--config", str(config), "init-token"))
    return int(card["index"]), (bytes.fromhex(card["identity"]), bytes.fromhex(card["witness"]))


def pin(config: Path, root: Path, digest: bytes) -> None:
    """Pin the workspace at one cosigner."""
    file = str(root / "workspace.cbor")
    run(sys.executable, "-m", "cosigner", "--config", str(config), "pin", file, "--digest", digest.hex())


def log_key(root: Path) -> bytes:
    """The log's Ed25519 key, made in the coordinator's folder; returns the public one (32 bytes)."""
    home = root / "coordinator"
    home.mkdir(mode=0o700)
    key = Ed25519PrivateKey.generate()
    write_secret(home / "log.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key.public_key().public_bytes_raw()


def coordinator_files(root: Path, oms: str, cosigners: str, chain: str, rpc: str) -> Path:
    """The coordinator's folder; returns the configuration's path."""
    home = root / "coordinator"
    config = home / "coordinator.toml"
    config.write_text(
        f"""listen_oms = "{oms}"
listen_cosigners = "{cosigners}"
database = "sqlite:///{home / "orders.sqlite"}"
workspace = "../workspace.cbor"

[tls]
ca = "../ca/ca.pem"
cert = "../tls/coordinator.pem"
key = "../tls/coordinator.key"

[log]
key = "log.pem"

[chain]
id = "{chain}"
rpc = ["{rpc}"]
confirmations = 2

[anchoring]
wallet = "{ANCHOR_WALLET}"
contract = "log-anchor"
user = "{ANCHOR}"
key = "../people/{ANCHOR}.pem"
key_id = "{ANCHOR}-1"
minutes = {ANCHOR_MINUTES}
"""
    )
    return config


def client_file(root: Path, endpoint: str) -> Path:
    """Configuration of the command line for the order desk."""
    config = root / "oms.toml"
    config.write_text(
        f"""endpoint = "{endpoint}"
user = "desk"
proposal_key = "people/desk.pem"
proposal_key_id = "desk-1"
workspace = "workspace.cbor"
origin = "{ORIGIN}"

[tls]
ca = "ca/ca.pem"
cert = "tls/front-end.pem"
key = "tls/front-end.key"
"""
    )
    return config
