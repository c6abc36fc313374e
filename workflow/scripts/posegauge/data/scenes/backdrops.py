"""Rooms, streets and clutter of the synthetic scenes, and the objects that hide people in part."""

import cv2
import numpy as np

from posegauge.data.scenes.people import random_cloth, random_colour

THINGS = ("window", "picture", "shelf", "pole", "tree", "ball", "sofa", "lamp", "coat", "tower", "bush")


def _noise(rng, height, width, cell, depth=1):
    """Return smooth noise in -1..1, float32 [height, width, depth]; `cell` is its grain in pixels."""
    small = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2, depth)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, depth)


def _rectangle(image, x0, y0, x1, y1, colour, thickness=-1):
    low, high = (int(x0), int(y0)), (int(x1), int(y1))
    cv2.rectangle(image, low, high, tuple(map(float, colour)), thickness, cv2.LINE_AA)


def _ellipse(image, x, y, rx, ry, colour, angle=0.0):
    axes = (max(int(rx), 1), max(int(ry), 1))
    cv2.ellipse(image, (int(x), int(y)), axes, angle, 0, 360, tuple(map(float, colour)), -1, cv2.LINE_AA)


def _wall(rng, image, floor):
    """Paint a surface over the rows above `floor`: colour gradient and one of a few textures."""
    width = image.shape[1]
    top, bottom = random_colour(rng) * 0.6 + 100, random_colour(rng) * 0.6 + 80
    if rng.random() < 0.6:
        bottom = top * rng.uniform(0.7, 1.05)
    mix = np.linspace(0, 1, floor, dtype=np.float32)[:, None, None]
    image[:floor] = top * (1 - mix) + bottom * mix
    kind = rng.choice(["plain", "stripes", "bricks", "clouds", "grain", "panels"])
    part = image[:floor]
    xs = np.arange(width, dtype=np.float32)
    if kind == "stripes":
        part += (np.sin(xs * 2 * np.pi / rng.uniform(12, 60)) > 0)[None, :, None] * rng.uniform(-35, 35)
    elif kind == "bricks":
        cell = int(rng.integers(14, 34))
        shade = rng.uniform(-45, -15)
        part[::cell] += shade
        for row, y in enumerate(range(0, floor, cell)):
            part[y : y + cell, (row % 2) * cell :: 2 * cell] += shade
    elif kind == "clouds":
        part += _noise(rng, floor, width, int(rng.integers(20, 90)), 3) * rng.uniform(10, 40)
    elif kind == "grain":
        part += _noise(rng, floor, width, int(rng.integers(2, 6))) * rng.uniform(6, 20)
    elif kind == "panels":
        part[:, :: int(rng.integers(30, 110))] -= 40


def _ground(rng, image, floor):
    """Paint the rows from `floor` down: planks, tiles, grass or plain."""
    height, width = image.shape[:2]
    rows = height - floor
    colour = random_colour(rng) * 0.45 + 75
    kind = rng.choice(["plain", "planks", "tiles", "grass", "carpet"])
    if kind == "grass":
        colour = np.float32([50, rng.uniform(95, 150), rng.uniform(60, 110)])
    light = np.linspace(0.8, 1.1, rows, dtype=np.float32)[:, None, None]
    image[floor:] = colour * light
    if kind in ("grass", "carpet"):
        image[floor:] += _noise(rng, rows, width, int(rng.integers(2, 8))) * rng.uniform(8, 28)
    elif kind in ("planks", "tiles"):
        vanish = (rng.uniform(0.2, 0.8) * width, floor - rng.uniform(30, 90))
        line = tuple(map(float, colour * 0.75))
        for x in np.arange(-2 * width, 3 * width, rng.uniform(50, 130)):
            slope = (floor - vanish[1]) / (height - vanish[1])
            start = (int(vanish[0] + (x - vanish[0]) * slope), floor)
            cv2.line(image, start, (int(x), height), line, 2, cv2.LINE_AA)
        if kind == "tiles":
            for y in floor + rows * np.linspace(0, 1, 7)[1:] ** 2:
                cv2.line(image, (0, int(y)), (width, int(y)), line, 2, cv2.LINE_AA)


