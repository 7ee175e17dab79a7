"""The table of rules and named attacks with the tests that stand for them, made from the tests' own marks.

python -m tests.attack.table writes docs/security/attacks.md; a test holds that it is up to date and has no gaps.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security" / "attacks.md"

RULES = {
    "R1": "Unambiguous encoding of what is hashed (TSSHOCK, CVE-2022-47931)",
    "R2": "One-bit challenges and all repetitions in Π^prm, Π^mod, Π^dec, Π^aff-g*",
    "R3": "Exact lengths of every sequence",
    "R4": "The Paillier modulus is a product of two large primes (CVE-2023-33241)",
    "R5": "Π^mod checks w (CVE-2025-66016)",
    "R6": "Π^prm and Π^mod are never batched",
    "R7": "No small factor, proven to each verifier under its own modulus",
    "R8": "Ring-Pedersen parameters are valid (CVE-2020-12118)",
    "R9": "One's own moduli are of safe primes",
    "R10": "k and γ are in range before anything is multiplied (alpha-rays)",
    "R11": "Π^aff-g binds product, mask and multiplier",
    "R12": "Every residue is a unit",
    "R13": "Ranges exclude wrap-around modulo N",
    "R14": "Proofs and commitments are bound to session, party, slot and epoch",
    "R15": "The challenge covers the whole statement and every first message",
    "R16": "Broadcasts are echoed",
    "R17": "A failed session is over (CVE-2023-33242)",
    "R18": "A presignature signs once",
    "R19": "Signers hash the message themselves (CVE-2025-66017)",
    "R20": "Presignatures are bound to their path",
    "R21": "Indices are in range and distinct",
    "R22": "No identity points, no zero scalars",
    "R23": "x-coordinate, low s, recovery id",
    "R24": "Finality of refresh and resharing",
    "R25": "Contributions to a refresh are validated",
    "R26": "Secret shares are confidential, senders authenticated",
    "R27": "Configuration comes from one's own store",
    "R28": "Ephemeral secrets are not kept, shown or copied",
    "R29": "Nonces are never used twice, also not in retransmissions",
    "R30": "Side channels: exponentiation with long-term secrets",
    "R31": "Limits of size and work",
    "R32": "Sessions in parallel do not touch each other",
}
ATTACKS = {
    "K01": "Rogue key: a contribution chosen after the others are seen",
    "K02": "A copied commitment with its opening",
    "K03": "A copied or replayed proof of knowledge",
    "K04": "A longer Feldman vector, to raise the threshold",
    "K05": "Shorter and empty vectors",
    "K06": "Indices 0, q, i + q, twice",
    "K07": "A bad share to one victim; a false complaint",
    "K08": "Different broadcasts to different parties",
    "K09": "Confirmation of a new epoch to some and not to others",
    "K10": "A modulus of many small primes",
    "K11": "Degenerate Π^mod",
    "K12": "Degenerate ring-Pedersen parameters",
    "K13": "Fewer repetitions",
    "K14": "A small modulus, or somebody else's",
    "K15": "Shares of an old epoch",
    "K16": "Killed at every step of key generation and resharing",
    "P01-P24": "Each field of each message, mutated",
    "P25": "k or γ out of range",
    "P26": "A wrong product or mask",
    "P27": "Γ or Δ that does not fit the ciphertext",
    "P28": "A wrong δ under right proofs",
    "P29": "A wrong share of the signature",
    "P30": "Selective aborts as an oracle",
    "P31": "A presignature asked for twice",
    "P32": "Different messages to different signers",
    "P33": "Rolled back, with two accomplices",
    "P34": "A forged hash to be signed",
    "P35": "Another path than the presignature's",
    "P36": "A weak or constant nonce share",
    "P37": "Malleation of s",
    "P38": "A false sender inside a packet",
    "P39": "Old rounds and sessions replayed",
    "P40": "Points off the curve, at infinity, in other encodings",
    "P41": "Ambiguous transcripts",
    "P42": "Proofs that cost much to refuse",
    "P43": "A presignature or approval from before a change",
    "C01": "An order that nobody has approved, or not the right people",
    "C02": "The approvals, the proposal or the digest of another order",
    "C03": "The same approvals twice: for two transactions, in two quorums",
    "C04": "Recipient, amount, calldata, chain, path, nonce, gas or fee changed after approval",
    "C05": "An old or invented version of the workspace",
    "C06": "A version that a revoked or unfit person has signed",
    "C07": "A person's denial, or a cosigner's refusal, that is dropped",
    "C08": "Lies about quorum, threshold, level, epoch and key",
    "C09": "Another session shown to each",
    "C10": "An honest cosigner is said to have misbehaved",
    "C11": "A finished signature that is withheld",
    "C12": "A session id that was used before, or belongs elsewhere",
    "C13": "A coordinator that has forgotten what was signed",
    "C14": "A flood of presignings and approvals",
    "C15": "Two logs, shown to different nodes",
    "C16": "Documents dated back, and dated ahead",
    "C17": "A conviction that is kept back",
    "C18": "A test signature of a key that holds money",
    "C19": "A message or a permit in the place of a transaction",
    "C20": "Allowances without end, foreign calls, delegation, deployment",
    "C22": "Words that hide what is decided",
    "C23": "Units of another asset",
    "C24": "Another chain, or no chain: replay between them",
    "C25": "256 sessions at once",
    "A01": "An assertion from another origin, for another party, inside another's page",
    "A02": "An assertion without user verification",
    "A03": "An assertion over another challenge, replayed or rewritten",
    "A04": "A cloned authenticator, or one that can be copied",
    "A05": "Another algorithm, another ceremony, a made-up signature",
    "A06": "A stolen session, which is no approval",
    "A08": "A page in another's frame",
    "A10": "An approver who lowers the quorum, and then is it",
    "A11": "A second key, or account, of one person",
    "A12": "One's own change, or order, approved by oneself",
    "A13": "Active content in a purpose or label",
    "A14": "An order edited after it was approved",
    "A15": "Clocks put back, and ends put off",
    "L01": "An entry that is dropped from the log",
    "L02": "Entries in another order",
    "L03": "Another log for the auditor",
    "L04": "A smaller checkpoint after a larger one",
    "L05": "A wrong consistency proof",
    "L06": "A forged cosignature",
    "L07": "One key for two witnesses",
    "L08": "Two requests for cosignatures at once, of which the smaller one is stored last",
    "L09": "An effect whose entry is missing: a state, a request to cosigners or a sending without it, or before it",
    "L10": "Cosignatures from the future",
    "L11": "A witness that is put back to an older copy",
    "L12": "An anchor whose transaction names another checkpoint, comes from elsewhere, or is not in the block",
}
NOT_YET = {
    "C21": "Bitcoin's signature hash types and amounts: there is no Bitcoin yet",
    "A07": "Cross-site requests: there is no web front end yet; the API takes client certificates, no cookies",
    "A09": "A flood of requests for approval: nothing is pushed to people yet",
    "A16": "A recovery path weaker than the login: there is no recovery path",
}


def covered() -> dict[str, list[str]]:
    """By rule or attack: the tests that say they cover it, as path::name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        module = ast.parse(path.read_text())
        everywhere = _marks(_pytestmark(module))
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for mark in (*everywhere, *_marks(node.decorator_list)):
                    found[mark].append(f"{path.relative_to(ROOT / 'tests')}::{node.name}")
    return found


