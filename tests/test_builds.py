"""What setup.py builds, and what it does without: a compiler, or Cython, or a wish for them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BY_CYTHON = {f"gowork._{name}": f"gowork/{name}.py" for name in ("parties", "exchanges", "selects")}
IN_C = {"gowork._speedups.chunks": "gowork/_speedups/chunks.c"}
EXTENSIONS = IN_C | BY_CYTHON
# Stand-ins for the tools, which need not be there: they tell what they would have built.
SETUPTOOLS = """
import json

class Extension:
    def __init__(self, name, sources, optional=False, **settings):
        self.name, self.sources, self.optional = name, sources, optional

def setup(ext_modules, **settings):
    print(json.dumps([[one.name, one.sources, one.optional] for one in ext_modules]))
"""
# As Cython's own, this makes extensions anew, and forgets whether they are optional.
CYTHON = """
from setuptools import Extension

def cythonize(extensions, **settings):
    return [Extension(one.name, one.sources) for one in extensions]
"""
# gevent is compiled as ever, only gowork is not.
PLAIN = """
import gc, sys, weakref
sys.modules.update(dict.fromkeys(["gowork._parties", "gowork._exchanges", "gowork._selects"]))
import gevent
from gowork import Channel, exchanges, select

assert issubclass(Channel, exchanges.Exchange) and select.__module__ == "gowork.selects"
gc.disable()
waits = {
    "send": lambda channel, value: channel.send(value),
    "recv": lambda channel, value: channel.recv() is value,
    "select": lambda channel, value: select([channel.sending(value), Channel().receiving()]),
}
for name, wait in waits.items():
    channel, value = Channel(), gevent.Greenlet()
    greenlet = gevent.spawn(wait, channel, value)
    gevent.sleep(0)
    alive = [weakref.ref(one) for one in (channel, value, greenlet)]
    greenlet.kill()
    del channel, value, greenlet
    gevent.sleep(0)
    print(name, *[one() for one in alive])
"""
# In the directory of a gowork without extensions.
WITHOUT_EXTENSIONS = """
from gowork import Channel, Job, stackchunks
channel = Channel()
with Job() as job:
    job.spawn(channel.send, 5)
    got = job.spawn(channel.recv)
