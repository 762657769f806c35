"""The pages over HTTP: who may do what, what is refused and how, and what a response never holds."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.review.pages.conftest import Client, Served, served
from tests.review.pages.reading import fill_posts

from polyvigil.errors import StoreAwayError
from polyvigil.review.pages.templates import SCRIPT, STATIC
from polyvigil.review.schema import event, session
from polyvigil.review.store import Store

Make = Callable[..., Served]
PAGES = ("/", "/post", "/history", "/conflicts", "/audit", "/metrics", "/log", "/verify", "/policy")
LEAD_ONLY = {"/conflicts"}
READING = {"/metrics", "/metrics.json", "/log", "/verify", "/log.json"}
DECIDING = {"/post", "/history", "/next"}


def _fill(store: Store) -> None:
    fill_posts(store, n=16, blind=(2,), double=(3,), audit=(4,))


@pytest.fixture
def place(make_served: Make) -> Served:
    return make_served(_fill)


def _events(store: Store, kind: str) -> int:
    with store.read() as connection:
        query = sa.select(sa.func.count()).select_from(event).where(event.c.kind == kind)
        return connection.execute(query).scalar_one()


@pytest.mark.parametrize("role", ["reviewer", "lead", "auditor"])
def test_each_role_sees_its_pages(place: Served, role: str) -> None:
    client = place.client("ana", role)
    for path in (*PAGES, "/metrics.json", "/log.json", "/next"):
        allowed = (
            (path not in LEAD_ONLY or role == "lead")
            and (path not in READING or role != "reviewer")
            and (path not in DECIDING or role != "auditor")
        )
        assert client.get(path).status == (200 if allowed else 403), path
    for path in ("/decide", "/undo", "/later", "/note", "/language", "/adjudicate", "/policy"):
        if role == "auditor" or (role == "reviewer" and path in ("/adjudicate", "/policy")):
            answer = client.json(path, task=1, verdict="ade", key="k", text="t", to="de", reason="r", policy="p")
            assert (answer.status, answer.code) == (403, "role"), path


def test_nobody_sees_anything_without_a_session(place: Served) -> None:
    nobody = place.client()
    for path in PAGES:
        answer = nobody.get(path)
        assert (answer.status, answer.headers["location"], answer.body) == (303, "/sign-in", "")
    assert nobody.json("/decide", task=1, verdict="ade", key="k").code == "signed_out"
    assert nobody.get("/next", Accept="application/json").status == 401
    assert "Sign in" in nobody.form("/decide", task=1, verdict="ade", key="k").body
    assert nobody.get("/livez").status == nobody.get("/readyz").status == 200


def test_every_response_has_the_security_headers(place: Served) -> None:
    lead = place.client("lee", "lead")
    for path in (*PAGES, "/sign-in", "/livez", "/nothing", SCRIPT[0]):
        headers = lead.get(path).headers
        policy = headers["content-security-policy"]
        assert policy == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == ("public, max-age=31536000, immutable" if path in STATIC else "no-store")


def test_the_static_files_are_small_and_nothing_is_inline(place: Served) -> None:
    assert sum(len(content) for content, _ in STATIC.values()) <= 30 * 1024
    assert SCRIPT[1].count(b"\n") <= 300
    lead = place.client("lee", "lead")
    for path in PAGES:
        body = lead.get(path).body
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:|https?://", body), path
        for attributes in re.findall(r"<script([^>]*)>", body):
            assert SCRIPT[0] in attributes or 'type="application/json"' in attributes


def test_a_session_has_a_strict_cookie_that_ends(place: Served) -> None:
    answer = place.client().form("/sign-in", secret=place.link("ana"))
    cookie = answer.headers["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    far = place.client().form("/sign-in", {"Host": "localhost:1"}, secret=place.secrets["ana"])
    assert "Secure" not in far.headers["set-cookie"]
    ana = place.client("ana")
    assert ana.form("/sign-out").status == 303
    assert ana.get("/").status == 303
    ana = place.client("ana")
    place.store.revoke("ana")
    assert ana.json("/decide", task=1, verdict="ade", key="k").code == "signed_out"


def test_off_this_computer_the_cookie_is_secure(make_served: Make) -> None:
    place = make_served(_fill, allow_hosts=("review.example.org",))
    answer = place.client().form("/sign-in", {"Host": "review.example.org"}, secret=place.link("ana"))
    assert "; Secure" in answer.headers["set-cookie"]


def test_a_wrong_link_is_refused_and_ten_slow_down(place: Served) -> None:
    nobody = place.client()
    assert [nobody.form("/sign-in", secret=f"wrong-{n}").status for n in range(10)] == [403] * 10
    assert nobody.form("/sign-in", secret="wrong").status == 429
    assert nobody.form("/sign-in", secret=place.link("ana")).status == 429


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "null"}, 200),
        ({"X-CSRF": "wrong"}, 403),
        ({"X-CSRF": ""}, 403),
        ({"X-CSRF": "\u00fc"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Content-Encoding": "gzip"}, 415),
    ],
)
def test_requests_of_others_are_refused(place: Served, headers: dict[str, str], status: int) -> None:
    answer = place.client("ana").json("/decide", headers, task=1, verdict="ade", key="k-1")
    assert answer.status == status, answer
    assert _events(place.store, "decide") == (status == 200)


def test_a_form_without_its_token_is_refused(place: Served) -> None:
    ana = place.client("ana")
    assert ana.form("/decide", task=1, verdict="ade", key="k-1", csrf="").status == 403
    assert _events(place.store, "decide") == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "usage"),
        (b"[]", "usage"),
        (b"\xff", "usage"),
        (b"[" * 50_000, "usage"),
        (b"{}", "usage"),
        (b'{"task": "x", "verdict": "ade", "key": "k"}', "usage"),
        (b'{"task": 1.5, "verdict": "ade", "key": "k"}', "usage"),
        (b'{"task": true, "verdict": "ade", "key": "k"}', "usage"),
        (b'{"task": 1, "verdict": 3, "key": "k"}', "usage"),
        (b'{"task": 1, "verdict": "maybe", "key": "k"}', "usage"),
        (b'{"task": 1, "verdict": "ade", "key": ""}', "usage"),
        (b'{"task": 1, "verdict": "ade", "key": "k", "criteria": [9]}', "usage"),
        (b'{"task": 1, "verdict": "ade", "key": "k", "criteria": "1"}', "usage"),
        (b'{"task": 1, "verdict": "ade", "key": "k", "seconds": "x"}', "usage"),
        (b'{"task": 1, "verdict": "ade", "key": "k", "showing": ["x"]}', "usage"),
        (b'{"task": 1, "verdict": "ade", "key": "k", "n": -1}', "usage"),
        (b'{"task": 999, "verdict": "ade", "key": "k"}', "no_task"),
        (b" " * 70_000, "too_large"),
    ],
)
def test_a_wrong_body_writes_nothing(place: Served, body: bytes, code: str) -> None:
    ana = place.client("ana")
    headers = {"Content-Type": "application/json", "X-CSRF": ana.csrf}
    answer = ana.send("POST", "/decide", body, headers)
    assert (answer.code, _events(place.store, "decide")) == (code, 0)
    assert answer.status == {"usage": 422, "no_task": 404, "too_large": 413}[code]


def test_paths_and_methods_that_are_none(place: Served) -> None:
    ana = place.client("ana")
    assert ana.get("/nothing").status == 404
    assert ana.get("/post/x").status == 404
    assert ana.get("/post/999").status == 404
    wrong = ana.get("/decide")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert ana.send("PUT", "/policy").headers["allow"] == "GET, POST"
    assert ana.send("HEAD", "/").body == ""


def test_deciding_gives_the_next_and_a_resent_key_is_one_event(place: Served) -> None:
    ana = place.client("ana")
    ana.get("/post")
    request: dict[str, Any] = {"task": 1, "verdict": "ade", "key": "k-1", "criteria": [1, 3], "serious": True}
    first = ana.json("/decide", **request, seconds=2.5, showing=[2, 3, 4], n=2)
    data = first.json["data"]
    assert [card["task"] for card in data["next"]] == [5, 6]
    again = ana.json("/decide", **request)
    assert again.json["data"]["again"] is True
    assert again.json["data"]["seq"] == data["seq"]
    assert _events(place.store, "decide") == 1
    body = json.loads(place.store.newest_events(kind="decide")[0].body)
    assert (body["criteria"], body["serious"], body["seconds"]) == ([1, 3], True, "2.5")
    assert place.client("bo").json("/decide", **request | {"key": "k-2"}).code == "decided"
    assert ana.json("/decide", **request | {"key": "k-3"}).status == 409


def test_a_post_on_another_screen_is_not_given_nor_taken(place: Served) -> None:
    ana, bo = place.client("ana"), place.client("bo")
    cards = _cards(ana.get("/post"))
    assert [card["task"] for card in cards] == [1, 2, 3, 4]
    assert [card["task"] for card in _cards(bo.get("/post"))] == [5, 6, 7, 8]
    assert bo.json("/decide", task=1, verdict="ade", key="k").code == "not_yours"
    assert bo.get("/post/2").status == 409


def _cards(answer: Any) -> list[dict[str, Any]]:
    found = re.search(r'id="cards">(.*?)</script>', answer.body, re.DOTALL)
    assert found
    cards: list[dict[str, Any]] = json.loads(found[1])
    return cards


def test_a_blind_card_holds_no_score_anywhere_until_it_is_decided(place: Served) -> None:
    ana = place.client("ana")
    page = ana.get("/post/2")
    blind = next(card for card in _cards(page) if card["task"] == 2)
    assert blind["mode"] == "blind"
    assert blind["score"] is None
    assert not any(marked for *_, marked in blind["parts"])
    shown = re.sub(r'<script type="application/json".*?</script>', "", page.body, flags=re.DOTALL)
    assert "P 0." not in shown
    assert "<mark" not in shown
    assert "queue" not in json.dumps(blind)
    listed = next(one for one in re.findall(r"<li>.*?</li>", ana.get("/").body, re.DOTALL) if "/post/2" in one)
    assert "P 0." not in listed
    assert "<svg" not in listed
    answer = ana.json("/decide", task=2, verdict="not", key="k").json["data"]
    assert answer["revealed"]["score"]["words"].startswith("P 0.")
    assert ana.json("/undo", key="u").json["data"]["card"]["score"] is None


def test_the_log_tells_a_second_reviewer_no_verdict_and_nobody_a_score(place: Served) -> None:
    place.client("ana").json("/decide", task=3, verdict="ade", key="k")
    lead, auditor = place.client("lee", "lead"), place.client("udo", "auditor")
    assert "verdict ade" not in lead.get("/log").body
    assert "verdict ade" in auditor.get("/log").body
    assert "threshold" not in auditor.get("/log").body
    place.client("bo").json("/decide", task=3, verdict="ade", key="k-2")
    assert lead.get("/log?kind=decide&task=3").body.count("verdict ade") == 2


def test_forms_do_all_that_the_script_does(place: Served) -> None:
    ana = place.client("ana")
    answer = ana.form("/decide", task=2, verdict="ade", key="f-1", criteria=["1", "4"], serious="1")
    assert (answer.status, answer.headers["location"]) == (303, "/post?saved=3&last=2")
    shown = ana.get(answer.headers["location"])
    assert "Saved: event 3." in shown.body
    assert "which you decided blind" in shown.body
    body = json.loads(place.store.newest_events(kind="decide")[0].body)
    assert (body["criteria"], body["serious"]) == ([1, 4], True)
    assert ana.form("/undo", key="f-2").headers["location"] == "/post/2?undone=4"
    assert ana.form("/later", task=2, key="f-3").headers["location"] == "/post?saved=5"
    assert ana.form("/note?language=en", task=1, text="see", key="f-4").headers["location"] == (
        "/post/1?language=en&saved=6"
    )
    assert ana.form("/language", task=1, to="fr", key="f-5").status == 303
    assert ana.form("/language", task=1, to="no code", key="f-6").status == 422
    place.client("bo").form("/decide", task=12, verdict="ade", key="f-7")
    late = ana.form("/decide", task=12, verdict="ade", key="f-8")
    assert "Another person decided" in ana.get(late.headers["location"]).body


def test_a_conflict_goes_to_the_lead_without_names(place: Served) -> None:
    place.client("ana").json("/decide", task=3, verdict="ade", key="k-1", criteria=[3])
    place.client("bo").json("/decide", task=3, verdict="not", key="k-2")
    lead = place.client("lee", "lead")
    body = lead.get("/conflicts").body
    assert "ana" not in body.partition("<main")[2]
    assert "names: drug" in body
    assert lead.form("/adjudicate", task=3, verdict="ade", reason=" ", key="k-3").status == 422
    assert lead.form("/adjudicate", task=3, verdict="ade", reason="a rash", key="k-4").headers["location"] == (
        "/conflicts?saved=7"
    )
    assert "No conflict waits" in lead.get("/conflicts").body
    assert lead.form("/adjudicate", task=3, verdict="not", reason="no", key="k-5").headers["location"] == (
        "/conflicts?notice=decided"
    )


def test_the_policy_is_shown_and_set(place: Served) -> None:
    lead, ana = place.client("lee", "lead"), place.client("ana")
    assert "withdrawal" in ana.get("/policy").body
    markdown = "# Ours\n\n<script>alert(1)</script> ![x](http://h/x.png) [go](javascript:alert(1)) **bold**"
    assert lead.form("/policy", policy=markdown, key="p-1").status == 303
    body = ana.get("/policy").body
    assert "<h3>Ours</h3>" in body
    assert "<strong>bold</strong>" in body
    assert "<script>alert" not in body
    assert "<img" not in body
    assert 'href="javascript' not in body
    assert "Ours" in ana.get("/post").body
    lead.form("/policy", policy="x" * 10_000, key="p-2")
    assert "a page of its own" in ana.get("/post").body


def test_verify_and_the_log_as_json(place: Served) -> None:
    place.client("ana").json("/decide", task=1, verdict="ade", key="k")
    auditor = place.client("udo", "auditor")
    document = auditor.get("/verify", Accept="application/json").json["data"]
    head = place.store.head()
    assert (document["n_breaks"], document["head"]) == (0, head.hash)
    assert "The log is whole" in auditor.get(f"/verify?head={head.hash}").body
    events = auditor.get("/log.json?after=1").json["data"]
    assert events["head"] == {"seq": head.seq, "hash": head.hash}
    assert [one["seq"] for one in events["events"]] == list(range(2, head.seq + 1))
    with place.store.database.write() as connection:
        connection.execute(sa.text("UPDATE decision SET verdict = 'not'"))
    assert "1 break" in auditor.get("/verify").body


def test_the_metrics_are_those_of_the_store_and_stay_for_a_day(place: Served) -> None:
    from polyvigil.review.measuring import measure

    ana, auditor = place.client("ana"), place.client("udo", "auditor")
    for number in (1, 5, 6):
        ana.json("/decide", task=number, verdict="ade" if number < 6 else "not", key=f"k-{number}")
    document = auditor.get("/metrics.json").json["data"]
    expected = measure(place.store, looks=1).model_dump(mode="json")
    assert document == expected | {"looks": 1}
    body = auditor.get("/metrics").body
    assert "0.67" in body
    assert "flagged posts are still to be read" in body
    ana.json("/decide", task=7, verdict="not", key="k-7")
    assert auditor.get("/metrics.json").json["data"] == document
    now = place.store.clock()
    place.store.clock = lambda: now + 86_400
    assert auditor.get("/metrics").status == 303  # eight idle hours ended the session
    later = place.client("udo", "auditor").get("/metrics.json").json["data"]
    assert later["reading"]["decisions"] == document["reading"]["decisions"] + 1


def test_filters_choose_what_is_read(place: Served) -> None:
    ana = place.client("ana")
    assert {card["language"] for card in _cards(ana.get("/post?language=de"))} == {"de"}
    assert "No post waits for you among these" in ana.get("/?type=tweet").body
    assert ana.get("/?batch=x").status == 422
    assert 'href="/post?language=de"' in ana.get("/?language=de").body
    answer = ana.json("/decide?language=de", task=2, verdict="ade", key="k", n=4)
    assert {card["language"] for card in answer.json["data"]["next"]} == {"de"}


def test_posts_without_text_point_to_their_source(make_served: Make) -> None:
    def fill(store: Store) -> None:
        _fill(store)
        store.write(lambda connection: connection.execute(sa.text("UPDATE post SET text = NULL")))

    page = make_served(fill).client("ana").get("/post")
    assert "keeps no text" in page.body
    assert _cards(page)[0]["parts"] is None


def test_a_proxy_on_this_computer_names_the_person(make_served: Make) -> None:
    place = make_served(_fill, proxy_user="X-Remote-User")
    place.link("ana")
    client = place.client()
    answer = client.get("/", X_Remote_User="ana")
    assert "ana, reviewer" in answer.body
    client.cookie = answer.headers["set-cookie"].partition(";")[0]
    kept = client.get("/", X_Remote_User="ana")
    assert "set-cookie" not in kept.headers
    assert client.get("/", X_Remote_User="eve").status == 403
    fresh = Client(place.port)
    assert fresh.json("/decide", {"X-Remote-User": "ana"}, task=1, verdict="ade", key="k").code == "csrf"
    without = make_served(_fill)
    assert without.client().get("/", X_Remote_User="ana").status == 303


def test_while_it_stops_nothing_is_taken_and_nothing_acknowledged(place: Served) -> None:
    ana = place.client("ana")
    place.app.begin_draining()
    answer = ana.json("/decide", task=1, verdict="ade", key="k")
    assert (answer.status, answer.code) == (503, "draining")
    assert ana.get("/readyz").status == 503
    assert ana.get("/livez").status == 200
    assert _events(place.store, "decide") == 0


def test_a_store_that_is_away_acknowledges_nothing(place: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = place.client("ana")

    def away(_: object) -> None:
        raise StoreAwayError("the disk is full; nothing was written", where="/secret/review.db")

    monkeypatch.setattr(place.store, "write", away)
    answer = ana.json("/decide", task=1, verdict="ade", key="k")
    assert (answer.status, answer.code) == (503, "store_away")
    assert "/secret" not in answer.body


def test_an_error_of_the_program_says_nothing_of_a_post(
    place: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ana = place.client("ana")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("zebrafinch")

    monkeypatch.setattr(place.store, "waiting", fail)
    monkeypatch.setattr("polyvigil.review.tasks.waiting", fail)
    with caplog.at_level(logging.INFO, logger="polyvigil.review"):
        answer = ana.get("/")
    assert answer.status == 500
    assert "zebrafinch" not in answer.body + caplog.text
    assert "RuntimeError" in caplog.text


def test_a_session_ends_when_it_was_idle(place: Served) -> None:
    ana = place.client("ana")
    place.store.write(lambda connection: connection.execute(sa.update(session).values(until=1.0)))
    assert ana.get("/").status == 303


def test_no_post_is_in_the_log(place: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ana = place.client("ana")
        ana.get("/post?language=zebrafinch")
        ana.json("/decide", task=1, verdict="ade", key="k")
        ana.form("/note", task=2, text="zebrafinch", key="n")
        ana.get("/zebrafinch")
    # pytest gives uvicorn's own log a handler, which it has nowhere else
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("polyvigil")]
    assert any(message.startswith("GET /post 200") for message in logged)
    assert not any("zebrafinch" in message or "sertraline" in message for message in logged)


def test_the_same_store_opens_again(place: Served, tmp_path: Path) -> None:
    with served(place.store) as second:
        assert second.client("ana").get("/post").status == 200
