"""What in the training posts gives labels away: a language or script of positives, a column such as ``origin``."""

from __future__ import annotations

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.gate import Gate, Measured, gate_of
from polyvigil.checks.check import script_counts
from polyvigil.checks.check_result import ScriptCount, checked_posts
from polyvigil.checks.findings import NEARLY_ALL, all_positive, nearly_all_positive, positives_only
from polyvigil.checks.label_leak import GIVES_AWAY, LabelLeak, measure_columns
from polyvigil.data.packed_strings import StringColumn
from polyvigil.data.read import Reading
from polyvigil.data.shown import shown_name
from polyvigil.types import Frozen


class TrainingAudit(Frozen):
    """``scripts`` is empty where no training posts were given."""

    scripts: tuple[ScriptCount, ...]
    columns: tuple[LabelLeak, ...]
    gates: tuple[Gate, ...]


def audit_training(reading: Reading, *, is_train: bool) -> TrainingAudit:
    """The ``origin`` and ``type`` of labelled posts as signs of the label; of training posts the languages too."""
    posts = checked_posts([reading])
    columns = measure_columns(
        {"origin": StringColumn(posts.posts.values("origin")), "type": posts.types},
        languages=StringColumn(posts.languages),
        labels=posts.labels,
        texts=posts.texts,
    )
    scripts = script_counts(posts) if is_train else ()
    return TrainingAudit(scripts=scripts, columns=columns, gates=(_share_gate(scripts), _column_gate(columns)))


def _share_gate(scripts: tuple[ScriptCount, ...]) -> Gate:
    """Every language in its script: the rule of ``polyvigil check``, its warnings too."""
    findings = tuple(item.model_copy(update={"severity": "error"}) for item in positives_only(scripts))
    shares = {
        f"{cell.language} in {cell.script} script": cell.training_positives / cell.training_posts
        for cell in scripts
        if cell.training_posts
    }
    worst = max(shares, key=lambda group: shares[group], default="")
    return Gate(
        name="positives-only",
        passed=not findings,
        limit=NEARLY_ALL,
        places=len(shares),
        worst=shares.get(worst),
        worst_at=worst,
        findings=findings,
    )


def _column_gate(columns: tuple[LabelLeak, ...]) -> Gate:
    measured = [
        Measured(
            group=f"{item.column} in {item.language}",
            value=item.auc,
            beyond=item.verdict == "gives-away",
            message=f"{item.language}: {shown_name(item.column)} gives the label away (AUC {item.auc:.2f} over "
            f"{item.posts:,} posts;"
            f" limit {GIVES_AWAY:g}), so the source can be learned in place of the ADE",
            advice="have both labels from each source, or report on each source by itself",
            language=item.language,
        )
        for item in columns
    ]
    return gate_of("giveaway", GIVES_AWAY, measured)


def record_gate(bundle: Bundle) -> Gate:
    """Languages that a member was fitted on with positives alone, or nearly so, by the member's own record.

    A language is measured once, by the record in which it stands worst: those of members of folds are nearly the same.
    Passes where the record counts no languages, as that of older bundles.
    """
    worst: dict[str, Measured] = {}
    for counts in dict.fromkeys(member.fit_record.counts for member in bundle.all_members):
        posts, positives = sum(row.posts for row in counts), sum(row.positives for row in counts)
        for row in counts:
            if row.posts in (0, posts):
                continue
            elsewhere = (positives - row.positives) / (posts - row.posts)
            cell = row.posts, row.positives, elsewhere
            one = Measured(
                group=row.language,
                value=row.positives / row.posts,
                beyond=all_positive(*cell) or nearly_all_positive(*cell),
                message=f"{row.language}: {row.positives:,} of the {row.posts:,} posts that the "
                "bundle was trained on"
                f" are positive ({row.positives / row.posts:.0%}; elsewhere {elsewhere:.1%}; limit"
                f" {NEARLY_ALL:.0%}), so the language itself is learned as the sign of an ADE",
                advice="train it again with negatives of the same source, or without these posts",
                language=row.language,
            )
            earlier = worst.get(row.language, one)
            worst[row.language] = max(earlier, one, key=lambda each: (each.beyond, each.value))
    return gate_of("trained-on-positives", NEARLY_ALL, list(worst.values()))
