"""The key ceremony of a development network: certificates, tokens, cards, workspace version 0, pinned at every node."""

from __future__ import annotations

import secrets
import sys
import time
import tomllib
from pathlib import Path

from oms.authenticator import SoftwareAuthenticator
from oms.devnet.processes import run
from oms.signer import ProposalSigner, write_secret
from oms_core.chains.evm import native_asset
from oms_core.encoding import encode
from oms_core.policy.rules import ANY, Action, Deny, Destination, Limit, Permit, Require
from oms_core.workspace import AddressEntry, Member, User, Workspace, check_workspace

ETHER = 10**18
RP_ID, ORIGIN = "localhost", "http://localhost:8080"
SITES = ("Zürich", "Singapore", "Reykjavik", "Toronto", "Montevideo")
NAMES = ("zurich", "singapore", "reykjavik", "toronto", "montevideo")
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
KRAKEN = bytes.fromhex("28c6c06298d514db089934071355e5743bf21d60")
COLD = bytes.fromhex("be0eb53f46cd790cd13851d5eff43d12404d33e8")
SANCTIONED = bytes.fromhex("098b716b8aaf21512996dc57eb0615e2383e2f96")
PEOPLE = {  # user id: name, team, roles
    "tara": ("Tara Trader", "trading", ("trader",)),
    "ravi": ("Ravi Risk", "risk", ("risk",)),
    "olga": ("Olga Operations", "operations", ("risk",)),
    "sam": ("Sam Security", "security", ("security",)),
    "sonja": ("Sonja Security", "security", ("security",)),
}


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


def init_token(config: Path) -> tuple[int, bytes]:
    """Make a node's token; returns its card: index and identity key."""
    card = tomllib.loads(run(sys.executable, "-m", "cosigner", "--config", str(config), "init-token"))
    return int(card["index"]), bytes.fromhex(card["identity"])


def workspace(root: Path, cards: dict[int, bytes], chain: str) -> Workspace:
    """People with fresh (software) keys, the roster from the nodes' cards, and one rule of each kind and more."""
    people = root / "people"
    users = [
        User(
            user_id=user_id,
            person_id=f"person-{user_id}",
            name=name,
            team=team,
            roles=roles,
            credentials=(SoftwareAuthenticator.create(people / f"{user_id}.json", RP_ID).credential,),
            proposal_keys=(),
        )
        for user_id, (name, team, roles) in PEOPLE.items()
    ]
    signer = ProposalSigner.create(people / "desk.pem", "desk-1")
    users.append(User("desk", "service-desk", "Order desk", "trading", ("trader", "security"), (), (signer.public,)))
    made = Workspace(
        name="devnet",
        version=0,
        parent=b"",
        created_at=int(time.time()),
        rp_id=RP_ID,
        origins=(ORIGIN,),
        users=tuple(users),
        roster=tuple(
            Member(i, NAMES[i - 1], f"operator-{i}", f"team-{i}", SITES[i - 1], cards[i]) for i in sorted(cards)
        ),
        address_book=(
            AddressEntry("kraken-hot", "Kraken hot wallet", chain, KRAKEN),
            AddressEntry("cold-vault", "Cold vault", chain, COLD),
        ),
        rules=_rules(chain),
    )
    check_workspace(made)
    (root / "workspace.cbor").write_bytes(encode(made))
    return made


_KEYS = (Action.KEY_CREATE, Action.KEY_CHANGE)


def _rules(chain: str) -> tuple[Permit | Limit | Require | Deny, ...]:
    coin, everywhere = native_asset(chain), (ANY,)
    return (
        Permit("permit-address-book", (Action.TRANSFER,), everywhere, ("trader",), Destination.ADDRESS_BOOK),
        Permit("permit-keys", (*_KEYS, Action.KEY_SUSPEND), everywhere, ("security",), Destination.ANY),
        Limit("limit-coin", everywhere, coin, 50 * ETHER, 200 * ETHER),
        Require("require-risk", (Action.TRANSFER,), everywhere, coin, ETHER, 1, "risk"),
        Require("require-security", _KEYS, everywhere, coin, 0, 2, "security"),
        Require("require-one-to-suspend", (Action.KEY_SUSPEND,), everywhere, coin, 0, 1, "security"),
        Deny("deny-sanctioned", everywhere, (SANCTIONED,), ()),
    )


def pin(config: Path, root: Path, digest: bytes) -> None:
    """Pin the workspace at one cosigner."""
    file = str(root / "workspace.cbor")
    run(sys.executable, "-m", "cosigner", "--config", str(config), "pin", file, "--digest", digest.hex())


def coordinator_files(root: Path, oms: str, cosigners: str, chain: str, rpc: str, database: str) -> Path:
    """The coordinator's folder; returns the configuration's path."""
    home = root / "coordinator"
    home.mkdir(mode=0o700)
    config = home / "coordinator.toml"
    config.write_text(
        f"""listen_oms = "{oms}"
listen_cosigners = "{cosigners}"
database = "{database or f"sqlite:///{home / 'orders.sqlite'}"}"
workspace = "../workspace.cbor"

[tls]
ca = "../ca/ca.pem"
cert = "../tls/coordinator.pem"
key = "../tls/coordinator.key"

[chain]
id = "{chain}"
rpc = ["{rpc}"]
confirmations = 2
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
origin = "{ORIGIN}"

[tls]
ca = "ca/ca.pem"
cert = "tls/front-end.pem"
key = "tls/front-end.key"
"""
    )
    return config
