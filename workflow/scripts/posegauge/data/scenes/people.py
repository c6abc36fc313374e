"""People of the synthetic scenes: a 3-D skeleton with thick, shaded, clothed limbs and a face.

Coordinates are metres in camera axes (x right, y down, z away from the camera) with the origin on the
floor below the pelvis; a person's own axes are L (to their left), U (up) and F (forward). A yaw of 0
faces the camera. Each body part is drawn into a small depth buffer, so what hides what comes out of the
geometry, and whether a keypoint can be seen is read from the same buffer.
"""

from dataclasses import dataclass

import cv2
import numpy as np

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


# How far (metres) a keypoint may lie behind the drawn surface and still count as visible: the joints are
# inside the limbs, so about one limb radius more than nothing.
DEPTH_TOLERANCE = np.array([0.045] + [0.035] * 2 + [0.05] * 2 + [0.14] * 2 + [0.09] * 4 + [0.19] * 2
                           + [0.11] * 2 + [0.10] * 2)  # fmt: skip


SUPERSAMPLE = 2  # people are drawn at twice the resolution and averaged down: smooth edges


SKIN_BGR = ((200, 220, 245), (165, 195, 235), (135, 172, 220), (105, 145, 200), (75, 110, 165), (50, 78, 120),
            (40, 58, 90))  # fmt: skip


HAIR_BGR = ((25, 22, 22), (35, 45, 60), (45, 70, 105), (80, 130, 185), (120, 185, 225), (150, 150, 155),
            (40, 60, 140))  # fmt: skip


PATTERNS = ("stripes", "bands", "checks", "dots", "noise")


@dataclass
class Cloth:
    """A pattern of two colours: `kind` is plain or one of PATTERNS; `period` in metres."""

    kind: str
    first: np.ndarray
    second: np.ndarray
    period: float
    tile: np.ndarray

    def colours(self, along, across):
        """Return BGR float32 [n, 3] at surface coordinates (metres) `along` and `across` (float32 [n])."""
        if self.kind == "plain":
            return np.broadcast_to(self.first, (len(along), 3))
        turn = np.float32(2 * np.pi / self.period)
        if self.kind == "bands":
            mix = np.sin(along * turn) > 0
        elif self.kind == "stripes":
            mix = np.sin(across * turn) > 0.2
        elif self.kind == "checks":
            mix = 0.5 * (np.sin(along * turn) > 0) + 0.5 * (np.sin(across * turn) > 0)
        elif self.kind == "dots":
            mix = np.sin(along * turn) * np.sin(across * turn) > 0.35
        else:
            scale = 6 / self.period
            rows = (along * scale).astype(np.int32) % self.tile.shape[0]
            columns = (across * scale).astype(np.int32) % self.tile.shape[1]
            mix = self.tile[rows, columns]
        mix = np.asarray(mix, np.float32)[:, None]
        return self.first * (1 - mix) + self.second * mix


