"""The base of results that are told as JSON."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Told(BaseModel):
    """Frozen, no unknown fields; half a surrogate pair in a name or an id, which JSON cannot hold, becomes U+FFFD."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _without_surrogates(cls, value: Any) -> Any:
        return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
