"""The protocols of docs/vectors.md followed from the JSON files, by `independent` alone: no oms_core.

Every commitment is opened, every echo and proof is verified by each receiver, every result is computed again.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any

from ecdsa import BadSignatureError, SECP256k1, VerifyingKey
from ecdsa.ellipticcurve import INFINITY
from ecdsa.util import sigdecode_string

from tests.vectors.independent import (
    G,
    Json,
    P,
    Q,
    Refuted,
    Tree,
    decode,
    digest,
    point,
    read,
    times,
    verify,
    written,
)


class Run:
    """One file."""

    def __init__(self, file: Json) -> None:
        self.level = file["level"]
        self.inputs, self.public, self.outputs = (read(file[part]) for part in ("inputs", "public", "outputs"))
        self.ssid, self.parties = self.inputs["ssid"], self.inputs["parties"]
        self.raw: dict[str, dict[int, bytes]] = {}
        self.direct: dict[str, dict[tuple[int, int], Tree]] = {}
        for made in file["rounds"]:
            self.raw[made["step"]] = {m["from"]: bytes.fromhex(m["broadcast"]) for m in made["messages"]}
            self.direct[made["step"]] = {
                (m["from"], int(to)): decode(bytes.fromhex(data))
                for m in made["messages"]
                for to, data in m.get("direct", {}).items()
            }
        self.said = {step: {i: decode(data) for i, data in messages.items()} for step, messages in self.raw.items()}

    def others(self, i: int) -> list[int]:
        """Everybody else."""
        return [j for j in self.parties if j != i]

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Every sender with every receiver."""
        return ((i, j) for i in self.parties for j in self.others(i))

    def echoed(self, step: str, echoes: dict[int, Tree]) -> None:
        """Everybody's echo is of what was said."""
        expected = digest("echo", self.ssid, step, [self.raw[step][i] for i in sorted(self.parties)])
        assert all(echo["hash"] == expected for echo in echoes.values())

    def committed(self, family: str) -> None:
        """What was opened in round 2 is what was committed to in round 1, and all echo both."""
        for i, opening in self.said[f"{family}.2"].items():
            made = digest(f"{family} commitment", self.ssid, i, opening, size=64)
            assert self.said[f"{family}.1"][i]["hash"] == made
        for step in (f"{family}.1", f"{family}.2"):
            self.echoed(step, self.said[f"{step}.echo"])

    def proven(
        self, name: str, slot: str, i: int, statement: Tree, proof: Tree, j: int | None = None, extra: bytes = b""
    ) -> None:
        """A proof that i made, for j or for all."""
        place = {"@": "proof-context/1", "ssid": self.ssid, "slot": slot, "prover": i, "verifier": j, "extra": extra}
        kind = {"mod": statement, "prm": statement}.get(name) or {"@": f"{_kind(name)}-statement/1", **statement}
        verify(name, self.level, place, kind, proof)


def _kind(name: str) -> str:
    return name.replace("*", "-star")


def total(points: Iterable[Any]) -> Any:
    """A sum of points."""
    result = INFINITY
    for one in points:
        result = result + one
    return result


def at(F: list[bytes], index: int) -> Any:
    """Σ index^k·F_k."""
    return total(times(index**k, point(one)) for k, one in enumerate(F))


def lagrange(j: int, indices: Iterable[int]) -> int:
    """λ_j at 0."""
    top = bottom = 1
    for other in indices:
        if other != j:
            top, bottom = top * other % Q, bottom * (other - j) % Q
    return top * pow(bottom, -1, Q) % Q


def xor(values: Iterable[bytes]) -> bytes:
    """A sum of bit strings."""
    result = bytes(32)
    for value in values:
        result = bytes(a ^ b for a, b in zip(result, value, strict=True))
    return result


