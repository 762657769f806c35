# ruff: noqa: E402
from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file
from tiny import KINDS, STOCK, TEXTS, japanese_folder, ragged, tiny_folder

from polyvigil.errors import BundleError, PolyvigilError, RecipeError
from polyvigil.nn import encoder as module
from polyvigil.nn.encoder import Encoder, load_encoder


def load(
    folder: Path, *, max_tokens: int = 48, packing: bool = True, seed: int = 0, fresh_head: bool = True
) -> Encoder:
    return load_encoder(
        str(folder), max_tokens=max_tokens, packing=packing, offline=True, seed=seed, fresh_head=fresh_head
    )


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def fault(folder: Path, kind: type[PolyvigilError], *, max_tokens: int = 48, fresh_head: bool = True) -> str:
    with pytest.raises(kind) as caught:
        load(folder, max_tokens=max_tokens, fresh_head=fresh_head)
    assert caught.value.where == str(folder)
    assert caught.value.hint
    return str(caught.value).removeprefix(f"{folder}: ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_encoder_is_an_ordinary_folder(tmp_path: Path, kind: str) -> None:
    encoder = load(tiny_folder(tmp_path / "source", kind))
    encoder.save(tmp_path / "saved")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    for name in ("config.json", "tokenizer_config.json"):
        assert str(tmp_path) not in (tmp_path / "saved" / name).read_text()

    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert model.config.id2label == {0: "no_ade", 1: "ade"}
    assert model.config.label2id == {"no_ade": 0, "ade": 1}
    assert model.state_dict().keys() == encoder.model.state_dict().keys()
    assert tokenizer.model_max_length == 48
    batch = tokenizer(list(TEXTS), padding=True, truncation=True, return_tensors="pt")
    items = encoder.tokenise(TEXTS)
    assert [ids[mask == 1].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)] == [
        item.tolist() for item in items
    ]
    with torch.inference_mode():
        torch.testing.assert_close(encoder.logits(items), model(**batch).logits, rtol=1e-5, atol=1e-5)
        again = load(tmp_path / "saved", fresh_head=False)
        assert torch.equal(again.logits(items), encoder.logits(items))


@pytest.mark.parametrize("kind", STOCK)
def test_other_architectures_take_the_models_own_forward(tmp_path: Path, kind: str) -> None:
    encoder = load(tiny_folder(tmp_path, kind))
    assert not encoder.packed
    items = ragged([3, 48, 1, 9], vocabulary=40)
    with torch.inference_mode():
        alone = torch.cat([encoder.model(input_ids=torch.tensor(item[None])).logits for item in items])
        torch.testing.assert_close(encoder.logits(items), alone, rtol=1e-5, atol=1e-5)
    encoder.model.train()
    encoder.logits(items).sum().backward()
    assert all(weight.grad is not None for weight in encoder.model.parameters())


@pytest.mark.parametrize(("kind", "prefix"), [("eurobert", ""), ("modernbert", "someone/model--")])
def test_a_folder_with_code_of_its_own_loads_by_the_class_of_transformers(
    tmp_path: Path, kind: str, prefix: str
) -> None:
    """As those of EuroBERT on the hub: ``auto_map`` is not followed, its file is not run, and no bundle repeats it."""
    folder = tiny_folder(tmp_path / "source", kind)
    for name in ("configuration_own", "modeling_own", "tokenization_own"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    autos = {"AutoConfig": "configuration_own.Own", "AutoModel": "modeling_own.Own"}
    autos["AutoModelForSequenceClassification"] = "modeling_own.Own"
    edit(folder / "config.json", auto_map={auto: prefix + path for auto, path in autos.items()})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, prefix + "tokenization_own.Own"]})
    encoder = load(folder)
    assert type(encoder.model).__module__ == f"transformers.models.{kind}.modeling_{kind}"
    assert encoder.packed
    assert encoder.tokenise(TEXTS[:1])[0].size > 3
    encoder.save(tmp_path / "saved")
    assert not any("auto_map" in path.read_text() for path in (tmp_path / "saved").glob("*.json"))
    assert not (tmp_path / "ran").exists()
    assert load(tmp_path / "saved", fresh_head=False).packed


