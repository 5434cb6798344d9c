"""A page of images in frames with captions, for ranked lists and search results."""

from PIL import Image, ImageDraw, ImageFont

from ealn_plugin import toolkit
from ealn_plugin.system.files import replacing

INK, PALE, PAPER = (25, 25, 25), (95, 95, 95), (255, 255, 255)
TILE, FRAME, GAP, LINE, MARGIN = 112, 4, 10, 15, 18


class Page:
    """A white page of ``width`` x ``height`` pixels; ``top`` is where the next line or row starts."""

    def __init__(self, width, height):
        self.top = MARGIN
        self.font, self.bold = ImageFont.load_default(13), ImageFont.load_default(17)
        self.image = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, left, top, text, colour=INK, font=None, width=None):
        """One line, cut off with an ellipsis where it is wider than ``width`` pixels; returns where it ends."""
        font = font or self.font
        while width and len(text) > 1 and self.draw.textlength(text, font=font) > width:
            text = text[:-2] + "…"
        self.draw.text((left, top), text, fill=colour, font=font)
        return left + self.draw.textlength(text, font=font)

    def tile(self, left, top, path, colour, size=TILE, frame=FRAME):
        """The image of a file, scaled to fit into a square of ``size`` pixels with a frame.

        Raises:
            FileNotFoundError, RuntimeError: it does not exist or cannot be read.
        """
        picture = toolkit.read_image(path)
        inner = size - 2 * frame
        scale = inner / max(picture.size)
        picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BICUBIC)
        self.frame(left, top, colour, size, frame)
        self.image.paste(picture, (left + (size - picture.width) // 2, top + (size - picture.height) // 2))

    def frame(self, left, top, colour, size=TILE, frame=FRAME):
        """An empty tile."""
        self.draw.rectangle(
            (left, top, left + size - 1, top + size - 1), fill=(235, 235, 235), outline=colour, width=frame
        )

    def save(self, path):
        """Write the page as a PNG file, in one go."""
        with replacing(path) as temporary:
            self.image.save(temporary, format="PNG", optimize=True)
