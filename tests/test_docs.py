"""The documents tell the truth: programs run and print what is shown, commands exist."""

from __future__ import annotations

import importlib.util
import os
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
    """A ``code-block``; *after* is the index of the block that it directly follows.

    Where its caption is the name of a file, the later blocks of the document find it there.
    """

    document: str
    line: int
    kind: str
    text: str
    after: int | None
    file: str | None


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
        caption = re.match(r"\A(?::[\w-]+:.*\n)*?:caption: ([\w/]+\.\w+)\n", body)
        body = re.sub(r"\A(:[\w-]+:.*\n)+", "", body).strip("\n")
        between = "".join(lines[end_of_last:start]).strip() if end_of_last >= 0 else "none"
        after = len(blocks) - 1 if not between else None
        file = caption[1] if caption else None
        blocks.append(Block(document, start + 1, match[2], body, after, file))
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
    program = BLOCKS[index].file or "program.py"
    ended = run(index, [sys.executable, "-W", "error", program], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    if index in OUTPUTS:
        assert ended.stdout.rstrip() == OUTPUTS[index].rstrip()


@pytest.mark.parametrize("index", [one for one in of_kind("console") if one.values[0] in OUTPUTS])
def test_a_command_prints_what_is_shown(index, tmp_path):
    python, *words = shlex.split(BLOCKS[index].text.removeprefix("$ "))
    assert python == "python", "no other command is shown with its output"
    ended = run(index, [sys.executable, *words], tmp_path)
    assert lasting(ended.stdout).rstrip() == lasting(OUTPUTS[index]).rstrip()


# A reader has no build server, for which pytest says more.
READER = {
    name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")
} | {"COLUMNS": "80"}


def run(index: int, command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run *command* where there are the program of a block and the files shown before it.

    Paths in its output are as they are in the reader's directory.
    """
    for block in BLOCKS[: index + 1]:
        if block.document == BLOCKS[index].document and block.file:
            (directory / block.file).write_text(block.text + "\n")
    if not BLOCKS[index].file:
        (directory / "program.py").write_text(BLOCKS[index].text + "\n")
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=25,
        cwd=directory,
        env=READER,
    )
    ended.stdout = ended.stdout.replace(f"{directory}/", "")
    return ended


def lasting(report: str) -> str:
    """What pytest says, without how long it took and without spaces that nobody sees."""
    return re.sub(r" in \d+\.\d+s| +$", "", report, flags=re.MULTILINE)


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
    assert program.file is None


def test_a_caption_may_name_the_file_that_a_program_is_kept_in():
    source = ".. code-block:: python\n   :caption: one.py\n\n   print(1)\n"
    (program,) = blocks_of("x", source)
    assert (program.file, program.text) == ("one.py", "print(1)")


@pytest.mark.parametrize("command", ["make tset", "python -m examples.nothing", "rm -rf x", "make"])
def test_a_command_that_does_not_exist_is_found_out(command):
    assert not exists(shlex.split(command))
