"""How many vehicles, pictures, cameras and models a rendered data set has."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preset:
    """The counts of a rendered data set.

    Attributes:
        train_vehicles, train_images: identities and pictures for training.
        train_tracks: passages of a vehicle before a camera in the training part, each with one picture or more.
        test_vehicles, test_images, test_tracks: the same for testing; every test track gives one query picture
            (in the VeRi-776 layout), and test_images is the size of the gallery.
        cameras, models: how many to draw.
        image_size: width and height in pixels unless the caller asks for another.
    """

    train_vehicles: int
    train_images: int
    train_tracks: int
    test_vehicles: int
    test_images: int
    test_tracks: int
    cameras: int
    models: int
    image_size: int

    def __post_init__(self):
        for name in ("train", "test"):
            vehicles, images, tracks = (getattr(self, f"{name}_{what}") for what in ("vehicles", "images", "tracks"))
            if not (vehicles >= 1 and 2 * vehicles <= tracks <= images and tracks <= vehicles * self.cameras):
                raise ValueError(
                    f"{name} part with {vehicles} vehicles, {tracks} tracks and {images} images before "
                    f"{self.cameras} cameras is impossible: give every vehicle at least two tracks in "
                    f"different cameras and every track at least one image."
                )
        if self.models < 1:
            raise ValueError(f"a data set with {self.models} vehicle models is impossible: ask for at least one.")


PRESETS = {
    "tiny": Preset(
        train_vehicles=96,
        train_images=1536,
        train_tracks=480,
        test_vehicles=40,
        test_images=640,
        test_tracks=200,
        cameras=8,
        models=14,
        image_size=96,
    ),
    "small": Preset(
        train_vehicles=300,
        train_images=6000,
        train_tracks=1650,
        test_vehicles=100,
        test_images=2000,
        test_tracks=550,
        cameras=12,
        models=35,
        image_size=128,
    ),
    # The counts of VeRi-776's release: 576 + 200 vehicles, 37,778 + 11,579 pictures, 1,678 queries, 20 cameras.
    "full": Preset(
        train_vehicles=576,
        train_images=37778,
        train_tracks=4900,
        test_vehicles=200,
        test_images=11579,
        test_tracks=1678,
        cameras=20,
        models=70,
        image_size=128,
    ),
}
