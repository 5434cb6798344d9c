"""The XML of Items: encodings, and what is refused. VeRI-776's own files are read in test_veri776.py."""

import pytest

from ealn_plugin.data.item_xml import read_items


def written(tmp_path, text, encoding="gb2312"):
    path = tmp_path / "train_label.xml"
    path.write_bytes(text.encode(encoding))
    return str(path)


@pytest.mark.parametrize("encoding", ["gb2312", "gb18030", "utf-8"])
def test_items_with_their_lines(tmp_path, encoding):
    declared = "utf-8" if encoding == "utf-8" else "gb2312"
    text = f'<?xml version="1.0" encoding="{declared}" ?>\n<Images 名="图">\n'
    text += '<Item imageName="1.jpg" vehicleID="7"/>\n</Images>'
    assert read_items(written(tmp_path, text, encoding)) == [(3, {"imageName": "1.jpg", "vehicleID": "7"})]


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            '<Items>\n<Item vehicleID="1"/></Items>',
            "train_label.xml:2: .* expected an Item with the attribute imageName",
        ),
        ("<Items>\n<Item", "train_label.xml:2: .* expected well-formed XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><Items/>', "expected a file without entities"),
    ],
)
def test_a_slip_is_named_with_its_line(tmp_path, text, expected):
    with pytest.raises(ValueError, match=expected):
        read_items(written(tmp_path, text))
