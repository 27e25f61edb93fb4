"""How Sphinx makes the documents: ``make docs``."""

from importlib.metadata import version as version_of

project = "gowork"
author = "the gowork authors"
project_copyright = author
release = version_of("gowork")

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gowork {release}"

default_role = "any"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_display_short_literal_types = True

# No inventory of another project is fetched, so a build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(gevent|greenlet|hypothesis|pytest|zope)\b.*"),
    ("py:.*", r"(collections\.abc|logging|random|ssl)\b.*"),
    ("py:class", r"gowork\.\w+\.T"),
    ("py:mod", r"gowork\.testing\.\w+"),
]
