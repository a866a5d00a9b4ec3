"""Names of topics and services, and the quality of service of each: written once, here.

Topics that depend on the arm (`/joint_states`, cameras, controllers) are in its YAML.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

POLICY_NODE = 'policy_node'
GUARD_NODE = 'guard_node'
SIM_NODE = 'sim_node'

INSTRUCTION_TOPIC = '/vla/instruction'
CHUNK_TOPIC = '/vla/action_chunk'
URDF_TOPIC = '/robot_description'
DIAGNOSTICS_TOPIC = '/diagnostics'
CLOCK_TOPIC = '/clock'
STOP_SERVICE = '/vla/stop'
REARM_SERVICE = '/vla/rearm'

SIM_OBJECTS_TOPIC = '/sim/objects'
SIM_TOOL_TOPIC = '/sim/tool_pose'
SIM_RESET_SERVICE = '/sim/reset'

BASE_FRAME = 'base'
TARGET_NAMESPACE = 'target/'
"""Prefix of a marker's namespace in SIM_OBJECTS_TOPIC: where a reach of that object must end."""

DIAGNOSTICS_RATE_HZ = 5.0


def _profile(
    depth: int,
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


SENSOR = _profile(5, ReliabilityPolicy.BEST_EFFORT)
"""Images and joint states: the newest matter, a lost one is not sent again."""

COMMAND = _profile(1)
"""Chunks and controller commands: only the newest counts, and it must arrive."""

INSTRUCTION = _profile(10)
"""Instructions: none may be lost, because the empty one means stop."""

LATCHED = _profile(1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""State that a late subscriber needs at once."""

DIAGNOSTICS = _profile(10)
