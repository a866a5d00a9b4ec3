"""Make .venv-lerobot: the real lerobot, for data sets alone, beside the torch of .venv.

    .venv/bin/python tools/lerobot_env.py

Prints the path of its interpreter; a second run finds everything done. lerobot excludes versions
that this package uses, so it gets an environment of its own; but torch, numpy and pyarrow are
those of the environment that runs this, by a .pth file, so that they are not downloaded twice.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / '.venv-lerobot'
PYTHON = FOLDER / 'bin' / 'python'
STAMP = FOLDER / 'installed.txt'

# What `lerobot.datasets` imports, without the rest of lerobot: no simulator, no wandb, no rerun.
PACKAGES = (
    'lerobot==0.4.4',
    'torchvision==0.25.0',  # the last that lerobot allows; its Python runs on any torch
    'av==15.1.0',
    'datasets==4.8.5',
    'huggingface-hub==0.35.3',
    'accelerate==1.15.0',
    'pandas>=2.2,<4',
    'python-dateutil',
    'pytz',
    'six',
    'tzdata',
    'dill>=0.3,<0.5',
    'multiprocess<0.71',
    'xxhash',
    'fsspec',
    'packaging',
    'tqdm',
    'requests',
    'certifi',
    'charset-normalizer',
    'idna',
    'urllib3',
    'httpx',
    'httpcore',
    'h11',
    'anyio',
    'sniffio',
)


def main() -> int:
    """Make the environment if it is not there, and print its interpreter."""
    wanted = hashlib.sha256('\n'.join((sys.executable, *PACKAGES)).encode()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted and PYTHON.exists():
        print(PYTHON)
        return 0
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=False)
    pip = [sys.executable, '-m', 'pip', '--python', PYTHON, '--disable-pip-version-check']
    result = subprocess.run([*pip, 'install', '--quiet', '--no-deps', *PACKAGES], check=False)
    if result.returncode:
        print('lerobot could not be installed; the lines above say why', file=sys.stderr)
        return 2
    # Sorted last, and so behind what is installed here.
    ours = sysconfig.get_paths(vars={'base': str(FOLDER), 'platbase': str(FOLDER)})['purelib']
    (Path(ours) / 'zz_shared.pth').write_text(sysconfig.get_path('purelib') + '\n')
    STAMP.write_text(wanted)
    print(PYTHON)
    return 0


if __name__ == '__main__':
    sys.exit(main())
