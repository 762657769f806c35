"""Counts of the posts of a part, kept while they are decided."""

from __future__ import annotations

from collections import Counter
from itertools import compress

from polyvigil.bundle.store import Bundle
from polyvigil.data.languages import LanguageSpellings
from polyvigil.data.read import RowErrorCounts
from polyvigil.scoring.job import Counts, Job, LanguageCounts
from polyvigil.scoring.remote import RemoteBundle
from polyvigil.scoring.wire import ABSTAINED, DecisionColumns, judging_in
from polyvigil.text.normalise import MISSING_TEXT


class RunningCounts:
    """Counts of the decisions of one part: ``add`` takes them as they come, ``counts`` gives them at the end."""

    def __init__(self, bundle: Bundle | RemoteBundle, job: Job) -> None:
        self._bundle = bundle
        self._output_facts = job.facts.at(job.how.prevalence)
        self._posts: Counter[str] = Counter()
        self._flagged: Counter[str] = Counter()
        self._abstained: Counter[str] = Counter()
        self._no_text = 0
        self._missing = 0
        self._judging: Counter[str] = Counter()

    def add(self, decisions: DecisionColumns) -> None:
        """Count some decisions; without columns there are none."""
        if not decisions:
            return
        languages = decisions["language"]
        self._posts.update(languages)
        self._flagged.update(compress(languages, decisions["decision"]))
        self._abstained.update(compress(languages, (source == ABSTAINED for source in decisions["threshold_source"])))
        for flags, posts in Counter(decisions["flags"]).items():
            if judging := judging_in(flags):
                self._judging[judging] += posts
            reasons = [flag.removeprefix("no_text:") for flag in flags if flag.startswith("no_text")]
            self._no_text += len(reasons) * posts
            self._missing += sum(reason in MISSING_TEXT for reason in reasons) * posts

    def counts(self, row_errors: RowErrorCounts, spellings: LanguageSpellings, *, copied: int) -> Counts:
        """All of it, with the row errors and the spellings of languages beside."""
        return Counts(
            posts=self._posts.total(),
            flagged=self._flagged.total(),
            no_text=self._no_text,
            missing=self._missing,
            copied=copied,
            set_aside=row_errors.total,
            languages=tuple(self._language(language) for language in sorted(self._posts)),
            faults=row_errors.kinds,
            spellings=spellings.spellings,
            judging=tuple(sorted(self._judging.items())),
        )

    def _language(self, language: str) -> LanguageCounts:
        threshold = self._bundle.policy.threshold(language)
        return LanguageCounts(
            language=language,
            posts=self._posts[language],
            flagged=self._flagged[language],
            threshold=threshold.value,
            threshold_source=threshold.source,
            trained=self._bundle.is_trained_on(language),
            threshold_warnings=threshold.warnings,
            prevalence=self._output_facts.prevalence_of(language),
            abstained=self._abstained[language],
        )
