"""Calls become commands, events become answers; driven through a real core."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from actors.broker.params import BrokerParams
from actors.messages.alerts import AlertAcknowledged, AlertTested
from actors.messages.control import Halt, Kill
from actors.messages.orders import CancelOrder, ReplaceOrder, SubmitOrder
from actors.messages.portfolio import DepositCash
from actors.messages.risk import BreakerTripped, TradingState
from actors.risk.params import RiskLimits
from daemon.kernel.message import CommandRejected, DeadLettered, InputQuarantined
from daemon.system.desk import METHODS, Standing, command_of, params_digest, reply_key, reply_of
from daemon.system.order_form import FieldError
from system.wired import House, make_call


def decoded(result: Any) -> Any:
    """Return a result as a client reads it, decimals as they were written."""
    return msgspec.json.Decoder(float_hook=Decimal).decode(msgspec.json.encode(result))


def command(method: str, **params: Any) -> Any:
    """Translate one call for a run with one portfolio."""
    return command_of(make_call(method, **params), House().universe, ("main",))


# -- orders in ---------------------------------------------------------------------------------------------------------


def test_an_accepted_order_is_answered_with_ids_and_status() -> None:
    """The answer has what the contract promises, amounts as plain decimals."""
    house = House()
    house.bar(100, 200, 300)
    result = decoded(house.submit(id="mine", type="limit", limit_px=Decimal("99.50"), tif="gtc"))
    assert result == {
        "schema": "tradingd.order/1",
        "order_id": "O-1",
        "client_order_id": "mine",
        "status": "new",
        "qty": 10,
        "reserved": Decimal("995.995"),
    }


def test_an_order_without_an_id_is_named_after_who_asked_and_the_key() -> None:
    """The same key never makes two orders: the second is a duplicate to the gate."""
    house = House()
    house.bar(100, 200, 300)
    first = house.submit(key="abc")
    again = house.submit(key="abc")
    assert first["client_order_id"] == again["client_order_id"] == "op-7-abc"
    assert (first["status"], again["status"], again["code"]) == ("new", "denied", "DUPLICATE")
    assert house.submit(key="abc", uid=8)["client_order_id"] == "op-8-abc"
    assert len(house.core.broker.working) == 2


def test_an_order_with_neither_id_nor_key_is_refused_naming_the_field() -> None:
    """Nothing would tell a repeated request from a second order."""
    call = msgspec.structs.replace(make_call("order.submit", symbol="SPY", side="buy", qty=1), request_id="")
    with pytest.raises(FieldError) as caught:
        command_of(call, House().universe, ("main",))
    assert (caught.value.field, caught.value.remedy) == ("request_id", "give id, or request_id")


def test_numbers_keep_the_decimals_they_were_written_with() -> None:
    """A quantity beyond float's reach arrives exactly; one with too many decimals is denied, not rounded."""
    order = command("order.submit", symbol="SPY", side="sell", qty=Decimal("90071992547.40993"))
    assert isinstance(order, SubmitOrder)
    assert order.qty == 9007199254740993000
    order = command("order.submit", symbol="SPY", side="sell", qty=Decimal("0.123456789"))
    assert order.malformed is not None
    assert order.malformed[0] == "BAD_QTY"


def test_a_price_with_more_decimals_than_the_ledger_keeps_is_refused_and_never_rounded() -> None:
    """Not even where it looks like what floats leave: the wire carries what was typed."""
    for price in (Decimal("150.123456789123"), Decimal("99.30000000000001")):
        for method, fields in (
            ("order.submit", {"symbol": "SPY", "side": "buy", "qty": 1}),
            ("order.replace", {"id": "x"}),
        ):
            for name in ("limit_px", "stop_px"):
                order = command(method, **fields, **{name: price})
                assert isinstance(order, SubmitOrder | ReplaceOrder)
                assert order.malformed == ("BAD_PRICE", f"{name}: {price} has more than 8 decimals")


