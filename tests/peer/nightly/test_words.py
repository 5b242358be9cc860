"""What a person is told of without asking."""

from peer.nightly.words import DAY_NS, notices

NOW = 2 * 10**18


def told(*, last_days=0.5, marks=("/home/ann",), friends=(), stored=10, offered=100, drill=None):
    last = None if last_days is None else {"files": 3, "time_ns": NOW - int(last_days * DAY_NS)}
    status = {"last_snapshot": last, "marks": list(marks), "drill": drill}
    space = {"friends_offer_bytes": offered, "stored_bytes": stored}
    return {n.key: n.text for n in notices(status, list(friends), space, NOW - 9 * DAY_NS, NOW)}


def friend(days, *, online=False):
    return {"name": "Ben", "member": "ab", "online": online, "last_seen_ns": NOW - days * DAY_NS}


def test_a_calm_group_has_only_its_first_backup_to_tell():
    assert told() == {"first": "The first backup is done: 3 files are with your friends."}


def test_three_days_without_a_backup_are_told_and_none_when_nothing_is_marked():
    assert told(last_days=4)["late"] == "There was no complete backup for 4 days."
    assert told(last_days=None)["late"] == "There was no complete backup for 9 days."
    assert "late" not in told(last_days=2.9)
    assert "late" not in told(last_days=None, marks=())


def test_a_friend_is_gone_after_a_month_and_not_before():
    assert told(friends=[friend(31)])["gone:ab"] == "Ben was not seen for 31 days."
    assert "gone:ab" not in told(friends=[friend(29)])
    assert "gone:ab" not in told(friends=[friend(31, online=True)])


def test_an_audit_that_failed_is_told_once_for_each_night():
    audited = {**friend(0, online=True), "audit_failed_ns": 5}
    bad = {**audited, "audit": "could not show 1 part of what it keeps for you"}
    assert told(friends=[bad])["audit:ab:5"].startswith("Ben could not show 1 part of what it")
    assert "audit:ab:5" not in told(friends=[{**audited, "audit": ""}])


def test_space_that_runs_short_is_told():
    assert "space" in told(stored=96)
    assert "space" not in told(stored=80)


def test_a_drill_that_failed_is_told_once_for_each_drill():
    drill = {"ok": False, "time_ns": 5, "sentence": "Two files differ."}
    assert told(drill=drill)["drill:5"] == "Two files differ."
    assert "drill:5" not in told(drill={**drill, "ok": True})
