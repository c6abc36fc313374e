"""What every README section is put together from, and the part on latency, which all of them have."""

PICTURES = {  # name -> alternative text
    "latency": "Latency of every benchmark row: all samples, median and 95th percentile",
    "batches": "Images per second by persons in an image, and by images in a batch, with 95 % intervals",
    "peers": "Time of other programs against posegauge's, by number of persons, with 95 % intervals",
    "robustness": "Detection rate, keypoint AP and mean confidence by image condition, with 95 % intervals",
    "loss": "Keypoint AP by image condition, and what of it the detector and the pose network lost",
    "coco_c": "Keypoint AP by corruption and severity of COCO-C",
    "calibration": "Mean similarity to the annotations by keypoint score, one panel per image condition",
    "conditions": "One scene in every image condition, with the persons found",
    "images": "More images in every image condition, with the persons found",
    "corruptions": "One scene in every corruption and severity of COCO-C",
}


def latency_parts(tables: dict[str, str], links: dict[str, str], notice: str | None, mark: str) -> list[str]:
    """Return the note and the paragraphs on latency; arguments as of readme.section, mark: of headings."""
    return [
        f"> **Note:** {notice}" if notice else "",
        f"{mark} Latency",
        tables["benchmark"],
        picture("latency", links),
        folded("What the rows were measured under", tables["machine"]),
        f"{mark} Beside other programs",
        tables["peers"],
        picture("peers", links),
        f"{mark} Persons and batches",
        picture("batches", links),
        folded("Every point of it", tables["batches"]),
    ]


def without_repeats(pages: dict[str, str]) -> dict[str, str]:
    """Return the pages without the notes that an earlier one has; each would explain itself alone."""
    seen, kept = set(), {}
    for name, page in pages.items():
        parts = page.strip().split("\n\n")
        notes = {part for part in parts if not part.startswith(("|", "<", "**"))}
        new = [part for part in parts if part not in notes & seen]
        kept[name] = "\n\n".join(new or parts)
        seen |= notes
    return kept


def bullets(texts) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {text}" for text in texts)


def folded(summary: str, text: str) -> str:
    """Return text that is shown at a click on its summary."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def picture(name: str, links: dict[str, str]) -> str:
    """Return one of PICTURES."""
    return f"![{PICTURES[name]}]({links[name]})"
