"""schemes/unlabelled.py: images from noise, the losses of a DCGAN, and LSRO on the logits of the fakes."""

import math
from dataclasses import replace

import pytest
import torch

from ealn_plugin.models.dcgan import DCGANDiscriminator, DCGANGenerator
from ealn_plugin.schemes import UnlabelledImagesScheme
from tests.helpers.scheme_batches import log_loss, make_batch
from tests.helpers.standins import build_datamanager, build_engine


def make_scheme(**options):
    torch.manual_seed(0)
    networks = DCGANGenerator((16, 16), noise=5, filters=2), DCGANDiscriminator((16, 16), filters=2)
    return UnlabelledImagesScheme(*networks, **options)


def test_as_many_images_as_asked_for_from_the_batchs_own_noise():
    made = [make_scheme(share=1.5).generate(make_batch())["lsro"] for _ in "ab"]
    assert made[0].images.shape == (9, 3, 16, 16) and made[0].anchor_index.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    torch.testing.assert_close(made[0].images, made[1].images)
    scheme, batch = make_scheme(), make_batch()
    assert not torch.equal(scheme.generate(batch)["lsro"].images, scheme.generate(batch)["lsro"].images)
    shown = [make_scheme().eval().pictures(batch.images, batch.views)["lsro"] for _ in "ab"]
    torch.testing.assert_close(*shown)


def test_generator_and_discriminator_play_the_log_loss_game():
    scheme, batch = make_scheme().eval().requires_grad_(False), make_batch()
    fakes, judge = scheme.generate(batch), scheme.discriminators["real_fake"]
    real, fake = judge(batch.images), judge(fakes["lsro"].images)
    assert float(scheme.generator_loss(batch, fakes, None)[0]) == pytest.approx(log_loss(fake, True), rel=1e-5)
    expected = log_loss(real, True) + log_loss(fake, False)
    assert float(scheme.discriminator_loss(batch, fakes)[0]) == pytest.approx(expected, rel=1e-5)


def test_every_image_counts_alike():
    """Eq. 6 over real and generated images, up to the factor that all of them have: share times the fakes' mean."""
    logits = torch.randn(12, 7, generator=torch.Generator().manual_seed(2))
    batch = replace(make_batch(), fake_outputs={"lsro": {"logits": logits}})
    loss, parts = make_scheme(share=2.0, lambda_ed=0.5).embedding_loss(batch, torch.zeros(6, 4), {})
    each = [-sum(math.log(p) for p in row.softmax(0).tolist()) / 7 for row in logits]
    assert float(loss) == pytest.approx(0.5 * sum(each) / 6, rel=1e-5)
    assert float(parts["loss/E_lsro"]) == pytest.approx(sum(each) / 12, rel=1e-5)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="share is 0"):
        make_scheme(share=0)


def test_an_engine_gives_it_the_logits_of_its_fakes(veri_root, tmp_path):
    engine, seen = build_engine(build_datamanager(veri_root), ("lsro",)), []
    (scheme,) = engine.schemes
    own = scheme.embedding_loss
    scheme.embedding_loss = lambda batch, real, fake: seen.append(batch) or own(batch, real, fake)
    engine.run(save_dir=str(tmp_path), max_epoch=1, progress=False, test_untrained=False)
    assert seen and all(batch.fake_outputs["lsro"]["logits"].shape == (8, 6) for batch in seen)
    assert all(batch.outputs["logits"].shape == (8, 6) for batch in seen)
