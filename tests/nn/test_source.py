# ruff: noqa: E402
from __future__ import annotations

from pathlib import Path

import pytest

hub = pytest.importorskip("huggingface_hub")

from polyvigil.errors import RecipeError
from polyvigil.nn import source
from polyvigil.nn.source import model_folder


def filled(folder: Path, *names: str) -> str:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return str(folder)


def fault(name: str, *, offline: bool = True) -> str:
    with pytest.raises(RecipeError) as caught:
        model_folder(name, offline=offline)
    assert caught.value.where == name
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("weights", ["model.safetensors", "model.safetensors.index.json"])
@pytest.mark.parametrize("words", ["tokenizer.json", "vocab.txt", "spm.model"])
def test_a_whole_folder_is_taken_as_it_is(tmp_path: Path, weights: str, words: str) -> None:
    assert model_folder(filled(tmp_path, "config.json", weights, words), offline=True) == tmp_path


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "~/nowhere-at-all", "a/b/c", "models/"])
def test_a_path_that_is_not_there(name: str) -> None:
    assert fault(name) == (
        f"{name}: no such folder; give a folder with config.json, model.safetensors and tokenizer files, or a name of"
        " the hub"
    )


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert "is a file, not a model folder; give a folder with" in fault(str(tmp_path / "model.safetensors"))


def test_missing_configuration(tmp_path: Path) -> None:
    assert "has no config.json; give a folder with" in fault(filled(tmp_path, "model.safetensors"))


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    name = filled(tmp_path, "adapter_config.json", "adapter_model.safetensors")
    assert "has no config.json; it holds a LoRA adapter: merge it into its model and save that" in fault(name)


def test_missing_weights(tmp_path: Path) -> None:
    name = filled(tmp_path, "config.json", "tokenizer.json")
    assert "has no weights (model.safetensors); only safetensors are read" in fault(name)


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5"])
def test_pickled_weights_are_not_opened_but_a_way_out_is_shown(tmp_path: Path, weights: str) -> None:
    message = fault(filled(tmp_path, "config.json", "tokenizer.json", weights))
    assert f"has its weights in {weights} only; only safetensors are read, for other formats can run code" in message
    assert "convert once, if you trust the model: python -c" in message
    assert f"n = {str(tmp_path)!r}" in message


def test_missing_tokenizer(tmp_path: Path) -> None:
    name = filled(tmp_path, "config.json", "model.safetensors")
    assert "has no tokenizer files; copy tokenizer.json and tokenizer_config.json" in fault(name)


def test_a_misspelt_name_is_answered_with_the_right_one() -> None:
    assert fault("xlm-robertta-base") == (
        "xlm-robertta-base: not fetched before, and fetching is off; give a local folder with the model, or check the"
        " spelling (did you mean xlm-roberta-base or xlm-roberta-large?)"
    )
    assert "microsoft/mdeberta-v3-base" in fault("microsoft/mdeberta-v3-bse")


@pytest.mark.parametrize("name", ["someone/zzzz", "not a name!!", "xlm-roberta-base"])
def test_a_name_like_no_other_one_that_cannot_be_and_one_that_is_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert fault(name).endswith("give a local folder with the model, or check the spelling")


class NetworkError(Exception):
    """Like those of the hub's HTTP library: no OSError."""


@pytest.mark.parametrize("error", [OSError("down"), NetworkError("reset"), ValueError("bad name")])
def test_no_network(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(hub, "snapshot_download", fail)
    assert "someone/model: no network or no such model; give a local folder" in fault("someone/model", offline=False)


def test_a_gated_model(monkeypatch: pytest.MonkeyPatch) -> None:
    gated = type("Gated", (Exception,), {})
    monkeypatch.setattr(hub.errors, "GatedRepoError", gated)

    def fail(*_: object, **__: object) -> str:
        raise gated("403")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    assert "given out on request only; accept its terms on huggingface.co" in fault("someone/model", offline=False)


def test_only_data_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}

    def fetch(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return filled(tmp_path, "config.json", "model.safetensors", "tokenizer.json")

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    assert model_folder("xlm-roberta-base", offline=False) == tmp_path
    assert asked == {
        "name": "xlm-roberta-base",
        "allow_patterns": ["*.json", "*.safetensors", "*.txt", "*.model"],
        "ignore_patterns": ["*/*"],
        "local_files_only": False,
    }
    model_folder("xlm-roberta-base", offline=True)
    assert asked["local_files_only"] is True


def test_a_folder_never_asks_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(source, "_fetched", None)
    model_folder(filled(tmp_path, "config.json", "model.safetensors", "tokenizer.json"), offline=False)
