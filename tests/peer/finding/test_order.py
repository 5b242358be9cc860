"""Where a group's server is looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.finding.order import Asking, At, NotFound, OnLan, domain_of, source_of


@pytest.mark.parametrize(
    ("group", "domain"),
    [
        ("smiths@example.org", "example.org"),
        ("The Smiths @Example.ORG ", "example.org"),
        ("a@b@example.org", "example.org"),
        ("smiths@example.org.", "example.org"),
        ("smiths@example.org:8443", "example.org:8443"),
        ("müllers@bücher.example", "xn--bcher-kva.example"),
        ("testers@localhost:8000", "localhost:8000"),
        ("smiths", None),
        ("us @ home", None),
        ("us@home", None),
        ("smiths@", None),
        ("smiths@192.0.2.1", None),
        ("smiths@127.0.0.1:80", None),
        ("smiths@[::1]", None),
        ("smiths@example.org/path", None),
        ("smiths@user:pw@example.org:0", None),
        ("smiths@example.org:", None),
        ("smiths@example.org:99999", None),
        ("smiths@example.org:" + "9" * 5000, None),
        ("smiths@-example.org", None),
        ("smiths@example..org", None),
        ("smiths@" + "a" * 64 + ".org", None),
        ("smiths@" + "a." * 200 + "org", None),
        ("smiths@exa\nmple.org", None),
        ("smiths@exam ple.org", None),
        ("smiths@example.org?x=1", None),
        ("smiths@example.org#x", None),
    ],
)
def test_the_domain_is_what_follows_the_last_at(group: str, domain: str | None):
    assert domain_of(group) == domain


@given(st.text(max_size=80))
def test_a_domain_has_nothing_in_it_that_a_url_would_understand_otherwise(text: str):
    domain = domain_of("group@" + text)
    assert domain is None or set(domain) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.:")


def test_the_order_is_the_address_then_the_domain_then_the_local_network():
    assert source_of("smiths@example.org", "https://other.example") == At("https://other.example")
    assert source_of("smiths@example.org", None) == Asking("example.org")
    assert source_of("smiths@example.org", "lan") == OnLan()
    assert source_of("smiths", None) == source_of("smiths", "") == OnLan()


@pytest.mark.parametrize("address", ["example.org", "ftp://example.org", "https://", "http://[::1"])
def test_what_is_no_address_is_refused_with_the_next_step(address: str):
    with pytest.raises(NotFound) as refused:
        source_of("smiths", address)
    assert "https://" in refused.value.next_step
