# `make help` lists what can be asked for. Works with GNU make >= 3.81 on Linux and macOS.

CORES  ?= all
TORCH  ?= default
CUDA   ?=
SYSTEM_SITE_PACKAGES ?=
WHEELHOUSE ?=
TARGET ?=
PYTHON_VERSION ?=
PLATFORM ?=
PART_MIB ?=
PROFILE ?=
ARGS   ?=
IN     ?=
OUT    ?=
CONFIG ?=
RUN    ?=
RUNS   ?=
PAIRS  ?= nano-t nano-s nano-m nano-l m-m m-l
PAGE   ?=
SHOW   ?=
MINUTES ?= 10
DETECTOR ?=
PHOTOGRAPHS ?=

VENV ?= .venv
PY   := $(VENV)/bin/python
# A profile says itself how many cores to use, unless CORES is given beside it.
WORKFLOW := $(PY) workflow/run.py $(if $(PROFILE),--profile=$(PROFILE) \
        $(if $(filter command environment,$(firstword $(origin CORES))),--cores $(CORES)),--cores $(CORES))

# The Python of .venv, else the first that runs of those that the packages are locked for. Published results were made
# with 3.11.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
ifeq ($(origin PYTHON),undefined)
PYTHON = $(shell for python in $(VENV)/bin/python python3.11 python3.12 python3.13 python3; do \
        "$$python" -c '$(FITS)' 2>/dev/null && { echo "$$python"; break; }; done)
else
GIVEN := $(or $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null),none)
endif

# The stamp's name holds the Python's version and a checksum of the pip files, so a change of any of them installs
# again.
SUM   := $(shell cat envs/requirements-*.txt | cksum | cut -d ' ' -f 1)
STAMP := $(or $(firstword $(wildcard $(VENV)/.installed-$(or $(GIVEN),*)-$(SUM))),$(VENV)/.installed-$(or $(GIVEN),new)-$(SUM))

ifeq ($(filter default cpu none,$(TORCH)),)
$(error TORCH is '$(TORCH)'; say TORCH=default, TORCH=cpu or TORCH=none)
endif

# Refused before an hour of work: Snakemake takes braces for wildcards, a venv bears no colon, and the programs in
# .venv/bin/ start through a line of sh where the folder's name has a space.
FAULT := $(shell case "$$PWD" in (*'{'*|*'}'*) echo 'a brace';; (*:*) echo 'a colon';; \
  (*' '*['"$$`']*|*['"$$`']*' '*) echo 'a space beside one of " $$ `';; esac)
ifneq ($(FAULT),)
$(error The folder '$(CURDIR)' has $(FAULT) in its name: rename it, or move the repository to another)
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-cuda wheelhouse demo sample study timing gpu-trial photographs video report compare board publish verify train-demo test test-slurm test-emulated lint rulegraph clean

help: ## list targets and variables
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 15
	@echo "Variables (make demo CORES=2):"
	@echo "  PYTHON       the Python 3.11, 3.12 or 3.13 that .venv is made from [$(PYTHON)]"
	@echo "  VENV         the environment; one beside it: VENV=.venv-3.13 PYTHON=python3.13 [$(VENV)]"
	@echo "  CORES        processor cores to use                              [$(CORES)]"
	@echo "  TORCH        default, cpu: PyTorch without CUDA (for Linux without a GPU: GBs less), none: it is there [$(TORCH)]"
	@echo "  CUDA         setup-cuda: 12 or 13 in place of what the driver says; setup: none, for the CPU's packages again"
	@echo "  SYSTEM_SITE_PACKAGES  setup: 1 to use what the Python below has, its PyTorch and TensorRT above all"
	@echo "  WHEELHOUSE, TARGET  setup: install from this folder alone; into a folder for PYTHONPATH (docs/offline.md)"
	@echo "  OUT, PYTHON_VERSION, CUDA, PLATFORM, PART_MIB  wheelhouse: where to, and for which machine (docs/offline.md)"
	@echo "  PROFILE      options for a machine or cluster: $(subst workflow/profiles/,,$(wildcard workflow/profiles/*)) (docs/cluster.md)"
	@echo "  IN, OUT      video: the file to annotate, and where to [results/<run>/video/<name>.mp4]"
	@echo "  OUT          report: .zip, or .html for all in one file  [results/report.zip]"
	@echo "  CONFIG       video, report, board: config files laid over config/config.yaml"
	@echo "  A, B         the runs to compare: names under results/, or paths; published-t4 is the published study"
	@echo "  DETECTOR     sample: nano for the small detector                 [RTMDet-m]"
	@echo "  PAIRS, RUNS  board: pairs of config/pairs/ to time [$(PAIRS)], or finished runs to take"
	@echo "  RUN, PAGE, SHOW  publish: the run, by its name under results/; another name in docs/; parts of the README to"
	@echo "               show it in, like latency or latency,findings"
	@echo "  MINUTES      gpu-trial: the time of one call                     [$(MINUTES)]"
	@echo "  PHOTOGRAPHS  photographs: the folder that has the files, linked as data/photographs"
	@echo "  ARGS         passed on to snakemake (demo, study, video, ...; --verbose: its own output) or pytest (test)"

