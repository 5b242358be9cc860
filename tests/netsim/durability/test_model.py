"""Shares from day to day."""

import csv
import io

import numpy as np
import pytest
from click.testing import CliRunner

from netsim.durability import people as people_module
from netsim.durability.churn import PROFILES, Churn, Hours, Weibull, sessions
from netsim.durability.model import Model
from netsim.durability.people import People, draw_people
from netsim.durability.policies import POLICIES, Fixed
from netsim.durability.restore import HOURS_MAX, restore_hours
from netsim.durability.study import Row, study, wilson, write_csv
from netsim.durability.table import UPTIMES, line, seen_within
from netsim.verbs import sim
from peer.upkeep.redundancy import Code, yearly_loss


def always(rng: np.random.Generator, members: int, hours: int) -> Hours:
    return np.ones((members, hours), dtype=np.bool_)


ALWAYS = Churn("always", "there", always)


@pytest.fixture
def nobody_leaves(monkeypatch):
    monkeypatch.setattr(people_module, "LIFE_YEARS", 1e9)


def drawn(churn=ALWAYS, groups=10, places=7, years=1.0, seed=1) -> People:
    return draw_people(np.random.default_rng(seed), churn, groups, places, years)


def modelled(policy, people, sample_days=frozenset()):
    return Model(np.random.default_rng(9), people, policy, 1.0).run(set(sample_days))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
def test_while_nobody_leaves_nothing_is_lost_and_next_to_nothing_moved(policy, nobody_leaves):
    outcome = modelled(policy, drawn(PROFILES["phones"]))
    assert not outcome.lost.any()
    assert outcome.moved.mean() < 0.5, "blinking friends cause no traffic to speak of"


def test_a_friend_who_is_gone_for_good_is_replaced_when_somebody_new_comes(monkeypatch):
    monkeypatch.setattr(people_module, "LIFE_YEARS", 2.0)
    people = drawn(groups=30, years=3)
    outcome = modelled(POLICIES["covey"], people, {people.days - 1})
    assert outcome.lost.mean() < 0.1
    assert outcome.moved.min() > 0
    there = people.person[:, :, -40] >= 0
    settled = (people.person[:, :, -40] == people.person[:, :, -1]) & there
    holders = outcome.holders[people.days - 1]
    assert (holders.all(axis=1) >= settled).mean() > 0.99


def test_shares_of_who_left_do_not_come_back_with_who_comes_next(monkeypatch):
    monkeypatch.setattr(people_module, "LIFE_YEARS", 0.2)
    monkeypatch.setattr(people_module, "VACANT_DAYS", 2.0)
    assert modelled(Fixed("one", 1, 1), drawn(places=1, years=3)).lost.all()


def test_losses_are_as_many_as_the_process_has_that_the_rule_reckons_with(monkeypatch):
    leaving, vacant_days = 3.0, 20.0
    monkeypatch.setattr(people_module, "LIFE_YEARS", 1 / leaving)
    monkeypatch.setattr(people_module, "VACANT_DAYS", vacant_days)
    monkeypatch.setattr("netsim.durability.churn.OUTAGES_A_YEAR", 0.0)
    people = drawn(groups=400, places=3, years=1, seed=3)
    lost = Model(np.random.default_rng(9), people, Fixed("code", 1, 3), 20.0).run(set()).lost
    expected = yearly_loss(Code(1, 3), leaving, vacant_days + 1.5)  # days are whole in the model
    assert lost.mean() == pytest.approx(expected, rel=0.3)


def test_space_is_n_over_k_of_what_is_kept(nobody_leaves):
    for policy, expansion in ((Fixed("x", 1, 3), 3), (Fixed("y", 3, 10), 7 / 3)):
        outcome = modelled(policy, drawn(places=7))
        assert outcome.stored == pytest.approx(expansion)
        assert outcome.first == pytest.approx(expansion)


