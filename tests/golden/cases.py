"""The command lines whose documents are pinned: each command that has ``--json``, at least once."""

from __future__ import annotations

from tests.golden.support import Case

_SMALL = "--set model.min_posts=2 --set model.character_ngrams=[2,4]"
_TINY = "--set model.name=models/encoder --set model.max_tokens=48 --device cpu --offline"

CASES = (
    # data
    Case("check", "check posts/train.csv posts/dev.csv posts/test.csv"),
    Case("audit-data", "audit data posts/train.csv posts/dev.csv"),
    Case(
        "augment-translate-mapping", "augment translate posts/train.csv -o out/fa.csv --to fa --mapping arabic --max 9"
    ),
    Case(
        "augment-translate",
        "augment translate posts/train.csv -o out/de.csv --to de --from en --max 6 --model models/nllb "
        "--offline --device cpu",
        uses="encoder",
    ),
    # making bundles
    Case(
        "train-linear", f"train linear --train posts/train.csv --dev posts/dev.csv -o out/bundle {_SMALL}", makes=True
    ),
    Case(
        "train-linear-argmax",
        f"train linear --train posts/train.csv -o out/bundle {_SMALL} --set decide.rule=argmax --seed 7",
        makes=True,
    ),
    Case(
        "train-encoder",
        f"train quick --train posts/train.csv --dev posts/dev.csv -o out/bundle {_TINY} --set training.epochs=1",
        uses="encoder",
        makes=True,
    ),
    Case(
        "train-dry-run",
        f"train quick --train posts/train.csv --dev posts/dev.csv -o out/bundle {_TINY} --dry-run --for-device l4",
        uses="encoder",
    ),
    Case(
        "train-nli",
        "train nli --dev posts/twelve.csv -o out/bundle --set model.name=bundles/nli/members/00-nli "
        "--set model.max_tokens=96 --device cpu --offline",
        uses="encoder",
        makes=True,
    ),
    Case(
        "adapt",
        "adapt models/encoder --posts posts/train.csv --except posts/dev.csv -o out/adapted --set adapt.epochs=1 "
        "--set model.max_tokens=48 --device cpu --offline",
        uses="encoder",
        makes=True,
    ),
    Case("tune", "tune bundles/linear posts/dev.csv -o out/bundle --set decide.rule=paper-grid", makes=True),
    Case("tune-unlabelled", "tune bundles/linear -o out/bundle --unlabelled posts/test.csv --prior fa=0.1", makes=True),
    Case("tune-like", "tune bundles/words posts/test.csv -o out/bundle --like bundles/linear", makes=True),
    Case(
        "tune-cascade",
        "tune bundles/weighted -o out/bundle --cascade 0.02 --cascade-costs 1,4 --device cpu",
        uses="encoder",
        makes=True,
    ),
    Case("ensemble", "ensemble bundles/linear bundles/words -o out/bundle", makes=True),
    Case(
        "ensemble-fitted",
        "ensemble bundles/linear bundles/encoder -o out/bundle --dev posts/dev.csv --fit-weights --device cpu",
        uses="encoder",
        makes=True,
    ),
    Case(
        "judge",
        "judge bundles/words --with bundles/linear --dev posts/dev.csv -o out/bundle --ask-at-most 0.2",
        makes=True,
    ),
    Case(
        "judge-dry-run",
        "judge bundles/words --endpoint posts/judge.toml --dev posts/dev.csv --dry-run --show-masked 2",
    ),
    Case("export-int8", "export bundles/encoder posts/dev.csv -o out/bundle --to int8", uses="encoder", makes=True),
    Case(
        "export-bf16",
        "export bundles/encoder posts/dev.csv -o out/bundle --to bf16 --device cpu",
        uses="encoder",
        makes=True,
    ),
    Case("export-onnx", "export bundles/encoder posts/dev.csv -o out/onnx --to onnx", uses="onnx", makes=True),
    Case("convert", "convert models/pickled -o out/model", uses="encoder"),
    # looking at bundles
    Case("inspect-linear", "inspect bundles/linear"),
    Case("inspect-encoder", "inspect bundles/encoder"),
    Case("inspect-stacked", "inspect bundles/stacked"),
    Case("inspect-cascade", "inspect bundles/cascade"),
    Case("inspect-judged", "inspect bundles/judged"),
    Case("inspect-judged-chat", "inspect bundles/judged-chat"),
    Case("inspect-int8", "inspect bundles/int8"),
    Case("card", "card bundles/linear -o out/card.md"),
    Case("card-judged", "card bundles/judged"),
    Case("evaluate", "evaluate bundles/linear posts/test.csv --by type -o out/report --budget 20 --prevalence 0.05"),
    Case(
        "evaluate-more",
        "evaluate bundles/linear posts/test.csv -o out/report --leave-one-language-out --since bundles/words "
        "--show-errors 1",
    ),
    Case("evaluate-predictions", "evaluate --predictions posts/official.csv posts/test.csv -o out/scores.json"),
    Case("evaluate-judged", "evaluate bundles/judged posts/test.csv"),
    Case("evaluate-stored", "evaluate bundles/linear -o out/report"),
    Case("report", "report bundles/linear -o out/report"),
    Case("report-file", "report bundles/judged posts/test.csv -o out/report --since bundles/words"),
    Case("compare", "compare bundles/words bundles/linear posts/test.csv -o out/compare.json"),
    Case(
        "compare-several", "compare bundles/words bundles/linear bundles/averaged posts/test.csv --turned out/t.jsonl"
    ),
    Case("audit-shortcuts", "audit shortcuts bundles/linear posts/test.csv --train posts/train.csv"),
    Case("audit-behaviour", "audit behaviour bundles/linear --language en --capability negation -o out/behaviour.json"),
    Case("audit-augmentation", "audit augmentation bundles/words bundles/linear posts/test.csv"),
    Case("audit-drift", "audit drift bundles/words bundles/linear posts/test.csv"),
    Case("audit-calibration", "audit calibration bundles/words bundles/linear posts/test.csv"),
    Case("audit-truncation", "audit truncation bundles/encoder posts/test.csv --device cpu", uses="encoder"),
    Case("audit-similarity", "audit similarity bundles/linear posts/test.csv"),
    # scoring
    Case("score-linear", "score bundles/linear posts/test.csv -o out/scored.csv"),
    Case("score-evidence", "score bundles/linear posts/test.csv -o out/scored.csv --evidence --dedup near"),
    Case("score-parquet", "score bundles/words posts/twelve.csv -o out/scored.parquet"),
    Case("score-folder", "score bundles/words posts/twelve.csv -o out/scored/ --output-format jsonl --part-posts 5"),
    Case("score-judged", "score bundles/judged posts/test.csv -o out/scored.csv"),
    Case("score-judged-chat", "score bundles/judged-chat posts/test.csv -o out/scored.csv"),
    Case("score-rows-set-aside", "score bundles/linear posts/broken.csv -o out/scored.csv --fail-on-quarantine"),
    Case(
        "score-encoder", "score bundles/encoder posts/twelve.csv -o out/scored.csv --evidence --device cpu", "encoder"
    ),
    Case("score-cascade", "score bundles/cascade posts/test.csv -o out/scored.csv --device cpu", uses="encoder"),
    Case("explain", "explain bundles/linear posts/twelve.csv -o out/explained.jsonl --drugs posts/drugs.csv"),
    Case("explain-encoder", "explain bundles/encoder posts/twelve.csv -o out/e.jsonl --device cpu", uses="encoder"),
    Case("explain-faithfulness", "explain bundles/linear posts/test.csv --faithfulness"),
    Case("submit", "submit bundles/linear posts/test.csv -o out/submission.zip"),
    # from scores to people and back
    Case("score-top", "score bundles/linear posts/test.csv -o out/scored.csv --top 30"),
    Case(
        "worklist",
        "worklist posts/test.csv --bundle bundles/linear -o out/list.jsonl --budget 40 --audit 12 --prevalence 0.1 "
        "--quota de=5 --seed 3",
    ),
    Case("estimate", "estimate posts/scored.csv --reviewed posts/reviewed.csv --looks 2"),
    # over the weeks
    Case("monitor-add", "monitor add out/monitor.jsonl posts/monday.csv --week 2026-W12"),
    Case("monitor-report", "monitor report posts/monitor.jsonl -o out/drift.html"),
    Case("monitor-report-early", "monitor report posts/monitor.jsonl --start 2026-W09"),
    # the rest
    Case("recipes", "recipes"),
    Case("help", "help flags judged"),
    Case("recipes-linear", "recipes linear"),
    Case(
        "reproduce-dry-run",
        "reproduce nli --scale tiny --dry-run -o out/reproduction --device cpu",
        uses="ner",
        makes=True,
        hidden=("disk_meanwhile", "disk_after"),
    ),
    Case("doctor", "doctor", hidden=("checks",)),  # what is installed differs
    # errors, one of each exit code
    Case("error-usage", "score bundles/linear"),
    Case("error-setting", "train linear --train posts/train.csv -o out/bundle --set modle.C=2"),
    Case("error-data", "evaluate bundles/linear posts/drugs.csv"),
    Case("error-bundle", "inspect posts"),
    Case("error-missing", "score bundles/linear posts/absent.csv -o out/scored.csv"),
)
