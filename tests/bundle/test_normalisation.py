"""A bundle reads posts as the members it was made of were trained to: the newest normalisation, or an older one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.golden.support import BUNDLES, POSTS, run_program

from polyvigil.bundle import layout, store
from polyvigil.bundle.explain import explain
from polyvigil.bundle.store import Bundle
from polyvigil.bundle.verify import bundle_id, entries
from polyvigil.data.fingerprint import fingerprint, post_hashes, post_keys
from polyvigil.errors import BundleError, RecipeError
from polyvigil.scoring.dedup import Deduplicated
from polyvigil.scoring.explain import explain_posts
from polyvigil.scoring.wire import score_posts
from polyvigil.text.mentions import Term, lexicon
from polyvigil.text.normalise import FIRST_NORMALISATION, NORMALISATION
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows.ensemble import Source
from polyvigil.workflows.judge import JudgePlan, check

HTML = Post("h", "I&#39;m <b>dizzy</b> &amp; sick<br/>since the new pills, can&#39;t sleep!<!-- x -->", "en")
PLAIN = replace(HTML, text="I'm dizzy & sick since the new pills, can't sleep! ")
SPACED = replace(HTML, text="<p>&nbsp;</p><br>")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """One bundle of each kind that learns or is taken as it is, made by the command of today."""
    folder = tmp_path_factory.mktemp("trained")
    data = ["--train", f"{POSTS}/train.csv", "--dev", f"{POSTS}/dev.csv"]
    nli = str(BUNDLES / "nli" / "members" / "00-nli")
    (folder / "stacked.toml").write_text(
        '[model]\nkind = "stacked"\nfolds = 2\n[model.base]\nkind = "linear"\nmin_posts = 2\n'
        f'[model.further]\nkind = "nli"\nname = {json.dumps(nli)}\nmax_tokens = 96\n'
    )
    quick = _set("decide.rule=argmax")
    device = [*quick, "--device", "cpu", "--offline"]
    encoder = [f"model.name={BUNDLES / 'encoder' / 'members' / '00-encoder'}", "model.max_tokens=48"]
    lines = {"linear": ["train", "linear", *data, "--set", "model.min_posts=2", *quick]}
    if _has_torch():
        lines |= {
            "encoder": ["train", "quick", *data, *_set(*encoder, "training.epochs=1"), *device],
            "nli": ["train", "nli", *data[2:], *_set(f"model.name={nli}", "model.max_tokens=96"), *device],
            "stacked": ["train", str(folder / "stacked.toml"), *data, *device],
        }
    for kind, line in lines.items():
        code, _, err = run_program([*line, "-o", str(folder / kind), "-q"])
        assert code == 0, err
    return {kind: store.load(folder / kind, device="cpu") for kind in lines}


def _set(*settings: str) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def _has_torch() -> bool:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def test_what_is_trained_today_reads_html_as_its_reader_does(trained: dict[str, Bundle]) -> None:
    for kind, bundle in trained.items():
        assert bundle.normalisation == NORMALISATION == "gladiators-2"
        assert {member.normalisation for member in bundle.members} == {NORMALISATION}
        with_html, plain, empty = bundle.probabilities([HTML, PLAIN, SPACED])
        assert with_html == pytest.approx(plain, abs=0 if kind == "linear" else 1e-6)
        assert plain > 0
        assert empty == 0
        assert score_posts(bundle, [SPACED])[0].flags[0] == "no_text:empty"


def test_it_says_how_it_reads(trained: dict[str, Bundle], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    bundle = _saved(folder, trained["linear"])
    assert json.loads((folder / layout.MANIFEST).read_text())["normalisation"] == NORMALISATION
    assert json.loads((folder / "members" / "00-linear" / "config.json").read_text())["normalisation"] == NORMALISATION
    code, out, _ = run_program(["inspect", str(folder)])
    assert (code, f"normalisation {NORMALISATION}" in out) == (0, True)
    assert bundle.id == store.load(folder).id


def test_an_older_bundle_reads_as_before(tmp_path: Path) -> None:
    old = store.load(BUNDLES / "linear")
    assert old.normalisation == FIRST_NORMALISATION
    p = old.probabilities([HTML, PLAIN, SPACED])
    assert len(set(p.tolist())) == 3, "to it entities and tags are text"
    again = _saved(tmp_path / "again", old)
    assert again.normalisation == FIRST_NORMALISATION
    assert again.probabilities([HTML, PLAIN, SPACED]).tolist() == p.tolist()
    code, _, err = run_program(
        [
            "tune",
            str(BUNDLES / "linear"),
            f"{POSTS}/dev.csv",
            "-o",
            str(tmp_path / "tuned"),
            "--set",
            "decide.rule=argmax",
        ]
    )
    assert code == 0, err
    assert store.load(tmp_path / "tuned").normalisation == FIRST_NORMALISATION


def test_evidence_is_of_what_a_reader_sees(trained: dict[str, Bundle]) -> None:
    text = HTML.text
    for bundle in trained.values():
        (found,) = explain(bundle, [HTML])
        assert found.sentence is not None
        shown = text[found.sentence.start : found.sentence.end]
        assert not shown.endswith("-->")
        for span in (found.sentence, *found.spans):
            assert not {span.start, span.end} & set(range(text.index("&#39;") + 1, text.index("&#39;") + 5))
    linear = trained["linear"].members[0]
    html, plain = linear.evidence([HTML, PLAIN])
    assert html.logit == plain.logit
    assert html.characters.sum() == pytest.approx(plain.characters.sum(), abs=1e-9)
    word, bare = text.index("dizzy"), PLAIN.text.index("dizzy")
    assert html.characters[word : word + 5] == pytest.approx(plain.characters[bare : bare + 5], abs=1e-12)
    entity, quote = text.index("&#39;"), PLAIN.text.index("'")
    assert html.characters[entity : entity + 5].sum() == pytest.approx(plain.characters[quote], abs=1e-12)


def test_terms_are_found_as_a_reader_sees_them(trained: dict[str, Bundle]) -> None:
    terms = lexicon([Term("caffè", "drug", "D1"), Term("isn't well", "reaction", "R1"), Term("br", "reaction", "R2")])
    post = replace(HTML, text="<b>caff&egrave;</b>: he isn&#39;t <i>well</i><br>")
    (row,) = explain_posts(trained["linear"], [post], terms)
    found = [(post.text[mention.start : mention.end], mention.term.code) for mention in row.mentions]
    assert found == [("caff&egrave;", "D1"), ("isn&#39;t <i>well", "R1")]
    (as_before,) = explain_posts(store.load(BUNDLES / "linear"), [post], terms)
    assert [mention.term.code for mention in as_before.mentions] == ["R2"]


def test_posts_that_read_the_same_are_scored_once(trained: dict[str, Bundle]) -> None:
    posts = [PLAIN, HTML]
    for bundle, repeats in ((trained["linear"], 1), (store.load(BUNDLES / "linear"), 0)):
        once = Deduplicated(bundle, "exact")
        decisions = once.decide(posts, detected=[False, False])
        assert once.copied == repeats
        assert [decision.p for decision in decisions] == [decision.p for decision in score_posts(bundle, posts)]


def test_posts_are_recognised_as_ever() -> None:
    """Fingerprints are in bundles of all ages; these were computed before HTML was undone."""
    posts = [HTML, PLAIN]
    assert fingerprint(posts) == "206f01dc9b84e71cb5b3df2d7a10d631"
    assert post_hashes(posts).tolist() == [16493031964714280344, 3531726831246653705]
    assert post_keys([LabelledPost(post, 1) for post in posts]).tolist() == [10763456835302581226, 10407931013121395564]


def test_members_that_read_differently_make_no_bundle(trained: dict[str, Bundle], tmp_path: Path) -> None:
    new, old = trained["linear"], store.load(BUNDLES / "linear")
    dev = replace(new.dev, by_member=np.repeat(new.dev.by_member, 2, axis=0))
    with pytest.raises(BundleError, match="its members read posts by gladiators-2 and gladiators-1"):
        store.save(tmp_path / "b", members=(*new.members, *old.members), documents={}, **(_parts(new) | {"dev": dev}))
    assert not (tmp_path / "b").exists()
    with pytest.raises(RecipeError, match="read posts by gladiators-1, those of new by gladiators-2; train again"):
        check(Source(Path("new"), new), Source(Path("old"), old), JudgePlan(0.1))


def test_a_manifest_that_names_another_one_is_refused(trained: dict[str, Bundle], tmp_path: Path) -> None:
    _saved(tmp_path / "b", trained["linear"])
    path = tmp_path / "b" / layout.MANIFEST
    manifest = layout.Manifest.model_validate_json(path.read_bytes())
    changed = manifest.model_copy(update={"normalisation": FIRST_NORMALISATION})
    path.write_text(changed.model_copy(update={"id": bundle_id(changed)}).model_dump_json())
    with pytest.raises(BundleError, match="its members read posts by gladiators-2, the bundle by gladiators-1"):
        store.load(tmp_path / "b")
    config = tmp_path / "b" / "members" / "00-linear" / "config.json"
    config.write_text(config.read_text().replace(NORMALISATION, "gladiators-3"))
    files = {name: entry for name, entry in entries(tmp_path / "b").items() if name != layout.MANIFEST}
    changed = manifest.model_copy(update={"files": files})
    path.write_text(changed.model_copy(update={"id": bundle_id(changed)}).model_dump_json())
    with pytest.raises(BundleError, match="'gladiators-3'; this version of polyvigil has 'gladiators-1' and 'gladi"):
        store.load(tmp_path / "b")


def _parts(bundle: Bundle) -> dict[str, object]:
    return {name: getattr(bundle, name) for name in ("combination", "policy", "calibration", "dev", "seen")}


def _saved(folder: Path, bundle: Bundle) -> Bundle:
    return store.save(folder, members=bundle.members, documents={}, **_parts(bundle))  # type: ignore[arg-type]
