from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from polyvigil.checks.check import check
from polyvigil.checks.check_result import CheckResult, Finding
from polyvigil.config.data import DataSpec
from polyvigil.data.read import read_labelled
from polyvigil.errors import DataError

OPEN_ADE = Path(__file__).parents[2].parent / "shared/data/open_ade/sentences.csv"
COLUMNS = ("id", "text", "label", "type", "language", "split")
WORDS = {
    "en": "since I took this medicine my head hurts and cannot sleep at night the doctor said it would pass soon",
    "de": "seit ich diese Tabletten nehme habe ich starke Kopfschmerzen und kann nachts nicht schlafen sagt der Arzt",
    "fr": "depuis que je prends ce traitement mes jambes tremblent et je ne peux pas dormir selon le docteur",
    "ru": "после этих таблеток у меня очень болит голова и я не могу спать ночью врач сказал что это пройдёт",
    "fa": "بعد از این قرص سرم خیلی درد می کند و شب ها نمی توانم بخوابم دکتر گفت که زود خوب می شود",
}
Row = dict[str, str]


def row(number: int, text: str, label: int, *, language: str = "en", split: str = "train", **more: str) -> Row:
    cells = {"id": f"{language}_{number}", "text": text, "label": str(label), "type": "tweet"}
    return {**cells, "language": language, "split": split, **more}


def rows(language: str, posts: int, positives: int, *, split: str = "train", first: int = 0) -> list[Row]:
    """Posts that differ by their words' order and a number, the positives at random places."""
    rng = random.Random(f"{language}{split}{first}")
    chosen = set(rng.sample(range(posts), positives))
    words = WORDS[language].split()
    return [
        row(
            first + i,
            f"{' '.join(rng.choices(words, k=18))} {first + i}",
            int(i in chosen),
            language=language,
            split=split,
        )
        for i in range(posts)
    ]


def checked(folder: Path, *files: Sequence[Row], spec: DataSpec | None = None) -> CheckResult:
    readings = []
    for number, content in enumerate(files):
        path = folder / f"file{number}.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            columns = dict.fromkeys([*COLUMNS, *(name for cells in content for name in cells)])
            writer = csv.DictWriter(stream, list(columns), restval="")
            writer.writeheader()
            writer.writerows(content)
        readings.append(read_labelled(path, spec))
    return check(readings, spec=spec)


def found(result: CheckResult, code: str) -> list[Finding]:
    return [finding for finding in result.findings if finding.code == code]


def test_clean_data_have_no_error_and_no_warning(tmp_path: Path) -> None:
    content = [*rows("en", 400, 60), *rows("de", 300, 40), *rows("ru", 300, 45)]
    content += [*rows("en", 150, 20, split="dev", first=1000), *rows("de", 120, 15, split="dev", first=1000)]
    content += rows("ru", 120, 15, split="dev", first=1000)
    result = checked(tmp_path, content)
    assert [finding for finding in result.findings if finding.severity != "info"] == []
    assert (result.files[0].rows, result.files[0].posts, result.files[0].positives) == (1390, 1390, 195)


def test_characters_are_counted_in_the_text_as_it_was_read(tmp_path: Path) -> None:
    texts = ["short", "x  https://example.org/abc ", "longer text", "頭が痛い"]
    content = [row(number, text, number % 2) for number, text in enumerate(texts)]
    content[3] |= {"language": "ja", "type": ""}
    result = checked(tmp_path, content, rows("de", 30, 6))
    first = [part for part in result.lengths if part.file.endswith("file0.csv")]
    assert [(part.language, part.type, part.posts, part.median, part.mean) for part in first] == [
        ("en", "tweet", 3, 11.0, (5 + 27 + 11) / 3),
        ("ja", "", 1, 4.0, 4.0),
    ]
    assert [part.posts for part in result.lengths if part.language == "de"] == [30]


