# ruff: noqa: E402
from __future__ import annotations

from pathlib import Path

import pytest

hub = pytest.importorskip("huggingface_hub")

from polyvigil.errors import RecipeError
from polyvigil.nn import source
from polyvigil.nn.source import model_folder, needs_fetching


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


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_pickled_weights_are_refused_with_two_hints(tmp_path: Path, weights: str) -> None:
    folder = tmp_path / "a model"
    assert fault(filled(folder, "config.json", "tokenizer.json", weights)) == (
        f"{folder}: has its weights in {weights} only; only safetensors are read, for other formats can run code; take"
        " a revision of the hub that has safetensors (model.revision, such as refs/pr/5), or convert it: polyvigil"
        f" convert '{folder}' -o 'a model-safetensors'"
    )


def test_unconverted_weights_are_refused_with_one_hint(tmp_path: Path) -> None:
    message = fault(filled(tmp_path, "config.json", "tokenizer.json", "tf_model.h5"))
    assert "has its weights in tf_model.h5 only; only safetensors are read" in message
    assert message.endswith("take a revision of the hub that has safetensors (model.revision, such as refs/pr/5)")


def test_hub_models_without_safetensors_have_two_hints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = filled(tmp_path, "config.json", "tokenizer.json")
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: folder)
    message = fault("microsoft/mdeberta-v3-base", offline=False)
    assert message.startswith("microsoft/mdeberta-v3-base: has no weights (model.safetensors); only safetensors are")
    assert message.endswith(
        "take a revision of the hub that has safetensors (model.revision, such as refs/pr/5), or convert it: polyvigil"
        " convert microsoft/mdeberta-v3-base -o models/mdeberta-v3-base"
    )


def test_a_local_folder_has_no_revision(tmp_path: Path) -> None:
    name = filled(tmp_path, "config.json", "model.safetensors", "tokenizer.json")
    with pytest.raises(RecipeError) as caught:
        model_folder(name, offline=True, revision="refs/pr/5")
    assert str(caught.value) == (
        f"{name}: is a local folder, which has no revision 'refs/pr/5'; leave the revision out, or give the model's"
        " name on the hub"
    )
    assert not needs_fetching(name, revision="refs/pr/5")


def test_an_unknown_revision_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RecipeError, match=r"not fetched before, and fetching is off \(revision 'refs/pr/5'\)"):
        model_folder("xlm-roberta-base", offline=True, revision="refs/pr/5")

    def fail(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(RecipeError, match="no network or no such model or revision 'v9'"):
        model_folder("xlm-roberta-base", offline=False, revision="v9")


def test_missing_tokenizer(tmp_path: Path) -> None:
    name = filled(tmp_path, "config.json", "model.safetensors")
    assert "has no tokenizer files; copy tokenizer.json and tokenizer_config.json" in fault(name)


def test_a_misspelt_name_suggests_the_right_one() -> None:
    assert fault("xlm-robertta-base") == (
        "xlm-robertta-base: not fetched before, and fetching is off; give a local folder with the model, or check the"
        " spelling (did you mean xlm-roberta-base or xlm-roberta-large?)"
    )
    assert "microsoft/mdeberta-v3-base" in fault("microsoft/mdeberta-v3-bse")


@pytest.mark.parametrize("name", ["someone/zzzz", "not a name!!", "xlm-roberta-base"])
def test_unknown_invalid_and_right_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
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
        "revision": None,
        "allow_patterns": ["*.json", "*.safetensors", "*.txt", "*.model"],
        "ignore_patterns": ["*/*"],
        "local_files_only": False,
    }
    model_folder("xlm-roberta-base", offline=True)
    assert asked["local_files_only"] is True


def test_a_folder_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(source, "_fetched", None)
    model_folder(filled(tmp_path, "config.json", "model.safetensors", "tokenizer.json"), offline=False)
