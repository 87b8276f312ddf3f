"""What is installed is what is in the tree, from what is in the lock, and nobody else is in our packages."""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from daemon.cli.startup import DISTRIBUTION, PACKAGES, check_packages
from daemon.kernel.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


def test_only_we_install_into_our_packages() -> None:
    """In this very environment; where we are not installed but checked out, nobody does."""
    owners = packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, [])) <= {DISTRIBUTION}


def test_an_intruder_in_our_packages_stops_the_start() -> None:
    """Such as python-daemon, which has a package of our name; the sentence names it and the exit code is 78."""
    owners = {"daemon": ["tradingd", "python-daemon"], "actors": ["tradingd"], "config": []}
    with pytest.raises(ConfigError) as caught:
        check_packages(owners)
    assert "python-daemon installs into our package 'daemon'" in str(caught.value)
    assert caught.value.exit_code == 78
    check_packages({"daemon": ["tradingd"]})
    check_packages()


def test_the_wheel_holds_every_tracked_file_of_the_packages(tmp_path: Path) -> None:
    """Code and data alike (models, profiles, templates, tables, schema), and no other top-level package."""
    wheel = next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == set(PACKAGES)
    answer = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    tracked = {name for name in answer.stdout.splitlines() if (ROOT / name).is_file()}
    assert tracked - names == set()


def locked() -> dict[str, list[Version]]:
    """Return the locked versions; several where they differ between Python versions."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]])
def test_the_lock_satisfies_every_requirement(text: str) -> None:
    """After changing a dependency the lock is compiled again (CONTRIBUTING.md)."""
    requirement = Requirement(text)
    versions = locked()[canonicalize_name(requirement.name)]
    assert [version for version in versions if version not in requirement.specifier] == []


def test_the_lock_has_hashes_and_names_no_place() -> None:
    """Each entry carries hashes; no index, no folder, no torch or CUDA package has slipped in."""
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) == sum(len(versions) for versions in locked().values())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?:|file:|--index-url|--find-links|\(/", LOCK.replace("--no-emit-index-url", "")) == []
    assert [name for name in locked() if name.startswith(("torch", "nvidia", "cuda", "triton"))] == []


REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_dependency_says_under_which_licence(requirement: str) -> None:
    """Beside each line of pyproject.toml stands its licence; none of the copyleft ones that would bind our users."""
    text = (ROOT / "pyproject.toml").read_text("utf-8").partition("[project]")[2]
    line = next(line for line in text.splitlines() if requirement in line)
    assert re.search(r"# .*\b(MIT|BSD|Apache|MPL)", line), line
    assert "GPL" not in line


def test_the_readme_and_ci_run_the_same_commands() -> None:
    """What a newcomer is told to type is what every change is checked with."""
    readme, script = (ROOT / "README.md").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    for command in ("pip install -q '.[test]'", "-m pytest -q", "tradingd demo"):
        assert command in readme, command
        assert command in script, command