def test_counts_by_language_type_and_script(tmp_path: Path) -> None:
    content = [*rows("en", 40, 4), *rows("ru", 20, 5, split="dev")]
    content[0]["type"] = "review"
    result = checked(tmp_path, content)
    assert [(row.split, row.language, row.posts, row.positives, row.share) for row in result.languages] == [
        ("dev", "ru", 20, 5, 0.25),
        ("train", "en", 40, 4, 0.1),
    ]
    assert [(row.language, row.type, row.posts) for row in result.types] == [
        ("ru", "tweet", 20),
        ("en", "review", 1),
        ("en", "tweet", 39),
    ]
    assert [(row.language, row.script, row.posts, row.training_posts) for row in result.scripts] == [
        ("en", "Latin", 40, 40),
        ("ru", "Cyrillic", 20, 0),
    ]


def test_a_language_of_positives_alone_is_an_error(tmp_path: Path) -> None:
    """The paper's Farsi v1: translated positives and no negative. Negatives in the test split do not help."""
    content = [*rows("en", 500, 40), *rows("fa", 60, 60), *rows("fa", 50, 5, split="test", first=500)]
    finding = found(checked(tmp_path, content), "positives-only")
    assert [(item.severity, item.where.language) for item in finding] == [("error", "fa")]
    assert "all 60 training posts are positive (100%; elsewhere 8.0%)" in finding[0].message
    assert "add negatives" in finding[0].hint


def test_a_script_of_positives_alone_is_an_error(tmp_path: Path) -> None:
    content = [*rows("en", 500, 40), *[cells | {"language": "en"} for cells in rows("fa", 30, 30)]]
    assert "en in Arabic script" in found(checked(tmp_path, content), "positives-only")[0].message


@pytest.mark.parametrize("seed", range(5))
def test_few_positives_raise_no_alarm_when_common(tmp_path: Path, seed: int) -> None:
    assert not found(checked(tmp_path, [*rows("en", 100, 40 + seed), *rows("fr", 2, 2)]), "positives-only")


def test_mostly_positives_and_no_positives_are_warnings(tmp_path: Path) -> None:
    result = checked(tmp_path, [*rows("en", 500, 40), *rows("fa", 60, 58), *rows("ru", 60, 0)])
    assert [item.where.language for item in found(result, "nearly-positives-only")] == ["fa"]
    assert [item.where.language for item in found(result, "no-positives")] == ["ru"]


def test_one_class_is_an_error(tmp_path: Path) -> None:
    assert found(checked(tmp_path, rows("en", 30, 30)), "one-class")[0].severity == "error"


def test_leaks_between_splits_name_ids_and_never_texts(tmp_path: Path) -> None:
    train, test = rows("en", 300, 40), rows("en", 100, 12, split="test", first=500)
    for place in range(3):
        test[place]["text"] = train[place]["text"].upper()
    test[3]["text"] = train[3]["text"] + " ok"
    result = checked(tmp_path, [*train, *test])
    leak = result.leaks[0]
    assert (leak.first_split, leak.second_split) == ("test", "train")
    assert (leak.exact, leak.near, leak.first_posts, leak.share) == (3, 1, 100, 0.04)
    assert [(pair.first.id, pair.second.id) for pair in leak.pairs] == [(f"en_{500 + i}", f"en_{i}") for i in range(4)]
    assert leak.pairs[0].second.line == 2
    assert [finding.severity for finding in found(result, "leak")] == ["error"]
    assert "4 of 100 posts (4.0%) of split 'test' stand in split 'train' too" in found(result, "leak")[0].message


def test_a_leak_of_one_percent_or_less_is_a_warning(tmp_path: Path) -> None:
    train, test = rows("en", 300, 40), rows("en", 100, 12, split="test", first=500)
    test[0]["text"] = train[0]["text"]
    assert [finding.severity for finding in found(checked(tmp_path, [*train, *test]), "leak")] == ["warning"]


