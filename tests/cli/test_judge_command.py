"""``judge`` and what comes after it, as users run them: a second bundle, and an endpoint on this machine."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from tests.judge.chat_server import Said, Server, chat_server

from polyvigil.bundle.store import load
from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.judge.endpoint import EndpointPermission
from polyvigil.text.mask import mask
from polyvigil.types import LabelledPost

KEY = "POLYVIGIL_TEST_KEY"


@pytest.fixture(scope="module")
def folder(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of posts, a first bundle that learned little, ``weak``, and a better one, ``good``."""
    where = tmp_path_factory.mktemp("judge")
    english = [item for item in corpus if item.post.language in {"en", "fa"}]
    for split in ("train", "dev", "test"):
        mine = [item for item in english if item.post.split == split]
        write_posts(where / f"{split}.csv", mine if split == "dev" else mine[::2])
    for name, setting in (("weak", "model.C=0.01 --set model.scale=none"), ("good", "model.C=4")):
        line = f"train linear --train {where}/train.csv --dev {where}/dev.csv -o {where}/{name} -q --set {setting}"
        assert program.run(line.split()) == 0
    return where


@pytest.fixture(autouse=True)
def _own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(KEY, "secret-key-123")


@pytest.fixture(scope="module")
def truth(corpus: tuple[LabelledPost, ...]) -> dict[str, int]:
    """What a judge that knows everything says, by masked text."""
    return {mask(item.post.text): item.label for item in corpus}


def _config(folder: Path, server: Server | str, **more: object) -> Path:
    url = server if isinstance(server, str) else server.url
    settings: dict[str, object] = {"base_url": url, "model": "m", "key_variable": KEY, "wait": 0.01, "attempts": 1}
    path = folder / "judge.toml"
    lines = (f"{name} = {json.dumps(value)}" for name, value in (settings | more).items())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _judging(rows: list[dict[str, str]]) -> Counter[str]:
    flags = (row["flags"].removesuffix(";cell_protected") for row in rows if "judge" in row["flags"])
    return Counter(row_flags.split(";")[-1] for row_flags in flags)


