"""Write the golden files again.

    python -m tests.golden.regenerate               documents, and what the stored bundles say about the twelve posts
    python -m tests.golden.regenerate train tune    the documents of cases whose names begin so
    python -m tests.golden.regenerate --bundles     posts, models and bundles too

Run it in the checkout where a change of behaviour is meant, look at what `git diff tests/golden` shows, and commit it
with the change. The stored bundles stand for those that users have: they are made again only where a new version of the
format may not read the old one any more, which the changelog then says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.golden import support
from tests.golden.cases import CASES
from tests.golden.support import BUNDLES, DOCUMENTS, EXPECTED, KINDS, MODELS, OPTIONS, POSTS

_LEARN = "--train posts/train.csv --dev posts/dev.csv"
_CPU = "--device cpu --offline"
LINES = {
    "linear": f"train linear {_LEARN} --set model.min_posts=2 --set model.character_ngrams=[2,4]",
    "words": f"train linear {_LEARN} --set model.min_posts=2 --set model.word_ngrams=[1,1] "
    "--set model.character_ngrams=[2,2] --set model.C=0.5",
    "encoder": f"train quick {_LEARN} --set model.name=models/encoder --set model.max_tokens=48 "
    f"--set training.learning_rate=3e-3 {_CPU}",
    "nli": f"train nli --dev posts/dev.csv --set model.name=models/nli --set model.max_tokens=96 {_CPU}",
    "ner": f"train gliner --dev posts/dev.csv --set model.name=models/ner {_CPU}",
    "stacked": f"train STACKED {_LEARN} {_CPU}",
    "averaged": "ensemble bundles/linear bundles/words",
    "weighted": "ensemble bundles/linear bundles/encoder --weights 1.0,0.7 --device cpu",
    "cascade": "tune bundles/weighted --cascade 0.02 --cascade-costs 1,4 --device cpu",
    "judged": "judge bundles/words --with bundles/linear --dev posts/dev.csv --ask-at-most 0.2",
    "judged-chat": "judge bundles/words --endpoint CHAT --dev posts/dev.csv --ask-at-most 0.2",
    "int8": "export bundles/encoder posts/dev.csv --to int8",
    "bf16": "export bundles/encoder posts/dev.csv --to bf16 --device cpu",
    "onnx": "export bundles/encoder posts/dev.csv --to onnx",
}
_STACKED = """
[model]
kind = "stacked"
folds = 2
[model.base]
kind = "linear"
min_posts = 2
character_ngrams = [2, 2]
[model.further]
kind = "nli"
name = "models/nli"
max_tokens = 96
"""
_CHAT = 'base_url = "{url}"\nmodel = "tiny"\nprice_in = 1.0\nprice_out = 5.0\nwait = 0.01\nattempts = 1\n'
_PORT_OF_NOBODY = "http://127.0.0.1:9/v1"


def main(arguments: list[str]) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="documents whose names begin so alone")
    parser.add_argument("--bundles", action="store_true", help="make posts, models and bundles anew, too")
    asked = parser.parse_args(arguments)
    names = asked.names
    support.one_thread()
    if asked.bundles:
        make_posts()
        make_models()
        with tempfile.TemporaryDirectory() as folder:
            make_bundles(Path(folder))
    if not names:
        EXPECTED.write_text(support.dumped(expected()), encoding="utf-8")
    DOCUMENTS.mkdir(exist_ok=True)
    for case in CASES:
        if names and not case.name.startswith(tuple(names)):
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = support.document(case, support.workplace(Path(folder).resolve()))
        (DOCUMENTS / f"{case.name}.json").write_text(support.dumped(found), encoding="utf-8")
        print(f"{case.name}: exit {found['exit_code']}, {time.monotonic() - started:.1f} s")  # noqa: T201
    if not names:
        options = {name: support.option_names(name) for name in support.command_names()}
        OPTIONS.write_text(support.dumped(options), encoding="utf-8")


def expected() -> dict[str, Any]:
    """What the stored bundles are and say, and on what machine that was."""
    bundles = {}
    for kind in KINDS:
        folder = BUNDLES / kind
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        answers = support.bundle_answers(folder)
        near = min(abs(p - cut) for p, cut in zip(answers["p"], answers["threshold"], strict=True))
        if kind not in support.LEAN and near < 2 * support.TOLERANCE:
            raise SystemExit(f"{kind}: a post is {near:.1e} from its threshold, too near for other machines")
        bundles[kind] = answers | {"files": files}
    return {
        "fingerprint": support.fingerprint(),
        "bundles": bundles,
        "onnx": support.onnx_answers(BUNDLES / "onnx"),
    }


def make_posts() -> None:
    """Some posts of the sample corpus: the first three of each language, split and label, and every sixteenth after."""
    from polyvigil.data.sample import sample_corpus
    from polyvigil.data.write import write_posts

    groups = defaultdict(list)
    for item in sample_corpus():
        groups[item.post.language, item.post.split, item.label].append(item)
    chosen = {key: [*items[:3], *items[3::16]] for key, items in groups.items()}
    POSTS.mkdir(exist_ok=True)
    for split in ("train", "dev", "test"):
        write_posts(
            POSTS / f"{split}.csv", [item for key, items in chosen.items() if key[1] == split for item in items]
        )
    positives = [items[0] for (_, split, label), items in chosen.items() if split == "test" and label]
    negatives = [chosen[language, "test", 0][1] for language in ("en", "ja", "ru")]
    write_posts(POSTS / "twelve.csv", [*positives, *negatives])
    broken = "\ud800".encode("utf-8", "surrogatepass")
    rows = b"id,text,language\na,my head hurts since the pills,en\na,the same id again,en\n,no id,en\nb,,en\nc,"
    (POSTS / "broken.csv").write_bytes(rows + b"=1+1,en\nd,unknown language,xx\ne," + broken + b",en\n")
    (POSTS / "judge.toml").write_text(_CHAT.format(url=_PORT_OF_NOBODY), encoding="utf-8")


def make_models() -> None:
    """Tiny models of random weights; nothing of them is known to the tests but their folders."""
    from polyvigil_gladiators.tiny import encoder_folder, nllb_folder

    shutil.rmtree(MODELS, ignore_errors=True)
    encoder_folder(MODELS / "encoder", "xlm-roberta", texts=_texts())
    nllb_folder(MODELS / "nllb")


def _texts() -> list[str]:
    """What the vocabulary of a tiny model is made of: short posts, and every letter that is not rare."""
    posts = [row["text"] for row in support.table(POSTS / "train.csv")]
    counts: dict[str, int] = defaultdict(int)
    for letter in "".join(posts):
        counts[letter] += not letter.isspace()
    return [*sorted(posts, key=len)[:24], " ".join(sorted(letter for letter, count in counts.items() if count > 11))]


def make_bundles(folder: Path) -> None:
    """One bundle of each kind."""
    from tests.judge.chat_server import Said, chat_server

    from polyvigil_gladiators.tiny import gliner_folder, nli_folder

    shutil.rmtree(BUNDLES, ignore_errors=True)
    BUNDLES.mkdir()
    folder = support.workplace(folder.resolve())
    nli_folder(folder / "models" / "nli", texts=_texts(), max_tokens=96)
    gliner_folder(folder / "models" / "ner", texts=_texts())
    (folder / "STACKED.toml").write_text(_STACKED, encoding="utf-8")
    with chat_server(lambda post, _: Said(json.dumps({"ade": len(post) % 7 / 7}))) as server, support.inside(folder):
        Path("CHAT.toml").write_text(_CHAT.format(url=server.url), encoding="utf-8")
        for kind, line in LINES.items():
            told = line.replace("STACKED", "STACKED.toml").replace("CHAT", "CHAT.toml").split()
            code, _, err = support.run_program([*told, "-o", f"bundles/{kind}", "-q"])
            if code:
                raise SystemExit(f"{kind}: exit {code}\n{err}")
    for kind in LINES:
        shutil.copytree(folder / "bundles" / kind, BUNDLES / kind)


if __name__ == "__main__":
    main(sys.argv[1:])
