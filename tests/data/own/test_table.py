"""A CSV of photographs: what is read of it, and what is refused in one sentence."""

import codecs

import pytest

from ealn_plugin.data import View
from ealn_plugin.data.own.photographs import Photograph
from ealn_plugin.data.own.table import read_table


def read(tmp_path, text):
    path = tmp_path / "cars.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(str(path))


def test_columns_may_have_any_order_case_and_separator(tmp_path):
    expected = [
        Photograph("a.jpg", "red golf", "north gate", View.FRONT, "train"),
        Photograph("sub/b.jpg", "7", "", View.UNKNOWN, "test"),
    ]
    for separator in ",;\t":
        lines = ("Camid|PID|view|path|Split", "north gate|red golf|Front|a.jpg|TRAIN", "|7||sub/b.jpg|test")
        found = read(tmp_path, "\r\n".join(lines).replace("|", separator) + "\r\n\r\n")
        assert found.items == expected and found.folder == str(tmp_path)


def test_path_and_pid_are_enough(tmp_path):
    assert read(tmp_path, "path,pid\n/a.jpg,1\n").items == [Photograph("/a.jpg", "1")]


def test_a_byte_order_mark_and_quotes_are_read(tmp_path):
    found = read(tmp_path, codecs.BOM_UTF8 + 'path,pid,camid\n"a,b.jpg","VW ""Käfer""",1\n'.encode())
    assert found.items == [Photograph("a,b.jpg", 'VW "Käfer"', "1")]


def test_labels_are_texts(tmp_path):
    assert [item.vehicle for item in read(tmp_path, "path,pid\na.jpg,7\nb.jpg,07\n").items] == ["7", "07"]


def test_backslashes_of_windows_are_read_where_no_file_has_them(tmp_path):
    (tmp_path / "odd\\name.jpg").touch()
    found = read(tmp_path, "path,pid\nfolder\\a.jpg,1\nodd\\name.jpg,1\n")
    assert [item.image for item in found.items] == ["folder/a.jpg", "odd\\name.jpg"]


def test_columns_that_are_not_read_are_named(tmp_path, caplog):
    read(tmp_path, "path,pid,veiw,colour,time\na.jpg,1,front,red,12:00\n")
    assert "the column 'veiw' is not read; did you mean view?" in caplog.text
    assert "'colour' is not read" in caplog.text and "'time'" not in caplog.text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "is empty, expected the line path,pid,camid and then one line for each image"),
        (" \n\n", "is empty"),
        ("path,pid,camid\n", "names no image, expected a line for each below 'path,pid,camid'"),
        ("image,vehicle\na.jpg,1\n", "'image,vehicle', which lacks the column(s) path, pid; begin with the line path"),
        ("path,camid\na.jpg,1\n", "lacks the column(s) pid"),
        ("path,pid,pid\na.jpg,1,1\n", "the column pid is there twice"),
        ("path,pid\na.jpg,\n", "cars.csv:2: found 'a.jpg,', expected a pid, which is empty here; correct that line"),
        ("path,pid\na.jpg,1\n,1\n", "cars.csv:3: found ',1', expected a path"),
        ("path,pid,view\na.jpg,1,top\n", "cars.csv:2: found 'top', expected a view that is one of front, rear, side"),
        ("path,pid,split\na.jpg,1,val\n", "found 'val', expected a split that is one of train, query, gallery, test"),
        ("path,pid\na,b.jpg,1\n", "cars.csv:2: found 'a,b.jpg,1', expected 2 columns; put a path or label that holds"),
        ('path,pid\n"a.jpg,1\n', "expected comma-separated values"),
        ("path,pid\nä.jpg,1\n".encode("latin-1"), "cars.csv:2: found b'\\xe4', expected text encoded as UTF-8; save"),
        ("path,pid\na.jpg,1\n".encode("utf-16"), "expected text encoded as UTF-8; save the file again as CSV in UTF-8"),
    ],
)
def test_a_slip_is_one_sentence(tmp_path, text, expected):
    with pytest.raises(ValueError) as error:
        read(tmp_path, text)
    assert expected in str(error.value) and "cars.csv" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="give its present path"):
        read_table(str(tmp_path / "none.csv"))
