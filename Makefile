# Every target works on a machine with Python 3.11 or newer and nothing else: it makes the environment it needs
# first. A stamp file per extra makes the second run quick; `make clean` starts afresh.

PYTHON ?= python3
VENV   ?= .venv
PEERS  ?= .venv-peers
# Arguments for the program behind a target: make test ARGS="-k relu", make demo ARGS="--epochs 1"
ARGS   ?=

RUN       = $(VENV)/bin/python
RUN_PEERS = $(PEERS)/bin/python
# Spread over the cores; what needs a device, a browser, a peer or much time has its own run.
PYTEST    = -m pytest -q -n auto --dist worksteal

.PHONY: help demo test lint bench bench-smoke bench-peers conformance conformance-update fuzz fuzz-programs docs clean

help:
	@echo "make demo         train, save, reload and predict with a convolutional network on handwritten digits"
	@echo "make test         all tests that need neither a GPU nor a peer"
	@echo "make lint         ruff, and pyright on the public surface"
	@echo "make bench        squall's benchmarks, with the peers that happen to be installed"
	@echo "make bench-smoke  a minute's gate: a few speeds against reference loops, compared with committed ratios"
	@echo "make bench-peers  the same beside PyTorch, JAX, ONNX Runtime and tinygrad, each as far as it installs"
	@echo "make conformance  PyTorch's own operator samples, run through squall"
	@echo "make fuzz         random calls of every op against NumPy, 100,000 of them (ARGS=\"--cases 1000 --seed 7\")"
	@echo "make fuzz-programs  random whole programs, lazy and compiled against op by op (ARGS=\"--programs 1000 --seed 7\")"
	@echo "make docs         the site, with the reference made from docstrings, in site/"
	@echo "make clean        remove the environments and everything generated"

demo: $(VENV)/.stamp-cli,io
	$(RUN) -m squall demo $(ARGS)

test: $(VENV)/.stamp-test
	$(RUN) $(PYTEST) -m "not gpu and not browser and not big and not soak and not peer" $(ARGS)

lint: $(VENV)/.stamp-lint,test
	$(RUN) -m ruff check --output-format concise .
	$(RUN) -m pyright

bench: $(VENV)/.stamp-test
	$(RUN) -m benchmarks --quick $(ARGS)

bench-smoke: $(VENV)/.stamp-test
	$(RUN) -m benchmarks.smoke $(ARGS)

bench-peers: $(PEERS)/.stamp-peers $(PEERS)/.stamp-extra-jax $(PEERS)/.stamp-extra-onnx $(PEERS)/.stamp-extra-tinygrad
	$(RUN_PEERS) -m benchmarks $(ARGS)

conformance: $(PEERS)/.stamp-peers
	$(RUN_PEERS) $(PYTEST) -m peer tests/conformance $(ARGS)

# The expected passes may only grow: this adds what passes now, and fails when something was lost.
conformance-update: $(PEERS)/.stamp-peers
	$(RUN_PEERS) -m tests.conformance.opinfo squall --update $(ARGS)
	$(RUN_PEERS) -m tools.compat

fuzz: $(VENV)/.stamp-test
	$(RUN) -m tools.fuzz $(ARGS)

fuzz-programs: $(VENV)/.stamp-test
	$(RUN) -m tools.fuzz_programs $(ARGS)

docs: $(VENV)/.stamp-docs
	$(RUN) -m tools.docs $(ARGS)

clean:
	rm -rf $(VENV) $(PEERS) site build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. A stamp is newer than pyproject.toml as long as what it stands for is installed.

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "squall needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
	echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "This Python cannot make environments: install its venv package (on Debian: python3-venv)." >&2; exit 1; }
endef

%/.created:
	$(check_python)
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install -qq --disable-pip-version-check --upgrade pip
	@touch $@

$(VENV)/.stamp-%: $(VENV)/.created pyproject.toml
	$(RUN) -m pip install -qq --disable-pip-version-check -e ".[$*]"
	@touch $@

$(PEERS)/.stamp-peers: $(PEERS)/.created pyproject.toml
	$(RUN_PEERS) -m pip install -qq --disable-pip-version-check -e ".[peers,test]"
	@touch $@

# These are optional: without one of them the tables have a column less.
$(PEERS)/.stamp-extra-%: $(PEERS)/.stamp-peers
	$(RUN_PEERS) -m pip install -qq --disable-pip-version-check -e ".[peers-$*]" \
		|| echo "$* could not be installed; measuring without it." >&2
	@touch $@

.SECONDARY:
