"""How each kind of harm is done, and how it is repaired."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from lifecycle_msgs.msg import Transition
from rclpy.publisher import Publisher
from std_msgs.msg import Float64MultiArray, String

from vla_ros.ros import qos
from vla_ros.ros.faults import faulty_sim, partition, swing
from vla_ros.ros.faults.fault import Inject
from vla_ros.ros.faults.rig import Rig

SLOW_S = (0.5, 1.0, 2.0, 5.0, 10.0)
FLOOD_S, FLOOD_TURN_S, FLOOD_HZ = 5.0, 0.5, 1000


def says(instruction: str) -> Inject:
    """Tell the swinging policy how to misbehave."""
    return lambda rig: rig.say(instruction)


def spoils(fault: str) -> Inject:
    """Let sensors or clock of the simulated arm fail."""
    return lambda rig: rig.spoil(fault)


def signals(process: str, number: int) -> Inject:
    """Send a signal to a process."""
    return lambda rig: rig.signal(process, number)


def changes(process: str, *transitions: int) -> Inject:
    """Ask a lifecycle node for transitions, one after the other."""

    def inject(rig: Rig) -> int:
        now_ns = time.monotonic_ns()
        for transition in transitions:
            rig.change_state(process, transition)
        return now_ns

    return inject


def restarts(process: str) -> Callable[[Rig], None]:
    """Start a process again."""
    return lambda rig: rig.restart(process)


def swing_again(rig: Rig) -> None:
    """End an inference that goes on, and say what to do."""
    rig.signal(qos.POLICY_NODE, signal.SIGUSR1)
    rig.session.say(swing.SWING)


def start_thread_again(rig: Rig) -> None:
    """Give the policy a new inference thread."""
    rig.change_state(qos.POLICY_NODE, Transition.TRANSITION_DEACTIVATE)
    rig.change_state(qos.POLICY_NODE, Transition.TRANSITION_ACTIVATE)


def heal(rig: Rig) -> None:
    """Repair sensors and clock of the simulated arm."""
    rig.spoil(faulty_sim.HEALTHY)


def nothing(rig: Rig) -> None:
    """Repair nothing: bringing the arm back to speed is enough."""


def think_slowly(rig: Rig) -> int:
    """Let the policy think for half a second, a second, … ten seconds, in turn."""
    rig.turn += 1
    return rig.say(f'{swing.SLOW}{SLOW_S[rig.turn % len(SLOW_S)]}')


def unplug(rig: Rig) -> int:
    """Cut the policy's network."""
    del rig
    partition.connect(False)
    return time.monotonic_ns()  # starting `ip` took a while


def plug_in(rig: Rig) -> None:
    """Connect the policy again."""
    del rig
    partition.connect(True)


def press_stop(rig: Rig) -> int:
    """Call the guard's stop service."""
    now_ns = time.monotonic_ns()
    rig.session.trigger(qos.STOP_SERVICE)
    return now_ns


def add_rival(rig: Rig) -> int:
    """Be a second publisher on the command topic, without a word."""
    topic = rig.arm.velocity_topic()
    rig.rival = rig.session.node.create_publisher(Float64MultiArray, topic, qos.COMMAND)
    return time.monotonic_ns()


def remove_rival(rig: Rig) -> None:
    """Leave the command topic to the guard."""
    if rig.rival:
        rig.session.node.destroy_publisher(rig.rival)


def flood(rig: Rig) -> int:
    """Say the instruction a thousand times a second, half of the time.

    The other half shows how even the control period is on this machine when nobody floods it.
    """
    node, began_ns = rig.session.node, time.monotonic_ns()
    publisher = node.create_publisher(String, qos.INSTRUCTION_TOPIC, qos.INSTRUCTION)
    rig.calm_s, rig.flooded_s = [], []
    for _ in range(round(FLOOD_S / FLOOD_TURN_S)):
        now_ns = time.monotonic_ns()
        rig.session.spin(FLOOD_TURN_S)
        rig.calm_s += rig.commands.periods_s(now_ns)
        now_ns = time.monotonic_ns()
        thread = threading.Thread(target=_say_fast, args=(publisher, now_ns), daemon=True)
        thread.start()
        rig.session.spin_until(lambda t=thread: not t.is_alive(), 10 * FLOOD_TURN_S)
        thread.join()
        rig.flooded_s += rig.commands.periods_s(now_ns)
    node.destroy_publisher(publisher)
    return began_ns


def _say_fast(publisher: Publisher[String], began_ns: int) -> None:
    message = String(data=swing.SWING)
    for k in range(round(FLOOD_TURN_S * FLOOD_HZ)):
        publisher.publish(message)
        due_s = began_ns * 1e-9 + (k + 1) / FLOOD_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
