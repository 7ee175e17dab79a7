"""The Merkle-Patricia trie of a block's transactions (Ethereum yellow paper, appendix D; EIP-2718 for what it holds).

Its keys are the RLP forms of 0, 1, 2, …, none of which begins another one. So a value stands in a leaf and never in a
branch, and nothing is ever deleted: what is left of the trie is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oms_core.chains import rlp
from oms_core.chains.keccak import keccak256
from oms_core.errors import Malformed, ProofInvalid, Reason

EMPTY_ROOT = keccak256(rlp.encode(b""))
MAX_INDEX = 1 << 24  # no block has so many transactions
MAX_NODES = 16  # of a proof: the path of an index below 2^24 has at most 8 nibbles
_HASH = 32  # bytes: nodes that are shorter stand inside their parents
_WIDTH = 16


def transactions_root(transactions: Sequence[bytes]) -> bytes:
    """The 32 bytes of ``transactionsRoot``. A transaction is its bytes as they are broadcast, never empty."""
    return _trie(transactions)[0]


def prove_transaction(transactions: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The nodes on the way to a transaction, from the root: those that others name by their hashes."""
    if not 0 <= index < len(transactions):
        raise ValueError("no transaction with this index")
    wanted, nodes = _trie(transactions)
    way, proof = _key(index), list[bytes]()
    while True:
        proof.append(nodes[wanted])
        step = _inside(proof[-1], way)
        if isinstance(step, bytes):
            return tuple(proof)
        wanted, way = step.child, step.way


def verify_transaction(root: bytes, index: int, proof: Sequence[bytes]) -> bytes:
    """The transaction that stands at ``index`` under ``root``.

    Raises `ProofInvalid` (DIGEST_MISMATCH) for a node that is not the one referred to, and (MALFORMED) for whatever no
    trie has: nodes too many or too few, other paths, forms that are not canonical.
    """
    if not 0 <= index < MAX_INDEX or not 0 < len(proof) <= MAX_NODES:
        raise ProofInvalid("no index of a block, or no proof of one", Reason.MALFORMED)
    nodes, way, wanted = iter(proof), _key(index), root
    while True:
        if (encoded := next(nodes, None)) is None:
            raise ProofInvalid("the proof ends before the transaction", Reason.MALFORMED)
        if keccak256(encoded) != wanted:
            raise ProofInvalid("a node of the proof is not the one that its parent names", Reason.DIGEST_MISMATCH)
        step = _inside(encoded, way)
        if isinstance(step, bytes):
            break
        wanted, way = step.child, step.way
    if next(nodes, None) is not None:
        raise ProofInvalid("the proof goes on after the transaction", Reason.MALFORMED)
    return step


@dataclass(frozen=True, slots=True)
class _Step:
    """Where a path goes on: the 32 bytes of a node's hash, and what is left of the path."""

    child: bytes
    way: str


def _inside(encoded: bytes, way: str) -> _Step | bytes:
    """Follow a path of hexadecimal digits through a node and the nodes in it; bytes are the value at its end.

    Raises `ProofInvalid`.
    """
    try:
        node = rlp.decode(encoded)
    except Malformed as error:
        raise ProofInvalid(f"a node of the proof: {error.message}", Reason.MALFORMED) from None
    while True:
        if isinstance(node, bytes) or len(node) not in (2, _WIDTH + 1):
            raise ProofInvalid("a node is a leaf, an extension or a branch", Reason.MALFORMED)
        if len(node) == 2:
            path, ends = _unpacked(node[0])
            if not way.startswith(path) or (ends and path != way):
                raise ProofInvalid("there is no transaction with this index", Reason.MALFORMED)
            child, way = node[1], way[len(path) :]
        else:
            if node[_WIDTH] != b"" or not way:
                raise ProofInvalid("a branch of a block's transactions has no value of its own", Reason.MALFORMED)
            child, way, ends = node[int(way[0], 16)], way[1:], False
        if child == b"":
            raise ProofInvalid("there is no transaction with this index", Reason.MALFORMED)
        if isinstance(child, bytes) and ends:
            return child
        if isinstance(child, bytes) and len(child) == _HASH:
            return _Step(child, way)
        if isinstance(child, bytes) or ends or len(rlp.encode(child)) >= _HASH:
            raise ProofInvalid("a child is named by its hash, or shorter than that", Reason.MALFORMED)
        node = child


def _trie(transactions: Sequence[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """The root, and the nodes by their hashes."""
    if len(transactions) > MAX_INDEX or not all(transactions):
        raise ValueError("too many transactions, or an empty one")
    leaves = sorted((_key(index), raw) for index, raw in enumerate(transactions))
    nodes = dict[bytes, bytes]()
    top = rlp.encode(_node(leaves, 0, nodes) if leaves else b"")
    root = keccak256(top)
    return root, {**nodes, root: top}


def _node(leaves: list[tuple[str, bytes]], depth: int, nodes: dict[bytes, bytes]) -> rlp.Item:
    """The node for sorted leaves that have the first ``depth`` nibbles in common; all below it go into ``nodes``."""

    def reference(below: rlp.Item) -> rlp.Item:
        encoded = rlp.encode(below)
        if len(encoded) < _HASH:
            return below
        name = keccak256(encoded)
        nodes[name] = encoded
        return name

    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return [_packed(first[depth:], ends=True), leaves[0][1]]
    fork = next(at for at in range(depth, len(first)) if first[at] != last[at])
    if fork > depth:
        return [_packed(first[depth:fork], ends=False), reference(_node(leaves, fork, nodes))]
    children: list[list[tuple[str, bytes]]] = [[] for _ in range(_WIDTH)]
    for leaf in leaves:
        children[int(leaf[0][depth], 16)].append(leaf)
    return [*(reference(_node(below, depth + 1, nodes)) if below else b"" for below in children), b""]


def _key(index: int) -> str:
    """The path of an index, as hexadecimal digits."""
    return rlp.encode(rlp.integer(index)).hex()


def _packed(path: str, *, ends: bool) -> bytes:
    """Hex-prefix encoding (appendix C): a flag for odd lengths and for ends, and the nibbles."""
    odd = len(path) % 2
    return bytes.fromhex(f"{2 * ends + odd}{'' if odd else '0'}{path}")


def _unpacked(item: rlp.Item) -> tuple[str, bool]:
    """The nibbles, and whether they end. Raises `ProofInvalid` for a form that is not the one."""
    if not isinstance(item, bytes) or not item:
        raise ProofInvalid("a path is bytes", Reason.MALFORMED)
    flag, digits = item[0] >> 4, item.hex()
    path, ends = digits[1 if flag % 2 else 2 :], flag >= 2
    if flag > 3 or _packed(path, ends=ends) != item or not (path or ends):
        raise ProofInvalid("not the canonical form of a path", Reason.MALFORMED)
    return path, ends
