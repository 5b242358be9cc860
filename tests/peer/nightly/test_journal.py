"""What happened, kept in bounds."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from peer.nightly.journal import HOURS_MAX, MESSAGES_MAX, NIGHTS_MAX, SAID_MAX, Journal, NightEntry

HOUR_NS = 3600 * 10**9


def entry(time_ns=10**18, ok=True) -> NightEntry:
    return NightEntry(time_ns, ok, 60.0, 3, 10, 20, "All is safe.", 5)


def test_what_was_noted_is_there_after_a_restart(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    journal.begin_night(10**18)
    journal.end_night(entry())
    journal.say(10**18, "warning", "Ann is gone.", "gone:ann")
    journal.count_traffic(10**18, 5, 6)
    journal.pause(10**18 + 1)
    again = Journal(tmp_path / "journal.json")
    assert again.as_answer() == journal.as_answer()
    assert again.paused_until_ns == 10**18 + 1
    assert again.last_said_ns("gone:ann") == 10**18
    assert again.done(7).succeeded_ns == 10**18


def test_a_night_that_never_ended_counts_as_a_failure(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    journal.begin_night(1)
    journal.begin_night(2)
    assert Journal(tmp_path / "journal.json").done(0).failures == 2
    journal.end_night(entry(3))
    assert journal.done(0).failures == 0


def test_it_does_not_grow_for_ever(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    for number in range(NIGHTS_MAX + 5):
        journal._stored.nights.append(entry(number))
    journal.end_night(entry(10**6))
    for number in range(HOURS_MAX + 5):
        journal.count_traffic(number * HOUR_NS, 1, 1)
    for number in range(MESSAGES_MAX + 3):
        journal.say(number, "info", "x" * 5000)
    told = journal.as_answer()
    assert len(told["nights"]) == NIGHTS_MAX
    assert len(told["traffic"]) == HOURS_MAX
    assert len(told["messages"]) == MESSAGES_MAX
    assert (tmp_path / "journal.json").stat().st_size < 500_000


def test_traffic_of_an_hour_is_added_up(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    for at in (0, 10, HOUR_NS - 1, HOUR_NS):
        journal.count_traffic(at, 2, 3)
    assert [hour["up_bytes"] for hour in journal.as_answer()["traffic"]] == [6, 2]


@given(data=st.binary(max_size=300))
def test_a_damaged_journal_is_begun_anew(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "journal.json"
    path.write_bytes(data)
    Journal(path).end_night(entry())
    assert len(Journal(path).as_answer()["nights"]) == 1


def test_an_interrupted_night_is_no_failure(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    journal.begin_night(1)
    journal.end_night(entry(1, ok=False))
    journal.begin_night(2)
    journal.end_night(entry(2, ok=False), interrupted=True)
    assert journal.done(0).failures == 1


def test_what_was_said_once_is_remembered_after_many_other_messages(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    journal.say(1, "info", "The first backup is done.", "first")
    for number in range(MESSAGES_MAX + 1):
        journal.say(2 + number, "warning", "There was no backup.", "late")
    again = Journal(tmp_path / "journal.json")
    assert again.last_said_ns("first") == 1
    for number in range(SAID_MAX):
        again.say(9, "info", "x", f"key {number}")
    assert again.last_said_ns("first") == 0, "it does not grow for ever"


def test_a_disk_that_is_full_stops_nothing(tmp_path):
    folder = tmp_path / "folder"
    journal = Journal(folder / "journal.json")  # there is no folder: nothing can be written
    journal.begin_night(1)
    journal.end_night(entry(1))
    assert journal.done(0).succeeded_ns == 1
    folder.mkdir()
    journal.pause(0)
    assert Journal(folder / "journal.json").done(0).succeeded_ns == 1


def test_threads_may_write_at_the_same_time(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: journal.say(n, "info", "x", str(n)), range(100)))
    assert len(Journal(tmp_path / "journal.json").as_answer()["messages"]) == 100
