"""How scored posts are watched over time: options of ``polyvigil monitor``, no section of a recipe."""

from __future__ import annotations

from pydantic import Field

from polyvigil.config.base import Spec


class MonitorSpec(Spec):
    """Which weeks are the reference, and how many false alarms are allowed."""

    reference_weeks: int = Field(
        default=8, ge=4, le=52, description="the first weeks of a bundle, with which later ones are compared"
    )
    false_alarms: float = Field(
        default=0.6,
        gt=0,
        le=13,
        description="false alarms in 13 weeks for which the limits are set, over all charts of the monitor together",
    )
