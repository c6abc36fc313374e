"""The one reader of annotations: what can be meant in one way only becomes COCO's form, all else is refused.

Format: https://cocodataset.org/#format-data. All faults are found before the first is told. What was taken on
the user's behalf is noted. Reading what this reader wrote changes nothing.
"""

import re
from dataclasses import dataclass, field

from posegauge.data import annotated_persons, image_files, keypoint_names
from posegauge.data.annotation_files import load
from posegauge.data.annotation_values import id_key, number
from posegauge.data.keypoint_names import KEYPOINTS, NAMES
from posegauge.data.remarks import Remarks, shown
from posegauge.errors import PoseGaugeError

PERSON = 1  # the category id of COCO, and of the predictions


CATEGORY = {
    "id": PERSON,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(NAMES),
    "skeleton": [[one + 1, other + 1] for one, other in keypoint_names.SKELETON],
}


# Names that can mean nothing but persons, where no category is called person.
PERSONS = ("persons", "people", "human", "humans", "pedestrian", "pedestrians")


@dataclass(frozen=True)
class Annotations:
    """What a file of annotations holds, in COCO's form.

    data: images, annotations (of persons alone) and categories; not to be used when there are faults.
    taken: the images with persons, by file name, the first `most` of them: id, file_name, width, height.
    images_total, person_images: how many images there are, and how many with persons.
    notes, faults: sentences; the faults name the file.
    measured: ids of the images whose size the annotations do not say.
    """

    data: dict
    taken: list[dict]
    images_total: int
    person_images: int
    notes: list[str]
    faults: list[str]
    measured: set = field(default_factory=set)


def read_annotations(path) -> dict:
    """Read a file of annotations and return it in COCO's form.

    Raises PoseGaugeError with every fault of the file, a line each.
    """
    found = read(path)
    if found.faults:
        raise PoseGaugeError("\n".join(found.faults))
    return found.data


def read(path, images=None, most: int | None = None, exif: str = "auto") -> Annotations:
    """Read a file of annotations.

    Args:
        path: of the file.
        images: folder of the images: the names are then matched with the files in it, and sizes that the
            annotations lack are read from them; None: the names must be right and the sizes given.
        most: dataset.max_images.
        exif: dataset.exif.

    Raises:
        PoseGaugeError: the file as a whole cannot be read. All other faults are in what is returned.
    """
    data, notes = load(path)
    remarks = Remarks(str(path))
    for note in notes:
        remarks.note("", note)
    lists = {key: data.get(key) for key in ("images", "annotations")}
    if lists["images"] is None and lists["annotations"] is None:
        remarks.fault(
            "",
            "expected lists 'images', 'annotations' and 'categories'",
            f"it has {shown(sorted(data))}",
            "Export the annotations as COCO keypoints",
        )
        remarks.check()
    for key, value in lists.items():
        if not isinstance(value, list):
            found = "there is none" if value is None else f"found {shown(value)}"
            remarks.fault("", f"expected a list under '{key}', as in COCO person_keypoints files", found)
    remarks.check()

    by_key = _images(remarks, lists["images"], images)
    category = _Category(remarks, data.get("categories"), lists["annotations"])
    if category.unknown:
        remarks.check()
    persons = annotated_persons.read(remarks, lists["annotations"], category, by_key)
    wanted = {person["image_id"] for person in persons.entries}
    with_persons = sorted((e for e in by_key.values() if e["id"] in wanted), key=_file_name)
    taken = with_persons[:most]
    measured = image_files.match(remarks, images, taken, list(by_key.values()), exif)
    sized = {entry["id"] for entry in by_key.values() if min(entry["width"] or 0, entry["height"] or 0) > 0}
    persons.complete(by_key, sized)
    return Annotations(
        {
            "info": data["info"] if isinstance(data.get("info"), dict) else {},
            "images": [entry for entry in by_key.values() if entry["id"] in sized],
            "annotations": [person for person in persons.entries if person["image_id"] in sized],
            "categories": [CATEGORY],
        },
        taken,
        len(by_key),
        len(with_persons),
        remarks.notes,
        remarks.faults,
        measured,
    )


def as_written(found: Annotations) -> list[dict]:
    """Return the images that the run takes with the sizes in the annotations, None where there are none."""
    unsaid = {"width": None, "height": None}
    return [{**entry, **(unsaid if entry["id"] in found.measured else {})} for entry in found.taken]


def _file_name(entry: dict) -> str:
    return entry["file_name"]


# ------------------------------------------------------------------------------------------- categories


