"""Which paths may stand in a bundle: plain names, in few folders."""

from __future__ import annotations

import pytest

from polyvigil.bundle.layout import decides, is_bundle_file, is_member_folder, member_folder


@pytest.mark.parametrize(
    "path",
    [
        "policy.json",
        "README.md",
        "members/00-linear/config.json",
        "members/12-encoder/model-00001-of-00002.safetensors",
        "members/00-ner/encoder_config/config.json",
        "members/00-stacked/config.json",
        "members/00-stacked/base/weights.safetensors",
        "members/00-stacked/further/polyvigil.json",
        "members/00-stacked/further/encoder_config/config.json",
    ],
)
def test_member_files_and_nested_folders_are_known(path: str) -> None:
    assert is_bundle_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/policy.json",
        "/etc/passwd",
        "..",
        "../policy.json",
        ".hidden",
        "base/weights.safetensors",
        "members/config.json",
        "members/00-linear/",
        "members/00-linear/.hidden",
        "members/00-linear/../config.json",
        "members/00-linear//config.json",
        "members/00-linear/other/config.json",
        "members/00-stacked/base/../config.json",
        "members/00-stacked/base/base/config.json",
        "members/00-stacked/base/further/config.json",
        "members/00-stacked/encoder_config/base/config.json",
        "members/00-stacked/base/encoder_config/deep/config.json",
        "members/00-stacked/basement/config.json",
        "members/00-stacked\\base/config.json",
        "members/00-stacked/base/config.json\n",
        "x/members/00-stacked/base/config.json",
    ],
)
def test_unknown_files_are_refused(path: str) -> None:
    assert not is_bundle_file(path)


def test_members_are_one_level_deep() -> None:
    assert is_member_folder(member_folder(0, "stacked"))
    assert not is_member_folder("members/00-stacked/base")


def test_training_times_are_not_part_of_the_id() -> None:
    assert decides("members/00-stacked/base/model.safetensors")
    assert decides("members/00-stacked/config.json")
    assert not decides("members/00-stacked/base/training.json")
    assert not decides("members/00-encoder/training.json")
