"""`covey check` with real processes: reading, drilling, rebuilding, and a friend's bad disk."""

from __future__ import annotations

import pytest

from bench.group import CommandFailed
from bench.trees import compare_trees
from chunking.formats import BLOCK_BYTES, SHARE_HEADER_BYTES

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
def owner(group, folder):
    anna, *_ = group.join_all("anna", "ben", "carla", "david")
    group.wait_online(anna, 3)
    anna.run("mark", str(folder))
    assert anna.run("backup")["ok"]
    return anna


def test_a_backup_is_checked_read_drilled_and_its_catalog_rebuilt(owner, group, folder, tmp_path):
    assert "any 2 friends can vanish" in owner.run("check")["message"]
    read = owner.run("check", "--read-data")["summary"]["read"]
    assert read["packs_opened"] == read["packs_tried"] > 0
    assert owner.run("check", "--read-data", "--percent", "10")["ok"]
    drill = owner.run("check", "--drill")["summary"]["drill"]
    assert drill["ok"]
    assert drill["files"] > 0
    assert owner.run("status")["drill"]["sentence"] == drill["sentence"]
    assert owner.run("check", "--rebuild")["ok"]
    assert owner.run("check", "--read-data")["ok"]
    assert owner.run("status")["drill"]["ok"]
    assert owner.run("backup")["summary"]["packed_bytes"] < 100_000
    assert owner.run("restore", "latest", "--to", str(tmp_path / "back"))["ok"]
    found = compare_trees(folder, tmp_path / "back" / str(folder).lstrip("/")).differences
    assert [text for text in found if "a fifo" not in text] == []


def test_a_friend_whose_disk_rots_is_named(owner, group):
    shares = list((group.members["ben"].home / "held").glob("*/shares/*/*"))
    assert shares
    for path in shares:
        data = bytearray(path.read_bytes())
        for block in range(SHARE_HEADER_BYTES, len(data), BLOCK_BYTES):
            data[block] ^= 1  # in every block: the audits after the night asked for some already
        path.write_bytes(data)
    result = owner.run("check")
    assert result["ok"]
    assert result["summary"]["wrong_shares"] == {"ben": len(shares)}
    assert f"ben lists {len(shares)} shares and returned something else" in result["message"]
    assert result["summary"]["can_vanish"] == 1


def test_with_too_few_friends_check_fails_and_says_who_is_missing(owner, group):
    for name in ("ben", "carla", "david"):
        group.members[name].kill()
    with pytest.raises(CommandFailed) as failure:
        owner.run("check")
    assert failure.value.code == 1
    said = failure.value.output + failure.value.errors
    assert "cannot be rebuilt" in said
