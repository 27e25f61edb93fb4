"""The extensions, which are optional; all other metadata is in setup.cfg.

The modules that every hand-over of a value goes through are compiled, with the types that
their ``.pxd`` files give them, if Cython, greenlet and a C compiler are there; the cache of
stack chunks is written in C. Without a compiler, or where ``PURE_PYTHON`` is set, gowork
works as plain Python.
"""

import os
import sys
import sysconfig

from setuptools import Extension, setup

COMPILED = ("parties", "exchanges", "selects")
# Several Pythons may build at the same time.
BUILD = os.path.join("build", str(sys.implementation.cache_tag))


def extensions():
    """What to build; nothing where it cannot be."""
    if os.environ.get("PURE_PYTHON"):
        return []
    found = [*written_in_c(), *compiled_by_cython()]
    for extension in found:
        extension.optional = True  # a compiler that fails is no reason to fail
    return found


def written_in_c():
    """For interpreters whose arena allocator gives greenlets their stacks, under a GIL."""
    if sys.implementation.name != "cpython" or os.name != "posix":
        return []
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return []
    return [Extension("gowork._speedups.chunks", ["gowork/_speedups/chunks.c"])]


def compiled_by_cython():
    try:
        import greenlet
        from Cython.Build import cythonize
    except ImportError:
        return []
    headers = os.path.dirname(os.path.dirname(os.path.abspath(greenlet.__file__)))
    return cythonize(
        [
            Extension(f"gowork._{name}", [f"gowork/{name}.py"], include_dirs=[headers])
            for name in COMPILED
        ],
        build_dir=BUILD,
        force=True,  # it could not tell that the directives have changed
        compiler_directives={
            "language_level": "3",
            # The types are in the .pxd files; the annotations are mypy's.
            "annotation_typing": False,
            # Functions without the trappings of Python's, whose calls cost half, but with
            # signatures that inspect can read.
            "binding": False,
            "embedsignature": True,
            "embedsignature.format": "clinic",
            # An object that was not made as it should be raises AttributeError.
            "nonecheck": True,
            "auto_pickle": False,
        },
    )


setup(ext_modules=extensions(), options={"build": {"build_base": BUILD}})
