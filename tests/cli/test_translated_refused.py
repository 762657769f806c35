"""Translations may not tune and may not measure, by whatever command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from polyvigil.cli import main as program
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (("tune", "BUNDLE", "POSTS", "-o", "OUT"), "dev"),
        (("ensemble", "BUNDLE", "BUNDLE", "-o", "OUT", "--dev", "POSTS"), "dev"),
        (("evaluate", "BUNDLE", "POSTS"), "test"),
    ],
)
def test_a_file_with_one_translation_is_refused(
    bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: tuple[str, ...], part: str
) -> None:
    items = [item for item in sample_corpus() if item.post.split == "test" and item.post.language == "en"]
    first = items[0]
    items[0] = LabelledPost(replace(first.post, origin="translated:mapping-arabic"), first.label)
    write_posts(tmp_path / "posts.csv", items)
    names = {"BUNDLE": str(bundle_folder), "POSTS": str(tmp_path / "posts.csv"), "OUT": str(tmp_path / "out")}
    assert program.run([names.get(word, word) for word in command]) == 2
    told = capfd.readouterr().err
    assert f"posts.csv: 1 of its {part} posts are translations, which are for training alone" in told
    assert "give the translations with --train only" in told
    assert not (tmp_path / "out").exists()
