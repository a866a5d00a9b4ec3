"""The command `vla-ros`: finds the module of a command and hands it the rest of the line."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from vla_ros.errors import VlaRosError

COMMANDS = {
    'demo': 'start everything, say three things, film what the arm does',
    'up': 'start simulator, policy and guard until Ctrl-C',
    'say': 'tell a running policy what to do',
    'watch': 'show state, speeds, limiter and latency of a running graph, live',
    'stop': 'stop the arm, until it is re-armed',
    'rearm': 'let a stopped arm move again',
    'reset': 'lay out the simulated scene anew, by its seed',
    'doctor': 'find out what would go wrong, and what to do about it',
    'collect': 'record episodes of the scripted expert in the simulator',
    'data info': 'say what a data set holds: features, episodes, tasks and statistics',
    'data check': 'find what is wrong with a data set, with episode, frame and remedy',
    'data view': 'draw a contact sheet: frames of episodes and what was to be done',
    'data import': 'import episodes that a JSON file describes',
    'data finalize': 'make a data set of what a killed recording has left',
    'train': 'train the policy on recorded episodes',
    'adapt': 'let a trained policy learn from a few episodes',
    'eval': 'measure how often a policy does what a sentence says',
    'bench latency': 'measure from camera to command, through real DDS',
    'bench guard': "measure the guard's tick",
    'bench faults': 'break things at full speed and measure how the arm is stopped',
}
EXAMPLES = (
    'vla-ros demo',
    "vla-ros up seed:=5        then, elsewhere:  vla-ros say 'reach the red cube'",
    'vla-ros eval --episodes 50 --phrasings held_out',
)
USAGE_ERROR, INTERRUPTED = 2, 130
EXTRAS = {
    **dict.fromkeys(('rclpy', 'rcl_interfaces'), 'ros'),
    **dict.fromkeys(
        ('mujoco', 'gymnasium', 'joblib', 'matplotlib', 'av', 'PIL', 'pyarrow'), 'sim'
    ),
    **dict.fromkeys(('transformers', 'accelerate', 'tensorboard', 'peft'), 'train'),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 not reached, 2 wrong use."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ('-h', '--help', 'help'):
        print(_help())
        return 0
    try:
        return _run(words)
    except VlaRosError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or '').split('.')[0]
        if package not in EXTRAS:
            raise
        return _fail(f"this needs {package}; type: pip install 'vla_ros[{EXTRAS[package]}]'")
    except OSError as error:
        return _fail(f'{error.filename or "the system"}: {error.strerror or error}')
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(words: list[str]) -> int:
    for length in (2, 1):
        name = ' '.join(words[:length])
        if name in COMMANDS:
            module = importlib.import_module(f'vla_ros.commands.{name.replace(" ", "_")}')
            import tyro

            result = tyro.cli(
                module.main,
                prog=f'vla-ros {name}',
                args=_ros_style(words[length:]),
                config=(tyro.conf.OmitArgPrefixes,),
            )
            return int(result or 0)
    wanted = ' '.join(words[:2] if words[0] in ('bench', 'data') else words[:1])
    group = [name for name in COMMANDS if name.startswith(f'{words[0]} ')]
    near = difflib.get_close_matches(wanted, group or COMMANDS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else '.'
    valid = ', '.join(group or COMMANDS)
    raise VlaRosError(f"unknown command '{wanted}'{hint} Commands: {valid}")


def _ros_style(words: Sequence[str]) -> list[str]:
    """Turn `name:=value`, as ros2 launch takes it, into `--name value`."""
    turned: list[str] = []
    for word in words:
        name, sign, value = word.partition(':=')
        plain = sign and name.isidentifier()
        turned += [f'--{name.replace("_", "-")}', value] if plain else [word]
    return turned


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = ['usage: vla-ros COMMAND [options]      vla-ros COMMAND --help', '']
    lines += ['Tell a 7-joint arm what to do in words.', '']
    lines += [f'  {name:<{width}}{text}' for name, text in COMMANDS.items()]
    return '\n'.join([*lines, '', 'examples:', *(f'  {example}' for example in EXAMPLES)])


def _fail(message: str) -> int:
    red, plain = ('\033[31m', '\033[0m') if sys.stderr.isatty() else ('', '')
    print(f'{red}error: {message}{plain}', file=sys.stderr)
    return USAGE_ERROR


if __name__ == '__main__':
    sys.exit(main())
