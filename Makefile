# Each target makes .venv and installs what it needs; CONTRIBUTING.md says what each is for.
PYTHON ?= python3
RUN = .venv/bin/python -m
VERSIONS = import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit( \
	"Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12")

.PHONY: demo test test-slow check format bench reference lock clean

demo: .venv/installed
	@$(RUN) training rehearse $(if $(ONCE),--once)

test: .venv/installed
	$(RUN) pytest -m "not slow"

test-slow: .venv/installed
	$(RUN) pytest -m slow

check: .venv/installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy training
	cd space && ../$(RUN) mypy --config-file ../pyproject.toml app.py

format: .venv/installed
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: .venv/installed
	$(RUN) training.bench

reference: .venv/installed
	$(RUN) training.bench --reference

lock: .venv/installed
	$(RUN) uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --output-file requirements.lock requirements.txt

clean:
	rm -rf build .venv

.venv/installed: requirements.lock
	@$(PYTHON) -c '$(VERSIONS)'
	$(PYTHON) -m venv .venv
	$(RUN) pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@
