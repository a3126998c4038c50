"""Rivals that 08_denoise.py does not run itself, on its noisy images: rows of 08_denoise/psnr.csv, and pictures.

BM3D (Dabov et al. 2007; Makinen, Azzari and Foi 2020) by its authors' package, told the noise level or with an
estimate of it. Its licence allows non-commercial use only, so it stands in requirements-bench.txt and nothing else
needs it.
ZS-N2N (Mansour and Heckel 2023) is told nothing, and takes minutes. 08_denoise.py, called again, shows their scores.

  python benchmarks/denoising_rivals.py --image house.png --sigma 25 50 --seeds 0 1
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import cli, report
from common.errors import InputError
from common.runs.results import put_rows
from common.tvae import denoising, inputs, outputs, patches, rivals
from common.tvae.recipe import Recipe

METHODS = {"bm3d": {}, "bm3d_estimated": {"method": "bm3d", "estimated": True}, "zs_n2n": {}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--image", type=Path, default=Path("china"), help="a picture; or china or camera, crops (china)"
    )
    parser.add_argument("--method", choices=METHODS, nargs="+", default=list(METHODS), help="(all)")
    parser.add_argument("--sigma", type=cli.positive_float, nargs="+", default=[25.0], help="of the noise, of 255 (25)")
    parser.add_argument("--seeds", type=cli.whole_number, nargs="+", default=[0], help="of the noise (0)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), help="(results/)")
    args = parser.parse_args()
    picture, name = inputs.load(args.image)
    image = picture.pixels
    folder = args.results_dir / "08_denoise"
    for sigma in args.sigma:
        for seed in args.seeds:
            seen = denoising.DenoisingRun(name, patches.fingerprint(image), sigma, 0.0, 1, 1, 0, 0, Recipe(), seed)
            for method in args.method:
                run, started = rivals.rival(seen, **{"method": method} | METHODS[method]), time.perf_counter()
                try:
                    found = rivals.restore(run, patches.add_noise(image, sigma, seed), image)
                except ImportError as error:
                    remedy = "pip install -r requirements-bench.txt"
                    raise InputError(f"{error.name} cannot be imported: {remedy}") from error
                row = denoising.rival_row(run, found, image) | {"seconds": time.perf_counter() - started}
                put_rows(folder / "psnr.csv", [row], outputs.COLUMNS, outputs.KEYS, outputs.ORDER)
                outputs.write_restored(folder / outputs.folder_name(run), found, picture)
                scores = f"{row['psnr']:.2f} dB, SSIM {row['ssim']:.3f}, {row['seconds']:.0f} s"
                print(f"{name}, {method}, sigma {sigma:g}, seed {seed}: {scores}", flush=True)
    report.write_report(args.results_dir)


if __name__ == "__main__":
    cli.run_script(main)