# With setup-cuda beside it there is nothing left to do, and no PyTorch to download twice.
setup: $(if $(TARGET)$(filter setup-cuda,$(MAKECMDGOALS)),,$(STAMP)) ## make .venv with every package at its locked version
ifneq ($(TARGET),)
	@$(FOUND)
	@$(INSTALL) --target "$(TARGET)"
endif
ifeq ($(CUDA),none)
	@test ! -f $(VENV)/.cuda || { $(INSTALL); }
endif
ifeq ($(TARGET)$(filter setup-cuda,$(MAKECMDGOALS)),)
	@$(INSTALL) --amend
endif

demo: $(STAMP) ## the whole study in small: rendered scenes, small models, CPU, no network
	@$(WORKFLOW) $(ARGS) --configfile config/demo.yaml

sample: $(STAMP) ## the official models on 100 photographs of COCO (downloads 20 MB and the models)
	@test -z "$(DETECTOR)" -o -f "config/sample-$(DETECTOR).yaml" || { \
	  echo "DETECTOR is '$(DETECTOR)'; say DETECTOR=nano, or nothing for RTMDet-m" >&2; exit 1; }
	@$(WORKFLOW) $(ARGS) --configfile config/sample.yaml $(if $(DETECTOR),config/sample-$(DETECTOR).yaml)

study: $(STAMP) ## the full COCO study of config/config.yaml (downloads 1.2 GB)
	@$(WORKFLOW) $(ARGS)

timing: $(STAMP) ## RTMDet-m + RTMPose-m with random weights: how fast this machine runs them (no network)
	@$(WORKFLOW) $(ARGS) --configfile config/timing.yaml

gpu-trial: $(STAMP) ## a first run on a GPU, ten minutes; again: it goes on (docs/gpu.md)
	@$(PY) workflow/gpu_trial.py --minutes $(MINUTES) --cores $(CORES) $(ARGS)

photographs: $(STAMP) ## real weights on 44 photographs, from files that docs/photographs.md names
	@test -z "$(PHOTOGRAPHS)" || ln -sfn "$(abspath $(PHOTOGRAPHS))" data/photographs
	@test -d data/photographs || { echo "data/photographs is missing: docs/photographs.md says how to make it" >&2; exit 1; }
	@$(WORKFLOW) $(ARGS) --configfile config/photographs.yaml

# A path as YAML in quotes, in which a quote is written twice; and a word for the shell.
yaml = '$(subst ','',$(1))'
argument = '$(subst ','\'',$(1))'
CLIP = video={input: $(call yaml,$(value IN)), output: $(if $(value OUT),$(call yaml,$(value OUT)),null)}

video: $(STAMP) ## annotate a video: make video IN=clip.mp4
	@test -n $(call argument,$(value IN)) || { echo "Which video? Say make video IN=clip.mp4" >&2; exit 1; }
	@$(WORKFLOW) annotate_video $(ARGS) $(if $(CONFIG),--configfile $(CONFIG)) --config $(call argument,$(CLIP))

report: $(STAMP) ## an HTML report of a finished run, to open without a network: results/report.zip
	@$(WORKFLOW) --report $(call argument,$(or $(value OUT),results/report.zip)) $(ARGS) $(if $(CONFIG),--configfile $(CONFIG))
	@echo Written: $(call argument,$(or $(value OUT),results/report.zip))

compare: $(STAMP) ## set two runs beside each other: make compare A=baseline B=candidate (docs/compare.md)
	@test -n "$(A)" -a -n "$(B)" || { echo "Say make compare A=<baseline> B=<candidate>" >&2; exit 3; }
	@$(PY) workflow/compare.py "$(A)" "$(B)"

# With a GPU its rows, too. Names in quotes, since one like 2024 would be taken for a number.
WITH_GPU := $(if $(shell command -v nvidia-smi),config/board-gpu.yaml)
empty :=
comma := ,
quoted = runs=[$(subst $(empty) $(empty),$(comma),$(strip $(foreach run,$(1),"$(run)")))]
BOARD = $(WORKFLOW) board $(ARGS) --configfile $(1) $(CONFIG) --config $(call argument,$(call quoted,$(2)))