def keygen(run: Run) -> None:
    run.committed("keygen")
    opened, public, t = run.said["keygen.2"], run.public, run.inputs["threshold"]
    assert public["rid"] == xor(one["rid"] for one in opened.values())
    assert public["chain_code"] == xor(one["chain_code"] for one in opened.values())
    F = [written(total(point(one["F"][k]) for one in opened.values())) for k in range(t)]
    assert public["F"] == F
    assert public["public_key"] == F[0]
    assert public["public_shares"] == [[i, written(at(F, i))] for i in run.parties]
    for i, j in run.pairs():
        assert times(run.direct["keygen.2"][i, j]["value"], G) == at(opened[i]["F"], j)
    for i in run.parties:
        proof, rid = run.said["keygen.3"][i], public["rid"]
        share = {**proof["share"], "first_message": opened[i]["A"]}
        constant = {**proof["constant"], "first_message": opened[i]["A_constant"]}
        run.proven("sch", "keygen.share", i, {"X": written(at(F, i))}, share, extra=rid)
        run.proven("sch", "keygen.constant", i, {"X": opened[i]["F"][0]}, constant, extra=rid)
    _shares(run, public["public_key"], public["public_shares"], t)


def _shares(run: Run, key: bytes, shares: list[Any], threshold: int) -> None:
    """Everybody ends with its own share of the key, and any quorum has the key."""
    secret = {int(i): out["value"]["secret"] for i, out in run.outputs.items()}
    assert all(written(times(secret[i], G)) == X for i, X in shares)
    for quorum in ([1, 2], [1, 3], [2, 3]):
        assert len(quorum) == threshold
        assert written(times(sum(lagrange(i, quorum) * secret[i] for i in quorum), G)) == key
    for out in run.outputs.values():
        assert decode(out["bytes"]) == out["value"]
        assert out["value"]["public_shares"] == shares


def auxinfo(run: Run) -> None:
    run.committed("auxinfo")
    opened, rho = run.said["auxinfo.2"], run.public["rho"]
    assert rho == xor(one["rho"] for one in opened.values())
    for i, one in opened.items():
        p, q, p_hat, q_hat = run.inputs["primes"][str(i)]
        assert (one["paillier"], one["pedersen"][0]) == (p * q, p_hat * q_hat)
        run.proven("prm", "prm", i, one["pedersen"], one["proof"])
        run.proven("mod", "mod", i, one["paillier"], run.said["auxinfo.3"][i], extra=rho)
    for i, j in run.pairs():
        statement = {"N0": opened[i]["paillier"], "pedersen": opened[j]["pedersen"]}
        run.proven("fac", "fac", i, statement, run.direct["auxinfo.3"][i, j]["proof"], j, rho)
    assert run.public["digest"] == digest("moduli", run.public["moduli"], rho)


