"""The agent from login on: a systemd user unit, and XDG autostart for sessions without systemd.

Where both are honoured the second agent finds the first and ends: there is one for each folder. The
unit is also why the agent can show emblems and messages: it has the session's bus.
"""

from __future__ import annotations

from gui.integration import quoting
from gui.integration.plan import ICON, Command, Link, Part, Piece, Places

UNIT = "covey-agent.service"
_RELOAD = ("systemctl", "--user", "daemon-reload")


def part(places: Places, command: Command) -> Part:
    """The unit, that it is wanted at login, and the autostart entry."""
    units = places.config / "systemd" / "user"
    return Part(
        "login",
        "Start at login",
        (
            Piece(places.config / "autostart" / "covey-agent.desktop", _entry(command)),
            Piece(units / UNIT, _unit(command)),
            Link(units / "default.target.wants" / UNIT, f"../{UNIT}"),
        ),
        after=(_RELOAD,),
        after_removal=(_RELOAD,),
    )


def _entry(command: Command) -> bytes:
    return f"""[Desktop Entry]
Type=Application
Version=1.0
Name=Covey
Comment=Backs up to your friends at night
Exec={quoting.for_desktop_entry(command.to("agent"))}
Icon={ICON}
Terminal=false
NoDisplay=true
X-systemd-skip=true
""".encode()


def _unit(command: Command) -> bytes:
    return f"""[Unit]
Description=Covey, backups to friends

[Service]
ExecStart={quoting.for_systemd(command.to("agent"))}
Restart=on-failure
RestartSec=60
Nice=5

[Install]
WantedBy=default.target
""".encode()
