# These commands do everything, their set-up included:
#
#   make demo   run the real-life example, a balancer that resizes pictures
#   make test   run the tests in all environments of tox.ini, or in those of
#               ENVS=py311,lint, with pytest's options in ARGS="-k finalizer"
#   make docs   make the documents as HTML
#   make wheel  build a wheel into dist/; where it is installed no compiler is needed
#   make bench  measure gowork beside its peers, with options in ARGS="unbuffered --rounds 3",
#               with each of PYTHONS="3.11 3.13" that is here

VENV = .venv
TOX_VENV = .venv-tox
# A change of these takes effect when the extensions are built anew.
COMPILED = gowork/_speedups/chunks.c gowork/parties.py gowork/exchanges.py gowork/selects.py $(wildcard gowork/*.pxd)
BENCH_VENV = .venv-bench
PYTHONS = 3.11 3.13
INSTALL = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check
ENVS =
ARGS =

.PHONY: help demo test docs wheel bench clean

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

# The extensions are optional, but not in a wheel: it is for machines that cannot build them.
wheel: $(TOX_VENV)/.ready
	@rm -rf build
	@$(TOX_VENV)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
	    --wheel-dir build/wheel .
	@for extension in _parties _exchanges _selects _speedups/chunks; do \
	    $(TOX_VENV)/bin/python -m zipfile --list build/wheel/*.whl \
	        | grep "^gowork/$$extension\..*\.so " >/dev/null \
	        || { echo "$$extension was not built: is there a C compiler?" >&2; exit 1; }; \
	done
	@mkdir -p dist && mv build/wheel/*.whl dist && rm -rf build && ls dist/*.whl

# Those found come first on the path, where stubs of a version manager may be in their way.
bench:
	@PATH="`.ci/pythons path`:$$PATH"; export PATH; \
	measured=; status=0; \
	for version in $(PYTHONS); do \
	    if python$$version -c '' 2>/dev/null; then \
	        measured=$$version; \
	        echo "With Python $$version:"; \
	        $(MAKE) --silent $(BENCH_VENV)/$$version/.ready && \
	            $(BENCH_VENV)/$$version/bin/python -m benchmarks $(ARGS) || status=1; \
	    else \
	        echo "Python $$version is not here, or too old for gowork: nothing is measured with it."; \
	    fi; \
	done; \
	if [ -z "$$measured" ]; then echo 'PYTHONS="3.12" would measure with 3.12.'; status=1; fi; \
	exit $$status

# A second run finds the mark and is quick; a change of the metadata renews the environment.
$(VENV)/.ready: setup.cfg setup.py $(COMPILED)
	@python=`.ci/pythons best` && "$$python" -m venv --clear $(@D)
	@$(INSTALL) --editable '.[examples]'
	@touch $@

$(BENCH_VENV)/%/.ready: setup.cfg setup.py $(COMPILED)
	@python$* -m venv --clear $(@D)
	@$(INSTALL) --editable '.[bench]'
	@touch $@

$(TOX_VENV)/.ready: tox.ini
	@python=`.ci/pythons best` && "$$python" -m venv --clear $(TOX_VENV)
	@$(INSTALL) 'tox >= 4.20'
	@touch $@

clean:
	rm -rf $(VENV) $(TOX_VENV) $(BENCH_VENV) .tox build gowork.egg-info gowork/_*.so gowork/_speedups/*.so
