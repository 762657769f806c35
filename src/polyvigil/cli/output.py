"""What commands share: the answer on stdout, for people or as JSON, and messages and progress on stderr."""

from __future__ import annotations

import json
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import typer

from polyvigil.cli.signals import request_stop

if TYPE_CHECKING:
    from pydantic import BaseModel

    from polyvigil.workflows.learners import RunOptions


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    """A message as a terminal may show it: control characters, of a file's name for example, as ``\\x1b``."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escaped_json(document: object) -> str:
    """A document as one line of JSON that a terminal may show too: the same values, control characters as escapes."""
    text = json.dumps(document, ensure_ascii=False)
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_PROGRESS_SECONDS = 4.0
"""Between two lines of progress where stderr is no terminal; on one the line is rewritten five times a second."""
_SILENT_SECONDS = 4.0
"""After so many without a word, a line says that the last stage that was named still goes on."""
_CHECK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found: ``data`` for ``--json``, ``lines`` for people, and the exit code."""

    data: BaseModel | dict[str, Any]
    lines: Sequence[str] = ()
    exit_code: int = 0
    stdout_is_data: bool = False
    """Whether the command has written its data to stdout, so that the lines go to stderr, as messages."""


@dataclass(slots=True)
class Output:
    """Where a command speaks: messages and progress go to stderr, warnings also into the JSON document.

    ``mute``: another process speaks for this one (cli.together); errors apart, nothing is written.
    """

    json: bool = False
    quiet: bool = False
    command_line: str = ""
    """The command line that does the same again; empty where a command was called from Python."""
    mute: bool = False
    warnings: list[str] = field(default_factory=list)
    _last: float = 0.0
    _stage: str = ""
    _spoken: float = 0.0
    _heard: str = ""
    _heard_first: float = 0.0
    _heard_share: float = 0.0
    _writing: Any = field(default_factory=threading.RLock)
    _given: bool = False

    def log(self, message: str) -> None:
        """A message about what happens, on stderr."""
        if not self.quiet and not self.mute:
            with self._writing:
                self._stage, self._spoken = message, time.monotonic()
                self._clear_line()
                typer.echo(escaped(message), err=True)

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Inside, a stage that says nothing for long (a model is loaded, posts are scored) is named again, with the
        seconds that it has taken so far."""
        if self.quiet or self.mute:
            yield
            return
        self._spoken, ended = time.monotonic(), threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, ended: threading.Event) -> None:
        begun, stage = self._spoken, ""
        while not ended.wait(_CHECK_SECONDS):
            with self._writing:
                now = time.monotonic()
                if self._stage != stage:
                    begun, stage = self._spoken, self._stage
                if not self.mute and now - self._spoken >= _SILENT_SECONDS:
                    self._write(f"still working, {now - begun:,.0f} s" + (f": {escaped(stage)}" if stage else ""))

    def note(self, message: str) -> None:
        """Something the user may want to know: on stderr, and in the JSON document."""
        self.warnings.append(message)
        self.log(f"note: {message}")

    def notes(self, texts: Iterable[str]) -> None:
        """Each of them."""
        for text in texts:
            self.note(text)

    def warn(self, message: str, *, red: bool = False) -> None:
        """A warning: on stderr even with -q, and in the JSON document; ``red`` on a terminal."""
        self.warnings.append(message)
        if not self.mute:
            typer.secho(escaped(f"warning: {message}"), err=True, fg=typer.colors.RED if red else None, bold=red)

    def progress(self, what: str, started: float, done: int, aside: int, share: float | None) -> None:
        """How far a long step is: rewritten in place on a terminal, else a plain line every 10 seconds."""
        spent = max(time.monotonic() - started, 1e-9)
        left = f", {share:.0%}, {spent * (1 - share) / share:,.0f} s left" if share else ""
        set_aside = f", {aside:,} set aside" if aside else ""
        self._rewrite(f"{what}: {done:,} posts, {done / spent:,.0f}/s{left}{set_aside}", started)

    def steps(self, what: str, started: float, done: int, steps: int, rate: float, left: float) -> None:
        """How far a training is, as ``progress``."""
        self._rewrite(f"{what}: step {done:,} of {steps:,}, {rate:,.0f} posts/s, {left:,.0f} s left", started)

    def share(self, what: str, started: float, done: float) -> None:
        """How far a long step is by its share in [0, 1], as ``progress``."""
        spent = time.monotonic() - started
        left = f", {spent * (1 - done) / done:,.0f} s left" if done else ""
        self._rewrite(f"{what}: {done:.0%}{left}", started)

    def listen(self, what: str, done: float) -> None:
        """``share`` of a step that began when it was first named: a listener of polyvigil.progress."""
        if what != self._heard or done < self._heard_share:  # another one, or the same once more
            self._heard, self._heard_first = what, time.monotonic()
        self._heard_share = done
        self.share(what, self._heard_first, done)

    def count(self, what: str, started: float, done: int, total: int) -> None:
        """How many of a stage's items are done, as ``progress``."""
        self._rewrite(f"{what}: {done:,} of {total:,}", started)

    def _rewrite(self, line: str, started: float) -> None:
        now = time.monotonic()
        interval = 0.2 if sys.stderr.isatty() else _PROGRESS_SECONDS
        if self.quiet or self.mute or now - self._last < interval or now - started < 1:
            return
        with self._writing:
            self._stage = line
            self._write(line)

    def _write(self, line: str) -> None:
        """A line that the next one replaces where stderr is a terminal."""
        self._last = self._spoken = time.monotonic()
        sys.stderr.write(f"\r\x1b[2K{line}" if sys.stderr.isatty() else line + "\n")
        sys.stderr.flush()

    def _clear_line(self) -> None:
        if self._last and sys.stderr.isatty():
            sys.stderr.write("\r\x1b[2K")

    def end_progress(self) -> None:
        """Leave the line that ``progress`` rewrote."""
        if not self.quiet:
            with self._writing:
                self._clear_line()
        self._last = 0.0

    def writes_to_stdout(self, output: str) -> bool:
        """Whether the command's data goes to stdout: ``-o -``. Raises a usage error where ``--json`` would, too."""
        if output == "-" and self.json:
            raise typer.BadParameter("- and --json would both write to stdout", param_hint="-o")
        return output == "-"

    def give(self, command: str, answer: Answer) -> None:
        """Write the answer to stdout: lines for people, or exactly one JSON document.

        A command that goes on for long, as a server, may give its answer itself when it is ready; no second is written.
        """
        if self.mute or self._given:
            return
        self._given = True
        if self.json:
            data = answer.data if isinstance(answer.data, dict) else answer.data.model_dump(mode="json")
            document = {"ok": answer.exit_code == 0, "command": command, "data": data, "warnings": self.warnings}
            typer.echo(escaped_json(document))
            return
        for line in answer.lines:
            if answer.stdout_is_data:
                self.log(line)
            else:
                typer.echo(escaped(line))


