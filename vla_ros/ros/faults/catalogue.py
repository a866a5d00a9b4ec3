"""Every fault that the suite injects: how, how it is undone, and what has to follow."""

from __future__ import annotations

import signal

from lifecycle_msgs.msg import Transition

from vla_ros.ros import qos
from vla_ros.ros.faults import faulty_sim, inject, swing
from vla_ros.ros.faults.fault import (
    Fault,
    arm_rests,
    brakes_and_exits,
    guard_exits,
    guard_falls_silent,
    stays_when_continued,
    ticks_as_before,
)
from vla_ros.ros.faults.inject import changes, restarts, says, signals, spoils
from vla_ros.ros.faults.rig import Setup
from vla_ros.ros.faults.verdict import EXIT_S
from vla_ros.ros.trajectory_player import TRACKING_GAIN_1_S

CAMERA_SILENT_S = 0.2
JOINTS_SILENT_S = 0.12  # 0.1 s and two periods of the simulated arm's guard
AT_ONCE_S = 0.05
CALL_S = 0.1  # a service call, from before it is made
RIVAL_S = 1.0
CLOCK_PAUSED_S = 0.22  # 0.2 s and two periods
FLOODED_S = 0.011  # or a tenth above the undisturbed period, whatever is longer
# What the guard sent last is played to its end, 0.03 s and a stop time of 0.17 s; four time
# constants more until the arm has caught up with it.
PLAYED_S = 0.2 + 4.0 / TRACKING_GAIN_1_S

TRAJECTORY, PARTITION = Setup(output='trajectory'), Setup(partition=True)
SIM_TIME = Setup(sim_time=True)

_POLICY, _GUARD = qos.POLICY_NODE, qos.GUARD_NODE
_DEACTIVATE, _ACTIVATE = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE
_CLEANUP, _CONFIGURE = Transition.TRANSITION_CLEANUP, Transition.TRANSITION_CONFIGURE

_KILL = signals(_POLICY, signal.SIGKILL)
_FREEZE = signals(_POLICY, signal.SIGSTOP)
_GO_ON = signals(_POLICY, signal.SIGCONT)

FAULTS = (
    Fault('policy: kill -9', _KILL, restarts(_POLICY), quick=20),
    Fault('policy: SIGSTOP', _FREEZE, _GO_ON, quick=20),
    Fault('policy: SIGCONT after 1.5 s', _FREEZE, _GO_ON, judge=stays_when_continued, watch_s=1.2),
    *(
        Fault(
            f'policy: {name}',
            signals(_POLICY, number),
            restarts(_POLICY),
            judge=brakes_and_exits,
        )
        for name, number in (('SIGTERM', signal.SIGTERM), ('Ctrl-C', signal.SIGINT))
    ),
    Fault('policy: deactivate', changes(_POLICY, _DEACTIVATE), changes(_POLICY, _ACTIVATE)),
    Fault(
        'policy: cleanup',
        changes(_POLICY, _DEACTIVATE, _CLEANUP),
        changes(_POLICY, _CONFIGURE, _ACTIVATE),
    ),
    Fault(
        'policy: exception', says(swing.EXCEPTION), inject.swing_again, quick=20, inference=True
    ),
    Fault('policy: endless inference', says(swing.ENDLESS), inject.swing_again, inference=True),
    Fault('policy: out of memory', says(swing.OUT_OF_MEMORY), inject.swing_again, inference=True),
    Fault(
        'policy: thread death', says(swing.THREAD_DEATH), inject.start_thread_again, inference=True
    ),
    Fault(
        'policy: inference of 0.5-10 s',
        inject.think_slowly,
        inject.swing_again,
        quick=len(inject.SLOW_S),
        inference=True,
    ),
    Fault('policy: nan', says(swing.NOT_FINITE), inject.swing_again),
    *(
        Fault(f'guard: {name}', signals(_GUARD, number), restarts(_GUARD), EXIT_S, guard_exits)
        for name, number in (('SIGTERM', signal.SIGTERM), ('Ctrl-C', signal.SIGINT))
    ),
    Fault(
        'guard: deactivate',
        changes(_GUARD, _DEACTIVATE),
        changes(_GUARD, _ACTIVATE),
        EXIT_S,
        guard_falls_silent,
    ),
    *(
        Fault(f'camera: {name}', spoils(fault), inject.heal, CAMERA_SILENT_S)
        for name, fault in (
            ('silent', faulty_sim.CAMERA_SILENT),
            ('frozen', faulty_sim.CAMERA_FROZEN),
            ('wrong encoding', faulty_sim.CAMERA_ENCODING),
        )
    ),
    *(
        Fault(f'joint states: {name}', spoils(fault), inject.heal, JOINTS_SILENT_S)
        for name, fault in (
            ('silent', faulty_sim.JOINTS_SILENT),
            ('nan', faulty_sim.JOINTS_NOT_FINITE),
        )
    ),
    Fault('e-stop service', inject.press_stop, inject.nothing, CALL_S, quick=20, watch_s=0.5),
    Fault('second publisher', inject.add_rival, inject.remove_rival, RIVAL_S, room_s=RIVAL_S),
    Fault(
        'instructions at 1 kHz',
        inject.flood,
        inject.nothing,
        FLOODED_S,
        ticks_as_before,
        quick=1,
        full=12,
    ),
    Fault('policy: kill -9, output trajectory', _KILL, restarts(_POLICY), setup=TRAJECTORY),
    Fault(
        'guard: kill -9, output trajectory',
        signals(_GUARD, signal.SIGKILL),
        restarts(_GUARD),
        PLAYED_S,
        arm_rests,
        TRAJECTORY,
    ),
    Fault('policy: network cut', inject.unplug, inject.plug_in, setup=PARTITION),
    *(
        Fault(f'clock: {name}', spoils(fault), inject.heal, limit_s, setup=SIM_TIME)
        for name, fault, limit_s in (
            ('pause', faulty_sim.CLOCK_PAUSED, CLOCK_PAUSED_S),
            ('10 s forward', faulty_sim.CLOCK_FORWARD, AT_ONCE_S),
            ('10 s back', faulty_sim.CLOCK_BACK, AT_ONCE_S),
            ('reset', faulty_sim.CLOCK_RESET, AT_ONCE_S),
        )
    ),
)
