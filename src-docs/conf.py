"""How Sphinx builds the site; run by `make docs`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generated

project = "napari-fcn"
author = "napari-fcn developers"
copyright = f"the {author}"
release = version = version_of("napari-fcn")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True

copybutton_prompt_text = "$ "

html_theme = "furo"
html_title = f"napari-fcn {release}"
html_static_path = ["style"]
html_css_files = ["site.css"]


def setup(app):
    """Let pages hold what is generated from the code."""
    app.connect("source-read", generated.fill_in)
