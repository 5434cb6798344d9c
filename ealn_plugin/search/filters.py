"""Which images of an index a query looks at: their camera, time, view, colour, type, source or vehicle."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ealn_plugin.data.times import time_number
from ealn_plugin.data.viewpoints import View
from ealn_plugin.inference.extractor import as_view


@dataclass(frozen=True)
class Filter:
    """Conditions that an image must fulfil, all of them; an empty one lets every image pass.

    An image of which the index does not know what is asked for does not pass.

    Attributes:
        cameras, vehicles, colours, types, sources: texts, one of which must be the image's, as queries print them.
        views: names or values of ``View``.
        after, before: times as ``time_number`` reads them, both inclusive; a number is compared with images whose time
            is a number, a date with images whose time is a date. '': no bound.

    Raises:
        ValueError: no view, no time, or a number beside a date; one sentence.
    """

    cameras: tuple = ()
    vehicles: tuple = ()
    views: tuple = ()
    colours: tuple = ()
    types: tuple = ()
    sources: tuple = ()
    after: str = ""
    before: str = ""

    def __post_init__(self) -> None:
        for name in ("cameras", "vehicles", "colours", "types", "sources"):
            given = getattr(self, name)
            if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
                raise ValueError(f"{name} is {given!r}, expected a list of texts; give one")
            object.__setattr__(self, name, tuple(str(value) for value in given))
        object.__setattr__(self, "views", tuple(int(as_view(view)) for view in self.views))
        for name in ("after", "before"):
            object.__setattr__(self, name, str(getattr(self, name)))
        if self.after and self.before and time_number(self.after)[1] != time_number(self.before)[1]:
            raise ValueError(
                f"after is {self.after!r} and before is {self.before!r}, expected two numbers or two dates; give both "
                "alike"
            )
        self.sql()

    def sql(self) -> str:
        """The conditions in the engine's language, '' for none."""
        parts = [
            f"{column} IN ({', '.join(quoted(value) for value in values)})"
            for column, values in (
                ("camera", self.cameras),
                ("vehicle", self.vehicles),
                ("colour", self.colours),
                ("type", self.types),
                ("source", self.sources),
            )
            if values
        ]
        if self.views:
            parts.append(f"view IN ({', '.join(str(view) for view in self.views)})")
        for text, sign in ((self.after, ">="), (self.before, "<=")):
            if text:
                number, dated = time_number(text)
                parts.append(f"{'moment' if dated else 'clock'} {sign} {np.format_float_positional(number, trim='0')}")
        return " AND ".join(parts)

    def __str__(self) -> str:
        named = [
            f"{name} {' '.join(values)}"
            for name, values in (
                ("camera", self.cameras),
                ("vehicle", self.vehicles),
                ("view", tuple(View(view).name.lower() for view in self.views)),
                ("colour", self.colours),
                ("type", self.types),
                ("source", self.sources),
                ("after", (self.after,) if self.after else ()),
                ("before", (self.before,) if self.before else ()),
            )
            if values
        ]
        return ", ".join(named)


def quoted(text: str) -> str:
    """A text as a literal of the engine's SQL; a quote in it is doubled."""
    return "'" + text.replace("'", "''") + "'"