def test_configurations_as_the_hub_has_them(tmp_path: Path) -> None:
    """Older names of settings: mmBERT's rates of rotation and layer pattern, EuroBERT's rotation."""
    folder = tiny_folder(tmp_path / "mmbert", "modernbert", layers=4)
    config = json.loads((folder / "config.json").read_text())
    for name in ("layer_types", "rope_parameters"):
        del config[name]
    old = {"global_attn_every_n_layers": 2, "global_rope_theta": 50, "local_rope_theta": 20, "layer_norm_eps": 1e-5}
    old |= {"position_embedding_type": "sans_pos", "classifier_pooling": "mean", "reference_compile": False}
    (folder / "config.json").write_text(json.dumps(config | old))
    encoder = load(folder)
    assert encoder.packed
    assert encoder.model.config.layer_types == ["full_attention", "sliding_attention"] * 2
    thetas = {kind: values["rope_theta"] for kind, values in encoder.model.config.rope_parameters.items()}
    assert thetas == {"full_attention": 50, "sliding_attention": 20}

    folder = tiny_folder(tmp_path / "eurobert", "eurobert")
    config = json.loads((folder / "config.json").read_text())
    del config["rope_parameters"]
    old = {
        "rope_theta": 250000,
        "rope_scaling": None,
        "clf_pooling": "late",
        "hidden_dropout": 0.0,
        "is_decoder": False,
    }
    (folder / "config.json").write_text(json.dumps(config | old))
    encoder = load(folder)
    assert encoder.packed
    assert encoder.model.config.rope_parameters["rope_theta"] == 250000


def test_packing_is_not_used_where_it_would_not_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder(tmp_path, "bert")
    monkeypatch.setattr(module, "packed_logits", lambda *_: torch.ones(2, 2))
    assert not load(folder).packed


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_in_fp32_in_eval_mode_on_the_cpu(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path, kind)
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", dtype="float16")
    encoder = load(folder)
    assert {weight.dtype for weight in encoder.model.parameters()} == {torch.float32}
    assert not any(part.training for part in encoder.model.modules())
    assert encoder.device == torch.device("cpu")
    assert encoder.logits(encoder.tokenise(TEXTS)).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_truncated_and_full_length_is_returned(tmp_path: Path, kind: str) -> None:
    encoder = load(tiny_folder(tmp_path, kind), max_tokens=10)
    texts = ["headache", "the new tablets " * 40, ""]
    items, counts = encoder.tokenise(texts), encoder.token_counts(texts)
    assert [len(item) for item in items] == [3, 10, 2]
    assert all(item.dtype == np.int32 for item in items)
    assert counts.dtype == np.int32
    assert counts.tolist() == [3, 122, 2]
    assert (items[1][0], items[1][-1]) == (items[0][0], items[0][-1])  # the special tokens survive the cut


def test_what_a_vocabulary_knows_of_a_text(tmp_path: Path) -> None:
    encoder = load(tiny_folder(tmp_path / "fast", "bert", texts=("pills gave me a rash", "боль")))
    assert encoder.known_shares(["pills gave rash", "болт", "薬を飲んだ", ":)", ""]).tolist() == [
        1.0,
        0.0,
        0.0,
        1.0,
        1.0,
    ]
    assert encoder.known_shares([]).shape == (0,)
    slow = load(japanese_folder(tmp_path / "slow", words="basic"))
    ids = slow._ids(["薬を飲んだら"])[0]
    unknown = slow._tokenizer.unk_token_id
    assert slow.known_shares(["薬を飲んだら"]).tolist() == [sum(token != unknown for token in ids) / len(ids)]


