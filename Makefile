# make demo | make test | make reproduce DATA_DIR=... | make bench
PYTHON ?= python3.11
DATA_DIR ?= $(or $(HYPERVAE_DATA),data)
JOBS ?= 2
BIN = .venv/bin
RUN = TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python

.PHONY: demo test reproduce bench clean

.venv/.installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

demo: .venv/.installed
	$(RUN) 01_train.py --dataset digits --model all --iterations 1000 --results-dir results/demo
	$(RUN) 02_density.py --dataset digits --iterations 1000 --results-dir results/demo

test: .venv/.installed
	$(RUN) -m pytest -q tests

reproduce: .venv/.installed
	$(RUN) 01_train.py --model all --dataset mnist fashion_mnist omniglot --data-dir $(DATA_DIR) --jobs $(JOBS)
	$(RUN) 02_density.py --dataset mnist fashion_mnist omniglot --data-dir $(DATA_DIR) --seeds 0 1 2 --jobs $(JOBS)
	$(RUN) 02_density.py --dataset mnist fashion_mnist omniglot --data-dir $(DATA_DIR) --recipe paper --jobs $(JOBS)

bench: .venv/.installed
	$(RUN) benchmarks/training_step.py

clean:
	rm -rf .venv results/demo
