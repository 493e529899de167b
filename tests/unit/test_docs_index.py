"""The index of the documentation names every page, its links lead somewhere, and extras can be installed as written."""

import re
import sys
import tomllib
from importlib import util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slotzero.cli.main import app
from slotzero.errors import UsageError
from slotzero.perf import cluster

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
INSTALL = re.compile(r"\.venv/bin/python -m pip install -e '\.\[(\w+)\]'")


def test_every_page_stands_in_the_index_once() -> None:
    linked = re.findall(r"\]\(([^)]+)\)", (DOCS / "README.md").read_text())
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    runbooks = {page for page in pages if page.startswith("runbooks/") and page != "runbooks/README.md"}
    assert sorted(linked) == sorted(pages - runbooks)
    assert "(docs/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_extras_of_a_page_can_be_installed_as_it_says(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"slotzero\[\w+\]", text), "no index has a package of this name"
    assert set(INSTALL.findall(text)) <= set(EXTRAS)


def test_command_without_its_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.cli.top.find_spec", lambda name: None if name == "textual" else util.find_spec(name))
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused = CliRunner().invoke(app, ["top"]).exception
    assert isinstance(refused, UsageError)
    assert INSTALL.findall(str(refused)) == ["tui"]
    with pytest.raises(UsageError) as missing:
        cluster._require_dask()
    assert INSTALL.findall(str(missing.value)) == ["cluster"]
