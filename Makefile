# make demo | make test | make reproduce DATA_DIR=... | make ablation DATA_DIR=... | make bench
PYTHON ?= python3.11
DATA_DIR ?= $(or $(HYPERVAE_DATA),data)
JOBS ?= 2
BIN = .venv/bin
RUN = $(BIN)/python

.PHONY: demo test reproduce ablation bench clean

.venv/.installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

DEMO = --dataset digits --iterations 600 --results-dir results/demo

demo: .venv/.installed
	$(RUN) 01_train.py $(DEMO)
	$(RUN) 02_density.py $(DEMO) --num-importance-samples 256 --num-nll-images 150

test: .venv/.installed
	$(RUN) -m pytest -q tests

FULL = --dataset mnist fashion_mnist omniglot --data-dir $(DATA_DIR) --jobs $(JOBS)

reproduce: .venv/.installed
	$(RUN) 01_train.py $(FULL)
	$(RUN) 02_density.py $(FULL) --seeds 0 --num-nll-images 0
	$(RUN) 02_density.py $(FULL) --seeds 1 2
	$(RUN) 02_density.py $(FULL) --recipe paper
	$(MAKE) ablation

# HyperVAE on a tenth of MNIST's training set: tasks per step x summary, and the block generator.
ABLATE = $(RUN) 02_density.py --dataset mnist --data-dir $(DATA_DIR) --evaluate-on validation --iterations 2000
ABLATE += --learning-rate 0.001 --schedule cosine --num-importance-samples 0

ablation: .venv/.installed
	$(ABLATE) --model vae
	$(ABLATE) --model metavae --tasks-per-step 20
	for tasks in 1 10 20 50; do for summary in draw mean set; do \
	  $(ABLATE) --model hypervae --tasks-per-step $$tasks --summary $$summary || exit; done; done
	for generator in layerwise block; do \
	  $(ABLATE) --model hypervae --tasks-per-step 4 --summary mean --generator $$generator || exit; done

bench: .venv/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	$(RUN) benchmarks/training_step.py

clean:
	rm -rf .venv results/demo
