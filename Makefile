# Works from a bare clone on Debian and Ubuntu: each target makes what it needs.

PYTHON ?= python3
INSTALL := pip install -q -c constraints-dev.txt
export PYTHON
export QT_API = pyqt5

# Without a display, windows open on a virtual one.
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),)
SCREEN := xvfb-run -a -s "-screen 0 1920x1080x24"
endif

.PHONY: help demo test lint bench annotate docs screenshots clean system

help:  ## say what the targets do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/dev.stamp  ## segment a real image in napari and save what it shows
	$(SCREEN) .venv/bin/napari-fcn demo --out demo-output $(if $(SCREEN),--close)

test: lint  ## lint, then run every test
	$(SCREEN) .venv/bin/python -m pytest -n 2 --dist loadgroup

lint: .venv/dev.stamp  ## check style, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy napari_fcn

bench: benchmarks/.venv/bench.stamp  ## time our tiling beside that of MONAI
	benchmarks/.venv/bin/python -m benchmarks.tiling

annotate: benchmarks/.venv/bench.stamp benchmarks/.venv-convpaint/made.stamp  ## teach by simulated strokes, beside others
	OMP_NUM_THREADS=1 benchmarks/.venv/bin/python -m benchmarks.annotate

docs: .venv/docs.stamp  ## build the site into build/docs
	.venv/bin/sphinx-build -W --keep-going -b html src-docs build/docs

screenshots: .venv/dev.stamp  ## make the pictures of the site anew
	$(SCREEN) .venv/bin/python src-docs/make_screenshots.py
	.venv/bin/python src-docs/make_drawings.py
	.venv/bin/python src-docs/make_fields.py

clean:  ## remove what was built, except the environments
	rm -rf build dist demo-output *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

system:
	@.ci/system-packages
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
		"Python is %d.%d and 3.11 or newer is needed. Run make with PYTHON=python3.11." % v[:2])'

.venv/dev.stamp: pyproject.toml setup.cfg constraints-dev.txt | system
	$(PYTHON) -m venv .venv
	.venv/bin/$(INSTALL) -U pip
	.venv/bin/$(INSTALL) -e ".[pyqt5,dev]"
	touch $@

.venv/docs.stamp: .venv/dev.stamp
	.venv/bin/$(INSTALL) -e ".[docs]"
	touch $@

benchmarks/.venv/bench.stamp: pyproject.toml setup.cfg constraints-dev.txt | system
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/$(INSTALL) -U pip
	benchmarks/.venv/bin/$(INSTALL) -e . matplotlib==3.11.2 monai==1.6.1
	touch $@

benchmarks/.venv-convpaint/made.stamp: constraints-dev.txt | system
	$(PYTHON) -m venv benchmarks/.venv-convpaint
	benchmarks/.venv-convpaint/bin/$(INSTALL) -U pip
	benchmarks/.venv-convpaint/bin/$(INSTALL) "napari-convpaint[qt]==1.2.0" torch==2.13.0
	touch $@