def test_a_denied_order_is_a_result_with_code_and_remedy_not_an_error() -> None:
    """It is durable and has a status; value and limit stand beside the reason."""
    house = House()
    house.bar(100, 200, 300)
    result = decoded(house.submit(qty=10_000))
    assert (result["status"], result["order_id"], result["code"]) == ("denied", None, "MAX_NOTIONAL")
    assert result["reason"].startswith("the order is worth more than")
    assert (result["remedy"], result["value"], result["limit"]) == ("make it smaller", "1000000", "50000")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"qty": "10"}, "BAD_QTY"),
        ({"side": "long"}, "BAD_SIDE"),
        ({"symbol": "ZZZ"}, "UNKNOWN_SYMBOL"),
        ({"type": "magic"}, "BAD_TYPE"),
        ({"bracket": {}}, "BAD_BRACKET"),
        ({"qty": Decimal("NaN")}, "BAD_QTY"),
    ],
)
def test_nonsense_in_a_field_is_denied_by_the_gate_as_anybodys(fields: dict[str, Any], code: str) -> None:
    """The scripted trader and the socket read orders alike."""
    house = House()
    house.bar(100, 200, 300)
    result = house.submit(**fields)
    assert (result["status"], result["code"]) == ("denied", code)


def test_several_portfolios_must_be_told_apart() -> None:
    """The order names one; an unknown one is refused before it reaches the core."""
    house = House(portfolios=("a", "b"))
    house.bar(100, 200, 300)
    assert house.submit(portfolio="b")["status"] == "new"
    for fields in ({}, {"portfolio": "z"}):
        with pytest.raises(FieldError, match="portfolio") as caught:
            house.submit(**fields)
        assert (caught.value.field, caught.value.remedy) == ("portfolio", "name one of: a, b")


def test_an_order_the_broker_refuses_is_told_as_rejected() -> None:
    """The gate lets it pass, the broker finds nothing that it could reduce."""
    house = House()
    house.bar(100, 200, 300)
    result = house.submit(id="t", side="sell", reduce_only=True)
    assert (result["status"], result["order_id"], result["client_order_id"]) == ("rejected", "O-1", "t")
    assert result["code"]
    assert result["reason"]


def test_a_frame_that_does_not_speak_of_the_order_is_no_success() -> None:
    """Whatever the reason, the client is not told that something happened."""
    for method, fields in (("order.submit", {"symbol": "SPY", "side": "buy", "qty": 1}), ("order.cancel", {})):
        call = make_call(method, id="x", **fields)
        assert reply_of(call, command_of(call, House().universe, ("main",)), []).code == "NO_ANSWER"


def test_a_flip_is_answered_as_the_two_orders_it_became() -> None:
    """The closing half keeps the name; the opening half is named after it."""
    house = House(limits=RiskLimits(replay=False, allow_short=True))
    house.bar(100, 200, 300)
    house.submit(qty=10)
    house.bar(100, 200, 300)
    result = decoded(house.submit(id="flip", side="sell", qty=25))
    assert (result["client_order_id"], result["status"], result["qty"]) == ("flip", "new", 10)
    assert [(row["client_order_id"], row["order_id"], row["status"], row["qty"]) for row in result["orders"]] == [
        ("flip", "O-2", "new", 10),
        ("flip-open", "O-3", "new", 15),
    ]


def test_an_order_that_fills_at_once_says_so() -> None:
    """Where the broker fills at the event an order arrives with, the answer is the fill."""
    house = House(broker=BrokerParams(same_event_fill=True))
    house.bar(100, 200, 300)
    result = decoded(house.submit(qty=10))
    assert (result["status"], result["cum_qty"], result["order_id"]) == ("filled", 10, "O-1")
    assert result["avg_px"] > 100


# -- cancel, replace ---------------------------------------------------------------------------------------------------


def test_cancel_and_replace_are_answered_with_what_became_of_the_order() -> None:
    """New terms, then the end of it; amounts exact."""
    house = House()
    house.bar(100, 200, 300)
    house.submit(id="x", type="limit", limit_px=95, tif="gtc")
    replaced = decoded(house.call("order.replace", id="x", qty=5, limit_px=Decimal("94.25")).result)
    assert (replaced["status"], replaced["qty"], replaced["limit_px"]) == ("replaced", 5, Decimal("94.25"))
    canceled = decoded(house.call("order.cancel", id="x").result)
    assert (canceled["status"], canceled["cum_qty"], canceled["order_id"]) == ("canceled", 0, "O-1")
    assert decoded(house.submit(id="denied", qty=0))["status"] == "denied"  # which is an end as well
    for name, code, sentence in (
        ("x", "TERMINAL_ORDER", "order x has ended already"),
        ("denied", "TERMINAL_ORDER", "order denied has ended already"),
        ("ghost", "UNKNOWN_ORDER", "there is no order ghost"),
    ):
        for method, terms in (("order.cancel", {}), ("order.replace", {"qty": 1})):
            outcome = house.call(method, id=name, **terms)
            assert (outcome.result, outcome.code, outcome.message) == (None, code, sentence)


