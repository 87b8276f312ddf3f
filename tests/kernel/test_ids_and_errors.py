"""Deterministic ids and generators; errors split by blame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.kernel import errors
from daemon.kernel.actor import Context
from daemon.kernel.errors import (
    ConfigError,
    FrameAbandonedError,
    InvariantError,
    OperatorError,
    RefusedError,
    TradingdError,
    UsageError,
    VenueError,
)
from daemon.kernel.ids import client_order_id, exec_id, rng


def test_ids_are_pure_functions_of_what_they_name() -> None:
    """The same decision names the same order, in a replay as in a resend."""
    assert client_order_id("momentum", "AAPL", 7) == "momentum-AAPL-7"
    assert client_order_id("momentum", "AAPL", 7, "sell") == "momentum-AAPL-7-sell"
    assert exec_id("momentum-AAPL-7", 2) == "momentum-AAPL-7-2"


@given(st.lists(st.tuples(st.text("ab-1", min_size=1), st.integers(1, 12)), unique=True))
def test_fills_of_different_orders_never_share_an_id(fills: list[tuple[str, int]]) -> None:
    """Whatever the order's id looks like: the number behind the last dash is the fill's."""
    assert len({exec_id(order, n) for order, n in fills}) == len(fills)


PATHS = st.lists(st.one_of(st.text("ab/:12", max_size=4), st.integers(0, 12)), max_size=3).map(tuple)


@given(st.integers(), PATHS, st.integers(), PATHS)
def test_generators_agree_for_one_path_and_differ_between_paths(
    seed: int, path: tuple[str | int, ...], other_seed: int, other: tuple[str | int, ...]
) -> None:
    """Also where two paths read the same when their parts are joined."""
    draw = rng(seed, *path).getrandbits(64)
    assert draw == rng(seed, *path).getrandbits(64)
    same = (seed, *map(str, path)) == (other_seed, *map(str, other))
    assert (draw == rng(other_seed, *other).getrandbits(64)) == same


def test_parts_of_a_path_do_not_run_into_each_other() -> None:
    """An actor's stream must not be another's because of a slash in a name."""
    assert rng(1, "a/b", "c").random() != rng(1, "a", "b/c").random()
    assert rng(1, "a", "").random() != rng(1, "a").random()


def test_a_contexts_generator_depends_on_seed_actor_name_and_stamp_only() -> None:
    """It holds no state, so a snapshot need not hold it either."""
    draws = {}
    for seed, actor, name, now in [
        (1, "a", "n", 5),
        (2, "a", "n", 5),
        (1, "b", "n", 5),
        (1, "a", "m", 5),
        (1, "a", "n", 6),
    ]:
        ctx = Context(seed)
        ctx.actor, ctx.now, ctx.seq = actor, now, len(draws)
        draws[seed, actor, name, now] = ctx.rng(name).random()
        ctx.rng("something else").random()
        assert ctx.rng(name).random() == draws[seed, actor, name, now]
    assert len(set(draws.values())) == 5


def test_the_root_error_cannot_be_raised() -> None:
    """It does not say who is to blame."""
    with pytest.raises(TypeError, match="who is to blame"):
        TradingdError("something went wrong")


@pytest.mark.parametrize("kind", [e for e in vars(errors).values() if isinstance(e, type) and e is not TradingdError])
def test_every_error_carries_a_sentence_a_code_and_a_remedy(kind: type[TradingdError]) -> None:
    """The text shown is the sentence, with the remedy behind it where there is one."""
    assert issubclass(kind, TradingdError)
    full = kind("bars.csv, line 3: the price is negative", code="BAD_PRICE", remedy="correct the file")
    assert str(full) == "bars.csv, line 3: the price is negative; correct the file"
    assert (full.message, full.code, full.remedy) == (full.args[0], "BAD_PRICE", "correct the file")
    assert str(kind("alone")) == "alone"


def test_blame_decides_the_family_and_the_exit_code() -> None:
    """Operators' errors end a program with the contract's codes; our own are never mistaken for theirs."""
    codes = {OperatorError: 1, UsageError: 2, RefusedError: 5, ConfigError: 78}
    assert {kind: kind.exit_code for kind in codes} == codes
    assert all(issubclass(kind, OperatorError) for kind in codes)
    for ours in (InvariantError, FrameAbandonedError, VenueError):
        assert not issubclass(ours, OperatorError)
    assert issubclass(FrameAbandonedError, InvariantError)
