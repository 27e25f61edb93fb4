"""Jobs of gowork as plain Python, on a gevent that is compiled if it was built so."""

from __future__ import annotations

import os

import gevent  # noqa: F401 - as it is installed, since it comes first

os.environ["PURE_PYTHON"] = "1"

from benchmarks.apart.on_gowork import add_task, spawn

__all__ = ["add_task", "spawn"]
