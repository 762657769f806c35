"""`polyvigil export`: a new bundle or ONNX files that decide as the old one, or nothing at all; each post read once."""
# ruff: noqa: E402

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import tiny_folder
from tests.workflows.test_encoder_recipes import SETTINGS, _posts

from polyvigil.bundle import layout, store
from polyvigil.bundle.store import Bundle, load
from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.nn import int8
from polyvigil.scoring.wire import score_posts
from polyvigil.workflows.export_common import encoder_of

_OWN_HEAD = ("training.head=random", "model.token_pooling=model")  # as the model itself has one, which others open too
needs_int8 = pytest.mark.skipif(not int8._works(), reason="torch has no int8 arithmetic for this processor")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two seeds of one encoder, and the posts it was made from."""
    folder = tmp_path_factory.mktemp("export")
    for name, number in (("train", 120), ("dev", 80), ("testing", 60)):
        write_posts(folder / f"{name}.csv", _posts(number, name))
    tiny_folder(folder / "model", "xlm-roberta", texts=[item.post.text for item in _posts(120, "train")], seed=3)
    line = ["train", "quick", "--train", f"{folder}/train.csv", "--dev", f"{folder}/dev.csv", "--offline", "-q"]
    for setting in (f"model.name={folder}/model", "model.max_tokens=32", "seeds=[1, 2]", *SETTINGS, *_OWN_HEAD):
        line += ["--set", setting]
    assert program.run([*line, "-o", f"{folder}/bundle", "--device", "cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def bundle(files: Path) -> Bundle:
    return load(files / "bundle", device="cpu")


@pytest.fixture(scope="module")
def small(files: Path) -> Path:
    if not int8._works():
        pytest.skip("torch has no int8 arithmetic for this processor")
    line = ["export", f"{files}/bundle", f"{files}/dev.csv", "-o", f"{files}/small", "--to", "int8", "-q"]
    assert program.run(line) == 0
    return files / "small"


POSTS = [item.post for item in _posts(60, "testing")]


def test_int8_is_a_bundle_like_any_other_and_smaller(files: Path, bundle: Bundle, small: Path) -> None:
    exported = load(small)
    assert exported.id != bundle.id
    assert load(files / "bundle").id == bundle.id  # the old one is as it was
    apart = np.abs(exported.probabilities(POSTS) - bundle.probabilities(POSTS))
    assert 0 < apart.max() < 0.05
    told = json.loads((small / layout.PARITY).read_text())
    assert (told["form"], told["source"], told["retuned"], told["data"]) == ("int8", bundle.id, True, "dev.csv")
    assert [part["name"] for part in told["languages"]] == ["de", "en"]
    assert exported.policy.dev_fingerprint == bundle.policy.dev_fingerprint
    dev = [item.post for item in _posts(80, "dev")]
    places = [post.id for post in dev]
    assert len(places) == len(exported.dev.labels)
    np.testing.assert_allclose(exported.dev.by_member, exported.member_probabilities(dev), atol=1e-6)
    for name in ("00-encoder", "01-encoder"):
        old, new = (folder / "members" / name / "model.safetensors" for folder in (files / "bundle", small))
        assert new.stat().st_size < 0.6 * old.stat().st_size


def test_an_int8_member_opens_with_transformers(small: Path, bundle: Bundle) -> None:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(small / "members" / "00-encoder")
    theirs = bundle.members[0].encoder.model.state_dict()  # type: ignore[attr-defined]
    for name, value in model.state_dict().items():
        assert value.dtype in {torch.float16, torch.int64}
        torch.testing.assert_close(value.to(theirs[name].dtype), theirs[name], rtol=1e-3, atol=1e-6)


def test_int8_scores_do_not_depend_on_other_posts(small: Path) -> None:
    exported = load(small)
    together = exported.probabilities(POSTS)
    alone = np.concatenate([exported.probabilities([post]) for post in POSTS])
    assert np.abs(together - alone).max() < 1e-6


def test_bf16_is_closer_to_the_source_than_int8(
    files: Path, bundle: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = [
        "export",
        f"{files}/bundle",
        f"{files}/dev.csv",
        "-o",
        f"{tmp_path}/fast",
        "--to",
        "bf16",
        "--device",
        "cpu",
    ]
    assert program.run(line) == 0
    assert "bf16" in capfd.readouterr().out
    exported = load(tmp_path / "fast")
    assert encoder_of(exported.members[0]).config.arithmetic == "bf16"
    together = exported.probabilities(POSTS)
    assert 0 < np.abs(together - bundle.probabilities(POSTS)).max() < 0.02
    alone = np.concatenate([exported.probabilities([post]) for post in POSTS])
    assert np.abs(together - alone).max() < 2e-3
    told = json.loads((tmp_path / "fast" / layout.PARITY).read_text())
    assert (told["form"], told["source"], told["retuned"]) == ("bf16", bundle.id, True)
    assert program.run(["export", *line[1:5], "--to", "int8", "--device", "cuda"]) == 2
    assert "--device: int8 is made and judged on the CPU\n  next: leave it out" in capfd.readouterr().err
    again = ["export", f"{tmp_path}/fast", f"{files}/dev.csv", "-o", f"{tmp_path}/more", "--to", "int8"]
    assert program.run(again) == 2
    assert "00-encoder is in bf16 already" in capfd.readouterr().err


@needs_int8
def test_on_other_posts_thresholds_stay(files: Path, bundle: Bundle, tmp_path: Path) -> None:
    line = ["export", f"{files}/bundle", f"{files}/testing.csv", "-o", f"{tmp_path}/small", "--to", "int8", "-q"]
    assert program.run(line) == 0
    exported = load(tmp_path / "small")
    assert exported.policy.thresholds == bundle.policy.thresholds
    assert np.array_equal(exported.dev.by_member, bundle.dev.by_member)
    assert json.loads((tmp_path / "small" / layout.PARITY).read_text())["retuned"] is False


def test_export_comparison_is_kept_after_tuning(small: Path, tmp_path: Path) -> None:
    assert program.run(["tune", str(small), "-o", f"{tmp_path}/tuned", "--set", "decide.rule=argmax", "-q"]) == 0
    assert (tmp_path / "tuned" / layout.PARITY).read_text() == (small / layout.PARITY).read_text()
    assert np.array_equal(load(tmp_path / "tuned").probabilities(POSTS), load(small).probabilities(POSTS))


@needs_int8
def test_a_model_damaged_by_int8_is_refused(
    files: Path, bundle: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One channel of the values is 10,000 times as large, and weighs as much less: the same in floating point."""
    spoilt = load(files / "bundle", device="cpu")
    for member in spoilt.members:
        layers = member.encoder.model.roberta.encoder.layer  # type: ignore[attr-defined]
        with torch.no_grad():
            for layer in layers:
                for channel in range(0, 32, 8):
                    layer.attention.self.value.weight[channel] *= 10_000
                    layer.attention.self.value.bias[channel] *= 10_000
                    layer.attention.output.dense.weight[:, channel] /= 10_000
    assert np.abs(spoilt.probabilities(POSTS) - bundle.probabilities(POSTS)).max() < 1e-4
    parts = {name: getattr(spoilt, name) for name in ("combination", "policy", "calibration", "dev", "seen")}
    documents = {name: store.read_document(files / "bundle", name) for name in (layout.EVALUATION, layout.RECIPE)}
    store.save(tmp_path / "spoilt", members=spoilt.members, documents=documents, **parts)
    line = ["export", f"{tmp_path}/spoilt", f"{files}/dev.csv", "-o", f"{tmp_path}/small", "--to", "int8", "--json"]
    assert program.run(line) == 3
    document = json.loads(capfd.readouterr().out)
    assert document["ok"] is False
    assert document["data"]["folder"] is None
    assert "score-moved" in [gate["name"] for gate in document["data"]["parity"]["gates"] if not gate["passed"]]
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt"]
    assert program.run(line[:-1]) == 3
    shown = capfd.readouterr().out
    assert "nothing was written" in shown
    assert "next" not in shown
    assert "score with the bundle as it is" in shown