board: $(STAMP) ## what to deploy: times the pairs of config/pairs/ (or takes RUNS="a b c") and draws the board
ifeq ($(RUNS),)
	@for pair in $(PAIRS); do test -f config/pairs/$$pair.yaml || { \
	  echo "No pair $$pair; there are: $(notdir $(basename $(wildcard config/pairs/*.yaml)))" >&2; exit 1; }; done
	@for pair in $(PAIRS); do $(WORKFLOW) $(ARGS) --configfile config/pairs/$$pair.yaml config/board.yaml \
	  $(WITH_GPU) $(CONFIG) --config run=board-$$pair || exit 1; done
	@$(call BOARD,config/board.yaml,$(addprefix board-,$(PAIRS)))
else
	@$(call BOARD,config/config.yaml,$(RUNS))
endif

publish: $(STAMP) ## show a finished run in docs/results/ and in the README: make publish RUN=demo
	@test -n "$(RUN)" || { echo "Which run? Say make publish RUN=<its name under results/>" >&2; exit 1; }
	@$(PY) workflow/publish.py "$(RUN)" $(if $(PAGE),--as "$(PAGE)") $(if $(SHOW),--show "$(SHOW)")

# Everything is made anew, since Snakemake does not see that a package has changed.
verify: $(STAMP) ## run a small part of the demo again and check it against committed results (docs/verify.md)
	@$(WORKFLOW) verify --forceall $(ARGS) --configfile config/demo.yaml config/verify.yaml

train-demo: $(STAMP) ## train the demo's small models again
	@$(WORKFLOW) train_demo $(ARGS) --configfile config/demo.yaml

# A test process that ends by itself ends the run, which names its test: with a new process in its place
# pytest-xdist waits for ever.
test: $(STAMP) ## run the tests
	@$(PY) -m pytest -n auto --maxprocesses 4 --max-worker-restart 0 --no-loadscope-reorder $(ARGS)

test-slurm: $(STAMP) ## run the demo through a Slurm of one node, installed (by root, with apt-get) and started here
	@SLURM_TESTS=install $(PY) -m pytest tests/slurm -m slurm $(ARGS)

test-emulated: $(STAMP) ## run the tests of INT8 on an emulated processor without AVX-512 and VNNI (needs qemu-user)
	@$(PY) tests/without_vnni.py $(ARGS)

lint: $(STAMP) ## check style: ruff, snakefmt, snakemake --lint
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m snakefmt --check Snakefile workflow/Snakefile workflow/rules
	@$(PY) -m snakemake --lint

rulegraph: $(STAMP) ## draw the rules into docs/rules.md
	@$(PY) workflow/rulegraph.py

setup-cuda: ## the same for an NVIDIA GPU: PyTorch, ONNX Runtime and TensorRT for its driver (docs/gpu.md)
	@$(FOUND)
	@$(INSTALL) --cuda "$(or $(CUDA),auto)"

wheelhouse: ## gather every wheel for a machine without a network: make wheelhouse OUT=folder (docs/offline.md)
	@test -n "$(OUT)" || { echo "Where to? Say make wheelhouse OUT=folder" >&2; exit 1; }
	@$(FOUND)
	@$(INSTALL) --gather "$(OUT)" --cuda "$(CUDA)" $(if $(PYTHON_VERSION),--python-version $(PYTHON_VERSION)) \
	  $(if $(PLATFORM),--platform $(PLATFORM)) $(if $(PART_MIB),--part-mib $(PART_MIB))

clean: ## remove what the demo and the tools made (not .venv, downloads, other runs)
	@rm -rf results/demo data/scenes-demo .pytest_cache .ruff_cache .hypothesis
	@find workflow tests -name __pycache__ -type d -prune -exec rm -rf {} +

FOUND = test -n "$(PYTHON)" && "$(PYTHON)" -c '' || { \
        echo "$(or $(PYTHON),Python 3.11, 3.12 or 3.13) does not run: install one of Python 3.11, 3.12 and 3.13," \
        "or say make PYTHON=/path/to/python3.12" >&2; exit 1; }
INSTALL = "$(PYTHON)" workflow/install.py --venv $(VENV) --stamp $(VENV)/.installed-%-$(SUM) --torch $(TORCH) \
        $(if $(SYSTEM_SITE_PACKAGES),--system-site-packages) $(if $(WHEELHOUSE),--wheelhouse "$(WHEELHOUSE)") $(if $(filter undefined,$(origin UV)),,--uv "$(UV)")

$(STAMP):
	@$(FOUND)
	@$(INSTALL) $(if $(CUDA),--cuda "$(CUDA)")
