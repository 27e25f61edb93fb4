"""The documents tell the truth: programs run and print what is shown, commands exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *sorted(ROOT.glob("docs/**/*.rst"))]
KINDS = {"python", "text", "console", "ini", "toml"}  # a block of another kind is a mistake
TOOLS = {"git", "cd", "source"}  # commands that need no proof


class Block(NamedTuple):
    """A ``code-block``; *after* is the index of the block that it directly follows."""

    document: str
    line: int
    kind: str
    text: str
    after: int | None


def blocks_of(document: str, source: str) -> list[Block]:
    lines = source.splitlines()
    blocks: list[Block] = []
    end_of_last = -1
    number = 0
    while number < len(lines):
        match = re.match(r"( *)\.\. code(?:-block)?::\s*(\S*)\s*$", lines[number])
        if match is None:
            number += 1
            continue
        start, indent = number, len(match[1])
        number += 1
        while number < len(lines) and (
            not lines[number].strip() or len(lines[number]) - len(lines[number].lstrip()) > indent
        ):
            number += 1
        body = textwrap.dedent("\n".join(lines[start + 1 : number]))
        body = re.sub(r"\A(:[\w-]+:.*\n)+", "", body).strip("\n")
        between = "".join(lines[end_of_last:start]).strip() if end_of_last >= 0 else "none"
        after = len(blocks) - 1 if not between else None
        blocks.append(Block(document, start + 1, match[2], body, after))
        end_of_last = number
    return blocks


BLOCKS: list[Block] = []
OUTPUTS: dict[int, str] = {}  # of a program, by its index in BLOCKS
for path in DOCUMENTS:
    if path.exists():
        base = len(BLOCKS)
        BLOCKS += blocks_of(path.name, path.read_text())
        for block in BLOCKS[base:]:
            if block.kind == "text" and block.after is not None:
                OUTPUTS[base + block.after] = block.text


def of_kind(kind: str) -> list[object]:
    return [
        pytest.param(index, id=f"{block.document}:{block.line}")
        for index, block in enumerate(BLOCKS)
        if block.kind == kind
    ]


def test_the_readme_has_programs_and_commands():
    kinds = {block.kind for block in BLOCKS if block.document == "README.rst"}
    assert {"python", "console"} <= kinds


def test_every_block_is_of_a_kind_that_is_checked_or_needs_no_check():
    assert not [block for block in BLOCKS if block.kind not in KINDS]


@pytest.mark.parametrize("index", of_kind("python"))
def test_a_program_runs_and_prints_what_is_shown(index, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(BLOCKS[index].text + "\n")
    ended = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        capture_output=True,
        text=True,
        timeout=25,
        cwd=tmp_path,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    if index in OUTPUTS:
        assert ended.stdout.rstrip() == OUTPUTS[index].rstrip()


@pytest.mark.parametrize("index", of_kind("console"))
def test_a_command_exists(index):
    commands = [line[2:] for line in BLOCKS[index].text.splitlines() if line.startswith("$ ")]
    assert commands, "a console block shows its commands after '$ '"
    for command in commands:
        assert exists(shlex.split(command, comments=True)), command


def exists(words: list[str]) -> bool:
    """Whether this repository has what the command asks for."""
    match words:
        case ["make", *rest]:
            targets = re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
            asked = [word for word in rest if "=" not in word]
            return bool(asked) and set(asked) <= set(targets)
        case ["python" | "python3", "-m", "venv" | "pip" | "pytest", *_]:
            return True
        case ["python" | "python3", "-m", module, *_]:
            return importlib.util.find_spec(module) is not None
        case ["python" | "python3", file, *_]:
            return (ROOT / file).is_file()
        case ["pip", "install", *names]:
            return all(re.match(r"(-|\.|gowork\b)", name.strip("'\"")) for name in names)
        case [tool, *_]:
            return tool in TOOLS
        case _:
            return False


def test_blocks_are_found_with_what_directly_follows_them():
    source = textwrap.dedent(
        """\
        Title

        .. code-block:: python
           :caption: one

           if True:
               print(1)

        .. code-block:: text

           1

        And words between.

        .. code-block:: text

           not an output
        """
    )
    program, output, other = blocks_of("x", source)
    assert program.text == "if True:\n    print(1)"
    assert (output.text, output.after) == ("1", 0)
    assert other.after is None


@pytest.mark.parametrize("command", ["make tset", "python -m examples.nothing", "rm -rf x", "make"])
def test_a_command_that_does_not_exist_is_found_out(command):
    assert not exists(shlex.split(command))
