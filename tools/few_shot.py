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
    """Adapt by a method on so many episodes; return what the evaluation says."""
    folder = args.output / f'{method}-{count}'
    if not (folder / 'manifest.json').is_file():
        run(
            'adapt', '--base', args.base, '--data', args.data, '--output', folder,
            '--method', method, '--episodes', count, '--steps', args.steps, '--threads', 1,
            '--learning-rate', LEARNING_RATE, '--force',
        )  # fmt: skip
    return judge(args, folder, args.output / f'{method}-{count}.json')


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
    """Print a table and draw a figure."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout='constrained')
    for k, method in enumerate(METHODS):
        rows = [found[method, count] for count in COUNTS]
        rates = [100 * row['success_rate'] for row in rows]
        low, high = ([100 * row['wilson_95'][k] for row in rows] for k in (0, 1))
        errors = [
            [rate - at for rate, at in zip(rates, low, strict=True)],
            [at - rate for rate, at in zip(rates, high, strict=True)],
        ]
        beside = [count * 1.06 ** (k - 1) for count in COUNTS]
        axes.errorbar(beside, rates, errors, marker='o', capsize=3, label=METHODS[method])
        cells = ' | '.join(f'{row["successes"]} of {args.trials}' for row in rows)
        print(f'| {METHODS[method]} | {cells} |')
    print(f'| the base | {base["successes"]} of {args.trials} |')
    axes.axhline(100 * base['success_rate'], color='grey', ls='--', label='the base, unadapted')
    axes.set(
        xscale='log', xticks=COUNTS, xticklabels=[str(count) for count in COUNTS], ylim=(-3, 103),
        xlabel='episodes of pushing', ylabel='pushes met, % (bars: 95 %)',
        title='A task that the base was kept from',
    )  # fmt: skip
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize='small')
    figure.savefig(args.figure, dpi=150)


if __name__ == '__main__':
    main()
