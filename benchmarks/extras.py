"""A fresh environment per extra: install the wheel with it, import it, and how many megabytes it takes, as a table.

    python benchmarks/extras.py [EXTRA ...] [--wheel dist/polyvigil-0.1.0-py3-none-any.whl] [--torch torch==2.13.0+cpu]

Run it with the Python that is to be tried, 3.11 or newer; it needs nothing else.
``base`` is the wheel alone. Each environment is made, measured and removed, one after the other; what a download takes
counts in the seconds, unless uv is installed, which is taken in place of pip and keeps what it has fetched. Megabytes
are those of site-packages on the disk, without pip. ``--torch`` is installed first where an extra needs torch.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = {
    "base": "import polyvigil; polyvigil.train",
    "encoders": "import torch, transformers, peft; import polyvigil.learn.transformer",
    "ja": "import fugashi, unidic_lite",
    "onnx": "import onnx, onnxscript, onnxruntime; import polyvigil.nn.onnx",
    "zero-shot": "import gliner2; import polyvigil.learn.zeroshot",
    "serve": "import polyvigil.serve.app",
    "review": "import polyvigil.review.pages.app",
    "postgres": "import psycopg; import polyvigil.review.engine",
    "hub": "import huggingface_hub; import polyvigil.bundle.hub",
    "tensorboard": "import tensorboard.summary.writer.event_file_writer, polyvigil.tracking",
    "mlflow": "import mlflow; import polyvigil.tracking",
    "ray": "import ray; import polyvigil.scoring.ray_job",
    "ray-serve": "import ray.serve; import polyvigil.serve.ray_serve",
}
"""What shows that an extra is there: its libraries, and the module of the program that needs them."""
NEED_TORCH = {"encoders", "onnx", "zero-shot"}


def main() -> int:
    arguments = _arguments()
    extras = arguments.extras or [name for name in IMPORTS if name == "base" or name in _declared()]
    print("| extra | packages | MB | installed in, s | smoke import |", "|---|---|---|---|---|", sep="\n", flush=True)
    failed = False
    for extra in extras:
        row, ok = _measured(extra, arguments.wheel, arguments.torch)
        print(row, flush=True)
        failed |= not ok
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", choices=[*IMPORTS, []], help="else all of them")
    parser.add_argument("--wheel", default="", help="else the newest in dist/")
    parser.add_argument("--torch", default="torch", help="the build to install first where torch is needed")
    arguments = parser.parse_args()
    wheels = sorted((ROOT / "dist").glob("polyvigil-*.whl"), key=lambda path: path.stat().st_mtime)
    if not arguments.wheel and not wheels:
        parser.error("no wheel in dist/; make one: python -m build --wheel")
    arguments.wheel = arguments.wheel or str(wheels[-1])
    return arguments


def _declared() -> set[str]:
    """The extras of pyproject.toml."""
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


def _measured(extra: str, wheel: str, torch: str) -> tuple[str, bool]:
    """A row of the table, and whether the import went through."""
    folder = Path(tempfile.mkdtemp(prefix="extras-"))
    try:
        uv = shutil.which("uv")
        maker = [uv, "venv", "--quiet", "--clear", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]
        subprocess.run([*maker, folder], check=True)
        started = time.monotonic()
        target = wheel if extra == "base" else f"{wheel}[{extra}]"
        for requirement in ([torch] if extra in NEED_TORCH else []) + [target]:
            install = subprocess.run([*_installer(folder), requirement], capture_output=True, text=True, check=False)
            if install.returncode:
                print(install.stderr, file=sys.stderr)
                return f"| {extra} | | | | not installed: {_last_line(install.stderr)} |", False
        seconds = time.monotonic() - started
        smoke = subprocess.run(
            [folder / "bin/python", "-c", IMPORTS[extra]], capture_output=True, text=True, check=False
        )
        (packages,) = folder.glob("lib/python*/site-packages")
        own = [path for path in packages.iterdir() if not path.name.startswith(("pip", "_distutils", "setuptools"))]
        size = sum(file.stat().st_size for path in own for file in (path.rglob("*") if path.is_dir() else [path])
                   if file.is_file())  # fmt: skip
        result = "ok" if smoke.returncode == 0 else _last_line(smoke.stderr)
        count = sum(path.suffix == ".dist-info" for path in own)
        return f"| {extra} | {count} | {size / 1e6:,.0f} | {seconds:.0f} | {result} |", smoke.returncode == 0
    finally:
        shutil.rmtree(folder)


def _last_line(text: str) -> str:
    return "".join(text.strip().splitlines()[-1:])


def _installer(folder: Path) -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(folder / "bin/python")]
    return [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


if __name__ == "__main__":
    sys.exit(main())
