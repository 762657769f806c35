"""The pages of the site, before they are built: every link leads somewhere, every page is in the navigation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.website.conftest import ROOT, documents, name
from website.check import problems
from website.reference import all_commands, api_page, click_command, commands_page, markdown_of, recipes_page

import polyvigil
from polyvigil.config.load import shipped
from website import assemble

READ = [*documents(), ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "RESULTS.md"]
KNOWN = assemble.pages()
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+\.md)?#([^()\s]+)\)")


def anchors(path: Path) -> set[str]:
    """The anchors of a file's headings, as the site and GitHub make them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = (re.sub(r"[`*]|\[|\]\([^)]*\)", "", title) for title in _HEADING.findall(text))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


@pytest.mark.parametrize("path", READ, ids=name)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken: list[str] = []
    assemble.linked(ROOT, name(path), KNOWN | {name(path): name(path)}, broken)
    assert broken == []


@pytest.mark.parametrize("path", READ, ids=name)
def test_every_anchor_is_there(path: Path) -> None:
    for target, anchor in _LINK.findall(path.read_text(encoding="utf-8")):
        other = path if not target else (path.parent / target).resolve()
        if other.is_file():  # pages that the code makes are looked at when they are built
            assert anchor in anchors(other), f"{name(path)}: {target}#{anchor}"


def test_every_page_is_in_the_navigation_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r": (\S+\.md)$", text, re.MULTILINE)
    made = {"reference/commands.md", "reference/api.md", "reference/recipes.md", "decisions/index.md"}
    decisions = {page for page in KNOWN.values() if page.startswith("decisions/")}
    assert sorted(listed) == sorted((set(KNOWN.values()) | made) - decisions)


def test_a_broken_link_is_an_error_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\n[b](b.md)\nand [over two\nlines](../code.py), [gone](gone.md)\n")
    (tmp_path / "docs" / "b.md").write_text("# B\n\n```sh\n[not](a-link.md)\n```\n")
    (tmp_path / "code.py").touch()
    with pytest.raises(ValueError, match=r"docs/a\.md:5: gone\.md"):
        assemble.assemble(tmp_path / "out", tmp_path)
    known, broken = assemble.pages(tmp_path), list[str]()
    assert assemble.linked(tmp_path, "docs/a.md", known, broken).startswith("# A\n\n[b](b.md)\nand over two\nlines, ")
    assert broken == ["docs/a.md:5: gone.md"]


@pytest.mark.parametrize(
    ("path", "target", "link"),
    [
        ("docs/guide.md", "../src/polyvigil/help/formats.md#quotes", "reference/formats.md#quotes"),
        ("docs/howto/gpu.md", "../guide.md#training", "../guide.md#training"),
        ("docs/measured.md", "../benchmarks/RESULTS.md", "benchmarks.md"),
        ("CHANGELOG.md", "docs/decisions/0020-hybrid.md", "decisions/0020-hybrid.md"),
        ("docs/index.md", "decisions", "decisions/index.md"),
        ("docs/index.md", "reference/api.md", "reference/api.md"),
        ("docs/honest-metrics.md", "../benchmarks/audit_figures.py", ""),
        ("docs/guide.md", "nothing.md", None),
        ("docs/guide.md", "https://example.org/x", "https://example.org/x"),
    ],
)
def test_links_become_those_of_the_site(path: str, target: str, link: str | None) -> None:
    assert assemble.site_link(ROOT, path, target, KNOWN) == link


def test_every_command_and_option_is_on_its_page() -> None:
    parts = dict(re.findall(r"^## ([a-z ]+)\n(.*?)(?=^## |\Z)", commands_page(), re.MULTILINE | re.DOTALL))
    assert set(parts) == set(all_commands())
    for command, text in parts.items():
        for parameter in click_command(command).params:
            if parameter.name not in ("json_", "quiet", "debug", "help") and parameter.param_type_name == "option":
                assert all(f"`{one}`" in text for one in parameter.opts), (command, parameter.opts)


def test_every_public_name_and_recipe_is_on_its_page() -> None:
    headings = set(re.findall(r"^## (\S+)$", api_page(), re.MULTILINE))
    assert headings == {*polyvigil.__all__, "sklearn.ADEClassifier"} - {"__version__"}
    assert re.findall(r"^## (\S+)$", recipes_page(), re.MULTILINE) == list(shipped())


def test_a_docstring_as_markdown() -> None:
    text = "What <user> is::\n\n    a  <b>\n      c\n\nAnd on."
    assert markdown_of(text) == "What &lt;user> is:\n\n```text\na  <b>\n  c\n```\nAnd on."


def test_what_is_wrong_in_a_built_site_is_found(tmp_path: Path) -> None:
    page = '<h1 id="a">A</h1><p>text</p><a href="b.html#b">b</a><a href="#c">c</a><a href="d.html">d</a>'
    (tmp_path / "a.html").write_text(f'{page}<script src="https://example.org/x.js"></script><img src="no.png">')
    (tmp_path / "b.html").write_text('<h1 id="b">B</h1><p>* left</p><code>* not</code><p>[x](y)</p>')
    (tmp_path / "x.css").write_text("a { background: url(https://example.org/x.png) }")
    said = "\n".join(problems(tmp_path))
    for part in ("#c, where", "d.html, which", "loads https://example.org/x.js", "no.png is not there"):
        assert part in said
    assert "x.css: loads from another place" in said
    assert "no index of the search" in said
    assert "](y)" in said
    assert "b.html#b" not in said