def test_an_order_may_be_called_by_either_of_its_names() -> None:
    """The shell says which client order id the broker's name stands for."""
    call = make_call("order.cancel", id="O-7")
    assert command_of(call, House().universe, ("main",), resolve={"O-7": "mine"}.__getitem__) == CancelOrder(
        "mine", "a test"
    )
    call = make_call("order.replace", order_id="O-7", qty=3)
    assert command_of(call, House().universe, ("main",), resolve={"O-7": "mine"}.__getitem__) == ReplaceOrder(
        "mine", qty=3 * 10**8
    )


# -- trading state -----------------------------------------------------------------------------------------------------


def test_each_step_of_the_trading_state_answers_with_the_state_it_led_to() -> None:
    """Tighten, loosen, and back; what was cancelled on the way is named."""
    house = House()
    house.bar(100, 200, 300)
    house.submit(id="x", type="limit", limit_px=95, tif="gtc")
    told = [
        (method, result["trading_state"], result["changed"], result["canceled"])
        for method in ("reduce", "halt", "resume", "kill", "unlatch", "resume")
        if (result := house.call(method).result) is not None
    ]
    assert told == [
        ("reduce", "reducing", True, []),
        ("halt", "halted", True, ["x"]),
        ("resume", "active", True, []),
        ("kill", "killed", True, []),
        ("unlatch", "halted", True, []),
        ("resume", "active", True, []),
    ]


@pytest.mark.parametrize(
    ("path", "method", "state"),
    [
        (["halt"], "halt", "halted"),
        (["kill"], "kill", "killed"),
        (["kill"], "halt", "killed"),
        (["reduce"], "reduce", "reducing"),
        ([], "resume", "active"),
        (["kill", "unlatch"], "unlatch", "halted"),
    ],
)
def test_a_repeat_that_changes_nothing_is_a_success_that_says_so(path: list[str], method: str, state: str) -> None:
    """Nobody who asks twice for the safe thing gets an error."""
    house = House()
    house.bar(100, 200, 300)
    for step in path:
        assert house.call(step).code == ""
    result = house.call(method).result
    assert result is not None
    assert (result["trading_state"], result["changed"]) == (state, False)
    assert house.state == state


def test_what_is_refused_is_an_error_with_code_and_remedy() -> None:
    """Resume while killed, unlatch while nothing is latched, reduce while halted."""
    house = House()
    house.call("kill")
    outcome = house.call("resume")
    assert (outcome.code, outcome.remedy) == ("KILLED", "unlatch first, then resume")
    house.call("unlatch")
    assert house.call("reduce").code == "WRONG_STATE"
    house.call("resume")
    assert house.call("unlatch").code == "NOT_LATCHED"


def test_flatten_names_the_orders_that_close() -> None:
    """Each with its id, so that a client can watch them to the end."""
    house = House()
    house.bar(100, 200, 300)
    house.submit(id="x", qty=10)
    house.bar(100, 200, 300)
    result = decoded(house.call("flatten").result)
    assert result["trading_state"] == "halted"
    assert [(row["status"], row["qty"], row["order_id"]) for row in result["orders"]] == [("new", 10, "O-2")]


def test_no_step_is_refused_for_the_wording_of_its_reason() -> None:
    """No reason, a long one, one with control characters; in either direction."""
    assert command("halt", reason="") == Halt("halt by an operator", "uid 7 pid 4242")
    assert command("kill", reason="a\x1b]0;b\n").reason == "a ]0;b"
    assert len(command("kill", reason="x" * 9_000).reason) == 200
    for method in ("resume", "unlatch"):
        assert [command(method, reason=reason).reason for reason in ("", "  ", "x\ny")] == [
            f"{method} by an operator",
            f"{method} by an operator",
            "x y",
        ]
    assert isinstance(command("kill", reason="x"), Kill)


