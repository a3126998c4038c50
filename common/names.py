"""What data are called in tables, reports and folders: a set that comes with the project by its name, a user's by its
file's. A file decides by its contents what the data are, never by its name.
"""

from pathlib import Path

COLUMNS = ("dataset", "normal", "outlier", "ood_dataset", "image")  # of tables: they hold such names
LONGEST = 36  # characters; two of them and a digest are still the name of a folder


def name_of_file(path):
    """ "photos.npz" of any photos.npz; of a folder "photos.folder". It has a dot always, and no set of ours has one."""
    path = Path(path)
    name = path.resolve().name if path.is_dir() else path.name
    name += ".folder" if path.is_dir() else "" if "." in name else ".file"
    name = "".join(letter if letter.isprintable() else "?" for letter in name)  # also what no encoding knows
    return name if len(name) <= LONGEST else f"{name[:20]}...{name[-13:]}"


def common_name(given):
    """One name for data that go by several: that of a set of ours, or else the last file's."""
    return min(list(given)[::-1], key=is_file_name)


def is_file_name(name):
    """Whether a name stands for a user's file, or for some classes of it."""
    return "." in str(name)
