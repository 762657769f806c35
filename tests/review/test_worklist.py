"""Worklists: the order, quotas, near-duplicates, the audit, what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from tests.review.made import Cells, many_rows, read_csv, scored_row, write_rows

from polyvigil.data.formats import open_table
from polyvigil.errors import DataError, RecipeError
from polyvigil.review.sampling import inclusion_probabilities
from polyvigil.review.scored_posts import ScoredPosts, read_scored
from polyvigil.review.worklist import (
    Worklist,
    WorklistOptions,
    check_worklist_output,
    choose_posts,
    rebasing,
    summarise,
    write_worklist,
)


def chosen(path: Path, **options: object) -> tuple[ScoredPosts, Worklist]:
    posts = read_scored([str(path)])
    return posts, choose_posts(posts, WorklistOptions(**options))  # type: ignore[arg-type]


def queue_of(posts: ScoredPosts, worklist: Worklist) -> list[float]:
    return posts.calibrated[worklist.order[~worklist.audited]].tolist()


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "scored.csv", [*many_rows(300), *many_rows(100, language="ru", seed=1, shift=-1.0)])


def test_the_queue_is_the_highest_calibrated_p_and_the_audit_is_of_the_rest(scored: Path) -> None:
    posts, worklist = chosen(scored, budget=100, audit=0.2)
    assert len(worklist.order) == len(set(worklist.order.tolist())) == 100
    assert int(worklist.audited.sum()) == 20
    assert queue_of(posts, worklist) == sorted(posts.calibrated.tolist(), reverse=True)[:80]
    assert (worklist.inclusion[~worklist.audited] == 1).all()
    audit = worklist.order[worklist.audited]
    assert np.unique(posts.languages[audit], return_counts=True)[1].tolist() == [10, 10]
    frame = np.setdiff1d(np.arange(400), worklist.order[~worklist.audited])
    for language in ("en", "ru"):
        of_language = frame[posts.languages[frame] == language]
        inclusion = dict(zip(of_language, inclusion_probabilities(posts.calibrated[of_language], 10), strict=True))
        rows = worklist.audited & (posts.languages[worklist.order] == language)
        assert worklist.inclusion[rows] == pytest.approx([inclusion[i] for i in worklist.order[rows]])


def test_audited_posts_are_spread_evenly_over_the_queue(scored: Path) -> None:
    _, worklist = chosen(scored, budget=100, audit=20)
    assert [int(worklist.audited[i : i + 25].sum()) for i in range(0, 100, 25)] == [5, 5, 5, 5]


def test_an_audit_of_fewer_posts_than_languages_is_of_the_largest(scored: Path) -> None:
    posts, worklist = chosen(scored, budget=10, audit=1)
    assert posts.languages[worklist.order[worklist.audited]].tolist() == ["en"]


def test_the_seed_moves_the_audit_alone_and_gives_it_again(scored: Path) -> None:
    posts, first = chosen(scored, budget=60, seed=1)
    _, again = chosen(scored, budget=60, seed=1)
    _, other = chosen(scored, budget=60, seed=2)
    assert (first.order == again.order).all()
    assert queue_of(posts, first) == queue_of(posts, other)
    assert set(first.order[first.audited]) != set(other.order[other.audited])


def test_rebasing_gives_the_prevalence() -> None:
    p = np.array([0.02, 0.2, 0.5, 0.7])
    for prevalence in (0.01, 0.355, 0.9):
        assert expit(logit(p) + rebasing(p, prevalence)).mean() == pytest.approx(prevalence)
    assert rebasing(p, p.mean()) == pytest.approx(0, abs=1e-8)
    assert rebasing(np.empty(0), 0.5) == 0.0


def test_a_prevalence_of_a_language_moves_its_posts_down_the_order(scored: Path) -> None:
    posts, plain = chosen(scored, budget=50, audit=0)
    _, rare = chosen(scored, budget=50, audit=0, prevalence={"ru": 0.001, "": 0.1})
    russian = [int((posts.languages[one.order] == "ru").sum()) for one in (plain, rare)]
    assert russian[0] > russian[1]
    assert rare.expected[posts.languages == "ru"].mean() == pytest.approx(0.001, rel=1e-6)
    assert rare.expected[posts.languages == "en"].mean() == pytest.approx(0.1, rel=1e-6)
    ranks = posts.calibrated[rare.order[posts.languages[rare.order] == "en"]]
    assert (np.diff(ranks) <= 0).all(), "within a language the order stays"


def test_quotas_of_languages(scored: Path) -> None:
    posts, worklist = chosen(scored, budget=50, audit=0, quotas={"en": 40})
    names, counts = np.unique(posts.languages[worklist.order], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"en": 40, "ru": 10}
    english = posts.calibrated[worklist.order[posts.languages[worklist.order] == "en"]]
    assert english.min() >= np.sort(posts.calibrated[posts.languages == "en"])[-40]


def test_quotas_of_types(tmp_path: Path) -> None:
    rows = [row | {"type": "tweet" if n % 3 else "review"} for n, row in enumerate(many_rows(90))]
    posts, worklist = chosen(write_rows(tmp_path / "s.csv", rows), budget=20, audit=0, type_quotas={"review": 15})
    assert int(posts.types.has("review")[worklist.order].sum()) == 15
    assert len(worklist.order) == 20


def test_posts_that_say_nearly_the_same_are_one_row(tmp_path: Path) -> None:
    long = "my doctor gave me the blue pill and since then my head hurts every single night until the morning comes"
    rows = [
        scored_row(1, 0.9, text=long),
        scored_row(2, 0.95, text=long.upper() + " !!! 7"),
        scored_row(3, 0.8, text=long.replace("blue", "blew")),
        scored_row(4, 0.7, text=long, language="ru"),
        *(scored_row(n, 0.1) for n in range(5, 25)),
    ]
    posts, worklist = chosen(write_rows(tmp_path / "s.csv", rows), budget=4, audit=0)
    assert posts.calibrated[worklist.order].tolist()[:2] == [0.95, 0.7], "the one of the highest P stands for them"
    assert worklist.similar.tolist() == [2, 0, 0, 0]
    assert posts.distinct.sum() == len(rows) - 1


def test_a_budget_beyond_all_posts_takes_all(scored: Path) -> None:
    posts, worklist = chosen(scored, budget=1000, audit=0.5)
    assert sorted(worklist.order.tolist()) == list(range(400))
    assert summarise(posts, worklist, WorklistOptions(budget=1000, audit=0.5), output="x").queue == 400


def test_abstained_posts_come_last(tmp_path: Path) -> None:
    rows = [scored_row("a", 0.9, flags="language_not_trained;abstained"), scored_row("b", 0.2), scored_row("c", 0.1)]
    posts, worklist = chosen(write_rows(tmp_path / "s.csv", rows), budget=2, audit=0)
    assert queue_of(posts, worklist) == [0.2, 0.1]
    assert posts.trained.tolist() == [False, True, True]


def test_posts_without_text_are_left_out(tmp_path: Path) -> None:
    rows = [scored_row("a", 0.0, flags="no_text:empty"), scored_row("b", 0.2), scored_row("c", 0.1)]
    posts, worklist = chosen(write_rows(tmp_path / "s.csv", rows), budget=3, audit=0)
    assert posts.without_text == 1
    assert len(worklist.order) == 2


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "xlsx", "csv.gz"])
def test_what_is_written_can_be_read(scored: Path, tmp_path: Path, ending: str) -> None:
    options = WorklistOptions(budget=30)
    posts = read_scored([str(scored)])
    worklist = choose_posts(posts, options)
    output = tmp_path / f"list.{ending}"
    summary = summarise(posts, worklist, options, output=str(output))
    write_worklist(posts, worklist, summary)
    with open_table(output) as table:
        assert table.columns[:5] == ("id", "text", "label", "label_2", "label_3")
        assert table.columns[-1] == "scored_posts"
        rows = [row for row in table.rows if hasattr(row, "derived")]
    assert len(rows) == 30
    assert [float(row.cells["p_calibrated"]) for row in rows] == posts.calibrated[worklist.order].tolist()
    assert {str(row.cells["purpose"]) for row in rows} == {"queue", "audit"}
    assert not any(row.cells.get("label") for row in rows)
    assert {row.cells["scored_posts"] for row in rows} == {posts.fingerprint}
    manifest = json.loads(Path(f"{output}.manifest.json").read_text())
    assert (manifest["queue"], manifest["audit"], manifest["seed"]) == (24, 6, 0)


def test_labels_of_the_input_are_not_those_of_the_readers(tmp_path: Path) -> None:
    rows: list[Cells] = [{**row, "label": "1", "purpose": "mine"} for row in many_rows(20)]
    for row in rows:
        row["text"] = "=" + row["text"]
    scored = write_rows(tmp_path / "s.csv", rows)
    posts = read_scored([str(scored)])
    options = WorklistOptions(budget=5, audit=0)
    worklist = choose_posts(posts, options)
    write_worklist(posts, worklist, summarise(posts, worklist, options, output=str(tmp_path / "w.csv")))
    written = read_csv(tmp_path / "w.csv")
    assert {row["label"] for row in written} == {""}
    assert {row["input_label"] for row in written} == {"1"}
    assert {row["input_purpose"] for row in written} == {"mine"}
    assert all(row["text"].startswith("'=") and "cell_protected" in row["flags"] for row in written)


def test_rows_without_ids_get_their_line(tmp_path: Path) -> None:
    rows = [{name: cell for name, cell in row.items() if name != "id"} for row in many_rows(5)]
    posts, worklist = chosen(write_rows(tmp_path / "s.csv", rows), budget=2, audit=0)
    write_worklist(
        posts, worklist, summarise(posts, worklist, WorklistOptions(budget=2, audit=0), output=str(tmp_path / "w.csv"))
    )
    assert all(row["id"].startswith("row-") for row in read_csv(tmp_path / "w.csv"))


def test_a_worklist_in_which_somebody_has_decided_is_never_replaced(scored: Path, tmp_path: Path) -> None:
    output = tmp_path / "w.csv"
    options = WorklistOptions(budget=10)
    posts = read_scored([str(scored)])
    worklist = choose_posts(posts, options)
    write_worklist(posts, worklist, summarise(posts, worklist, options, output=str(output)))
    with pytest.raises(DataError, match="a worklist stands there already"):
        check_worklist_output(output, replace=False, inputs=[])
    check_worklist_output(output, replace=True, inputs=[])
    rows = read_csv(output)
    rows[3]["label"] = "0"
    write_rows(output, rows)
    with pytest.raises(DataError, match="holds 1 decisions"):
        check_worklist_output(output, replace=True, inputs=[])
    with pytest.raises(DataError, match="input and output are one file"):
        check_worklist_output(scored, replace=True, inputs=[str(scored)])
    with pytest.raises(DataError, match="csv, tsv, jsonl or xlsx"):
        check_worklist_output(tmp_path / "w.parquet", replace=False, inputs=[])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "a budget of 0 posts"),
        ({"budget": 10, "audit": 11}, "an audit of 11"),
        ({"audit": -0.1}, "an audit of -0.1"),
        ({"audit": 2.5}, "an audit of 2.5"),
        ({"prevalence": {"": 0.0}}, "between 0 and 1"),
        ({"budget": 10, "audit": 0, "quotas": {"en": 11}}, "quotas of 11 posts, and 10 to read"),
        ({"quotas": {"en": 1}, "type_quotas": {"tweet": 1}}, "of languages or of types"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        WorklistOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quotas": {"fa": 3}}, "no post has the language 'fa'"),
        ({"type_quotas": {"blog": 3}}, "no post has the type 'blog'"),
        ({"prevalence": {"fa": 0.1}}, "no post has the language 'fa'"),
    ],
)
def test_choices_that_the_posts_do_not_have(scored: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        chosen(scored, **options)


def test_files_that_are_not_scored_are_refused_with_the_way_out(tmp_path: Path) -> None:
    plain = write_rows(tmp_path / "posts.csv", [{"id": "1", "text": "my head hurts"}])
    with pytest.raises(DataError, match="is no output of polyvigil score: it lacks") as caught:
        read_scored([str(plain)])
    assert "polyvigil score BUNDLE" in caught.value.hint
    assert "--bundle BUNDLE" in caught.value.hint
    with pytest.raises(DataError, match="read twice"):
        read_scored(["-"])
    empty = write_rows(tmp_path / "empty.csv", [scored_row(1, 0.0, flags="no_text:empty")])
    with pytest.raises(DataError, match="no post with a text"):
        read_scored([str(empty)])


@pytest.mark.parametrize("cell", ["", "high", "1.5", "nan"])
def test_a_damaged_number_is_named(tmp_path: Path, cell: str) -> None:
    path = write_rows(tmp_path / "s.csv", [scored_row(1, 0.2), scored_row(2, 0.3) | {"p_calibrated": cell}])
    with pytest.raises(DataError, match="is not a number from 0 to 1") as caught:
        read_scored([str(path)])
    assert caught.value.where == f"{path}:3"


def test_a_folder_of_scores_is_read_and_manifests_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "scored"
    folder.mkdir()
    write_rows(folder / "a.csv", many_rows(5))
    write_rows(folder / "b.csv", many_rows(5, seed=1))
    for name in ("a.csv.manifest.json", "_manifest.json"):
        (folder / name).write_text("{}")
    assert len(read_scored([str(folder)]).calibrated) == 10
    assert len(read_scored([str(folder / "*.csv")]).calibrated) == 10


def test_the_fingerprint_follows_from_scores_whatever_the_order(tmp_path: Path) -> None:
    rows = many_rows(20)
    first = read_scored([str(write_rows(tmp_path / "a.csv", rows))]).fingerprint
    assert first == read_scored([str(write_rows(tmp_path / "b.csv", rows[::-1]))]).fingerprint
    rows[3]["p_calibrated"] = "0.123"
    assert first != read_scored([str(write_rows(tmp_path / "c.csv", rows))]).fingerprint
