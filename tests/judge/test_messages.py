"""What is sent by prompt 2: reasons before the answer, examples, ingredients; prompt 1 sends what it ever did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tests.judge.chat_server import Said, chat_server
from tests.judge.test_endpoint import HOSTILE

from polyvigil.config.judge import ChatSpec
from polyvigil.errors import BundleError, RecipeError
from polyvigil.judge.client import Reply, read_last_answer, read_prompt
from polyvigil.judge.endpoint import EndpointPermission, answers_path, load_endpoint, open_endpoint
from polyvigil.judge.examples import Example
from polyvigil.judge.masking import masked
from polyvigil.judge.messages import DRUGS_FILE, EXAMPLES_FILE, NO_CONTEXT, Context, MessageWriter, medicine_notes
from polyvigil.text.mentions import Term, lexicon
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Post
from polyvigil.workflows.judge import chat_toml

CONTEXT = Context(
    (
        Example(post="the pills gave me a rash", ade=1, language="en", hash="0" * 16),
        Example(post="nice weather", ade=0, language="en", hash="1" * 16),
    ),
    (Term("Lipitor", "drug", "atorvastatin"), Term("atorvastatin", "drug", "")),
)


@pytest.fixture(autouse=True)
def _own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _spec(**more: object) -> ChatSpec:
    settings = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "prompt": "2", "wait": 0.01, "concurrency": 1}
    return ChatSpec.model_validate(settings | more)


def _post(text: str, **more: str) -> Post:
    return Post("p", text, "en", **more)  # type: ignore[arg-type]


def test_a_request_of_prompt_1_has_the_bytes_it_ever_had() -> None:
    with chat_server(lambda *_: Said()) as server:
        spec = _spec(base_url=server.url, prompt="1")
        open_endpoint(spec, permission=EndpointPermission()).request([_post("Lipitor: «rash» @anna")])
        assert spec.answer_tokens == 64
    system = json.dumps(read_prompt("1").text)
    expected = (
        '{"model": "m", "messages": [{"role": "system", "content": '
        + system
        + '}, {"role": "user", "content": "{\\"post\\": \\"Lipitor: \\u00abrash\\u00bb [USER]\\"}"}], '
        '"temperature": 0, "seed": 42, "max_tokens": 64, "response_format": {"type": "json_object"}}'
    )
    assert server.bodies == [expected.encode()]
    assert json.loads(answers_path().read_text())["key"] == "2707e5781e96c77da209c74db57538ef", (
        "paid answers stay known"
    )


def test_prompt_2_is_pinned() -> None:
    """A prompt never changes: bundles name it. A new wording is a new file."""
    assert read_prompt("2").sha256 == "1faccaad50faf4fed89a167ba218ae0e0a9592a651e8c6e6f3add5b035fbab03"


def test_settings_of_examples_are_those_of_prompt_2() -> None:
    assert _spec().answer_tokens == 256
    assert _spec(answer_tokens=900).answer_tokens == 900
    assert "examples = 4" in chat_toml(_spec())
    assert "example" not in chat_toml(_spec(prompt="1"))
    assert ChatSpec.model_validate(_spec(prompt="1").model_dump()) == _spec(prompt="1")
    assert ChatSpec.model_validate_json(_spec(examples=8).model_dump_json()) == _spec(examples=8)
    for name in ("examples", "example_characters", "kept_examples"):
        with pytest.raises(ValidationError, match=f'{name} changes nothing with prompt = "1"; set prompt = "2"'):
            _spec(**{"prompt": "1", name: 100 if name != "examples" else 4})
    with pytest.raises(ValidationError, match="multiple of 2"):
        _spec(examples=3)
    with pytest.raises(RecipeError, match="its prompt 1 knows no examples and no ingredients") as caught:
        open_endpoint(_spec(prompt="1"), permission=None, context=CONTEXT)
    assert caught.value.hint == 'write prompt = "2" into it'


def test_a_reason_before_the_answer_is_passed_over_and_kept_nowhere() -> None:
    answer = 'The author took it and had a {rash}, {"ade": 1} says the post.\n\n```json\n{"ade": 0.75}\n```'
    with chat_server(lambda *_: Said(answer)) as server:
        endpoint = open_endpoint(_spec(base_url=server.url), permission=EndpointPermission())
        assert endpoint.request([_post("rash")]).probabilities.tolist() == [0.75]
    body = server.requests[0]
    assert "response_format" not in body, "an endpoint held to JSON would leave the sentence out"
    assert (body["max_tokens"], body["messages"][0]["content"]) == (256, read_prompt("2").text)
    assert json.loads(body["messages"][1]["content"]) == {"post": "rash"}
    assert "author" not in answers_path().read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('{"ade": 0.25}', 0.25),
        ('reason\n{"ade": 0.25}\n', 0.25),
        ('reason {"ade": 1} reason {"ade": 0}', 0.0),
        ('reason\n```json\n{"ade": 0.25}\n```\n', 0.25),
        ('{"ade": 0.25} because', None),
        ('reason {"ade": 1.5}', None),
        ('reason {"ade": NaN}', None),
        ('reason {"ade": true}', None),
        ('reason {"ade": "0.9"}', None),
        ('reason {"ade": 0.9, "ade": 0.1}', None),
        ('reason {"ade": 0.9, "why": 1}', None),
        ('reason {"answer": {"ade": 0.9}}', None),
        ('[{"ade": 0.9}]', None),
        ('reason {"ade": 0.', None),
        ("reason", None),
        ("{" * 50_000, None),
        (None, None),
        ({"ade": 0.9}, None),
    ],
)
def test_the_last_object_is_the_answer_or_nothing_is(content: object, value: float | None) -> None:
    assert read_last_answer(Reply(content, 0, 0)) == value
    assert read_last_answer(Reply(content, 0, 0, truncated=True)) is None


def test_an_answer_that_was_ended_says_what_to_set() -> None:
    with chat_server(lambda *_: Said('It says {"ade": 1}', finish="length")) as server:
        endpoint = open_endpoint(_spec(base_url=server.url), permission=EndpointPermission())
        result = endpoint.request([_post("rash")])
    assert np.isnan(result.probabilities).all()
    assert result.usage is not None
    assert result.usage.reasons == ("an answer that ends after answer_tokens = 256; set it higher",)


def test_examples_and_ingredients_go_along_and_answers_are_kept_by_all_of_it() -> None:
    with chat_server(lambda *_: Said('why\n{"ade": 0.5}')) as server:
        spec = _spec(base_url=server.url)
        for context in (CONTEXT, CONTEXT, Context(CONTEXT.examples), NO_CONTEXT):
            endpoint = open_endpoint(spec, permission=EndpointPermission(), context=context)
            assert (
                endpoint.request([_post("LIPITOR hurts"), _post("LIPITOR hurts")]).probabilities.tolist() == [0.5] * 2
            )
    examples = [{"post": "nice weather", "ade": 0}, {"post": "the pills gave me a rash", "ade": 1}]
    sent = [json.loads(body["messages"][1]["content"]) for body in server.requests]
    assert sent == [
        {"examples": examples, "medicines": ["LIPITOR (atorvastatin)"], "post": "LIPITOR hurts"},
        {"examples": examples, "post": "LIPITOR hurts"},
        {"post": "LIPITOR hurts"},
    ], "with the same context the answer is on disk, with another it is not"


def test_hostile_texts_stay_inside_their_strings() -> None:
    spec = _spec()
    examples = tuple(
        Example(
            post=masked(text, most_characters=500, normalisation=NORMALISATION),
            ade=index % 2,
            language="en",
            hash=f"{index:016x}",
        )
        for index, text in enumerate(HOSTILE)
    )
    drugs = (Term("free", "drug", '"}], "post": "x"'),)
    message = MessageWriter(spec, NORMALISATION, Context(examples, drugs)).messages([_post(HOSTILE[0])])[0]
    fields = json.loads(message.text)
    assert list(fields) == ["examples", "medicines", "post"]
    assert fields["medicines"] == ['free ("}], "post": "x")']
    assert {entry["post"] for entry in fields["examples"]} <= {example.post for example in examples}
    assert fields["post"] not in {entry["post"] for entry in fields["examples"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lipitor, then lipitor and LIPITOR", ["Lipitor (atorvastatin)"]),
        ("Lipitorix, xLipitor, atorvastatin", []),
        ("Tylenol PM and Tylenol", ["Tylenol (paracetamol)"]),
        ("Tylenol Cold now", ["Tylenol Cold (paracetamol, phenylephrine)"]),
        ("ロキソニンＳ飲んだ、ﾛｷｿﾆﾝ", ["ロキソニン (loxoprofen)"]),
        ("昨天吃了立普妥头痛", ["立普妥 (atorvastatin)"]),
        ("لیپیتور خوردم، ليپيتور", ["لیپیتور (آتورواستاتین)"]),
        ("نو\u200cروفن بود", ["نو\u200cروفن (ایبوپروفن)"]),
        ("ЛИПРИМАР и липримара", ["ЛИПРИМАР (аторвастатин)"]),
    ],
)
def test_names_are_found_in_all_scripts(text: str, expected: list[str]) -> None:
    terms = [
        ("Lipitor", "atorvastatin"), ("Tylenol", "paracetamol"), ("Tylenol PM", ""),
        ("Tylenol Cold", "paracetamol, phenylephrine"), ("ロキソニン", "loxoprofen"), ("立普妥", "atorvastatin"),
        ("لیپیتور", "آتورواستاتین"), ("نوروفن", "ایبوپروفن"), ("Липримар", "аторвастатин"),
        ("Atorvastatin", "atorvastatin"),
    ]  # fmt: skip
    drugs = lexicon(Term(name, "drug", ingredient) for name, ingredient in terms)
    assert medicine_notes(text, drugs) == expected


def test_at_most_twenty_names_are_said() -> None:
    drugs = lexicon(Term(f"drug{i}", "drug", f"x{i}") for i in range(30))
    assert len(medicine_notes(" ".join(f"drug{i}" for i in range(30)), drugs)) == 20


def test_a_context_is_read_back_and_a_damaged_one_refused_without_its_text(tmp_path: Path) -> None:
    hostile = Example(
        post=json.dumps(HOSTILE[1]) + "\u2028\x85", ade=1, language="en", hash="2" * 16, groups=("3" * 16,)
    )
    context = Context((*CONTEXT.examples, hostile), CONTEXT.drugs)
    open_endpoint(_spec(), permission=None, context=context).save(tmp_path)
    assert load_endpoint(tmp_path).context == context
    assert "rash" not in repr(load_endpoint(tmp_path))
    lines = (tmp_path / EXAMPLES_FILE).read_text(encoding="utf-8").split("\n")
    for wrong in ('{"post": "the secret rash", "ade": 2}', "{", "", lines[1].replace('"ade": 0', '"ade": 7')):
        (tmp_path / EXAMPLES_FILE).write_text("\n".join([lines[0], wrong, *lines[2:]]), encoding="utf-8")
        with pytest.raises(BundleError, match=r"not a readable chat judge: examples\.jsonl, line 2 \(\w+\)") as caught:
            load_endpoint(tmp_path)
        assert "rash" not in f"{caught.value}{caught.value.__cause__}{caught.value.__suppress_context__}"
    (tmp_path / EXAMPLES_FILE).unlink()
    (tmp_path / DRUGS_FILE).write_bytes(b"\xff\n")
    with pytest.raises(BundleError, match=r"not a readable chat judge: drugs\.jsonl, line 1"):
        load_endpoint(tmp_path)
    (tmp_path / DRUGS_FILE).unlink()
    assert load_endpoint(tmp_path).context == NO_CONTEXT
