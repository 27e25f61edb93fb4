"""What the balancer example's client does on its own: options, files, figures."""

from __future__ import annotations

import io
import os
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from rich.console import Console

from examples.tcpbalancer.files import Outputs, pictures_below
from examples.tcpbalancer.options import (
    address,
    backend_parser,
    check_client,
    client_parser,
    proxy_parser,
)
from examples.tcpbalancer.progress import Meter
from examples.tcpbalancer.statistics import Statistics, percentile
from examples.tcpbalancer.texts import brief, printable, size_text

#: As much of a picture as the client looks at.
JPEG = b"\xff\xd8\xff and so on"

CLIENT = ["--proxy", "4000", "--input", "in", "--output", "out", "-w", "100"]


def test_pictures_are_found_by_name_or_by_first_bytes_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.JPEG").write_bytes(b"whatever")
    (tmp_path / "nameless").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    (tmp_path / "notes.txt").write_bytes(b"no picture")
    (tmp_path / "link.png").symlink_to(tmp_path / "nameless")
    found = pictures_below(tmp_path)
    assert [path.name for path in found] == ["nameless", "a.JPEG"]


def test_results_below_the_input_directory_are_no_originals(tmp_path: Path) -> None:
    Outputs(tmp_path / "out").write(Path("a.jpg"), 1, 1, "JPEG", JPEG)
    assert pictures_below(tmp_path, without=tmp_path / "out" / ".." / "out") == []
    assert len(pictures_below(tmp_path)) == 1


def test_a_pipe_is_no_picture_whatever_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    assert pictures_below(tmp_path) == []


def test_an_empty_directory_has_no_pictures_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert pictures_below(tmp_path) == []
    with pytest.raises(NotADirectoryError):
        pictures_below(tmp_path / "missing")


def test_a_result_is_named_by_its_size_and_format_and_keeps_its_sub_directory(
    tmp_path: Path,
) -> None:
    path = Outputs(tmp_path / "deep" / "out").write(Path("sea/a.JPEG"), 30, 20, "JPEG", JPEG)
    assert path.relative_to(tmp_path) == Path("deep/out/sea/a-30x20.jpg")
    assert path.read_bytes() == JPEG
    assert os.listdir(path.parent) == ["a-30x20.jpg"]


def test_two_originals_never_share_a_result_and_one_original_keeps_its_own(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path)
    names = [
        outputs.write(Path(original), 1, 1, "JPEG", JPEG).relative_to(tmp_path).as_posix()
        for original in ("a.jpg", "a.jpeg", "b/a.jpg", "a.jpg")
    ]
    assert names == ["a-1x1.jpg", "a-1x1-2.jpg", "b/a-1x1.jpg", "a-1x1.jpg"]


@pytest.mark.parametrize("original", ["../a.jpg", "sub/../../a.jpg", "/a.jpg"])
def test_a_result_never_leaves_the_output_directory(tmp_path: Path, original: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        Outputs(tmp_path / "out").write(Path(original), 1, 1, "JPEG", JPEG)


def test_a_link_in_the_output_directory_is_no_way_out(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "out")
    (tmp_path / "out" / "sub").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="outside"):
        outputs.write(Path("sub/a.jpg"), 1, 1, "JPEG", JPEG)


