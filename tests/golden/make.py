"""Write the golden files: `python -m tests.golden.make`, from the top of the repository.

For a new format or a new version of one, never to make a failing test pass: a golden file that
changes is a backup that can no longer be read. Files that are there already are left alone.
"""

from __future__ import annotations

from pathlib import Path

from tests.golden import samples


def main() -> None:
    """Write what is missing, and say so."""
    folder = Path(__file__).parent
    for name, data in {**samples.binary_files(), "keys.json": samples.key_vectors_file()}.items():
        path = folder / name
        if not path.exists():
            path.write_bytes(data)
            print(f"{name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