def test_leaks_between_files(tmp_path: Path) -> None:
    one, other = rows("en", 50, 12, split=""), rows("en", 40, 12, split="", first=500)
    other[0]["text"] = one[0]["text"]
    finding = found(checked(tmp_path, one, other), "leak")[0]
    assert finding.severity == "error"
    assert str(finding.where) == str(tmp_path / "file1.csv")
    train = [[cells | {"split": "train"} for cells in content] for content in (one, other)]
    result = checked(tmp_path, *train)
    assert not found(result, "leak")
    assert len(found(result, "repeated-across-files")) == 1


def test_duplicates_conflicts_and_ids(tmp_path: Path) -> None:
    content = rows("en", 60, 12)
    content[1] |= {"text": content[0]["text"] + "!!!!", "label": "1"}
    content[0] |= {"text": content[0]["text"] + "!!", "label": "0"}
    content[5]["id"] = content[4]["id"]
    content[8] = dict(content[7])
    result = checked(tmp_path, content)
    assert result.places[0].exact_repeats == 2
    assert (result.conflicts.posts, result.conflicts.texts) == (2, 1)
    assert [(pair.first.id, pair.second.id) for pair in result.conflicts.pairs] == [("en_0", "en_1")]
    assert found(result, "conflicting-id")[0].severity == "error"
    assert {(item.kind, item.posts) for item in result.suspects} == {("conflicting_id", 2), ("repeated_id", 2)}


@pytest.mark.parametrize("all_hashes_collide", [False, True])
def test_repeated_ids_are_those_of_brute_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_hashes_collide: bool
) -> None:
    if all_hashes_collide:
        monkeypatch.setattr("polyvigil.checks.check.hash", lambda _: 1, raising=False)
    rng = random.Random(5)
    files = [[row(rng.randrange(60), f"text {rng.randrange(3)}", 0) for _ in range(80)] for _ in range(2)]
    expected = []
    for number, content in enumerate(files):
        kinds: dict[str, list[int]] = {"conflicting_id": [], "repeated_id": []}
        for cells in content:
            same = [index for index, other in enumerate(content) if other["id"] == cells["id"]]
            if len(same) > 1 and content[same[0]] is cells:
                alike = len({content[index]["text"] for index in same}) == 1
                kinds["repeated_id" if alike else "conflicting_id"] += same
        lines = {kind: [index + 2 for index in indices] for kind, indices in kinds.items()}
        expected += [(f"file{number}.csv", kind, len(lines[kind]), lines[kind][:20]) for kind in lines if lines[kind]]
    result = checked(tmp_path, *files)
    of_ids = [suspect for suspect in result.suspects if suspect.kind.endswith("_id")]
    told = [(Path(s.file).name, s.kind, s.posts, [post.line for post in s.examples]) for s in of_ids]
    assert sorted(told) == sorted(expected)
    assert len(told) == 4


def test_posts_with_a_defect(tmp_path: Path) -> None:
    content = rows("de", 60, 12)
    texts = {"mojibake": "Ich nehme die Tabletten fÃ¼r den RÃ¼cken und mir ist Ã¼bel", "very_long": "lange " * 3000}
    texts |= {"url_only": "https://t.co/abc", "mention_only": "@someone <pi>", "no_words": "!!! 🤢", "empty": "\u200b"}
    texts["html"] = "Kopfweh &amp; &#220;belkeit<br />seit Montag"
    for place, text in enumerate(texts.values()):
        content[place]["text"] = text
    result = checked(tmp_path, content)
    assert {item.kind: [ref.id for ref in item.examples] for item in result.suspects} == {
        kind: [f"de_{place}"] for place, kind in enumerate(texts)
    }
    assert {finding.code for finding in result.findings} >= {kind.replace("_", "-") for kind in texts}


def test_posts_of_links_alone_are_no_duplicates(tmp_path: Path) -> None:
    content = [*rows("en", 60, 12), *[row(900 + i, f"https://t.co/{i}", i % 2, split="test") for i in range(20)]]
    content[0]["text"] = "https://t.co/x"
    result = checked(tmp_path, content)
    assert result.leaks == ()
    assert result.conflicts.posts == 0


