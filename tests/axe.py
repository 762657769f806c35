"""Where axe-core is, which checks pages for people who cannot see or use a mouse: in a wheel of the extra ``dev``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def axe_path() -> Path | None:
    """The file axe.min.js: what POLYVIGIL_AXE names, else that of the wheel axe-playwright-python."""
    if given := os.environ.get("POLYVIGIL_AXE", ""):
        return Path(given)
    wheel = importlib.util.find_spec("axe_playwright_python")
    folders = wheel.submodule_search_locations if wheel else None
    path = Path(next(iter(folders))) / "axe.min.js" if folders else None
    return path if path and path.is_file() else None
