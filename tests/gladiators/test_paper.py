"""The paper's figures agree with one another, with the plan and with the shipped recipe."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from polyvigil.config.load import load, shipped
from polyvigil.errors import RecipeError
from polyvigil_gladiators import paper, plan
from polyvigil_gladiators.plan import Audit, Scoring, Training, rows_of, steps_of, users


def test_posts_add_up() -> None:
    assert sum(posts.train for posts in paper.POSTS) == paper.TRAIN
    assert sum(posts.dev for posts in paper.POSTS) == paper.DEV
    assert sum(posts.dev_positives for posts in paper.POSTS) == paper.DEV_POSITIVES


def test_tables_agree_where_they_overlap() -> None:
    f1 = {row.key: row.f1 for row in paper.TABLE2}
    subsets = {row.seeds: row.f1 for row in paper.TABLE5}
    assert subsets[plan.SEED_NUMBERS] == f1["ensemble"]
    assert subsets[123,] == f1["best-seed"]
    assert max(epoch.dev_f1 for epoch in paper.TABLE4) <= f1["best-seed"]
    assert np.mean([row.threshold for row in paper.THRESHOLDS]) == pytest.approx(0.515)  # its fallback
    [japanese] = [row for row in paper.THRESHOLDS if row.language == "ja"]
    assert japanese.precision
    assert japanese.recall
    both = 2 * japanese.precision * japanese.recall / (japanese.precision + japanese.recall)
    assert both == pytest.approx(japanese.f1, abs=0.006)  # precision and recall are printed to two places
    assert japanese.threshold == paper.JAPANESE_THRESHOLDS[0]
    assert [row.language for row in paper.THRESHOLDS] == [posts.language for posts in paper.POSTS]
    dev = {row.language: row.f1 for row in paper.THRESHOLDS}
    official = {row.language: row for row in paper.TABLE3}
    assert set(official) == {*dev, "fa", "de_cadec", "fr_cadec", paper.ALL}
    assert all(official[language].dev_f1 == value for language, value in dev.items())
    for language, gap in paper.GAPS.items():
        assert gap == pytest.approx(official[language].gap, abs=0.0011)  # of ru the text has one unit more
    tests = sum(posts.test for posts in paper.POSTS) + paper.FARSI_TEST
    assert tests + 2 * paper.CADEC_TEST == pytest.approx(42_700, abs=100)


def test_the_rates_of_table_4_follow_from_the_recipe() -> None:
    """54,503 posts: CADEC in, every positive three times (2,992 positives, and 486 of CADEC)."""
    from polyvigil.learn.schedule import steps_per_epoch, warmup_cosine, warmup_steps

    training = load("gladiators").training
    posts = paper.TRAIN + paper.CADEC_TRAIN + 2 * (2_992 + 486)
    assert posts == 54_503
    each = steps_per_epoch(posts, posts_per_step=training.posts_per_step, last_batch=training.last_batch)
    whole = training.epochs * each
    warmup = warmup_steps(training.warmup, steps=whole, rounding=training.warmup_rounding)
    assert (each, whole, warmup) == (1_703, 8_515, 851)
    for row in paper.TABLE4:
        rate = training.learning_rate * warmup_cosine(row.epoch * each, steps=whole, warmup=warmup)
        assert rate == pytest.approx(row.learning_rate, abs=0.05e-6)


def test_the_plan_knows_every_row_and_every_recipe_in_it() -> None:
    assert [row.key for row in rows_of("table2")] == [row.key for row in paper.TABLE2]
    assert len(rows_of("table2")) == 11
    for step in steps_of(rows_of("all")):
        if isinstance(step, Training):
            assert step.recipe in shipped()
    assert load(plan.SEEDS.recipe).member_seeds == plan.SEED_NUMBERS
    assert [part.weight for part in plan.ROWS["cross-regime"].parts] == [1.0, 0.7]  # plain, then Farsi-augmented
    japanese = load(plan.JAPANESE.recipe).encoder
    assert japanese is not None
    assert japanese.name == "tohoku-nlp/bert-large-japanese-v2"  # the released one


def test_shared_steps_are_listed_once_in_order() -> None:
    rows = rows_of("all")
    found = steps_of(rows)
    names = [step.name for step in found]
    kinds = Counter(type(step).__name__ for step in found)
    assert len(set(names)) == len(names)
    assert kinds == {"Training": 12, "Translation": 4, "Scoring": 4, "Audit": 3}
    for step in found:
        if isinstance(step, Training) and step.translation:
            assert found.index(step.translation) < found.index(step)
        if isinstance(step, Scoring | Audit):
            assert found.index(step.training) < found.index(step)
    assert users(plan.SEEDS, rows_of("table2")) == ("best-seed", "ensemble", "mixed", "cross-regime")
    assert users(plan.FA_V2, rows) == ("farsi", "cross-regime", "farsi-v2")
    for table in ("table4", "table5", "thresholds"):
        assert steps_of(rows_of(table)) == (plan.SEEDS,)
        assert users(plan.SEEDS, rows_of(table)) == (table,)
    assert steps_of(rows_of("table3")) == (plan.SEEDS, Scoring(plan.SEEDS))
    assert steps_of(rows_of("table1")) == ()
    for key, row in plan.ROWS.items():  # one row by one command, with what it needs and nothing else
        assert rows_of(key) == (row,)
        assert set(steps_of((row,))) == set(row.steps)
    with pytest.raises(RecipeError, match=r"the paper has no 'table9'.*a row of table2: gliner, nli.*mdeberta, fourth"):
        rows_of("table9")