def test_a_wrong_language_column(tmp_path: Path) -> None:
    content = [*rows("en", 100, 20), *[cells | {"language": "fr"} for cells in rows("de", 30, 6)], *rows("fr", 70, 15)]
    result = checked(tmp_path, content)
    assert [(item.where.language, item.severity) for item in found(result, "wrong-language")] == [("fr", "warning")]
    assert "do not read as fr, most of them as de" in found(result, "wrong-language")[0].message


def test_few_positives_in_dev(tmp_path: Path) -> None:
    dev = rows("en", 60, 12, split="dev", first=500)
    result = checked(tmp_path, [*rows("en", 100, 20), *rows("fr", 100, 20), *dev])
    assert [(item.where.language, item.message[:23]) for item in found(result, "few-dev-positives")] == [
        ("fr", "fr: 0 positives in dev,")
    ]


def test_cadec_rows_are_a_group_of_their_own(tmp_path: Path) -> None:
    cadec = [
        cells | {"type": "drug_review", "id": f"fr_cadecv2_{i}"}
        for i, cells in enumerate(rows("fr", 80, 48, first=900))
    ]
    finding = found(checked(tmp_path, [*rows("fr", 300, 20), *cadec]), "cadec")[0]
    assert finding.severity == "warning"
    assert "fr_cadec: 80 translated CADEC reviews, 60.0% of them positive, against 6.7% of 300 other" in finding.message


def test_a_column_that_predicts_the_label_is_found(tmp_path: Path) -> None:
    content = [cells | {"origin": "SMM4H" if cells["label"] == "1" else "forum"} for cells in rows("de", 200, 20)]
    result = checked(tmp_path, [*content, *rows("en", 200, 20)])
    finding = found(result, "label-giveaway")
    assert [(item.severity, item.where.language) for item in finding] == [("error", "de")]
    assert (
        "column 'origin' gives the label away (AUC 1.00 over 200 posts): 'SMM4H' 20 of 20 positive"
        in finding[0].message
    )


def test_one_leaking_file_of_several_is_found(tmp_path: Path) -> None:
    plain = rows("de", 900, 90, first=1000)
    content = [cells | {"note": "ADR" if cells["label"] == "1" else "-"} for cells in rows("de", 200, 20)]
    finding = found(checked(tmp_path, [cells | {"note": ""} for cells in plain], content), "label-giveaway")[0]
    assert finding.where.file.endswith("file1.csv")


def test_rows_set_aside_are_counted_by_reason(tmp_path: Path) -> None:
    content = rows("en", 60, 12)
    content[0]["label"], content[1]["label"], content[2]["text"] = "perhaps", "maybe", ""
    result = checked(tmp_path, content)
    assert (result.files[0].rows, result.files[0].posts) == (60, 57)
    assert [(item.column, item.reason, item.rows) for item in result.files[0].set_aside] == [
        ("label", "a value is not 0 or 1", 2),
        ("text", "empty", 1),
    ]
    assert found(result, "rows-set-aside")[0].severity == "warning"


def test_renamed_columns_are_not_measured(tmp_path: Path) -> None:
    content = [cells | {"gold": cells.pop("label")} for cells in rows("en", 200, 30)]
    with pytest.raises(DataError, match="no usable row"):
        checked(tmp_path, content)
    path = tmp_path / "renamed.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", "text", "gold", "language"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(content)
    spec = DataSpec(columns={"label": "gold"})
    assert not found(check([read_labelled(path, spec)], spec=spec), "label-giveaway")


