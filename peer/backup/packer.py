"""Chunks in, packs out: sealing, packing, erasure coding, and the spool file of each pack.

A spool file holds the shares' payloads one after the other, share 0 first, so its first bytes are
the pack itself (zero-padded). It appears under its final name only when it is whole; the catalog
learns of it after that, and the agent deletes it when its shares are where they belong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from chunking.formats import ID_BYTES, NONCE_BYTES, ChunkId
from chunking.keys import MemberKeys
from chunking.pack import Pack, PackWriter
from chunking.seal import Sealer
from chunking.share import make_shares
from peer.backup.messages import PackMade, Recipe
from peer.ports import RandomBytes


def is_pack_file(path: Path) -> bool:
    """Whether a file of the spool is named like a whole pack's."""
    return len(path.name) == 2 * ID_BYTES and not set(path.name) - set("0123456789abcdef")


class SpoolError(Exception):
    """The spool cannot be written; the text says why."""


class Packer:
    """Collects sealed chunks of one kind and emits packs of about `recipe.pack_bytes`.

    With `is_copy` they are chunks that other packs have, and the packs say so.
    """

    def __init__(
        self,
        keys: MemberKeys,
        recipe: Recipe,
        kind: int,
        random_bytes: RandomBytes,
        made: Callable[[PackMade], None],
        *,
        is_copy: bool = False,
    ) -> None:
        self._keys, self._recipe, self._kind = keys, recipe, kind
        self._is_copy = is_copy
        self._random_bytes, self._made = random_bytes, made
        self._sealer = Sealer(keys)
        self._writer: PackWriter | None = None

    def chunk_id(self, plaintext: bytes) -> ChunkId:
        """The id by which this member knows these bytes."""
        return self._sealer.chunk_id(plaintext)

    def add(self, ident: ChunkId, plaintext: bytes) -> None:
        """Seal a chunk into the open pack; emits the pack when it is full."""
        self._append(ident, self._sealer.seal(ident, plaintext, self._random_bytes(NONCE_BYTES)))

    def add_sealed(self, ident: ChunkId, sealed: bytes) -> None:
        """Add a chunk that was sealed before, once it has opened. Raises FormatError."""
        self._sealer.open(ident, sealed)
        self._append(ident, sealed)

    def _append(self, ident: ChunkId, sealed: bytes) -> None:
        if self._writer is None:
            self._writer = PackWriter(self._recipe.pack_bytes)
        self._writer.add(ident, sealed)
        if self._writer.full:
            self.flush()

    def flush(self) -> None:
        """Emit what is open, however small; nothing when nothing is."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._emit(writer.finish(self._keys, self._random_bytes(NONCE_BYTES)))

    def _emit(self, pack: Pack) -> None:
        recipe = self._recipe
        shares = make_shares(
            pack.data,
            pack.id,
            owner=recipe.owner,
            needed=recipe.needed,
            numbers=range(recipe.total),
        )
        payloads = (share.payload for share in shares)
        size = write_spool_file(Path(recipe.spool), pack.id, payloads, self._random_bytes)
        self._made(
            PackMade(
                id=pack.id,
                kind=self._kind,
                needed=recipe.needed,
                length=len(pack.data),
                shares=b"".join(share.name for share in shares),
                chunk_ids=b"".join(entry.id for entry in pack.entries),
                chunk_lengths=[entry.length for entry in pack.entries],
                spool_bytes=size,
                is_copy=self._is_copy,
            )
        )


def write_spool_file(
    spool: Path, pack_id: bytes, payloads: Iterable[bytes], random_bytes: RandomBytes
) -> int:
    """Write the payloads of all of a pack's shares, in order; how many bytes that are.

    Raises SpoolError.
    """
    size = 0
    temporary = spool / f"tmp-{random_bytes(8).hex()}"
    try:
        with open(temporary, "wb", buffering=0) as file:
            for payload in payloads:
                size += len(payload)
                view = memoryview(payload)
                while view:
                    view = view[file.write(view) :]
            if hasattr(os, "posix_fadvise"):
                # Have the disk begin now, while the next pack is made, not when it must.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.replace(temporary, spool / pack_id.hex())
    except OSError as error:
        raise SpoolError(f"{spool} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return size