def _thing(rng, image, floor):
    """Add one thing that stands or hangs behind the people."""
    height, width = image.shape[:2]
    kind = rng.choice(THINGS)
    x = rng.uniform(-0.05, 0.95) * width
    w, h = rng.uniform(0.08, 0.28) * width, rng.uniform(0.12, 0.4) * height
    y = rng.uniform(0.02, 0.5) * floor
    foot = floor + rng.uniform(0, 0.25) * (height - floor)
    one, two = random_colour(rng), random_colour(rng)
    if kind == "window":
        _rectangle(image, x, y, x + w, y + h, one * 0.3 + 170)
        for part in (0, 0.5, 1):
            _rectangle(image, x + part * w - 2, y, x + part * w + 2, y + h, two * 0.5)
        _rectangle(image, x, y, x + w, y + h, two * 0.5, 4)
    elif kind == "picture":
        _rectangle(image, x, y, x + w * 0.6, y + h * 0.6, one)
        for _ in range(4):
            px, py = x + rng.uniform(0.1, 0.5) * w, y + rng.uniform(0.1, 0.5) * h
            _ellipse(image, px, py, w * 0.08, h * 0.06, random_colour(rng))
        _rectangle(image, x, y, x + w * 0.6, y + h * 0.6, two * 0.5, 3)
    elif kind == "shelf":
        _rectangle(image, x, foot - 1.6 * h, x + w, foot, one * 0.6)
        for row in range(4):
            base, bx = foot - 0.4 * h * row, x + 4
            while bx < x + w - 10:
                bw = rng.uniform(4, 13)
                book = base - rng.uniform(0.2, 0.34) * h
                _rectangle(image, bx, book, bx + bw, base - 3, random_colour(rng))
                bx += bw + rng.uniform(0, 3)
    elif kind == "pole":
        _rectangle(image, x, 0, x + rng.uniform(6, 26), foot, one)
        _rectangle(image, x, 0, x + 4, foot, one * 0.7)
    elif kind == "tree":
        _rectangle(image, x, foot - h, x + w * 0.14, foot, (40, 60, 90))
        for _ in range(9):
            cx, cy = x + rng.normal(0.07, 0.25) * w, foot - h * rng.uniform(0.8, 1.5)
            green = (rng.uniform(20, 70), rng.uniform(70, 150), rng.uniform(30, 90))
            _ellipse(image, cx, cy, w * 0.22, h * 0.14, green)
    elif kind == "bush":
        for _ in range(7):
            green = (rng.uniform(20, 70), rng.uniform(70, 150), rng.uniform(30, 90))
            cx, cy = x + rng.normal(0, 0.25) * w, foot - h * rng.uniform(0, 0.3)
            _ellipse(image, cx, cy, w * 0.2, h * 0.15, green)
    elif kind == "ball":
        _ellipse(image, x, foot, h * 0.2, h * 0.2, one)
        _ellipse(image, x - h * 0.05, foot - h * 0.06, h * 0.08, h * 0.08, one * 0.4 + 140)
    elif kind == "sofa":
        _rectangle(image, x, foot - 0.5 * h, x + 1.4 * w, foot, one)
        _rectangle(image, x, foot - h * 0.9, x + 1.4 * w, foot - 0.4 * h, one * 0.85)
        _rectangle(image, x - 12, foot - 0.65 * h, x + 12, foot, one * 0.7)
        _rectangle(image, x + 1.4 * w - 12, foot - 0.65 * h, x + 1.4 * w + 12, foot, one * 0.7)
    elif kind == "lamp":
        stand, top = (int(x), int(foot)), (int(x), int(foot - h * 1.3))
        cv2.line(image, stand, top, tuple(map(float, two * 0.5)), 4, cv2.LINE_AA)
        shade = np.array([(-0.1, -1.2), (0.1, -1.2), (0.06, -1.5), (-0.06, -1.5)]) * (w * 2, h) + (x, foot)
        cv2.fillConvexPoly(image, shade.astype(np.int32), (170.0, 225.0, 245.0), cv2.LINE_AA)
    elif kind == "coat":  # clothing without a person in it: texture alone must not count
        cloth = random_cloth(rng)
        x0, x1 = int(max(x, 0)), int(min(x + w * 0.5, width))
        y0, y1 = int(max(y, 0)), int(min(y + h * 0.8, height))
        if x1 - x0 > 4 and y1 - y0 > 4:
            ys, xs = np.mgrid[y0:y1, x0:x1]
            pattern = cloth.colours(ys.ravel() / 120, xs.ravel() / 120)
            image[y0:y1, x0:x1] = pattern.reshape(y1 - y0, x1 - x0, 3)
    else:
        _rectangle(image, x, foot - 1.8 * h, x + w * 0.8, foot, one * 0.7)
        for wy in np.arange(foot - 1.7 * h, foot - 12, 18):
            for wx in np.arange(x + 6, x + w * 0.8 - 10, 16):
                _rectangle(image, wx, wy, wx + 8, wy + 10, two * 0.4 + 100)


