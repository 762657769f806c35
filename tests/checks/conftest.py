"""The bundle and the evaluations of tests/evaluation, for these tests too."""

from tests.evaluation.conftest import (
    clean_evaluation,
    clean_measured,
    dev_measured,
    report_bundle,
    report_evaluation,
    report_measured,
    report_policy,
    trained_bundle,
)

__all__ = [
    "clean_evaluation",
    "clean_measured",
    "dev_measured",
    "report_bundle",
    "report_evaluation",
    "report_measured",
    "report_policy",
    "trained_bundle",
]
