"""The notebook of the documentation runs from top to bottom, and stands in the repository without outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

import polyvigil

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "first_steps.ipynb"

pytest.importorskip("ipykernel")


@pytest.mark.filterwarnings("default")  # of Jupyter's own libraries
def test_the_notebook_runs_and_is_kept_without_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    monkeypatch.setenv("PYTHONPATH", str(Path(polyvigil.__file__).parents[1]))
    for folder in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(folder, str(tmp_path / folder))
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    assert "tuning thresholds on" in printed
    assert "True True" in printed
    tables = [
        output.data["text/html"] for cell in cells for output in cell.outputs if "text/html" in output.get("data", {})
    ]
    assert "<td>en</td>" in tables[1]
    assert len(tables) == 5