def test_no_post_text_in_the_result(tmp_path: Path) -> None:
    """A token that stands in every text, in copies of it, in labels and languages of broken rows: never told again."""
    content = rows("en", 120, 30)
    for place, cells in enumerate(content):
        cells["text"] += f" ZQXCANARY{place % 7}"
        cells |= {"copy": cells["text"], "piece": f"has ZQXCANARY{place % 7}", "summary": "ZQXCANARY " + cells["label"]}
    for cells in content[:30]:
        cells["text"] = cells["copy"] = "always dizzy ZQXCANARY"
    for cells in content[30:60]:
        cells["text"] = cells["copy"] = f"ZQXCANARY {'pos' if cells['label'] == '1' else 'neg'}"
    for place, broken in enumerate(["it's ZQXCANARY (bad", 'ZQX"CANARY', "ZQXCANARY", "a'b\"ZQXCANARY ("]):
        content[70 + place]["label"] = broken
        content[80 + place]["language"] = broken
    content[90]["text"] = "ZQXCANARY fÃ¼r " * 2000
    content[91]["type"] = "a row that was shifted: ZQXCANARY, and more of it"
    content[92]["split"] = "a row that was shifted: ZQXCANARY, and more of it"
    for _ in range(2):
        result = checked(tmp_path, content, rows("en", 40, 10, split="test", first=900))
        assert found(result, "label-giveaway") or found(result, "label-hint") or result.conflicts.posts
        told = result.model_dump_json()
        assert "canary" not in told.casefold()


def test_the_result_is_json_and_the_same_each_time(tmp_path: Path) -> None:
    content = [*rows("en", 300, 40), *rows("fa", 20, 20), *rows("de", 300, 30, split="dev")]
    one, other = checked(tmp_path, content), checked(tmp_path, content)
    assert one == other
    assert CheckResult.model_validate_json(one.model_dump_json()) == one
    assert json.loads(one.model_dump_json())["findings"][0]["severity"] == "error"
    severities = [finding.severity for finding in one.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


def test_broken_unicode_in_texts_gives_valid_json_and_elsewhere_costs_the_row(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    lines = [{"id": i, "text": f"my head hurts {i} \ud83d", "label": i % 2, "language": "en"} for i in range(60)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    result = check([read_labelled(path)])
    assert CheckResult.model_validate_json(result.model_dump_json()) == result
    for name, value in (("id", "\ud800"), ("type", "\udfff"), ("\ud801", [1])):
        path.write_text("\n".join(json.dumps(line | {name: value}) for line in lines), encoding="utf-8")
        with pytest.raises(DataError, match=r"no usable row|no line holds"):
            read_labelled(path)


def test_stages_are_logged(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_text("text,label,language\nmy head hurts,1,en\nI am fine,0,en\n", encoding="utf-8")
    told: list[str] = []
    check([read_labelled(path)], progress=told.append)
    assert told == ["texts", "scripts", "duplicates", "languages", "label leaks", "findings"]


def test_no_file_and_a_repeated_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        check([])
    path = tmp_path / "posts.csv"
    path.write_text("text,label,language\nmy head hurts,1,en\nI am fine,0,en\n", encoding="utf-8")
    with pytest.raises(DataError, match="given twice"):
        check([read_labelled(path)] * 2)


@pytest.mark.open_ade
@pytest.mark.skipif(not OPEN_ADE.exists(), reason="the open posts are not here")
def test_open_ade() -> None:
    reading = read_labelled(OPEN_ADE)
    result = check([reading])
    texts = {split: [i.post for i in reading.posts if i.post.split == split] for split in ("train", "test")}
    in_train = Counter(post.text for post in texts["train"])
    word_for_word = {post.id for post in texts["test"] if post.text in in_train}
    leak = next(leak for leak in result.leaks if (leak.first_split, leak.second_split) == ("test", "train"))
    assert len(word_for_word) == 22
    assert leak.exact == 28  # 22 as they stand, 6 more but for case
    notes = {item.language: item for item in result.giveaways if item.column == "note"}
    assert notes["en"].verdict == "gives-away"
    assert "ADR" in {value.value for value in notes["en"].telling}
    assert {finding.where.language for finding in found(result, "few-dev-positives")} == {"ja"}
    assert not found(result, "positives-only")
    assert not found(result, "wrong-language")
