"""What a reading process promises about the chunks of the results that it tells."""

import os

from hypothesis import given
from hypothesis import strategies as st

from chunking.formats import ID_BYTES, PACK_DATA
from chunking.keys import MemberKeys
from peer.backup.messages import FileJob, Recipe
from peer.backup.packer import Packer
from peer.backup.worker import CHANCE_BYTES, ByteWorker, drawn_together
from peer.files import reader


class Engine:
    """Knows nothing at first; remembers what was asked, and when the answers were waited for."""

    def __init__(self) -> None:
        self.claimed: set[bytes] = set()
        self.open = 0
        self.open_most = 0

    def ask(self, ids: bytes):
        asked = [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]
        mask = bytearray()
        for ident in asked:
            mask.append(ident not in self.claimed)
            self.claimed.add(ident)
        self.open += 1
        self.open_most = max(self.open, self.open_most)

        def answer() -> bytes:
            self.open -= 1
            return bytes(mask)

        return answer


def jobs_of(folder, contents):
    for number, content in enumerate(contents):
        path = os.fsencode(folder / str(number))
        (folder / str(number)).write_bytes(content)
        yield FileJob(number, path, reader.stat_root(path))


def test_the_next_files_are_read_while_the_engine_looks_up_and_no_chunk_is_stored_twice(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "spool").mkdir()
    made = []
    recipe = Recipe(b"o" * 32, 1, 2, 1 << 20, str(tmp_path / "spool"))
    packer = Packer(MemberKeys.from_master(b"m" * 32), recipe, PACK_DATA, os.urandom, made.append)
    engine = Engine()
    worker = ByteWorker(packer, engine.ask)
    jobs = list(jobs_of(tmp_path / "files", [b"one", b"two", b"one", b"three", b"two", b"three"]))
    results = []
    for at in range(0, len(jobs), 2):
        results += worker.read(jobs[at : at + 2])
        assert engine.open == 1, "the newest question is open, those before are settled"
    worker.settle()
    assert (engine.open, engine.open_most) == (0, 1)
    worker.flush()
    (pack,) = made
    stored = [pack.chunk_ids[at : at + ID_BYTES] for at in range(0, len(pack.chunk_ids), ID_BYTES)]
    assert sorted(stored) == sorted({result.content.ids for result in results})


@given(sizes=st.lists(st.integers(0, 2 * CHANCE_BYTES), max_size=40))
def test_chance_that_is_drawn_together_is_given_out_once_and_in_full(sizes):
    drawn = bytearray()

    def random_bytes(size):
        drawn.extend(os.urandom(size))
        return bytes(drawn[-size:]) if size else b""

    draw = drawn_together(random_bytes)
    given_out = [draw(size) for size in sizes]
    assert [len(part) for part in given_out] == sizes
    at = 0
    for part in given_out:
        at = drawn.index(part, at) + len(part)
