"""Identifiers under src/ use the words of the field: no name given there holds a word of the list below.

A name is looked at where it is given (a module, function, class, parameter, variable, field, attribute or import under
another name), so names of Python and of libraries need no exception where they are only used.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"

BANNED = frozenset(
    """
    told tell tells say says said    place places found    mine ours others own    once
    ahead prepare    handful handfuls    stretch stretches    tick ticks tally tallies
    asked ask asks asking called calls nobody put    line    lesson lessons taught teach teaches
    keeper standing board    claim claims outlive wish wishes wished wanted want wants
    memory machine machines hooks how    rehearse rehearsal rehearsed    deal deals dealt    bag bags bagged
    draw draws drawn cut cuts    draft material bench shelf book    join joins joined
    retune retuned finish finished origin origins    giveaway giveaways faithful faithfulness gain gains parity since
    drawing drawings picture pictures page pages marking    figure figures    fault faults    spread spreads
    """.split()  # noqa: SIM905 (grouped by what they stood for)
)
"""Words that say how a thing came about, or that mean several things; what is written instead: message, result, index,
position, matches, mask, threshold, sample, chunk, options, metric, value, ..."""

ONE_MEANING = (
    r"[a-z0-9_]*line|line_[a-z_]+|[A-Z_]*LINE[A-Z_]*",  # a line of text, never a class of its own
    r"(.*_)?memory(_.*)?|[A-Z_]*MEMORY[A-Z_]*",  # of a machine or a device, never a cache
    r"OutOfMemoryError",
    r"[a-z_]*weight_gain[a-z_]*|WeightGain",  # what fitted weights gain over equal ones
    r"[a-z_]*own_threshold[a-z0-9_]*",  # a language's, beside the pooled one
    r"[a-z_]*bundle_draft|BundleDraft",  # a bundle or a part of one that is not on the disk yet
    r"backward_hooks",  # the argument of that name in a pickled tensor
    r"(_?[A-Za-z]+Page|[a-z_]*pages?(_[a-z_]+)?)",  # of a web site or of a list, never an HTML string
)
"""A banned word is right in a name that matches one of these as a whole."""

FIELDS = {
    "Band.asked": "combination.json, and what judge --json and report.json say of a judge",
    "Band.cut": "audit.json",
    "Band.found": "audit.json",
    "CascadeCounts.called": "combination.json",
    "Check.found": "doctor --json",
    "CheckResult.giveaways": "check --json",
    "CheckResult.places": "check --json",
    "CostEstimate.how": "train --dry-run --json",
    "Counts.faults": "the record of a finished part, by which an old run goes on",
    "Decision.spread": "a column of the scored files",
    "ExportComparison.retuned": "parity.json of an exported bundle",
    "Gate.places": "audit.json",
    "Job.how": "the record of a job of files, by which an old run goes on",
    "JudgeCounts.not_asked": "score --json",
    "LongRule.how": "reading.json of an ONNX member",
    "Metric.ours": "reproduction.json",
    "PoolingChoice.figures": "training.json of a member",
    "Post.origin": "a column of the CSV files that are written",
    "Report.pictures": "report.json",
    "Report.since": "report.json",
    "Reproduction.figures": "reproduction.json",
    "ScoreSummary.how": "score --json",
    "ShortcutAudit.language_spread": "audit.json",
    "ShortcutAudit.type_spread": "audit.json",
    "TruncationAudit.cut": "audit.json",
    "TruncationAudit.cut_positives": "audit.json",
    "WeightGain.gain": "ensemble --json",
}
"""Keys of documents and files keep their names. By class, so that a variable of the same name is refused."""

NAMES = {
    "PARITY": "the file parity.json of an exported bundle",
    "ask_endpoint": "the option --ask-endpoint, and the key of recipes: score.ask_endpoint",
    "AskEndpoint": "the type of that option",
}
"""Other names, each for a reason."""


def words(name: str) -> set[str]:
    """The words of a name, in lower case: of ``MemberAblation`` and ``member_ablation`` the same two."""
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_"))


def given_names(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, str, int]]:
    """(name, Class.name for a field or method else "", line) of each name that a file gives."""
    for node in ast.iter_child_nodes(tree):
        inner = owner
        match node:
            case ast.ClassDef(name=name):
                inner = name
                yield name, "", node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                inner = ""
                yield name, owner and f"{owner}.{name}", node.lineno
            case ast.Name(id=name, ctx=ast.Store()):
                yield name, owner and f"{owner}.{name}", node.lineno
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, "", node.lineno
            case ast.arg(arg=name):
                yield name, "", node.lineno
            case ast.alias(asname=str(name)):
                yield name, "", node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, "", node.lineno
        yield from given_names(node, inner)


def banned_names() -> Iterator[tuple[str, str, str]]:
    """(name, Class.name or "", file:line) of each name in src/ with a banned word, exceptions included."""
    for path in sorted(SRC.rglob("*.py")):
        where = path.relative_to(SRC)
        modules = [(part, "", 0) for part in where.with_suffix("").parts]
        for name, field, line in [*modules, *given_names(ast.parse(path.read_text(encoding="utf-8")))]:
            if words(name) & BANNED and not any(re.fullmatch(pattern, name) for pattern in ONE_MEANING):
                yield name, field, f"{where}:{line}"


def test_no_name_holds_a_banned_word() -> None:
    wrong = {
        f"{where}: {field or name}: {', '.join(sorted(words(name) & BANNED))}"
        for name, field, where in banned_names()
        if name not in NAMES and field not in FIELDS
    }
    assert not wrong, "rename, or add to FIELDS or NAMES with a reason:\n" + "\n".join(sorted(wrong))


def messages() -> Iterator[tuple[str, str]]:
    """(text, file:line) of each text in src/ that people may read: strings and docstrings, templates without markup."""
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value, f"{path.relative_to(SRC)}:{node.lineno}"
    for path in sorted(SRC.rglob("*.j2")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            yield re.sub(r"<[^>]*>|{[{%].*?[%}]}", " ", line), f"{path.relative_to(SRC)}:{number}"


def test_a_value_is_no_figure() -> None:
    """A figure is a picture; what is measured is a metric, a value or a number. JSON keys keep their names."""
    texts = [(text, path) for text, path in messages() if not path.startswith("polyvigil/text/html.py")]  # an element
    assert {path.partition(":")[0].rpartition(".")[2] for _, path in texts} == {"py", "j2"}
    wrong = [path for text, path in texts if text != "figures" and re.search(r"\bfigures?\b", text, re.IGNORECASE)]
    assert not wrong, "say metric, value or number: " + ", ".join(wrong)


def test_each_exception_is_in_use() -> None:
    names = {used for name, field, _ in banned_names() for used in (name, field)}
    assert not (FIELDS.keys() | NAMES.keys()) - names


def test_words_of_a_name() -> None:
    assert words("MemberAblation") == words("_member_ablation") - {""} == {"member", "ablation"}
    assert words("told_by_HTTPServer") == {"told", "by", "httpserver"}


def test_a_name_is_seen_wherever_it_is_given() -> None:
    source = """
import numpy as told
class Book:
    place: int = 0
    def ask(self, wish, *found, **how):
        self.mine = [tick for tick in found]
        try:
            text.join(line for cut in wish)
        except ValueError as fault:
            pass
        with open(wish) as bag, open(wish):
            match wish:
                case [deal, *once]: pass
        if (tally := 1): pass
"""
    names = {name for name, _, _ in given_names(ast.parse(source))}
    assert names >= {"told", "Book", "place", "ask", "wish", "found", "how", "mine", "tick", "cut", "fault", "bag"}
    assert names >= {"deal", "once", "tally"}
    assert not names & {"join", "line", "text", "numpy"}
    assert ("place", "Book.place", 4) in set(given_names(ast.parse(source)))
