"""Windows: Explorer's context menu by the registry, and a task at logon. Nobody has tried it.

Both are files that the system's own tools take in: `reg import` and `schtasks`. Windows 11 shows
the entries under "Show more options". Explorer starts one process for each selected thing.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from gui.integration import quoting
from gui.integration.plan import ENTRIES, Command, Entry, Part, Piece

TASK = "Covey agent"
_CLASSES = r"HKEY_CURRENT_USER\Software\Classes"
_TASKS = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_UTF16 = "utf-16-le"
_BOM = "\ufeff"


def explorer(folder: Path, command: Command) -> Part:
    """Entries for files and for folders; `folder` keeps the texts that were taken in."""
    added, removed = folder / "covey-menu.reg", folder / "covey-menu-remove.reg"
    return Part(
        "explorer",
        "Explorer",
        (Piece(added, registry(command)), Piece(removed, registry_without())),
        tried=False,
        after=(("reg", "import", str(added)),),
        after_removal=tuple(("reg", "delete", key, "/f") for key in _keys()),
    )


def login(folder: Path, command: Command) -> Part:
    """The task."""
    path = folder / "covey-agent.xml"
    return Part(
        "login",
        "Start at login",
        (Piece(path, task(command)),),
        tried=False,
        after=(("schtasks", "/Create", "/TN", TASK, "/XML", str(path), "/F"),),
        after_removal=(("schtasks", "/Delete", "/TN", TASK, "/F"),),
    )


def registry(command: Command) -> bytes:
    """The registry file that adds the entries."""
    lines: list[str] = []
    for entry in ENTRIES:
        for key in _keys_of(entry):
            line = f'{quoting.for_windows(command.chosen(entry.key))} "%1"'
            lines += [
                f"[{key}]",
                f"@={_quoted(entry.name)}",
                '"MultiSelectModel"="Player"',
                "",
                f"[{key}\\command]",
                f"@={_quoted(line)}",
                "",
            ]
    return _registry_file(lines)


def registry_without() -> bytes:
    """The registry file that takes them away."""
    return _registry_file([f"[-{key}]" for key in _keys()] + [""])


def task(command: Command) -> bytes:
    """The task's XML, in UTF-16 as the Task Scheduler writes it."""
    root = ET.Element("Task", version="1.2", xmlns=_TASKS)
    about = ET.SubElement(root, "RegistrationInfo")
    ET.SubElement(about, "Description").text = "Covey, backups to friends"
    trigger = ET.SubElement(ET.SubElement(root, "Triggers"), "LogonTrigger")
    ET.SubElement(trigger, "Enabled").text = "true"
    principal = ET.SubElement(ET.SubElement(root, "Principals"), "Principal", id="Author")
    ET.SubElement(principal, "LogonType").text = "InteractiveToken"
    ET.SubElement(principal, "RunLevel").text = "LeastPrivilege"
    settings = ET.SubElement(root, "Settings")
    for name, text in (
        ("MultipleInstancesPolicy", "IgnoreNew"),
        ("DisallowStartIfOnBatteries", "false"),
        ("StopIfGoingOnBatteries", "false"),
        ("StartWhenAvailable", "true"),
        ("ExecutionTimeLimit", "PT0S"),
        ("Priority", "7"),
    ):
        ET.SubElement(settings, name).text = text
    run = ET.SubElement(ET.SubElement(root, "Actions", Context="Author"), "Exec")
    program, *arguments = command.to("agent")
    ET.SubElement(run, "Command").text = program
    ET.SubElement(run, "Arguments").text = quoting.for_windows(arguments)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'{_BOM}<?xml version="1.0" encoding="UTF-16"?>\n{text}\n'.encode(_UTF16)


def _keys() -> list[str]:
    return [key for entry in ENTRIES for key in _keys_of(entry)]


def _keys_of(entry: Entry) -> list[str]:
    return [f"{_CLASSES}\\{kind}\\shell\\Covey.{entry.key}" for kind in ("*", "Directory")]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _registry_file(lines: list[str]) -> bytes:
    text = "\r\n".join(["Windows Registry Editor Version 5.00", "", *lines])
    return f"{_BOM}{text}\r\n".encode(_UTF16)
