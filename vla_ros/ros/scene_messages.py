"""What the simulated scene looks like, as messages: markers of its objects, camera parameters."""

from __future__ import annotations

import json

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from vla_ros.ros.qos import BASE_FRAME, TARGET_NAMESPACE
from vla_ros.sim.scene import BOWL_HEIGHT_M, BOWL_RADIUS_M, COLOURS, SceneObject
from vla_ros.sim.world import World
from vla_ros.types import FloatArray

_MARKER_OF_SHAPE = {'cube': Marker.CUBE, 'ball': Marker.SPHERE, 'cylinder': Marker.CYLINDER}
_OBJECT_SIZE_M = 0.06
_TARGET_SIZE_M = 0.01


def scene_markers(world: World, stamp: Time) -> MarkerArray:
    """Return one marker per object and container, and one per point that a reach must end at."""
    header = Header(stamp=stamp, frame_id=BASE_FRAME)
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for scene_object in world.objects:
        name, colour = scene_object.name, COLOURS[scene_object.colour]
        kind = _MARKER_OF_SHAPE[scene_object.shape]
        for namespace, marker_type, position, size, alpha in (
            (name, kind, scene_object.position_m, _OBJECT_SIZE_M, 1.0),
            (
                TARGET_NAMESPACE + name,
                Marker.SPHERE,
                world.target_position_m(name),
                _TARGET_SIZE_M,
                0.5,
            ),
        ):
            markers.append(
                Marker(
                    header=header,
                    ns=namespace,
                    type=marker_type,
                    pose=pose_at(position),
                    scale=Vector3(x=size, y=size, z=size),
                    color=ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=alpha),
                )
            )
    markers += [_container_marker(header, container) for container in world.containers]
    return MarkerArray(markers=markers)


def _container_marker(header: Header, container: SceneObject) -> Marker:
    red, green, blue = COLOURS[container.colour]
    middle = np.add(container.position_m, (0.0, 0.0, BOWL_HEIGHT_M / 2))
    return Marker(
        header=header,
        ns=container.name,
        type=Marker.CYLINDER,
        pose=pose_at(middle),
        scale=Vector3(x=2 * BOWL_RADIUS_M, y=2 * BOWL_RADIUS_M, z=BOWL_HEIGHT_M),
        color=ColorRGBA(r=red, g=green, b=blue, a=0.6),
    )


def scene_json(world: World, seed: int, task: str) -> str:
    """Return seed, task, objects, the points over them and containers, in the base frame."""
    objects = {
        scene_object.name: {
            'position_m': scene_object.position_m.round(4).tolist(),
            'target_m': world.target_position_m(scene_object.name).round(4).tolist(),
        }
        for scene_object in world.objects
    }
    containers = {c.name: {'position_m': c.position_m.round(4).tolist()} for c in world.containers}
    return json.dumps({'seed': seed, 'task': task, 'objects': objects, 'containers': containers})


def pose_at(position_m: FloatArray) -> Pose:
    """Return a pose without rotation."""
    x, y, z = position_m.tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=1.0))


def camera_info(width: int, height: int, fovy_rad: float, frame_id: str) -> CameraInfo:
    """Return the parameters of a pinhole camera with square pixels and no distortion."""
    focal = height / (2 * np.tan(fovy_rad / 2))
    cx, cy = width / 2, height / 2
    return CameraInfo(
        header=Header(frame_id=frame_id),
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=np.eye(3).ravel().tolist(),
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
