"""The rules of the house that no other tool checks, and the arrows between the folders.

Each rule has a self-test below: a rule that finds nothing in a bad example protects nobody.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import peer

ROOT = Path(__file__).parents[1]
PACKAGES = ("chunking", "datachannel", "signaling", "peer", "gui", "netsim")
LINES_MAX = 450

# Whole-module names and calls that only these files may use: each big library has one home, and
# the clock and chance of the system enter at the composition root.
HOMES: dict[str, tuple[str, ...]] = {
    "zfec": ("chunking/erasure.py",),
    "fastcdc": ("chunking/chunker.py",),
    "aiortc": ("datachannel/webrtc", "datachannel/aiortc_fixes"),
    "aioice": ("datachannel/webrtc", "datachannel/aiortc_fixes"),
    "aiolibdatachannel": ("datachannel/libdatachannel",),
    "aiohttp": (
        "datachannel/server_socket.py",
        "signaling/server.py",
        "signaling/main.py",
        "peer/api.py",
        "peer/finding/",
        "gui/web/",
    ),
    "async_upnp_client": ("peer/finding/upnp.py",),
    "zeroconf": ("peer/finding/mdns.py",),
    "tinydb": ("signaling/stores/file.py",),
    "prometheus_client": ("signaling/metrics.py",),
    "redis": ("signaling/stores/shared.py",),
    "click": ("peer/cli/", "gui/verbs", "netsim/verbs"),
    "rich": ("peer/cli/", "gui/verbs", "netsim/verbs"),
    "babel": ("gui/words.py",),
    "desktop_notifier": ("peer/nightly/notify.py",),
    "webview": ("gui/window/window.py",),
    "fpdf": ("gui/web/sheet.py",),
    "segno": ("gui/web/sheet.py",),
    "keyring": ("peer/state.py",),
    "pathspec": ("peer/backup/ignore.py",),
    "mnemonic": ("peer/words.py",),
    "zxcvbn": ("peer/cli/asking.py",),
    "struct": ("chunking/", "datachannel/aiortc_fixes", "peer/pipes.py"),
}
BANNED_CALLS = {
    "asyncio.get_event_loop": "asyncio.get_running_loop",
    "datetime.now": "take `now`",
    "datetime.utcnow": "take `now`",
    "os.system": "nothing here runs a shell",
    "eval": "nothing here is evaluated",
    "exec": "nothing here is evaluated",
    "pickle.loads": "msgspec, with a type",
    "tempfile.mktemp": "tempfile.mkstemp",
}
SPAWNERS = {"asyncio.create_task", "asyncio.ensure_future", "loop.create_task"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError\(\)")


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


every_source = pytest.mark.parametrize("path", sources(), ids=names(sources()))


def imports_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def dotted(node: ast.AST) -> str:
    """The last two parts of a called name: `asyncio.create_task`, `eval`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        last = node.value
        before = last.attr if isinstance(last, ast.Attribute) else getattr(last, "id", "")
        return f"{before}.{node.attr}"
    return ""


def strangers(tree: ast.AST, place: str) -> list[str]:
    """Libraries that are imported away from their home."""
    return [
        f"line {line}: {name} belongs to {' and '.join(HOMES[name])}"
        for line, name in imports_of(tree)
        if name in HOMES and not place.startswith(HOMES[name])
    ]


def banned(tree: ast.AST, _: str) -> list[str]:
    return [
        f"line {node.lineno}: {dotted(node.func)}: {BANNED_CALLS[dotted(node.func)]}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) in BANNED_CALLS
    ]


def forgotten_tasks(tree: ast.AST, _: str) -> list[str]:
    """Tasks that are spawned in a bare statement: the loop may drop them, and nobody ends them."""
    return [
        f"line {node.lineno}: keep the task, or spawn it in a TaskGroup"
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and dotted(node.value.func) in SPAWNERS
    ]


def silent_handlers(tree: ast.AST, _: str) -> list[str]:
    """`except:` and `except Exception: pass`, which hide our own mistakes."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            found.append(f"line {node.lineno}: name what is caught")
        elif dotted(node.type) in ("Exception", "BaseException") and all(
            isinstance(statement, ast.Pass) for statement in node.body
        ):
            found.append(f"line {node.lineno}: an error vanishes here")
    return found


def undocumented(tree: ast.AST, place: str) -> list[str]:
    assert isinstance(tree, ast.Module)
    return [] if ast.get_docstring(tree) else [f"{place} does not say what it is for"]


Rule = Callable[[ast.AST, str], list[str]]
RULES: list[Rule] = [strangers, banned, forgotten_tasks, silent_handlers, undocumented]


@every_source
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_source_keeps_the_rule(path: Path, rule: Rule):
    place = path.relative_to(ROOT).as_posix()
    assert rule(ast.parse(path.read_text("utf-8")), place) == []


@every_source
def test_a_source_fits_a_readers_head(path: Path):
    assert len(path.read_text("utf-8").splitlines()) <= LINES_MAX


def test_nothing_is_left_unfinished():
    here = Path(__file__)
    places = [*sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    places += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile"]
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in places
        if path != here
        for line in path.read_text("utf-8").splitlines()
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_every_packaged_folder_says_what_it_is():
    assert [name for name in PACKAGES if not (ROOT / name / "__init__.py").exists()] == []


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert peer.__version__ == project["version"]


@pytest.mark.slow
def test_the_arrows_between_the_folders_go_one_way():
    program = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (strangers, "import zfec", "import zlib"),
        (strangers, "from aiortc.rtcsctptransport import X", "from chunking import erasure"),
        (banned, "asyncio.get_event_loop()", "asyncio.get_running_loop()"),
        (banned, "datetime.datetime.now()", "datetime.datetime.fromtimestamp(1)"),
        (forgotten_tasks, "asyncio.create_task(f())", "task = asyncio.create_task(f())"),
        (silent_handlers, "try: f()\nexcept: g()", "try: f()\nexcept ValueError: pass"),
        (silent_handlers, "try: f()\nexcept Exception: pass", "try: f()\nexcept Exception: g()"),
        (undocumented, "x = 1", '"""What it is for."""'),
    ],
)
def test_a_rule_finds_what_it_is_for(rule: Rule, bad: str, good: str):
    assert rule(ast.parse(bad), "peer/node.py")
    assert rule(ast.parse(good), "peer/node.py") == []
