"""The YAML writer: what it writes is read back as what it was given, by a reader of its own kind."""

import importlib
from typing import Any

import pytest

from observe_lab import benchmark
from slotzero.observe.dashboards.files import exported
from slotzero.observe.yaml_text import Yaml, as_yaml

read: Any = importlib.import_module("yaml").safe_load

DOCUMENTS: list[dict[str, Yaml]] = [
    {"a": {"b": [1, 2.5, True, "x"], "c": {}}, "d": [], "e": ""},
    {"list": [{"name": "one", "inner": [{"deep": ["x", {"y": 1}]}]}, "two", ["three", "four"]]},
    {"text": "line one\nline two: with colon\n  indented # no comment"},
    {"quotes": 'it\'s a "thing"', "colon": "a: b", "hash": "a # b", "brace": "{{ $value }}", "dash": "- x"},
    {"looks": ["true", "No", "null", "1", "1e3", "0x1f", "2020-01-01", "~", "*", "&a", "%", "5m", "120s", "y", " x "]},
    {"strange": "tab\tescape\x1b unicode \u2028 \U0001f680 \x00"},
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_is_read_back_as_it_was(document: dict[str, Yaml]) -> None:
    assert read(as_yaml(document, comment="a comment\nof two lines")) == document


def test_every_exported_file_is_yaml_and_says_what_it_is_for() -> None:
    for name, text in exported(measured=[benchmark("EXECUTION", [200.0] * 50)]).items():
        if name.endswith(".yml"):
            assert isinstance(read(text), dict), name
            assert text.startswith("# "), name


def test_grafana_finds_its_data_source_and_its_dashboards() -> None:
    files = exported()
    (source,) = read(files["provisioning/datasources/slotzero.yml"])["datasources"]
    assert (source["type"], source["access"], source["isDefault"]) == ("prometheus", "proxy", True)
    assert source["jsonData"]["timeInterval"] == "15s"
    (provider,) = read(files["provisioning/dashboards/slotzero.yml"])["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/slotzero"
