"""How well is a task learned that the base was kept from, from few episodes and by each method?

Adapts, evaluates, prints a table and draws a figure. What is there already is not done again.
The base learns to reach, pick and put from the data of tools/train_vla_table.sh, but was never
asked to push, and never saw a blue cylinder, a red ball or a green cube.

    recipe=config/policies/few_shot
    two="torchrun --nproc-per-node 2 -m vla_ros.cli train"
    $two $recipe/1_base.yaml --output runs/few-shot-1
    $two $recipe/2_sharp.yaml --base runs/few-shot-1 --output runs/few-shot-2
    vla-ros train $recipe/3_polished.yaml --base runs/few-shot-2 --output runs/few-shot-base
    vla-ros collect --tasks push --episodes 70 --seed 300000 --output datasets/push
    python tools/few_shot.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib

matplotlib.use('agg')
import matplotlib.pyplot as plt

METHODS = {'lora': 'LoRA, rank 8', 'head': 'head only', 'scratch': 'from scratch'}
COUNTS = (5, 10, 50)
LEARNING_RATE = 1e-3
OFF, BASE_OFF, STILL_OFF = 'action_rad_s', 'base_action_rad_s', 'hold_still_rad_s'


def main() -> None:
    """Run what is missing, two jobs at a time, and show all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--base', default='runs/few-shot-base')
    parser.add_argument('--data', default='datasets/push')
    parser.add_argument('--output', type=Path, default=Path('runs/few-shot'))
    parser.add_argument('--figure', type=Path, default=Path('docs/few_shot.png'))
    parser.add_argument('--steps', type=int, default=300)
    parser.add_argument('--trials', type=int, default=50)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    # most episodes first: a run that is broken off has shown what matters
    jobs = [(method, count) for count in reversed(COUNTS) for method in METHODS]
    with ThreadPoolExecutor(2) as threads:
        found = dict(zip(jobs, threads.map(lambda job: one(args, *job), jobs), strict=True))
    base = judge(args, args.base, args.output / 'base.json')
    show(found, base, args)


def one(args: argparse.Namespace, method: str, count: int) -> dict[str, float]:
    """Adapt by a method on so many episodes; return what gate and evaluation say."""
    folder = args.output / f'{method}-{count}'
    if not (folder / 'manifest.json').is_file():
        run(
            'adapt', '--base', args.base, '--data', args.data, '--output', folder,
            '--method', method, '--episodes', count, '--steps', args.steps, '--threads', 1,
            '--learning-rate', LEARNING_RATE, '--force',
        )  # fmt: skip
    held_out = json.loads((folder / 'manifest.json').read_text())['training']['held_out']
    return judge(args, folder, args.output / f'{method}-{count}.json') | held_out


def judge(args: argparse.Namespace, policy: Path | str, path: Path) -> dict[str, float]:
    """Let a policy push, and return its report."""
    if not path.is_file():
        run(
            'eval', '--task', 'push', '--policy', policy, '--episodes', args.trials, '--workers',
            1, '--json', path,
        )  # fmt: skip
    return json.loads(path.read_text())


def run(*line: object) -> None:
    """Run one command of vla-ros; its exit code may say that a rate is low."""
    text = ['vla-ros', *map(str, line)]
    print(' '.join(text), flush=True)
    subprocess.run(text, check=False, stdout=subprocess.DEVNULL)


def show(
    found: dict[tuple[str, int], dict[str, float]], base: dict, args: argparse.Namespace
) -> None:
    """Print a table, and draw errors on held-out episodes beside the share of pushes met."""
    figure, (errors, rates) = plt.subplots(1, 2, figsize=(9, 3.6), layout='constrained')
    for k, method in enumerate(METHODS):
        rows = [found[method, count] for count in COUNTS]
        beside = [count * 1.06 ** (k - 1) for count in COUNTS]
        errors.plot(beside, [row[OFF] for row in rows], marker='o', label=METHODS[method])
        at = [100 * row['success_rate'] for row in rows]
        low, high = ([100 * row['wilson_95'][end] for row in rows] for end in (0, 1))
        bars = [
            [rate - end for rate, end in zip(at, low, strict=True)],
            [end - rate for rate, end in zip(at, high, strict=True)],
        ]
        rates.errorbar(beside, at, bars, marker='o', capsize=3, label=METHODS[method])
        print(' | '.join((METHODS[method], *(f'{r[OFF]:.3f}, {r["successes"]}' for r in rows))))
    known = found['lora', COUNTS[-1]]
    print(f'the base: {known[BASE_OFF]:.3f}, {base["successes"]}; still: {known[STILL_OFF]:.3f}')
    errors.axhline(known[BASE_OFF], color='grey', ls='--', label='the base')
    errors.axhline(known[STILL_OFF], color='grey', ls=':', label='holding still')
    errors.set(ylabel='error on held-out episodes, rad/s', ylim=(0, None))
    rates.set(ylabel='pushes met, % (bars: 95 %)', ylim=(-3, 103))
    for axes in (errors, rates):
        axes.set(xscale='log', xlabel='episodes of pushing', xticks=COUNTS, xticklabels=COUNTS)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize='small')
    figure.suptitle('A task that the base was kept from')
    figure.savefig(args.figure, dpi=150)


if __name__ == '__main__':
    main()
