"""Where secrets may come from, and from where they are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.kernel.errors import ConfigError
from daemon.service.credentials import BYTES_MAX, read_credential, variable_of

CANARY = "canary-4f1d-secret"


def put(path: Path, content: bytes = CANARY.encode() + b"\n", mode: int = 0o600) -> Path:
    """Write a file with a mode."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_manager_comes_before_a_file_and_a_file_before_the_environment(tmp_path: Path) -> None:
    """The first source that has it wins, and the secret knows where it is from; nobody has it: None."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    environ = {"TRADINGD_DEVELOPMENT": "1", "TRADINGD_CREDENTIAL_SLACK_TOKEN": "from-environment"}
    assert read_credential("slack_token", {}) is None
    found = read_credential("slack_token", environ)
    assert found is not None
    assert (found.reveal(), found.source) == ("from-environment", "TRADINGD_CREDENTIAL_SLACK_TOKEN")
    file = put(tmp_path / "token", b"from-file\r\n")
    found = read_credential("slack_token", environ, file=file)
    assert found is not None
    assert found.reveal() == "from-file"
    environ["CREDENTIALS_DIRECTORY"] = str(folder)
    put(folder / "slack_token", b"from-systemd", 0o440)
    found = read_credential("slack_token", environ, file=file)
    assert found is not None
    assert (found.reveal_bytes(), found.source) == (b"from-systemd", "CREDENTIALS_DIRECTORY/slack_token")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o610])
def test_a_file_that_others_can_open_is_refused(mode: int, tmp_path: Path) -> None:
    """Also where it would only be writable: the sentence says the mode and what to do."""
    file = put(tmp_path / "token", mode=mode)
    with pytest.raises(ConfigError, match=rf"can be read by others \(mode 0{mode:o}\); chmod 0600") as caught:
        read_credential("token", {}, file=file)
    assert caught.value.exit_code == 78
    assert CANARY not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """Who owns it could change it."""
    file = put(tmp_path / "token")
    os.chown(file, 12_345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        read_credential("token", {}, file=file)


def test_what_is_no_usable_file_is_told(tmp_path: Path) -> None:
    """Missing, a folder, a pipe nobody writes to, empty, too large, no text: each in its own words."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    cases = {
        tmp_path / "none": "does not exist; make it with mode 0600",
        tmp_path: "is not a file",
        pipe: "is not a file",
        put(tmp_path / "empty", b"\n"): "is empty",
        put(tmp_path / "large", b"x" * (BYTES_MAX + 1)): "is larger than",
    }
    for path, words in cases.items():
        with pytest.raises(ConfigError, match=words):
            read_credential("token", {}, file=path)
    found = read_credential("token", {}, file=put(tmp_path / "binary", b"\xff\xfe123"))
    assert found is not None
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        found.reveal()


def test_the_environment_is_refused_outside_development() -> None:
    """A secret there is already known to every child; saying so beats using it."""
    variable = variable_of("slack_token")
    with pytest.raises(ConfigError, match="stands in the environment") as caught:
        read_credential("slack_token", {variable: CANARY})
    assert CANARY not in str(caught.value)
    assert "LoadCredential=slack_token:FILE" in str(caught.value)


@pytest.mark.parametrize("name", ["../etc/shadow", "a/b", "", "A", ".hidden", "x" * 70])
def test_a_name_cannot_leave_the_folder(name: str, tmp_path: Path) -> None:
    """Names are names."""
    with pytest.raises(ConfigError, match="is no name of a credential"):
        read_credential(name, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_secret_does_not_show_itself(tmp_path: Path) -> None:
    """Not printed, not formatted, not in a container."""
    found = read_credential("token", {}, file=put(tmp_path / "token"))
    assert found is not None
    shown = f"{found} {found!r} {[found]} {{'x': found}}"
    assert CANARY not in shown
    assert str(tmp_path / "token") in shown
    assert found.reveal() == CANARY