@pytest.mark.parametrize("kind", ["", "GIF", "../JPEG"])
def test_a_format_that_a_server_made_up_is_no_extension(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Outputs(tmp_path).write(Path("a.jpg"), 1, 1, kind, JPEG)


@pytest.mark.parametrize(
    ("width", "height", "kind", "data"),
    [(0, 1, "JPEG", JPEG), (1, 0, "JPEG", JPEG), (1, 1, "PNG", JPEG), (1, 1, "JPEG", b"#!/bin/sh")],
)
def test_what_is_no_picture_of_its_format_and_size_is_not_written(
    tmp_path: Path, width: int, height: int, kind: str, data: bytes
) -> None:
    with pytest.raises(ValueError, match=f"no {kind} of {width}x{height}"):
        Outputs(tmp_path).write(Path("a.jpg"), width, height, kind, data)
    assert os.listdir(tmp_path) == []


def test_an_address_is_a_host_and_a_port_or_a_port_alone() -> None:
    assert address("example.org:80") == ("example.org", 80)
    assert address("[::1]:80") == ("::1", 80)
    assert address("4000") == address(":4000") == ("127.0.0.1", 4000)
    for wrong in (
        "",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:-1",
        "host:8o",
        f"{'x' * 64}:80",
    ):
        with pytest.raises(ArgumentTypeError):
            address(wrong)


def test_the_options_are_the_seeds_own() -> None:
    proxy = proxy_parser().parse_args(
        ["-p", "1", "-u", "a:2", "--upstream", "b:3", "--maxconns", "4"]
    )
    assert (proxy.upstream, proxy.maxconns) == ([("a", 2), ("b", 3)], 4)
    backend = backend_parser().parse_args(["--port", "0", "--name", "b1", "--loglevel", "2"])
    assert (backend.port, backend.name, backend.loglevel) == (("127.0.0.1", 0), "b1", 2)
    client = client_parser().parse_args([*CLIENT, "-h", "50", "--times", "2", "--dry-run"])
    assert (client.width, client.height, client.times, client.dry_run) == (100, 50, 2, True)


@pytest.mark.parametrize(
    "wrong", ["--unknown", "--dry", "--times=0", "--minconns=x", "-h=-1", "--quality=101"]
)
def test_unknown_abbreviated_and_senseless_options_are_refused(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        client_parser().parse_args([*CLIENT, wrong])
    assert caught.value.code == 2
    assert "usage: python -m examples.tcpbalancer.client" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x" * 65, "b\n1", "b\x1b[2J", "b\udcff"])
def test_a_name_that_is_too_long_or_not_printable_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        backend_parser().parse_args(["--port", "0", "--name", name])
    assert "printable" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--proxy", "1", "--input", "in", "--output", "out"],
        ["--proxy", "1", "--input", "in", "-w", "1"],
        ["--proxy", "1", "--input", "in", "--output", "in/../in", "-w", "1"],
        [*CLIENT, "--minconns", "3", "--maxconns", "2"],
        [*CLIENT, "--report", "no/such/directory/report.html"],
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str]) -> None:
    parser = client_parser()
    with pytest.raises(SystemExit):
        check_client(parser, parser.parse_args(arguments))


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, part) for part in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) == 0


def test_failures_are_counted_apart_with_their_reasons() -> None:
    statistics = Statistics()
    statistics.succeeded("b1", 0.2, 0.1)
    statistics.refused("DAMAGED", "b2")
    statistics.refused("LOST")
    rows = dict(statistics.rows())
    assert (rows["requests"], rows["ok"]) == ("3", "1")
    assert rows["failed"] == "2 (DAMAGED 1, LOST 1)"
    assert rows["latency p50 / p95 / p99"] == "200 / 200 / 200 ms"
    assert (rows["share of b1"], rows["share of b2"]) == ("1 (50 %)", "1 (50 %)")


def test_statistics_of_nothing_can_be_shown() -> None:
    assert dict(Statistics().rows())["requests"] == "0"


HOSTILE = "[/b] \x1b[2J \udcff"


@pytest.mark.parametrize("terminal", [True, False])
def test_strangers_words_neither_steer_the_terminal_nor_break_the_output(terminal: bool) -> None:
    statistics = Statistics()
    statistics.refused(HOSTILE, HOSTILE)
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    console = Console(file=out, force_terminal=terminal, color_system=None, width=120)
    with Meter("drawing", 1, console) as meter:
        meter.step(HOSTILE)
    console.print(statistics.table())
    out.flush()
    said = out.buffer.getvalue().decode()
    assert "[/b] ?[2J ?" in said
    assert "\x1b[2J" not in said


@pytest.mark.parametrize(("terminal", "lines"), [(True, 0), (False, 10)])
def test_progress_is_a_bar_on_a_terminal_and_a_few_lines_elsewhere(
    terminal: bool, lines: int
) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, color_system=None)
    with Meter("drawing", 100, console) as meter:
        for _ in range(100):
            meter.step("x")
    assert abs(out.getvalue().count(" of 100") - lines) <= 1
    assert ("100/100" in out.getvalue()) == terminal


def test_what_can_be_shown_is_shown_as_it_is() -> None:
    assert printable("Übung 1: a/b-30x20.jpg [x]") == "Übung 1: a/b-30x20.jpg [x]"


def test_what_is_logged_of_an_error_is_printable_and_short() -> None:
    assert brief(ValueError("all is well\n\x1b[2J")) == "all is well??[2J"
    assert len(brief(ValueError("x" * 10_000))) == 200


def test_sizes_are_written_for_people() -> None:
    assert [size_text(size) for size in (0, 1023, 1536, 3 * 2**20, 5 * 2**30)] == [
        "0 B", "1023 B", "1.5 KiB", "3.0 MiB", "5.0 GiB",
    ]  # fmt: skip
