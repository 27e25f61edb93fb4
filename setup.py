"""The extensions, which are optional; all other metadata is in setup.cfg.

The modules that every hand-over of a value goes through are compiled, with the types that
their ``.pxd`` files give them, if Cython, greenlet and a C compiler are there; else, or
where ``PURE_PYTHON`` is set, gowork works as plain Python.
"""

import os
import sys

from setuptools import Extension, setup

COMPILED = ("parties", "exchanges", "selects")
# Several Pythons may build at the same time.
BUILD = os.path.join("build", str(sys.implementation.cache_tag))


def extensions():
    """What to build; nothing where it cannot be."""
    if os.environ.get("PURE_PYTHON"):
        return []
    try:
        import greenlet
        from Cython.Build import cythonize
    except ImportError:
        return []
    headers = os.path.dirname(os.path.dirname(os.path.abspath(greenlet.__file__)))
    found = cythonize(
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
    for extension in found:
        extension.optional = True  # a compiler that fails is no reason to fail
    return found


setup(ext_modules=extensions(), options={"build": {"build_base": BUILD}})
