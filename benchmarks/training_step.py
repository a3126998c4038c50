"""A training step of 100 images: this project against the same networks written plainly in PyTorch (eager).

    python benchmarks/training_step.py [--threads 2] [--steps 100] [--rounds 5]

Each system runs in a process of its own, in turn, with equal threads; the ratio is the median over rounds of
ratios within a round, so a machine whose speed drifts does not bend it. What is timed is the whole of a
step as a user runs it: Keras `fit` with its input pipeline here, a Python loop over a tensor there.
Needs `pip install -r requirements-bench.txt`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = (
    "vae",
    "metavae",
    "hypervae, 1 task, draw",
    "hypervae, 10 tasks, draw",
    "hypervae, 20 tasks, mean",
    "hypervae, 20 tasks, mean, block",
)


def ours(threads, steps):
    """Milliseconds a step of each case through `fit`; and of the input pipeline alone."""
    sys.path.insert(0, str(ROOT))
    from common.data import datasets
    from common.hypervae.tasks import training_batches
    from common.hypervae.training import Settings, build_model
    from common.runs.jobs import limit_threads

    limit_threads(threads)
    data = datasets.load("digits", "data")
    base = dict(
        dataset="digits", fingerprint="", body="conv", recipe="benchmark", seed=0, iterations=1000, batch_size=100
    )
    base |= dict(learning_rate=1e-3, schedule="constant", latent_dim=10, hyper_latent_dim=10, generator="layerwise")
    base |= dict(binarize="bernoulli", kl_warmup=0)
    chosen = {
        "vae": dict(model="vae", tasks_per_step=1, summary="draw"),
        "metavae": dict(model="metavae", tasks_per_step=1, summary="draw"),
        "hypervae, 1 task, draw": dict(model="hypervae", tasks_per_step=1, summary="draw"),
        "hypervae, 10 tasks, draw": dict(model="hypervae", tasks_per_step=10, summary="draw"),
        "hypervae, 20 tasks, mean": dict(model="hypervae", tasks_per_step=20, summary="mean"),
        "hypervae, 20 tasks, mean, block": dict(model="hypervae", tasks_per_step=20, summary="mean", generator="block"),
    }
    times = {}
    for case in CASES:
        settings = Settings(**(base | chosen[case]))
        model = build_model(settings, data)
        tasks = settings.tasks_per_step
        batches = training_batches(data.x, data.y, tasks, 100 // tasks, 0, 0, 10**6, model.mixed_batches)
        model.fit(batches, epochs=1, steps_per_epoch=50, verbose=0, shuffle=False)
        started = time.perf_counter()
        model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False)
        times[case] = 1e3 * (time.perf_counter() - started) / steps
    batches = iter(training_batches(data.x, data.y, 10, 10, 0, 0, 10**6, False))
    next(batches)
    started = time.perf_counter()
    for _ in range(steps):
        next(batches)
    times["input pipeline alone"] = 1e3 * (time.perf_counter() - started) / steps
    return times


def pytorch(threads, steps):
    """The same networks as a PyTorch user would write them; HyperVAE with one task, u from one image."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)

    def encoder(heads=10):
        body = nn.Sequential(
            nn.Conv2d(1, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3136, 100),
            nn.ReLU(),
        )
        return nn.ModuleDict({"body": body, "mean": nn.Linear(100, heads), "log_var": nn.Linear(100, heads)})

    def encode(net, x):
        h = net["body"](x)
        return net["mean"](h), net["log_var"](h)

    def sample(mean, log_var):
        return mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)

    def kl(mean, log_var):
        return 0.5 * (log_var.exp() + mean**2 - 1 - log_var).sum(-1)

    class PlainVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder()
            self.decoder = nn.Sequential(
                nn.Linear(10, 100),
                nn.ReLU(),
                nn.Linear(100, 3136),
                nn.ReLU(),
                nn.Unflatten(1, (64, 7, 7)),
                nn.ConvTranspose2d(64, 32, 3, 2, 1, 1),
                nn.ReLU(),
                nn.ConvTranspose2d(32, 1, 3, 2, 1, 1),
            )

        def loss(self, x):
            mean, log_var = encode(self.encoder, x)
            logits = self.decoder(sample(mean, log_var))
            reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
            return (reconstruction + kl(mean, log_var)).mean()

    class PlainHyperVAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.hyper_encoder = encoder()
            self.hyper_decoder = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 400), nn.ReLU())
            main = PlainVAE()
            self.main = [main]  # in a list: its own weights are not trained, they are generated
            self.parts = nn.ParameterList()
            for p in main.parameters():
                rows = p.shape[0] if p.dim() > 1 else 1
                columns = p.numel() // rows
                self.parts.append(nn.Parameter(torch.randn(rows, 20) / 20**0.5))
                self.parts.append(nn.Parameter(0.01 * torch.randn(20, columns)))
                self.parts.append(nn.Parameter(p.detach().reshape(rows, columns).clone()))

        def loss(self, x):
            mean, log_var = encode(self.hyper_encoder, x[:1])
            h = self.hyper_decoder(sample(mean, log_var)).view(20, 20)
            theta = {}
            for i, (name, p) in enumerate(self.main[0].named_parameters()):
                left, right, base = self.parts[3 * i : 3 * i + 3]
                theta[name] = (left @ h @ right + base).view(p.shape)
            length = torch.func.functional_call(Loss(self.main[0]), {f"vae.{k}": v for k, v in theta.items()}, (x,))
            return length + kl(mean, log_var).sum() / len(x)

    class Loss(nn.Module):
        def __init__(self, vae):
            super().__init__()
            self.vae = vae

        def forward(self, x):
            return self.vae.loss(x)

    x = (torch.rand(100, 1, 28, 28) < 0.2).float()
    times = {}
    for name, model in (("vae", PlainVAE()), ("hypervae, 1 task, draw", PlainHyperVAE())):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

        def step(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            model.loss(x).backward()
            optimizer.step()

        for _ in range(10):
            step()
        started = time.perf_counter()
        for _ in range(steps):
            step()
        times[name] = 1e3 * (time.perf_counter() - started) / steps
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100, help="timed steps of each case in a round, a multiple of 50")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("ours", "pytorch"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.steps % 50:
        parser.error("--steps is no multiple of 50 (steps of one compiled execution)")
    if args.only:
        function = ours if args.only == "ours" else pytorch
        print("RESULT " + json.dumps(function(args.threads, args.steps)))
        return
    rounds = []
    for _ in range(args.rounds):
        times = {}
        for system in ("ours", "pytorch"):
            command = [
                sys.executable,
                __file__,
                "--only",
                system,
                "--threads",
                str(args.threads),
                "--steps",
                str(args.steps),
            ]
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(args.threads)}
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout
            times[system] = json.loads(output.split("RESULT ")[1])
        rounds.append(times)

    def median(values):
        return statistics.median(list(values))

    print(f"| step of 100 images, {args.threads} threads | ours, ms | PyTorch eager, ms | ratio |")
    print("| --- | --- | --- | --- |")
    for case in (*CASES, "input pipeline alone"):
        mine = median(r["ours"][case] for r in rounds)
        if case in rounds[0]["pytorch"]:
            theirs = median(r["pytorch"][case] for r in rounds)
            ratio = median(r["ours"][case] / r["pytorch"][case] for r in rounds)
            print(f"| {case} | {mine:.1f} | {theirs:.1f} | {ratio:.2f} |")
        else:
            print(f"| {case} | {mine:.2f} | | |")
    one, ten = "hypervae, 1 task, draw", "hypervae, 10 tasks, draw"
    print(f"\n10 tasks of 10 against one task of 100: {median(r['ours'][ten] / r['ours'][one] for r in rounds):.2f}")


if __name__ == "__main__":
    main()
