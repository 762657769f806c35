"""The table of commands: where each stands, and the line that help says of it, so that help imports none of them.

``Group`` names a group of commands with a table of its own. tests/cli/test_lazy.py holds every line to the docstring of
its command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: its module in ``polyvigil.cli``, and its one line in help."""

    module: str
    summary: str


@dataclass(frozen=True, slots=True)
class Group:
    """A group of commands: its one line in help, its own help, and what is in it."""

    summary: str
    help: str
    entries: Mapping[str, Entry]


AUDITS = {
    "data": Entry(
        "check",
        "The same as check --strict: look for what would spoil a training or its metrics; exit 3 on an error.",
    ),
    "shortcuts": Entry(
        "audit_shortcuts",
        "Does a bundle flag a language, a script, a length, a source in place of an ADE? Exit 3 if so.",
    ),
    "behaviour": Entry(
        "audit_behaviour",
        "Try a bundle on authored sentences: negation, questions, relatives' ADEs, brand names, typing slips, ...",
    ),
    "augmentation": Entry(
        "audit_augmentation",
        "What added training posts do to every language. Exit 3 when one loses F1 or its flag rate moves.",
    ),
    "drift": Entry(
        "audit_drift",
        "Would a new bundle flag as many posts of each language as the old one? Exit 3 if far more or fewer.",
    ),
    "calibration": Entry("audit_drift", "The older name of audit drift."),
    "truncation": Entry(
        "audit_truncation", "How many posts are cut, and which ADEs are missed by it? Exit 3 when too many are."
    ),
    "similarity": Entry(
        "audit_similarity", "How alike are the scores of the languages? A matrix of overlaps, and no gate."
    ),
}

REVIEWS = {
    "open": Entry(
        "review_open", "Open a review store for people: pages to read posts and decide by keyboard, until Ctrl-C."
    ),
    "add": Entry(
        "review_add",
        "Put scored posts into a review store (made if need be), and choose which are read, audited and read twice.",
    ),
    "person": Entry(
        "review_person",
        "Add a person and print the secret of their link once; or renew it, list everybody, end somebody's access.",
    ),
    "sample": Entry(
        "review_sample",
        "Choose more posts to read from those that are in a store: for the audit, or for training.",
    ),
    "export": Entry(
        "review_export",
        "Write what was decided, how each post was chosen and the log's head; audited posts have the split test.",
    ),
    "metrics": Entry(
        "review_metrics",
        "Say what was found and what was probably missed: precision counted, recall estimated from the audit.",
    ),
    "copy": Entry(
        "review_copy",
        "Copy a whole store, to another engine too; links stay valid, whoever is signed in signs in again.",
    ),
    "purge": Entry(
        "review_purge",
        "Forget the texts, source ids and notes of old posts; decisions and the log stay, and still verify.",
    ),
    "verify": Entry(
        "review_verify",
        "Follow the log's chain, replay it, and compare what it says with every decision and task. Exit 3 on a break.",
    ),
}

MONITORS = {
    "add": Entry(
        "monitor_add",
        "Count scored posts into a monitor, by week, language and source; it keeps counts alone, no text and no id.",
    ),
    "report": Entry(
        "monitor_report",
        "Say what changed in scored posts over the weeks: rates, scores, languages, lengths. Exit 3 while an alarm "
        "holds.",
    ),
}

