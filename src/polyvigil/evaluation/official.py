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
from polyvigil.data.columns import column_list
from polyvigil.data.formats import RowError, open_table
from polyvigil.data.shown import shown_value
from polyvigil.data.write import csv_text
from polyvigil.errors import PredictionsError
from polyvigil.metrics import count
from polyvigil.text.language import is_cadec
from polyvigil.types import LabelledPost

ID_COLUMN = "id"
LABEL_COLUMN = "predicted_label"


@dataclass(frozen=True, slots=True)
class OfficialScores:
    """F1 by language value, sorted by name, and pooled; rounded to 4 places as the organisers do."""

    languages: Mapping[str, float]
    pooled: float

    def to_json(self) -> str:
        """``scores.json``: the keys ``F1-<language>`` and ``F1``."""
        return json.dumps({**{f"F1-{name}": value for name, value in self.languages.items()}, "F1": self.pooled})


SCORES = json_document("scores file", ("F1",))


def read_predictions(path: str | Path) -> dict[str, int]:
    """Read ``id,predicted_label``. Raises PredictionsError, with line and value, for anything else than one integer
    0 or 1 for each id."""
    predictions: dict[str, int] = {}
    with open_table(path) as table:
        for column in (ID_COLUMN, LABEL_COLUMN):
            if column not in table.columns:
                raise PredictionsError(
                    f"no column {column!r}",
                    where=table.name,
                    hint=f"the header must be {ID_COLUMN},{LABEL_COLUMN}; it has {column_list(table.columns)}",
                )
        for row in table.rows:
            where = f"{table.name}:{row.line}"
            if isinstance(row, RowError):
                raise PredictionsError(row.reason, where=where, hint="mend the row")
            identity, label = str(row.cells[ID_COLUMN]), str(row.cells[LABEL_COLUMN])
            if label not in ("0", "1"):
                raise PredictionsError(
                    f"{LABEL_COLUMN} {shown_value(label)} of id {shown_value(identity)} is not the integer 0 or 1",
                    where=where,
                )
            if identity in predictions:
                raise PredictionsError(
                    f"id {shown_value(identity)} stands twice", where=where, hint="give each id one row"
                )
            predictions[identity] = int(label)
    return predictions


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
    ids = [item.post.id for item in gold]
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
    labels = np.array([item.label for item in gold], dtype=np.int8)
    flags = np.array([predictions[identity] == 1 for identity in ids])
    languages = np.array([item.post.language for item in gold])
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
