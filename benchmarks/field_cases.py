"""Files as people have them: run the commands that each case of a folder names, and show what was expected and got.

    python benchmarks/field_cases.py CASES -o table.md

A case is a folder of input files and a ``case.txt``: lines ``kind:`` and ``expected:``, and commands, one to a
line, that begin with ``polyvigil``; ``@B`` is a bundle of the demo, ``@T`` a scratch folder. The table has a
row for each command: its exit code, and the line that tells most. No case may end with a fault of the program.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 120


@dataclass(frozen=True)
class Case:
    """One folder of inputs."""

    folder: Path
    kind: str
    expected: str
    commands: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Case:
        lines = (folder / "case.txt").read_text(encoding="utf-8").splitlines()
        said = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        commands = tuple(line.split("   # ")[0].strip() for line in lines if line.strip().startswith("polyvigil "))
        return cls(folder, said.get("kind", ""), said.get("expected", ""), commands)


def run(case: Case, command: str, bundle: Path, scratch: Path) -> tuple[int, str]:
    """The exit code of a command, and the line that tells most: the error, or the last that it said."""
    words = shlex.split(command.replace("@B", str(bundle)).replace("@T", str(scratch)))[1:]
    done = subprocess.run(
        [sys.executable, "-m", "polyvigil", *words],
        cwd=case.folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        env={**os.environ, "COLUMNS": "160"},
        check=False,
    )
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    telling = next((line for line in lines if line.startswith("error:")), lines[-1] if lines else "")
    return done.returncode, telling.replace(str(scratch), "@T").replace(str(case.folder) + "/", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("cases", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    rows = ["| case | command | exit | got |", "|---|---|---|---|"]
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        demo = [sys.executable, "-m", "polyvigil", "demo", "-o", str(scratch / "demo"), "--quiet"]
        subprocess.run(demo, check=True, capture_output=True)
        for folder in sorted(path.parent for path in arguments.cases.glob("*/case.txt")):
            case = Case.read(folder)
            rows.append(f"| **{folder.name}** | {case.kind} | | expected: {case.expected} |")
            for command in case.commands:
                place = Path(tempfile.mkdtemp(dir=scratch))
                code, got = run(case, command, scratch / "demo" / "bundle", place)
                faults += "fault of the program" in got or code < 0
                shown = got.replace("|", "\\|")[:200]
                rows.append(f"| | `{command}` | {code} | {shown} |")
    table = "\n".join(rows) + f"\n\n{faults} faults of the program\n"
    if arguments.output:
        arguments.output.write_text(table, encoding="utf-8")
    else:
        print(table)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
