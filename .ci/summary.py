"""Add up what the environments of tox have reported; the exit status is that of `make test`.

Usage: summary.py STATUS [ENVIRONMENTS], the former being tox's own exit status.
"""

from __future__ import annotations

import configparser
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_TESTS = {"lint", "types", "docs"}


def read(report: Path) -> tuple[int, int, int]:
    """How many tests of an environment passed, failed, and were skipped."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(status: int, chosen: str = "") -> int:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    names = [name.strip() for name in (chosen or tox["tox"]["env_list"]).split(",")]
    totals = [0, 0, 0]
    missing = []
    print("\nTests, by environment:")
    for name in names:
        report = ROOT / ".tox" / "results" / f"{name}.xml"
        if report.exists():
            counts = read(report)
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
            print(f"  {name:8} {counts[0]:5} passed {counts[1]:5} failed {counts[2]:5} skipped")
        elif name not in WITHOUT_TESTS:
            missing.append(name)
    if missing:
        print(f"  NOT RUN: {', '.join(missing)} (no such Python here, or it could not be set up)")
    passed, failed, skipped = totals
    needs_tests = bool(set(names) - WITHOUT_TESTS)
    if status == 0 and (failed or (needs_tests and not passed)):
        status = 1
    if status:
        print(f"  FAILED, see above (tox said {status})")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:3]))