def test_a_second_bundle_judges_the_posts_near_the_threshold(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = f"judge {folder}/weak --with {folder}/good -o {tmp_path}/judged --ask-at-most 0.2 --dev {folder}/dev.csv"
    assert program.run([*line.split(), "--json"]) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert 0 < data["asked"] <= 0.2 * data["posts"]
    assert data["usage"] is None
    pooled = data["paired"]["pooled"]["f1"]
    assert pooled["low"] <= pooled["difference"] == pytest.approx(pooled["first"] - pooled["second"])
    weak, judged = load(folder / "weak"), load(tmp_path / "judged")
    assert {n: t.value for n, t in judged.policy.thresholds.items()} == {
        n: t.value for n, t in weak.policy.thresholds.items()
    }

    for name, bundle in (("weak", folder / "weak"), ("judged", tmp_path / "judged")):
        assert program.run(["score", str(bundle), f"{folder}/test.csv", "-o", f"{tmp_path}/{name}.csv", "-q"]) == 0
    before, after = _rows(tmp_path / "weak.csv"), _rows(tmp_path / "judged.csv")
    for old, new in zip(before, after, strict=True):
        if "judge" not in new["flags"]:
            assert (old["p"], old["decision"]) == (new["p"], new["decision"])
    assert _judging(after).keys() == {"judged"}
    told = json.loads((tmp_path / "judged.csv.manifest.json").read_text())["judge"]
    assert told["judged"] == _judging(after)["judged"]
    assert told["share"] == pytest.approx(told["judged"] / len(after))
    assert (told["not_asked"], told["failed"], told["usage"]) == (0, 0, None)

    capfd.readouterr()
    assert program.run(["inspect", f"{tmp_path}/judged"]) == 0
    assert "judge: the last 1 of the members, asked about at most 20.0%" in capfd.readouterr().out
    for command in ("evaluate", "explain"):
        assert program.run([command, f"{tmp_path}/judged", f"{folder}/test.csv", "-q"]) == 0
    assert program.run(["report", f"{tmp_path}/judged", "-o", f"{tmp_path}/report", "-q"]) == 0
    assert program.run(["card", f"{tmp_path}/judged", "-q"]) == 0
    assert "in two stages: the last 1 of the members decide" in capfd.readouterr().out


def test_endpoint_scores_need_the_option_after_fitting(
    folder: Path, tmp_path: Path, truth: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    with chat_server(lambda post, _: Said(json.dumps({"ade": truth[post]}))) as server:
        config = _config(tmp_path, server, price_in=1.0, price_out=5.0)
        line = f"judge {folder}/weak --endpoint {config} --dev {folder}/dev.csv --ask-at-most 0.2"
        assert program.run([*line.split(), "-o", f"{tmp_path}/judged", "--json"]) == 0
        spoken = capfd.readouterr()
        data = json.loads(spoken.out)["data"]
        asked_for_dev = len(server.requests)
        assert 0 < data["asked"] <= asked_for_dev <= 2 * 0.2 * data["posts"]
        assert data["usage"]["tokens_in"] == 100 * asked_for_dev
        assert data["usage"]["cost"] == pytest.approx(asked_for_dev * (100 * 1 + 7 * 5) / 1e6)
        assert data["paired"]["pooled"]["f1"]["difference"] > 0

        score = ["score", f"{tmp_path}/judged", f"{folder}/test.csv", "-o", f"{tmp_path}/o.csv", "--replace"]
        for command in (score, ["evaluate", f"{tmp_path}/judged", f"{folder}/test.csv"], ["explain", *score[1:3]]):
            assert program.run(command) == 0
        assert len(server.requests) == asked_for_dev  # nothing is sent unasked
        spoken = capfd.readouterr()
        assert (
            "note: the endpoint was not asked, so the first stage decided alone; --ask-endpoint asks it" in spoken.err
        )
        silent = _rows(tmp_path / "o.csv")
        assert program.run(["score", f"{folder}/weak", f"{folder}/test.csv", "-o", f"{tmp_path}/w.csv", "-q"]) == 0
        for old, new in zip(_rows(tmp_path / "w.csv"), silent, strict=True):
            assert (old["p"], old["decision"]) == (new["p"], new["decision"])
        assert _judging(silent).keys() == {"judge_not_asked"}

        capfd.readouterr()
        assert program.run([*score, "--ask-endpoint"]) == 0
        asked = _rows(tmp_path / "o.csv")
        assert _judging(asked) == {"judged": _judging(silent)["judge_not_asked"]}
        near = [row for row in asked if "judge" in row["flags"]]
        assert all(row["decision"] == row["input_label" if "input_label" in row else "label"] for row in near)
        told = json.loads((tmp_path / "o.csv.manifest.json").read_text())["judge"]
        assert told["usage"]["posts"] == told["judged"] == len(near)
        assert f"endpoint: {len(near):,} posts asked about (0 answered from disk" in capfd.readouterr().err
        paid = len(server.requests)
        assert program.run([*score, "--ask-endpoint", "--offline"]) == 0
        assert program.run(["submit", f"{tmp_path}/judged", f"{folder}/test.csv", "-o", f"{tmp_path}/s.zip"]) == 0
        assert program.run(["evaluate", *score[1:3], "--ask-endpoint"]) == 0
        assert _rows(tmp_path / "o.csv") == asked
        assert len(server.requests) == paid  # answered from disk
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"secret-key" in path.read_bytes() for path in files)
    sources = json.loads((tmp_path / "judged" / "sources.json").read_text())
    assert sources["members"][-1] == "endpoint"
    assert 'model = "m"' in sources["recipes"]["endpoint"]


def test_a_failing_endpoint_leaves_posts_to_the_first_stage(
    folder: Path, tmp_path: Path, truth: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    with chat_server(lambda post, number: Said(json.dumps({"ade": truth[post]}) if number % 3 else "hm")) as server:
        config = _config(tmp_path, server)
        line = f"judge {folder}/weak --endpoint {config} --dev {folder}/dev.csv --ask-at-most 0.2 -o {tmp_path}/judged"
        assert program.run(line.split()) == 0
        told = capfd.readouterr().err
        assert "posts have no usable answer (an answer that is not the JSON asked for); the first stage decided" in told
    score = ["score", f"{tmp_path}/judged", f"{folder}/test.csv", "-o", f"{tmp_path}/o.csv", "--ask-endpoint"]
    assert program.run(score) == 0  # the server is gone
    rows = _rows(tmp_path / "o.csv")
    assert _judging(rows).keys() == {"judge_failed"}
    assert "warning: " in (told := capfd.readouterr().err)
    assert "(out of reach (ConnectionRefusedError)); the first stage decided them" in told
    assert program.run(["score", f"{folder}/weak", f"{folder}/test.csv", "-o", f"{tmp_path}/w.csv", "-q"]) == 0
    assert [row["p"] for row in rows] == [row["p"] for row in _rows(tmp_path / "w.csv")]


def test_no_answers_are_an_error_and_leave_no_bundle(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with chat_server(lambda *_: Said(status=401)) as server:
        config = _config(tmp_path, server)
        line = f"judge {folder}/weak --endpoint {config} --dev {folder}/dev.csv -o {tmp_path}/judged"
        assert program.run(line.split()) == 1
    assert "posts has an answer that can be used (HTTP 401)" in capfd.readouterr().err
    assert not (tmp_path / "judged").exists()


def test_a_dry_run_sends_nothing_and_shows_posts_on_request(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], corpus: tuple[LabelledPost, ...]
) -> None:
    config = _config(tmp_path, "http://127.0.0.1:9/v1", price_in=3.0, price_out=15.0, key_variable="NOT_SET")
    line = f"judge {folder}/weak --endpoint {config} --dev {folder}/dev.csv --ask-at-most 0.1 --dry-run"
    assert program.run(line.split()) == 0
    told = capfd.readouterr().out
    assert "would ask m at http://127.0.0.1:9/v1 about " in told
    assert "cost about 0." in told
    assert "mail me: [EMAIL]" in told
    assert "Anna" not in told
    assert not any(item.post.text in told for item in corpus)
    assert program.run([*line.split(), "--show-masked", "2", "--json"]) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert len(data["masked"]) == 2
    assert set(data["masked"]) <= {mask(item.post.text) for item in corpus}
    assert data["tokens_in"] > 300 * data["posts"]


def test_a_judge_that_does_not_help_is_warned_about(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with chat_server(lambda post, _: Said(json.dumps({"ade": (hash(post) % 100) / 100}))) as server:
        config = _config(tmp_path, server)
        line = f"judge {folder}/good --endpoint {config} --dev {folder}/dev.csv -o {tmp_path}/judged"
        assert program.run(line.split()) == 0
    told = capfd.readouterr().err
    assert "warning: the judge is not shown to help: F1 " in told or "asked about no post" in told


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("judge W --dev D -o O", 2, "name the second stage by one of the two"),
        ("judge W --with G --endpoint E --dev D -o O", 2, "name the second stage by one of the two"),
        ("judge W --endpoint E -o O", 2, "an endpoint is asked about posts; name them"),
        ("judge W --with G --dev D --dry-run", 2, "it says what an endpoint would be sent"),
        ("judge W --with G --dev D", 2, "say where the judged bundle goes"),
        ("judge W --with W --dev D -o O", 2, "a bundle cannot judge itself"),
        ("judge W --with G --dev D -o O --ask-at-most 0", 2, "0 is no share of posts above 0"),
        ("judge W --with J --dev D -o O", 2, "has a judge already"),
        ("judge J --with G --dev D -o O", 2, "has a judge already"),
        ("tune J -o O", 2, "has a judge, whose bands were found for its thresholds"),
        ("tune J D -o O --like W", 2, "has a judge, whose bands were found for its thresholds"),
        ("ensemble J G -o O", 2, "has a judge, which cannot be one member beside others"),
        ("judge W --endpoint E --dev D -o O", 2, "modle: there is no such setting; did you mean model?"),
        ("judge W --endpoint N --dev D -o O", 2, "cannot be read as UTF-8 text (FileNotFoundError)"),
        ("judge W --endpoint D --dev D -o O", 2, "not TOML: "),
    ],
)
def test_bad_options_are_reported(
    folder: Path, tmp_path: Path, line: str, code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = _config(tmp_path, "http://127.0.0.1:9/v1", modle="sk-secret")
    judged = folder / "judged"
    if " J " in line and not judged.exists():
        made = f"judge {folder}/weak --with {folder}/good --dev {folder}/dev.csv -o {judged} -q"
        assert program.run(made.split()) == 0
    names = {"W": folder / "weak", "G": folder / "good", "D": folder / "dev.csv", "J": judged, "E": config}
    names |= {"O": tmp_path / "o", "N": tmp_path / "nothing.toml"}
    capfd.readouterr()
    assert program.run([str(names.get(word, word)) for word in line.split()]) == code
    told = capfd.readouterr().err
    assert message in told
    assert "sk-secret" not in told


def test_endpoint_use_needs_permission_on_load(
    folder: Path, tmp_path: Path, truth: dict[str, int], corpus: tuple[LabelledPost, ...]
) -> None:
    with chat_server(lambda post, _: Said(json.dumps({"ade": truth[post]}))) as server:
        line = f"judge {folder}/weak --endpoint {_config(tmp_path, server)} --dev {folder}/dev.csv -o {tmp_path}/j -q"
        assert program.run(line.split()) == 0
        before = len(server.requests)
        posts = [item.post for item in corpus if item.post.language == "en"]
        silent = load(tmp_path / "j")
        assert (silent.has_endpoint, silent.usage) == (True, None)
        silent.probabilities(posts)
        silent.member_probabilities(posts)
        assert len(server.requests) == before
        open_one = load(tmp_path / "j", permission=EndpointPermission())
        open_one.probabilities(posts)
        assert open_one.usage is not None
        assert open_one.usage.posts > 0
        assert len(server.requests) > before
