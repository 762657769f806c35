"""Posts that were chosen by their score: recognised by their columns, in the words that say why."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.review.made import scored_row, write_rows

from polyvigil.data.read import read_labelled
from polyvigil.data.selection import is_held_out, refuse_selected, selection_of
from polyvigil.errors import SplitError


def read(path: Path, rows: list[dict[str, str]]) -> str:
    reading = read_labelled(write_rows(path / "posts.csv", rows))
    assert len(reading.selection.purposes) == len(reading.posts)
    return reading.selection.reason


def labelled(number: int, label: int, **more: str) -> dict[str, str]:
    return {"id": str(number), "text": f"post number {number} of them", "label": str(label), **more}


def test_posts_of_no_worklist(tmp_path: Path) -> None:
    rows = [labelled(n, n % 2) for n in range(4)]
    assert read(tmp_path, rows) == ""
    assert read(tmp_path, [row | {"purpose": "research"} for row in rows]) == "", "a column of that name by chance"


def test_reviewed_posts_say_how_they_were_chosen(tmp_path: Path) -> None:
    rows = [labelled(n, n % 2, purpose="queue") for n in range(4)]
    assert "4 of its posts were chosen to be read (column purpose), and nothing says" in read(tmp_path, rows)
    queue = [row | {"inclusion_p": "1.0"} for row in rows]
    assert "read because of their score, and none of the others was audited" in read(tmp_path, queue)
    queue[0] |= {"purpose": "audit", "inclusion_p": "0.02"}
    assert "or as an unequal sample of the others" in read(tmp_path, queue)


def test_an_output_of_scoring_of_which_flagged_rows_are_left(tmp_path: Path) -> None:
    rows = [scored_row(n, 0.9 - n / 100) | {"label": str(n % 2)} for n in range(4)]
    assert read(tmp_path, rows) == "every row was flagged (column decision), so posts that were cleared are missing"
    assert read(tmp_path, [*rows, scored_row(9, 0.1) | {"label": "0"}]) == ""
    flagged = [labelled(n, n % 2, decision="1") for n in range(4)]
    assert read(tmp_path, flagged) == "", "a column called decision alone is none of ours"


@pytest.mark.parametrize("cell", ["", "0", "1.5", "often"])
def test_probabilities_that_are_none(cell: str) -> None:
    assert selection_of(["queue", ""], [cell, ""], all_flagged=False).without_probability == 1


def test_a_refusal_says_the_way_out() -> None:
    with pytest.raises(SplitError, match="cannot be dev posts") as caught:
        refuse_selected(selection_of(["queue"], ["1"], all_flagged=False), part="dev", where="r.csv")
    assert caught.value.where == "r.csv"
    assert "polyvigil train --train" in caught.value.hint
    refuse_selected(selection_of(["", ""], ["", ""], all_flagged=False), part="dev", where="r.csv")


def test_a_fifth_is_held_out_by_text_alone() -> None:
    texts = [f"post number {n} of many" for n in range(4000)]
    held_out = [is_held_out(text) for text in texts]
    assert 0.17 < sum(held_out) / 4000 < 0.23
    assert [is_held_out(text.upper()) for text in texts[:50]] == held_out[:50]
    assert is_held_out("see www.example.org/a") == is_held_out("see [URL]") == is_held_out("See www.other.example/b")
