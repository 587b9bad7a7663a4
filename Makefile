# Sidelight. `make help` lists the targets; `make demo` is the place to start.
#
#   PYTHON=...       interpreter for the environments (default: the first of python3.11, python3.12, python3 that fits)
#   TORCH_INDEX=...  package index with the wanted build of torch (default: what pip offers by itself)
#   VENV=...         the service's virtual environment (default: .venv)
#   PYTEST_ARGS=...  further arguments of pytest
#   STUDY_ARGS=...   further arguments of the studies

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# An interpreter that exists may still not run (a version manager's shim, say), so each candidate is asked.
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1 && echo "$$p" && break; \
  done)
endif

VENV ?= .venv
TORCH_INDEX ?=
PYTEST_ARGS ?=
FULL ?=
DATA ?=
STUDY_ARGS ?=
PROTO_BASE ?= HEAD
UV_VERSION := 0.13.9

BIN := $(VENV)/bin
TRITON_VENV := build/triton-venv
ONNX_TWIN_VENV := build/onnx-twin-venv
UV := build/uv-$(UV_VERSION)/bin/uv
PIP := -m pip --disable-pip-version-check --quiet
LOCKED := install --no-deps --require-hashes
TORCH := $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml | head -1)
PROJECTS := pyproject.toml clients/python/pyproject.toml proto/python/pyproject.toml
SOURCES := $(shell find service clients/python proto/python -name '*.py' -not -path '*/build/*')
REPOSITORY := $(shell find deploy/triton/repository -type f -not -name '*.pyc' 2>/dev/null) \
  deploy/text/sentiment_network.py deploy/text/sentiment.safetensors \
  deploy/lesion/lesion_network.py deploy/lesion/lesion.safetensors deploy/studies/intervention_networks.py

# Stamps are the last thing a recipe makes: an interrupted installation leaves none and is done again.
SETUP := $(VENV)/.sidelight-dev
RUNTIME := $(VENV)/.sidelight-runtime
BENCH := $(VENV)/.sidelight-bench
TRITON := $(TRITON_VENV)/.sidelight-triton
ONNX_TWIN := $(ONNX_TWIN_VENV)/.sidelight-onnx-twin
MODELS := build/models/efficientnet_lite0/1/model.onnx

.PHONY: help check setup setup-runtime triton models demo demo-embedded serve gallery test test-slow test-packages test-onnx-twin lint bench bench-full \
        study study-samplers study-baselines study-rationales study-interventions train-text train-lesion train-demo-editor proto lock docker clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name what; do \
	  printf '  %-17s %s\n' "$$name" "$$what"; done

# ------------------------------------------------------------------------------------------------- environments
check:
	@command -v $(or $(PYTHON),python3) >/dev/null || { echo "cannot set up: there is no Python, install 3.11 or 3.12"; exit 1; }
	@$(or $(PYTHON),python3) deploy/check_python.py $(VENV)

setup: $(SETUP) ## the service's environment with what the demo, tests and lint need
setup-runtime: $(RUNTIME) ## the service's environment for running alone (what the Dockerfile uses)
triton: $(TRITON) ## Triton's own environment
	@test -e $(TRITON)
models: $(MODELS) ## the Triton model repository, in build/models

