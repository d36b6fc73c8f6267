"""Real DVC and Git repositories."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.server.data.conftest import Adder, write_patients

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.sources.dvc import Address, read_address

ROLES = {"visit": "identifier", "ward": "group"}
YAML = "columns: {patient: {role: personal}}\n"


def run(folder: Path, *command: str) -> str:
    environment = {
        "HOME": str(folder.parent),
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(folder.parent / "dvc-global"),
        "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site"),
    }
    identity = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")}  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=environment | identity, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "dvc-global"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc-site"))
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    run(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    storage = str(tmp_path / "storage")
    run(folder, sys.executable, "-m", "dvc", "remote", "add", "--default", "storage", storage)
    for tag, rows in (("v1", 100), ("v2", 200)):
        write_patients(folder / "data" / "patients.csv", rows)
        (folder / "data" / "patients.csv.yaml").write_text(YAML)
        run(folder, sys.executable, "-m", "dvc", "add", "--quiet", "data/patients.csv")
        run(folder, "git", "add", "--all")
        run(folder, "git", "commit", "--quiet", "--message", tag)
        run(folder, "git", "tag", tag)
        run(folder, sys.executable, "-m", "dvc", "push", "--quiet")
    return folder


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:ResourceWarning")
def test_a_tracked_path_at_a_revision(add: Adder, repository: Path, tmp_path: Path) -> None:
    path = repository / "data" / "patients.csv"
    first = add(f"dvc://{path}@v1", **ROLES).version
    assert (first.rows, first.number) == (100, 1)
    assert first.origin.git_commit == run(repository, "git", "rev-parse", "v1")
    tracked = run(repository, "git", "show", "v1:data/patients.csv.dvc")
    assert first.origin.dvc_hash.removeprefix("md5:") in tracked
    plain = tmp_path / "plain.csv"
    write_patients(plain, 100)
    Path(f"{plain}.yaml").write_text(YAML)
    assert add(plain, "plain", **ROLES).version.sha256 == first.sha256, "only the rows count"

    elsewhere = f"dvc://file://{repository}#data/patients.csv@v2"
    assert add(elsewhere, **ROLES).version.rows == 200
    for wrong in (
        f"{path}@v3",
        f"{repository}/data/none.csv@v1",
        f"{path}.yaml@v1",
        f"{tmp_path}/x@v1",
    ):
        with pytest.raises(LamplighterError) as caught:
            add(f"dvc://{wrong}")
        assert caught.value.code == "SOURCE_UNREADABLE"


def test_addresses() -> None:
    assert read_address("dvc://a/b@c.csv@v1") == Address("", "a/b@c.csv", "v1")
    remote = read_address("dvc://ssh://git@example.org/x.git#data@main")
    assert remote == Address("ssh://git@example.org/x.git", "data", "main")
    for wrong in ("dvc://", "dvc://a", "dvc://a@", "dvc://@v1", "dvc://#a@v1"):
        with pytest.raises(LamplighterError) as caught:
            read_address(wrong)
        assert caught.value.code == "SOURCE_UNREADABLE"
