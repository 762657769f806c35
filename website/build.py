"""``python -m website.build``: put the pages together, build the site by MkDocs Material and by Zensical, look at both.

Both builds are strict: a warning is an error. Then every page of both is looked at: links and anchors lead somewhere,
and nothing is loaded from another place (website.check). The site stands in ``build/site`` (Zensical) and
``build/site-mkdocs``; open ``index.html`` in a browser.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from website.assemble import PAGES, ROOT, assemble
from website.check import problems

SITE, SECOND = ROOT / "build" / "site", ROOT / "build" / "site-mkdocs"


def main() -> int:
    """Build and look; the exit code."""
    names = assemble()
    plain = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"}  # the first: an advertisement of the theme
    builders = {
        SECOND: [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(SECOND)],
        SITE: [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
    }
    for folder, command in builders.items():
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        if done.returncode or re.search(r"\bwarning\b", said, re.IGNORECASE):
            print(said)
            print(f"{command[2]} says no")
            return 1
    found = [line for folder in builders for line in problems(folder)]
    if found:
        print(*found, sep="\n")
        return 1
    print(f"{len(names)} pages, built twice: {SITE / 'index.html'}, {SECOND / 'index.html'}; from {PAGES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
