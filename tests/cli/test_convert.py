# ruff: noqa: E402
"""``convert`` as users run it: PyTorch checkpoints of every kind of model, against their safetensors twins."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
import huggingface_hub as hub
from safetensors.torch import load_file
from tests.nn.hostile import call, state_dict, zipped
from tests.nn.nli import nli_folder
from tests.nn.tiny import TEXTS, japanese_folder, tiny_config, tiny_folder, tiny_tokenizer

from polyvigil.bundle.store import load
from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.nn.encoder import load_encoder
from polyvigil.nn.masked import load_masked_model
from polyvigil.nn.pairs import load_pair_classifier
from polyvigil.nn.translator import load_translator
from polyvigil.types import LabelledPost, Post
from polyvigil_gladiators.models import ModelFolder, find
from polyvigil_gladiators.tiny import nllb_folder

FORMATS = [(zip_format, protocol) for zip_format in (True, False) for protocol in (2, 3, 4, 5)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pickled(
    twin: Path, kind: Any, *, zip_format: bool = True, protocol: int = 2, dtype: Any = None, old_names: bool = False
) -> Path:
    """The model in ``twin`` as a checkpoint beside it, by the class of its kind; what is tied is pickled as one."""
    folder = twin.with_name(f"{twin.name}-pickled")
    shutil.copytree(twin, folder)
    (folder / "model.safetensors").unlink()
    model = kind.from_pretrained(twin)
    tensors = (model.to(dtype) if dtype else model).state_dict()
    if old_names:
        new = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for name in list(tensors):
            key = next((name.replace(a, b) for a, b in new.items() if a in name), name)
            tensors[key] = tensors.pop(name)
    torch.save(
        tensors, folder / "pytorch_model.bin", pickle_protocol=protocol, _use_new_zipfile_serialization=zip_format
    )
    (folder / "README.md").write_text("a card")
    (folder / "modeling.py").write_text("raise SystemExit")
    return folder


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = program.run(["convert", *map(str, arguments)])
    return code, *capfd.readouterr()


def made(capfd: pytest.CaptureFixture[str], source: Path) -> Path:
    output = source.with_name("converted")
    code, out, err = run(capfd, source, "-o", output)
    assert code == 0, err
    assert f"{source} -> {output}: " in out
    return output


def encoder_logits(folder: Path, texts: Sequence[str] = TEXTS) -> Any:
    encoder = load_encoder(str(folder), max_tokens=48, offline=True, seed=3)
    with torch.inference_mode():
        return encoder.logits(encoder.tokenise(texts))


@pytest.mark.parametrize(("zip_format", "protocol"), FORMATS)
def test_mdeberta_equals_the_original(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], zip_format: bool, protocol: int
) -> None:
    twin = tiny_folder(tmp_path / "twin", "deberta-v2")
    source = pickled(twin, transformers.AutoModel, zip_format=zip_format, protocol=protocol)
    output = made(capfd, source)
    assert encoder_logits(output).equal(encoder_logits(twin))
    assert sorted(path.name for path in output.iterdir()) == [
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    ]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (output / name).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "roberta", "electra"])
def test_old_names_of_layer_norms_are_kept_and_load_equal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    twin = tiny_folder(tmp_path / "twin", kind)
    output = made(capfd, pickled(twin, transformers.AutoModel, old_names=True))
    assert any(name.endswith("LayerNorm.gamma") for name in load_file(output / "model.safetensors"))
    assert encoder_logits(output).equal(encoder_logits(twin))


def test_a_japanese_bert_keeps_its_vocabulary(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fugashi")
    pytest.importorskip("unidic_lite")
    twin = japanese_folder(tmp_path / "twin")
    output = made(capfd, pickled(twin, transformers.AutoModel, zip_format=False))
    assert (output / "vocab.txt").read_bytes() == (twin / "vocab.txt").read_bytes()
    texts = ["薬を飲んだら眠れなくなった", "吃药后头晕"]
    assert encoder_logits(output, texts).equal(encoder_logits(twin, texts))


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "deberta-v2", "roberta"])
def test_a_masked_language_head_and_one_table_are_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    tokenizer = tiny_tokenizer(kind, TEXTS)
    torch.manual_seed(5)
    model = transformers.AutoModelForMaskedLM.from_config(
        tiny_config(kind, len(tokenizer), max_tokens=48, layers=2, hidden=32)
    )
    model.save_pretrained(tmp_path / "twin")
    tokenizer.save_pretrained(tmp_path / "twin")
    output = made(capfd, pickled(tmp_path / "twin", transformers.AutoModelForMaskedLM))
    assert load_file(output / "model.safetensors").keys() == load_file(tmp_path / "twin/model.safetensors").keys()
    again, report = transformers.AutoModelForMaskedLM.from_pretrained(
        output, use_safetensors=True, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for name, value in model.state_dict().items():
        assert again.state_dict()[name].equal(value), name
    assert not load_masked_model(str(output), max_tokens=48, offline=True).fresh_head
    assert encoder_logits(output).equal(encoder_logits(tmp_path / "twin"))


def test_an_nli_model_keeps_its_head_and_classes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    twin = nli_folder(tmp_path / "twin")
    source = pickled(twin, transformers.AutoModelForSequenceClassification, zip_format=False, protocol=4)
    code, out, _ = run(capfd, source, "-o", tmp_path / "nli")
    assert code == 0
    assert f"next: polyvigil train nli --dev DEV.csv -o BUNDLE --set model.name={tmp_path / 'nli'}" in out
    models = [load_pair_classifier(str(folder), max_tokens=96, offline=True) for folder in (twin, tmp_path / "nli")]
    assert models[0].labels == models[1].labels == ("entailment", "neutral", "contradiction")
    with torch.inference_mode():
        first, second = (model.logits(model.tokenise(TEXTS, TEXTS[::-1])) for model in models)
    assert first.equal(second)


@pytest.mark.parametrize("zip_format", [True, False])
def test_nllb_translates_like_the_original(tmp_path: Path, capfd: pytest.CaptureFixture[str], zip_format: bool) -> None:
    twin = nllb_folder(tmp_path / "twin")
    source = pickled(twin, transformers.AutoModelForSeq2SeqLM, zip_format=zip_format)
    code, out, _ = run(capfd, source, "-o", tmp_path / "nllb", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["command"] == "convert"
    assert document["data"]["shared"] == dict.fromkeys(
        ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"),
        "model.shared.weight",
    )
    assert document["data"]["dtypes"] == {"F32": 89}
    assert document["data"]["folder"] == str(tmp_path / "nllb")
    assert (tmp_path / "nllb/generation_config.json").read_bytes() == (twin / "generation_config.json").read_bytes()
    texts = ["i got a headache", "no", "terrible pain!"]
    first, second = (
        load_translator(str(folder), device="cpu", offline=True).translate(texts, source="en", target="fa")
        for folder in (twin, tmp_path / "nllb")
    )
    assert first == second


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_as_it_is_stored(tmp_path: Path, capfd: pytest.CaptureFixture[str], dtype: Any) -> None:
    twin = tiny_folder(tmp_path / "twin", "deberta-v2")
    source = pickled(twin, transformers.AutoModel, dtype=dtype)
    output = made(capfd, source)
    stored = torch.load(source / "pytorch_model.bin", weights_only=True)
    for name, value in load_file(output / "model.safetensors").items():
        assert value.dtype == dtype
        assert value.equal(stored[name]), name


@pytest.mark.parametrize("zip_format", [True, False])
def test_several_files_with_their_index(tmp_path: Path, capfd: pytest.CaptureFixture[str], zip_format: bool) -> None:
    twin = tiny_folder(tmp_path / "twin", "xlm-roberta")
    source = pickled(twin, transformers.AutoModel)
    tensors = torch.load(source / "pytorch_model.bin", weights_only=True)
    (source / "pytorch_model.bin").unlink()
    names = {name: f"pytorch_model-0000{1 + position % 3}-of-00003.bin" for position, name in enumerate(tensors)}
    for file in set(names.values()):
        part = {name: tensors[name] for name in tensors if names[name] == file}
        torch.save(part, source / file, _use_new_zipfile_serialization=zip_format)
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (source / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    output = made(capfd, source)
    assert sorted(path.name for path in output.glob("model*")) == [
        *(f"model-0000{k}-of-00003.safetensors" for k in (1, 2, 3)),
        "model.safetensors.index.json",
    ]
    assert encoder_logits(output).equal(encoder_logits(twin))
    (source / "pytorch_model-00002-of-00003.bin").unlink()
    code, _, err = run(capfd, source, "-o", tmp_path / "other")
    assert code == 4
    assert "pytorch_model-00002-of-00003.bin, which it names, is missing" in err
    index["weight_map"]["x"] = "../../../etc/passwd.bin"  # type: ignore[index]
    (source / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert (
        "names '../../../etc/passwd.bin', which is no file beside it" in run(capfd, source, "-o", tmp_path / "other")[2]
    )
    assert not (tmp_path / "other").exists()


def test_training_from_it_is_bit_equal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    chance = np.random.default_rng(4)
    words = ["the", "pills", "gave", "me", "a", "day", "of", "work", "and", "sleep"]
    for split, number in (("train", 40), ("dev", 30)):
        posts = []
        for position in range(number):
            chosen = [*chance.choice(words, 6), *["rash"] * (position % 3 == 0)]
            posts.append(
                LabelledPost(
                    Post(f"{split}{position}", " ".join(chosen) + f" {position}", "en"), int(position % 3 == 0)
                )
            )
        write_posts(tmp_path / f"{split}.csv", posts)
    twin = tiny_folder(tmp_path / "twin", "deberta-v2", texts=[" ".join([*words, "rash"])])
    output = made(capfd, pickled(twin, transformers.AutoModel))
    bundles = []
    for folder in (twin, output):
        line = ["train", "mdeberta", "--train", f"{tmp_path}/train.csv", "--dev", f"{tmp_path}/dev.csv"]
        line += ["-o", f"{tmp_path}/bundle-{folder.name}", "--offline", "--device", "cpu"]
        for setting in (f"model.name={folder}", "model.max_tokens=32", "training.epochs=2"):
            line += ["--set", setting]
        assert program.run(line) == 0
        weights = load_file(tmp_path / f"bundle-{folder.name}/members/00-encoder/model.safetensors")
        bundles.append((load(tmp_path / f"bundle-{folder.name}").manifest.id, weights))
    assert bundles[0][0] == bundles[1][0]
    assert all(bundles[0][1][name].equal(bundles[1][1][name]) for name in bundles[0][1])


def test_reproduce_takes_it_by_the_last_part_of_its_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = pickled(tiny_folder(tmp_path / "twin", "deberta-v2"), transformers.AutoModel)
    output = tmp_path / "models" / "mdeberta-v3-base"
    code, out, _ = run(capfd, source, "-o", output)
    assert code == 0
    assert (
        f"`polyvigil reproduce --models {tmp_path}/models` takes it for the model whose name on the hub ends in "
        "mdeberta-v3-base" in out
    )
    assert out.splitlines()[-1].startswith("next: polyvigil train mdeberta --train TRAIN.csv")
    model = find("microsoft/mdeberta-v3-base", ModelFolder(tmp_path / "models", hub=False), fetch=False)
    assert model.source == str(output)
    assert model.version


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return pickled(tiny_folder(tmp_path / "twin", "xlm-roberta"), transformers.AutoModel)


def test_nothing_is_overwritten_without_replace(checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = made(capfd, checkpoint)
    (output / "mark").touch()
    code, _, err = run(capfd, checkpoint, "-o", output)
    assert code == 2
    assert f"error: {output}: a model stands there already\n  next: choose another folder, or --replace it" in err
    assert run(capfd, checkpoint, "-o", output, "--replace")[0] == 0
    assert not (output / "mark").exists()
    other = checkpoint.with_name("letters")
    other.mkdir()
    (other / "letter.txt").touch()
    code, _, err = run(capfd, checkpoint, "-o", other, "--replace")
    assert code == 2
    assert f"{other}: exists and is no model" in err


@pytest.mark.parametrize("output", ["inside", "a/b", "..new"])
def test_output_does_not_lie_in_the_input(checkpoint: Path, capfd: pytest.CaptureFixture[str], output: str) -> None:
    code, _, err = run(capfd, checkpoint, "-o", checkpoint / output)
    assert code == 2
    assert "input and output lie in one another" in err


def test_a_model_with_safetensors_is_used_as_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    twin = tiny_folder(tmp_path / "twin", "xlm-roberta")
    code, _, err = run(capfd, twin, "-o", tmp_path / "new")
    assert code == 2
    assert f"error: {twin}: has its weights as safetensors already: there is nothing to convert\n" in err
    assert f"  next: use it as it is: --set model.name={twin}" in err


def test_other_inputs_that_cannot_be_converted(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    assert (
        "is a local folder, which has no revision 'main'" in run(capfd, checkpoint, "-o", new, "--revision", "main")[2]
    )
    assert "no such folder" in run(capfd, tmp_path / "nowhere", "-o", new)[2]
    assert "not fetched before, and fetching is off" in run(capfd, "some/model", "-o", new, "--offline")[2]
    usage = type("Usage", (), {"free": 1000})
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage)
        assert "GB, and 0.00 GB are free" in run(capfd, checkpoint, "-o", new)[2]
    (checkpoint / "pytorch_model.bin").rename(checkpoint / "tf_model.h5")
    assert (
        "has no PyTorch weights (pytorch_model.bin or pytorch_model.bin.index.json)"
        in run(capfd, checkpoint, "-o", new)[2]
    )
    assert not new.exists()


def test_a_hostile_checkpoint_is_refused_and_leaves_nothing(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    payload = call("os.system", f"touch {tmp_path / 'canary'}", "global")
    (checkpoint / "pytorch_model.bin").write_bytes(zipped(state_dict(payload, "value", legacy=False)))
    code, out, err = run(capfd, checkpoint, "-o", tmp_path / "new")
    assert code == 4
    assert not out
    assert f"error: {checkpoint / 'pytorch_model.bin'}: names os.system, which a state dict never needs\n" in err
    assert "  next: do not use this file; it is no plain state dict: get the model from another source" in err
    assert not (tmp_path / "canary").exists()
    assert not [path for path in tmp_path.iterdir() if "new" in path.name]


def test_a_model_of_the_hub_is_fetched_with_its_weights(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[dict[str, object]] = []

    def fetch(name: str, **options: object) -> str:
        requests.append({"name": name, **options})
        return str(checkpoint)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    output = tmp_path / "models" / "other"
    code, out, _ = run(capfd, "someone/mdeberta", "-o", output, "--revision", "refs/pr/5")
    assert code == 0
    assert "ends in other; for someone/mdeberta call the folder mdeberta" in out
    assert requests == [
        {
            "name": "someone/mdeberta",
            "revision": "refs/pr/5",
            "allow_patterns": patterns,
            "ignore_patterns": ["*/*"],
            "local_files_only": False,
        }
        for patterns in (
            ["*.json", "*.safetensors", "*.txt", "*.model"],
            ["*.json", "*.txt", "*.model", "pytorch_model.bin", "pytorch_model-*.bin"],
        )
    ]


def test_a_model_of_the_hub_needs_the_library_of_the_hub(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, _, err = run(capfd, "someone/mdeberta", "-o", tmp_path / "new")
    assert code == 2
    assert "someone/mdeberta: fetching a model needs huggingface_hub, which is not installed" in err
    assert "polyvigil[encoders]" in err


def test_converting_imports_no_torch(checkpoint: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from polyvigil.cli.main import run; "
        f"assert run(['convert', {str(checkpoint)!r}, '-o', {str(tmp_path / 'new')!r}, '-q']) == 0; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
