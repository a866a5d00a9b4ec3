"""Install with pip or colcon; the one place of version ranges (docs/dependencies.md says why)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

NAME = 'vla_ros'
HERE = Path(__file__).parent
VERSION = re.search(r'<version>(.+?)</version>', (HERE / 'package.xml').read_text()).group(1)
NODES = ('policy_node', 'guard_node', 'sim_node')

ROS = ['ros-kilted-rclpy[fastrtps]>=9.1,<10', 'ros-kilted-common-interfaces>=5.5,<6']
SIM = [
    'mujoco>=3.3,<5',
    'gymnasium>=1.0,<2',
    'av>=12',
    'matplotlib>=3.8,<4',
    'joblib>=1.4,<2',
    'pillow>=10',
    'pyarrow>=15,<30',
]
TRAIN = [
    *SIM,
    'accelerate>=1.2,<2',
    'peft>=0.13,<1',
    'tensorboard>=2.16,<3',
    'transformers>=4.50,<6',
]
DEV = [
    'build>=1.2,<2',
    'distributed>=2024.1',
    'hypothesis>=6.100,<7',
    'psutil>=5.9,<8',
    'pyright==1.1.414',
    'pytest>=8,<10',
    'pytest-rerunfailures>=15,<17',
    'ruff==0.17.6',
    'setuptools>=68',
    'wheel>=0.43',
]


def files_of(folder, target):
    """Return data_files entries that keep the folders below `folder`."""
    entries = {}
    for path in sorted((HERE / folder).rglob('*')):
        if path.is_file() and '__pycache__' not in path.parts:
            relative = path.relative_to(HERE)
            entries.setdefault(f'{target}/{relative.parent}', []).append(str(relative))
    return list(entries.items())


setup(
    name=NAME,
    version=VERSION,
    description='Tell a 7-joint arm what to do in words: VLA policies on ROS 2 behind a guard',
    license='Apache-2.0',
    maintainer='vla_ros maintainers',
    maintainer_email='maintainers@vla-ros.dev',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['sim/*.xml', 'sim/*.yaml', 'checkpoints/*/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'lib/{NAME}', [f'scripts/{name}' for name in (*NODES, 'vla-ros')]),
        *files_of('launch', f'share/{NAME}'),
        *files_of('config', f'share/{NAME}'),
    ],
    zip_safe=False,
    install_requires=[
        'numpy>=1.26,<3',
        'opencv-python-headless>=4.8,<6',
        'pyyaml>=6,<7',
        'rich>=13.7,<16',
        'safetensors>=0.4.3,<1',
        'snowballstemmer>=2.2,<4',
        'torch>=2.4,<3',
        'tyro>=0.9,<2',
    ],
    extras_require={
        'ros': ROS,
        'sim': SIM,
        'train': TRAIN,
        'lerobot': ['lerobot==0.4.4'],
        'vision': ['torchvision<0.29'],
        'dev': DEV,
    },
    entry_points={
        'console_scripts': [
            *(f'{name} = {NAME}.ros.start:{name}' for name in NODES),
            f'vla-ros = {NAME}.cli:main',
        ]
    },
)