def test_onnx_readme_program_gives_the_bundle_s_probabilities(files: Path, bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    line = ["export", f"{files}/bundle", f"{files}/dev.csv", "-o", f"{tmp_path}/onnx", "--to", "onnx", "-q"]
    assert program.run(line) == 0
    out = tmp_path / "onnx"
    told = json.loads((out / layout.PARITY).read_text())
    assert told["pooled"]["shift"] < 1e-5
    assert told["pooled"]["flips"] == 0
    assert (out / "policy.json").is_file()
    found = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)
    assert found
    posts = [*POSTS[:6], replace(POSTS[0], text="😀"), replace(POSTS[0], text="the pills " * 40)]
    asked = json.dumps([[post.text, post.language] for post in posts])
    program_text = found[1] + f"\nprint(json.dumps([[p, bool(f)] for p, f in (flag(*a) for a in {asked})]))\n"
    run = subprocess.run([sys.executable, "-c", program_text], cwd=out, capture_output=True, text=True, check=True)
    answers = json.loads(run.stdout.splitlines()[-1])
    p = bundle.probabilities(posts)
    np.testing.assert_allclose([answer[0] for answer in answers], p, atol=1e-5)
    assert [answer[1] for answer in answers] == bundle.policy.flags(p, [post.language for post in posts]).tolist()


