"""XVGAN's networks: sizes, the way of code, noise and view into the picture, the centres of the views."""

import pytest
import torch

from ealn_plugin.models import CodeClassifier, CrossViewDecoder, VehicleDiscriminator, VehicleEncoder
from ealn_plugin.models.xvgan import halvings_of


@pytest.mark.parametrize(
    "size, first", [((224, 224), [7, 7]), ((48, 64), [3, 4]), ((32, 32), [4, 4]), ((20, 12), [5, 3])]
)
def test_maps_are_halved_to_three_pixels_and_more(size, first):
    assert CrossViewDecoder(size, filters=1).first == first
    with pytest.raises(ValueError, match="5x6 pixels cannot be halved"):
        halvings_of((5, 6))


def test_every_input_reaches_the_picture():
    torch.manual_seed(0)
    encoder, decoder = VehicleEncoder(2, hidden=16), CrossViewDecoder((32, 24), filters=2)
    images = torch.rand(4, 3, 32, 24) * 2 - 1
    attributes, viewpoint = encoder(images)
    assert attributes.shape == (4, 256) and viewpoint.shape == (4, 128)
    attributes = torch.randn(4, 256)  # the untrained encoder tells nothing apart
    decoder.learn_centres(torch.randn(4, 128), torch.tensor([0, 1, 2, -1]))
    noise, labels = torch.randn(4, 100), torch.zeros(4, dtype=torch.long)
    made = decoder(attributes, noise, labels)
    assert made.shape == images.shape and made.abs().max() <= 1
    for other in (
        decoder(attributes, noise, labels + 1),
        decoder(attributes, noise * 0, labels),
        decoder(attributes[[1, 2, 3, 0]], noise, labels),
    ):
        assert (made - other).abs().mean() > 1e-3
    torch.testing.assert_close(decoder(attributes[:1], noise[:1], labels[:1]), made[:1])  # nothing depends on the batch
    vehicles, views = CodeClassifier(7)(attributes, viewpoint)
    assert vehicles.shape == (4, 7) and views.shape == (4, 3)
    scores, vehicles, views = VehicleDiscriminator((32, 24), 7, filters=2)(images)
    assert scores.shape == (4, 1, 4, 3) and vehicles.shape == (4, 7) and views.shape == (4, 3)


def test_centres_are_means_first_and_running_means_then():
    decoder = CrossViewDecoder((8, 8), filters=1)
    batches = [
        (torch.randn(5, 128), torch.tensor(views)) for views in ([0, 0, 1, -1, 2], [1, 1, 1, -1, -1], [0, 1, 2, 2, 2])
    ]
    for viewpoint, views in batches * 2:
        decoder.learn_centres(viewpoint, views, longest=4)
    for view in range(3):
        centre, seen = torch.zeros(128), 0
        for viewpoint, views in batches * 2:
            shown = [viewpoint[i] for i in range(5) if views[i] == view]
            if shown:
                seen += 1
                centre = centre + (sum(shown) / len(shown) - centre) / min(seen, 4)
        torch.testing.assert_close(decoder.centres[view], centre)
        assert decoder.seen[view] == seen
    assert {"centres", "seen"} <= set(decoder.state_dict())


def test_networks_without_filters_are_refused():
    with pytest.raises(ValueError, match="0 filters"):
        VehicleEncoder(0)
