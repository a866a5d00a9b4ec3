"""Draw docs/guard_states.svg: the state machine of the guard on one page."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from vla_ros.core.guard_config import GuardConfig

BOXES = {
    'INACTIVE': (1.1, 5.2, '#dddddd', 'commands nothing'),
    'READY': (6.2, 5.2, '#cfe8cf', 'at rest, zero every tick'),
    'MOVING': (12.2, 5.2, '#cfe8cf', 'follows the chunk\nwithin the limits'),
    'HOLD': (12.2, 2.0, '#fbe6b3', 'brakes, then zero;\nresumes by itself'),
    'STOP': (6.2, 2.0, '#f5c4c0', 'brakes, then zero;\nlatched, one reason'),
}
ARROWS = (  # from, to, where the text is, and on which side of that point
    (
        (2.2, 5.45),
        (5.1, 5.45),
        (3.65, 5.53),
        'above',
        'activate: fresh joint states\nwithin limits, a controller,\nno rival, e-stop released',
    ),
    (
        (5.1, 4.95),
        (2.2, 4.95),
        (3.65, 4.87),
        'below',
        'deactivate, SIGINT, SIGTERM\n(from any state): ramp to\nzero, then five zeros',
    ),
    ((7.3, 5.45), (11.1, 5.45), (9.2, 5.53), 'above', 'chunk of a new observation'),
    ((11.1, 4.95), (7.3, 4.95), (9.2, 4.87), 'below', 'chunk of zeros'),
    (
        (12.5, 4.6),
        (12.5, 2.6),
        (12.65, 3.6),
        'right',
        f'chunk over; none for {GuardConfig.chunk_hold_s:g} s;\n'
        'chunk refused; clock jumped\nor paused; no controller;\nguard held up',
    ),
    ((11.9, 2.6), (11.9, 4.6), (11.75, 3.6), 'left', 'a good chunk of\na new observation'),
    ((11.1, 2.0), (7.3, 2.0), (9.2, 2.08), 'above', 'no chunk for 1 s'),
    (
        (6.5, 4.6),
        (6.5, 2.6),
        (6.65, 3.6),
        'right',
        'from any state: a joint silent for\n'
        '0.1 s or NaN; 3 bad chunks in a row;\n> 20 % of a second beyond limits;\n'
        '/vla/stop; e-stop; empty instruction;\nrival publisher',
    ),
    (
        (5.9, 2.6),
        (5.9, 4.6),
        (5.75, 3.6),
        'left',
        '/vla/rearm: at rest,\nfresh joint states within\nlimits, e-stop released',
    ),
)
SIDES = {
    'right': ('left', 'center'),
    'left': ('right', 'center'),
    'above': ('center', 'bottom'),
    'below': ('center', 'top'),
}


def draw(path: Path) -> None:
    """Write the picture; the suffix of the path says in which format."""
    plt.rcParams |= {'svg.hashsalt': 'guard', 'svg.fonttype': 'none'}
    figure, axes = plt.subplots(figsize=(15, 6.2))
    for name, (x, y, colour, what) in BOXES.items():
        axes.add_patch(
            matplotlib.patches.FancyBboxPatch(
                (x - 1.0, y - 0.5), 2.0, 1.0, boxstyle='round,pad=0.08', fc=colour, ec='#444444'
            )
        )
        axes.text(x, y + 0.24, name, ha='center', va='center', weight='bold', size=12)
        axes.text(x, y - 0.2, what, ha='center', va='center', size=9)
    for start, end, place, side, text in ARROWS:
        axes.annotate('', end, start, arrowprops={'arrowstyle': '-|>', 'color': '#444444'})
        horizontal, vertical = SIDES[side]
        axes.text(*place, text, ha=horizontal, va=vertical, size=9)
    axes.set_xlim(0, 15.2)
    axes.set_ylim(1.2, 6.9)
    axes.axis('off')
    figure.savefig(
        path, bbox_inches='tight', metadata={'Date': None} if path.suffix == '.svg' else None
    )
    plt.close(figure)


if __name__ == '__main__':
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else 'docs/guard_states.svg'))
