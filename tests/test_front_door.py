"""The front door: what it names, how that is documented, and that opening it does nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import inspect
import re
import subprocess
import sys
import types

import pytest
from zope.interface.interface import InterfaceClass, Method

import gowork

THINGS = {name: getattr(gowork, name) for name in gowork.__all__}
CLASSES = {
    name: thing
    for name, thing in THINGS.items()
    if isinstance(thing, type) and not isinstance(thing, InterfaceClass)
}
INTERFACES = {name: thing for name, thing in THINGS.items() if isinstance(thing, InterfaceClass)}

PROMISED = """
Job Task Channel Case PingPong Ping select current_task Event Interruption Unstopped
JobState TaskState
GoworkError StateError AssertionFailed VerdictMissing JobTimeout IdleTimeout FinalizeTimeout
JobCancelled ChannelClosed ChannelTimeout WouldBlock NotAcknowledged Cancelled
logger register_logger toggle_logger register_default_logger set_default_log_level
IJob ITask IRoutines IChannel IPingPong IEvent ILogger IStream ICodec
""".split()


def public_members(cls: type) -> dict[str, object]:
    """What *cls* and gowork's classes below it define under public names."""
    members: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] == "gowork":
            members.update(vars(base))
    return {name: member for name, member in members.items() if not name.startswith("_")}


def is_a_place_for_a_docstring(member: object) -> bool:
    return isinstance(member, types.FunctionType | property | classmethod | staticmethod)


def test_all_is_sorted_and_names_nothing_twice():
    assert gowork.__all__ == sorted(set(gowork.__all__))


def test_all_is_exactly_what_the_front_door_shows():
    modules = {n for n, thing in vars(gowork).items() if isinstance(thing, types.ModuleType)}
    shown = {name for name in vars(gowork) if not name.startswith("_")} - modules
    assert shown == set(gowork.__all__)


def test_all_is_what_was_promised():
    assert sorted(PROMISED) == gowork.__all__


def test_a_star_import_gives_what_all_names():
    given: dict[str, object] = {}
    exec("from gowork import *", given)
    assert {name for name in given if not name.startswith("__")} == set(gowork.__all__)


@pytest.mark.parametrize("name", THINGS)
def test_every_public_thing_has_a_docstring_of_its_own(name):
    thing = THINGS[name]
    assert thing.__doc__, name
    if isinstance(thing, type):
        assert all(thing.__doc__ != base.__doc__ for base in thing.__mro__[1:])


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_method_has_a_docstring(name):
    bare = [
        member_name
        for member_name, member in public_members(CLASSES[name]).items()
        if is_a_place_for_a_docstring(member) and not inspect.getdoc(member)
    ]
    assert not bare


@pytest.mark.parametrize("name", INTERFACES)
def test_everything_that_an_interface_promises_is_described(name):
    bare = [n for n, promise in INTERFACES[name].namesAndDescriptions() if not promise.__doc__]
    assert not bare


@pytest.mark.parametrize("name", INTERFACES)
def test_no_interface_names_self(name):
    methods = [p for _, p in INTERFACES[name].namesAndDescriptions() if isinstance(p, Method)]
    assert not [method for method in methods if "self" in method.positional]


@pytest.mark.parametrize("name", CLASSES)
def test_the_first_sentence_of_a_docstring_ends(name):
    documented = {name: CLASSES[name], **public_members(CLASSES[name])}
    for member_name, member in documented.items():
        text = inspect.getdoc(member) if member_name == name or callable(member) else None
        if text:
            first = text.split("\n\n")[0].split("\n:")[0]
            assert re.search(r"[.:]", first), f"{member_name}: {first}"


def test_every_public_signature_is_annotated():
    for name, cls in CLASSES.items():
        for member_name, member in public_members(cls).items():
            if isinstance(member, types.FunctionType):
                signature = inspect.signature(member)
                missing = [
                    parameter.name
                    for parameter in list(signature.parameters.values())[1:]
                    if parameter.annotation is parameter.empty
                ]
                assert not missing, f"{name}.{member_name}: {missing}"
                assert signature.return_annotation is not signature.empty, f"{name}.{member_name}"


def run_in_a_fresh_process(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=25
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_importing_creates_no_hub():
    run_in_a_fresh_process(
        "import gowork; from gevent._hub_local import get_hub_if_exists;"
        "assert get_hub_if_exists() is None"
    )


def test_importing_patches_nothing():
    run_in_a_fresh_process(
        "import gowork; from gevent import monkey;"
        "assert not monkey.is_anything_patched(); assert not monkey.saved"
    )


def test_importing_starts_no_thread_and_touches_no_signal():
    run_in_a_fresh_process(
        "import signal, sys;"
        "before = {n: signal.getsignal(n) for n in signal.valid_signals()};"
        "import gowork;"
        "assert before == {n: signal.getsignal(n) for n in signal.valid_signals()};"
        "assert len(sys._current_frames()) == 1"
    )


def test_importing_compiles_no_annotation():
    # A ForwardRef compiles the string it is given. The first compile of a process is slow.
    run_in_a_fresh_process(
        "import gevent, typing; typing.ForwardRef.__init__ = None; import gowork"
    )


def test_importing_needs_neither_msgspec_nor_pillow():
    run_in_a_fresh_process(
        "import sys; sys.modules['msgspec'] = sys.modules['PIL'] = None; import gowork;"
        "assert not [name for name in sys.modules if name.startswith('gowork.net')]"
    )


def test_gowork_requires_gevent_and_zope_interface_only():
    required = importlib.metadata.requires("gowork") or []
    always = [line for line in required if "extra ==" not in line]
    names = {re.match(r"[\w.-]+", line)[0].lower().replace("-", ".") for line in always}
    assert names == {"gevent", "zope.interface"}
    assert all("<" not in line for line in always)


def test_the_package_says_that_it_is_typed():
    assert importlib.resources.files("gowork").joinpath("py.typed").is_file()
