"""``polyvigil inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyvigil.cli.command import command
from polyvigil.cli.options import BundleFolder
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle


@command(examples=("polyvigil inspect BUNDLE", "polyvigil inspect BUNDLE --json"))
def inspect(out: Output, bundle: BundleFolder) -> Answer:  # noqa: ARG001
    """Check every hash of a bundle, then show what is in it: members, languages, thresholds, settings, versions."""
    from polyvigil.bundle import layout, store
    from polyvigil.cli.views.bundle import stacks
    from polyvigil.scoring.facts import output_facts

    loaded = store.load(bundle)
    manifest = loaded.manifest
    recipe = store.read_document(bundle, layout.RECIPE) if layout.RECIPE in manifest.files else ""
    data = {
        "manifest": manifest.model_dump(mode="json"),
        "combination": loaded.combination_record.model_dump(mode="json"),
        "policy": loaded.policy.model_dump(mode="json"),
        "prevalence": dict(output_facts(loaded).prevalence),
        "members": [member.fit_record.model_dump(mode="json") for member in loaded.all_members],
        "stacked": [stack.model_dump(mode="json") for stack in stacks(loaded.all_members)],
        "recipe": recipe,
    }
    return Answer(data, _lines(loaded, recipe))


def _lines(loaded: Bundle, recipe: str) -> list[str]:
    from polyvigil.cli.views.bundle import (
        cascade_lines,
        coverage_lines,
        judge_lines,
        prevalence_lines,
        stack_lines,
        stacks,
        threshold_lines,
    )
    from polyvigil.scoring.facts import output_facts

    manifest, combination = loaded.manifest, loaded.combination_record
    weights = [f", weight {weight:.4g}" for weight in combination.weights] or [""] * len(loaded.all_members)
    coverage = coverage_lines(combination.coverage) if combination.coverage else []
    cascade = ["", *cascade_lines(combination.cascade)] if combination.cascade else []
    judge = ["", *judge_lines(combination.judge)] if combination.judge else []
    size = sum(entry.bytes for entry in manifest.files.values())
    return [
        f"bundle {manifest.id}, {size / 1e6:,.1f} MB, {len(manifest.files)} files, all hashes match",
        f"created {manifest.created} with " + ", ".join(f"{name} {v}" for name, v in manifest.libraries.items()),
        f"normalisation {manifest.normalisation}",
        "",
        *(
            f"member {entry.folder}: seed {member.fit_record.seed}, {member.fit_record.posts:,} posts,"
            f" {member.fit_record.positives:,} positive{weight}"
            for entry, member, weight in zip(manifest.all_members, loaded.all_members, weights, strict=True)
        ),
        *(f"{name}: masked texts of posts, for whoever has the bundle to read" for name in manifest.files_with_posts),
        *coverage,
        *cascade,
        *judge,
        *stack_lines(stacks(loaded.all_members)),
        f"trained languages: {', '.join(manifest.trained_languages) or 'none'}",
        "",
        *threshold_lines(loaded.policy),
        *prevalence_lines(output_facts(loaded)),
        "",
        recipe.rstrip(),
    ]