COMMANDS: Mapping[str, Entry | Group] = {
    "demo": Entry(
        "demo", "Do the main job once on synthetic posts in seven languages: check, train, evaluate, score, report."
    ),
    "check": Entry(
        "check",
        "Look for what would spoil a training or its metrics: leaks, duplicates, contradictions, give-away columns.",
    ),
    "audit": Group(
        "Look for faults in data and bundles: shortcuts, drift, cut posts. Exits with 3 on a fault.",
        "\b\nExamples:\n  polyvigil audit data train.csv dev.csv\n  polyvigil audit shortcuts BUNDLE posts.csv\n\n"
        "Look for faults in data and bundles. Each kind has limits of its own; beyond one it exits with 3.",
        AUDITS,
    ),
    "augment": Group(
        "Make further training posts, by translation.",
        "\b\nExamples:\n  polyvigil augment translate train.csv -o fa.csv --to fa --max 8000\n"
        "  polyvigil augment translate train.csv -o defr.csv --to de --to fr --from en --from ru --only positives\n\n"
        "Make further training posts. They train and never tune or measure; read docs/augmentation.md first.",
        {
            "translate": Entry(
                "augment_translate", "Translate training posts, with their labels; every row says where it is from."
            )
        },
    ),
    "adapt": Entry(
        "adapt",
        "Go on pre-training an encoder on posts without labels (masked language), for a recipe to fine-tune later.",
    ),
    "convert": Entry(
        "convert",
        "Write a model's PyTorch weights (pytorch_model.bin) as safetensors, running nothing that the file says.",
    ),
    "train": Entry(
        "train", "Train a bundle: learn from the train posts, tune one threshold per language on the dev posts."
    ),
    "tune": Entry(
        "tune",
        "Find new thresholds for a bundle, its members untouched: other rule or objective, other posts, new languages.",
    ),
    "ensemble": Entry(
        "ensemble",
        "Join bundles into one: members copied, weighed, compared with and without each; thresholds tuned again.",
    ),
    "judge": Entry(
        "judge",
        "Give a bundle a second stage, which decides the posts near the threshold: another bundle or a chat endpoint.",
    ),
    "evaluate": Entry(
        "evaluate", "Measure a bundle on labelled posts it has not seen; or a predictions file by the official score."
    ),
    "report": Entry(
        "evaluate",
        "Write the report of a bundle; without a file the same as evaluate BUNDLE -o report.",
    ),
    "card": Entry(
        "card", "Print the model card of a bundle: what it is for, its metrics, its data, its limits, as Markdown."
    ),
    "compare": Entry(
        "compare",
        "Say which of two bundles is better on the same posts: paired tests, thresholds, calibration, flips.",
    ),
    "score": Entry(
        "score", "Score posts: P(ADE) and a decision for each, in the order of the input, its columns kept."
    ),
    "worklist": Entry(
        "worklist",
        "Choose the posts to read, most promising first, and a sample of the others; with a column for labels.",
    ),
    "estimate": Entry(
        "estimate",
        "Say what reading a worklist found, and what was missed: counted, estimated with intervals, or refused.",
    ),
    "serve": Entry(
        "serve", "Score posts over HTTP: the decisions of the command line, with limits, metrics and a page to try it."
    ),
    "review": Group(
        "Put scored posts before people: a store, who reads what, every decision in a log, labels and metrics back.",
        "\b\nExamples:\n  polyvigil review add review.db scored.csv\n  polyvigil review open review.db\n\n"
        "Put scored posts before people: a store on SQLite or PostgreSQL, who reads what, every decision in an "
        "append-only log, labels and metrics back. Read docs/reviewing.md first.",
        REVIEWS,
    ),
    "monitor": Group(
        "Watch scored posts over the weeks: counts kept without texts, alarms when a stream changes.",
        "\b\nExamples:\n  polyvigil monitor add monitor.jsonl scored.csv --week 2026-W12\n"
        "  polyvigil monitor report monitor.jsonl -o drift.html\n\n"
        "Watch scored posts over the weeks: counts kept without texts, alarms when a stream changes. Read "
        "docs/monitor.md first.",
        MONITORS,
    ),
    "explain": Entry(
        "explain",
        "Say which sentence and words of each post carry its score, and where your drugs and reactions stand in it.",
    ),
    "submit": Entry(
        "submit",
        "Write a submission to the shared task: a flat zip with one CSV, id,predicted_label, one row per test id.",
    ),
    "export": Entry(
        "export",
        "Write a bundle's encoders as int8, bf16 or ONNX, if they decide as before on labelled posts. Exit 3 if not.",
    ),
    "push": Entry(
        "push", "Push a bundle to the Hugging Face hub, as one commit; it is read from there as hf://ORG/NAME@REVISION."
    ),
    "inspect": Entry(
        "inspect",
        "Check every hash of a bundle, then show what is in it: members, languages, thresholds, settings, versions.",
    ),
    "reproduce": Entry(
        "reproduce",
        "Run the paper's approaches again: train what is missing, and print its values beside the measured ones.",
    ),
    "recipes": Entry("recipes", "List the shipped recipes, or show one with every setting resolved and explained."),
    "doctor": Entry(
        "doctor",
        "Look at this machine and installation: versions, extras, devices, disk, and a small bundle trained and "
        "loaded.",
    ),
    "help": Entry(
        "help",
        "Print a page of help: columns, flags, exit codes, formats, the files of a bundle, the first questions.",
    ),
}
"""In the order of help."""