class _Category:
    """The category of persons: which annotations are of it, and where COCO's keypoints stand in them."""

    def __init__(self, remarks: Remarks, given, annotations: list):
        self.remarks = remarks
        self.only = False  # whether there is no other category, so that none need be named
        self.key, self.keys, self.unknown = None, set(), False
        self.count, self.order, self.named = KEYPOINTS, list(range(KEYPOINTS)), False
        if given is None or given == []:
            self._none(annotations)
            return
        entries = self._entries(given)
        person = self._person(entries) if entries else None
        self.unknown = not person or not self._keypoints(person, annotations)

    def _none(self, annotations: list) -> None:
        """Take all annotations for persons where there are no categories, if they agree in one."""
        ids = {id_key(a.get("category_id")) for a in annotations if isinstance(a, dict)}
        if len(ids) > 1:
            self.remarks.fault(
                "",
                f"no 'categories', and annotations of {len(ids)} of them",
                "",
                "Add the list 'categories' with the category named person and its keypoints",
            )
        self.keys, self.only = ids - {None}, True
        self.key = next(iter(self.keys), None)
        self.remarks.note("", "there are no 'categories': all annotations are taken for persons")

    def _entries(self, given) -> list[dict]:
        """Return the categories with usable ids; {id: name} is also understood."""
        if isinstance(given, dict):
            given = [given]
        if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
            self.remarks.fault("", "expected a list of objects under 'categories'", f"found {shown(given)}")
            return []
        for entry in given:
            if id_key(entry.get("id")) is None:
                self.remarks.fault(
                    "category",
                    "'id' must be a whole number or a text",
                    f"{shown(entry.get('name'))} has {shown(entry.get('id'))}",
                    "Number the categories",
                )
        self.keys = {id_key(entry.get("id")) for entry in given} - {None}
        self.only = len(self.keys) == 1
        return [entry for entry in given if id_key(entry.get("id")) is not None]

    def _person(self, entries: list[dict]) -> dict | None:
        """Return the category of persons, or None after a fault."""
        names = [(str(entry.get("name")).strip().casefold(), entry) for entry in entries]
        found = [entry for name, entry in names if name == "person"]
        if not found:
            found = [entry for name, entry in names if name in PERSONS]
            found = found or [e for e in entries if keypoint_names.order(self._names(e)) is not None]
            if len(found) == 1:
                self.remarks.note("", f"the category {shown(found[0].get('name'))} is taken for persons")
        if len({id_key(entry["id"]) for entry in found}) != 1:
            known = ", ".join(f"{shown(e['id'])}: {shown(e.get('name'))}" for e in entries[:20])
            self.remarks.fault(
                "",
                f"'categories' must hold the name 'person' once; found {known}",
                "",
                "Name the category of persons 'person'" if not found else "Put all persons into one of them",
            )
            return None
        if len({repr(self._names(entry)) for entry in found}) > 1:
            self.remarks.fault("", "'categories' holds person twice, with other keypoints", "", "Remove one")
        self.key = id_key(found[0]["id"])
        return found[0]

    @staticmethod
    def _names(entry: dict) -> list:
        """Return the names of a category's keypoints: texts, or objects with a name."""
        given = entry.get("keypoints")
        if isinstance(given, str):
            given = re.split(r"\s*[,;]\s*", given.strip())
        if isinstance(given, dict):
            given = list(given.values())
        if not isinstance(given, list):
            return []
        return [name.get("name") if isinstance(name, dict) else name for name in given]

    def _keypoints(self, person: dict, annotations: list) -> bool:
        """Find COCO's 17 among the category's keypoints; False after a fault."""
        names = self._names(person)
        order = keypoint_names.order(names)
        remedy = f"COCO's are, in its order: {', '.join(NAMES)}"
        if order is not None:
            self.count, self.order, self.named = len(names), order, True
            self._note_names(names)
            return True
        if not names:
            lengths = {_length(a) for a in annotations if isinstance(a, dict)} - {0}
            if lengths == {3 * KEYPOINTS}:
                return True
            if not lengths:
                self.remarks.fault(
                    "",
                    f"categories: 'person' has no keypoints, expected the {KEYPOINTS} of COCO, and no "
                    "annotation has any",
                    "",
                    "An instances file has none: use person_keypoints",
                )
            else:
                what = f"categories: 'person' names no keypoints, and the annotations have not {KEYPOINTS}"
                self.remarks.fault("", what, "", f"Add their names under 'keypoints'. {remedy}")
        elif len(names) == KEYPOINTS and keypoint_names.unnamed(names):
            return True
        else:
            found = [keypoint_names.canonical(name) for name in names]
            absent = [name for name in NAMES if name not in found]
            twice = sorted({name for name in found if name and found.count(name) > 1})
            why = f"has no {', '.join(absent)}" if absent else f"has {', '.join(twice)} more than once"
            self.remarks.fault(
                "",
                f"categories: 'person' has {len(names)} keypoints, expected the {KEYPOINTS} of COCO among "
                f"them, by name; it {why}",
                f"found {', '.join(map(str, names))}",
                f"Only keypoints that are COCO's can be scored. {remedy}",
            )
        return False

    def _note_names(self, names: list) -> None:
        extra = [str(name) for place, name in enumerate(names) if place not in self.order]
        if extra:
            more = ", ..." if len(extra) > 10 else ""
            self.remarks.note(
                "",
                f"of {len(names)} keypoints COCO's {KEYPOINTS} are taken, by name; "
                f"not {', '.join(extra[:10])}{more}",
            )
        if self.order != sorted(self.order):
            self.remarks.note("", "the keypoints stand in another order than COCO's: read by name")

    def holds(self, annotation: dict, where: str) -> bool:
        """Say whether an annotation is of a person; a category that there is not is a fault."""
        given = annotation.get("category_id")
        key = id_key(given)
        if given is None and self.only:
            self.remarks.note("annotation", "no category_id: taken for persons, the only category", where)
            return True
        if key is None or key not in self.keys:
            known = ", ".join(sorted(self.keys)[:10])
            self.remarks.fault(
                "annotation",
                f"category_id must be the id of one of 'categories' ({known})",
                f"{where} has {shown(given)}",
                "Write the id of the category that is meant",
            )
            return False
        if key == self.key and isinstance(given, str) and key.lstrip("-").isdigit():
            self.remarks.note("annotation", "category_id is a text, taken as the number in it", where)
        return key == self.key


