"""What runs in the public segment: the project's own `covey serve`, and a real coturn.

coturn runs with the configuration that operators get (deploy/), made to relay between the addresses
of this lab, which are no real ones. It takes TURN over UDP and TCP at port 3478, and over TLS at
port 443, where strict offices let it through, with a certificate of the lab's own authority.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from netsim.lab.certificates import make_certificates
from netsim.lab.network import (
    SERVER_IPV4,
    SERVER_IPV6,
    SIGNAL_NAME,
    TURN_NAME,
    Network,
)
from netsim.lab.spaces import LabError

START_S_MAX = 20.0
TURN_PORT, TURN_TLS_PORT = 3478, 443
TURN_URLS = (
    f"turn:{TURN_NAME}:{TURN_PORT}?transport=udp",
    f"turn:{TURN_NAME}:{TURN_PORT}?transport=tcp",
    f"turns:{TURN_NAME}:{TURN_TLS_PORT}?transport=tcp",
)
SIGNAL_URL = f"http://{SIGNAL_NAME}"
ROOT = Path(__file__).parents[2]
COTURN_START = ROOT / "deploy" / "coturn-start"
ALONE = {"COVEY_LAN": "off", "COVEY_MAP_PORTS": "off", "PYTHONPATH": str(ROOT)}
"""Members of the lab find nothing but its servers, and run from this checkout wherever they are."""


@dataclass(frozen=True, slots=True)
class Public:
    """The servers, and what a member needs in its environment to use them."""

    url: str
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def public_servers(lab: Network, folder: Path, *, relay: bool = True) -> Iterator[Public]:
    """The signaling server and coturn while the context lasts; logs and keys lie in `folder`.

    Without `relay` there is a STUN server only. Raises LabError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = make_certificates(folder, TURN_NAME)
    secret = folder / "turn.secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(24) + "\n")
    coturn_env = {
        "RUNTIME_DIRECTORY": str(folder),
        "TURN_SECRET_FILE": str(secret),
        "TURN_IP": SERVER_IPV4,
        "TURN_CERT": str(made.certificate),
        "TURN_KEY": str(made.key),
        "COVEY_DOMAIN": "covey.test",
    }
    coturn = (
        *(str(COTURN_START), f"--listening-port={TURN_PORT}"),
        *(f"--tls-listening-port={TURN_TLS_PORT}", f"--listening-ip={SERVER_IPV6}"),
        "--allowed-peer-ip=203.0.113.0-203.0.113.255",  # the lab's homes
    )
    serve = [sys.executable, "-m", "peer", "serve", "--host", "", "--port", "80"]
    serve += ["--name", SIGNAL_NAME, "--data", str(folder / "server")]
    if relay:
        serve += ["--turn-secret-file", str(secret)]
        serve += [part for url in TURN_URLS for part in ("--turn", url)]
    else:
        serve += ["--stun", f"stun:{TURN_NAME}:{TURN_PORT}"]
    with ExitStack() as stack:
        log = stack.enter_context((folder / "coturn.log").open("wb"))
        running = stack.enter_context(
            lab.public.running(*coturn, env=coturn_env, stdout=log, stderr=log)
        )
        _wait_for_port(lab, running, TURN_PORT, folder / "coturn.log")
        log = stack.enter_context((folder / "signal.log").open("wb"))
        server = stack.enter_context(lab.public.running(*serve, stdout=subprocess.PIPE, stderr=log))
        assert server.stdout is not None
        if not server.stdout.readline().startswith(b"http"):
            raise LabError(f"covey serve says: {(folder / 'signal.log').read_text()[-500:]}")
        yield Public(SIGNAL_URL, {"SSL_CERT_FILE": str(made.authority)} | ALONE)


def _wait_for_port(lab: Network, running: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX  # noqa: TID251 - real processes have a real clock
    while f":{port} " not in lab.public.run("ss", "-Hlnt"):
        if running.poll() is not None or time.monotonic() > deadline:  # noqa: TID251
            raise LabError(f"coturn does not start: {log.read_text()[-500:]}")
        time.sleep(0.05)
