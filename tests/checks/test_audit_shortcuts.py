"""Shortcuts planted and found; quiet on clean data: 4 small worlds of the 100 in benchmarks/shortcuts.py."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from benchmarks.shortcuts import Arm, World, reading, trained, world
from scipy.stats import median_abs_deviation

from polyvigil.checks.audit import probing
from polyvigil.checks.audit.cells import flag_cells, negatives_gate, rate_gate
from polyvigil.checks.audit.gate import Gate
from polyvigil.checks.audit.probing import probe
from polyvigil.checks.audit.shortcuts import ShortcutAudit, audit_shortcuts
from polyvigil.checks.audit.training import audit_training
from polyvigil.evaluation.intervals import share_interval
from polyvigil.text.normalise import model_text
from polyvigil.text.script import LETTERS, SCRIPTS, alphabet, main_script
from polyvigil.types import LabelledPost, Post

LANGUAGES = ("en", "ru")
PROBES = {"junk-share", "junk-lift", "mapped-share", "mapped-lift"}


@cache
def small_world(seed: int, arm: Arm) -> World:
    return world(seed, arm, languages=LANGUAGES)


@cache
def audited(seed: int, arm: Arm) -> ShortcutAudit:
    made = small_world(seed, arm)
    return audit_shortcuts(made.bundle, made.test, train=made.train)


def gate(audit: ShortcutAudit, name: str) -> Gate:
    return next(gate for gate in audit.gates if gate.name == name)


@pytest.mark.parametrize("seed", range(4))
def test_a_language_of_positives_alone_is_found(seed: int) -> None:
    """From the bundle alone (the probes, the record) and from the training posts."""
    audit = audited(seed, "planted")
    refusing = {gate.name for gate in audit.gates if not gate.passed}
    assert refusing & PROBES
    assert refusing >= {"positives-only", "trained-on-positives"}
    assert gate(audit, "junk-lift").worst_at == "Arabic"


@pytest.mark.parametrize("seed", range(4))
def test_clean_data_pass_every_gate(seed: int) -> None:
    assert [gate.name for gate in audited(seed, "clean").gates if not gate.passed] == []


def test_a_new_language_with_both_labels_passes_the_probes() -> None:
    assert [gate.name for gate in audited(0, "both labels").gates if not gate.passed] == []


def test_findings_state_group_value_limit_and_advice() -> None:
    audit = audited(0, "planted")
    record = gate(audit, "trained-on-positives").findings[0]
    assert record.message.startswith("fa: 137 of the 137 posts that the bundle was trained on are positive (100%; ")
    assert record.hint == "train it again with negatives of the same source, or without these posts"
    assert (record.severity, record.where.language) == ("error", "fa")
    lift = gate(audit, "junk-lift").findings[0]
    assert lift.message.startswith("Arabic script: junk of random letters score ")
    assert "above those in other scripts (limit 1.2, and 8 times the deviation of the others, 0." in lift.message
    assert "leave its positives out" in lift.hint


def test_audit_is_reproducible_json_without_texts() -> None:
    made, audit = small_world(0, "clean"), audited(0, "clean")
    assert audit_shortcuts(made.bundle, made.test, train=made.train) == audit
    told = audit.model_dump_json()
    assert ShortcutAudit.model_validate_json(told) == audit
    assert not any(item.post.text in told for item in made.test.posts if len(item.post.text) > 20)


def test_cells_count_what_is_flagged() -> None:
    made, audit = small_world(0, "clean"), audited(0, "clean")
    items = [item for item in made.test.posts if item.post.language == "ru"]
    flags = made.bundle.policy.flags(made.bundle.probabilities([item.post for item in items]), ["ru"] * len(items))
    cell = next(cell for cell in audit.cells if cell.group == "ru in Cyrillic script")
    assert (cell.posts, cell.flagged) == (len(items), flags.sum())
    assert cell.false_flags == sum(flag and not item.label for flag, item in zip(flags, items, strict=True))
    assert cell.prior == pytest.approx(0.1)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_gates_on_flag_rates_and_on_negatives(share: float) -> None:
    """A language with 5% positives, in which 5% or half of the posts are flagged."""
    labels = np.zeros(400, dtype=np.int8)
    labels[:20] = 1
    flags = np.arange(400) < 400 * share
    cells = flag_cells(
        labels,
        flags,
        ["fa"] * 400,
        ["Arabic"] * 400,
        dev_labels=np.array([0, 1] * 5 + [0] * 90, dtype=np.int8),
        dev_languages=np.array(["en"] * 100),
    )
    assert cells[0].prior == 0.05
    for gate in (rate_gate(cells), negatives_gate(cells)):
        assert gate.passed == (share == 0.05)
    if share == 0.5:
        told = rate_gate(cells).findings[0].message
        assert told.startswith(
            "fa in Arabic script: 50.0% of 400 posts are flagged, where 5.0% of the dev posts and 5.0%"
        )
        assert "180 of" not in negatives_gate(cells).findings[0].message
        assert "47.4% of 380 negatives are flagged" in negatives_gate(cells).findings[0].message


_WORDS = ("we", "you", "they", "go", "to", "eat", "see", "a", "the", "new", "old", "house", "dog", "day", "sun")


def test_a_cell_of_few_posts_is_not_judged() -> None:
    labels, flags = np.array([1] * 18 + [0] * 12, dtype=np.int8), np.ones(30, dtype=bool)
    none = np.empty(0, dtype=np.int8)
    cells = flag_cells(
        labels, flags, ["de_cadec"] * 30, ["Latin"] * 30, dev_labels=none, dev_languages=np.array([], dtype=np.str_)
    )
    assert (cells[0].false_rate, cells[0].negatives, cells[0].prior) == (1.0, 12, 0.0)
    assert (negatives_gate(cells).passed, negatives_gate(cells).places) == (True, 0)


def _words(number: int, *, seed: int) -> str:
    return " ".join(random.Random(seed).choices(_WORDS, k=number))


def _posts(number: int, lengths: Sequence[tuple[int, int]], *, seed: int, split: str) -> list[LabelledPost]:
    """Every fifth positive, with "dizzy" in it; ``lengths`` in words, of negatives and of positives."""
    draw = random.Random(f"{seed}{split}")
    made = []
    for place in range(number):
        label = int(place % 5 == 0)
        text = _words(draw.randint(*lengths[label]), seed=draw.randrange(10**9)) + " dizzy" * label
        made.append(LabelledPost(Post(f"en_{split}{place}", text, "en", "tweet", split=split), label))
    return made


@pytest.mark.parametrize(("positives", "passed"), [((4, 40), True), ((400, 500), False)])
def test_long_positives_make_length_a_shortcut(positives: tuple[int, int], passed: bool) -> None:
    """Negatives have 4 to 40 words. Where positives had hundreds, the word of an ADE is lost among them."""
    train = _posts(300, [(4, 40), positives], seed=1, split="train")
    bundle = trained(train, _posts(200, [(4, 40), positives], seed=2, split="dev"))
    fresh = _posts(400, [(4, 40), (4, 40)], seed=3, split="test")
    found = gate(audit_shortcuts(bundle, reading("test.csv", fresh)), "length")
    assert found.passed == passed
    if not passed:
        assert "negatives the long ones score higher (rank correlation +0." in found.findings[0].message
        assert found.findings[0].where.language == "en"


@pytest.mark.parametrize("planted", [True, False])
def test_an_origin_that_predicts_the_label_is_found(planted: bool) -> None:
    train = [
        LabelledPost(replace(item.post, origin=("SMM4H", "forum")[item.label if planted else place % 2]), item.label)
        for place, item in enumerate(_posts(200, [(4, 20), (4, 20)], seed=1, split="train"))
    ]
    found = {gate.name: gate for gate in audit_training(reading("train.csv", train), is_train=True).gates}["giveaway"]
    assert found.passed != planted
    if planted:
        assert "en: 'origin' gives the label away (AUC 1.00 over 200 posts; limit 0.9)" in found.findings[0].message


def test_a_language_that_separates_scores_is_found() -> None:
    """Half of the positives in one language, hardly any in the other: the language is most of every score."""
    made = [
        LabelledPost(replace(item.post, language=language, text=text), item.label)
        for item in _posts(600, [(4, 20), (4, 20)], seed=1, split="train")
        for language, text in (("en", item.post.text), ("ru", item.post.text.translate(_CYRILLIC)))
    ]
    kept = [item for place, item in enumerate(made) if item.label or item.post.language == "ru" or place % 50 == 0]
    kept = [item for place, item in enumerate(kept) if not (item.label and item.post.language == "ru" and place % 20)]
    bundle = trained(kept, kept)
    assert not gate(audit_shortcuts(bundle, reading("test.csv", made)), "language-spread").passed


_CYRILLIC = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцчшщ")


def test_alphabets_are_of_their_script_and_lower_case() -> None:
    for script in SCRIPTS:
        letters = alphabet(script)
        assert 40 <= len(set(letters)) == len(letters) <= LETTERS
        assert all(SCRIPTS[script].fullmatch(letter) and not letter.isupper() for letter in letters)
    assert alphabet("Latin").startswith("abcdefghijklmnopqrstuvwxyz")


def test_junk_and_mapped_texts() -> None:
    letters = alphabet("Arabic")[:60]
    texts = probing.junk(letters)
    assert len(texts) == probing.TEXTS
    assert texts == probing.junk(letters)
    assert {main_script(text) for text in texts} == {"Arabic"}
    plain = ["@someone I went home with the new pills https://t.co/x", "too short", "what a day it was, all in all"]
    made = probing.mapped(plain, letters)
    assert made == probing.mapped(plain, letters)
    assert len(made) == 2
    one = next(text for text in made if text.startswith("@USER"))
    assert one.endswith("[URL]")
    source = "i went home with the new pills"
    pairs = set(zip(source, one.removeprefix("@USER ").removesuffix(" [URL]"), strict=True))
    assert len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs}), "one to one"


@pytest.mark.parametrize(
    ("lift", "deviation", "share", "own", "refusing"),
    [
        (0.9, 0.0, 0.22, False, set()),  # a clean linear model: scripts that it has not learned are the same to it
        (2.1, 0.03, 0.43, False, {"junk-lift"}),  # one that learned a script
        (3.0, 1.8, 0.25, False, set()),  # a clean encoder: scripts lie far apart
        (3.0, 0.37, 0.25, False, {"junk-lift"}),
        (4.2, 0.39, 0.06, True, set()),  # all posts of the language score higher, and so its threshold does
        (4.4, 3.5, 0.99, True, {"junk-share"}),  # one that learned that letters without a meaning are positive
        (1.7, 0.8, 0.62, False, set()),
        (0.0, 1.0, 0.86, False, set()),  # its interval reaches below the limit
    ],
)
def test_a_script_is_refused_that_stands_out_or_is_flagged(
    lift: float, deviation: float, share: float, own: bool, refusing: set[str]
) -> None:
    count = round(100 * share)
    told = probing.Probe(
        kind="junk",
        script="Han",
        letters=60,
        texts=100,
        threshold=0.3,
        own_threshold=own,
        flagged=count,
        share=share,
        share_interval=share_interval(count, 100),
        lift=lift,
        deviation=deviation,
    )
    assert {gate.name for gate in probing.probe_gates([told]) if not gate.passed} == refusing


def test_letters_that_a_bundle_knows() -> None:
    """Of a script it was trained on, those it has seen; of another, all."""
    bundle = small_world(0, "clean").bundle
    assert set("абвгд") <= set(probing.known_letters(bundle, "Cyrillic")) < set(alphabet("Cyrillic"))
    assert probing.known_letters(bundle, "Hebrew") == alphabet("Hebrew")
    assert probing.known_letters(bundle, "Hebrew", seen=["שלום"]).startswith("שלומ"[0])


def test_every_script_is_probed_both_ways() -> None:
    made = small_world(0, "clean")
    posts, labels = [item.post for item in made.test.posts], np.array([item.label for item in made.test.posts])
    scripts = [main_script(model_text(post.text, made.bundle.normalisation)) for post in posts]
    told = probe(made.bundle, posts, labels, scripts)
    assert {(part.script, part.kind) for part in told} == {(s, k) for s in SCRIPTS for k in ("junk", "mapped")}
    for kind in ("junk", "mapped"):
        of_kind = [part for part in told if part.kind == kind]
        assert np.median([part.lift for part in of_kind]) == pytest.approx(0, abs=1e-9)
        for part in of_kind:
            others = [other.lift for other in of_kind if other is not part]
            assert part.deviation == pytest.approx(median_abs_deviation(others, scale="normal"), rel=1e-4, abs=1e-9)
    assert max(part.share for part in told) < 0.1