def test_no_texts_give_no_tokens(tmp_path: Path) -> None:
    encoder = load(tiny_folder(tmp_path, "bert"))
    assert encoder.tokenise([]) == []
    assert encoder.token_counts([]).shape == (0,)
    assert encoder.logits([]).shape == (0, 2)
    with pytest.raises(ValueError, match="an item holds no token ids"):
        encoder.logits([np.array([2, 3], dtype=np.int32), np.array([], dtype=np.int32)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_head_is_initialised_from_the_seed(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path, kind)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = load(folder, seed=7).model.state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    second, other = load(folder, seed=7).model.state_dict(), load(folder, seed=8).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert differing
    head = ("head.", "dense.", "pre_classifier.", "pooler.", "bert.pooler.", "classifier.")
    assert all(name.startswith(head) for name in differing), differing


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_for_two_classes_is_kept(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path, kind, head=True)
    first, other = load(folder, seed=7).model.state_dict(), load(folder, seed=8, fresh_head=False).model.state_dict()
    assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_for_other_classes_is_replaced_or_refused(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path, kind, head=True)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if "classifier.out_proj" in name or name.startswith("classifier.")]:
        if weights[name].shape[0] == 2:
            weights[name] = torch.cat([weights[name], weights[name][:1]]).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    edit(folder / "config.json", id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    encoder = load(folder)
    assert encoder.logits(encoder.tokenise(TEXTS)).shape == (len(TEXTS), 2)
    assert "holds no trained head (classifier." in fault(folder, BundleError, fresh_head=False)


def test_a_folder_without_trained_head_is_refused(tmp_path: Path) -> None:
    message = fault(tiny_folder(tmp_path, "xlm-roberta"), BundleError, fresh_head=False)
    assert message == "holds no trained head (classifier.dense.bias is missing); train it, or copy it again"


@pytest.mark.parametrize("kind", [*KINDS])
def test_more_tokens_than_positions(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path, kind)
    assert fault(folder, RecipeError, max_tokens=49) == (
        "max_tokens is 49, but the model has positions for 48 tokens; set model.max_tokens to at most 48"
    )
    encoder = load(folder)
    assert len(encoder.tokenise(["tablets " * 99])[0]) == 48
    encoder.logits(encoder.tokenise(["tablets " * 99]))


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "one", "bert")
    tiny_folder(tmp_path / "other", "bert", texts=[*TEXTS, " ".join(f"word{number}" for number in range(50))])
    (tmp_path / "other" / "tokenizer.json").rename(folder / "tokenizer.json")
    assert "the tokenizer files are those of another model" in fault(folder, RecipeError)


def test_a_damaged_tokenizer(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "xlm-roberta")
    (folder / "tokenizer.json").write_text('{"model": ')
    assert "its tokenizer cannot be read: " in fault(folder, RecipeError)


def test_weights_of_another_model(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "one", "bert")
    tiny_folder(tmp_path / "other", "distilbert")
    (tmp_path / "other" / "model.safetensors").rename(folder / "model.safetensors")
    message = fault(folder, BundleError)
    assert "tensors are missing or of another shape than config.json says, such as bert." in message


def test_weights_of_another_size(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "one", "xlm-roberta")
    tiny_folder(tmp_path / "other", "xlm-roberta", hidden=16)
    (tmp_path / "other" / "model.safetensors").rename(folder / "model.safetensors")
    assert "of another shape than config.json says, such as roberta." in fault(folder, BundleError)


def test_damaged_weights(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "bert")
    whole = (folder / "model.safetensors").read_bytes()
    for damaged in (whole[:200], b"", whole[:-100]):
        (folder / "model.safetensors").write_bytes(damaged)
        assert "its weights cannot be read: " in fault(folder, BundleError)


def test_an_unknown_architecture(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "bert")
    edit(folder / "config.json", model_type="berta")
    assert "its config.json is not one that transformers can use: " in fault(folder, RecipeError)
    (folder / "config.json").write_text("{")
    assert "its config.json is not one that transformers can use: " in fault(folder, RecipeError)


def test_code_of_the_models_own_is_not_run(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "bert")
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.OwnConfig"})
    (folder / "own.py").write_text("raise SystemExit('code was run')")
    assert "code of its own is not run" in fault(folder, RecipeError)


def test_an_architecture_that_cannot_classify(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "bert")
    edit(folder / "config.json", model_type="vit")
    assert "a 'vit' model cannot classify posts; choose an encoder such as xlm-roberta-base" in fault(
        folder, RecipeError
    )


def test_a_japanese_tokenizer_without_its_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fugashi", None)
    message = fault(japanese_folder(tmp_path, words="mecab"), RecipeError)
    assert message.startswith("its tokenizer needs a library that is not installed: You need to install fugashi")
    assert message.endswith("; pip install 'polyvigil[ja]'")


@pytest.mark.parametrize("words", ["basic", "mecab"])
def test_japanese_tokenizers(tmp_path: Path, words: str) -> None:
    if words == "mecab":
        pytest.importorskip("fugashi")
        pytest.importorskip("unidic_lite")
    encoder = load(japanese_folder(tmp_path / "source", words=words), max_tokens=12)
    assert encoder.packed
    items = encoder.tokenise(["薬を飲んだら眠れなくなった", "薬"])
    assert [len(item) for item in items] == [12, 3]
    assert encoder.token_counts(["薬を飲んだら眠れなくなった"]).tolist() == [15]
    encoder.save(tmp_path / "saved")
    again = load(tmp_path / "saved", max_tokens=12, fresh_head=False)
    with torch.inference_mode():
        assert torch.equal(again.logits(again.tokenise(["薬"])), encoder.logits(items[1:]))


def test_loading_and_saving_have_no_side_effects(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny_folder(tmp_path / "source", "xlm-roberta")
    settings = transformers.utils.logging
    level, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    capfd.readouterr()
    encoder = load(folder)
    encoder.token_counts(["tablets " * 600])
    encoder.save(tmp_path / "saved")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    with pytest.raises(BundleError):
        load(folder, fresh_head=False)
    assert (settings.get_verbosity(), settings.is_progress_bar_enabled()) == (level, bars)