def backdrop(rng, width: int, height: int, floor: int) -> np.ndarray:
    """Return a scene without people, BGR float32 [height, width, 3]; the floor begins at row `floor`."""
    image = np.zeros((height, width, 3), np.float32)
    _wall(rng, image, floor)
    if rng.random() < 0.25:  # hills or roofs at the horizon
        xs = np.linspace(0, width, 9)
        ys = floor - rng.uniform(0.05, 0.4, 9) * floor
        outline = np.concatenate([np.stack([xs, ys], 1), [[width, floor], [0, floor]]]).astype(np.int32)
        cv2.fillPoly(image, [outline], tuple(map(float, random_colour(rng) * 0.6 + 40)), cv2.LINE_AA)
    _ground(rng, image, floor)
    for _ in range(int(rng.integers(2, 8))):
        _thing(rng, image, floor)
    return image


def foreground_object(rng, scale: float, foot_x: float, foot_y: float, width: int, height: int):
    """Return (mask float32 [height, width] in 0..1, colour float32 [3]) of something in front of a person.

    `scale` is pixels per metre at (foot_x, foot_y), the point where it stands.
    """
    mask = np.zeros((height, width), np.uint8)
    kind = rng.choice(["box", "pole", "plant", "table", "board"])
    x, y, s = foot_x, foot_y, scale
    colour = random_colour(rng)
    if kind == "box":
        w, h = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.8)
        _rectangle(mask, x - w / 2 * s, y - h * s, x + w / 2 * s, y, (255,))
    elif kind == "pole":
        _rectangle(mask, x, -5, x + rng.uniform(0.05, 0.12) * s, y, (255,))
    elif kind == "plant":
        colour = np.float32([rng.uniform(20, 70), rng.uniform(70, 150), rng.uniform(30, 90)])
        for _ in range(12):
            angle = rng.uniform(-60, 60)
            reach = rng.uniform(0.2, 0.5) * s
            tip = np.radians(angle - 90)
            cx, cy = x + np.cos(tip) * reach, y + np.sin(tip) * reach
            _ellipse(mask, cx, cy, reach, 0.05 * s, (255,), angle - 90)
    elif kind == "table":
        w, h = rng.uniform(0.7, 1.2), rng.uniform(0.6, 0.8)
        _rectangle(mask, x - w / 2 * s, y - h * s, x + w / 2 * s, y - (h - 0.08) * s, (255,))
        for end in (-1, 1):
            leg = x + end * (w / 2 - 0.06) * s
            _rectangle(mask, leg - 0.03 * s, y - h * s, leg + 0.03 * s, y, (255,))
    else:
        w, h = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.4)
        lift = rng.uniform(0.3, 1.1)
        _rectangle(mask, x - w / 2 * s, y - (lift + h) * s, x + w / 2 * s, y - lift * s, (255,))
        _rectangle(mask, x - 0.03 * s, y - lift * s, x + 0.03 * s, y, (255,))
    return mask.astype(np.float32) / 255, colour
