"""Where clusters lie, and how they are found by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.bootstrap.directory import ClusterDirectory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "pilothouse"


def made(name: str | None, path: Path) -> ClusterDirectory:
    directory = ClusterDirectory.of(name, str(path))
    directory.create()
    directory.remember({"name": directory.name, "port": 6443})
    directory.register()
    return directory


def test_a_cluster_elsewhere_is_found_by_its_name_or_its_place(tmp_path: Path) -> None:
    made("b", tmp_path / "elsewhere")
    by_name, by_place = ClusterDirectory.of("b"), ClusterDirectory.of(None, str(tmp_path / "elsewhere"))
    assert by_name.exists()
    assert by_place.name == "b"
    assert by_name.option() == by_place.option() == " --name b"
    assert [d.name for d in ClusterDirectory.all()] == ["b"]


@pytest.mark.parametrize("data_dir", [False, True])
def test_its_link_goes_with_it(tmp_path: Path, home: Path, data_dir: bool) -> None:
    made("b", tmp_path / "elsewhere")
    ClusterDirectory.of("b", str(tmp_path / "elsewhere") if data_dir else None).remove()
    assert not (tmp_path / "elsewhere").exists()
    assert list(home.iterdir()) == []


def test_a_link_to_what_is_gone_is_in_nobodys_way(tmp_path: Path) -> None:
    made("b", tmp_path / "elsewhere").path.rename(tmp_path / "moved")
    assert ClusterDirectory.all() == []
    ClusterDirectory.of("b").create()
    assert ClusterDirectory.of("b").path.is_dir()


def test_names_that_are_taken_stay_with_whom_they_are(tmp_path: Path, home: Path) -> None:
    own = ClusterDirectory.of("b")
    own.create()
    own.remember({"name": "b"})
    assert made("b", tmp_path / "elsewhere").option() == f" --data-dir {tmp_path / 'elsewhere'}"
    assert ClusterDirectory.of("b").path.resolve() == home / "b"


def test_the_default_cluster_is_never_elsewhere(tmp_path: Path) -> None:
    assert made(None, tmp_path / "elsewhere").name == "default"
    assert not ClusterDirectory.of(None).exists()
