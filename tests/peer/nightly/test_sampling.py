"""What the computer tells of itself, and what the system says of its network."""

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from dbus_fast import BusType
from dbus_fast.aio import MessageBus
from dbus_fast.service import PropertyAccess, ServiceInterface, dbus_property

from peer.blocking import run_blocking
from peer.nightly import sampling
from peer.nightly.metered import is_metered
from peer.nightly.sampling import LINK_OVERHEAD, Sampler, byte_workers


class NetworkManager(ServiceInterface):
    """As much of it as is asked for."""

    def __init__(self, metered: int) -> None:
        super().__init__("org.freedesktop.NetworkManager")
        self._metered = metered

    @dbus_property(access=PropertyAccess.READ)
    def Metered(self) -> "u":  # noqa: N802, F821 - D-Bus's name and its type
        return self._metered


@pytest.fixture
def system_bus(monkeypatch):
    """A bus of the test's own in the place of the system's."""
    words = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    daemon = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", daemon.stdout.readline().strip())
    yield
    daemon.terminate()
    daemon.wait()
    daemon.stdout.close()


@pytest.mark.parametrize(
    ("told", "metered"), [(0, False), (1, True), (2, False), (3, True), (4, False)]
)
async def test_a_network_is_paid_by_the_byte_when_networkmanager_says_or_guesses_so(
    system_bus, told, metered
):
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.export("/org/freedesktop/NetworkManager", NetworkManager(told))
    await bus.request_name("org.freedesktop.NetworkManager")
    assert await run_blocking(is_metered) is metered
    bus.disconnect()


async def test_without_networkmanager_or_without_a_bus_no_network_is_paid_by_the_byte(
    system_bus, monkeypatch, tmp_path
):
    assert await run_blocking(is_metered) is False
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    assert await run_blocking(is_metered) is False


@pytest.fixture
def counters(monkeypatch):
    """A computer whose counters stand where the test puts them."""
    now = SimpleNamespace(s=0.0, disks={"sda": 0, "sdb": 0}, wire=0, busy=0.0, idle=0.0, ours=0.0)

    def disks(perdisk):
        return {name: SimpleNamespace(busy_time=ms) for name, ms in now.disks.items()}

    def wire(pernic):
        return {"eth0": SimpleNamespace(bytes_sent=now.wire, bytes_recv=0)}

    times = psutil.cpu_times()
    nothing = times._replace(**dict.fromkeys(times._fields, 0.0))

    def cpu():
        return nothing._replace(user=now.busy, idle=now.idle)

    monkeypatch.setattr(psutil, "disk_io_counters", disks)
    monkeypatch.setattr(psutil, "net_io_counters", wire)
    monkeypatch.setattr(psutil, "cpu_times", cpu)
    monkeypatch.setattr(sampling, "_our_cpu_s", lambda: now.ours)
    return now


def test_the_processor_time_that_is_not_ours_is_the_persons(counters):
    sampler = Sampler(lambda: False, lambda: counters.s)
    assert sampler.look().others_cpu == 0, "one look is no difference"
    counters.busy, counters.idle, counters.ours = 6.0, 4.0, 5.0
    assert sampler.look().others_cpu == pytest.approx(0.1)
    counters.busy, counters.idle, counters.ours = 16.0, 4.0, 5.0
    assert sampler.look().others_cpu == pytest.approx(1.0)


def test_the_busiest_disk_counts(counters):
    sampler = Sampler(lambda: False, lambda: counters.s)
    sampler.look()
    counters.s, counters.disks = 2.0, {"sda": 1500, "sdb": 200, "stick": 9000}
    assert sampler.look().disk == pytest.approx(0.75), "of a new one nothing is known yet"


def test_what_the_links_carried_is_not_the_persons(counters):
    sampler = Sampler(lambda: False, lambda: counters.s)
    sampler.look(carried=0)
    counters.s, counters.wire = 2.0, 1_000_000
    assert sampler.look(carried=1_000_000).others_network == 0
    counters.s, counters.wire = 4.0, 4_000_000
    ours = 1_000_000 * LINK_OVERHEAD
    assert sampler.look(carried=2_000_000).others_network == pytest.approx((3_000_000 - ours) / 2)


def test_this_computer_can_be_looked_at():
    sampler = Sampler()
    sampler.look()
    sample = sampler.look()
    assert 0 <= sample.others_cpu <= 1
    assert 0 <= sample.disk <= 1
    assert sample.others_network >= 0


def test_the_byte_work_is_known_by_its_module_and_its_children_are_found_too():
    child = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'input()', 'peer.backup.worker'])"
    )
    engine = subprocess.Popen([sys.executable, "-c", child, "peer.engine"], stdin=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 10
        while len(found := byte_workers()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert {process.pid for process in found} >= {engine.pid}
        assert other.pid not in {process.pid for process in found}
        assert len(found) == 2
    finally:
        for process in (engine, other):
            process.communicate(b"\n")
