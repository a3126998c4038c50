"""Pictures and tables that stand for a user's own, out of scikit-learn and scikit-image: what docs/answers.md types.

    python examples/own_data.py mine/

writes mine/sevens (twelve sevens), mine/good (500 zeros to fours), mine/pile (40 more of them, 5 fives to nines, and 5
patches of a photograph), mine/digits (600, a folder a class), mine/new (30 other digits, and 10 patches), the tables
mine/table.csv and mine/new.csv (diabetes patients), mine/scan.png (a noisy photograph), mine/scratched.png and
mine/scratches.png.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data, draw, util
from sklearn.datasets import load_diabetes, load_digits

SIZE = 28


def write(path, pixels):
    """Grey levels (H, W) in [0, 1] as a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)).save(path)


def digit(pixels):
    """A digit of 8 x 8 as one of MNIST's size: smooth, with a margin."""
    large = Image.fromarray(np.uint8(pixels * 255 / 16)).resize((20, 20), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(large) / 255, 4)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder, draws = Path(sys.argv[1]), np.random.default_rng(0)
    digits = load_digits()
    pictures, y = [digit(own) for own in digits.images], digits.target
    used = dict.fromkeys(range(10), 0)

    def some(classes, number, name):
        """So many digits, that no other part has, spread over the classes."""
        for i in range(number):
            label = classes[i % len(classes)]
            index = np.flatnonzero(y == label)[used[label]]
            used[label] += 1
            write(folder / name.format(label=label, i=i), pictures[index])

    some([7], 12, "sevens/{i}.png")
    some(range(5), 40, "pile/{label}_{i}.png")
    some(range(5, 10), 5, "pile/odd_{label}_{i}.png")
    some(range(10), 30, "new/{label}_{i}.png")
    some(range(5), 500, "good/{i}.png")
    camera = util.img_as_float(data.camera())
    patches = [f"new/photograph_{i}.png" for i in range(10)] + [f"pile/photograph_{i}.png" for i in range(5)]
    for name in patches:
        top, left = draws.integers(0, 512 - SIZE, 2)
        write(folder / name, camera[top : top + SIZE, left : left + SIZE])
    used = dict.fromkeys(range(10), 112)
    some(range(10), 600, "digits/{label}/{i}.png")

    rows = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    rows[:400].to_csv(folder / "table.csv", index=False)
    rows[400:].drop(columns="progression").to_csv(folder / "new.csv", index=False)

    face = util.img_as_float(data.astronaut())[:200:2, 150:350:2].mean(-1)
    write(folder / "scan.png", face + 0.1 * draws.normal(size=face.shape))
    marks = np.zeros(face.shape)
    for _ in range(12):
        ends = draws.integers(0, len(face), 4)
        marks[draw.line(*ends)] = 1
    write(folder / "scratches.png", marks)
    write(folder / "scratched.png", np.where(marks, 1, face))


if __name__ == "__main__":
    main()
