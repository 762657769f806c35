"""The official score of SMM4H-HeaRD 2026 Task 1: F1 of class 1 from a predictions file and a gold file.

``F1`` is pooled over all rows whose language does not end in ``_cadec``; ``F1-<language>`` stands for every language
value. The organisers' scorer leaves out gold ids without a prediction; this one refuses such a file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyvigil.bundle.outputs import json_document
from polyvigil.config.data import DataSpec, Role
from polyvigil.data.columns import column_list, map_columns
from polyvigil.data.formats import RowError, Table, open_table
from polyvigil.data.inputs import find_inputs
from polyvigil.data.packed_posts import field_array, field_of, labels_of, posts_of
from polyvigil.data.protection import is_output
from polyvigil.data.read import cell_text
from polyvigil.data.shown import shown_value
from polyvigil.data.write import csv_text
from polyvigil.errors import PredictionsError
from polyvigil.metrics import count
from polyvigil.text.language import is_cadec
from polyvigil.types import LabelledPost

ID_COLUMN = "id"
LABEL_COLUMN = "predicted_label"
DECISION_COLUMN = "decision"
"""Of an output of ``polyvigil score``."""


@dataclass(frozen=True, slots=True)
class OfficialScores:
    """F1 by language value, sorted by name, and pooled; rounded to 4 places as the organisers do."""

    languages: Mapping[str, float]
    pooled: float

    def to_json(self) -> str:
        """``scores.json``: the keys ``F1-<language>`` and ``F1``."""
        return json.dumps({**{f"F1-{name}": value for name, value in self.languages.items()}, "F1": self.pooled})


SCORES = json_document("scores file", ("F1",))


def read_predictions(source: str | Path, *, id_column: str = "") -> dict[str, int]:
    """Read a file of ``id,predicted_label``, such as a submission's zip, or what ``polyvigil score`` wrote, whose
    ``decision`` is the prediction: a file of any kind, or a folder of parts.

    ``id_column``: of the gold posts, where it is named; scored posts have a column of that name too.

    Raises PredictionsError, with line and value, for anything else than one integer 0 or 1 for each id.
    """
    paths: Sequence[str | Path] = [source]
    if Path(source).is_dir():
        paths = [file.path for file in find_inputs([str(source)]).files]
    predictions: dict[str, int] = {}
    for path in paths:
        with open_table(path) as table:
            identities, labels = _prediction_columns(table, id_column)
            for row in table.rows:
                where = f"{table.name}:{row.line}"
                if isinstance(row, RowError):
                    raise PredictionsError(row.reason, where=where, hint="mend the row")
                identity, label = cell_text(row.cell(identities)), cell_text(row.cell(labels))
                if label not in ("0", "1"):
                    raise PredictionsError(
                        f"{labels} {shown_value(label)} of id {shown_value(identity)} is not the integer 0 or 1",
                        where=where,
                        hint="mend the row",
                    )
                if identity in predictions:
                    raise PredictionsError(
                        f"id {shown_value(identity)} stands twice", where=where, hint="give each id one row"
                    )
                predictions[identity] = int(label)
    return predictions


def _prediction_columns(table: Table, id_column: str) -> tuple[str, str]:
    """The columns of the ids and of the predictions. Raises PredictionsError where there are none."""
    if is_output(table.columns):
        given: dict[Role, str] = {"id": id_column} if id_column in table.columns else {}
        columns = map_columns(
            table.columns, DataSpec(columns=given), required=(), where=table.name, derived=table.derived
        )
        if identities := columns.get("id"):
            return identities, DECISION_COLUMN
        raise PredictionsError(
            "the scored posts have no column of ids, by which they are matched with the gold posts",
            where=table.name,
            hint=f"it has {column_list(table.columns)}; give the posts an id and score them again",
        )
    for column in (ID_COLUMN, LABEL_COLUMN):
        if column not in table.columns:
            raise PredictionsError(
                f"no column {column!r}",
                where=table.name,
                hint=f"the header must be {ID_COLUMN},{LABEL_COLUMN}, or that of an output of polyvigil score; "
                f"it has {column_list(table.columns)}",
            )
    return ID_COLUMN, LABEL_COLUMN


def official_scores(
    gold: Sequence[LabelledPost],
    predictions: Mapping[str, int],
    *,
    gold_file: str = "",
    predictions_file: str = "",
) -> OfficialScores:
    """Score predictions by id; the file names are for messages.

    Raises PredictionsError when gold ids repeat, or ids are missing or unknown.
    """
    posts = posts_of(gold)
    ids = list(field_of(posts, "id"))
    repeated = [identity for identity, times in Counter(ids).items() if times > 1]
    if repeated:
        raise PredictionsError(
            f"{len(repeated):,} ids stand twice in the gold file, first {shown_value(repeated[0])}",
            where=gold_file,
            hint="give each post its own id; polyvigil check GOLD.csv names the lines",
        )
    again = f"polyvigil submit BUNDLE {gold_file or 'GOLD.csv'} -o submission.zip"
    missing = [identity for identity in ids if identity not in predictions]
    if missing:
        disjoint = ", and no predicted id is in the gold file" if len(missing) == len(ids) and predictions else ""
        raise PredictionsError(
            f"{len(missing):,} of {len(ids):,} gold ids have no prediction, first {shown_value(missing[0])}{disjoint}",
            where=predictions_file,
            hint=f"the files are of different posts; predict these with: {again}"
            if disjoint
            else f"predict every id (leaving hard posts out would raise the score), for example with: {again}",
        )
    unknown = sorted(predictions.keys() - set(ids))
    if unknown:
        raise PredictionsError(
            f"{len(unknown):,} predicted ids are not in the gold file, first {shown_value(unknown[0])}",
            where=predictions_file,
            hint="give the gold file that they were predicted from (with --split, if it mixes splits), or predict its "
            f"posts with: {again}",
        )
    labels = labels_of(gold)
    flags = np.array([predictions[identity] == 1 for identity in ids])
    languages = field_array(posts, "language")
    official = np.array([not is_cadec(language) for language in languages.tolist()])
    by_language = {
        language: round(count(labels[languages == language], flags[languages == language]).f1, 4)
        for language in sorted(set(languages.tolist()))
    }
    return OfficialScores(by_language, round(count(labels[official], flags[official]).f1, 4))


def predictions_csv(ids: Sequence[str], flags: Sequence[bool]) -> str:
    """The text of a predictions file, one row per id in their order."""
    answers = ((identity, int(flag)) for identity, flag in zip(ids, flags, strict=True))
    return csv_text([(ID_COLUMN, LABEL_COLUMN), *answers])
