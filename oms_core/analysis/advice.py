"""What rules let through that is seldom meant: any fee, anybody as destination, large sums on one person's word.

Unlike a finding of `oms_core.analysis.checks` it may well be meant; but each is true: where it is said that something
passes, an order that does so has been asked about. What is not known in time is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

from oms_core.analysis.checks import MILLISECONDS, Finding, NotKnown, Problem, Questions
from oms_core.analysis.orders import words
from oms_core.analysis.properties import And, Approvals, Property
from oms_core.analysis.prove import Prover
from oms_core.analysis.universe import MAX_FEE
from oms_core.policy.rules import Action, Kind, Operator, Rule, Test
from oms_core.workspace import Workspace

LARGE = 1_000_000 * 10**6  # micro-USD: what should take more than one person's approval
_DEAREST = Test("fee.total", Operator.AT_LEAST, (MAX_FEE,))


def advise(workspace: Workspace, now: int, milliseconds: int = MILLISECONDS) -> tuple[Finding, ...]:
    """All of it, by what it is about."""
    questions = Questions(workspace, now, milliseconds, [_DEAREST])
    found = [
        *_fees(questions),
        *_unpayable(questions),
        *_anybody(questions),
        *_limits(questions),
        *_large(workspace, now, milliseconds),
    ]
    return tuple(sorted(found, key=lambda one: (one.about, one.problem, one.text)))


def _rules(questions: Questions, kind: Kind) -> list[Rule]:
    return [rule for rule in questions.workspace.rules if rule.kind is kind]


def _possible(questions: Questions, *formulas: object, not_known: bool = False) -> bool:
    """Whether there is such an order; ``not_known`` where that was not decided in time."""
    try:
        return questions.possible(*formulas)
    except NotKnown:
        return not_known


def _fees(questions: Questions) -> Iterator[Finding]:
    """PERMITs by which an order may pay whatever fee it likes."""
    choices = questions.formulas.tables.choices
    dearest = questions.formulas.choice("fee", choices.fee.index(MAX_FEE))
    sends = questions.formulas.is_transaction
    named = [
        rule.rule_id
        for rule in _rules(questions, Kind.PERMIT)
        if _possible(
            questions, questions.holds[rule.rule_id], questions.passes, sends, dearest, questions.formulas.plain
        )
    ]
    if named:
        text = f"no bound for orders that {', '.join(sorted(named))} permits: deny above a fee.total, or limit coins"
        yield Finding(Problem.ANY_FEE, "fees", text)


def _unpayable(questions: Questions) -> Iterator[Finding]:
    """Chains on which orders pass only if they pay nothing: where a limit cannot value the coin, as a rule."""
    formulas = questions.formulas
    choices = formulas.tables.choices
    if 1 not in choices.fee:
        return
    some = formulas.choice("fee", choices.fee.index(1))
    for chain in sorted({one.asset.partition("/")[0] for one in questions.workspace.assets}):
        there = formulas.any_of("deed", [at for at, deed in enumerate(choices.deed) if deed.chain == chain])
        passes = (questions.passes, formulas.is_transaction, there)
        if _possible(questions, *passes) and not _possible(questions, *passes, some, not_known=True):
            text = "no order there may pay a fee: a limit counts it and leaves no room, or its coin has no price"
            yield Finding(Problem.TOO_TIGHT, chain, text)


def _anybody(questions: Questions) -> Iterator[Finding]:
    """PERMITs by which something goes to whom no list knows, and nobody is asked."""
    formulas = questions.formulas
    choices = formulas.tables.choices
    index = formulas.tables.index
    unlisted = [at for at, one in enumerate(choices.to) if one[1] and one not in {**index.book, **index.contracts}]
    strangers = formulas.any_of("to", unlisted)
    pays = formulas.any_of("deed", [at for at, deed in enumerate(choices.deed) if deed.action is Action.TRANSFER])
    asked = [formulas.applies(rule) for rule in formulas.requires() if _asks_people(rule)]
    for rule in _rules(questions, Kind.PERMIT):
        held = (questions.holds[rule.rule_id], questions.passes, formulas.plain, strangers, pays)
        if _possible(questions, *held, *(questions.negation(one) for one in asked)):
            text = "permits transfers to accounts that are in no list, and nobody is asked to approve some of them"
            yield Finding(Problem.ANYBODY, rule.rule_id, text)


def _asks_people(rule: Rule) -> bool:
    return bool(rule.requirement and (rule.requirement.all_of or rule.requirement.any_of))


def _limits(questions: Questions) -> Iterator[Finding]:
    """LIMITs that nothing can keep, and such on single orders that no order which passes the other rules can break."""
    formulas = questions.formulas
    deeds = enumerate(formulas.tables.choices.deed)
    nothing = formulas.any_of("deed", [at for at, one in deeds if one.action is Action.TRANSFER and not one.amount])
    some = (formulas.plain, questions.negation(nothing))
    for rule in _rules(questions, Kind.LIMIT):
        holds, others = questions.holds[rule.rule_id], formulas.passes(without=rule)
        windowed = any(cap.seconds or cap.calendar for cap in rule.caps)
        if _possible(questions, holds, others) and not _possible(
            questions, holds, questions.passes, *some, not_known=True
        ):
            text = "of all orders that it speaks of, and that other rules let pass, none keeps it, however small"
            yield Finding(Problem.TOO_TIGHT, rule.rule_id, text)
        elif not windowed and not _possible(questions, formulas.exceeded(rule), others, not_known=True):
            yield Finding(Problem.TOO_WIDE, rule.rule_id, "other rules keep every order below it")


def _large(workspace: Workspace, now: int, milliseconds: int) -> Iterator[Finding]:
    """A transfer of a large sum for which one person's approval is enough, or nobody's."""
    condition = (Test("action", Operator.IS, (Action.TRANSFER,)), Test("amount.usd", Operator.AT_LEAST, (LARGE,)))
    answer = Prover(workspace, now, condition).prove(Property(And(condition), Approvals("", 2), ""), milliseconds)
    if (found := answer.counterexample) is not None:
        enough = f"the approval of {found.people[0]} is enough" if found.people else "nobody's approval is needed"
        yield Finding(Problem.FEW_APPROVALS, "large sums", f"{enough} for {words(found.order, workspace)}")
