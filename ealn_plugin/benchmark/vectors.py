"""Random vectors that gather as features of vehicles do."""

from collections.abc import Iterator

import numpy as np

from ealn_plugin.search import Records

PIECE, CAMERAS, IMAGES_PER_VEHICLE = 2048, 20, 20
_FACTORS, _KINDS = 128, 400  # dimensions that features vary in; models and colours
_VEHICLE, _VIEW, _IMAGE, _NOISE = 0.8, 0.5, 0.45, 0.2  # of a vehicle around its kind (1), a view, an image; white noise


class ClusteredVectors:
    """Random vectors of length 1 that gather as features of vehicles do, made piece by piece.

    Vehicles lie around their kinds (model and colour), images around their vehicle, moved by one of three views. All
    of it varies in 128 directions of which the k-th is sqrt(k) times weaker than the first, and a little in all others.

    Args:
        count, dim: how many, of which length; seed: of the draws. Every vehicle has about 20 images.
    """

    def __init__(self, count: int, dim: int, seed: int = 0) -> None:
        self.count, self.dim, self.seed = count, dim, seed
        self.vehicles = max(1, count // IMAGES_PER_VEHICLE)
        rng, factors = np.random.default_rng([seed, 0]), min(_FACTORS, dim)
        self._scale = (1 + np.arange(factors, dtype=np.float32)) ** -0.5
        self._scale /= np.linalg.norm(self._scale)
        self._basis = np.linalg.qr(rng.standard_normal((dim, factors)))[0].T.astype(np.float32)
        kinds = self._latent(rng, max(1, min(_KINDS, self.vehicles // 5)))
        self._views = _VIEW * self._latent(rng, 3)
        self._centres = kinds[rng.integers(0, len(kinds), self.vehicles)] + _VEHICLE * self._latent(rng, self.vehicles)

    def _latent(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.standard_normal((count, len(self._scale)), dtype=np.float32) * self._scale

    def _vectors(self, pids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        latent = (
            self._centres[pids] + self._views[rng.integers(0, 3, len(pids))] + _IMAGE * self._latent(rng, len(pids))
        )
        noise = rng.standard_normal((len(pids), self.dim), dtype=np.float32)
        vectors = latent @ self._basis + np.float32(_NOISE / np.sqrt(self.dim)) * noise
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def pieces(self) -> Iterator[tuple[Records, np.ndarray]]:
        """Yield (Records, float32 [n, dim]) until there are ``count``."""
        for first in range(0, self.count, PIECE):
            rows = np.arange(first, min(first + PIECE, self.count))
            rng = np.random.default_rng([self.seed, 1, first])
            pids, camids = rng.integers(0, self.vehicles, len(rows)), rng.integers(0, CAMERAS, len(rows))
            yield Records([f"/gallery/{row:08d}.jpg" for row in rows], pids, camids), self._vectors(pids, rng)

    def queries(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(float32 [count, dim], vehicle numbers int [count]): new images of the same vehicles."""
        rng = np.random.default_rng([self.seed, 2])
        pids = rng.integers(0, self.vehicles, count)
        return self._vectors(pids, rng), pids
