"""Test suites of gowork's users: written for a test, and run with the plugin."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

ENTRY_POINTS = """\
[pytest11]
gowork = gowork.testing.plugin
"""
STRICT = ("--strict-markers", "--strict-config", "-p", "no:cacheprovider", "-W", "error")
# The suite around has imported what belongs to a plugin, too late to be rewritten.
WITHIN = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


class Suite:
    """A suite in a directory of its own, which finds the plugin by its entry point."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        # gowork need not be installed, and certainly not anew, for its entry point to be found.
        installed = pytester.mkdir("installed")
        info = installed / "gowork_plugin-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gowork-plugin\nVersion: 0\n")
        (info / "entry_points.txt").write_text(ENTRY_POINTS)
        monkeypatch.syspath_prepend(installed)
        monkeypatch.setenv("PYTHONPATH", str(installed))
        monkeypatch.setattr(sys, "orig_argv", ["pytest"])  # however the suite around was started
        for name in [*os.environ]:  # for a build server pytest says more
            if name.startswith("PYTEST_") or name in ("CI", "BUILD_NUMBER"):
                monkeypatch.delenv(name)

    def write(self, body: str, name: str = "test_it.py") -> Path:
        path = self.pytester.path / name
        path.write_text(IMPORTS + body)
        return path

    def run(self, body: str, *args: str) -> pytest.RunResult:
        """Run it within this process."""
        self.write(body)
        return self.pytester.runpytest_inprocess(*STRICT, *WITHIN, *args)

    def run_apart(self, body: str, *args: str, module: Any = ("pytest",)) -> pytest.RunResult:
        """Run it in a process of its own, where every warning is an error from the start."""
        self.write(body)
        return self.pytester.run(
            sys.executable, "-W", "error", "-m", *module, *STRICT, *args, timeout=60
        )


IMPORTS = """\
import gc, logging, os, socket, time, unittest
import gevent, gevent.socket, gevent.event, pytest
"""
