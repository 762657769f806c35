"""From a filled-in worklist to an estimate: parts rebuilt exactly, truth inside, days summed, and each refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.review.made import Cells, decide, many_rows, read_csv, scored_row, write_rows

from polyvigil.config.data import DataSpec
from polyvigil.errors import DataError
from polyvigil.evaluation.audit_estimate import AuditEstimate
from polyvigil.review.estimating import LanguageEstimate, estimate_languages
from polyvigil.review.reviewed import read_reviewed, reviewed_languages
from polyvigil.review.scored_posts import read_scored
from polyvigil.review.worklist import WorklistOptions, choose_posts, summarise, write_worklist


def worklist_of(scored: list[Path], output: Path, **options: object) -> Path:
    posts, chosen = read_scored(list(map(str, scored))), WorklistOptions(**options)  # type: ignore[arg-type]
    worklist = choose_posts(posts, chosen)
    write_worklist(posts, worklist, summarise(posts, worklist, chosen, output=str(output)))
    return output


def estimated(
    scored: list[Path], reviewed: list[Path], *, looks: int = 1
) -> tuple[dict[str, LanguageEstimate], LanguageEstimate]:
    posts = read_scored(list(map(str, scored)))
    parts = reviewed_languages(posts, read_reviewed(list(map(str, reviewed))))
    languages, pooled = estimate_languages(parts, looks=looks)
    return {one.estimate.name: one for one in languages}, pooled


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("loop")
    rows = [*many_rows(3000), *many_rows(1500, language="ru", seed=1, shift=-4.0)]
    scored = write_rows(folder / "scored.csv", rows)
    worklist = worklist_of([scored], folder / "list.csv", budget=1000, audit=500)
    return scored, decide(worklist, folder / "reviewed.csv")


def truth(scored: Path, reviewed: Path, language: str = "") -> tuple[int, int]:
    """ADEs read because of their score, and ADEs among all others."""
    queue = {row["id"] for row in read_csv(reviewed) if row["purpose"] == "queue"}
    ades = [row["id"] for row in read_csv(scored) if row["gold"] == "1" and language in ("", row["language"])]
    return sum(one in queue for one in ades), sum(one not in queue for one in ades)


def test_estimates_hold_the_truth(reviewed: tuple[Path, Path]) -> None:
    languages, pooled = estimated([reviewed[0]], [reviewed[1]])
    assert set(languages) == {"en", "ru"}
    for name, one in {**languages, "": pooled}.items():
        estimate, (true, missed) = one.estimate, truth(*reviewed, name)
        assert estimate.true_positives == true
        assert estimate.missed is not None
        assert estimate.missed.low <= missed <= estimate.missed.high
        assert estimate.recall is not None
        assert estimate.recall.low <= true / (true + missed) <= estimate.recall.high
    assert pooled.estimate.audited == 500
    assert pooled.estimate.read == 500
    assert pooled.estimate.read + pooled.estimate.unread == 4500
    assert pooled.stopping is None
    assert languages["en"].stopping is not None
    true, missed = truth(*reviewed, "en")
    assert languages["en"].stopping.recall <= true / (true + missed)


def test_parts_are_those_of_the_worklist(reviewed: tuple[Path, Path]) -> None:
    posts = read_scored([str(reviewed[0])])
    rows = read_reviewed([str(reviewed[1])])
    for one in reviewed_languages(posts, rows):
        stored = sorted(row.inclusion for row in rows if row.purpose == "audit" and row.language == one.part.language)
        assert np.sort(one.part.inclusion[one.part.audited]) == pytest.approx(stored, rel=1e-4)
        assert one.part.inclusion.sum() == pytest.approx(250)
        assert one.part.threshold == one.part.read.min()


def test_recall_of_the_flags_takes_all_of_them(tmp_path: Path) -> None:
    rows = many_rows(1500, shift=-4.0)
    scored = write_rows(tmp_path / "s.csv", rows)
    flagged = sum(row["decision"] == "1" for row in rows)
    everything = decide(worklist_of([scored], tmp_path / "w.csv", budget=1500, audit=400), tmp_path / "r.csv")
    languages, _ = estimated([scored], [everything])
    recall = languages["en"].flags_recall
    true = sum(row["gold"] == "1" and row["decision"] == "1" for row in rows)
    ades = sum(row["gold"] == "1" for row in rows)
    assert recall is not None
    assert recall.value == recall.low == recall.high == true / ades, "all posts were read, or audited"
    few = decide(worklist_of([scored], tmp_path / "w2.csv", budget=flagged // 2 + 20, audit=20), tmp_path / "r2.csv")
    languages, _ = estimated([scored], [few])
    assert languages["en"].flags_recall is None
    assert languages["en"].flagged_unread > 0


def test_days_and_bundles_are_summed(tmp_path: Path) -> None:
    scored, reviewed = [], []
    for day in range(3):
        rows = many_rows(1200, seed=10 + day, bundle="old" if day < 2 else "new")
        scored.append(write_rows(tmp_path / f"{day}.csv", rows))
        worklist = worklist_of([scored[-1]], tmp_path / f"w{day}.csv", budget=400, audit=120, seed=day)
        reviewed.append(decide(worklist, tmp_path / f"r{day}.csv"))
    languages, pooled = estimated(scored, reviewed)
    missed = sum(truth(one, list_)[1] for one, list_ in zip(scored, reviewed, strict=True))
    assert pooled.estimate.audited == 360
    assert pooled.estimate.missed is not None
    assert pooled.estimate.missed.low <= missed <= pooled.estimate.missed.high
    assert languages["en"].stopping is None, "of several worklists there is no one order of reading"
    assert languages["en"].estimate.read == 3 * 280
    looked = estimated(scored, reviewed, looks=10)[1].estimate
    assert looked.missed is not None
    assert looked.missed.high > pooled.estimate.missed.high
    with pytest.raises(DataError, match=r"none of the worklists given .* was made of these scored posts"):
        estimated(scored, reviewed[:2])
    with pytest.raises(DataError, match="was made of other scored posts"):
        estimated(scored[:2], reviewed)


def test_one_worklist_of_several_files_and_in_several_parts(tmp_path: Path) -> None:
    scored = [write_rows(tmp_path / f"{n}.csv", many_rows(400, seed=20 + n)) for n in range(2)]
    whole = decide(worklist_of(scored, tmp_path / "w.csv", budget=200, audit=110), tmp_path / "r.csv")
    rows = read_csv(whole)
    parts = [write_rows(tmp_path / f"part{n}.csv", rows[n::2]) for n in range(2)]
    one, two = (estimated(scored, reviewed)[1].estimate.missed for reviewed in ([whole], parts))
    assert one is not None
    assert two is not None
    assert (one.low, one.high) == pytest.approx((two.low, two.high))
    with pytest.raises(DataError, match="the audit of en is not whole"):
        estimated(scored, parts[:1])
    with pytest.raises(DataError, match="or it is there twice"):
        estimated(scored, [whole, whole])


def changed(reviewed: Path, output: Path, change: dict[str, str], rows: slice) -> Path:
    written = read_csv(reviewed)
    for row in written[rows]:
        row.update(change)
    return write_rows(output, written)


def test_undecided_posts_are_named_and_nothing_is_estimated(reviewed: tuple[Path, Path], tmp_path: Path) -> None:
    scored, list_ = reviewed
    half = changed(list_, tmp_path / "half.csv", {"label": "", "label_2": ""}, slice(900, None))
    estimate: AuditEstimate = estimated([scored], [half])[1].estimate
    assert estimate.recall is None
    assert estimate.precision is not None
    assert "100 posts of the worklist have no decision yet" in estimate.remarks[0]
    differ = changed(list_, tmp_path / "differ.csv", {"label": "1", "label_2": "0", "label_3": ""}, slice(0, 1))
    assert estimated([scored], [differ])[1].undecided == 1
    third = changed(list_, tmp_path / "third.csv", {"label": "1", "label_2": "0", "label_3": "0"}, slice(0, 1))
    assert estimated([scored], [third])[1].undecided == 0


def test_rare_ades_that_one_person_saw_are_refused(tmp_path: Path) -> None:
    scored = write_rows(tmp_path / "s.csv", many_rows(3000, shift=-6.5))
    worklist = worklist_of([scored], tmp_path / "w.csv", budget=400, audit=300)
    rows = read_csv(worklist)
    for row in rows:
        row["label"] = row["gold"]
    next(row for row in rows if row["purpose"] == "audit")["label"] = "1"
    once = write_rows(tmp_path / "once.csv", rows)
    estimate = estimated([scored], [once])[1].estimate
    assert estimate.recall is None
    assert "read by one person alone" in estimate.remarks[0]
    for row in rows:
        if row["purpose"] == "audit" and row["label"] == "1":
            row["label_2"] = "1"
    assert estimated([scored], [write_rows(tmp_path / "twice.csv", rows)])[1].estimate.recall is not None


def test_posts_picked_for_learning_do_not_count(reviewed: tuple[Path, Path], tmp_path: Path) -> None:
    scored, list_ = reviewed
    rows: list[Cells] = read_csv(list_)
    queue = {row["id"] for row in rows}
    spare = next(row for row in read_csv(scored) if row["id"] not in queue)
    extra = {**rows[0], **spare, "purpose": "learn", "inclusion_p": "", "label": "1"}
    with_pick = write_rows(tmp_path / "learn.csv", [*rows, {name: extra[name] for name in rows[0]}])
    assert estimated([scored], [with_pick])[1].estimate == estimated([scored], [list_])[1].estimate


def test_words_as_labels(reviewed: tuple[Path, Path], tmp_path: Path) -> None:
    rows = read_csv(reviewed[1])
    for row in rows:
        row["label"] = "yes" if row["label"] == "1" else "no"
    worded = write_rows(tmp_path / "words.csv", rows)
    ones = sum(row.label or 0 for row in read_reviewed([str(worded)]))
    assert ones == sum(row["label"] == "yes" for row in rows)
    rows[5] |= {"label": "maybe", "label_2": ""}
    with pytest.raises(DataError, match="'maybe' is not 0 or 1") as caught:
        read_reviewed([str(write_rows(tmp_path / "maybe.csv", rows))])
    assert caught.value.where.endswith(":7")
    assert read_reviewed([str(tmp_path / "maybe.csv")], DataSpec(labels={"maybe": 0}))[5].label == 0


def test_files_that_are_no_worklists(tmp_path: Path, reviewed: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="is no worklist: it lacks"):
        read_reviewed([str(write_rows(tmp_path / "s.csv", [scored_row(1, 0.5)]))])
    wrong = changed(reviewed[1], tmp_path / "wrong.csv", {"purpose": "fun"}, slice(0, 1))
    with pytest.raises(DataError, match="'fun' is none of queue, audit, learn"):
        read_reviewed([str(wrong)])
