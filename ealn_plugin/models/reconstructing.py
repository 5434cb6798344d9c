"""A generator that also reconstructs its input, so that D_emb sees generated images that are no negatives."""

from torch import nn

from ealn_plugin.models.generators import ResnetGenerator, check_image_size


class ReconstructingGenerator(ResnetGenerator):
    """The generator of the paper with a second last convolution, whose picture is to be the input itself.

    Everything before the two last layers is shared: a reconstruction bears the traces of the same encoder,
    residual blocks and transposed convolutions as the generated image, at the price of one convolution. The
    reconstruction is always painted from nothing, also when `residual` adds the generated image to the input: as
    input plus a change it would be the input itself from the start and bear no trace at all.

    Args: those of ResnetGenerator, with three or more channels of output each.

    forward: the generated images alone, as ResnetGenerator's. `both`: images [batch, 3, h, w] in [-1, 1] ->
    (generated, reconstructed), both of that shape and range. Raises what ResnetGenerator raises.
    """

    def __init__(self, **options):
        super().__init__(**options)
        old = self.last
        self.reconstruction = nn.Conv2d(old.in_channels, old.out_channels, 7, padding=3, padding_mode=old.padding_mode)
        nn.init.normal_(self.reconstruction.weight, 0.0, 0.02)
        nn.init.zeros_(self.reconstruction.bias)

    def forward(self, images, both=False):
        """The generated images [batch, 3, h, w], or with ``both`` (generated, reconstructed) from one pass."""
        if not both:
            return super().forward(images)
        check_image_size(*images.shape[-2:])
        if images.shape[0] == 0:
            return super().forward(images), super().forward(images)
        shared = self.body(images)
        reconstructed = self.reconstruction(shared).to(images.dtype).tanh()
        return self._picture(images, self.last(shared)), reconstructed

    def both(self, images):
        """(generated, reconstructed); as a call of the module, so that its hooks see it."""
        return self(images, both=True)