class Presigning:
    """The rounds of presigning, verified by each receiver; what follows from them."""

    def __init__(self, run: Run) -> None:
        self.run, key = run, run.inputs["epoch"]["value"]
        self.N = {one["index"]: one["paillier"] for one in key["aux"]}
        self.pedersen = {one["index"]: one["pedersen"] for one in key["aux"]}
        assert run.inputs["epoch_hash"] == digest("epoch", key)
        self._derive(key)
        self.first, self.second, self.third = (run.said[f"presign.{n}"] for n in (1, 2, 3))
        run.echoed("presign.1", run.said["presign.1.echo"])
        run.echoed("presign.2", {i: m["echo"] for i, m in self.third.items()})
        run.echoed("presign.3", run.said["presign.3.echo"])
        self.Gamma = written(total(point(m["Gamma"]) for m in self.second.values()))
        for i in run.parties:
            self._said(i)
        for i, j in run.pairs():
            self._ranges(i, j)
            self._products(i, j)
        assert run.public["Gamma"] == self.Gamma
        self.delta = sum(m["delta"] for m in self.third.values()) % Q
        assert run.public["delta"] == self.delta
        for name, made in (
            ("delta_G", times(self.delta, G)),
            ("sum_of_Delta", total(point(m["Delta"]) for m in self.third.values())),
            ("delta_X", times(self.delta, point(run.inputs["public_key"]))),
            ("sum_of_S", total(point(m["S"]) for m in self.third.values())),
        ):
            assert run.public[name] == written(made)

    def _derive(self, key: Tree) -> None:
        """BIP32 along the path; Shamir to additive."""
        inputs, parties, X, code, theta = self.run.inputs, self.run.parties, key["public_key"], key["chain_code"], 0
        for index in inputs["path"]:
            made = hmac.digest(code, X + index.to_bytes(4, "big"), "sha512")
            step, code = int.from_bytes(made[:32], "big"), made[32:]
            X, theta = written(point(X) + times(step, G)), (theta + step) % Q
        assert (inputs["tweak"], inputs["public_key"]) == (theta, X)
        self.W = {}
        for j, share in key["public_shares"]:
            if j in parties:
                tweak = times(theta if j == min(parties) else 0, G)
                self.W[j] = written(times(lagrange(j, parties), point(share)) + tweak)
        assert {int(j): W for j, W in inputs["additive_public_shares"].items()} == self.W

    def _said(self, i: int) -> None:
        m1, m2, m3 = self.first[i], self.second[i], self.third[i]
        of_gamma = {"L": m1["B1"], "M": m1["B2"], "X": m1["Y"], "Y": m2["Gamma"], "H": written(G)}
        of_k = {"L": m1["A1"], "M": m1["A2"], "X": m1["Y"], "Y": m3["Delta"], "H": self.Gamma}
        self.run.proven("elog", "elogR2", i, of_gamma, m2["proof"])
        self.run.proven("elog", "elogR3", i, of_k, m3["proof"])

    def _ranges(self, i: int, j: int) -> None:
        m, proofs = self.first[i], self.run.direct["presign.1"][i, j]
        common = {"N0": self.N[i], "A": m["Y"], "pedersen": self.pedersen[j]}
        of_K = {**common, "C": m["K"], "B": m["A1"], "X": m["A2"]}
        of_G = {**common, "C": m["G"], "B": m["B1"], "X": m["B2"]}
        self.run.proven("enc-elg", "enc0", i, of_K, proofs["K"], j)
        self.run.proven("enc-elg", "enc1", i, of_G, proofs["G"], j)

    def _products(self, i: int, j: int) -> None:
        got = self.run.direct["presign.2"][i, j]
        made = got["made"]
        assert dict(self.second[i]["products"])[j] == digest("DF", self.run.ssid, i, j, made)
        common = {"N0": self.N[j], "N1": self.N[i], "C": self.first[j]["K"], "pedersen": self.pedersen[j]}
        of_D = {**common, "D": made["D"], "Y": made["F"], "X": self.second[i]["Gamma"]}
        of_D_hat = {**common, "D": made["D_hat"], "Y": made["F_hat"], "X": self.W[i]}
        self.run.proven("aff-g", "aff0", i, of_D, got["psi"], j)
        self.run.proven("aff-g", "aff1", i, of_D_hat, got["psi_hat"], j)


def presign_sign(run: Run) -> None:
    made, public, outputs = Presigning(run), run.public, run.outputs
    assert public["delta_G"] == public["sum_of_Delta"]
    assert public["delta_X"] == public["sum_of_S"]
    inverse, presignature = pow(made.delta, -1, Q), public["presignature"]["value"]
    assert public["presignature_id"] == digest("presignature", presignature)
    m, r = int.from_bytes(run.inputs["digest"], "big") % Q, int.from_bytes(made.Gamma[1:], "big") % Q
    for (i, Delta), (also, S) in zip(presignature["Delta"], presignature["S"], strict=True):
        assert i == also
        secret, share = outputs["presignature_secrets"][str(i)], run.said["sign.1"][i]
        assert (
            Delta
            == written(times(inverse, point(made.third[i]["Delta"])))
            == written(times(secret["k"], point(made.Gamma)))
        )
        assert (
            S == written(times(inverse, point(made.third[i]["S"]))) == written(times(secret["chi"], point(made.Gamma)))
        )
        assert (share["presignature_id"], share["digest"]) == (public["presignature_id"], run.inputs["digest"])
        assert share["sigma"] == outputs["sigma"][str(i)] == (secret["k"] * m + secret["chi"] * r) % Q
        assert times(share["sigma"], point(made.Gamma)) == times(m, point(Delta)) + times(r, point(S))
    s = sum(outputs["sigma"].values()) % Q
    v = (made.Gamma[0] & 1) + 2 * (int.from_bytes(made.Gamma[1:], "big") >= Q)
    low = (s, v) if s <= (Q - 1) // 2 else (Q - s, v ^ 1)
    signature = outputs["signature"]
    assert (signature["r"], signature["s"], signature["recovery_id"]) == (r, *low)
    _recovers(run.inputs["public_key"], m, *low, r)
    key = VerifyingKey.from_string(run.inputs["public_key"], curve=SECP256k1)
    raw = r.to_bytes(32, "big") + low[0].to_bytes(32, "big")
    try:
        key.verify_digest(raw, run.inputs["digest"], sigdecode=sigdecode_string)
    except BadSignatureError:
        raise Refuted("python-ecdsa verifies the signature") from None


