# SPDX-License-Identifier: Apache-2.0
"""Where the CLI looks for keystored."""

from pathlib import Path

import pytest

from vmm_keystore.cli import session
from vmm_keystore.cli.session import Place

SOCKET = {"VMM_KEYSTORE_CONTROL_SOCKET": "/e/sock"}
FOLDER = {"VMM_KEYSTORE_STATE_DIR": "/e/dir"}


@pytest.mark.parametrize(
    ("place", "environment", "expected"),
    [
        (Place(), {}, "/var/lib/vmm-keystore/control.sock"),
        (Place(), FOLDER, "/e/dir/control.sock"),
        (Place(), SOCKET, "/e/sock"),
        (Place(), SOCKET | FOLDER, "/e/sock"),
        (Place(), {"VMM_KEYSTORE_CONTROL_SOCKET": ""}, "/var/lib/vmm-keystore/control.sock"),
        (Place(state_dir=Path("/o")), SOCKET | FOLDER, "/o/control.sock"),
        (Place(control_socket=Path("/o/s")), SOCKET | FOLDER, "/o/s"),
        (Place(control_socket=Path("/o/s"), state_dir=Path("/o")), {}, "/o/s"),
    ],
)
def test_what_was_said_wins_over_the_environment(place: Place, environment: dict[str, str], expected: str) -> None:
    assert place.resolve_control_socket(environment) == Path(expected)


def test_socket_of_the_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody says anything, it comes before the default folder's; not where a folder is named."""
    packaged = tmp_path / "control.sock"
    monkeypatch.setattr(session, "DEFAULT_CONTROL_SOCKET", packaged)
    assert Place().resolve_control_socket({}) == Path("/var/lib/vmm-keystore/control.sock")
    packaged.touch()
    assert Place().resolve_control_socket({}) == packaged
    assert Place().resolve_control_socket(FOLDER) == Path("/e/dir/control.sock")
    assert Place(state_dir=Path("/var/lib/vmm-keystore")).resolve_control_socket({}).parent != tmp_path


def test_the_inner_place_hides_the_outer_one_whole() -> None:
    """A socket named before the command must not win over a folder named behind it."""
    outer = Place(control_socket=Path("/outer"))
    assert Place(state_dir=Path("/inner")).under(outer) == Place(state_dir=Path("/inner"))
    assert Place().under(outer) == outer
