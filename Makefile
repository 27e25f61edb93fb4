# These commands do everything, their set-up included:
#
#   make demo   run the real-life example, a balancer that resizes pictures
#   make test   run the tests in all environments of tox.ini, or in those of
#               ENVS=py311,lint, with pytest's options in ARGS="-k finalizer"
#   make docs   make the documents as HTML
#   make bench  measure gowork beside its peers, with options in ARGS="unbuffered --rounds 3"

VENV = .venv
TOX_VENV = .venv-tox
# A change of these takes effect when the extensions are built anew.
COMPILED = gowork/parties.py gowork/exchanges.py gowork/selects.py $(wildcard gowork/*.pxd)
BENCH_VENV = .venv-bench
ENVS =
ARGS =

.PHONY: help demo test docs bench clean

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.ready
	@$(VENV)/bin/python -m examples.tcpbalancer.demo

test: $(TOX_VENV)/.ready
	@rm -rf .tox/results build
	@found="`.ci/pythons path`"; PATH="$$PATH:$$found" $(TOX_VENV)/bin/tox run-parallel \
	    --parallel auto --parallel-no-spinner $(if $(ENVS),-e $(ENVS)) -- $(ARGS); \
	status=$$?; \
	$(TOX_VENV)/bin/python .ci/summary.py $$status $(ENVS)

docs: $(TOX_VENV)/.ready
	@$(TOX_VENV)/bin/tox run --quiet -e docs
	@echo "the documents are in .tox/docs/tmp/html/index.html"

bench: $(BENCH_VENV)/.ready
	@$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

# A second run finds the mark and is quick; a change of the metadata renews the environment.
$(VENV)/.ready: EXTRA = examples
$(BENCH_VENV)/.ready: EXTRA = bench
$(VENV)/.ready $(BENCH_VENV)/.ready: setup.cfg setup.py $(COMPILED)
	@python=`.ci/pythons best` && "$$python" -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRA)]'
	@touch $@

$(TOX_VENV)/.ready: tox.ini
	@python=`.ci/pythons best` && "$$python" -m venv --clear $(TOX_VENV)
	@$(TOX_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'tox >= 4.20'
	@touch $@

clean:
	rm -rf $(VENV) $(TOX_VENV) $(BENCH_VENV) .tox build gowork.egg-info gowork/_*.so