def _recovers(key: bytes, m: int, s: int, v: int, r: int) -> None:
    x = r + Q * (v >> 1)
    assert x < P
    R = point(bytes([2 + (v & 1)]) + x.to_bytes(32, "big"))
    assert key == written(times(pow(r, -1, Q), times(s, R) + times(-m, G)))


def nonce_alert(run: Run) -> None:
    made = Presigning(run)
    assert run.public["delta_G"] != run.public["sum_of_Delta"]
    found = {}
    for i in run.parties:
        try:
            _opening(made, i)
        except Refuted as refuted:
            found[i] = str(refuted)
    step, liar = "presign.nonce-alert", run.inputs["liar"]
    assert set(found) == {liar}
    for i, verdict in run.outputs["verdicts"].items():
        assert int(i) != liar
        assert [(one["culprit"], one["step"], one["claim"]) for one in verdict] == [(liar, step, found[liar])]


def _opening(made: Presigning, i: int) -> None:
    run, opening = made.run, made.run.said["presign.nonce-alert"][i]
    assert [one["peer"] for one in opening["opened"]] == run.others(i)
    N, NN, added = made.N[i], made.N[i] ** 2, 1
    for one in opening["opened"]:
        j, received, sent = one["peer"], one["received"], one["sent"]
        assert dict(made.second[j]["products"])[i] == digest("DF", run.ssid, j, i, received)
        assert dict(made.second[i]["products"])[j] == digest("DF", run.ssid, i, j, sent)
        added = added * received["D"] * pow(sent["F"], -1, NN) % NN
    Gamma, T = made.second[i]["Gamma"], written(times(made.third[i]["delta"], G))
    sum_of = {"N0": N, "K": made.first[i]["K"], "D": added, "X": Gamma, "T": T, "B": written(G)}
    run.proven("dec", "dec0", i, {**sum_of, "signers": len(run.parties)}, opening["sum"])
    for one, proof in zip(opening["opened"], opening["products"], strict=True):
        j, sent = one["peer"], one["sent"]
        product = {"N0": made.N[j], "N1": N, "C": made.first[j]["K"], "D": sent["D"], "Y": sent["F"], "X": Gamma}
        run.proven("aff-g*", f"affs0:{j}", i, product, proof)


def reshare(run: Run) -> None:
    run.committed("reshare")
    opened, new, key = run.said["reshare.2"], run.inputs["resharing"]["value"], run.inputs["epoch"]["value"]
    openings = digest("reshare openings", [[j, opened[j]] for j in run.parties])
    assert run.public["openings"] == openings
    for i, X in key["public_shares"]:
        assert opened[i]["B"][0] == written(times(lagrange(i, new["dealers"]), point(X)))
        assert len(opened[i]["B"]) == new["threshold"]
        proofs = run.said["reshare.3"][i]["coefficients"]
        for k, (B, A, proof) in enumerate(zip(opened[i]["B"], opened[i]["A"], proofs, strict=True)):
            run.proven("sch", f"reshare.{k}", i, {"X": B}, {**proof, "first_message": A}, extra=openings)
    for i, j in run.pairs():
        assert times(run.direct["reshare.2"][i, j]["value"], G) == at(opened[i]["B"], j)
    B = [written(total(point(one["B"][k]) for one in opened.values())) for k in range(new["threshold"])]
    assert B[0] == key["public_key"] == run.public["public_key"]
    assert run.public["public_shares"] == [[j, written(at(B, j))] for j in new["receivers"]]
    assert run.public["public_shares"] != key["public_shares"]
    _shares(run, key["public_key"], run.public["public_shares"], new["threshold"])


RUNS = {
    "keygen": keygen,
    "auxinfo": auxinfo,
    "presign-sign": presign_sign,
    "nonce-alert": nonce_alert,
    "reshare": reshare,
}