def test_an_operators_id_cannot_be_taken_for_one_of_the_brokers() -> None:
    """Else a cancel of O-1 could mean either of two orders."""
    with pytest.raises(FieldError) as caught:
        command("order.submit", symbol="AAA", side="buy", qty=1, id="O-1")
    assert (caught.value.field, caught.value.code) == ("id", "BAD_ID")


# -- everything else ---------------------------------------------------------------------------------------------------


def test_cash_goes_in_and_out_exactly() -> None:
    """The answer says what is there now; more than is free is refused by who knows."""
    house = House()
    house.bar(100, 200, 300)
    result = decoded(house.call("cash.deposit", amount=Decimal("0.00000001")).result)
    assert (result["amount"], result["cash"]) == (Decimal("0.00000001"), Decimal("100000.00000001"))
    result = decoded(house.call("cash.withdraw", amount=Decimal("0.00000001")).result)
    assert (result["amount"], result["cash"], result["equity"]) == (Decimal("-0.00000001"), 100_000, 100_000)
    assert house.call("cash.withdraw", amount=100_001).code == "INSUFFICIENT_CASH"
    assert command("cash.withdraw", amount="12.5") == DepositCash("main", -1_250_000_000, "a test")


@pytest.mark.parametrize("amount", [0, -5, None, True, "x", Decimal("NaN"), Decimal("1e-9"), 1e300, Decimal("1e999")])
def test_an_amount_of_money_is_exact_and_above_zero(amount: Any) -> None:
    """Anything else names the field."""
    with pytest.raises(FieldError) as caught:
        command("cash.deposit", amount=amount)
    assert (caught.value.field, caught.value.code) == ("amount", "BAD_AMOUNT")


def test_a_portfolio_is_named_where_there_are_several() -> None:
    """None, or one that there is not, names the field and what to choose from."""
    house = House(portfolios=("a", "b"))
    assert house.call("cash.deposit", amount=5, portfolio="b").code == ""
    for fields, sentence in (({}, "needs portfolio"), ({"portfolio": "z"}, "there is no portfolio 'z'")):
        with pytest.raises(FieldError, match=sentence) as caught:
            house.call("cash.deposit", amount=5, **fields)
        assert (caught.value.field, caught.value.remedy) == ("portfolio", "name one of: a, b")


def test_breakers_are_reset_by_name_and_a_repeat_is_a_success() -> None:
    """A loss trips the breaker; reset arms it; a second reset finds it armed."""
    house = House(limits=RiskLimits(replay=False, daily_loss_halt=0.005, daily_loss_block=0.0, daily_loss_warn=0.0))
    house.bar(100, 200, 300)
    house.submit(qty=100)
    house.bar(100, 200, 300)
    events = house.bar(90, 200, 300)
    assert any(isinstance(event, BreakerTripped) for event in events)
    assert house.call("resume").code == "BREAKER_LATCHED"
    result = house.call("breaker.reset", breaker="daily_loss").result
    assert result is not None
    assert (result["state"], result["changed"], result["trading_state"]) == ("armed", True, "halted")
    again = house.call("breaker.reset", breaker="daily_loss").result
    assert again is not None
    assert again["changed"] is False
    assert again["detail"] == "no breaker daily_loss of main has tripped, so there was none to reset"
    of_feed = house.call("breaker.reset", breaker="connectivity", subject="nowhere").result
    assert of_feed is not None
    assert of_feed["detail"] == "no breaker connectivity (nowhere) has tripped, so there was none to reset"
    assert house.call("breaker.reset", breaker="daily_loss", subject="nowhere").code == "UNKNOWN_BREAKER"
    assert house.call("breaker.reset", breaker="gravity").code == "UNKNOWN_BREAKER"


