"""`oms log`: what stands in the log, and that nothing in it was edited, taken out, moved or told differently."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TypeVar

import click

from auditor.compare import Compared, compare
from auditor.files import open_log, tell_progress, verify_files
from auditor.lines import write_end, write_line
from auditor.logs import Answer, Ask, Extends, Items, LogReport, verify_log
from auditor.logs import Path as PathOf
from auditor.proofs import entry_proof
from auditor.report import printable, when
from auditor.trusted import read_file
from auditor.versions import read_genesis
from oms.cli.shared import call
from oms.cli.trusted import DIGEST, WORKSPACE, agreed, agreed_workspace, tell
from oms.client import Client
from oms_core.encoding import encode
from oms_core.errors import LocalError, NotFound, Reason, Unavailable
from oms_core.log.entries import Item, read_entry, read_record
from oms_core.log.note import read_checkpoint, read_note
from oms_core.log.quorum import degraded, full
from oms_core.log.roster import log_verifier
from oms_core.workspace import Workspace

T = TypeVar("T")
CONFLICT = 3  # exit code: the log has been told in two ways
OUT = click.option("-o", "--out", type=click.Path(path_type=Path), required=True)


@click.group("log")
def group() -> None:
    """The witnessed log."""


@group.command()
@click.option("--tiles", type=click.Path(path_type=Path), help="A folder, as `coordinator log-tiles` writes it.")
@click.option("--export", "file", type=click.Path(path_type=Path), help="A file, as `oms log export` writes it.")
@click.option("--from", "first", type=int, help="The first index to verify.")
@click.option("--to", "last", type=int, help="The first index that is not verified.")
@WORKSPACE
@DIGEST
@click.pass_context
def verify(
    context: click.Context,
    tiles: Path | None,
    file: Path | None,
    first: int | None,
    last: int | None,
    pinned: Path | None,
    digest: str,
) -> None:
    """Read the whole log, and name the first entry that is not as witnesses have cosigned it."""
    trusted, workspace = agreed(context, pinned, digest)
    if tiles is None and file is None:
        report = call(context, lambda client, _: _verify_there(client, trusted, workspace, first or 0, last))
    else:
        report = verify_files(open_log(tiles, file), trusted, workspace, first, last)
    tell(context, list(map(printable, report.lines())))
    report.check()


@group.command()
@click.argument("index", type=int)
@OUT
@WORKSPACE
@click.pass_context
def prove(context: click.Context, index: int, out: Path, pinned: Path | None) -> None:
    """Write the proof that an entry stands in the log, for anybody to check offline (C2SP tlog-proof)."""
    workspace = agreed_workspace(context, pinned)

    async def work(client: Client) -> tuple[str, Item]:
        note, size = await _cosigned(client, workspace)
        if not 0 <= index < size:
            raise NotFound(f"the checkpoint is of {size} entries")
        items, _ = await client.log_items(index, 1)
        path = await client.log_proof(index, size)
        return entry_proof(items[0].entry, path, read_note(note), workspace), items[0]

    text, one = call(context, lambda client, _: work(client))
    out.write_text(text)
    click.echo(f"{out}: {_line(one)}")


@group.command()
@click.argument("heads", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--evidence", type=click.Path(path_type=Path), default="log-conflict", show_default=True)
@WORKSPACE
@click.pass_context
def diff(context: click.Context, heads: tuple[Path, ...], evidence: Path, pinned: Path | None) -> None:
    """Compare heads that witnesses, other teams or you yourself have kept with the log as it is shown now.

    Exit code 3 if the log was told in two ways; what proves it is written to a file.
    """
    log = log_verifier(agreed_workspace(context, pinned))
    others = [(path, read_file(path).decode(errors="replace")) for path in heads]

    async def work(client: Client) -> list[Compared]:
        ours = bytes((await client.checkpoint()).note).decode()
        return [await _drive(client, compare(ours, text, log)) for _, text in others]

    wrong = 0
    for (path, _), found in zip(others, call(context, lambda client, _: work(client)), strict=True):
        click.echo(f"{'CONFLICT' if found.conflict or found.ahead else 'ok'}  {path}: {found.words}")
        if found.conflict is not None:
            place = evidence if not wrong else evidence.with_name(f"{evidence.name}-{wrong}")
            place.write_bytes(encode(found.conflict))
            click.echo(f"  what proves it is in {place}")
        wrong += found.conflict is not None or found.ahead
    if wrong:
        context.exit(CONFLICT)


@group.command()
@click.option("-n", "count", type=click.IntRange(0, 1000), default=20, show_default=True)
@click.option("--follow", is_flag=True, help="Go on as the log grows.")
@click.pass_context
def tail(context: click.Context, count: int, follow: bool) -> None:
    """Show the newest entries, as the coordinator tells them."""

    async def work(client: Client) -> None:
        at = max(0, (await client.log_items(0, 1))[1] - count)
        while True:
            items, size = await client.log_items(at)
            for one in items:
                click.echo(_json(one) if context.obj[1] else _line(one))
            at += len(items)
            if at >= size and not follow:
                return
            if at >= size:
                await asyncio.sleep(1)

    call(context, lambda client, _: work(client))


@group.command()
@click.option("--from", "first", type=click.IntRange(0), default=0, show_default=True)
@click.option("--records", is_flag=True, help="With the documents, so that all of it can be verified.")
@OUT
@WORKSPACE
@click.pass_context
def export(context: click.Context, first: int, records: bool, out: Path, pinned: Path | None) -> None:
    """Write entries as JSON Lines, up to the newest checkpoint that is cosigned, which is the last line."""
    workspace = agreed_workspace(context, pinned)

    async def work(client: Client) -> int:
        note, size = await _cosigned(client, workspace)
        head, written = read_checkpoint(read_note(note).body), 0
        if first >= size:
            raise NotFound(f"the checkpoint is of {size} entries")
        with out.open("w") as file:
            async for one in _between(client, first, size):
                file.write(write_line(one, head, records))
                written += 1
            file.write(write_end(note))
        return written

    click.echo(f"{out}: {call(context, lambda client, _: work(client))} entries")


@group.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), help="A folder for receipts, proofs and checkpoints.")
@click.pass_context
def anchors(context: click.Context, out: Path | None) -> None:
    """Show the log's anchors in a public chain, newest first."""
    found = call(context, lambda client, _: client.anchors())
    if not found:
        click.echo("the log has no anchor", err=True)
    for one in found:
        where = f"block {one.block_number}, {when(one.block_time)}" if one.receipt else one.reason
        click.echo(f"{one.transaction_id}  {one.size:8} entries  {one.state:9} {where}")
        if out is not None and one.receipt:
            out.mkdir(parents=True, exist_ok=True)
            files = (("receipt", one.receipt), ("checkpoint", one.checkpoint.encode()), ("ots", one.ots))
            for kind, data in files:
                (out / f"{one.transaction_id}.{kind}").write_bytes(data)