@contextmanager
def graceful_stop(out: Output) -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C (SIGTERM, SIGHUP) only makes the given function true, so that work can be saved; the
    second interrupts."""
    stop_requested = False

    def on_first() -> None:
        nonlocal stop_requested
        stop_requested = True
        out.log("stopping after this step; press Ctrl-C again to stop at once")

    with request_stop(on_first):
        yield lambda: stop_requested


@contextmanager
def training_options(out: Output, what: str, *, device: str, offline: bool) -> Iterator[RunOptions]:
    """The options of a training: its steps are shown as ``what``, and the first Ctrl-C ends it after a step, saved."""
    from polyvigil.workflows.learners import RunOptions

    started = time.monotonic()
    with graceful_stop(out) as stop:
        yield RunOptions(
            device=device,
            offline=offline,
            progress=lambda done, steps, rate, left: out.steps(what, started, done, steps, rate, left),
            counted=lambda stage, done, total: out.count(stage, started, done, total),
            stop=stop,
        )
    out.end_progress()


_LEFT_OUT = frozenset({"context", "json_", "quiet", "debug", "replace"})


def command_line(context: typer.Context) -> str:
    """The command line that does the same again, quoted for a shell: arguments, and options unlike their default.

    Left out is what changes nothing of what is made: ``--json``, ``--quiet``, ``--debug``, ``--replace``.
    ``--output`` comes last.
    """
    arguments: list[str] = []
    options: list[str] = []
    output: list[str] = []
    for parameter in context.command.params:
        values = _texts(context.params.get(parameter.name or ""))
        if parameter.name in _LEFT_OUT or values == _texts(parameter.default):
            continue
        if parameter.param_type_name == "argument":
            arguments += values
            continue
        name = min(parameter.opts, key=len)
        is_flag = getattr(parameter, "is_flag", False)
        words = [name] if is_flag else [word for value in values for word in (name, value)]
        (output if parameter.name == "output" else options).extend(words)
    program = context.command_path.split()
    if any(argument.startswith("-") and argument != "-" for argument in arguments):
        return shlex.join([*program, *options, *output, "--", *arguments])
    return shlex.join([*program, *arguments, *options, *output])


def _texts(value: Any) -> list[str]:
    """The value of a parameter as words of a command line: none for nothing, several for a list."""
    if value is None or value is False or value == "":
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each.value if isinstance(each, Enum) else each) for each in values]
