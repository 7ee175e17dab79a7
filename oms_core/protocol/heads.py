"""Which boot of a node speaks: so that a disk that was put back, or a second copy of a node, is noticed by all.

A node signs one head per boot: its generation, which a counter in its HSM token raises, and a random boot id. It puts
the head into every hello, with the newest heads that it knows of its peers. A node whose own head comes back to it with
a higher generation, or with the same one and another boot, is not the newest copy of itself.
"""

from __future__ import annotations

from oms_core.encoding import decode, document, encode
from oms_core.errors import Malformed, ProofInvalid
from oms_core.protocol.identity import Identity, verify_identity


@document("head/1")
class Head:
    """One boot of a node; ``boot`` has 16 random bytes."""

    index: int
    generation: int
    boot: bytes


@document("signed-head/1")
class SignedHead:
    """A head under the node's identity key, domain ``head``."""

    head: Head
    signature: bytes


def sign_head(identity: Identity, generation: int, boot: bytes) -> SignedHead:
    """My head for this boot."""
    head = Head(identity.index, generation, boot)
    return SignedHead(head, identity.sign("head", encode(head)))


def read_head(data: bytes, index: int, public: bytes) -> SignedHead:
    """A head that this node signed. Raises `ProofInvalid` or `Malformed`."""
    signed = decode(SignedHead, data, 512)
    if signed.head.index != index or not 0 <= signed.head.generation < 1 << 62 or len(signed.head.boot) != 16:
        raise Malformed("the head is another node's, or out of shape")
    verify_identity(public, "head", encode(signed.head), signed.signature)
    return signed


def overtaken(head: Head, by: Head) -> bool:
    """Whether ``by`` shows that ``head`` is not the newest copy of its node."""
    return by.generation > head.generation or (by.generation == head.generation and by.boot != head.boot)


def known_to(heads: tuple[bytes, ...], index: int, public: bytes) -> SignedHead | None:
    """The newest head of a node among what a peer knows; what the node did not sign is passed over."""
    found: SignedHead | None = None
    for data in heads:
        try:
            signed = read_head(data, index, public)
        except (Malformed, ProofInvalid):
            continue
        if found is None or signed.head.generation > found.head.generation:
            found = signed
    return found