async def _verify_there(
    client: Client, trusted: bytes, workspace: Workspace | None, first: int, last: int | None
) -> LogReport:
    items, _ = await client.log_items(0, 1)
    if not items:
        raise NotFound("the log is empty")
    entry = read_entry(items[0].entry)
    shown = workspace or read_genesis(entry, read_record(entry, items[0]))  # to know how many witnesses there are
    note, _ = await _cosigned(client, shown)
    return await _drive(client, verify_log(note, trusted, workspace, True, first, last))


async def _cosigned(client: Client, workspace: Workspace) -> tuple[str, int]:
    """The newest checkpoint that is cosigned in full, or by an honest witness at least. Raises `Unavailable`."""
    n = len(workspace.roster)
    found = await client.checkpoint(full(n))
    if found.cosignatures < full(n):
        found = await client.checkpoint(degraded(n))
    if found.cosignatures < degraded(n):
        raise Unavailable("too few witnesses have cosigned a checkpoint of the log", Reason.NOT_LOGGED)
    return bytes(found.note).decode(), int(found.size)


async def _drive(client: Client, asking: Generator[Ask, Answer, T]) -> T:
    """Run a verification on what a coordinator answers."""
    answer: Answer = None
    while True:
        try:
            asked = asking.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        tell_progress(asked)
        match asked:
            case Items(start, limit):
                answer, _ = await client.log_items(start, limit)
            case PathOf(index, size):
                answer = await client.log_proof(index, size)
            case Extends(old, new):
                answer = await client.log_consistency(old, new)


async def _between(client: Client, first: int, stop: int) -> AsyncIterator[Item]:
    at = first
    while at < stop:
        items, _ = await client.log_items(at)
        if not items:
            raise LocalError(f"the coordinator has no entry {at}", Reason.STORE_CORRUPT)
        for one in items[: stop - at]:
            yield one
        at += len(items)


def _line(one: Item) -> str:
    entry = read_entry(one.entry)
    record = read_record(entry, one)
    who = "(erased)" if record is None else f"{record.actor}  {record.note}".rstrip()
    return printable(f"{entry.index:8}  {when(entry.at)}  {entry.event:28} {entry.subject:32} {who}")


def _json(one: Item) -> str:
    entry = read_entry(one.entry)
    record = read_record(entry, one)
    told = {"index": entry.index, "at": entry.at, "event": entry.event, "subject": entry.subject}
    if record is not None:
        told |= {"actor": record.actor, "note": record.note}
    return json.dumps(told)
