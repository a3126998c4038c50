"""Folders of pictures: classes are sub-folders, in order of names, of one size or made so; all else is named."""

import gc
import weakref

import numpy as np
import pytest
from PIL import Image

from common.data import folders, image_sets, readers
from common.errors import InputError


def write(path, value=100, size=(6, 8), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if mode == "L" else (*size, 3)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


def test_sub_folders_are_classes(tmp_path):
    for name, value in (("b/2.png", 20), ("a/9.jpg", 90), ("a/10.tif", 10), ("b/1.bmp", 200)):
        write(tmp_path / name, value)
    (tmp_path / ".DS_Store").write_text("hidden files are nobody's pictures")
    images, classes, names, paths = folders.read(tmp_path)
    assert images.shape == (4, 6, 8, 1) and images.dtype == np.uint8
    assert [path.name for path in paths] == ["10.tif", "9.jpg", "1.bmp", "2.png"]
    np.testing.assert_allclose(images[:, 0, 0, 0], [10, 90, 200, 20], atol=2)
    np.testing.assert_array_equal(classes, [0, 0, 1, 1])
    assert names == ("a", "b")


def test_a_flat_folder_is_one_class_and_colour_becomes_luminance(tmp_path):
    write(tmp_path / "grey.png", 50)
    write(tmp_path / "colour.png", [0, 255, 0], mode="RGB")
    images, classes, names, _ = folders.read(tmp_path)
    np.testing.assert_array_equal(classes, [0, 0])
    assert names == () and images[1, 0, 0, 0] == 50
    assert images[0, 0, 0, 0] == round(255 * 0.7152)  # green's share of luminance


def test_colours_are_kept_where_asked_and_grey_ones_beside_them_get_three_channels(tmp_path):
    write(tmp_path / "grey.png", 50)
    write(tmp_path / "neutral.png", [70, 70, 70], mode="RGB")
    assert folders.read(tmp_path, colour=True)[0].shape == (2, 6, 8, 1)  # no colour in either
    write(tmp_path / "colour.png", [0, 255, 3], mode="RGB")
    images, *_ = folders.read(tmp_path, colour=True)
    assert images.shape == (3, 6, 8, 3)
    np.testing.assert_array_equal(images[:, 2, 5], [[0, 255, 3], [50, 50, 50], [70, 70, 70]])


@pytest.mark.parametrize("dtype, white", [(np.uint8, 255), (np.float32, 1)])
def test_an_array_is_read_as_the_same_pictures_of_a_folder(tmp_path, dtype, white):
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (5, 6, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", x=(levels / 255 * white).astype(dtype) if white == 1 else levels)
    for i, image in enumerate(levels):
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "x" / f"{i}.png")
    for colour in (False, True):
        folder, array = (readers.unlabelled(tmp_path / name, colour=colour)[0] for name in ("x", "x.npz"))
        np.testing.assert_array_equal(folder, array)
    np.testing.assert_array_equal(array, levels)


def test_a_part_without_colour_has_the_channels_of_the_other(tmp_path):
    coloured, y = np.zeros((4, 6, 8, 3), np.uint8), np.zeros(4, int)
    coloured[..., 0] = 200
    neutral = np.full((4, 6, 8, 3), 90, np.uint8)
    np.savez(tmp_path / "x.npz", x=coloured, y=y, x_test=neutral, y_test=y)
    raw = readers.read_npz(tmp_path / "x.npz", colour=True)
    np.testing.assert_array_equal(raw.x, coloured)
    np.testing.assert_array_equal(raw.x_test, neutral)
    assert readers.read_npz(tmp_path / "x.npz").x.shape == (4, 6, 8, 1)


def test_grey_beside_coloured_images_and_what_cannot_stand_beside_each_other():
    grey, coloured = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1), np.zeros((2, 3, 4, 3), np.uint8)
    same = readers.in_channels_of(coloured.shape[1:], grey)
    assert same.shape == coloured.shape and (same == grey).all()
    assert readers.in_channels_of(grey.shape[1:], coloured) is coloured
    readers.check_size("these", same.shape[1:], coloured.shape[1:])
    with pytest.raises(InputError, match="these are 3x4 and 3x4x3: make all grey, or all coloured"):
        readers.check_size("these", grey.shape[1:], coloured.shape[1:])


def test_sizes_are_made_equal_where_asked(tmp_path):
    write(tmp_path / "a.png", 77, (20, 30))
    write(tmp_path / "b.png", 77, (6, 8))
    images, *_ = folders.read(tmp_path, (10, 12))
    assert images.shape == (2, 10, 12, 1) and (images == 77).all()
    with pytest.raises(InputError, match="b.png is 6x8, a.png 20x30: .*--image-size"):
        folders.read(tmp_path)


