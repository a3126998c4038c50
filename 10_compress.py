"""Lossless compression (section 3.3): the description length as a file that decodes to the same images."""

from pathlib import Path

from common import cli, report
from common.data import image_sets
from common.errors import InputError
from common.hypervae import options
from common.runs import storage
from common.runs.jobs import run_jobs

EXAMPLES = """examples:
  python 10_compress.py pack images.npz out.hvz --dataset mnist              binary images x (N, 28, 28); order kept
  python 10_compress.py pack images.npz out.hvz --dataset mnist --as-sets    of each label y a set, its order is free
  python 10_compress.py pack grey.npz out.hvz --dataset mnist --binarize threshold
  python 10_compress.py unpack out.hvz images.npz
  python 10_compress.py unpack out.hvz some.npz --block 2                    one block of images alone
  python 10_compress.py check out.hvz images.npz
  python 10_compress.py info out.hvz
  python 10_compress.py pack mine.npz out.hvz --dataset mine.npz --model vae trains on mine.npz what is missing
  python 10_compress.py table --dataset mnist fashion_mnist omniglot --data-dir DATA

--dataset is what the model is trained on: mnist, fashion_mnist and omniglot have models that come with the repository,
others are trained (and kept in RESULTS_DIR/checkpoints); then unpack needs the same options as pack. `table` packs test
parts and writes RESULTS_DIR/10_compress/table.csv, blocks.csv, two figures, and RESULTS_DIR/README.md.
docs/compression.md has the format."""

FILES = {"pack": ("images", "file"), "unpack": ("file", "images"), "check": ("file", "images"), "info": ("file",)}


def read_bytes(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give the path of a .hvz file") from error


def blocks_bar(title, number):
    from tqdm import tqdm

    return lambda blocks: tqdm(blocks, title, total=number, unit=" blocks", mininterval=1)


def pack(args):
    from common.hypervae import compressed_files as files
    from common.hypervae import compression_runs

    images, path = args.files
    x, labels = compression_runs.read_images(images, args.image_size, args.chosen_binarization)
    name, model = compression_runs.model_for(args)
    header, order = files.plan(model, name, x, labels, args.grouping, args.chosen_binarization, args.seeds[0])
    number = len(header.blocks())
    packed = files.pack(model, x, header, order, blocks_bar("packing", number))
    found, _ = files.unpack(model, packed.raw, path, progress=blocks_bar("decoding", number))
    if not files.same_images(header, found, x, labels):
        raise InputError(f"{images} did not come out as it went in, and {path} is not written: report this, please")
    storage.write_atomically(path, lambda temporary: temporary.write_bytes(packed.raw), "choose another file")
    bits = 8 * len(packed.raw) / x.size
    print(
        f"{path}: {len(x):,} images in {len(packed.raw):,} bytes, {bits:.4f} bits a pixel, decoded to the same images"
    )
    print(f"initial bits: {packed.initial_bits:,} in {number} blocks; groups: {len(header.sizes)}")
    if labels is not None and not header.labelled:
        print(f"note: the labels of {images} are not kept: --as-groups and --as-sets keep them")


def unpack(args):
    from common.hypervae import compressed_files as files
    from common.hypervae import compression_runs
    from common.hypervae.compressed_header import read_header

    path, images = args.files
    raw = read_bytes(path)
    header, _ = read_header(raw, path)
    _, model = compression_runs.model_for(args, header)
    x, header = files.unpack(model, raw, path, args.block, blocks_bar("unpacking", len(header.blocks())))
    arrays = {"x": x[..., 0]}
    if header.labelled:
        part = slice(None) if args.block is None else header.blocks()[args.block]
        arrays["y"] = header.labels()[part]

    storage.write_npz(images, arrays, "choose another file")
    print(f"{images}: {len(x):,} images x, {'and labels y' if header.labelled else 'no labels'}")


def check(args):
    from common.hypervae import compressed_files as files
    from common.hypervae import compression_runs
    from common.hypervae.compressed_header import read_header

    path, images = args.files
    raw = read_bytes(path)
    header, _ = read_header(raw, path)
    other, labels = compression_runs.read_images(images, args.image_size, header.binarization)
    _, model = compression_runs.model_for(args, header)
    x, _ = files.unpack(model, raw, path, progress=blocks_bar("unpacking", len(header.blocks())))
    if not files.same_images(header, x, other, labels):
        raise InputError(f"{path} holds other images than {images}: pack these again")
    print(f"{path} holds the images of {images}")


def info(args):
    from common.hypervae import compressed_files as files

    (path,) = args.files
    raw = read_bytes(path)
    for name, value in files.description(raw, path).items():
        print(f"{name + ':':24}{value}")


def table(args):
    from common.hypervae import compression_figures, compression_rivals, compression_runs

    args.dataset = args.dataset or ["mnist", "fashion_mnist", "omniglot"]
    folder, own = args.results_dir / "10_compress", []
    jobs = compression_runs.jobs(args)
    for name in args.dataset:
        own += compression_runs.write_rows(compression_rivals.rival_rows(args, name), [], folder)
    for row, blocks in run_jobs(compression_runs.measured, jobs, args.jobs, args.scheduler):
        own += compression_runs.write_rows([row], blocks, folder)
    compression_figures.draw(own, folder)
    report.finish(folder)


def check_options(args):
    """Refuse what a command has no use for, and to write over what is read."""
    cli.refuse_several(args.command, recipe=args.recipe)
    if args.command != "table":
        cli.refuse_several(args.command, dataset=args.dataset or [], model=args.model, seed=args.seeds)
    if args.command != "pack":
        cli.refuse_unused(args, ["--as-sets", "--as-groups"], f"with {args.command}")
    if args.command != "unpack":
        cli.refuse_unused(args, ["--block"], f"with {args.command}")
        cli.refuse_unused(args, ["--jobs", "--scheduler"], f"with {args.command}")
    if args.command == "info":
        cli.refuse_unused(args, args.given, "with info")
    if args.command in ("pack", "unpack"):
        read, written = args.files
        own = next((name for name in args.dataset or [] if name not in image_sets.NAMES), None)
        storage.check_apart(written, {"the input": read, "--dataset": own}, "name another file to write to")


COMMANDS = {"pack": pack, "unpack": unpack, "check": check, "info": info, "table": table}


def main():
    parser = options.parser(__doc__, EXAMPLES)
    commands = "pack IMAGES FILE, unpack FILE IMAGES, check FILE IMAGES, info FILE, or table"
    parser.add_argument("command", choices=tuple(COMMANDS), help=commands)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="of the command, in that order")
    group = parser.add_argument_group("compression")
    how = group.add_mutually_exclusive_group()
    sets = "sort by label, or without labels by what the model finds; the order within a group is not kept"
    how.add_argument("--as-sets", dest="grouping", action="store_const", const="sets", default="order", help=sets)
    groups = "the same with the order within a group kept"
    how.add_argument("--as-groups", dest="grouping", action="store_const", const="groups", help=groups)
    group.add_argument("--block", type=cli.whole_number, help="of `unpack`: this block of images alone")
    parser.set_defaults(dataset=None, binarize=None)
    args = parser.parse_args()
    # Nothing is lost unasked: images to pack are binary, unless the option is given. Training data always have one.
    args.chosen_binarization, args.binarize = args.binarize or "none", args.binarize or "bernoulli"
    wanted = FILES.get(args.command, ())
    if len(args.files) != len(wanted):
        raise InputError(f"{args.command} takes {' and '.join(wanted) or 'no file'}, see --help")
    check_options(args)
    COMMANDS[args.command](args)


if __name__ == "__main__":
    cli.run_script(main)
