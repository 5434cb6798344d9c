"""ealn_plugin/evaluation/twins.py: SSIM and PSNR with known answers and against loops, retrieval, files."""

import math

import numpy as np
import pytest
import torch

from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation import twins
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.twins import opposite, psnr, read_twins, retrieve_other_views, ssim


def test_ssim_of_equal_and_of_plain_images():
    torch.manual_seed(0)
    a = torch.rand(3, 3, 16, 20)
    assert ssim(a, a).tolist() == pytest.approx([1.0] * 3)
    dark, light = torch.full((1, 3, 12, 12), 0.2), torch.full((1, 3, 12, 12), 0.7)
    expected = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)  # no variance: the luminance term alone
    assert float(ssim(dark, light)) == pytest.approx(expected, rel=1e-5)
    assert float(ssim(a[:1], 1 - a[:1])) < 0 and ssim(a, a.flip(0)).max() <= 1
    assert torch.equal(ssim(a, a.flip(3)), ssim(a.flip(3), a))


def test_ssim_against_loops():
    torch.manual_seed(1)
    a, b = torch.rand(1, 2, 13, 12).double(), torch.rand(1, 2, 13, 12).double()
    axis = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    values = []
    for channel in range(2):
        for y in range(3):
            for x in range(2):
                p, q = (image[0, channel, y : y + 11, x : x + 11].numpy() for image in (a, b))
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                both = (window * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + 1e-4) * (2 * both + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    assert float(ssim(a, b)) == pytest.approx(np.mean(values), rel=1e-9)


def test_psnr_with_known_answers():
    a = torch.zeros(2, 3, 4, 4)
    b = torch.stack([torch.full((3, 4, 4), 0.1), torch.zeros(3, 4, 4)])
    assert psnr(a, b).tolist() == [pytest.approx(20.0), math.inf]
    found = twins.summarize(
        twins.score_pictures(
            torch.zeros(1, 3, 12, 12), torch.eye(2)[:1], torch.zeros(1, 3, 12, 12), torch.eye(2)[1:], "euclidean"
        )
    )
    assert found == pytest.approx({"ssim": 1.0, "psnr": 100.0, "distance": math.sqrt(2)})


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match="smaller than SSIM's window"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))
    with pytest.raises(ValueError, match="expected the same"):
        psnr(torch.zeros(1, 3, 12, 12), torch.zeros(2, 3, 12, 12))


def test_retrieval_of_the_other_views():
    assert opposite([0, 1, 2, -1]).tolist() == [1, 0, -1, -1]
    # One axis per vehicle and view; vehicle 1 has rears in cameras 0 and 1, vehicle 2 has one rear, no front.
    axes = np.eye(4, dtype=np.float32)
    gallery = Features(
        axes[[0, 1, 1, 2]],
        [1, 1, 1, 2],
        [0, 0, 1, 2],
        [View.FRONT, View.REAR, View.REAR, View.REAR],
        np.zeros(4, dtype=bool),
    )
    labels = dict(pids=np.array([1, 2, 1]), camids=np.array([0, 0, 3]), views=np.array([View.FRONT] * 2 + [View.SIDE]))
    truth = retrieve_other_views(axes[[1, 2, 0]], gallery=gallery, **labels)
    assert truth == {"mAP": 1.0, "rank1": 1.0, "queries": 2}
    swapped = retrieve_other_views(axes[[2, 1, 0]], gallery=gallery, **labels)
    # Vehicle 1's rear in its own camera is junk: its other rear comes behind vehicle 2's. Vehicle 2's comes last of 3.
    assert swapped == {"mAP": pytest.approx((1 / 2 + 1 / 3) / 2), "rank1": 0.0, "queries": 2}
    with pytest.raises(ValueError, match="no front or rear query has a gallery image"):
        retrieve_other_views(axes[[0]], np.array([1]), np.array([0]), np.array([View.SIDE]), gallery)


def test_reading_twins(tmp_path):
    assert read_twins(tmp_path) == {}
    (tmp_path / "twins.csv").write_text("image,twin\nimage_test/a.jpg,image_twin/a.jpg\n")
    assert read_twins(tmp_path) == {str(tmp_path / "image_test/a.jpg"): str(tmp_path / "image_twin/a.jpg")}
    (tmp_path / "twins.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="has the header .* expected image,twin"):
        read_twins(tmp_path)
