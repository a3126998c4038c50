# make demo | make test | make checks | make reproduce DATA_DIR=... | make trials or ablation DATA_DIR=... | make bench
PYTHON ?= python3.11
DATA_DIR ?= $(or $(HYPERVAE_DATA),data)
JOBS ?= 2
BIN = .venv/bin
RUN = $(BIN)/python

.PHONY: demo test checks reproduce trials ablation bench clean

.venv/.installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

DEMO = --dataset digits --binarize threshold --iterations 700 --results-dir results/demo

demo: .venv/.installed
	$(RUN) 01_train.py $(DEMO)
	$(RUN) 02_density.py $(DEMO) --num-importance-samples 256 --num-nll-images 150

test: .venv/.installed
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(RUN) -m pytest -q -n auto --dist worksteal

# The long tests, and the rest of scikit-learn's checks of our estimators.
checks: .venv/.installed
	$(RUN) -m pytest -q -n auto --dist worksteal -m slow

FULL = --dataset mnist fashion_mnist omniglot --data-dir $(DATA_DIR) --jobs $(JOBS)

reproduce: .venv/.installed alloys/main30_100.npz
	$(RUN) 01_train.py $(FULL)
	$(RUN) 02_density.py $(FULL) --seeds 0 --num-nll-images 0
	$(RUN) 02_density.py $(FULL) --seeds 1 2
	$(RUN) 02_density.py $(FULL) --recipe paper
	$(RUN) 03_outliers.py $(PAIRS) --data-dir $(DATA_DIR) --jobs $(JOBS) --seeds 0 1 2
	$(SHORT_OUTLIERS) --normal mnist fashion_mnist omniglot --outlier flip_horizontal flip_vertical rotated \
	  --model vae hypervae --scores usual combined
	$(SHORT_OUTLIERS) $(TURNED_ALL) --model vae hypervae --likelihood discretized_logistic
	$(SHORT_OUTLIERS) $(TURNED_ALL) --model vae hypervae --likelihood discretized_logistic --scores combined
	$(SHORT_OUTLIERS) --normal fashion_mnist --outlier held_out_class --model vae hypervae \
	  --likelihood discretized_logistic --scores usual combined
	$(SHORT_OUTLIERS) $(TURNED) --model metavae hypervae --likelihood discretized_logistic --scores task_mixture
	$(RUN) 01_train.py $(PHOTOGRAPHS)
	$(RUN) 02_density.py $(PHOTOGRAPHS) --tables 1 2 --num-importance-samples 0
	$(RUN) 02_density.py --dataset mnist fashion_mnist --data-dir $(DATA_DIR) --likelihood discretized_logistic \
	  --iterations 2000 --tables 1 2 --num-importance-samples 0
	$(RUN) 02_density.py --dataset photographs --likelihood logistic_mixture --iterations 2000 --tables 1 \
	  --num-importance-samples 0 --model vae hypervae
	$(SHORT_OUTLIERS) $(PAIRS) --model vae hypervae --scores usual combined --seeds 0 1 2
	$(SHORT_OUTLIERS) $(PAIRS) --model vae hypervae --scores likelihood_regret
	$(SHORT_OUTLIERS) $(PAIRS) --model metavae cvae hypervae --scores task_mixture
	for tasks in auto random; do $(SHORT_OUTLIERS) $(PAIRS) --model hypervae --scores usual combined \
	  --tasks $$tasks || exit; done
	$(SHORT_OUTLIERS) --normal mnist --outlier held_out_class --model vae hypervae --scores usual combined
	$(NEW_TASKS) --dataset mnist fashion_mnist omniglot --table told generate
	$(RUN) 09_new_tasks.py --data-dir $(DATA_DIR) --dataset mnist fashion_mnist omniglot --table told --iterations 2000 \
	  --num-importance-samples 0 --peer vae_wide hypervae hypervae_auto_tasks hypervae_random_tasks
	$(NEW_TASKS) --dataset mnist fashion_mnist omniglot --table unseen --iterations 2000
	$(NEW_TASKS) --seeds 0 --dataset mnist --table unseen --iterations 2000 --peer vae_wide --learning-rate 0.004 \
	  --adaptation none finetuned
	$(if $(wildcard $(DATA_DIR)/omniglot_characters/*.npz),$(NEW_TASKS) --table characters $(CHARACTERS))
	$(RUN) 10_compress.py table --dataset mnist fashion_mnist omniglot --data-dir $(DATA_DIR)
	$(RUN) 11_explore.py --dataset mnist --data-dir $(DATA_DIR) --screenshot
	$(RUN) 04_discover_digits.py $(DISCOVER)
	$(RUN) 04_discover_digits.py $(DISCOVER) --num-targets 2 --seeds 1
	$(RUN) 04_discover_digits.py $(DISCOVER) --target-pixels grey --num-targets 2
	for what in regressors likelihoods; do $(RUN) 05_discover_alloys.py --jobs $(JOBS) --compare $$what || exit; done
	for likelihood in multinomial multinomial_10000; do $(RUN) 05_discover_alloys.py --compare likelihoods \
	  --likelihood $$likelihood --model vae --iterations 6000 || exit; done
	for iterations in 3000 6000; do $(RUN) 05_discover_alloys.py --compare likelihoods --likelihood multinomial_10000 \
	  --model hypervae --iterations $$iterations || exit; done
	$(RUN) 05_discover_alloys.py --compare likelihoods --likelihood multinomial_splines --model vae
	for objective in cosine scaled_cosine; do \
	  $(RUN) 05_discover_alloys.py $(ALLOYS) --objective $$objective --seeds 0 1 || exit; \
	  $(if $(TDB),$(RUN) 05_discover_alloys.py $(ALLOYS) --objective $$objective --seeds 0 1 --through-calphad || exit;) done
	$(RUN) 05_discover_alloys.py $(ALLOYS) --objective scaled_cosine --held-out paper
	$(RUN) 05_discover_alloys.py $(ALLOYS) --objective scaled_cosine --likelihood multinomial_10000 --iterations 6000 \
	  --held-out 6053 2219 6951 2024 2014 2025 7076 2618
	$(RUN) 05_discover_alloys.py $(ALLOYS) --objective scaled_cosine --held-out 6053 2219 6951 --start nothing
	$(if $(TDB),$(RUN) 05_discover_alloys.py $(ALLOYS) --compare regressors --refine 3)
	$(if $(TDB),$(RUN) 05_discover_alloys.py $(ALLOYS) --spec examples/specifications/*.toml --evaluations 50)
	$(REGRESS) --dataset boston concrete energy kin8nm naval power wine-red yacht
	$(REGRESS) --dataset protein --splits 5
	$(REGRESS) --dataset yacht --recipe paper
	$(CLASSIFY) --seeds 0 1 2
	$(CLASSIFY) --architecture 3x750
	$(CLASSIFY) --method hypernet --generator dense --architecture 2x400 3x150
	$(CLASSIFY) --method hypernet --generator dense --architecture 2x800 --epochs 20
	for units in 32 8; do $(RUN) 08_denoise.py --task bars --seeds 0 1 2 3 4 --hidden $$units --jobs $(JOBS) || exit; done
	for image in china camera $(DATA_DIR)/images/house.png $(DATA_DIR)/images/barbara.png; do \
	  $(RUN) 08_denoise.py --image $$image || exit; \
	  for missing in "--inpaint 0.3" "--inpaint 0.5" "--inpaint 0.8" "--mask text"; do \
	    $(RUN) 08_denoise.py --image $$image --sigma 0 $$missing $(GENTLE) || exit; done; \
	  $(RUN) benchmarks/denoising_rivals.py --image $$image --method zs_n2n || exit; done
	$(RUN) 08_denoise.py $(HOUSE) $(WHOLE) --sigma 50 --patch 12 --seeds 0 1 --jobs $(JOBS)
	$(RUN) 08_denoise.py $(HOUSE) $(WHOLE) --patch 12 --epochs 100
	$(RUN) 08_denoise.py $(HOUSE) $(WHOLE) --seeds 0 1 --jobs $(JOBS)
	$(RUN) 08_denoise.py $(HOUSE) $(WHOLE) $(MANY)
	$(RUN) 08_denoise.py $(HOUSE) $(WHOLE) $(MANY) --warm-epochs 460 --epochs 40 --generations 4
	for image in "$(HOUSE)" "--image camera"; do $(RUN) 08_denoise.py $$image --seeds 1 2 --jobs $(JOBS) || exit; done
	for change in "$(LARGER)" "--generations 2" "$(MANY)"; do $(RUN) 08_denoise.py $(HOUSE) $$change || exit; done
	$(RUN) benchmarks/amortised_denoising.py --seconds 120 --seeds 0 1
	$(RUN) benchmarks/binary_vae_scale.py
	$(RUN) 08_denoise.py --task bars --seeds 0 1 2 3 4 --hidden 8 --restarts 1 --first-variance 0.01 --mutation flip
	$(RUN) 08_denoise.py $(HOUSE) $(EARLIER) --seeds 0 1
	$(RUN) 08_denoise.py $(HOUSE) $(EARLIER) --stride 2 --batch-size 64 --epochs 100
	$(RUN) 08_denoise.py $(HOUSE) $(EARLIER) $(WARM) --batch-size 128 --epochs 120
	$(RUN) 08_denoise.py $(HOUSE) $(EARLIER) --sigma 50 --patch 12 --stride 2 --warm-stride 4 --warm-epochs 60 --batch-size 64 --epochs 120
	$(MAKE) trials ablation

# An hour on two cores; needs DATA_DIR/alloys/alloy_limits.csv and the database there.
alloys/main30_100.npz: | .venv/.installed
	$(RUN) 05_discover_alloys.py --make-data --alloys-per-class 100 --data-dir $(DATA_DIR) --pack $@ $(ALLOYS)

PHOTOGRAPHS = --dataset photographs --likelihood discretized_logistic --iterations 2000
PAIRS = --normal mnist fashion_mnist omniglot --outlier all
TURNS = flip_horizontal flip_vertical rotated
TURNED = --normal fashion_mnist --outlier all $(TURNS)
TURNED_ALL = --normal mnist fashion_mnist omniglot --outlier all $(TURNS)
SHORT_OUTLIERS = $(RUN) 03_outliers.py --iterations 2000 --data-dir $(DATA_DIR) --jobs $(JOBS)
NEW_TASKS = $(RUN) 09_new_tasks.py --data-dir $(DATA_DIR) --jobs $(JOBS) --seeds 0 1 2
CHARACTERS = --iterations 6000 --latent-dim 50 --hyper-latent-dim 50 --rank 30
HOUSE = --image $(DATA_DIR)/images/house.png
WARM = --stride 1 --warm-stride 4 --warm-epochs 100
MANY = --states 200 --parents 10 --children 9
LARGER = --latent-dim 128 --hidden 128
# Ten minutes to an hour of one core.
WHOLE = --patch 8 $(WARM) --batch-size 128 --epochs 120
# The defaults before this version's.
EARLIER = --patch 8 --stride 4 --max-learning-rate 0.01 --mutation flip --gradient-states 64
# Where pixels are missing.
GENTLE = --half-cycle 20 --max-learning-rate 0.01
TDB = $(wildcard $(DATA_DIR)/alloys/*.tdb)
ALLOYS = --jobs $(JOBS) $(addprefix --tdb ,$(TDB))
# Twenty trainings: shorter ones than the tables'.
DISCOVER = --dataset mnist --iterations 4000 --data-dir $(DATA_DIR) --jobs $(JOBS)

# Settings of implicit hypernetworks besides the defaults; rows held out of training choose among them (README).
REGRESS = $(RUN) 06_regression.py --data-dir $(DATA_DIR) --jobs $(JOBS)
CLASSIFY = $(RUN) 07_classification.py --dataset mnist --data-dir $(DATA_DIR) --jobs $(JOBS)
VALIDATE = $(CLASSIFY) --evaluate-on validation

trials: .venv/.installed
	for change in "--hidden 8" "" "--parents 5 --children 4" "--states 128"; do \
	  $(RUN) 08_denoise.py --task bars --seeds 10 11 12 13 14 15 16 17 --restarts 1 $$change --results-dir results/trials || exit; done
	for rate in 0.01 0.1; do \
	  for image in china camera; do $(RUN) 08_denoise.py --image $$image --epochs 40 --max-learning-rate $$rate || exit; done; done
	for image in china camera; do \
	  $(RUN) 08_denoise.py --image $$image --epochs 40 || exit; \
	  $(RUN) 08_denoise.py --image $$image --epochs 40 --gradient-states 64 || exit; \
	  $(RUN) 08_denoise.py --image $$image --patch 8 --gradient-states 64 || exit; \
	  $(RUN) 08_denoise.py --image $$image --epochs 40 --latent-dim 128 --hidden 128 || exit; done
	for rate in 0.003 0.01; do \
	  $(REGRESS) --dataset kin8nm naval power --method sgd --learning-rate $$rate || exit; \
	  $(REGRESS) --dataset protein --splits 5 --method sgd --learning-rate $$rate || exit; done
	$(REGRESS) --dataset power --method hypernet --learning-rate 0.01
	$(REGRESS) --dataset power --method hypernet --learning-rate 0.01 --kernel-rate 1
	$(REGRESS) --dataset protein --splits 5 --method hypernet --learning-rate 0.003
	$(REGRESS) --dataset kin8nm naval power --method hypernet --learning-rate 0.003 --kernel-rate 1
	$(REGRESS) --dataset protein --splits 5 --method hypernet --learning-rate 0.003 --kernel-rate 1
	$(REGRESS) --dataset kin8nm --method hypernet --learning-rate 0.003 --kernel-rate 1 --spread 0.01
	for rate in 0.01 0.03; do $(REGRESS) --dataset kin8nm --method hypernet --learning-rate $$rate --kernel-rate 1 || exit; done
	for rate in 0.001 0.01; do \
	  $(REGRESS) --dataset concrete energy --epochs 1000 --method sgd --learning-rate $$rate || exit; \
	  $(REGRESS) --dataset wine-red --epochs 30 100 --method sgd --learning-rate $$rate || exit; done
	for rate in 0.003 0.01; do \
	  $(REGRESS) --dataset concrete energy --epochs 1000 --method hypernet --learning-rate $$rate --kernel-rate 0.02 || exit; \
	  $(REGRESS) --dataset wine-red --epochs 30 100 --method hypernet --learning-rate $$rate --kernel-rate 0.02 || exit; done
	$(REGRESS) --dataset boston --epochs 300 --method hypernet --weights-per-step 1
	for rate in 0.001 0.003 0.01; do $(VALIDATE) --architecture 3x150 --method sgd --learning-rate $$rate || exit; done
	for rate in 0.0003 0.001 0.003; do $(VALIDATE) --architecture 3x150 --method hypernet --learning-rate $$rate || exit; done
	$(VALIDATE) --architecture 3x150 --method hypernet --spread 0.01
	$(VALIDATE) --architecture 3x150 --method hypernet --weights-per-step 1
	for rate in 0.0005 0.001 0.003; do $(VALIDATE) --architecture 2x400 --method sgd --learning-rate $$rate || exit; done
	for rate in 0.0005 0.001 0.002; do $(VALIDATE) --architecture 2x400 --method hypernet --learning-rate $$rate || exit; done
	$(VALIDATE) --architecture 2x400 --epochs 100
	for rate in 0.0001 0.0003; do \
	  $(VALIDATE) --architecture 3x150 --method hypernet --generator dense --spread 0.01 --kernel-rate 1 --learning-rate $$rate || exit; done
	for rate in 0.001 0.003; do $(VALIDATE) --architecture 3x150 --method hypernet --generator dense --learning-rate $$rate || exit; done
	$(VALIDATE) --architecture 3x150 --method hypernet --generator dense --spread 0.1
	$(VALIDATE) --architecture 3x150 --method hypernet --generator dense --kernel-rate 1 --learning-rate 0.0001 --epochs 100

# All measured on the validation part. First: tasks per step x summary, and the block generator, on MNIST.
# Then what the recipe `ours` was chosen by: learning rate x warm-up of the KL terms, all models alike.
ABLATE = $(RUN) 02_density.py --data-dir $(DATA_DIR) --evaluate-on validation --num-importance-samples 0 --iterations 2000 --jobs $(JOBS)

# Then the peers of 09: size of u's change at the start, larger while that helped, and learning rate.
PEERS = $(RUN) 09_new_tasks.py --data-dir $(DATA_DIR) --dataset mnist --table generate --evaluate-on validation --iterations 2000 --ranks

ablation: .venv/.installed
	$(PEERS) --peer bias scale_bias neural_statistician hypervae --change-scale 1
	$(PEERS) --peer bias scale_bias hypervae --change-scale 0.1
	$(PEERS) --peer bias scale_bias --change-scale 3
	$(PEERS) --peer bias scale_bias --change-scale 10
	$(PEERS) --peer scale_bias --change-scale 30
	$(PEERS) --peer hypervae --change-scale 0.03
	$(PEERS) --peer all_scaled hypervae --vector-scale 10
	$(PEERS) --peer bias scale_bias --change-scale 1 --learning-rate 0.001
	$(PEERS) --peer neural_statistician hypervae --learning-rate 0.001
	$(PEERS) --peer encoder decoder
	$(PEERS) --peer bias scale_bias hypervae_tuned --learning-rate 0.001
	$(PEERS) --peer hypervae hypervae_tuned scale_bias --learning-rate 0.004
	for rate in 0.001 0.002 0.004 0.008; do \
	  $(RUN) 09_new_tasks.py --data-dir $(DATA_DIR) --dataset mnist --table told --evaluate-on validation --iterations 2000 \
	    --num-importance-samples 0 --peer vae_wide cvae --learning-rate $$rate || exit; done
	$(ABLATE) --dataset mnist
	$(RUN) 02_density.py $(FULL) --evaluate-on validation --num-importance-samples 0
	for steps in 500 700 1000; do for how in threshold bernoulli; do \
	  $(RUN) 02_density.py --binarize $$how --iterations $$steps --model vae hypervae --evaluate-on validation \
	    --num-importance-samples 0 || exit; done; done
	for tasks in 1 10 20; do for summary in draw mean set; do \
	  $(ABLATE) --dataset mnist --model hypervae --tasks-per-step $$tasks --summary $$summary || exit; done; done
	$(ABLATE) --dataset mnist --model hypervae --generator block
	for rate in 0.001 0.002; do for warmup in 0 0.2; do \
	  $(ABLATE) --dataset fashion_mnist omniglot --model vae hypervae --learning-rate $$rate --kl-warmup $$warmup || exit; done; done

bench: .venv/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	$(RUN) benchmarks/training_step.py
	$(RUN) benchmarks/outlier_scoring.py
	$(RUN) benchmarks/outlier_scoring.py --body conv_logistic
	$(RUN) benchmarks/bayesian_optimization.py
	$(RUN) benchmarks/evolutionary_step.py
	$(RUN) benchmarks/explorer_page.py
	$(if $(wildcard $(DATA_DIR)/images/house.png),$(RUN) benchmarks/denoising_rivals.py $(HOUSE) --sigma 25 50 --seeds 0 1)
	for image in camera $(wildcard $(DATA_DIR)/images/house.png); do \
	  $(RUN) benchmarks/denoising_rivals.py --image $$image --method bm3d bm3d_estimated --seeds 0 1 2 || exit; done
	for image in china camera $(wildcard $(DATA_DIR)/images/barbara.png); do \
	  $(RUN) benchmarks/denoising_rivals.py --image $$image --method bm3d bm3d_estimated || exit; done
	$(if $(TDB),$(RUN) benchmarks/phase_diagrams.py --tdb $(TDB) --limits $(DATA_DIR)/alloys/alloy_limits.csv)

clean:
	rm -rf .venv results/demo