def _pytestmark(module: ast.Module) -> list[ast.expr]:
    for node in module.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
            return node.value.elts if isinstance(node.value, ast.List) else [node.value]
    return []


def _marks(decorators: list[ast.expr]) -> list[str]:
    names: list[str] = []
    for one in decorators:
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "covers":
            names.extend(str(argument.value) for argument in one.args if isinstance(argument, ast.Constant))
    return names


def page() -> str:
    """The whole page."""
    tests = covered()
    lines = [
        "# Rules and attacks, and the tests that stand for them",
        "",
        "Made by `python -m tests.attack.table` from the marks on the tests; `make test` holds it up to date.",
        "`make attack` runs all of them. Rules R1 to R32 are the specification's; attacks on key generation are called",
        "K, on signing P, by a hostile coordinator C, on approvals A, on the log L.",
    ]
    for title, known in (("Rules", RULES), ("Attacks", ATTACKS)):
        lines += ["", f"## {title}", "", "| | what | tests |", "|---|---|---|"]
        for name, what in known.items():
            shown = [f"`{test}`" for test in tests.get(name, [])]
            more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
            lines.append(f"| {name} | {what} | {'<br>'.join(shown[:4])}{more} |")
    lines += ["", "## Not applicable yet", "", "| | what, and why |", "|---|---|"]
    lines += [f"| {name} | {what} |" for name, what in NOT_YET.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
    found = covered()
    missing = [name for name in (*RULES, *ATTACKS) if not found.get(name)]
    print("written;", f"no test for {', '.join(missing)}" if missing else "every rule and attack has a test")
