import pytest

from ealn_plugin.data.files import find_dataset_folder, image_names, malformed, read_lines


def test_the_first_folder_name_that_is_there_wins(tmp_path):
    for name in ("second", "third"):
        (tmp_path / name / "images").mkdir(parents=True)
    assert find_dataset_folder(tmp_path, ("first", "second", "third"), ("images",), "Cars") == str(tmp_path / "second")


def test_root_may_be_the_dataset_folder_or_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_dataset_folder("", ("first",), ("images",), "Cars") == str(tmp_path)


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    (tmp_path / "first" / "images").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_dataset_folder("~", ("first",), ("images",), "Cars") == str(tmp_path / "first")


def test_a_missing_dataset_names_every_folder_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        find_dataset_folder(tmp_path, ("first", "second"), ("images", "lists"), "Cars")
    message = str(caught.value)
    assert message.startswith("Cars was not found") and "see datasets.md" in message
    for folder in (tmp_path / "first", tmp_path / "second", tmp_path):
        assert str(folder) in message


def test_a_half_unpacked_dataset_names_what_it_lacks(tmp_path):
    (tmp_path / "second" / "images").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"second lacks the folder\(s\) lists.*see datasets.md"):
        find_dataset_folder(tmp_path, ("first", "second"), ("images", "lists"), "Cars")


def test_only_image_files_are_listed_in_order(tmp_path):
    for name in ("b.jpg", "a.JPG", "c.png", "Thumbs.db", ".DS_Store", "._b.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert image_names(tmp_path) == ["a.JPG", "b.jpg", "c.png"]


def test_lines_keep_their_numbers(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfone 1\r\n\r\n  two 2\nthree")
    assert read_lines(path) == [(1, "one 1"), (3, "two 2"), (4, "three")]


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"one\ntwo\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"list\.txt:3: found b'\\xff', expected text encoded as UTF-8"):
        read_lines(path)


def test_a_long_line_is_shortened_in_the_message():
    assert len(str(malformed("list.txt", 7, "x" * 5000, "a short line"))) < 250
