"""The balancer example's client as a command, in the process of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from balancing import a_backend, fill, picture

from examples.tcpbalancer import client


def test_the_client_command_says_by_its_status_whether_all_went_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "in", a=picture())
    with a_backend() as (host, port):
        options = ["--proxy", f"{host}:{port}", "--input", str(tmp_path / "in")]
        options += ["-w", "10", "--times", "3"]
        assert client.main([*options, "--output", str(tmp_path / "out")]) == 0
        assert "requests                 │ 3" in capsys.readouterr().out
        fill(tmp_path / "in", b=b"rubbish")
        assert client.main([*options, "--output", str(tmp_path / "out")]) == 1
        assert "b.jpg: NOT_A_PICTURE" in capsys.readouterr().out


def test_the_client_command_passes_on_how_pictures_are_wanted(tmp_path: Path) -> None:
    fill(tmp_path / "in", a=picture((80, 60)))
    with a_backend() as (host, port):
        options = ["--proxy", f"{host}:{port}", "--input", str(tmp_path / "in")]
        options += ["--output", str(tmp_path / "out"), "-w", "40", "-h", "40"]
        assert client.main([*options, "--mode", "fit", "--format", "png"]) == 0
        assert client.main([*options, "--mode", "cover", "--quality", "9"]) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["a-40x30.png", "a-40x40.jpg"]


def test_an_empty_directory_is_done_at_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    options = ["--proxy", "9", "--input", str(tmp_path / "in"), "-w", "1", "--dry-run"]
    assert client.main(options) == 0


def test_a_missing_directory_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--proxy", "9", "--input", str(tmp_path / "none"), "-w", "1", "--dry-run"]
    assert client.main(options) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_connections_are_between_the_least_and_the_most_and_both_occur(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    monkeypatch.setattr(client.Client, "resize", lambda self, root, paths, n: used.append(n))
    fill(tmp_path / "in", a=picture())
    options = ["--proxy", "9", "--input", str(tmp_path / "in"), "-w", "1", "--dry-run"]
    client.main([*options, "--minconns", "2", "--maxconns", "4", "--times", "200"])
    assert set(used) == {2, 3, 4}