def test_unsupported_exports_are_refused(
    files: Path, bundle_folder: Path, small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one_class = [item for item in _posts(80, "dev") if not item.label]
    write_posts(tmp_path / "negatives.csv", one_class)
    for source, posts, form, message, code in (
        (bundle_folder, files / "dev.csv", "int8", "members/00-linear is no encoder, and encoders alone can be", 2),
        (bundle_folder, files / "dev.csv", "onnx", "members/00-linear is no encoder, and encoders alone can be", 2),
        (small, files / "dev.csv", "int8", "members/00-encoder is in int8 already", 2),
        (small, files / "dev.csv", "onnx", "members/00-encoder is in int8 already", 2),
        (files / "bundle", tmp_path / "negatives.csv", "int8", "hold 0 positives; the gate needs both classes", 2),
        (files / "bundle", files / "train.csv", "int8", "posts were trained on; metrics on them prove nothing", 2),
    ):
        assert program.run(["export", str(source), str(posts), "-o", f"{tmp_path}/out", "--to", form]) == code
        assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    line = ["export", f"{files}/bundle", f"{files}/dev.csv", "-o", str(small), "--to"]
    assert program.run([*line, "int8"]) == 4
    assert "a bundle stands there already; choose another folder" in capfd.readouterr().err.replace("\n  next: ", "; ")
    assert program.run([*line, "onnx", "--replace"]) == 2
    assert "only a bundle is replaced" in capfd.readouterr().err


def test_each_post_is_tokenised_once_for_all_members(
    files: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = score_posts(bundle, POSTS)
    seen: Counter[str] = Counter()
    tokenizers = {type(member.encoder._tokenizer) for member in bundle.members}  # type: ignore[attr-defined]
    assert len(tokenizers) == 1
    kind = tokenizers.pop()
    real = kind.__call__

    def counting(self: object, texts: list[str], **options: object) -> object:
        seen.update(texts)
        return real(self, texts, **options)

    monkeypatch.setattr(kind, "__call__", counting)
    assert score_posts(bundle, POSTS) == expected
    assert set(seen.values()) == {1}
    assert len(seen) == len({post.text for post in POSTS})
    other = load(files / "bundle", device="cpu")
    other.members[1].encoder._tokenizer_key = "other"  # type: ignore[attr-defined]
    seen.clear()
    assert score_posts(other, POSTS) == expected
    assert set(seen.values()) == {2}
    seen.clear()
    long = replace(POSTS[0], text="the pills gave me a rash " * 20)
    assert score_posts(bundle, [long])[0].window
    assert max(seen.values()) == 2  # once more to say where its window stands
