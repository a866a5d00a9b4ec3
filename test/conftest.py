"""What all tests share: ROS stays on this machine, messages are type-checked, no display."""

import importlib.util
import os
import tempfile
from pathlib import Path

CONFIG = Path(__file__).resolve().parent.parent / 'config'

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')
os.environ.setdefault('ROS_LOG_DIR', tempfile.mkdtemp(prefix='vla_ros_log_'))
os.environ.setdefault('FASTDDS_DEFAULT_PROFILES_FILE', str(CONFIG / 'fastdds.xml'))
os.environ.setdefault('MUJOCO_GL', 'egl')
os.environ.setdefault('HF_HUB_OFFLINE', '1')
# Threads that wait for each other spin: beside another process two are slower than one.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# The launch tests need a ROS 2 installation: launch_ros is not on PyPI. The header says so.
HAS_LAUNCH = importlib.util.find_spec('launch_ros') is not None
collect_ignore = [] if HAS_LAUNCH else ['launch']


def pytest_report_header() -> str:
    """Say what this machine cannot test."""
    return f'launch_ros: {"found" if HAS_LAUNCH else "not here, test/launch is left out"}'
