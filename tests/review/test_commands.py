"""``polyvigil review``: the commands on a file, their errors, and that none of them says anything of a post."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.review.scored import scored_rows, write_scored
from tests.review.small import key

from polyvigil.cli import main as program
from polyvigil.review.store import open_store

Ran = Callable[..., tuple[int, str, str]]
CANARY = "zebrafinch"


@pytest.fixture
def ran(capfd: pytest.CaptureFixture[str]) -> Ran:
    """Runs the program in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = program.run([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def review(tmp_path: Path) -> Path:
    """A store with 60 posts, some flagged, by the program itself."""
    path = tmp_path / "review.db"
    scored = write_scored(tmp_path / "scored.csv", scored_rows(60, flagged=0.3, text=f"my {CANARY} sang"))
    rows = list(scored_rows(60, flagged=0.3))
    write_scored(scored, [row | {"text": f"{row['text']}, my {CANARY} sang"} for row in rows])
    assert program.run(["review", "add", str(path), str(scored), "--audit", "12", "-q"]) == 0
    return path


def test_adding_says_what_is_to_be_read(ran: Ran, tmp_path: Path) -> None:
    scored = write_scored(tmp_path / "scored.csv", scored_rows(60, flagged=0.3))
    code, stdout, _ = ran("review", "add", tmp_path / "review.db", scored, "--audit", 12, "--json")
    document = json.loads(stdout)
    (file,) = document["data"]["files"]
    assert (code, document["ok"], file["posts"], file["audit"]) == (0, True, 60, 12)
    code, stdout, _ = ran("review", "add", tmp_path / "review.db", scored)
    assert (code, stdout.strip().endswith("was there already")) == (0, True)


def test_rows_set_aside_end_with_5_where_that_is_said(ran: Ran, tmp_path: Path) -> None:
    rows = [*scored_rows(5), *scored_rows(1, seed=1, p=3)]
    scored = write_scored(tmp_path / "scored.csv", rows)
    assert ran("review", "add", tmp_path / "a.db", scored)[0] == 0
    assert ran("review", "add", tmp_path / "b.db", scored, "--fail-on-quarantine")[0] == 5
    code, _, stderr = ran("review", "add", tmp_path / "c.db", scored, "--on-error", "fail")
    assert (code, "scored.csv:7" in stderr) == (2, True)


def test_a_person_gets_a_link_once(ran: Ran, review: Path) -> None:
    code, stdout, stderr = ran("review", "person", review, "ana", "--role", "lead")
    secret = stdout.strip()
    assert (code, len(secret), "shown this once" in stderr) == (0, 43, True)
    with open_store(review) as store:
        assert store.sign_in(secret).person.name == "ana"
    assert json.loads(ran("review", "person", review, "--json")[1])["data"]["people"] == [
        {"id": 1, "name": "ana", "role": "lead", "revoked_at": None}
    ]
    assert ran("review", "person", review, "ana", "--revoke")[0] == 0
    assert "(revoked)" in ran("review", "person", review)[1]
    assert ran("review", "person", review, "bo", "--revoke")[0] == 2
    assert ran("review", "person", review, "--revoke")[0] == 2
    assert ran("review", "person", review, "bo", "--role", "boss")[0] == 2


def test_a_link_may_go_to_a_file_of_its_own(ran: Ran, review: Path, tmp_path: Path) -> None:
    target = tmp_path / "link"
    code, stdout, _ = ran("review", "person", review, "ana", "--link-file", target)
    secret = target.read_text(encoding="utf-8").strip()
    assert (code, target.stat().st_mode & 0o777, secret in stdout) == (0, 0o600, False)
    before = json.loads(ran("review", "verify", review, "--json")[1])["data"]["head"]
    assert ran("review", "person", review, "ana", "--link-file", target)[0] == 2
    assert json.loads(ran("review", "verify", review, "--json")[1])["data"]["head"] == before  # no link was renewed


def test_verifying_ends_with_3_at_a_break(ran: Ran, review: Path) -> None:
    code, stdout, _ = ran("review", "verify", review, "--json")
    data = json.loads(stdout)["data"]
    assert (code, data["n_breaks"]) == (0, 0)
    assert ran("review", "verify", review, "--head", data["head"])[0] == 0
    code, stdout, _ = ran("review", "verify", review, "--head", "0" * 63 + "1")
    assert (code, "expected head" in stdout) == (3, True)
    assert ran("review", "verify", review, "--head", "abc")[0] == 2


def test_errors_end_with_the_code_of_their_kind(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"no database at all, " * 60)
    for arguments, code in (
        (["verify", tmp_path / "none.db"], 4),
        (["verify", tmp_path / "no.db"], 4),
        (["verify", "postgresql://nobody@127.0.0.1:1/x"], 1),
        (["verify", "postgresql://a:secret@h/x"], 2),
        (["add", tmp_path / "x.db", tmp_path / "none.csv"], 2),
        (["add", tmp_path / "x.db", tmp_path / "none.csv", "--double", "2"], 2),
        (["add", tmp_path / "x.db", tmp_path / "none.csv", "--labels-from", "y.csv"], 2),
    ):
        done, stdout, stderr = ran("review", *arguments)
        assert (done, stdout) == (code, ""), arguments
        assert "next:" in stderr or code == 2
        assert "secret" not in stderr
        document = json.loads(ran("review", *arguments, "--json")[1])
        assert document["ok"] is False


def read_some(review: Path, n: int) -> None:
    """One person reads ``n`` posts, with a note each that says the canary."""
    with open_store(review) as store:
        person, _ = store.add_person("ana")
        for card in store.lease_next(person.id, n=n):
            store.decide(person.id, card.task, "ade", key=key(), seconds=4.0)
            store.note(person.id, card.task, f"the {CANARY} again", key=key())


def test_the_way_out_and_back(ran: Ran, review: Path, tmp_path: Path) -> None:
    read_some(review, 30)
    code, stdout, _ = ran("review", "export", review, "-o", tmp_path / "out.csv", "--json")
    data = json.loads(stdout)["data"]
    assert (code, data["masked"]) == (0, True)
    assert ran("review", "verify", review, "--head", data["head"])[0] == 0
    assert ran("review", "export", review, "-o", tmp_path / "out.csv")[0] == 2
    assert ran("review", "export", review, "-o", tmp_path / "out.csv", "--replace", "--raw")[0] == 0
    assert ran("review", "export", review, "-o", tmp_path / "x.csv", "--labels", "some")[0] == 2
    assert ran("review", "export", review, "-o", tmp_path / "x.csv", "--raw", "--drop-text")[0] == 2
    code, _, stderr = ran("review", "export", review, "-o", tmp_path / "x.csv", "--drop-text")
    assert (code, "texts are left out" in stderr) == (0, True)
    assert "text" not in (tmp_path / "x.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
    ran("review", "person", review, "bo")
    again = ["--labels-from", tmp_path / "out.csv", "--labels-by", "bo"]
    code, stdout, _ = ran("review", "add", review, tmp_path / "scored.csv", *again)
    assert (code, "decisions of" in stdout) == (0, True)


def test_metrics_say_why_recall_is_not_estimated(ran: Ran, review: Path, tmp_path: Path) -> None:
    read_some(review, 4)
    code, stdout, _ = ran("review", "metrics", review, "-o", tmp_path / "metrics.json")
    assert (code, "still to be read" in stdout, "precision" in stdout) == (0, True, True)
    data = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert data == json.loads(ran("review", "metrics", review, "--json")[1])["data"]
    assert {one["name"] for one in data["languages"]} == {"all", "de", "en", "ja"}


def test_metrics_as_a_page(ran: Ran, review: Path, tmp_path: Path) -> None:
    """Whole without a script or a request, without a text or a name, and with the values that the table has."""
    read_some(review, 30)
    page = tmp_path / "metrics.html"
    code, stdout, _ = ran("review", "metrics", review, "-o", page, "--looks", 4)
    assert code == 0
    html = page.read_text(encoding="utf-8")
    for absent in ("<script", "<link", "src=", "http:", CANARY, "ana"):
        assert absent not in html.replace("Content-Security", "").replace("language", "").replace("analys", ""), absent
    assert "looked at 4 times" in html
    row = next(line for line in stdout.splitlines() if line.strip().startswith("all"))
    for cell in row.split()[1:5]:
        assert f">{cell}<" in html
    assert f"head {re.search('[0-9a-f]{64}', html)[0]}" in stdout  # type: ignore[index]
    assert ran("review", "metrics", review, "-o", page)[0] == 2
    assert ran("review", "metrics", review, "-o", page, "--replace")[0] == 0
    page.write_text("<p>somebody's", encoding="utf-8")
    assert ran("review", "metrics", review, "-o", page, "--replace")[0] == 2


def test_more_posts_are_chosen(ran: Ran, review: Path) -> None:
    code, stdout, _ = ran("review", "sample", review, "--audit", 6, "--learn", 3, "--json")
    data = json.loads(stdout)["data"]
    assert (code, data["learn"], 0 <= data["audit"] <= 6) == (0, 3, True)
    assert ran("review", "sample", review)[0] == 2


def test_a_copy_and_a_purge(ran: Ran, review: Path, tmp_path: Path) -> None:
    code, stdout, _ = ran("review", "copy", review, tmp_path / "copy.db", "--json")
    assert (code, json.loads(stdout)["data"]["rows"]["post"]) == (0, 60)
    assert ran("review", "copy", review, tmp_path / "copy.db")[0] == 4
    assert "forgotten" in ran("review", "purge", review, "--older-than", "0d", "--dry-run")[1]
    assert CANARY.encode() in review.read_bytes()
    assert ran("review", "purge", review, "--older-than", "0d")[0] == 0
    assert CANARY.encode() not in review.read_bytes()
    assert ran("review", "verify", review)[0] == 0
    assert ran("review", "purge", review, "--older-than", "soon")[0] == 2


def test_no_command_says_anything_of_a_post(ran: Ran, review: Path, tmp_path: Path) -> None:
    read_some(review, 5)
    with open_store(review) as store:
        assert not [event for event in store.newest_events(limit=1000) if CANARY in event.body]
    out, copy = tmp_path / "out.csv", tmp_path / "copy.db"
    for arguments in (
        ["verify", review],
        ["person", review],
        ["add", review, tmp_path / "scored.csv"],
        ["export", review, "-o", out, "--raw", "--replace"],
        ["add", review, tmp_path / "scored.csv", "--labels-from", out, "--labels-by", "ana"],
        ["metrics", review],
        ["sample", review, "--learn", "2"],
        ["copy", review, copy],
        ["copy", review, copy],
    ):
        for extra in ([], ["--json"], ["--debug"]):
            _, stdout, stderr = ran("review", *arguments, *extra)
            assert CANARY not in stdout + stderr
