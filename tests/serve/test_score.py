"""POST /v1/score: the decisions of files and of Python, in order, each post with its own error."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.test_facts import uncalibrated
from tests.serve.conftest import Running, check_counts, serving

from polyvigil import __version__
from polyvigil.bundle.store import Bundle
from polyvigil.data.write import write_posts
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.wire import COLUMNS, SEVERAL_MEMBERS, TOKENS, as_cells, flags_text, score_posts
from polyvigil.types import LabelledPost

FILLED = tuple(name for name in COLUMNS if name not in (*SEVERAL_MEMBERS, *TOKENS))
"""The columns of a bundle of one linear member."""

MakePost = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def running(bundle_folder: Path) -> Iterator[Running]:
    """As that of conftest, and scored by a process of its own."""
    with serving(bundle_folder) as one:
        yield one
        check_counts(one)


def test_server_file_and_python_decide_alike(
    running: Running, bundle: Bundle, corpus: tuple[LabelledPost, ...], tmp_path: Path
) -> None:
    """5,000 posts, bit for bit; through the file and back as text, and in requests of different sizes."""
    posts = [item.post for item in corpus][:5000]
    assert len(posts) == 5000
    records: dict[str, dict[str, Any]] = {}
    sizes = [256, 1, 7, 100, 31]
    start = 0
    while start < len(posts):
        size = sizes[len(records) % len(sizes)]
        part = posts[start : start + size]
        start += size
        answered = running.score(*({"id": p.id, "text": p.text, "language": p.language, "type": p.type} for p in part))
        assert answered.status == 200
        assert [record["id"] for record in answered.json["data"]] == [p.id for p in part]
        records |= {record["id"]: record for record in answered.json["data"]}
    for post, decision in zip(posts, score_posts(bundle, posts), strict=True):
        expected = as_cells(decision, FILLED) | {"flags": flags_text(decision.flags)}
        assert records[post.id] == {"id": post.id, "ok": True, **expected}

    source = tmp_path / "posts.csv"
    with source.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "language", "type"])
        writer.writerows([p.id, p.text, p.language, p.type] for p in posts)
    score_file(bundle, str(source), str(tmp_path / "scored.jsonl"))
    lines = (tmp_path / "scored.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(posts)
    for row in map(json.loads, lines):
        assert {name: row[name] for name in FILLED} == {name: records[row["id"]][name] for name in FILLED}


@pytest.mark.parametrize("prevalence", [0.02, {"ja": 0.5, "": 0.02}, {"de": 0.3}])
def test_server_and_file_re_base_alike(
    running: Running,
    bundle_folder: Path,
    corpus: tuple[LabelledPost, ...],
    tmp_path: Path,
    ran: Callable[..., tuple[int, str, str]],
    prevalence: float | dict[str, float],
) -> None:
    """Bit for bit with ``score --prevalence``, here and at the service, in requests beside others without it."""
    labelled = corpus[:: len(corpus) // 200][:200]
    posts = [item.post for item in labelled]
    items = [{"id": p.id, "text": p.text, "language": p.language} for p in posts]
    write_posts(tmp_path / "posts.csv", labelled)
    shares = prevalence if isinstance(prevalence, dict) else {"": prevalence}
    options = [word for name, share in shares.items() for word in ("--prevalence", f"{name}={share}".lstrip("="))]
    files = {}
    for name, where in {"here": [bundle_folder], "there": ["--server", running.url]}.items():
        code, _, err = ran("score", *where, tmp_path / "posts.csv", "-o", tmp_path / f"{name}.jsonl", *options)
        assert code == 0, err
        files[name] = (tmp_path / f"{name}.jsonl").read_bytes()
    assert files["here"] == files["there"]
    rows = {row["id"]: row for row in map(json.loads, files["here"].splitlines())}
    plain = {record["id"]: record for record in running.score(*items).json["data"]}
    body = {"posts": items, "prevalence": prevalence}
    records = running.request("POST", "/v1/score", body).json["data"]
    assert [tuple(record) for record in records] == [tuple(plain[p.id]) for p in posts]
    for record in records:
        assert {name: record[name] for name in FILLED} == {name: rows[record["id"]][name] for name in FILLED}
        assert record == plain[record["id"]] | {"p_calibrated": record["p_calibrated"]}
    moved = {p.language for p in posts if rows[p.id]["p_calibrated"] != plain[p.id]["p_calibrated"]}
    assert moved == ({"de"} if prevalence == {"de": 0.3} else {p.language for p in posts})


def test_a_post_with_an_error_stands_beside_those_that_are_re_based(running: Running, post: MakePost) -> None:
    items = [post(id="a"), post(id="a"), post(id="b", text="")]
    body = {"posts": items, "prevalence": 0.01}
    first, twice, empty = running.request("POST", "/v1/score", body).json["data"]
    assert (first["ok"], twice["error"]["code"], empty["ok"]) == (True, "duplicate_id", True)
    assert first["p_calibrated"] < running.score(items[0]).json["data"][0]["p_calibrated"]


def test_a_bundle_without_p_calibrated_is_not_re_based(bundle: Bundle, post: MakePost) -> None:
    with serving(uncalibrated(bundle)) as running:
        answered = running.request("POST", "/v1/score", {"posts": [post()], "prevalence": 0.02})
        assert (answered.status, answered.code) == (422, "usage")
        assert answered.json["error"]["message"].startswith("this bundle has no p_calibrated")
        assert running.request("POST", "/v1/score", {"posts": [post()], "prevalence": {}}).status == 200


def test_the_response_has_the_ids_of_bundle_and_request(running: Running, bundle: Bundle, post: MakePost) -> None:
    answered = running.score(post(), headers={"X-Request-Id": "my-request.7"})
    assert answered.json["bundle"] == bundle.id
    assert answered.headers["x-request-id"] == "my-request.7"
    assert len(running.score(post(), headers={"X-Request-Id": "no good id"}).headers["x-request-id"]) == 16


def test_a_language_is_detected_as_in_a_file_of_one_row(running: Running, bundle: Bundle, tmp_path: Path) -> None:
    texts = ["Von den Tabletten wurde mir richtig schlecht", "x", "", "この薬で頭が痛くなりました", "nausea again"]
    for index, text in enumerate(texts):
        source, scored = tmp_path / f"{index}.jsonl", tmp_path / f"scored-{index}.jsonl"
        source.write_text(json.dumps({"id": "a", "text": text}) + "\n", encoding="utf-8")
        score_file(bundle, str(source), str(scored))
        row = json.loads(scored.read_text(encoding="utf-8"))
        (record,) = running.score({"id": "a", "text": text}).json["data"]
        assert {name: record[name] for name in FILLED} == {name: row[name] for name in FILLED}
        assert "language_detected" in record["flags"].split(";")


def test_results_do_not_depend_on_neighbours(running: Running, post: MakePost) -> None:
    alone = running.score(post("a")).json["data"][0]
    among = running.score(post("x", "ok"), post("a"), *(post(f"n{i}", f"word {i} " * 50) for i in range(99)))
    assert among.json["data"][1] == alone


def test_each_post_has_its_own_error(running: Running, post: MakePost) -> None:
    answered = running.score(
        post("a"), post("b", language="Engl1sh"), post("a"), post("c", "x" * 100_001), post("d", "\ud800 bad pills")
    )
    good, language, duplicate, long, surrogate = answered.json["data"]
    assert answered.status == 200
    assert good["ok"] is surrogate["ok"] is True
    assert "lone_surrogate" in surrogate["flags"]
    assert [record["error"]["code"] for record in (language, duplicate, long)] == [
        "language",
        "duplicate_id",
        "too_long",
    ]
    assert [record["error"]["where"] for record in (language, duplicate, long)] == [
        "posts[1].language", "posts[2].id", "posts[3].text",
    ]  # fmt: skip
    assert "Engl1sh" in language["error"]["message"]


def test_a_language_that_the_sender_detected_is_flagged(running: Running, post: MakePost) -> None:
    (record,) = running.score(post(language="en", language_detected=True)).json["data"]
    assert "language_detected" in record["flags"].split(";")


@pytest.mark.parametrize(
    ("body", "status", "code", "where"),
    [
        (b"", 400, "json", "character 0"),
        (b"{", 400, "json", "character 1"),
        (b'{"posts": [{"id": "a", "text": "\xff"}]}', 400, "json", "body"),
        (b'{"posts": NaN}', 400, "json", "body"),
        (b'{"posts": ' + b"9" * 5000 + b"}", 400, "json", "body"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "json", "body"),
        (b"[" * 17 + b"]" * 17, 400, "json", "body"),
        (b"[]", 422, "usage", "body"),
        (b"{}", 422, "usage", "body"),
        (b'{"posts": []}', 422, "usage", "posts"),
        (b'{"posts": "a"}', 422, "usage", "posts"),
        (b'{"posts": [], "more": 1}', 422, "usage", "body"),
        (b'{"posts": [[]]}', 422, "usage", "posts[0]"),
        (b'{"posts": [{"id": "a"}]}', 422, "usage", "posts[0]"),
        (b'{"posts": [{"id": "a", "text": "x", "langauge": "en"}]}', 422, "usage", "posts[0]"),
        (b'{"posts": [{"id": 1, "text": "x"}]}', 422, "usage", "posts[0].id"),
        (b'{"posts": [{"id": "a", "text": null}]}', 422, "usage", "posts[0].text"),
        (b'{"posts": [{"id": "a", "text": "x", "language_detected": 1}]}', 422, "usage", "posts[0].language_detected"),
        (b'{"posts": [{"id": "a", "text": "x"}], "prevalence": 1}', 422, "usage", "prevalence"),
        (b'{"posts": [{"id": "a", "text": "x"}], "prevalence": 0.0}', 422, "usage", "prevalence"),
        (b'{"posts": [{"id": "a", "text": "x"}], "prevalence": -1' + b"0" * 400 + b"}", 422, "usage", "prevalence"),
        (b'{"posts": [{"id": "a", "text": "x"}], "prevalence": true}', 422, "usage", "prevalence"),
        (b'{"posts": [{"id": "a", "text": "x"}], "prevalence": null}', 422, "usage", "prevalence"),
        (b'{"posts": [{"id": "a", "text": "x"}], "prevalence": {"fa": 1.5}}', 422, "usage", "prevalence['fa']"),
        (b'{"posts": [{"id": "a", "text": "x"}], "prevalence": {"fa": "1"}}', 422, "usage", "prevalence['fa']"),
        (b'{"posts": [' + b",".join([b"{}"] * 257) + b"]}", 422, "too_many", "posts"),
    ],
)
def test_a_body_that_is_none(running: Running, body: bytes, status: int, code: str, where: str) -> None:
    answered = running.request("POST", "/v1/score", body)
    assert (answered.status, answered.code, answered.json["error"]["where"]) == (status, code, where)
    assert answered.json["ok"] is False
    assert answered.json["error"]["message"]


def test_an_error_holds_nothing_of_a_post(running: Running) -> None:
    secret = "my neighbour took forty pills of it"
    for item in (
        {"id": secret, "text": 1},
        {"id": "a", "text": "x", secret: 1},
        {"id": "a", "text": "x", "language": secret},
        {"id": "a", "text": [secret]},
    ):
        assert secret not in running.score(item).body.decode()
    twice = running.score({"id": secret, "text": "x"}, {"id": secret, "text": "x"}).json["data"][1]
    assert secret not in json.dumps(twice["error"])


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "text/plain"}, "encoding"),
        ({"Content-Type": ""}, "encoding"),
        ({"Content-Encoding": "gzip"}, "encoding"),
        ({"X-Request-Timeout": "soon"}, "usage"),
        ({"X-Request-Timeout": "-1"}, "usage"),
        ({"X-Request-Timeout": "nan"}, "usage"),
    ],
)
def test_headers_that_are_refused(running: Running, post: MakePost, headers: dict[str, str], code: str) -> None:
    answered = running.score(post(), headers=headers)
    assert answered.code == code
    assert answered.status == {"encoding": 415, "usage": 422}[code]


def test_another_path_and_another_method(running: Running) -> None:
    assert running.request("GET", "/v1/nothing").code == "not_found"
    wrong = running.request("GET", "/v1/score")
    assert (wrong.status, wrong.code, wrong.headers["allow"]) == (405, "method", "POST")


def test_the_program_s_version_is_the_installed_one(running: Running) -> None:
    assert running.request("GET", "/openapi.json").json["info"]["version"] == __version__
