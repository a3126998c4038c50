"""BM3D on the noisy images of 08_denoise.py, by its authors' package: rows of 08_denoise/psnr.csv, and pictures.

BM3D (Dabov et al. 2007; Makinen, Azzari and Foi 2020) is told the noise level. Its licence allows non-commercial use
only, so it stands in requirements-bench.txt and nothing else needs it. 08_denoise.py, called again, shows its score.

  python benchmarks/denoising_rivals.py --image house.png --sigma 25 50 --seeds 0 1
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import cli, report
from common.errors import InputError
from common.runs.results import put_rows
from common.tvae import denoising, patches, rivals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, default=Path("china"), help="a picture, or china or camera (china)")
    parser.add_argument("--sigma", type=cli.positive_float, nargs="+", default=[25.0], help="of the noise, of 255 (25)")
    parser.add_argument("--seeds", type=cli.whole_number, nargs="+", default=[0], help="of the noise (0)")
    parser.add_argument("--results-dir", type=Path, default=Path("results"), help="(results/)")
    args = parser.parse_args()
    picture, name = denoising.load(args.image)
    image = picture.pixels
    shared = dict(
        image=name, fingerprint=patches.fingerprint(image), method="bm3d", parameters=rivals.PARAMETERS["bm3d"]
    )
    folder = args.results_dir / "08_denoise"
    for sigma in args.sigma:
        for seed in args.seeds:
            run = rivals.RivalRun(**shared, sigma=sigma, seed=seed)
            try:
                found = rivals.restore(run, patches.add_noise(image, sigma, seed), image)
            except ImportError as error:
                raise InputError(f"{error.name} cannot be imported: pip install -r requirements-bench.txt") from error
            row = denoising.rival_row(run, found, image)
            put_rows(folder / "psnr.csv", [row], denoising.COLUMNS, denoising.KEYS, denoising.ORDER)
            denoising.write_restored(folder / denoising.folder_name(run), found, picture)
            print(f"{name}, sigma {sigma:g}, seed {seed}: {row['psnr']:.2f} dB, SSIM {row['ssim']:.3f}", flush=True)
    report.write_report(args.results_dir)


if __name__ == "__main__":
    cli.run_script(main)
