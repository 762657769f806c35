"""Options that several commands share, each defined once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from polyvigil.cli.columns import ColumnOptions
from polyvigil.errors import RecipeError

if TYPE_CHECKING:
    from polyvigil.config.data import DataSpec
    from polyvigil.data.read import Reading, Unlabelled


class EngineOption(StrEnum):
    """Who scores."""

    local = "local"
    ray = "ray"


class OnErrorOption(StrEnum):
    """What to do with a row that cannot be used."""

    quarantine = "quarantine"
    fail = "fail"


Replace = Annotated[
    bool, typer.Option("--replace", help="Replace what an earlier run of this command has put there; nothing else.")
]
PostPrevalence = Annotated[
    list[str] | None,
    typer.Option(
        "--prevalence",
        help="Re-base p_calibrated to this share of ADEs among the posts: 0.02, or of a language fa=0.01.",
    ),
]
Address = Annotated[
    str, typer.Option("--address", help="Of the Ray cluster: auto, HOST:PORT; without it one is started here.")
]
Device = Annotated[str, typer.Option("--device", help="Where encoders run: auto, cpu, cuda, cuda:1.")]
ForDevice = Annotated[
    str,
    typer.Option(
        "--for-device",
        help="With --dry-run: estimate for this card, not this machine: rtx-3060-12gb, rtx-4090, a100-40gb, a100-80gb, "
        "h100, l4, t4.",
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Fetch no model: use local folders and what was fetched before.")
]

QUARANTINED = 5
GATE = 3
"""Exit code of a command that looked for faults and found one beyond its limit."""


class OrOnHub:
    """Marks a parameter that names a bundle: one written as ``hf://ORG/NAME@REVISION`` is fetched, and the command is
    given its folder (cli.command)."""


BundleFolder = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="The bundle's folder, or hf://ORG/NAME@REVISION."), OrOnHub
]


def needs_dry_run(for_device: str, *, dry_run: bool) -> None:
    """Raise RecipeError for a --for-device that is not known, or would be left unheard."""
    from polyvigil.learn.devices import named_device

    if for_device and not dry_run:
        raise RecipeError(
            "is for estimates alone", where="--for-device", hint="add --dry-run; to train on it: --device"
        )
    if for_device:
        named_device(for_device, precision="fp32")


def text_form(*, mask: bool, drop_text: bool) -> Literal["whole", "masked", "dropped"]:
    """What ``--mask`` and ``--drop-text`` make of the text of posts in an output. Raises RecipeError for both."""
    if mask and drop_text:
        raise RecipeError("the text is masked or left out", where="--mask", hint="leave one of the two out")
    return "masked" if mask else "dropped" if drop_text else "whole"


def numbers(given: str, *, option: str) -> tuple[float, ...]:
    """``1.0,0.7`` as numbers, none of an empty text. Raises RecipeError for anything else."""
    try:
        return tuple(float(part) for part in given.split(",")) if given else ()
    except ValueError as error:
        raise RecipeError(f"{given!r} is no list of numbers", where=option, hint="as 1.0,0.7") from error


@dataclass(frozen=True, slots=True)
class PostsInput:
    """How a command reads posts: what ``--split --column --set --language --on-error --fail-on-quarantine`` say.

    A parameter annotated ``LabelledPosts``, ``Posts``, ... below becomes these options (cli.command), each of which is
    declared here alone; an option that a command does not have keeps its default.
    """

    split: str = ""
    columns: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    file_format: str = ""
    encoding: str = ""
    delimiter: str = ""
    quoting: str = ""
    no_header: bool = False
    language: str = ""
    on_error: OnErrorOption | None = None
    fail_on_quarantine: bool = False
    arguments: tuple[str, ...] = ()
    """The other values of the command line, files among them; no option itself."""

    @property
    def on_row_error(self) -> Literal["quarantine", "fail"]:
        """What to do with a row that cannot be used, as the functions that read texts alone take it."""
        return self.on_error.value if self.on_error else "quarantine"

    @property
    def on_labelled_row_error(self) -> Literal["quarantine", "fail"] | None:
        """The same for labelled posts: without the option, labels that leave out a share of the file stop it."""
        return self.on_error.value if self.on_error else None

    def all_settings(self) -> list[str]:
        """The options that say how posts are read as one list of settings. Raises RecipeError as ColumnOptions."""
        columns = ColumnOptions.of(self.columns, self.arguments)
        return [*self._file_settings(), *columns.settings(), *self.settings]

    def _file_settings(self) -> list[str]:
        """``--from --encoding --delimiter --quoting --no-header --language`` as settings."""
        given = {
            "format": self.file_format,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "quoting": self.quoting,
            "language": self.language,
        }
        settings = [f"data.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value]
        return [*settings, "data.header=false"] if self.no_header else settings

    def spec(self, *, bundle: str | Path = "") -> DataSpec:
        """The data settings of a command that takes no recipe; the columns that a ``bundle`` was trained with below
        them. Raises RecipeError for a setting of another section."""
        from polyvigil.bundle.trained import as_trained
        from polyvigil.config.load import apply_setting, parse

        tree: dict[str, Any] = {}
        for setting in self.all_settings():
            if not setting.startswith("data."):
                raise RecipeError(
                    f"--set {setting!r}: only data.* can be set here", hint="for example data.labels.yes=1"
                )
            apply_setting(tree, setting)
        spec = parse(tree, where="options").data.of_files
        return as_trained(spec, bundle) if bundle else spec

    def tuning_settings(self) -> list[str]:
        """The settings of a command that tunes. Raises RecipeError for one that would change the members."""
        settings = self.all_settings()
        if wrong := [setting for setting in settings if not setting.startswith(("data.", "decide."))]:
            message = f"--set {wrong[0]!r}: only data.* and decide.* can be set here; members stay as they are"
            raise RecipeError(message)
        return settings

    def read_labelled(
        self,
        path: str | Path,
        spec: DataSpec | None = None,
        *,
        bundle: str | Path = "",
        unlabelled_hint: str = "",
        keep_cells: bool = False,
    ) -> Reading:
        """Read a file of labelled posts by these options, or by the data settings ``spec`` of a recipe.

        ``bundle``: whose columns are taken where the file has them. ``unlabelled_hint``: what to do with a file
        without labels. ``keep_cells``: see data.read.read_labelled. Raises DataError, RecipeError.
        """
        from polyvigil.data.read import read_labelled

        spec = spec or self.spec(bundle=bundle)
        on_error = self.on_labelled_row_error
        return read_labelled(
            path, spec, split=self.split, on_error=on_error, unlabelled_hint=unlabelled_hint, keep_cells=keep_cells
        )

    def read_with_labels_if_any(self, path: str | Path, spec: DataSpec | None = None) -> Reading | Unlabelled:
        """Read a file of posts, labelled or not, of which every row counts."""
        from polyvigil.data.read import read_with_labels_if_any

        return read_with_labels_if_any(path, spec or self.spec(), split=self.split)

    def read_unlabelled(self, path: str | Path, spec: DataSpec | None = None, *, bundle: str | Path = "") -> Unlabelled:
        """Read a file of posts for their texts, as ``read_labelled``; the split is not looked at."""
        from polyvigil.data.read import read_unlabelled

        return read_unlabelled(path, spec or self.spec(bundle=bundle), on_error=self.on_row_error)

    def exit_code(self, *, set_aside: int) -> int:
        """5 where rows were set aside and ``--fail-on-quarantine`` was given, else 0."""
        return QUARANTINED if self.fail_on_quarantine and set_aside else 0


@dataclass(frozen=True, slots=True)
class PostsOptions:
    """Which options a parameter of type PostsInput becomes: names of its fields, in the order of help."""

    fields: tuple[str, ...]


POSTS_OPTIONS: dict[str, tuple[Any, Any]] = {
    "split": (
        Annotated[str, typer.Option("--split", help="Read only the rows whose split column says this.")],
        "",
    ),
    "columns": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--column",
                help="Which column plays which part: text=tweet; of one file alone: train.csv:label=gold. Repeatable.",
            ),
        ],
        None,
    ),
    "settings": (
        Annotated[
            list[str] | None, typer.Option("--set", help="Change a setting: model.C=2, data.labels.yes=1. Repeatable.")
        ],
        None,
    ),
    "file_format": (
        Annotated[
            str,
            typer.Option(
                "--from",
                help="What the files are, where it is not recognised: csv, tsv, jsonl, json, parquet, arrow, xlsx, "
                "label-studio, argilla, prodigy, spacy, doccano, twitter.",
            ),
        ],
        "",
    ),
    "encoding": (
        Annotated[str, typer.Option("--encoding", help="The encoding of text files: cp1252, shift_jis, koi8-r.")],
        "",
    ),
    "delimiter": (
        Annotated[str, typer.Option("--delimiter", help="What stands between the cells of text files: ';' or tab.")],
        "",
    ),
    "quoting": (
        Annotated[
            str,
            typer.Option(
                "--quoting", help='none: a " is a character; minimal: it quotes cells; backslash: escaped in them.'
            ),
        ],
        "",
    ),
    "no_header": (
        Annotated[
            bool, typer.Option("--no-header", help="The first line is a post; columns are numbers: --column text=2.")
        ],
        False,
    ),
    "language": (
        Annotated[
            str, typer.Option("--language", help="The language of all posts: en. A column of languages goes before it.")
        ],
        "",
    ),
    "on_error": (
        Annotated[
            OnErrorOption | None,
            typer.Option("--on-error", help="A row that cannot be used: set it aside (quarantine), or stop there."),
        ],
        None,
    ),
    "fail_on_quarantine": (
        Annotated[bool, typer.Option("--fail-on-quarantine", help="Exit with 5 when rows were set aside.")],
        False,
    ),
}
"""Of each field of PostsInput its option: annotation and default."""

_FILES = ("file_format", "encoding", "delimiter", "quoting", "no_header", "language")
_COLUMNS = ("columns", "settings", *_FILES)
Posts = Annotated[PostsInput, PostsOptions((*_COLUMNS, "on_error"))]
LabelledPosts = Annotated[PostsInput, PostsOptions(("split", *_COLUMNS, "on_error"))]
SourcePosts = Annotated[
    PostsInput, PostsOptions((*(field for field in _COLUMNS if field not in ("file_format", "language")), "on_error"))
]
"""Of translating, whose --from is a language."""
AllPosts = Annotated[PostsInput, PostsOptions(("split", *_COLUMNS))]
"""Of a command in which every row counts: none is set aside."""
ScoredPosts = Annotated[
    PostsInput, PostsOptions(tuple(field for field in _COLUMNS if field not in ("no_header", "language")))
]
"""Of files that scoring wrote, which have a header and a language; every row counts."""
QuarantinedPosts = Annotated[PostsInput, PostsOptions((*_COLUMNS, "on_error", "fail_on_quarantine"))]
"""Of a command that says by its exit code that rows were set aside."""
DEFAULT_POSTS = PostsInput()
