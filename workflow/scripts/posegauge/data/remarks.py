"""What a reader has to say about a user's file: faults and notes, counted, each kind in one sentence."""

import json
from dataclasses import dataclass, field

from posegauge.errors import PoseGaugeError

# So many places of one kind are named.
NAMED = 3

# So many characters of a value are shown.
SHOWN = 60


def shown(value) -> str:
    """Return a value as it stands in JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def counted(count: int, thing: str) -> str:
    """Return '1 annotation', '2 annotations'; of an entry, '2 entries'."""
    if count == 1:
        return f"1 {thing}"
    return f"{count} {thing[:-1]}ies" if thing.endswith("y") else f"{count} {thing}s"


@dataclass
class Remarks:
    """Faults and notes of one file or folder, by kind, in the order in which kinds were first met."""

    path: str
    _faults: dict = field(default_factory=dict)
    _notes: dict = field(default_factory=dict)

    def fault(self, thing: str, what: str, place: str = "", remedy: str = "") -> None:
        """Add a place of a fault. `what` goes on after '3 annotations: '; `place` is 'id 5 has null'."""
        self._faults.setdefault((thing, what, remedy), []).append(place)

    def note(self, thing: str, what: str, place: str = "") -> None:
        """Add a place where something was taken on the user's behalf."""
        self._notes.setdefault((thing, what), []).append(place)

    def extend(self, other: "Remarks") -> None:
        """Add what another reader has to say about the same file."""
        for mine, theirs in ((self._faults, other._faults), (self._notes, other._notes)):
            for kind, places in theirs.items():
                mine.setdefault(kind, []).extend(places)

    @property
    def faults(self) -> list[str]:
        """One sentence or two per kind of fault: the file, how many, what, the first places, what to do."""
        return [
            f"{self.path}: {_told(thing, what, places)}{f'. {remedy}' if remedy else ''}"
            for (thing, what, remedy), places in self._faults.items()
        ]

    @property
    def notes(self) -> list[str]:
        """One sentence per kind of note, without the file."""
        return [_told(thing, what, places) for (thing, what), places in self._notes.items()]

    def check(self) -> None:
        """Raise PoseGaugeError with all faults, a line each, if there are any."""
        if self._faults:
            raise PoseGaugeError("\n".join(self.faults))


def _told(thing: str, what: str, places: list[str]) -> str:
    head = f"{counted(len(places), thing)}: {what}" if thing else what
    named = [place for place in places if place]
    if not named:
        return head
    first = ", ".join(named[:NAMED])
    return f"{head} ({first}{', ...' if len(named) > NAMED else ''})"