def random_colour(rng) -> np.ndarray:
    """Return a clothing or paint colour, BGR float32 [3]."""
    hsv = np.uint8([[[rng.integers(180), rng.integers(20, 220), rng.integers(45, 235)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)


def random_cloth(rng, plain: float = 0.4) -> Cloth:
    """Return a random Cloth; `plain` is the probability of no pattern."""
    kind = "plain" if rng.random() < plain else str(rng.choice(PATTERNS))
    first = random_colour(rng)
    second = random_colour(rng) if rng.random() < 0.6 else np.clip(first + rng.choice([-70, 70]), 15, 245)
    tile = rng.random((24, 24), dtype=np.float32)
    return Cloth(kind, first, second.astype(np.float32), float(rng.uniform(0.05, 0.13)), tile)


def _unit(vector):
    return vector / (np.linalg.norm(vector) + 1e-9)


class Person:
    """Shape, clothes and pose of one person; everything is drawn from `rng` when it is made."""

    def __init__(self, rng):
        self.skin = np.float32(SKIN_BGR[rng.integers(len(SKIN_BGR))])
        self.skin += rng.uniform(-8, 8, 3).astype(np.float32)
        self.hair = np.float32(HAIR_BGR[rng.integers(len(HAIR_BGR))])
        self.long_hair, self.bald = rng.random() < 0.3, rng.random() < 0.06
        self.shirt = random_cloth(rng)
        self.trousers = random_cloth(rng, plain=0.7)
        self.shoes = random_colour(rng) * 0.6
        self.sleeves = rng.choice(["long", "short", "none"], p=[0.45, 0.4, 0.15])
        self.short_trousers = rng.random() < 0.3
        self.size = rng.uniform(0.88, 1.06)
        self.girth = rng.uniform(0.88, 1.2)
        self._pose(rng)

    def _pose(self, rng):
        """Choose joint angles and compute the 3-D joints, float64 [3] each, in metres."""
        u, n = rng.uniform, rng.normal
        size = self.size
        self.stance, yaw = self._bearing(rng)
        self.left = np.array([np.cos(yaw), 0, np.sin(yaw)])
        self.forward = np.array([np.sin(yaw), 0, -np.cos(yaw)])
        up = np.array([0.0, -1, 0])
        roll, pitch = n(0, 0.07), n(0.04, 0.08)
        spine = _unit(up + self.left * roll + self.forward * pitch)
        across = _unit(self.left - spine * (self.left @ spine))
        chest_forward = _unit(self.forward - spine * (self.forward @ spine))
        joints = {"pelvis": np.zeros(3)}
        joints["chest"] = spine * 0.50 * size
        shoulder, hip = 0.175 * size * (0.7 + 0.3 * self.girth), 0.095 * size
        tilt = n(0, 0.05)
        for side, sign in (("left", 1), ("right", -1)):
            reach = sign * across * shoulder
            joints[f"{side}_shoulder"] = joints["chest"] + reach + sign * tilt * spine * shoulder
            joints[f"{side}_hip"] = sign * self.left * hip
            self._arm(rng, joints, side, sign, across, spine, chest_forward)
            self._leg(rng, joints, side, sign, up)
        head_yaw = np.clip(yaw + n(0, 0.3), -1.35, 1.35)
        nod, lean = n(0.05, 0.13), n(0, 0.1)
        facing = np.array([np.sin(head_yaw), 0, -np.cos(head_yaw)])
        crown = _unit(spine * 0.6 + up * 0.6 + facing * nod)
        facing = _unit(facing - crown * (facing @ crown))
        beside = np.cross(facing, crown)  # to the person's left
        if beside @ self.left < 0:
            beside = -beside
        crown, beside = _unit(crown + lean * beside), _unit(beside - lean * crown)
        self.head_axes = np.stack([beside, crown, facing])  # rows: left, up, forward
        self.head_radii = np.array([0.082, 0.122, 0.1]) * size * u(0.95, 1.08)
        joints["head"] = joints["chest"] + spine * 0.075 * size + crown * 0.15 * size
        for name, (azimuth, elevation, out) in {
            "nose": (0, -0.15, 1.16), "left_eye": (0.4, 0.14, 1.0), "right_eye": (-0.4, 0.14, 1.0),
            "left_ear": (1.62, 0.02, 1.03), "right_ear": (-1.62, 0.02, 1.03),
            "bridge": (0, 0.18, 1.0), "mouth_left": (0.24, -0.55, 1.0), "mouth_right": (-0.24, -0.55, 1.0),
            "brow_left_in": (0.22, 0.36, 1.0), "brow_left_out": (0.58, 0.36, 1.0),
            "brow_right_in": (-0.22, 0.36, 1.0), "brow_right_out": (-0.58, 0.36, 1.0),
        }.items():  # fmt: skip
            cos = np.cos(elevation)
            ray = np.array([np.sin(azimuth) * cos, np.sin(elevation), np.cos(azimuth) * cos])
            joints[name] = joints["head"] + (ray * self.head_radii * out) @ self.head_axes
        lowest = max(joints[f"{side}_{end}"][1] for side in ("left", "right") for end in ("toe", "ankle"))
        lift = u(0.08, 0.3) if self.stance == "jump" else 0.0
        shift = np.array([0, -lowest - 0.035 - lift, 0])
        self.joints = {name: point + shift for name, point in joints.items()}
        self.lift = lift

    def _bearing(self, rng):
        """Return the stance and the yaw (radians)."""
        stance = str(rng.choice(["stand", "walk", "sit", "jump"], p=[0.55, 0.25, 0.1, 0.1]))
        return stance, np.clip(rng.normal(0, 0.5), -1.3, 1.3)

    def _arm_angles(self, rng, side):
        """Return the style of an arm and four angles: spread, swing, bend of the elbow, plane of the bend."""
        u = rng.uniform
        style = rng.choice(["hang", "out", "raised", "front", "hip"], p=[0.36, 0.22, 0.16, 0.16, 0.1])
        angles = {
            "hang": (u(0.08, 0.35), u(-0.35, 0.4), u(0, 0.6), u(-0.3, 0.6)),
            "out": (u(0.5, 1.5), u(-0.2, 0.4), u(0, 1.6), u(-1.2, 1.4)),
            "raised": (u(1.7, 2.7), u(-0.1, 0.3), u(0, 1.3), u(0.6, 1.6)),
            "front": (u(0.1, 0.5), u(0.4, 1.2), u(0.3, 1.9), u(-0.2, 0.9)),
            "hip": (u(0.6, 0.9), u(-0.3, 0.0), u(1.6, 2.0), u(-2.5, -2.1)),
        }[str(style)]
        return str(style), *angles

    def _leg_angles(self, rng, side):
        """Return three angles of a leg: spread, swing, bend of the knee."""
        u = rng.uniform
        return {
            "stand": (u(-0.02, 0.28), u(-0.1, 0.15), u(0, 0.15)),
            "walk": (u(-0.02, 0.12), u(-0.45, 0.55), u(0, 0.7)),
            "sit": (u(0.0, 0.4), u(1.15, 1.5), u(1.2, 1.7)),
            "jump": (u(0.1, 0.6), u(-0.2, 0.7), u(0.1, 1.3)),
        }[self.stance]

    def _arm(self, rng, joints, side, sign, across, spine, forward):
        style, spread, swing, bend, plane = self._arm_angles(rng, side)
        outward = sign * across
        upper = np.cos(swing) * (-np.cos(spread) * spine + np.sin(spread) * outward) + np.sin(swing) * forward
        # `plane` turns the bend from forward (0) to up (pi/2) or inwards and back (below -pi/2).
        aim = np.cos(plane) * forward + np.sin(plane) * (0.8 * spine + 0.6 * outward)
        if style == "hip":
            aim = -outward - 0.2 * spine + 0.15 * forward
        aim = _unit(aim - upper * (aim @ upper))
        lower = np.cos(bend) * upper + np.sin(bend) * aim
        elbow = joints[f"{side}_shoulder"] + upper * 0.285 * self.size
        wrist = elbow + lower * 0.25 * self.size
        joints[f"{side}_elbow"], joints[f"{side}_wrist"] = elbow, wrist
        joints[f"{side}_hand"] = wrist + lower * 0.085 * self.size

    def _leg(self, rng, joints, side, sign, up):
        spread, swing, bend = self._leg_angles(rng, side)
        outward = sign * self.left
        straight = -np.cos(spread) * up + np.sin(spread) * outward
        thigh = np.cos(swing) * straight + np.sin(swing) * self.forward
        back = -self.forward - thigh * (-self.forward @ thigh)
        shin = np.cos(bend) * thigh + np.sin(bend) * _unit(back)
        knee = joints[f"{side}_hip"] + thigh * 0.44 * self.size
        ankle = knee + shin * 0.41 * self.size
        foot = _unit(self.forward + 0.35 * outward - 0.25 * up * (self.stance != "sit"))
        joints[f"{side}_knee"], joints[f"{side}_ankle"] = knee, ankle
        joints[f"{side}_toe"] = ankle - up * (-0.045) + foot * 0.15 * self.size


class Layer:
    """One drawn person: a depth buffer and colours in a window of the image, at SUPERSAMPLE resolution."""

    def __init__(self, person: Person, scale: float, foot_xy, image_size, light):
        """Draw `person` at `scale` pixels per metre with the floor point at `foot_xy` (pixels).

        `image_size` is (width, height); `light` is a unit vector (float [3]) towards the light.
        After this: `window` (x0, y0, x1, y1) in image pixels or None when nothing is inside the image,
        `alpha` float32 [h, w] in 0..1, `colour` float32 [h, w, 3], `points` float64 [17, 2] in pixels and
        `seen` bool [17]: not hidden by the person's own body (only meaningful inside the image).
        """
        self.person, self.scale, self.light = person, scale * SUPERSAMPLE, np.float32(light)
        names = list(person.joints)
        joints = np.array([person.joints[name] for name in names])
        near = 1 / (1 + joints[:, 2:] / 6.0)  # weak perspective: the floor point is 6 m away
        flat = joints[:, :2] * near * scale + np.asarray(foot_xy, float)
        self.points = flat[[names.index(name) for name in KEYPOINTS]]
        width, height = image_size
        margin = 0.2 * scale
        low = np.floor(np.maximum(flat.min(0) - margin, 0)).astype(int)
        high = np.ceil(np.minimum(flat.max(0) + margin, (width, height))).astype(int)
        self.window = None
        self.seen = np.zeros(17, bool)
        if (high - low).min() < 2:
            return
        self.window = (*low, *high)
        size = (high - low) * SUPERSAMPLE
        self.depth = np.full((size[1], size[0]), np.inf, np.float32)
        self.pixels = np.zeros((size[1], size[0], 3), np.float32)
        # A point at image pixel x covers the samples 2x and 2x+1; pixel centres are whole numbers.
        self.flat = {n: (p - low + 0.5) * SUPERSAMPLE - 0.5 for n, p in zip(names, flat, strict=True)}
        self.far = {n: p[2] * self.scale for n, p in zip(names, joints, strict=True)}
        self.near = dict(zip(names, near[:, 0], strict=True))
        self._draw()
        self._read_visibility(low)
        covered = np.isfinite(self.depth).astype(np.float32)
        small = (high[0] - low[0], high[1] - low[1])
        self.alpha = cv2.resize(covered, small, interpolation=cv2.INTER_AREA)
        colour = cv2.resize(self.pixels, small, interpolation=cv2.INTER_AREA)
        self.colour = colour / np.maximum(self.alpha, 1e-3)[..., None]

    def _read_visibility(self, low):
        for index, (name, tolerance) in enumerate(zip(KEYPOINTS, DEPTH_TOLERANCE, strict=True)):
            x, y = np.round(self.flat[name]).astype(int)
            if 0 <= y < self.depth.shape[0] and 0 <= x < self.depth.shape[1]:
                self.seen[index] = self.far[name] - self.depth[y, x] < tolerance * self.scale

    def _roi(self, low, high):
        x0, y0 = np.maximum(np.floor(low).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(high).astype(int) + 1, (self.depth.shape[1], self.depth.shape[0]))
        return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None

    def _paint(self, roi, mask, depth, normal, colour):
        """Write the samples of `mask` that are nearer than what is there; shade them by the light."""
        old = self.depth[roi]
        mask &= depth < old
        if not mask.any():
            return
        old[mask] = depth[mask]
        nx, ny, nz = (part[mask] for part in normal)
        lit = np.clip(nx * self.light[0] + ny * self.light[1] + nz * self.light[2], 0, 1)
        shade = 0.45 + 0.2 * nz + 0.5 * lit
        self.pixels[roi][mask] = colour(mask) * shade[:, None]

    def limb(self, start, end, start_r, end_r, cloth, flat_ends=False, depth_share=1.0, lift=0.0, turn=False):
        """Draw a tapered round limb between two joints; radii in metres.

        `cloth` is a Cloth or a BGR colour. With `flat_ends` it has no round caps. `depth_share` makes the
        section an ellipse (depth over width), `lift` (metres) brings it nearer, `turn` turns the pattern.
        """
        a, b = (self.flat[start], self.flat[end]) if isinstance(start, str) else (start[:2], end[:2])
        za, zb = (self.far[start], self.far[end]) if isinstance(start, str) else (start[2], end[2])
        na, nb = (self.near[start], self.near[end]) if isinstance(start, str) else (1, 1)
        ra, rb = start_r * self.scale * na, end_r * self.scale * nb
        most = max(ra, rb)
        roi = self._roi(np.minimum(a, b) - most, np.maximum(a, b) + most)
        if roi is None:
            return
        ys = np.arange(roi[0].start, roi[0].stop, dtype=np.float32)[:, None]
        xs = np.arange(roi[1].start, roi[1].stop, dtype=np.float32)[None, :]
        dx, dy = xs - np.float32(a[0]), ys - np.float32(a[1])
        axis = np.float32(b - a)
        length = float(np.hypot(*axis))
        axis = axis / np.float32(length) if length > 1e-3 else np.float32([1, 0])  # a point: any axis will do
        length = max(length, 1e-3)
        along = dx * axis[0] + dy * axis[1]
        across = dy * axis[0] - dx * axis[1]
        t = np.clip(along / np.float32(length), 0, 1)
        radius = np.float32(ra) + np.float32(rb - ra) * t
        beyond = along - t * np.float32(length)
        distance = (across * across + beyond * beyond) / (radius * radius)
        mask = distance <= 1
        if flat_ends:
            mask &= (along >= 0) & (along <= length)
        rise = np.sqrt(np.maximum(1 - distance, 0))
        depth = np.float32(za - lift * self.scale) + np.float32(zb - za) * t - rise * radius * depth_share
        side, ahead = across / radius, beyond / radius
        normal = (ahead * axis[0] - side * axis[1], ahead * axis[1] + side * axis[0], rise)

        def colour(chosen):
            if not isinstance(cloth, Cloth):
                return np.float32(cloth)
            first, second = (across, along) if turn else (along, across)
            return cloth.colours(first[chosen] / self.scale + 1, second[chosen] / self.scale + 1)

        self._paint(roi, mask, depth, normal, colour)

    def _ellipsoid(self, centre, radii, axes, colour, where=None):
        """Draw an ellipsoid with radii (metres) along the rows of `axes`.

        `where`(q0, q1, q2) limits it: q are points of the unit sphere in the ellipsoid's own axes.
        """
        most = max(radii) * self.scale
        middle = self.flat[centre]
        roi = self._roi(middle - most, middle + most)
        if roi is None:
            return
        ys = np.arange(roi[0].start, roi[0].stop, dtype=np.float32)[:, None]
        xs = np.arange(roi[1].start, roi[1].stop, dtype=np.float32)[None, :]
        dx, dy = xs - np.float32(middle[0]), ys - np.float32(middle[1])
        # From camera pixels to the unit sphere.
        frame = (axes / (np.asarray(radii)[:, None] * self.scale)).astype(np.float32)
        flat = [row[0] * dx + row[1] * dy for row in frame]
        deep = frame[:, 2]
        half = sum(f * d for f, d in zip(flat, deep, strict=True))
        square = float(deep @ deep)
        inside = half * half - square * (sum(f * f for f in flat) - 1)
        mask = inside > 0
        z = (-half - np.sqrt(np.maximum(inside, 0))) / square
        q = [f + z * d for f, d in zip(flat, deep, strict=True)]
        if where is not None:
            mask &= where(*q)
        normal = [sum(q[i] * frame[i, j] for i in range(3)) for j in range(3)]
        length = np.sqrt(sum(part * part for part in normal)) + 1e-9
        normal = (normal[0] / length, normal[1] / length, -normal[2] / length)
        self._paint(roi, mask, z + np.float32(self.far[centre]), normal, lambda _: np.float32(colour))

    def _head(self):
        person, size = self.person, self.person.size
        dark = person.skin * 0.82
        self._ellipsoid("head", person.head_radii, person.head_axes, person.skin)
        if not person.bald:

            def scalp(_side, up, front):
                return up > 0.3 + 0.45 * front - 0.75 * (front < -0.15)

            self._ellipsoid("head", person.head_radii * 1.09, person.head_axes, person.hair, scalp)
        for side in ("left", "right"):
            self.limb(f"{side}_ear", f"{side}_ear", 0.027 * size, 0.027 * size, dark)
            eye, white, pupil = f"{side}_eye", 0.018 * size, 0.0095 * size
            if person.joints[eye][2] - person.joints["head"][2] < 0.02:
                self.limb(eye, eye, white, white, (245, 245, 245), lift=0.004)
                self.limb(eye, eye, pupil, pupil, (45, 35, 30), lift=0.0165)
            self.limb(f"brow_{side}_in", f"brow_{side}_out", 0.007, 0.006, person.hair * 0.8)
        self.limb("bridge", "nose", 0.012 * size, 0.021 * size, person.skin * 0.92 + np.float32([0, 0, 8]))
        self.limb("mouth_left", "mouth_right", 0.011 * size, 0.011 * size, (70, 60, 150))

    def _draw(self):
        person, size, girth = self.person, self.person.size, self.person.girth
        facing = abs(person.left[0])  # 1 from the front, 0 from the side
        turned = np.sqrt(1 - facing**2)

        def half_width(front, side):
            return np.hypot(front * facing, side * turned) * size * girth

        def in_depth(front, side):
            return np.hypot(front * turned, side * facing) / np.hypot(front * facing, side * turned)

        shirt, trousers, skin = person.shirt, person.trousers, person.skin
        top, bottom = half_width(0.19, 0.11), half_width(0.155, 0.11)
        self.limb("chest", "pelvis", top, bottom, shirt, True, in_depth(0.17, 0.11))
        shoulder, hip = 0.062 * size * girth, 0.088 * size * girth
        self.limb("left_shoulder", "right_shoulder", shoulder, shoulder, shirt, turn=True)
        self.limb("left_hip", "right_hip", hip, hip, trousers)
        self.limb("chest", "head", 0.055 * size, 0.05 * size, skin * 0.9)
        self._head()
        if person.long_hair and not person.bald:
            self._long_hair()
        for side in ("left", "right"):
            upper = skin if person.sleeves == "none" else shirt
            lower = shirt if person.sleeves == "long" else skin
            self.limb(f"{side}_shoulder", f"{side}_elbow", 0.056 * size * girth, 0.043 * size * girth, upper)
            self.limb(f"{side}_elbow", f"{side}_wrist", 0.042 * size * girth, 0.03 * size, lower)
            self.limb(f"{side}_wrist", f"{side}_hand", 0.033 * size, 0.03 * size, skin, lift=0.004)
            shin = skin if person.short_trousers else trousers
            self.limb(f"{side}_hip", f"{side}_knee", 0.086 * size * girth, 0.058 * size * girth, trousers)
            self.limb(f"{side}_knee", f"{side}_ankle", 0.056 * size * girth, 0.04 * size, shin)
            self.limb(f"{side}_ankle", f"{side}_toe", 0.046 * size, 0.042 * size, person.shoes, lift=0.004)

    def _long_hair(self):
        axes, size = self.person.head_axes, self.person.size
        crown, facing = axes[1], axes[2]
        centre = np.array([*self.flat["head"], self.far["head"]])
        top = centre - 0.03 * size * self.scale * facing + 0.02 * size * self.scale * crown
        tip = centre - 0.075 * size * self.scale * facing - 0.24 * size * self.scale * crown
        self.limb(top, tip, 0.095 * size, 0.085 * size, self.person.hair * 0.9, depth_share=0.4)
