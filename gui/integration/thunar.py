"""Thunar: custom actions, all in one file that is the person's.

A file of one's own replaces the system's whole, so a person who has none begins with a copy of the
system's: otherwise its entries would vanish from the menu. An open Thunar shows changes after
`thunar -q`, or the next login.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from gui.integration import quoting
from gui.integration.plan import ENTRIES, Command, Part, Places, Shared
from gui.integration.plan import Entry as MenuEntry

FILE = "Thunar/uca.xml"
BYTES_MAX = 1 << 20
"""A list of actions that is longer is not one."""
_IDS = {"mark": "covey-mark-1", "unmark": "covey-unmark-1"}
_KINDS = (
    *("directories", "audio-files", "image-files", "other-files", "text-files", "video-files"),
)


def part(places: Places, command: Command) -> Part:
    """The two actions."""
    shared = Shared(
        places.config / FILE,
        places.system_config / FILE,
        lambda old: with_actions(old, command),
        without_actions,
    )
    return Part("thunar", "Thunar", (shared,))


def with_actions(old: bytes | None, command: Command) -> bytes:
    """The file with Covey's actions, once; ValueError when it is no list of actions."""
    root = _read(old)
    _take(root)
    for entry in ENTRIES:
        root.append(_action(entry, command))
    return _written(root)


def without_actions(old: bytes) -> bytes:
    """The file without Covey's actions; ValueError when it is no list of actions."""
    root = _read(old)
    return _written(root) if _take(root) else old


def _read(old: bytes | None) -> ET.Element:
    if old is None:
        return ET.Element("actions")
    if len(old) > BYTES_MAX or b"<!ENTITY" in old:
        raise ValueError("it is no list of actions")
    try:
        parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
        root = ET.fromstring(old, parser)
    except ET.ParseError as error:
        raise ValueError(f"it is no XML ({error})") from None
    if root.tag != "actions":
        raise ValueError("it is no list of actions")
    return root


def _take(root: ET.Element) -> bool:
    ours = [one for one in root.findall("action") if one.findtext("unique-id") in _IDS.values()]
    for one in ours:
        root.remove(one)
    return bool(ours)


def _action(entry: MenuEntry, command: Command) -> ET.Element:
    action = ET.Element("action")
    for name, text in (
        ("icon", entry.icon),
        ("name", entry.name),
        ("submenu", ""),
        ("unique-id", _IDS[entry.key]),
        ("command", f"{quoting.for_action(command.chosen(entry.key))} %F"),
        ("description", entry.hint),
        ("range", ""),
        ("patterns", "*"),
    ):
        ET.SubElement(action, name).text = text
    for kind in _KINDS:
        ET.SubElement(action, kind)
    return action


def _written(root: ET.Element) -> bytes:
    ET.indent(root, "\t")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, "unicode")}\n'.encode()
