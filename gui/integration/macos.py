"""macOS: Finder's Quick Actions, and a launch agent. Written to their formats; nobody has tried it.

A Quick Action is a bundle of two property lists in ~/Library/Services: what Finder offers it for,
and Automator's document with one action that runs a shell script with the selected paths.
"""

from __future__ import annotations

import plistlib
import uuid
from pathlib import Path

from gui.integration import quoting
from gui.integration.plan import ENTRIES, Command, Entry, Part, Piece

LABEL = "org.covey.agent"
_FILES = "com.apple.Automator.fileSystemObject"
_TEXTS = {"Container": "List", "Types": ["com.apple.cocoa.string"]}
_AS_ARGUMENTS = 1
_OURS = uuid.uuid5(uuid.NAMESPACE_DNS, "covey.invalid")


def finder(home: Path, command: Command) -> Part:
    """The two Quick Actions."""
    pieces: list[Piece] = []
    folders: list[Path] = []
    for entry in ENTRIES:
        bundle = home / "Library" / "Services" / f"{entry.name}.workflow"
        inner = bundle / "Contents"
        pieces.append(Piece(inner / "Info.plist", plistlib.dumps(_offered(entry))))
        pieces.append(Piece(inner / "document.wflow", plistlib.dumps(_workflow(entry, command))))
        folders += [inner, bundle]
    return Part("finder", "Finder", tuple(pieces), tried=False, folders=tuple(folders))


def login(home: Path, command: Command) -> Part:
    """The launch agent."""
    path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    job = {
        "Label": LABEL,
        "ProgramArguments": list(command.to("agent")),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 60,
        "ProcessType": "Background",
        "LowPriorityIO": True,
    }
    return Part(
        "login",
        "Start at login",
        (Piece(path, plistlib.dumps(job)),),
        tried=False,
        after=(("launchctl", "load", "-w", str(path)),),
        after_removal=(("launchctl", "remove", LABEL),),
    )


def _offered(entry: Entry) -> dict[str, object]:
    service = {
        "NSMenuItem": {"default": entry.name},
        "NSMessage": "runWorkflowAsService",
        "NSRequiredContext": {"NSApplicationIdentifier": "com.apple.finder"},
        "NSSendFileTypes": ["public.item"],
    }
    return {"NSServices": [service]}


def _workflow(entry: Entry, command: Command) -> dict[str, object]:
    return {
        "AMApplicationBuild": "523",
        "AMApplicationVersion": "2.10",
        "AMDocumentVersion": "2",
        "actions": [{"action": _shell_script(entry, command), "isViewVisible": 1}],
        "connectors": {},
        "workflowMetaData": {
            "serviceInputTypeIdentifier": _FILES,
            "serviceOutputTypeIdentifier": "com.apple.Automator.nothing",
            "serviceApplicationBundleID": "com.apple.finder",
            "serviceProcessesInput": 0,
            "workflowTypeIdentifier": "com.apple.Automator.servicesMenu",
        },
    }


def _shell_script(entry: Entry, command: Command) -> dict[str, object]:
    return {
        "AMAccepts": {**_TEXTS, "Optional": True},
        "AMActionVersion": "2.0.3",
        "AMApplication": ["Automator"],
        "AMParameterProperties": {
            name: {}
            for name in (
                *("COMMAND_STRING", "CheckedForUserDefaultShell", "inputMethod", "shell", "source"),
            )
        },
        "AMProvides": _TEXTS,
        "ActionBundlePath": "/System/Library/Automator/Run Shell Script.action",
        "ActionName": "Run Shell Script",
        "ActionParameters": {
            "COMMAND_STRING": f'exec {quoting.for_shell(command.chosen(entry.key))} "$@"',
            "CheckedForUserDefaultShell": True,
            "inputMethod": _AS_ARGUMENTS,
            "shell": "/bin/sh",
            "source": "",
        },
        "BundleIdentifier": "com.apple.RunShellScript",
        "CFBundleVersion": "2.0.3",
        "CanShowSelectedItemsWhenRun": False,
        "CanShowWhenRun": True,
        "Category": ["AMCategoryUtilities"],
        "Class Name": "RunShellScriptAction",
        "InputUUID": _id(entry, "input"),
        "OutputUUID": _id(entry, "output"),
        "UUID": _id(entry, "action"),
        "UnlocalizedApplications": ["Automator"],
        "arguments": {},
        "isViewVisible": 1,
    }


def _id(entry: Entry, what: str) -> str:
    return str(uuid.uuid5(_OURS, f"{entry.key} {what}")).upper()
