"""Makes transcripts/*.json, and the table of them in docs/vectors.md. Usage: python -m tests.vectors.make_transcripts

Deterministic: `tests/unit/test_vectors.py` makes all of it again and compares byte by byte. Raise `VERSION` whenever
anything that is hashed, sent or drawn changes, and say what in docs/vectors.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.vectors.encodings import documents_file, encoding_file
from tests.vectors.proofs import PROOFS, proof_file
from tests.vectors.protocols import PROTOCOLS
from tests.vectors.written import Json, text

VERSION = 1
FOLDER = Path(__file__).with_name("transcripts")
PAGE = Path(__file__).parents[2] / "docs" / "vectors.md"
_OPEN, _CLOSE = "<!-- files -->\n", "<!-- /files -->\n"


def files() -> dict[str, str]:
    """Every file by its name."""
    makers: dict[str, Callable[[], Json]] = {"encoding": encoding_file, "documents": documents_file}
    makers |= {f"proof-{name.replace('*', '-star')}": lambda name=name: proof_file(name) for name in PROOFS}  # type: ignore[misc]
    makers |= {f"protocol-{name}": make for name, make in PROTOCOLS.items()}
    return {f"{name}.json": text({"version": VERSION, **make()}) for name, make in makers.items()}


_ABOUT = {
    "encoding.json": "values and their canonical bytes; bytes that are refused, and why",
    "documents.json": "spec, hello, header, place, epoch; what is hashed of them; identity digests by domain",
    "proof-sch.json": "Π^sch, a discrete logarithm",
    "proof-elog.json": "Π^elog, a logarithm and an El-Gamal commitment",
    "proof-enc-elg.json": "Π^enc-elg, range of a ciphertext and of an El-Gamal plaintext",
    "proof-aff-g.json": "Π^aff-g, an affine operation",
    "proof-fac.json": "Π^fac, no small factor",
    "proof-mod.json": "Π^mod, a Blum modulus",
    "proof-prm.json": "Π^prm, ring-Pedersen parameters",
    "proof-dec.json": "Π^dec, a decryption in the exponent",
    "proof-aff-g-star.json": "Π^aff-g*, an affine operation without set-up",
    "protocol-keygen.json": "key generation, 2 of 3",
    "protocol-auxinfo.json": "moduli of 3",
    "protocol-presign-sign.json": "presignature and signature of 2 of 3, below a path",
    "protocol-nonce-alert.json": "the same with a liar, up to the verdict",
    "protocol-reshare.json": "a refresh, 2 of 3 to 2 of 3",
}


def table(made: dict[str, str]) -> str:
    """What there is, for the page."""
    rows = [f"| `{name}` | {_ABOUT[name]} | {len(content.encode()) / 1000:.0f} kB |" for name, content in made.items()]
    return "\n".join(["| File | What it holds | Size |", "|---|---|---:|", *rows, ""])


def with_table(page: str, made: dict[str, str]) -> str:
    """The page with its table made anew."""
    before, rest = page.split(_OPEN)
    _, after = rest.split(_CLOSE)
    return before + _OPEN + table(made) + _CLOSE + after


def main() -> None:
    """Write everything."""
    FOLDER.mkdir(exist_ok=True)
    made = files()
    for old in set(FOLDER.glob("*.json")) - {FOLDER / name for name in made}:
        old.unlink()
    for name, content in made.items():
        (FOLDER / name).write_text(content, encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