def test_a_restore_takes_as_long_as_the_uplinks_need(nobody_leaves, monkeypatch):
    monkeypatch.setattr("netsim.durability.churn.OUTAGES_A_YEAR", 0.0)
    people = drawn(places=6)
    for policy, hours in ((Fixed("all", 6, 6), 2), (Fixed("one", 1, 1), 12)):
        outcome = modelled(policy, people, {10})
        outcome.holders[10][:] = outcome.holders[10][:, :1]  # all classes at the same friends
        found = restore_hours(np.random.default_rng(1), people, outcome, hours_for_all=12)
        assert found == pytest.approx(hours)


def test_a_restore_from_nobody_takes_for_ever(nobody_leaves):
    people = drawn(places=3)
    outcome = modelled(Fixed("all", 3, 3), people, {10})
    people.hours[:] = False
    found = restore_hours(np.random.default_rng(1), people, outcome, hours_for_all=1)
    assert (found == HOURS_MAX).all()


def test_a_study_gives_a_row_for_each_policy_on_the_same_groups_and_the_same_each_time():
    rules = list(POLICIES.values())
    rows = list(study(rules, PROFILES["laptops"], 8, 1, 12, seed=5))
    assert [row.policy for row in rows] == list(POLICIES)
    assert rows == list(study(rules, PROFILES["laptops"], 8, 1, 12, seed=5))
    assert rows != list(study(rules, PROFILES["laptops"], 8, 1, 12, seed=6))
    for row in rows:
        assert row.loss_ci_low <= row.loss_probability <= row.loss_ci_high
        assert 0 < row.restore_hours_p50 <= row.restore_hours_p99 <= HOURS_MAX


def test_the_csv_has_the_columns_that_others_rely_on():
    file = io.StringIO()
    write_csv([Row("covey", "skype", 8, 5, 1, 0.0, 0.0, 0.02, 2.3, 1e8, 3.0, 20.0)], file)
    (row,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert list(row) == [
        *("policy", "churn", "members", "years", "seed", "loss_probability", "loss_ci_low"),
        *("loss_ci_high", "expansion", "traffic_bytes_per_member_day", "restore_hours_p50"),
        "restore_hours_p99",
    ]


def test_wilsons_interval_is_that_of_the_books():
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-3)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("uptime", UPTIMES)
def test_the_chances_of_the_table_are_those_of_simulated_friends(uptime):
    up, down = 24 * uptime, 24 * (1 - uptime)
    hours = sessions(Weibull(1, up * 10), Weibull(1, down * 10))  # tenths of an hour
    there = hours(np.random.default_rng(4), 60, 60_000)
    for span_h in (24, 168):
        starts = np.arange(0, there.shape[1] - span_h * 10, 37)
        sums = np.cumsum(np.pad(there, ((0, 0), (1, 0))), axis=1)
        seen = (sums[:, starts + span_h * 10] - sums[:, starts]) > 0
        assert seen.mean() == pytest.approx(seen_within(uptime, span_h), abs=0.012)
        found = line(10, uptime)
        groups = seen.reshape(6, 10, -1).sum(axis=1)
        expected = found.within_day if span_h == 24 else found.within_week
        assert (groups >= found.code.needed).mean() == pytest.approx(expected, abs=0.02)


def test_the_verbs_write_a_csv_and_a_picture_from_a_trace(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("".join(f"m{i},{i * 3600},{(i + 12) * 3600}\n" for i in range(5)))
    asked = ["durability", "--trace", str(trace), "--members", "4", "--years", "0.5"]
    done = CliRunner().invoke(sim, [*asked, "--groups", "3", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    with (tmp_path / "out" / "durability.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["policy"] for row in rows] == list(POLICIES)
    assert {row["churn"] for row in rows} == {"trace"}
    assert (tmp_path / "out" / "durability.png").read_bytes().startswith(b"\x89PNG")


def test_a_bad_trace_is_told_with_its_line(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("a,0,10\nb,5,5\n")
    told = CliRunner().invoke(sim, ["traffic", "--trace", str(trace), "--groups", "1"])
    assert told.exit_code == 1
    assert "line 2: the member leaves before it comes" in told.output
