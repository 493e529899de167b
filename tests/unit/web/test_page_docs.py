"""What the documents say of the API, and what is vendored, is as it is."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

from slotzero.cli.run import run
from slotzero.cli.serve import serve
from slotzero.web.app import operations
from slotzero.web.pages import VIEWS
from web_lab import closed_trace, site

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_reference_lists_every_address(tmp_path: Path) -> None:
    listed = re.findall(
        r"^\| `((?:GET|POST) [^`]+)` \| ([^|]+) \|", (DOCS / "reference" / "api.md").read_text(), re.MULTILINE
    )
    assert listed == [(f"{one.method.upper()} {one.path}", one.summary) for one, _ in operations(site(tmp_path))]


def test_reference_names_every_stage() -> None:
    section = (DOCS / "reference" / "api.md").read_text().partition("## A snipe's stages")[2]
    listed = re.findall(r"^\| ([a-z ]+) \| (own|waited|held|beside) \|", section, re.MULTILINE)
    assert listed == [(stage.name, stage.kind) for stage in closed_trace().stages()]


def test_howto_names_options_and_views_that_exist() -> None:
    text = (DOCS / "how-to" / "page.md").read_text()
    known = {name.replace("_", "-") for name in (*run.__annotations__, *serve.__annotations__)}
    assert set(re.findall(r"`--([a-z-]+)", text)) <= known | {"save-baseline"}
    assert {f"/{view}" for view in re.findall(r"^\| [A-Z][a-z ]+ \| `/([a-z]+)", text, re.MULTILINE)} == set(VIEWS) - {
        "/"
    }
    for image in re.findall(r"\]\(\.\./images/([^)]+)\)", text):
        assert 0 < (DOCS / "images" / image).stat().st_size <= 150_000


def test_vendored_files_are_the_ones_that_were_chosen() -> None:
    folder = files("slotzero.web") / "static"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "MIT" in (folder / "uPlot.LICENSE.txt").read_text()
