"""Exports of annotation tools and of Twitter: the text, label and language that such a row holds in its depth.

Each kind of export has a test for its shape and a function that finds them. The cells of a row stay as they are; what
was found stands beside them (``Row.derived``) and is read in place of a column, unless the user names one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvigil.data.table import Row, RowError, cell_at

Cells = Mapping[str, Any]


class UndecidedLabelError(ValueError):
    """Annotations of a post that give no label: what is wrong, without the text."""


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of export."""

    name: str
    matches: Callable[[Cells], bool]
    """Whether an object is plainly a row of it."""
    derive: Callable[[Cells], dict[str, Any]]
    """What is found in a row, by the part it plays; nothing of ``roles`` in one that the annotator skipped. Raises
    UndecidedLabelError."""
    roles: tuple[str, ...]
    """The parts that ``derive`` finds."""

    @property
    def derived(self) -> tuple[str, ...]:
        """The names under which rows have them."""
        return tuple(f"{self.name}:{role}" for role in self.roles)


def export_of(name: str, sample: Sequence[Cells]) -> Export | None:
    """The export that is called ``name``, or with ``auto`` the one whose shape all of the sample has."""
    if name != "auto":
        return next((export for export in EXPORTS if export.name == name), None)
    if not sample:
        return None
    return next((export for export in EXPORTS if all(map(export.matches, sample))), None)


def with_derived(rows: Iterator[Row | RowError], export: Export) -> Iterator[Row | RowError]:
    """The rows with what was found in them; a row whose annotations contradict each other is a row error."""
    for row in rows:
        if isinstance(row, RowError):
            yield row
            continue
        try:
            derived = export.derive(row.cells)
        except UndecidedLabelError as error:
            yield RowError(row.line, "label", str(error), row.cells)
            continue
        if not derived:
            yield RowError(row.line, "", "skipped by the annotator", row.cells)
            continue
        yield Row(row.line, row.cells, {f"{export.name}:{role}": value for role, value in derived.items()})


def _label_studio(cells: Cells) -> bool:
    return isinstance(cells.get("data"), Mapping) and ("annotations" in cells or "completions" in cells)


def _from_label_studio(cells: Cells) -> dict[str, Any]:
    data = cells["data"] if isinstance(cells.get("data"), Mapping) else {}
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    text = next((texts[key] for key in ("text", "full_text", "tweet", "post", "body", "content") if key in texts), None)
    derived: dict[str, Any] = {"text": next(iter(texts.values()), None) if text is None else text}
    annotations = cells.get("annotations") or cells.get("completions") or []
    labels = [
        choice
        for annotation in annotations
        if isinstance(annotation, Mapping) and not annotation.get("was_cancelled")
        for result in annotation.get("result") or []
        for choice in _choices(result)
    ]
    derived["label"] = _agreed(labels, what="annotations")
    derived["language"] = next((data[key] for key in ("language", "lang") if isinstance(data.get(key), str)), None)
    return derived


def _choices(result: Any) -> list[Any]:
    value = result.get("value") if isinstance(result, Mapping) else None
    choices = value.get("choices") if isinstance(value, Mapping) else None
    return choices if isinstance(choices, list) else [choices] if choices else []


def _agreed(labels: Sequence[Any], *, what: str) -> Any:
    """The label that all give; None where there is none. Raises UndecidedLabelError where they differ."""
    different = list(dict.fromkeys(map(str, labels)))
    if len(different) > 1:
        raise UndecidedLabelError(f"its {what} give {len(different)} labels")
    return labels[0] if labels else None


def _doccano(cells: Cells) -> bool:
    text = cells.get("text", cells.get("data"))
    label = cells.get("label", cells.get("labels"))
    is_classified = isinstance(label, list) and all(isinstance(item, str | int) for item in label)
    return isinstance(text, str) and is_classified and {"Comments", "comments", "meta", "id"} & cells.keys() != set()


def _from_doccano(cells: Cells) -> dict[str, Any]:
    labels = cells.get("label", cells.get("labels"))
    label = _agreed(labels if isinstance(labels, list) else [labels], what="labels")
    return {"text": cells.get("text", cells.get("data")), "label": label}