# torch comes after the lock, which has all that torch needs but its CUDA libraries.
define install-service
	@echo "Installing $(1) and $(TORCH) into $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) $(LOCKED) -r $(1)
	$(BIN)/python $(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/python $(PIP) install --no-deps --no-build-isolation $(2)
	$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@
endef

$(SETUP): requirements-dev.lock $(PROJECTS) | check
	$(call install-service,$<,-e proto/python -e clients/python -e .)

$(RUNTIME): requirements.lock $(PROJECTS) $(SOURCES) | check
	@rm -rf build/lib build/bdist.* clients/python/build proto/python/build  # setuptools would pack removed modules
	$(call install-service,$<,./proto/python ./clients/python .)

$(BENCH): requirements-bench.lock | $(SETUP)
	$(BIN)/python $(PIP) $(LOCKED) -r $<
	@touch $@

# Where there can be no Triton the stamp stays away and the reason is said: the demo then serves its model in-process.
$(TRITON): deploy/triton/requirements.lock | check
	@if $(PYTHON) deploy/triton/server.py --check; then \
	  echo "Installing Triton into $(TRITON_VENV)"; \
	  $(PYTHON) -m venv $(TRITON_VENV); \
	  $(TRITON_VENV)/bin/python $(PIP) $(LOCKED) -r $<; \
	  touch $@; \
	fi

$(MODELS): deploy/triton/build_models.py $(REPOSITORY) | $(SETUP)
	@$(BIN)/python deploy/triton/build_models.py

# onnx2torch imports torchvision, which does not import beside the torch that the service has.
$(ONNX_TWIN): requirements-dev.lock | check
	@echo "Installing onnx2torch and another torch into $(ONNX_TWIN_VENV)"
	$(PYTHON) -m venv $(ONNX_TWIN_VENV)
	$(ONNX_TWIN_VENV)/bin/python $(PIP) $(LOCKED) -r $<
	$(ONNX_TWIN_VENV)/bin/python $(PIP) install torch==2.14.1 torchvision==0.29.1 onnx2torch==1.5.15
	@touch $@

# ------------------------------------------------------------------------------------------------- running
demo: $(SETUP) $(MODELS) $(TRITON) ## explain a photo, a sentence and a drawing through a real Triton, from nothing to a picture
	@$(BIN)/python deploy/demo.py

demo-embedded: $(SETUP) $(MODELS) ## the same with the models inside the service, without Triton
	@$(BIN)/python deploy/demo.py --embedded

serve: $(SETUP) $(MODELS) $(TRITON) ## Triton and Sidelight with the demo's models, until Ctrl-C
	@$(BIN)/python deploy/demo.py --serve

gallery: $(SETUP) ## one photo by every method, side by side (PHOTO=file for another than the cat)
	@$(BIN)/python deploy/gallery.py $(PHOTO)

# ------------------------------------------------------------------------------------------------- checking
test: $(SETUP) $(MODELS) $(TRITON) ## the tests
	@$(BIN)/python -m pytest -m "not slow" --ignore tests/bench $(PYTEST_ARGS)

test-slow: $(SETUP) $(MODELS) $(TRITON) ## the tests that take long
	@$(BIN)/python -m pytest -m slow --ignore tests/bench $(PYTEST_ARGS)

test-packages: $(BENCH) ## the tests that need more packages: shap, lime, captum and Quantus to agree with, matplotlib
	@$(BIN)/python -m pytest tests/perturbation/test_packages.py tests/path/test_packages.py tests/metrics/test_quantus.py tests/deploy/test_studies.py tests/deploy/test_rationale_study.py tests/deploy/test_intervention_study.py $(PYTEST_ARGS)

test-onnx-twin: $(ONNX_TWIN) ## the tests of differentiable twins made from ONNX files, in an environment of their own (5 GB)
	@PYTHONPATH=service:clients/python:proto/python $(ONNX_TWIN_VENV)/bin/python -m pytest tests/predictors/test_twin_sources.py $(PYTEST_ARGS)

bench: $(BENCH) $(MODELS) $(TRITON) ## the benchmarks, within ten minutes; results in build/bench
	@$(BIN)/python -m pytest -m "bench and not slow" -s --timeout 0 tests/bench $(PYTEST_ARGS)

bench-full: $(BENCH) $(MODELS) $(TRITON) ## all benchmarks
	@$(BIN)/python -m pytest -m bench -s --timeout 0 tests/bench $(PYTEST_ARGS)

study: $(BENCH) ## which choices make a good perturbation map (minutes); FULL=1: all of them (days); DATA=FOLDER: your photos
	@$(BIN)/python deploy/studies study $(if $(FULL),--full) $(if $(DATA),--data "$(DATA)") $(STUDY_ARGS)

study-samplers: $(BENCH) ## how many evaluations better samplers save (minutes); DATA=FOLDER: your photos
	@$(BIN)/python deploy/studies samplers $(if $(DATA),--data "$(DATA)") $(STUDY_ARGS)

study-baselines: $(BENCH) ## how much of its target each path attribution leaves out, by layer and baseline (minutes); DATA=FOLDER
	@$(BIN)/python deploy/studies baselines $(if $(DATA),--data "$(DATA)") $(STUDY_ARGS)

study-rationales: $(BENCH) ## masks against other methods, held to what people marked (minutes); DATA=FOLDER of texts and photos
	@$(BIN)/python deploy/studies rationales $(if $(DATA),--data "$(DATA)") $(STUDY_ARGS)

study-interventions: $(BENCH) ## do gradual edits find what classifiers of drawn lesions were biased towards (minutes); FULL=1: more seeds
	@$(BIN)/python deploy/studies interventions $(if $(FULL),--full) $(STUDY_ARGS)

lint: $(SETUP) ## style, types, protos (against the commit PROTO_BASE), generated code, Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint proto
	@if git rev-parse --quiet --verify "$(PROTO_BASE):proto/buf.yaml" >/dev/null; then \
	  rm -rf build/proto-base; mkdir -p build/proto-base; git archive "$(PROTO_BASE)" proto | tar -x -C build/proto-base; \
	  echo "$(BIN)/buf breaking proto --against $(PROTO_BASE)"; \
	  $(BIN)/buf breaking proto --against build/proto-base/proto; \
	else echo "no protos in $(PROTO_BASE) to compare with"; fi
	$(BIN)/python proto/generate.py --check
	$(BIN)/hadolint Dockerfile

# ------------------------------------------------------------------------------------------------- made files
train-text: $(SETUP) ## train the demo's text classifier anew (minutes), and measure it
	@$(BIN)/python deploy/text/train.py

train-lesion: $(SETUP) ## train the demo's classifier of drawn lesions anew (minutes), and measure it
	@$(BIN)/python deploy/lesion/train_lesion.py

train-demo-editor: $(SETUP) ## train the demo's image editor anew (half an hour or more), and measure it
	@$(BIN)/python deploy/editor/train_editor.py

proto: $(SETUP) ## generate sidelight_proto from the protos
	$(BIN)/python proto/generate.py

$(UV): | check
	$(PYTHON) -m venv build/uv-$(UV_VERSION)
	build/uv-$(UV_VERSION)/bin/python $(PIP) install uv==$(UV_VERSION)
	@touch $@

# Each lock is made within the one before it, so that they agree. UPGRADE=--upgrade moves to the newest versions.
UPGRADE ?=
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
  --no-annotate --no-emit-package torch --no-emit-package sidelight-proto --custom-compile-command "make lock" $(UPGRADE)
SERVICE := pyproject.toml clients/python/pyproject.toml --extra onnx --extra editors
DEV := $(SERVICE) --extra demo --extra dev

lock: $(UV) ## resolve the lock files anew
	$(COMPILE) $(SERVICE) -o requirements.lock
	$(COMPILE) $(DEV) -c requirements.lock -o requirements-dev.lock
	$(COMPILE) $(DEV) --extra bench -c requirements-dev.lock -o requirements-bench.lock
	$(COMPILE) deploy/triton/requirements.in -o deploy/triton/requirements.lock

docker: ## build the image
	docker build --build-arg TORCH_INDEX=$(TORCH_INDEX) --tag sidelight .

clean: ## remove environments and everything built
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name '*.egg-info' -prune -exec rm -rf {} +
