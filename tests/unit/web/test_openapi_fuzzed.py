"""The API against its own description: whatever is asked of it, it answers as described, and never with a fault."""

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from report_lab import full_document
from slotzero.perf.result_file import write_result_file
from slotzero.web.app import make_app
from web_lab import TOKEN, site

FOLDER = Path(mkdtemp(prefix="slotzero-fuzz-"))
(FOLDER / "runs").mkdir()
write_result_file(FOLDER / "runs" / "before.json", full_document())
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", make_app(site(FOLDER)), headers={"Host": "127.0.0.1:9464"})
# The stream has no end, and /metrics needs a bot: a browser and Prometheus test those.
TESTED = SCHEMA.exclude(path_regex="^/(metrics|api/v1/performance/stream)$")


@TESTED.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case: Case[Any]) -> None:
    answer = case.call(headers={"Host": "127.0.0.1:9464", "Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert list(answer.json()) == ["error"]
    case.validate_response(answer, checks=[not_a_server_error, content_type_conformance, response_schema_conformance])