def _prodigy(cells: Cells) -> bool:
    answered = cells.get("answer") in ("accept", "reject", "ignore")
    single = isinstance(cells.get("label"), str) and _ade_category({cells["label"]: 1}) is not None
    return answered and isinstance(cells.get("text"), str) and (single or isinstance(cells.get("accept"), list))


def _from_prodigy(cells: Cells) -> dict[str, Any]:
    if cells.get("answer") == "ignore":
        return {}
    accepted = cells["answer"] == "accept"
    if isinstance(chosen := cells.get("accept"), list):
        if not accepted:
            return {}
        return {"label": _agreed(chosen, what="choices")}
    return {"label": "1" if accepted else "0"}


def _spacy(cells: Cells) -> bool:
    cats = cells.get("cats")
    return isinstance(cells.get("text"), str) and isinstance(cats, Mapping) and _ade_category(cats) is not None


def _ade_category(cats: Mapping[str, Any]) -> str | None:
    names = [name for name in cats if name.lower() in ("ade", "adr", "positive", "adverse_event", "yes", "1")]
    return names[0] if len(names) == 1 else None


def _from_spacy(cells: Cells) -> dict[str, Any]:
    value = cells["cats"].get(_ade_category(cells["cats"]))
    if not isinstance(value, int | float) or value not in (0, 1):
        raise UndecidedLabelError("its category is not 0 or 1")
    return {"label": str(int(value))}


def _argilla(cells: Cells) -> bool:
    return isinstance(cells.get("text"), str) and len(_response_columns(cells)) == 1


def _response_columns(cells: Cells) -> list[str]:
    return [name for name in cells if name.endswith(".responses")]


def _from_argilla(cells: Cells) -> dict[str, Any]:
    responses = cells.get(_response_columns(cells)[0]) or []
    if cells.get("status") == "discarded":
        return {}
    return {"label": _agreed(responses if isinstance(responses, list) else [responses], what="responses")}


def _twitter(cells: Cells) -> bool:
    tweeted = "id_str" in cells or "edit_history_tweet_ids" in cells or "created_at" in cells
    deeper = any(isinstance(cells.get(key), Mapping) for key in ("extended_tweet", "retweeted_status", "user"))
    return (tweeted or deeper) and any(isinstance(cells.get(key), str) for key in ("text", "full_text"))


def _from_twitter(cells: Cells) -> dict[str, Any]:
    """The whole text of a tweet: of a retweet that of the tweet itself, which is not cut."""
    paths = (
        *("retweeted_status.extended_tweet.full_text", "retweeted_status.full_text"),
        *("extended_tweet.full_text", "full_text", "text"),
    )
    texts = (cell_at(cells, path) for path in paths)
    return {"text": next((text for text in texts if isinstance(text, str) and text), None)}


EXPORTS = (
    Export("label-studio", _label_studio, _from_label_studio, ("text", "label", "language")),
    Export("argilla", _argilla, _from_argilla, ("label",)),
    Export("prodigy", _prodigy, _from_prodigy, ("label",)),
    Export("spacy", _spacy, _from_spacy, ("label",)),
    Export("doccano", _doccano, _from_doccano, ("text", "label")),
    Export("twitter", _twitter, _from_twitter, ("text",)),
)
"""In the order in which they are tried."""
_LABEL_COLUMNS = {
    "label-studio": ("data", "annotations", "completions", "predictions"),
    "argilla": (".responses",),
    "prodigy": ("answer", "accept", "label"),
    "spacy": ("cats",),
    "doccano": ("label", "labels"),
}
EXPORT_NAMES = tuple(export.name for export in EXPORTS)


def holds_label(column: str, derived: Mapping[str, Any]) -> bool:
    """Whether text or label of an export were derived from a column. ``derived``: of a row (``Row.derived``)."""
    name = next((key.partition(":")[0] for key in derived if key.endswith(":label")), "")
    endings = _LABEL_COLUMNS.get(name, ())
    return any(column == ending or (ending.startswith(".") and column.endswith(ending)) for ending in endings)
