# ruff: noqa: E402
"""The neural translator, on a tiny model of the family with random weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from polyvigil.augment.choose import choose
from polyvigil.augment.filters import SCRIPTS
from polyvigil.augment.translate import Cache, translate
from polyvigil.cli import main
from polyvigil.config.augment import TranslationSpec
from polyvigil.errors import BundleError, RecipeError, TrainingError
from polyvigil.nn.translator import CODES, Nllb, load_translator
from polyvigil.types import LabelledPost, Post
from polyvigil_gladiators.tiny import nllb_folder

TEXTS = ("i got a headache", "no", "terrible pain!", "my dad said it was nothing at all", "my dad")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nllb_folder(tmp_path_factory.mktemp("nllb") / "tiny")


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translation_does_not_depend_on_its_neighbours(folder: Path, beams: int) -> None:
    model = load_translator(str(folder), beams=beams, device="cpu")
    together = model.translate(TEXTS, source="en", target="fa")
    assert [model.translate([text], source="en", target="fa")[0] for text in TEXTS] == together
    assert model.translate(TEXTS[::-1], source="en", target="fa") == together[::-1]
    assert len({len(text) for text in together}) > 2, "they end at different lengths"
    assert model.translate([], source="en", target="fa") == []


def test_languages_and_beams_change_translations(folder: Path) -> None:
    greedy, beams = (load_translator(str(folder), beams=number, device="cpu") for number in (1, 3))
    told = greedy.translate(TEXTS, source="en", target="fa")
    assert max(map(len, told)) > 30, "the folder's own max_length is 9"
    for other in (
        greedy.translate(TEXTS, source="ru", target="fa"),
        greedy.translate(TEXTS, source="en", target="de"),
        beams.translate(TEXTS, source="en", target="fa"),
    ):
        assert other != told
    assert beams.identity == f"{greedy.identity}, 3 beams"
    assert greedy.identity.startswith("tiny@")


def test_sizes_are_counted_in_model_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.src_lang = "rus_Cyrl"
    model = load_translator(str(folder), device="cpu")
    assert model.sizes(TEXTS, source="ru") == [len(ids) for ids in tokenizer(list(TEXTS))["input_ids"]]
    assert model.sizes([], source="ru") == []


def test_a_converted_folder_translates_alike(folder: Path, tmp_path: Path) -> None:
    """As the hint of a folder without safetensors says to convert it."""
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "converted")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "converted")
    first, second = (load_translator(str(path), device="cpu") for path in (folder, tmp_path / "converted"))
    assert first.translate(TEXTS[:2], source="en", target="fa") == second.translate(TEXTS[:2], source="en", target="fa")
    assert first.identity != second.identity


def test_other_weights_are_another_identity(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "tiny")
    weights = load_file(tmp_path / "tiny" / "model.safetensors")
    name = next(iter(weights))
    weights[name] = weights[name] + 1e-3
    save_file(weights, tmp_path / "tiny" / "model.safetensors", metadata={"format": "pt"})
    again = load_translator(str(tmp_path / "tiny"), device="cpu").identity
    assert again.partition("@")[0] == "tiny"
    assert again != load_translator(str(folder), device="cpu").identity


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("en", "es", "cannot translate en to es: es is not one of de, en, fa, fr, ja, ru, zh; choose among"),
        ("und", "fa", "cannot translate und to fa: und is not one of"),
        ("fa", "fa", "cannot translate fa to itself"),
    ],
)
def test_other_pairs_of_languages_are_refused(folder: Path, source: str, target: str, told: str) -> None:
    model = load_translator(str(folder), device="cpu")
    with pytest.raises(RecipeError, match=told):
        model.translate(["x"], source=source, target=target)


def test_a_tokenizer_without_the_language_is_refused(tmp_path: Path) -> None:
    model = load_translator(str(nllb_folder(tmp_path / "few", languages=("eng_Latn", "deu_Latn"))), device="cpu")
    model.check("en", "de")
    with pytest.raises(RecipeError, match="few: does not know the language pes_Arab; use a model of the NLLB family"):
        model.check("en", "fa")


def test_other_models_are_refused(folder: Path, tmp_path: Path) -> None:
    def told(path: Path, kind: type[Exception]) -> str:
        with pytest.raises(kind) as caught:
            load_translator(str(path), device="cpu", offline=True)
        return str(caught.value)

    assert "no such folder" in told(tmp_path / "none", RecipeError)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    assert "a 'bert' model does not translate as NLLB does" in told(other, RecipeError)
    (other / "config.json").write_text(json.dumps(config | {"d_model": 64}))
    assert told(other, BundleError).startswith(str(other))
    (other / "config.json").write_text(json.dumps(config))
    weights = load_file(other / "model.safetensors")
    del weights["model.encoder.layers.0.fc1.weight"]
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert "1 tensors are missing or of another shape than config.json says, such as model.encoder" in told(
        other, BundleError
    )
    (other / "model.safetensors").rename(other / "pytorch_model.bin")
    assert "only safetensors are read" in told(other, RecipeError)


def test_a_batch_too_large_for_the_device_is_halved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_translator(str(folder), device="cpu")
    whole = model.translate(TEXTS, source="en", target="fa")
    plain, sizes = model._model.generate, []

    def small(*, input_ids: torch.Tensor, **options: object) -> torch.Tensor:
        sizes.append(len(input_ids))
        if len(input_ids) > room:
            raise torch.OutOfMemoryError
        return plain(input_ids=input_ids, **options)

    monkeypatch.setattr(model._model, "generate", small)
    room = 1
    assert model.translate(TEXTS, source="en", target="fa") == whole
    assert max(sizes) > 1
    room = 0
    with pytest.raises(TrainingError, match=r"no memory to translate one sentence of \d+ tokens; use --beams 1"):
        model.translate(TEXTS[:1], source="en", target="fa")


def test_the_languages_are_those_of_the_filters() -> None:
    assert set(CODES) == set(SCRIPTS)
    assert Nllb.longest == 512


def _posts() -> list[LabelledPost]:
    return [LabelledPost(Post(f"p{place}", f"{text}. no", "en"), place % 2) for place, text in enumerate(TEXTS)]


class _Dying:
    """The translator, until it has been asked often enough."""

    def __init__(self, inner: Nllb, calls: int) -> None:
        self._inner, self._left = inner, calls
        self.name, self.identity = inner.name, inner.identity
        self.writes_language, self.longest = inner.writes_language, inner.longest
        self.check, self.sizes = inner.check, inner.sizes

    def translate(self, texts: list[str], *, source: str, target: str) -> list[str]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._inner.translate(texts, source=source, target=target)


def test_interrupted_run_resumes_to_the_same_rows(folder: Path, tmp_path: Path) -> None:
    model = load_translator(str(folder), device="cpu")
    chosen = [choose(_posts(), model, TranslationSpec(), target=target) for target in ("fa", "de")]
    whole = translate(chosen, model, Cache(tmp_path / "whole.jsonl"), batch_tokens=40)
    path = tmp_path / "ended.jsonl"
    for calls in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            translate(chosen, _Dying(model, calls), Cache(path), batch_tokens=40)
        path.write_bytes(path.read_bytes()[:-7])  # the last line is torn
    shares: list[float] = []
    again = translate(chosen, model, Cache(path), batch_tokens=40, progress=shares.append)
    assert again == whole
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [row.item.post.id for row in again] == [f"p{n}__{target}" for target in ("fa", "de") for n in range(5)]
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_command_reports_unusable_models(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Random weights write nonsense: every row is set aside, with its reason."""
    source = tmp_path / "posts.csv"
    source.write_text("id,text,label,language\n" + "".join(f"p{n},{text},1,en\n" for n, text in enumerate(TEXTS)))
    output = tmp_path / "out.csv"
    command = ["augment", "translate", str(source), "-o", str(output), "--to", "fa", "--model", str(folder)]
    assert main.run([*command, "--device", "cpu"]) == 2
    told = capfd.readouterr().err
    assert "none of 5 translations can be used" in told
    assert not output.exists()
    lines = [json.loads(line) for line in (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert [line["translated_from"] for line in lines] == [f"en:p{n}" for n in range(5)]
    assert {line["reason"] for line in lines} <= {"empty", "repetitive", "length", "script", "language"}
    assert all(line["model"].startswith("tiny@") for line in lines)
    assert main.run([*command[:-1], str(tmp_path / "none"), "--offline"]) == 2
    assert "no such folder" in capfd.readouterr().err


def test_importing_the_command_imports_no_torch() -> None:
    code = "import sys, polyvigil.cli.main, polyvigil.augment.translate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
