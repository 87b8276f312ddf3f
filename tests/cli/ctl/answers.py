"""What a daemon with a few positions answers; the golden renderings and the looks at the screen are made from it.

Text is JSON as it stands on the wire, so that numbers keep the digits a daemon sends.
"""

from __future__ import annotations

from typing import Any, Final

STATUS: Final = """{"schema":"tradingd.status/1","version":"0.1.0","run_id":"20261120-143000-4f2a","mode":"playback",
"trading_state":"active","state_reason":"","session":{"date":"2026-11-20","state":"open"},
"ts":"2026-11-20T15:12:07.250Z","equity":101234.56000000,"cash":51234.5,"positions":3,"open_orders":2,
"daily_pnl":-412.4,"daily_return":-0.004057,"drawdown":-0.0123,
"feeds":[{"name":"playback","state":"live","last_event_age_s":0.212},
{"name":"news","state":"stale","last_event_age_s":184.0}],
"actors":[{"name":"journal","state":"running","restarts":0},{"name":"core","state":"running","restarts":0},
{"name":"market","state":"running","restarts":2},{"name":"outreach","state":"degraded","restarts":0}],
"breakers":[{"portfolio":"main","breaker":"daily_loss","state":"armed","value":0.0040,"limit":0.05,"baseline":101646.96,
"equity":101234.56,"entries_blocked":false},
{"portfolio":"main","breaker":"drawdown","state":"armed","value":0.0123,"limit":0.2,"baseline":102500,"equity":101234.56,
"entries_blocked":false}],
"model":{"model":"momentum@3","strategy":"momentum","state":"active","horizon":"1d"},
"journal":{"seq":184229,"commit_age_s":0.012,"wal_bytes":4120032},"alerts_pending":1,"alerts_unacknowledged":0,
"notices":["SQLite 3.40.1 has the WAL-reset bug; one writer is enforced"],"uptime_s":11532.4,"board_age_s":0.080}
""".replace("\n", "")

POSITIONS: Final = """{"schema":"tradingd.positions/1","rows":[
{"symbol":"SPY","qty":120,"avg_px":448.125,"market_px":450.1,"unrealized_pnl":237,"realized_pnl":0},
{"symbol":"MSFT","qty":-35.5,"avg_px":401.33333333,"market_px":410.02,"unrealized_pnl":-308.38166679,"realized_pnl":1204.5},
{"symbol":"BRK.B","qty":1000,"avg_px":9.99,"market_px":null,"unrealized_pnl":null,"realized_pnl":-0.004}]}
""".replace("\n", "")

ORDERS: Final = """{"schema":"tradingd.orders/1","rows":[
{"order_id":"o-1042","client_order_id":"momentum-SPY-17","ts":"2026-11-20T15:11:58.250Z","symbol":"SPY","side":"buy",
"type":"limit","tif":"day","qty":10,"limit_px":449.5,"stop_px":null,"status":"partially_filled","cum_qty":4,
"avg_px":449.4975,"reason":"signal","strategy":"momentum","parent_id":null},
{"order_id":"o-1043","client_order_id":"op-0-4fe1","ts":"2026-11-20T15:12:01.000Z","symbol":"MSFT","side":"sell",
"type":"trailing_stop","tif":"gtc","qty":1250,"limit_px":null,"stop_px":388.2,"status":"new","cum_qty":0,"avg_px":null,
"reason":"operator","strategy":null,"parent_id":null}]}
""".replace("\n", "")

FILLS: Final = """{"schema":"tradingd.fills/1","rows":[
{"ts":"2026-11-20T15:12:02.250Z","order_id":"o-1042","exec_id":"o-1042-1","symbol":"SPY","side":"buy","qty":4,
"price":449.4975,"px_source":"quote","fee":0.35,"liquidity":"taker"}]}
""".replace("\n", "")

TRADES: Final = """{"schema":"tradingd.trades/1","rows":[
{"symbol":"SPY","side":"buy","qty":10,"entry_ts":"2026-11-18T14:30:00.000Z","entry_px":440,
"exit_ts":"2026-11-19T20:59:00.000Z","exit_px":452.5,"fees":0.7,"pnl":124.3,"return":0.02825,"mae":-0.0102,"mfe":0.031,
"entry_confidence":0.71,"exit_reason":"take_profit","strategy":"momentum"}]}
""".replace("\n", "")

LIMITS: Final = """{"schema":"tradingd.limits/1","rows":[
{"limit":"max_positions","portfolio":"main","bound":10,"value":3,"utilization":0.3},
{"limit":"max_position","portfolio":"main","bound":0.2,"value":0.1432,"utilization":0.716,"symbol":"SPY"},
{"limit":"daily_loss_halt","portfolio":"main","bound":0.05,"value":0.004,"utilization":0.08},
{"limit":"max_order_value","portfolio":null,"bound":50000,"value":null,"utilization":null}]}
""".replace("\n", "")

ALERTS: Final = """{"schema":"tradingd.alerts/1","rows":[
{"alert_id":"9f3c","ts":"2026-11-20T15:10:00.000Z","severity":"critical","title":"Daily loss 1.9 %","count":3,
"state":"pending","action_taken":"entries blocked","next_command":"tradingctl breakers"}]}
""".replace("\n", "")

HEAD: Final = '{"schema":"tradingd.journal_head/1","seq":184229,"event_digest":"7c9e"}'

WHY: Final = """{"schema":"tradingd.why/1",
"order":{"order_id":"o-1042","client_order_id":"momentum-SPY-17","symbol":"SPY",
"side":"buy","qty":10,"type":"limit","limit_px":449.5,"status":"partially_filled"},
"steps":[
{"ts":"2026-11-20T15:11:58.000Z","seq":184200,"step":"signal",
"text":"momentum said BUY with score 0.71, confidence 0.71"},
{"ts":"2026-11-20T15:11:58.250Z","seq":184201,"step":"checks",
"text":"all 14 checks passed; 4,495.35 reserved"},
{"ts":"2026-11-20T15:12:02.250Z","seq":184220,"step":"fill","text":"4 at 449.4975 (quote), fee 0.35; 6 left"}]}
""".replace("\n", "")

ANSWERS: Final[dict[str, Any]] = {
    "status": STATUS,
    "positions": POSITIONS,
    "orders": ORDERS,
    "fills": FILLS,
    "trades": TRADES,
    "limits": LIMITS,
    "alerts": ALERTS,
    "journal.head": HEAD,
    "why": WHY,
    "subscribe": {"schema": "tradingd.subscription/1", "subscription": 1},
}