def _length(annotation: dict) -> int:
    keypoints = annotation.get("keypoints")
    if not isinstance(keypoints, list):
        return 0
    return sum(len(part) if isinstance(part, list) else 1 for part in keypoints)


# ----------------------------------------------------------------------------------------------- images


def _images(remarks: Remarks, given: list, folder) -> dict[str, dict]:
    """Return {key of the id: id, file_name, width, height (None where unknown)}.

    folder: of the images; names may lead out of it, as they are matched with its files. None: they may not.
    """
    found, names = {}, {}
    for place, image in enumerate(given, 1):
        if not isinstance(image, dict) or id_key(image.get("id")) is None:
            remarks.fault(
                "image",
                "expected an object with a number or text as 'id'",
                f"entry {place} is {shown(image)}",
                "Give every image an id of its own",
            )
            continue
        key = id_key(image["id"])
        where = f"id {shown(image['id'])}"
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip():
            remarks.fault("image", "no text under 'file_name'", f"{where} has {shown(name)}", "Name its file")
            continue
        name = _plain_name(remarks, name, folder)
        if folder is None and image_files.leads_out(name):
            remarks.fault(
                "image", "file_name must be a path inside the image folder", f"{where} has {shown(name)}"
            )
        entry = {
            "id": int(key) if isinstance(image["id"], float) else image["id"],
            "file_name": name,
            **{side: _side(remarks, image, side, where, name) for side in ("width", "height")},
        }
        if key in found:
            same = found[key] == entry
            say = remarks.note if same else remarks.fault
            say(
                "image",
                "the same image is listed again, and taken once" if same else "two images have the same id",
                f"{where}: {found[key]['file_name']}, {name}",
                *([] if same else ["Give every image an id of its own"]),
            )
            continue
        if name in names:
            remarks.fault(
                "image",
                "the same file_name under two ids",
                f"{name} has {shown(names[name])} and {shown(image['id'])}",
                "List every image once, and give its persons that id",
            )
        found[key], names[name] = entry, image["id"]
    return found


def _plain_name(remarks: Remarks, written: str, folder) -> str:
    name = image_files.plain(written)
    # On Linux a backslash may be part of a name.
    if name != written and folder is not None and image_files.is_there(folder, written):
        return written
    if "\\" in written:
        remarks.note("image", "file_name has the backslash of Windows: read as /", shown(written))
    return name


# A side that was wrong, so that it is told once.
TOLD = -1


def _side(remarks: Remarks, image: dict, side: str, where: str, name: str) -> int | None:
    """Return a side of an image in pixels; None where the file must tell."""
    given = image.get(side)
    value, how = number(given)
    if value is None or value == 0:
        if how != "missing" and value is None:
            remarks.fault(
                "image",
                f"'{side}' must be a whole number of pixels",
                f"{where} ({name}) has {shown(given)}",
                "Write the size of the image",
            )
            return TOLD
        return None
    if value < 1 or value != int(value):
        remarks.fault(
            "image",
            f"'{side}' must be a whole number of pixels, 1 or more",
            f"{where} ({name}) has {shown(given)}",
            "Write the size of the image",
        )
        return TOLD
    if how == "text":
        remarks.note("image", f"'{side}' is a text, taken as the number in it", where)
    return int(value)
