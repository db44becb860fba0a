# Works from a bare clone on Debian and Ubuntu, on macOS, and on Windows through bash: each target makes what it needs.
# Another Qt: make test QT=pyqt6. Another napari, beside the newest of all else: make test NAPARI=0.6.2, or NAPARI=newest.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := Scripts
else
PYTHON ?= python3
BIN := bin
endif
QT ?= pyqt5
NAPARI ?=
PINS := $(if $(NAPARI),-U --upgrade-strategy eager,-c constraints-dev.txt)
INSTALL := python -m pip install -q
DEV := .venv/dev-$(QT)$(addprefix -,$(NAPARI)).stamp
export PYTHON
export QT_API = $(QT)

# Without a display, windows open on a virtual one.
ifeq ($(shell uname)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
SCREEN := xvfb-run -a -s "-screen 0 1920x1080x24"
endif

.PHONY: help demo test suite coverage lint style types bench annotate docs screenshots clean system

help:  ## say what the targets do
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(DEV)  ## segment a real image in napari and save what it shows
	$(SCREEN) .venv/$(BIN)/napari-fcn demo --out demo-output $(if $(SCREEN),--close)

test: lint suite  ## lint, then run every test

suite: $(DEV)  ## run every test
	.venv/$(BIN)/python -m pytest -n 2 --dist loadgroup

coverage: $(DEV)  ## run every test, and report the lines that none reaches
	.venv/$(BIN)/python -m pytest -n 2 --dist loadgroup --cov

lint: style types  ## check style, format and types

style: $(DEV)
	.venv/$(BIN)/ruff check .
	.venv/$(BIN)/ruff format --check .

types: $(DEV)
	.venv/$(BIN)/mypy napari_fcn

bench: benchmarks/.venv/bench.stamp  ## time our tiling beside that of MONAI
	benchmarks/.venv/$(BIN)/python -m benchmarks.tiling

annotate: benchmarks/.venv/bench.stamp benchmarks/.venv-convpaint/made.stamp  ## teach by simulated strokes, beside others
	OMP_NUM_THREADS=1 benchmarks/.venv/$(BIN)/python -m benchmarks.annotate

docs: .venv/docs.stamp  ## build the site into build/docs
	.venv/$(BIN)/sphinx-build -W --keep-going -b html src-docs build/docs

screenshots: $(DEV)  ## make the pictures of the site anew
	$(SCREEN) .venv/$(BIN)/python src-docs/make_screenshots.py
	.venv/$(BIN)/python src-docs/make_drawings.py
	.venv/$(BIN)/python src-docs/make_fields.py

clean:  ## remove what was built, except the environments
	rm -rf build dist demo-output *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

system:
	@sh .ci/system-packages
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
		"Python is %d.%d and 3.11 or newer is needed. Run make with PYTHON=python3.11." % v[:2])'

$(DEV): pyproject.toml setup.cfg constraints-dev.txt | system
	$(PYTHON) -m venv .venv
	.venv/$(BIN)/$(INSTALL) $(PINS) -U pip
	.venv/$(BIN)/$(INSTALL) $(PINS) -e ".[$(QT),dev]" $(if $(filter-out newest,$(NAPARI)),napari==$(NAPARI))
	touch $@

.venv/docs.stamp: $(DEV)
	.venv/$(BIN)/$(INSTALL) -c constraints-dev.txt -e ".[docs]"
	touch $@

benchmarks/.venv/bench.stamp: pyproject.toml setup.cfg constraints-dev.txt | system
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/$(BIN)/$(INSTALL) -c constraints-dev.txt -U pip
	benchmarks/.venv/$(BIN)/$(INSTALL) -c constraints-dev.txt -e ".[openvino]" matplotlib==3.11.2 monai==1.6.1
	touch $@

benchmarks/.venv-convpaint/made.stamp: constraints-dev.txt | system
	$(PYTHON) -m venv benchmarks/.venv-convpaint
	benchmarks/.venv-convpaint/$(BIN)/$(INSTALL) -c constraints-dev.txt -U pip
	benchmarks/.venv-convpaint/$(BIN)/$(INSTALL) -c constraints-dev.txt "napari-convpaint[qt]==1.2.0" torch==2.13.0
	touch $@
