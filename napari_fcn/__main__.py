"""Run the command line as ``python -m napari_fcn``."""

import sys

from napari_fcn.cli import main

sys.exit(main())
