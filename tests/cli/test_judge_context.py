"""``judge --examples --drugs`` and what comes after it, as users run them, against an endpoint on this machine."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from tests.golden.support import BUNDLES, POSTS
from tests.judge.chat_server import Said, Server, chat_server
from tests.serve.conftest import serving

from polyvigil.bundle.store import load
from polyvigil.cli import main as program
from polyvigil.data.fingerprint import post_hashes
from polyvigil.errors import HubError
from polyvigil.judge.client import estimated_tokens
from polyvigil.judge.endpoint import EndpointPermission
from polyvigil.judge.masking import shortened
from polyvigil.judge.messages import DRUGS_FILE, EXAMPLES_FILE
from polyvigil.serve.client import Client
from polyvigil.text.mask import mask
from polyvigil.types import Post

ANSWER = 'It reads as one.\n{"ade": 0.75}'
DRUGS = "term,code,ingredient\nibuprofen,M01,\nmetformin,A10,metformin\nprozac,N06,fluoxetine\nseroquel,,quetiapine\n"


@pytest.fixture(autouse=True)
def _own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train", "dev", "test"):
        shutil.copy(POSTS / f"{name}.csv", tmp_path)
    (tmp_path / "drugs.csv").write_text(DRUGS, encoding="utf-8")
    return tmp_path


def _config(folder: Path, server: Server | str, prompt: str = "2") -> Path:
    path = folder / "judge.toml"
    url = server if isinstance(server, str) else server.url
    text = f'base_url = "{url}"\nmodel = "m"\nattempts = 1\nwait = 0.01\nprice_in = 1.0\nprice_out = 5.0\n'
    path.write_text(text + f'prompt = "{prompt}"\n', encoding="utf-8")
    return path


def _line(folder: Path, config: Path, *more: str) -> list[str]:
    files = ["--dev", f"{folder}/dev.csv", "--examples", f"{folder}/train.csv", "--drugs", f"{folder}/drugs.csv"]
    return ["judge", str(BUNDLES / "words"), "--endpoint", str(config), "--ask-at-most", "0.2", *files, *more]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _kept(row: dict[str, str]) -> str:
    return shortened(mask(row["text"]), most_characters=500)


def _messages(server: Server) -> list[dict[str, object]]:
    return [json.loads(body["messages"][1]["content"]) for body in server.requests]


def test_the_estimate_is_what_is_sent_and_scoring_and_serving_send_the_same(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with chat_server(lambda *_: Said(ANSWER)) as server:
        config = _config(folder, server)
        assert program.run([*_line(folder, config), "--dry-run", "--json"]) == 0
        expected = json.loads(capfd.readouterr().out)["data"]
        assert not server.requests
        assert program.run([*_line(folder, config), "-o", f"{folder}/judged", "-q"]) == 0
        said = capfd.readouterr().err
        texts = [text["content"] for body in server.requests for text in body["messages"]]
        assert expected["tokens_in"] == sum(map(estimated_tokens, texts))
        assert expected["cost"] == pytest.approx((expected["tokens_in"] + 5 * expected["tokens_out"]) / 1e6)
        assert expected["tokens_out"] > len(server.requests) * estimated_tokens(ANSWER)

        train = {_kept(row): row["label"] for row in _rows(folder / "train.csv")}
        dev = {_kept(row) for row in _rows(folder / "dev.csv")}
        for message in _messages(server):
            examples = message["examples"]
            assert isinstance(examples, list)
            assert [train[example["post"]] for example in examples] == [str(example["ade"]) for example in examples]
            assert sum(example["ade"] for example in examples) == 2
            assert len(examples) == 4
            assert not {example["post"] for example in examples} & dev
        assert {str(note) for message in _messages(server) for note in message.get("medicines", ())} <= {  # type: ignore[attr-defined]
            "Prozac (fluoxetine)", "prozac (fluoxetine)", "seroquel (quetiapine)", "Seroquel (quetiapine)"
        }  # fmt: skip
        assert f"are kept in the bundle, masked and with their labels ({EXAMPLES_FILE}); whoever has the bundle" in said
        assert not any(text in said for text in train)

        server.requests.clear()
        score = ["score", f"{folder}/judged", f"{folder}/test.csv", "-o", f"{folder}/o.csv", "--replace", "-q"]
        assert program.run(score) == 0
        assert not server.requests, "nothing is sent unasked"
        assert program.run([*score, "--ask-endpoint"]) == 0
        scored = sorted(body["messages"][1]["content"] for body in server.requests)
        assert scored
        assert all("examples" in message for message in _messages(server))
        shutil.rmtree(folder / "cache")
        server.requests.clear()
        bundle = load(folder / "judged", permission=EndpointPermission())
        posts = [
            Post(row["id"], row["text"], row["language"], group=row.get("group", ""))
            for row in _rows(folder / "test.csv")
        ]
        with serving(bundle) as running:
            Client(running.url, posts_per_request=37).score_posts(posts)
        assert sorted(body["messages"][1]["content"] for body in server.requests) == scored
    manifest = (folder / "o.csv.manifest.json").read_text(encoding="utf-8")
    assert not any(text in manifest for text in train)


def test_the_bundle_says_that_it_holds_posts(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda *_: Said(ANSWER)) as server:
        line = _line(folder, _config(folder, server), "-o", f"{folder}/judged", "--replace", "-q")
        assert program.run(line) == 0
        first = load(folder / "judged")
        assert program.run(line) == 0
    bundle = load(folder / "judged")
    assert bundle.id == first.id
    chat = folder / "judged" / "second_stage" / "00-chat"
    assert bundle.manifest.files_with_posts == (f"second_stage/00-chat/{EXAMPLES_FILE}",)
    train = [Post("", row["text"], row["language"]) for row in _rows(folder / "train.csv")]
    kept = {json.loads(text)["hash"] for text in (chat / EXAMPLES_FILE).read_text(encoding="utf-8").splitlines()}
    hashes = {int(name, 16) for name in kept}
    assert hashes <= set(post_hashes(train).tolist())
    assert hashes <= set(bundle.seen.train.tolist()), "evaluate says of them that they are no test"
    assert json.loads((chat / DRUGS_FILE).read_text(encoding="utf-8").splitlines()[2]) == {
        "term": "prozac",
        "ingredient": "fluoxetine",
    }
    capfd.readouterr()
    assert program.run(["inspect", f"{folder}/judged"]) == 0
    assert f"second_stage/00-chat/{EXAMPLES_FILE}: masked texts of posts" in capfd.readouterr().out
    assert program.run(["card", f"{folder}/judged", "-q"]) == 0
    assert "**This bundle holds texts of posts**" in capfd.readouterr().out
    from polyvigil.bundle.hub import push

    with pytest.raises(HubError, match="holds texts of posts") as caught:
        push(folder / "judged", "clinic/ade", public=True, log=lambda _: None)
    assert caught.value.hint == "push it without --public, or judge again without --examples"
    (chat / EXAMPLES_FILE).write_bytes((chat / EXAMPLES_FILE).read_bytes().replace(b'"ade": 1', b'"ade": 0'))
    assert program.run(["score", f"{folder}/judged", f"{folder}/test.csv", "-o", f"{folder}/o.csv"]) == 4
    assert "was changed or damaged after the bundle was saved" in capfd.readouterr().err


def test_a_dry_run_shows_synthetic_posts_alone(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = _line(folder, _config(folder, "http://127.0.0.1:9/v1"), "--dry-run")
    assert program.run(line) == 0
    shown = capfd.readouterr()
    message = json.loads(shown.out.strip().splitlines()[-1])
    assert [example["ade"] for example in message["examples"]] == [0, 1]
    assert message["medicines"] == ["Examplan (examplamide)"]
    texts = [row["text"] for name in ("train", "dev") for row in _rows(folder / f"{name}.csv")]
    assert not any(text in shown.out + shown.err for text in texts)
    assert "4 names of drugs are kept in the bundle (drugs.jsonl)" in shown.err
    assert program.run([*line, "--show-masked", "1", "--json"]) == 0
    masked = json.loads(capfd.readouterr().out)["data"]["masked"]
    assert set(json.loads(masked[0])) >= {"examples", "post"}
    assert program.run([word for word in line if word not in {"--drugs", f"{folder}/drugs.csv"}]) == 0
    assert "medicines" not in json.loads(capfd.readouterr().out.strip().splitlines()[-1])


def test_posts_that_are_kept_for_measuring_are_no_examples(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = _rows(folder / "train.csv")
    with (folder / "train.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0], "purpose", "inclusion_p"])
        writer.writeheader()
        for index, row in enumerate(rows):
            writer.writerow(row | {"purpose": "audit" if index < 10 else "learn", "inclusion_p": "0.5"})
    assert program.run(_line(folder, _config(folder, "http://127.0.0.1:9/v1"), "--dry-run")) == 0
    assert (
        "train.csv: 10 audited posts are left out: they tell what was missed, and never train" in capfd.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--with G --dev D -o O --examples T", 2, "goes along with posts to an endpoint: --endpoint"),
        ("--with G --dev D -o O --drugs M", 2, "goes along with posts to an endpoint: --endpoint"),
        ("--endpoint E1 --dev D --dry-run --drugs M", 2, "its prompt 1 knows no examples and no ingredients"),
        ("--endpoint E --dev D --dry-run --examples D", 2, "texts are those of dev posts, which would be judged by"),
        ("--endpoint E --dev D --dry-run --drugs T", 2, "train.csv: no column term"),
        ("--endpoint E --dev D --dry-run --examples M", 2, "drugs.csv: "),
        ("--endpoint E --dev D -o T --replace --examples T", 4, "input and output are one"),
    ],
)
def test_bad_options_are_reported(
    folder: Path, options: str, code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = _config(folder, "http://127.0.0.1:9/v1")
    old = shutil.copy(config, folder / "one.toml")
    Path(old).write_text(config.read_text().replace('"2"', '"1"'), encoding="utf-8")
    names = {"G": BUNDLES / "linear", "D": folder / "dev.csv", "T": folder / "train.csv", "M": folder / "drugs.csv"}
    names |= {"O": folder / "o", "E": config, "E1": Path(old)}
    line = ["judge", str(BUNDLES / "words"), *(str(names.get(word, word)) for word in options.split())]
    status = program.run(line)
    assert message in (said := capfd.readouterr().err)
    assert status == code, said
