"""The page that the balancer example's client leaves to look at."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from balancing import a_backend, fill, picture

from examples.tcpbalancer import client, reports
from examples.tcpbalancer.asking import Outcome, Request
from examples.tcpbalancer.reports import write_report
from examples.tcpbalancer.statistics import Statistics

HOSTILE = '<script>alert("1")</script> \udcff & "\'><img src=x onerror=y> #?%.jpg'


class Page(HTMLParser):
    """What a page shows: its tags, its text, the pictures it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.pictures: list[Path] = []
        self.feed(path.read_text())
        self.close()
        self.pictures = [path.parent / each for each in self.pictures]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag == "img":
            name = unquote_to_bytes(dict(attrs)["src"])
            self.pictures.append(Path(os.fsdecode(name)))

    def handle_data(self, data: str) -> None:
        self.text += data


def outcome(number: int, root: Path, name: str, failure: str | None = None) -> Outcome:
    result = None if failure else root / "out" / name
    return Outcome(Request(number, root, Path(name)), failure, name, "b1", result, (4, 3), 0.1, 0.2)


def written(tmp_path: Path, *outcomes: Outcome) -> Page:
    statistics = Statistics()
    for each in outcomes:
        if each.failure is None:
            statistics.succeeded(each.backend, each.latency, each.seconds)
        else:
            statistics.refused(each.failure, each.backend)
    write_report(tmp_path / "report.html", "Title", statistics, outcomes)
    return Page(tmp_path / "report.html")


def test_every_picture_is_shown_before_and_after_and_failures_come_first(tmp_path: Path) -> None:
    page = written(
        tmp_path, outcome(0, tmp_path, "a.jpg"), outcome(1, tmp_path, "b.jpg", "DAMAGED")
    )
    names = [path.relative_to(tmp_path).as_posix() for path in page.pictures]
    assert names == ["b.jpg", "a.jpg", "out/a.jpg"]
    assert "DAMAGED" in page.text
    assert "1 resized, 1 not" in page.text
    assert "svg" in page.tags


def test_strangers_words_are_text_and_nothing_else(tmp_path: Path) -> None:
    page = written(tmp_path, outcome(0, tmp_path, HOSTILE), outcome(1, tmp_path, HOSTILE, HOSTILE))
    assert "script" not in page.tags
    assert '<script>alert("1")</script> ?' in page.text
    assert set(page.pictures) <= {tmp_path / HOSTILE, tmp_path / "out" / HOSTILE}


def test_a_report_of_nothing_can_be_shown(tmp_path: Path) -> None:
    assert written(tmp_path).pictures == []


def test_of_several_outcomes_of_a_picture_the_last_is_shown(tmp_path: Path) -> None:
    page = written(tmp_path, outcome(0, tmp_path, "a.jpg", "LOST"), outcome(1, tmp_path, "a.jpg"))
    assert [path.name for path in page.pictures] == ["a.jpg", "a.jpg"]


def test_a_page_does_not_show_more_than_a_browser_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST", 2)
    page = written(tmp_path, *(outcome(i, tmp_path, f"{i}.jpg") for i in range(5)))
    assert len(page.pictures) == 4
    assert "and 3 more" in page.text


def test_the_client_writes_a_report_whose_pictures_are_all_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "in", a=picture(), b=picture())
    report = tmp_path / "report.html"
    with a_backend() as (host, port):
        options = ["--proxy", f"{host}:{port}", "--input", str(tmp_path / "in"), "-w", "9"]
        options += ["--output", str(tmp_path / "out"), "--report", str(report)]
        assert client.main(options) == 0
        assert str(report) in capsys.readouterr().out
        assert client.main([*options[:-1], str(tmp_path)]) == 1
        assert "there is no report" in capsys.readouterr().err
    pictures = Page(report).pictures
    assert len(pictures) == 4
    assert all(path.is_file() for path in pictures)
    assert "default-src 'none'" in report.read_text()
