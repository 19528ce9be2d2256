"""Photos in folders and lists: what is found, what is refused, and that nothing is left out in silence."""

import os
import sys

import numpy as np
import PIL.Image
import pytest

from minicnn.data import ArrayDataset, Loader, Parts, Photos, open_folder, open_test, read_list, readable
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import DTypeError, LoadError, OptionError, ShapeError


def photo(path, size=(12, 9), colour=(200, 30, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, colour).save(path, **options)
    return path


def folder(top, **classes):
    """Make a folder of photos: ants=3 makes three photos in ants."""
    for number, (name, count) in enumerate(classes.items()):
        (top / name).mkdir(parents=True, exist_ok=True)
        for place in range(count):
            photo(top / name / f"{place}.png", colour=(40 * number, 5 * place, 0))
    return top


def names(photos):
    return [f"{file.parent.name}/{file.name}" for file in photos.files]


# ----------------------------------------------------------------------------------------- what is found


def test_divided_folders(tmp_path):
    folder(tmp_path / "train", bees=3, ants=2)
    folder(tmp_path / "val", ants=1, bees=1)
    parts = open_folder(tmp_path)
    assert parts.classes == ("ants", "bees")
    assert names(parts.training) == ["ants/0.png", "ants/1.png", "bees/0.png", "bees/1.png", "bees/2.png"]
    assert parts.training.labels.tolist() == [0, 0, 1, 1, 1]
    assert parts.validation.labels.tolist() == [0, 1]
    assert parts.divided
    assert parts.notes == []
    image, label = parts.training[3]
    assert (image.shape, image.dtype, label) == ((3, 9, 12), np.uint8, 1)
    assert image[:, 0, 0].tolist() == [0, 5, 0]


@pytest.mark.parametrize("word", ["val", "valid", "validation", "test"])
def test_words_for_the_part_that_is_held_out(tmp_path, word):
    folder(tmp_path / "train", a=2, b=2)
    folder(tmp_path / word, a=1, b=1)
    assert len(open_folder(tmp_path).validation) == 2


def test_class_folders_are_divided_by_us(tmp_path):
    folder(tmp_path, ants=20, bees=10)
    parts = open_folder(tmp_path, validation=0.3, seed=1)
    assert not parts.divided
    assert np.bincount(parts.validation.labels).tolist() == [6, 3]
    assert not set(names(parts.training)) & set(names(parts.validation))
    assert len(parts.training) + len(parts.validation) == 30
    assert names(open_folder(tmp_path, validation=0.3, seed=1).validation) == names(parts.validation)
    assert names(open_folder(tmp_path, validation=0.3, seed=2).validation) != names(parts.validation)


def test_a_list(tmp_path):
    for name in ("a.png", "b b.png", "c,d.png", "é.png"):
        photo(tmp_path / "photos" / name)
    rows = [
        "path,label",
        "photos/a.png,Ameise",
        "photos/b b.png,Biene",
        '"photos/c,d.png",Biene',
        "photos/é.png,Ameise",
    ]
    (tmp_path / "all.csv").write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
    parts = open_folder(tmp_path / "all.csv", validation=0.5)
    assert parts.classes == ("Ameise", "Biene")
    assert len(parts.training) == len(parts.validation) == 2
    assert readable(parts) is not None


def test_lists_that_come_divided(tmp_path):
    photo(tmp_path / "a.png")
    (tmp_path / "train.csv").write_text("a.png,x\nb.png,y\n")
    (tmp_path / "val.csv").write_text("c.png,y\n")
    parts = open_folder(tmp_path)
    assert (len(parts.training), len(parts.validation)) == (2, 1)
    assert "has no image of 'x'" in parts.notes[0]


LISTS = {
    "a.png": "line 1",
    "a.png,x,y": "found 3 columns",
    ",x": "the path is empty",
    "a.png,": "the label is empty",
    "a.png,x\na.png,y": "is 'y' here and 'x' in an earlier line (at line 2)",
    "": "names no image",
    "path,label": "names no image",
    'a.png,"x': "is no CSV list",
}


@pytest.mark.parametrize("text", LISTS)
def test_lists_that_are_wrong(tmp_path, text):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(LoadError) as caught:
        read_list(tmp_path / "list.csv")
    assert LISTS[text] in str(caught.value)


def test_a_list_that_is_no_text(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"a.png,x\n\xff\xfe,y\n")
    with pytest.raises(LoadError, match="is not UTF-8 text"):
        read_list(tmp_path / "list.csv")
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        read_list(tmp_path / "none.csv")


def test_names_of_all_kinds(tmp_path):
    for name in ("mit leer zeichen", "日本語", "ümläut"):
        photo(tmp_path / name / "bild – 1.JPG")
        photo(tmp_path / name / "deep" / "er" / "2.jpeg")
    parts = open_folder(tmp_path, validation=0.5)
    assert len(parts.training) + len(parts.validation) == 6
    assert readable(parts).notes == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not text")
def test_a_name_that_is_no_text(tmp_path):
    folder(tmp_path, a=3, b=3)
    os.rename(tmp_path / "a" / "0.png", os.fsencode(tmp_path / "a") + b"/\xff.png")
    assert readable(open_folder(tmp_path)).notes == []


def test_links_that_lead_back_are_followed_once(tmp_path):
    folder(tmp_path, a=3, b=3)
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    parts = open_folder(tmp_path)
    assert len(parts.training) + len(parts.validation) == 6


# ----------------------------------------------------------------------------------------- what is refused, or noted


def test_what_is_no_data(tmp_path):
    with pytest.raises(LoadError, match="there is no such folder or list"):
        open_folder(tmp_path / "none")
    with pytest.raises(LoadError, match="holds no folders of images"):
        open_folder(tmp_path)
    photo(tmp_path / "a.png")
    with pytest.raises(
        LoadError, match="holds 1 images, but no folders: the images of each class belong into a folder"
    ):
        open_folder(tmp_path)


def test_an_empty_class(tmp_path):
    folder(tmp_path, ants=3, bees=0)
    with pytest.raises(LoadError, match=r"bees: holds no image"):
        open_folder(tmp_path)


def test_one_class_only(tmp_path):
    folder(tmp_path, ants=3)
    with pytest.raises(LoadError, match="holds one class only, 'ants': there is nothing to tell apart"):
        open_folder(tmp_path)


def test_a_class_that_nobody_could_learn(tmp_path):
    folder(tmp_path / "train", ants=2, bees=2)
    folder(tmp_path / "val", ants=1, wasps=1)
    with pytest.raises(LoadError, match=r"val: has the class 'wasps', which .*train lacks"):
        open_folder(tmp_path)


def test_a_class_that_is_not_tested_is_noted(tmp_path):
    folder(tmp_path / "train", ants=2, bees=2)
    folder(tmp_path / "val", ants=1)
    assert "has no image of 'bees'" in open_folder(tmp_path).notes[0]


def test_a_class_too_small_to_be_divided(tmp_path):
    folder(tmp_path, ants=9, bees=1)
    with pytest.raises(OptionError, match=r"of class 'bees' there are too few images .*: 1"):
        open_folder(tmp_path)
    with pytest.raises(OptionError, match=r"validation must lie between 0 and 1, got 1\.5"):
        open_folder(tmp_path, validation=1.5)


def test_what_is_passed_over_is_noted(tmp_path):
    folder(tmp_path / "train", ants=2, bees=2)
    folder(tmp_path / "val", ants=1, bees=1)
    folder(tmp_path / "extra", ants=1)
    (tmp_path / "train" / "ants" / "notes.txt").write_text("x")
    (tmp_path / "train" / "ants" / "Thumbs.db").write_text("x")
    (tmp_path / "train" / "ants" / "._0.png").write_text("x")
    photo(tmp_path / "train" / "loose.png")
    notes = open_folder(tmp_path).notes
    assert len(notes) == 3
    assert "loose.png" in notes[0]
    assert "by their names they are no images: notes.txt" in notes[1]
    assert "not read, beside train and val: extra" in notes[2]


# ----------------------------------------------------------------------------------------- what cannot be read


def broken(tmp_path):
    folder(tmp_path / "train", ants=4, bees=4)
    folder(tmp_path / "val", ants=2, bees=2)
    (tmp_path / "train" / "ants" / "empty.jpg").touch()
    (tmp_path / "train" / "bees" / "text.jpg").write_text("no picture")
    whole = photo(tmp_path / "cut.png", (80, 80)).read_bytes()
    (tmp_path / "val" / "bees" / "cut.png").write_bytes(whole[: len(whole) // 2])
    os.remove(tmp_path / "cut.png")
    return open_folder(tmp_path)


def test_all_that_cannot_be_read_is_told_at_once(tmp_path):
    with pytest.raises(LoadError) as caught:
        readable(broken(tmp_path))
    text = str(caught.value)
    assert "3 files cannot be read (skip, --skip-unreadable, goes on without)" in text
    for name in ("empty.jpg", "text.jpg", "cut.png"):
        assert name in text


def test_skipping_is_counted_and_listed(tmp_path):
    parts = readable(broken(tmp_path), skip=True)
    assert (len(parts.training), len(parts.validation)) == (8, 4)
    assert "3 files cannot be read and were left out" in parts.notes[0]
    assert "cut.png" in parts.notes[0]


def test_a_class_of_which_nothing_is_left(tmp_path):
    folder(tmp_path / "train", ants=2, bees=2)
    folder(tmp_path / "val", ants=1, bees=1)
    (tmp_path / "val" / "bees" / "0.png").write_text("")
    with pytest.raises(LoadError, match="no file of a class is left"):
        readable(open_folder(tmp_path), skip=True)


def test_a_huge_photo_and_an_animated_one(tmp_path):
    folder(tmp_path, ants=3, bees=3)
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "ants" / "a.gif", save_all=True, append_images=frames[1:])
    parts = readable(open_folder(tmp_path))
    assert any("a.gif has 2 frames, of which the first is taken" in note for note in parts.notes)
    PIL.Image.new("1", (10_000, 6_000)).save(tmp_path / "bees" / "huge.png")
    with pytest.raises(LoadError, match="10000 x 6000 pixels are too many"):
        readable(open_folder(tmp_path))


def test_a_wrong_extension_does_not_matter(tmp_path):
    folder(tmp_path, ants=3, bees=3)
    photo(tmp_path / "ants" / "x.png").rename(tmp_path / "ants" / "x.jpg")
    assert readable(open_folder(tmp_path)).notes == []


# ----------------------------------------------------------------------------------------- photos as a data set


def test_photos_of_several_sizes_need_a_transform(tmp_path):
    photos = Photos([photo(tmp_path / "a.png", (5, 6)), photo(tmp_path / "b.png", (7, 6))], [0, 1])
    with pytest.raises(
        ShapeError, match="a batch needs photos of one size, which a transform cuts out, got 6 x 5, 6 x 7"
    ):
        list(Loader(photos, 2))
    ((images, labels),) = Loader(photos, 2, transform=Preprocessing(size=4).cut, workers=2)
    assert images.shape == (2, 3, 4, 4)
    assert labels.tolist() == [0, 1]


def test_photos_of_one_size_are_a_batch(tmp_path):
    photos = Photos([photo(tmp_path / f"{n}.png") for n in "abc"], [0, 1, 2])
    images, labels = photos[np.array([2, 0])]
    assert images.shape == (2, 3, 9, 12)
    assert labels.tolist() == [2, 0]


def test_the_digest_is_of_the_contents(tmp_path):
    first = Photos([photo(tmp_path / "a.png")], [0])
    assert first.digest() == Photos([photo(tmp_path / "b.png")], [1]).digest()
    assert first.digest() != Photos([photo(tmp_path / "c.png", colour=(0, 0, 1))], [0]).digest()
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        Photos([tmp_path / "none.png"], [0]).digest()


def test_labels_must_be_integers(tmp_path):
    with pytest.raises(DTypeError, match="Photos: labels must be integers"):
        Photos(["a"], [0.5])


# ----------------------------------------------------------------------------------------- for a test


def test_all_images_are_for_the_test_where_nothing_is_divided(tmp_path):
    folder(tmp_path, bees=3)
    parts = open_test(tmp_path, ("ants", "bees", "wasps"))
    assert parts.validation.labels.tolist() == [1, 1, 1]
    assert "has no image of ants, wasps" in parts.notes[0]
    assert len(parts.training) == 0


def test_the_validation_part_is_for_the_test(tmp_path):
    folder(tmp_path / "train", ants=3, bees=3)
    folder(tmp_path / "val", ants=2, bees=1)
    assert open_test(tmp_path, ("bees", "ants")).validation.labels.tolist() == [1, 1, 0]


def test_a_class_that_the_network_does_not_know(tmp_path):
    folder(tmp_path, ants=1, wasps=1)
    with pytest.raises(LoadError, match="has the class wasps, which the network does not know: it knows ants, bees"):
        open_test(tmp_path, ("ants", "bees"))


def test_parts_of_arrays_need_no_reading():
    data = ArrayDataset(np.zeros((3, 4, 4), np.uint8), [0, 1, 0])
    parts = Parts(data, data, ("a", "b"))
    assert readable(parts) is parts or readable(parts).training is data
