"""``polyvigil help``: the pages of ``polyvigil/help``, which the documentation site has too."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from polyvigil import glossary
from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.errors import RecipeError

TOPICS = {
    "questions": "Five of a newcomer: p, sorting, flags, your file, how to stop.",
    "columns": "Every column that polyvigil writes.",
    "flags": "Every word in the column flags.",
    "metrics": "Same set and cross-fitted: which metric to stand by.",
    "exit-codes": "What a command leaves for scripts.",
    "formats": "Which files are read and written, and how they are recognised.",
    "bundle": "The files of a bundle.",
}
"""Each page with its line in the list."""


@command(examples=("polyvigil help columns", "polyvigil help flags judged"))
def help(
    out: Output,  # noqa: ARG001
    topic: Annotated[str, typer.Argument(help=f"One of {', '.join(TOPICS)}; without it they are listed.")] = "",
    entry: Annotated[str, typer.Argument(help="One column, flag, exit code or file of that page.")] = "",
) -> Answer:
    """Print a page of help: columns, flags, exit codes, formats, the files of a bundle, the first questions."""
    from polyvigil.cli.views.markdown import entries, plain_lines

    if not topic:
        return Answer({"topics": TOPICS}, _list())
    text = page(topic)
    if entry:
        known = entries(text)
        name = entry.partition(":")[0]
        if name not in known:
            raise RecipeError(
                f"{entry!r} is no entry of {topic}", where="help", hint=_nearest(name, known, f"polyvigil help {topic}")
            )
        text = known[name]
    return Answer({"topic": topic, "entry": entry, "text": text}, plain_lines(text))


def page(topic: str) -> str:
    """The page of a topic, as Markdown. Raises RecipeError for a topic that there is not."""
    if topic not in TOPICS:
        raise RecipeError(f"{topic!r} is no topic", where="help", hint=_nearest(topic, TOPICS, "polyvigil help"))
    return glossary.page(topic)


def _nearest(name: str, known: dict[str, str], see: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}? see: {see}" if near else f"see: {see}"


def _list() -> list[str]:
    width = max(map(len, TOPICS))
    return [
        "polyvigil help TOPIC prints a page, polyvigil help TOPIC ENTRY one entry of it:",
        "",
        *(f"  {topic:<{width}}  {line}" for topic, line in TOPICS.items()),
        "",
        "polyvigil COMMAND --help explains the options of a command.",
    ]