stackchunks.uninstall(), stackchunks.trim()
print(got.result, stackchunks.install(), stackchunks.statistics().reason.partition(":")[0])
"""
NO_CYTHON = "raise ModuleNotFoundError('there is none')"


def run_python(arguments: list[str], cwd: Path | None = None, **variables: str) -> str:
    """What a process prints; pure Python is wanted only if the *variables* say so."""
    environment = {key: value for key, value in os.environ.items() if key != "PURE_PYTHON"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(directory: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def planned(
    tmp_path: Path, cython: str = "", elsewhere: str = "", **variables: str
) -> dict[str, tuple[str, bool]]:
    """The source of each extension that ``setup.py`` asks for, and whether it is optional."""
    shutil.copy(ROOT / "setup.py", tmp_path)
    tools = tmp_path / "tools"
    write(
        tools,
        {
            "setuptools.py": SETUPTOOLS + elsewhere,
            "Cython/__init__.py": cython,
            "Cython/Build.py": CYTHON,
        },
    )
    told = json.loads(run_python(["setup.py"], tmp_path, PYTHONPATH=str(tools), **variables))
    return {name: (source, optional) for name, [source], optional in told}


def test_all_extensions_are_optional(tmp_path):
    assert planned(tmp_path) == {name: (source, True) for name, source in EXTENSIONS.items()}


def test_nothing_is_compiled_where_pure_python_is_wanted(tmp_path):
    assert planned(tmp_path, PURE_PYTHON="1") == {}


def test_without_cython_what_is_written_in_c_is_compiled(tmp_path):
    assert planned(tmp_path, cython=NO_CYTHON) == {name: (IN_C[name], True) for name in IN_C}


@pytest.mark.parametrize(
    "elsewhere",
    [
        "import sys; sys.implementation.name = 'pypy'",
        "import os; os.name = 'nt'",
        "import sysconfig; sysconfig.get_config_var = {'Py_GIL_DISABLED': 1}.get",
    ],
)
def test_the_cache_of_stack_chunks_is_for_cpython_with_a_gil_on_posix(tmp_path, elsewhere):
    assert planned(tmp_path, elsewhere=elsewhere).keys() == BY_CYTHON.keys()


@pytest.mark.parametrize(("name", "source"), BY_CYTHON.items())
def test_each_extension_has_its_source_and_its_types(name, source):
    types = name.replace(".", "/") + ".pxd"
    assert (ROOT / source).is_file() and (ROOT / types).is_file()


def test_the_sources_that_are_given_away_include_the_types_and_nothing_that_is_built():
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    assert "recursive-include gowork *.c *.pxd *.pyi" in lines
    excluded = next(line for line in lines if line.startswith("global-exclude"))
    assert "*.so" in excluded.split()
    assert "global-exclude" in lines[-1]  # or what comes after it would include them again


def test_a_killed_waiter_keeps_nothing_alive_where_nothing_was_compiled():
    done = run_python(["-P", "-c", PLAIN])
    assert done == "".join(f"{name} None None None\n" for name in ("send", "recv", "select"))


# The real tools, which the extra "test" installs; all above holds with stand-ins.


def copy_sources(tree: Path) -> Path:
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    unwanted = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "gowork", tree / "gowork", ignore=unwanted)
    return tree


@pytest.fixture(scope="module")
def without_compiler(tmp_path_factory):
    """A copy of the sources in which a build without a compiler has been made."""
    tree = copy_sources(tmp_path_factory.mktemp("sources"))
    write(tree, {"gowork/_left_by_a_former_build.so": ""})
    build = ["setup.py", "--quiet", "build", "--build-lib", "lib", "egg_info"]
    run_python(build, tree, CC="false")
    return tree


def test_without_a_compiler_the_build_is_plain_python(without_compiler):
    lib = without_compiler / "lib"
    built = {str(path.relative_to(lib)) for path in lib.rglob("*")}
    assert {"gowork/channels.py", "gowork/py.typed", "gowork/_speedups/__init__.py"} <= built
    assert not [name for name in built if name.endswith((".so", ".c", ".pxd"))]


def test_without_a_compiler_everything_works(without_compiler):
    told = run_python(["-c", WITHOUT_EXTENSIONS], without_compiler / "lib")
    assert told == "5 False its extension is not there, perhaps for want of a C compiler\n"


def test_a_source_distribution_can_be_built_from(without_compiler):
    listed = without_compiler / "gowork.egg-info" / "SOURCES.txt"
    files = listed.read_text().splitlines()
    types = [f"gowork/{path.name}" for path in (ROOT / "gowork").glob("*.pxd")]
    assert {"setup.py", "pyproject.toml", *EXTENSIONS.values(), *types} <= {*files}
    assert [name for name in files if name.endswith(".c")] == [*IN_C.values()]
    assert not [name for name in files if name.endswith((".so", ".pyc"))]


def test_a_wheel_brings_the_cache_of_stack_chunks_to_where_there_is_no_compiler(tmp_path):
    tree = copy_sources(tmp_path)
    write(tree, {"tools/Cython/__init__.py": NO_CYTHON})  # this one takes a second to build
    run_python(["setup.py", "--quiet", "bdist_wheel"], tree, PYTHONPATH=str(tree / "tools"))
    [wheel] = (tree / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tree / "installed")
    assert not [*(tree / "installed").rglob("*.c")]
    program = "from gowork import stackchunks; print(stackchunks.statistics().installed)"
    assert run_python(["-c", program], tree / "installed") == "True\n"


def test_make_wheel_insists_on_every_extension():
    [names] = re.findall(
        r"^\t@for extension in (.+);", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    wanted = {"gowork." + name.replace("/", ".") for name in names.split()}
    assert wanted == EXTENSIONS.keys()
