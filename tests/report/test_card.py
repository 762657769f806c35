"""The model card: the hub reads its metadata, its figures are the evaluation's, no name breaks out of it."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

import langcodes
import pytest

from polyvigil.bundle.layout import CARD, CombinationRecord, FileEntry, decides, is_bundle_file
from polyvigil.bundle.store import Bundle
from polyvigil.detect.base import LanguageCount
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.measure import Measured
from polyvigil.report.card import CardFacts, iso_codes, markdown_text, model_card, yaml_text

LANGUAGE_CODE = re.compile("[a-z]{2,3}")  # ISO 639, as the hub takes them

HOSTILE = (
    "<script>alert(1)</script>",
    "a | b\n---\n# c",
    "`x` [y](http://z) ![i](j)",
    '"\\u0041: - x',
    "\x00\x85\u2028\ud800\u202e",
    "日本語 😀",
)


def _facts(bundle: Bundle, evaluation: Evaluation) -> CardFacts:
    records = [member.fit_record for member in bundle.members]
    counts = (
        LanguageCount(language="de", posts=1482, positives=83),
        LanguageCount(language="en", posts=17128, positives=1200),
    )
    records[0] = records[0].model_copy(update={"counts": counts})
    return CardFacts(evaluation, bundle.policy, bundle.combination_record, bundle.calibration, records)


@pytest.fixture(scope="module")
def facts(report_bundle: Bundle, dev_measured: Measured) -> CardFacts:
    return _facts(report_bundle, dev_measured.evaluation)


@pytest.fixture(scope="module")
def card(report_bundle: Bundle, facts: CardFacts) -> str:
    return model_card(report_bundle.manifest, facts)


def test_the_hub_reads_the_metadata(card: str, report_bundle: Bundle, facts: CardFacts) -> None:
    hub = pytest.importorskip("huggingface_hub", exc_type=ImportError)
    data = hub.ModelCard(card).data
    assert data.license == "unknown"
    assert data.language == ["de", "en", "fr", "ja"]
    assert (data.library_name, data.pipeline_tag) == ("polyvigil", "text-classification")
    assert data.model_name == f"polyvigil-{report_bundle.id}"
    assert all(isinstance(result, hub.EvalResult) for result in data.eval_results)
    told = {(result.dataset_config, result.metric_type): result.metric_value for result in data.eval_results}
    for part in (facts.evaluation.pooled, *facts.evaluation.languages):
        if not part.positives:
            assert (part.name, "f1") not in told
            continue
        assert part.cross_fitted is not None
        assert told[part.name, "f1"] == pytest.approx(part.cross_fitted.f1, abs=1e-6)
        assert told[part.name, "average_precision"] == pytest.approx(part.average_precision, abs=1e-6)
    assert {result.dataset_revision for result in data.eval_results} == {"d1e2" * 8}
    assert set(data.metrics) == {result.metric_type for result in data.eval_results}
    assert all(LANGUAGE_CODE.fullmatch(code) and langcodes.tag_is_valid(code) for code in data.language)
    for result in data.eval_results:  # what the hub needs to show a result: task, data set, metric, a finite value
        assert (result.task_type, result.dataset_type, result.dataset_split) == (
            data.pipeline_tag,
            "private-posts",
            "validation",
        )
        assert result.dataset_name
        assert 0 <= result.metric_value <= 1
    assert len({(r.dataset_config, r.metric_type) for r in data.eval_results}) == len(data.eval_results)
    again = hub.ModelCardData(**{**data.to_dict(), "eval_results": data.eval_results, "model_name": data.model_name})
    assert again.to_dict()["model-index"] == data.to_dict()["model-index"]


def test_the_card_shows_metrics_thresholds_and_data(card: str, report_bundle: Bundle, facts: CardFacts) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line.startswith("|")]
    for part in facts.evaluation.languages:
        crossed, name = part.cross_fitted, markdown_text(part.name)
        assert crossed is not None
        if part.positives:
            f1 = f"{crossed.f1:.3f} ({crossed.f1_interval.low:.3f}-{crossed.f1_interval.high:.3f})"
            ap = part.average_precision_interval
            precision = f"{part.average_precision:.3f} ({ap.low:.3f}-{ap.high:.3f})"
            row = next(row for row in rows if row[:3] == [name, f"{part.posts:,}", f"{part.positives:,}"])
            assert row[5:] == [f1, f"{part.f1:.3f}", precision]
        cut = report_bundle.policy.thresholds[part.name]
        assert [name, f"{cut.value:.4g}", f"{cut.low:.4g}-{cut.high:.4g}", cut.source, "blend"] in [r[:5] for r in rows]
    assert ["1", "linear", "42", "47,547", "3,478", f"`{'e3f4' * 8}`"] in rows
    assert "- member 1: de 1,482 (83), en 17,128 (1,200)\n" in card
    assert "combined by the plain mean." in card
    assert "never a medical or regulatory decision" in card
    assert "does not count: the indication" in card
    assert "stand by; same-set ones are optimistic" in card
    assert all(markdown_text(caution) in card for caution in facts.evaluation.cautions)


def test_another_evaluation_another_card(
    report_bundle: Bundle, report_evaluation: Evaluation, facts: CardFacts, card: str
) -> None:
    weighted = replace(facts, combination=CombinationRecord(weights=(2.0,)))
    assert "combined by a weighted mean (2)." in model_card(report_bundle.manifest, weighted)
    other = model_card(report_bundle.manifest, _facts(report_bundle, report_evaluation))
    assert "The thresholds were tuned on other posts." in other
    assert "| fr | 40 | 0 | - | - | - | - | - |" in other
    assert "Among the dev posts: fa." in other
    assert model_card(report_bundle.manifest, facts) == card


def test_only_deciding_files_are_in_the_table_of_hashes(report_bundle: Bundle, facts: CardFacts) -> None:
    files = {
        name: FileEntry(bytes=1, sha256=f"{place}" * 64)
        for place, name in enumerate(("policy.json", "dev.safetensors"))
    }
    card = model_card(report_bundle.manifest.model_copy(update={"files": files}), facts)
    assert f"| policy.json | `{'0' * 64}` |" in card
    assert "dev.safetensors" not in card
    assert is_bundle_file(CARD)
    assert not decides(CARD)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str, report_bundle: Bundle, facts: CardFacts, card: str) -> None:
    first, *rest = facts.evaluation.languages
    evaluation = facts.evaluation.model_copy(
        update={"data": name, "cautions": (name,), "languages": (first.model_copy(update={"name": name}), *rest)}
    )
    policy = facts.policy.model_copy(update={"thresholds": MappingProxyType({name: facts.policy.fallback})})
    manifest = report_bundle.manifest.model_copy(update={"libraries": {name: name}})
    hostile = model_card(manifest, replace(facts, evaluation=evaluation, policy=policy))
    hostile.encode()
    body = hostile[hostile.index("\n---\n") :]
    assert "<script" not in body
    assert hostile.count("\n---\n") == card.count("\n---\n") == 1
    assert len(re.findall("(?m)^#", hostile)) == len(re.findall("(?m)^#", card))
    assert "](http" not in body
    yaml = pytest.importorskip("yaml")
    head = yaml.safe_load(hostile[4 : hostile.index("\n---\n")])
    clean = "".join("\ufffd" if character in "\x00\x85\ud800\u202e" else character for character in name)
    assert head["model-index"][0]["results"][1]["dataset"]["config"] == clean


def test_codes_and_escapes() -> None:
    assert iso_codes(("de", "de_cadec", "zh-cn", "pt_br", "und")) == ["de", "pt", "zh"]
    assert yaml_text('a"\\\u2028é') == '"a\\"\\\\\\U00002028é"'
    assert markdown_text("a_b\n|c") == "a&#95;b &#124;c"
