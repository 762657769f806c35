"""Bundles: bit-equal after a round trip, and refused when anything about them is off."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polyvigil.bundle import layout
from polyvigil.bundle.store import Bundle, load, save
from polyvigil.config.load import parse
from polyvigil.config.recipe import LinearRecipe
from polyvigil.data import atomic
from polyvigil.errors import BundleError, PolyvigilError
from polyvigil.types import Post
from polyvigil.workflows import train as training

POSTS = [
    Post("1", "the pills gave me a rash", "en"),
    Post("2", "", "en"),
    Post("3", "😀", "fa"),
    Post("4", "頭痛", "ja"),
]


@pytest.fixture
def copy(bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path / "copy"))


def test_scores_are_bit_equal_after_a_round_trip(
    bundle: Bundle, bundle_folder: Path, trained: training.Trained
) -> None:
    assert np.array_equal(trained.bundle.probabilities(POSTS), bundle.probabilities(POSTS))
    assert np.array_equal(load(bundle_folder).probabilities(POSTS), bundle.probabilities(POSTS))


def test_empty_posts_score_exactly_zero(bundle: Bundle) -> None:
    scores = bundle.probabilities(POSTS)
    assert scores[1] == scores[2] == 0.0
    assert 0 < scores[0] < 1
    assert bundle.probabilities([]).shape == (0,)


def test_the_same_run_makes_the_same_bundle(
    material: training.TrainingData, trained: training.Trained, tmp_path: Path
) -> None:
    again = training.train(LinearRecipe(), material, output=tmp_path / "again").bundle
    assert again.id == trained.bundle.id
    other = training.train(parse({"model": {"C": 1.0}}), material, output=tmp_path / "other").bundle
    assert other.id != trained.bundle.id


def test_a_bundle_can_be_moved(copy: Path, bundle: Bundle) -> None:
    assert load(copy).id == bundle.id


def _edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return damage


def _edit_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / layout.MANIFEST).read_text())
        change(manifest)
        (folder / layout.MANIFEST).write_text(json.dumps(manifest))

    return damage


def _move_out(folder: Path) -> None:
    """A link to a file outside, with the right contents."""
    shutil.move(folder / layout.POLICY, folder.parent / "outside.json")
    (folder / layout.POLICY).symlink_to(folder.parent / "outside.json")


def _link_folder(folder: Path) -> None:
    shutil.move(folder / "members" / "00-linear", folder.parent / "outside")
    (folder / "members" / "00-linear").symlink_to(folder.parent / "outside")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_edit(layout.POLICY, '"source": "own"', '"source": "any"'), r"policy\.json: was changed or damaged"),
        (_edit(layout.EVALUATION, "0", "1"), r"evaluation\.json: was changed or damaged"),
        (lambda f: (f / layout.POLICY).unlink(), r"policy\.json: is missing"),
        (lambda f: (f / layout.MANIFEST).unlink(), r"not a bundle: it has no bundle\.json"),
        (lambda f: (f / layout.MANIFEST).write_bytes(b"\xff\xfe{"), r"bundle\.json: unreadable"),
        (lambda f: (f / layout.MANIFEST).write_text("[" * 100_000), r"bundle\.json: unreadable"),
        (_edit_manifest(lambda m: m.update(schema_version=99)), r"schema version 99; this polyvigil reads 2"),
        (_edit_manifest(lambda m: m.update(id="0" * 16)), r"its id does not match its contents"),
        (_edit_manifest(lambda m: m.update(trained_languages=["fa"])), r"its id does not match its contents"),
        (_edit_manifest(lambda m: m.update(extra=1)), r"bundle\.json: unreadable"),
        (
            _edit_manifest(lambda m: m["files"].update({"../x": m["files"]["policy.json"]})),  # type: ignore[index]
            r"file name '\.\./x' is not allowed",
        ),
        (
            _edit_manifest(lambda m: m["files"].update({"/etc/passwd": m["files"]["policy.json"]})),  # type: ignore[index]
            r"file name '/etc/passwd' is not allowed",
        ),
        (_edit_manifest(lambda m: m["files"].pop("policy.json")), r"lists no policy\.json"),  # type: ignore[attr-defined]
        (
            _edit_manifest(lambda m: m.update(members=[{"folder": "../../x", "kind": "linear"}])),
            r"member folder '\.\./\.\./x' is not allowed",
        ),
        (_edit_manifest(lambda m: m.update(members=[])), r"bundle\.json: unreadable"),
        (lambda f: (f / "members" / "00-linear" / "model.pkl").write_bytes(b"x"), r"a file that the bundle does not"),
        (_move_out, r"policy\.json: is a link"),
        (_link_folder, r"00-linear: is a link"),
    ],
)
def test_damaged_or_hostile_bundles_are_refused(copy: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(copy)
    with pytest.raises(BundleError, match=message):
        load(copy)


def test_a_member_of_unknown_kind_is_refused_with_a_hint(copy: Path) -> None:
    from polyvigil.bundle.layout import Manifest
    from polyvigil.bundle.verify import bundle_id

    manifest = json.loads((copy / layout.MANIFEST).read_text())
    manifest["members"][0]["kind"] = "oracle"
    manifest["id"] = bundle_id(Manifest.model_validate(manifest))
    (copy / layout.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="member of unknown kind 'oracle'; update polyvigil"):
        load(copy)


def test_1000_random_damages_are_refused_or_harmless(copy: Path, bundle: Bundle) -> None:
    """Bit flips, cuts and insertions in any file: the bundle is refused, or decides as before (a changed date, say)."""
    chance = random.Random(1)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    for _ in range(1000):
        path = chance.choice(files)
        original = path.read_bytes()
        damaged = bytearray(original)
        place = chance.randrange(len(damaged))
        kind = chance.randrange(3)
        if kind == 0:
            damaged[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del damaged[place:]
        else:
            damaged[place:place] = chance.randbytes(3)
        path.write_bytes(damaged)
        try:
            found = load(copy)
        except BundleError:
            pass
        else:
            assert path.name == layout.MANIFEST
            assert found.id == bundle.id
            assert found.policy == bundle.policy
        path.write_bytes(original)


def _parts(bundle: Bundle) -> dict[str, object]:
    """What a bundle is saved from."""
    names = ("members", "combination", "policy", "calibration", "dev", "seen")
    return {name: getattr(bundle, name) for name in names} | {"documents": {}}


def test_an_existing_folder_needs_replace(
    copy: Path, trained: training.Trained, material: training.TrainingData, tmp_path: Path
) -> None:
    bundle = trained.bundle
    parts = _parts(bundle)
    with pytest.raises(BundleError, match="a bundle stands there already; choose another folder, or --replace it"):
        save(copy, **parts)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(BundleError, match="exists and is no bundle"):
        save(tmp_path / "mine", **parts, replace=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"
    assert save(copy, **parts, replace=True).id == bundle.id
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "mine"]  # nothing temporary is left


@pytest.mark.parametrize(("call", "lasting"), [("fsync", True), ("mkdir", True), ("rename", False)])
def test_a_full_disk_leaves_the_old_bundle_whole(
    copy: Path, trained: training.Trained, monkeypatch: pytest.MonkeyPatch, call: str, lasting: bool
) -> None:
    """The n-th system call of a kind fails (and all after it, if lasting), for every n until saving succeeds."""
    bundle = trained.bundle
    parts = _parts(bundle)
    real = getattr(os, call)
    if call == "rename":  # as where names cannot be exchanged
        monkeypatch.setattr(atomic, "_rename", lambda *_: False)
    failures = 0
    for n in range(100):
        calls = 0

        def failing(*args: object, _n: int = n, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == _n + 1 or (lasting and calls > _n):
                raise OSError(28, "No space left on device")
            return real(*args, **options)

        monkeypatch.setattr(os, call, failing)
        try:
            save(copy, **parts, replace=True)
        except (OSError, PolyvigilError):
            failures += 1
        else:
            break
        finally:
            monkeypatch.setattr(os, call, real)
        assert load(copy).id == bundle.id
        assert sorted(path.name for path in copy.parent.iterdir()) == ["copy"]
    assert failures >= 1
    assert load(copy).id == bundle.id


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_is_written_into_a_bundle(copy: Path, trained: training.Trained, replace: bool) -> None:
    message = "lies in a bundle, which a file more would damage; choose a folder beside"
    for inside in (copy / "tuned", copy / "members" / "00-linear" / "tuned"):
        with pytest.raises(BundleError, match=message):
            save(inside, **_parts(trained.bundle), replace=replace)
    assert load(copy).id == trained.bundle.id