@pytest.mark.parametrize("colour", [False, True])
def test_pictures_are_shrunk_as_they_are_read(tmp_path, monkeypatch, colour):
    """One at a time: a hundred photographs as floats at full size would not fit into memory."""
    for name in "abc":
        write(tmp_path / f"{name}.png")
    alive = []
    read = folders.pictures.read

    def counted(path, **options):
        found = read(path, **options)
        alive.append(weakref.ref(found))
        gc.collect()
        assert sum(own() is not None for own in alive) <= 2  # this one, and the name that still holds the last one
        return found

    monkeypatch.setattr(folders.pictures, "read", counted)
    assert folders.read(tmp_path, (3, 4), colour)[0].shape[:3] == (3, 3, 4)


def test_what_is_read_differently_is_said_once_and_transparency_is_refused(tmp_path, capsys):
    pages = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (9, 99)]
    for name in ("a.tif", "b.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    assert (folders.read(tmp_path)[0] == 9).all()
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "holds 2 pictures: the first one is taken (and 1 more such notes)" in said
    for alpha in (255, 254):
        ink = np.dstack([np.zeros((6, 8)), np.full((6, 8), alpha)]).astype(np.uint8)
        Image.fromarray(ink, "LA").save(tmp_path / "c.png")
        if alpha == 255:
            assert len(folders.read(tmp_path)[0]) == 3
    with pytest.raises(InputError, match="c.png is transparent in places"):
        folders.read(tmp_path)


def test_pictures_of_unlike_scales_are_refused(tmp_path, capsys):
    """One grey is one brightness, in whatever picture and set it stands: of 16 bits white is always the largest."""
    for name, brightest in (("a.png", 60_000), ("b.png", 3_000)):
        Image.fromarray(np.array([[12_600, brightest]], np.uint16)).save(tmp_path / name)
    found = folders.read(tmp_path)[0][:, 0, :, 0]
    assert found.tolist() == [[49, 233], [49, 12]]
    assert "black is taken to be 0, white 65535" in capsys.readouterr().out
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match="its brightest value is 12600 of 65535: convert all to 8 bits"):
        folders.read(tmp_path)
    write(tmp_path / "a.png", size=(1, 2))
    with pytest.raises(InputError, match="b.png is read as 0 to 65535, a.png as 0 to 255: convert"):
        folders.read(tmp_path)
    (tmp_path / "b.png").unlink()
    folders.read(tmp_path)
    assert capsys.readouterr().out == ""
    picture = Image.fromarray(np.full((6, 8), 60_000, np.uint16))
    picture.save(tmp_path / "c.png", transparency=5)
    with pytest.raises(InputError, match="16 bits with a transparent colour"):
        folders.read(tmp_path)


def test_sub_folders_named_by_numbers_are_classes_of_these_numbers(tmp_path, capsys):
    for number in range(12):
        (tmp_path / "num" / f"{number}").mkdir(parents=True)
        write(tmp_path / "num" / f"{number}" / "a.png", 20 * number)
    raw = image_sets.read(tmp_path / "num", tmp_path)
    assert raw.x[:, 0, 0, 0].tolist() == [20 * y for y in raw.y] and raw.class_names == tuple(map(str, range(12)))
    assert "classes are" not in capsys.readouterr().out
    (tmp_path / "num" / "5").rename(tmp_path / "num" / "cats")
    image_sets.read(tmp_path / "num", tmp_path)
    assert "its classes are 0 0, 1 1, 2 10, 3 11, 4 2" in capsys.readouterr().out


def test_a_folder_called_like_a_named_set_is_not_passed_over_without_a_word(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    write(tmp_path / "digits" / "a.png")
    assert len(image_sets.read("digits", tmp_path / "data").x) == 1_797
    assert "the folder beside you is read as ./digits" in capsys.readouterr().out
    assert len(image_sets.read("./digits", tmp_path / "data").x) == 1


def test_names_that_are_no_text_can_be_written(tmp_path):
    (tmp_path / "caf\udce9").mkdir()
    write(tmp_path / "caf\udce9" / "b\udce9.png")
    _, names = readers.unlabelled(tmp_path)
    assert names == ["caf?/b?.png"] and folders.files(tmp_path)[2] == ("caf?",)


BAD = {
    "empty": (lambda f: None, "has no pictures"),
    "no picture": (lambda f: (f / "notes.txt").write_text("x"), "notes.txt, which is no picture"),
    "empty class": (lambda f: [(f / "a").mkdir(), write(f / "b/1.png")], "a has no pictures"),
    "beside": (lambda f: [write(f / "1.png"), write(f / "b/1.png")], "1.png beside sub-folders"),
    "broken": (lambda f: (f / "1.png").write_bytes(b"x"), "1.png cannot be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_set_of_pictures_is_refused(tmp_path, kind):
    make, message = BAD[kind]
    make(tmp_path)
    with pytest.raises(InputError, match=message):
        folders.read(tmp_path)
