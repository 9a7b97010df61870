# SPDX-License-Identifier: Apache-2.0
"""An error as an HTTP response."""

from starlette.responses import Response

from vmm_keystore.control.errors import error_answer
from vmm_keystore.errors import KeystoreError


def refuse(error: KeystoreError) -> Response:
    """Make the response for *error*."""
    status, body = error_answer(error)
    return Response(body.model_dump_json(), status, media_type="application/json")