def test_strategies_are_switched_by_name_and_unknown_ones_are_told() -> None:
    """The predictor knows its own."""
    house = House()
    assert house.call("strategy.disable", strategy="none").code == "NO_STRATEGY"
    rejected = CommandRejected("predictor", "DisableStrategy", "STRATEGY_OFF", "off already")
    call = make_call("strategy.disable", strategy="m")
    outcome = reply_of(call, command("strategy.disable", strategy="m"), [rejected])
    assert outcome.result == {"schema": "tradingd.strategy/1", "strategy": "m", "enabled": False, "changed": False}


def test_alerts_are_acknowledged_and_tested_as_facts_from_the_edge() -> None:
    """The journal keeps who saw what; no actor has to know."""
    house = House()
    assert house.call("alert.ack", alert_id="A-1").result == {
        "schema": "tradingd.alert/1",
        "alert_id": "A-1",
        "state": "acknowledged",
    }
    assert house.frames[-1].envelope.body == AlertAcknowledged("A-1", "uid 7 pid 4242", "a test")
    assert house.call("alert.test").code == ""
    assert isinstance(house.frames[-1].envelope.body, AlertTested)
    assert house.frames[-1].events == []


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (InputQuarantined("risk", "Halt", "ZeroDivisionError"), "QUARANTINED"),
        (DeadLettered("Halt"), "NOT_SUPPORTED"),
        (CommandRejected("risk", "Halt", "", "no; do it later"), "REFUSED"),
    ],
)
def test_whatever_kept_a_command_from_being_decided_is_an_error(event: Any, code: str) -> None:
    """A client never hears success of what did not happen."""
    outcome = reply_of(make_call("halt"), command("halt"), [event])
    assert (outcome.result, outcome.code) == (None, code)


def test_without_a_standing_state_the_wanted_one_is_told() -> None:
    """Such as from a kept frame, long after."""
    outcome = reply_of(make_call("kill"), command("kill"), [])
    assert outcome.result is not None
    assert outcome.result["trading_state"] == "killed"
    outcome = reply_of(make_call("halt"), command("halt"), [], Standing(TradingState.KILLED, "earlier"))
    assert outcome.result is not None
    assert (outcome.result["trading_state"], outcome.result["reason"]) == ("killed", "earlier")


def test_a_method_that_is_none_of_the_cores_is_refused() -> None:
    """The shell handles those itself."""
    assert "status" not in METHODS
    with pytest.raises(FieldError, match="nothing the core decides on"):
        command("status")


# -- keys --------------------------------------------------------------------------------------------------------------


def test_equal_parameters_have_equal_digests_however_they_were_written() -> None:
    """Order of keys and form of numbers say nothing; another value, type or method does."""
    base = params_digest(make_call("order.submit", qty=10, symbol="SPY", limit_px=Decimal("450.50")))
    assert params_digest(make_call("order.submit", symbol="SPY", limit_px=450.5, qty=Decimal("10.0"))) == base
    others = [
        make_call("order.submit", qty=11, symbol="SPY", limit_px=Decimal("450.5")),
        make_call("order.submit", qty="10", symbol="SPY", limit_px=Decimal("450.5")),
        make_call("order.replace", qty=10, symbol="SPY", limit_px=Decimal("450.5")),
        make_call("order.submit", qty=True, symbol="SPY", limit_px=Decimal("450.5")),
    ]
    assert len({base, *map(params_digest, others)}) == 5


def test_digests_tell_numbers_apart_to_the_last_digit() -> None:
    """However long they are; and zero is zero."""
    amounts = [Decimal("1" * 40), Decimal("1" * 39 + "2"), 0, Decimal(-1), 1, 10, Decimal("NaN"), [1], {"a": 1}, None]
    digests = [params_digest(make_call("cash.deposit", amount=amount)) for amount in amounts]
    assert len(set(digests)) == len(amounts)
    zeros = [0, 0.0, Decimal("-0"), Decimal("0.000")]
    assert len({params_digest(make_call("cash.deposit", amount=zero)) for zero in zeros}) == 1


def test_keys_belong_to_who_asked() -> None:
    """Two users may choose the same request id; a call without one has no key."""
    assert reply_key(make_call("halt", key="a", uid=1)) == "1:a"
    assert reply_key(make_call("halt", key="a", uid=2)) == "2:a"
    assert reply_key(msgspec.structs.replace(make_call("halt"), request_id="")) == ""
