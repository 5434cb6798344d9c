"""ealn_plugin/data/pairs.py: lists of two images a line."""

import pytest

from ealn_plugin.data.pairs import read_pairs


def test_pairs_in_the_order_of_the_lines(tmp_path):
    path = tmp_path / "list.csv"
    assert read_pairs(str(path), ["image", "other"], "other") == []
    path.write_text('image,other,kind\nb/1.jpg,c/2.jpg,x\n\n"a,1.jpg",c/3.jpg,\n')
    assert read_pairs(str(path), ["image", "other", "kind"], "other") == [
        (str(tmp_path / "b" / "1.jpg"), str(tmp_path / "c" / "2.jpg")),
        (str(tmp_path / "a,1.jpg"), str(tmp_path / "c" / "3.jpg")),
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n", "it has the header .*'a', 'b'.*expected image,other"),
        ("image,other\na.jpg\n", "line 2 has 1 names, expected an image and its other"),
        ("image,other\n,a.jpg\n", "line 2"),
        ('image,other\na.jpg,"b\n', "list.csv: "),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{message}.*render the dataset again"):
        read_pairs(str(path), ["image", "other"], "other")
