# SPDX-License-Identifier: Apache-2.0
"""The control API against its own OpenAPI document: whatever is asked, it answers as that says, and never fails."""

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)
from unit.fakes import FakeDaemon

from vmm_keystore.control.access import Access
from vmm_keystore.control.app import make_app
from vmm_keystore.control.server import ControlServer

EXAMPLES = 25
# The document needs no service behind the application.
SCHEMA = schemathesis.openapi.from_dict(make_app(None, Access()).openapi())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server over a real store that nobody else uses; guests have no real sockets: they may have any path."""
    folder = tmp_path_factory.mktemp("schema")
    daemon = FakeDaemon(folder)
    server = ControlServer(make_app(daemon.keystore, Access.for_owners([os.geteuid()])), folder / "control.sock")
    server.start()
    transport = httpx.HTTPTransport(uds=str(server.path))
    with httpx.Client(transport=transport, base_url="http://keystored", timeout=30) as opened:
        yield opened
    server.stop()
    daemon.close()


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
def test_every_operation_answers_as_its_document_says(case: schemathesis.Case[Any], client: httpx.Client) -> None:
    """Valid requests and invalid ones: a status and a body of the document's, and no failure of the daemon."""
    request = case.as_transport_kwargs(base_url="http://keystored")
    del request["cookies"]  # the API has none
    if "data" in request:
        request["content"] = request.pop("data")
    response = client.request(**request)
    # What a document cannot say (a time that has passed, a key that is not there) may be refused all the same.
    excluded: list[Any] = [positive_data_acceptance]
    if case.method == "GET":
        # What a query says is text: what it is taken for is ours to say.
        excluded.append(negative_data_rejection)
    if case.path in {"/v1/keys/import", "/v1/keys/adopt"}:
        # Where a key is labelled so, GET shows it: what it allows is right, and another path's.
        excluded.append(allow_header_conformance)
    case.validate_response(response, excluded_checks=excluded)
