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
"limits":[{"limit":"max_position","portfolio":"main","bound":0.2,"value":0.1863,"utilization":0.9315,"unit":"share",
"subject":"SPY","warn":true,"by_hand":false},{"limit":"max_leverage","portfolio":"main","bound":2,"value":0.634,
"utilization":0.317,"unit":"multiple","subject":null,"warn":false,"by_hand":true}],
"model":{"model":"momentum@3","strategy":"momentum","state":"active","horizon":"1d",
"text_model":"finbert@0123456789ab","pool":"host","breaker":"closed"},
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
{"limit":"max_order_value","portfolio":null,"bound":50000,"value":null,"utilization":null},
{"limit":"max_sector","portfolio":"main","bound":0.25,"value":0.2329,"utilization":0.9316,"subject":"Technology",
"warn":true,"unit":"share"},
{"limit":"max_leverage","portfolio":"main","bound":0.5,"value":0.634478,"utilization":1.268956,"subject":null,
"warn":true,"unit":"multiple","by_hand":true},
{"limit":"cash","portfolio":"main","bound":51234.5,"value":50739.15,"utilization":0.99033,"unit":"money","warn":false},
{"limit":"max_var","portfolio":"main","bound":null,"value":null,"utilization":null,"unit":"share"},
{"limit":"symbols.BRK.B.max_order_qty","portfolio":null,"bound":40,"value":null,"utilization":null,"unit":"shares"},
{"limit":"stale_s","portfolio":null,"bound":5,"value":null,"utilization":null,"unit":"seconds"},
{"limit":"order_rate","portfolio":null,"bound":100,"value":null,"utilization":null,"unit":"per_second"},
{"limit":"unusual_size","portfolio":null,"bound":10.5,"value":null,"utilization":null,"unit":"multiple"},
{"limit":"self_match_prevention","portfolio":null,"bound":true,"value":null,"utilization":null,"unit":"flag"},
{"limit":"deny_unknown_adv","portfolio":null,"bound":false,"value":null,"utilization":null,"unit":"flag"}],
"by_hand":[{"key":"risk.max_leverage","value":"0.5"}]}
""".replace("\n", "")

ALERTS: Final = """{"schema":"tradingd.alerts/1","rows":[
{"alert_id":"9f3c","ts":"2026-11-20T15:10:00.000Z","severity":"critical","title":"Daily loss 1.9 %","count":3,
"state":"pending","action_taken":"entries blocked","next_command":"tradingctl breakers"}]}
""".replace("\n", "")

HEAD: Final = '{"schema":"tradingd.journal_head/1","seq":184229,"event_digest":"7c9e"}'

WHY: Final = """{"schema":"tradingd.why/1","as_of_seq":184229,
"order":{"order_id":"o-1042","client_order_id":"momentum-SPY-17","ts":"2026-11-20T15:11:58.250Z","symbol":"SPY",
"side":"buy","type":"limit","tif":"day","qty":10,"limit_px":449.5,"stop_px":null,"status":"canceled","cum_qty":9,
"avg_px":449.4975,"reason":"signal","strategy":"momentum","parent_id":"","portfolio":"main","purpose":"signal"},
"decision":{"ts":"2026-11-20T15:11:58.000Z","symbol":"SPY","model":"momentum@3","horizon":"1d","prediction":"BUY",
"score":0.7134,"confidence":0.7134,"p_up":null,"price":449.8,"target_price":null,"realized":0.0123,
"realized_tradable":0.0119,"hit":true,"strategy":"momentum","decision":17,"reason":"20-day high"},
"targets":{"ts":"2026-11-20T15:11:58.000Z","reason":"signal","weight":0.045,"names":12,"cut_buy":3,"cut_sell":1},
"entry":null,
"checks":[{"by":"risk","verdict":"passed","reserved":4495.35,"ts":"2026-11-20T15:11:58.250Z","seq":184201},
{"by":"broker","verdict":"accepted","order_id":"o-1042","ts":"2026-11-20T15:11:58.250Z","seq":184201}],
"life":[{"ts":"2026-11-20T15:11:58.250Z","seq":184201,"event":"accepted","reserved":4495.35},
{"ts":"2026-11-20T15:12:02.250Z","seq":184220,"event":"partially_filled"},
{"ts":"2026-11-23T14:30:00.000Z","seq":184910,"event":"canceled","cum_qty":9,"reason":"operator"}],
"fills":[{"ts":"2026-11-20T15:12:02.250Z","order_id":"o-1042","exec_id":"o-1042-1","symbol":"SPY","side":"buy","qty":4,
"price":449.4975,"px_source":"quote","fee":0.35,"liquidity":"taker","ref_px":449.45,"commission":0.35,"regulatory":0,
"spread":0.1,"slippage":0.09,"impact":0,"position_after":124,"cash_after":49436.16,"realized_pnl":0},
{"ts":"2026-11-20T15:14:02.250Z","order_id":"o-1042","exec_id":"o-1042-2","symbol":"SPY","side":"buy","qty":5,
"price":449.4975,"px_source":"quote","fee":0.35,"liquidity":"taker","ref_px":449.45,"commission":0.35,"regulatory":0,
"spread":0.12,"slippage":0.12,"impact":0,"position_after":129,"cash_after":47188.32,"realized_pnl":0}],
"costs":{"commission":0.7,"regulatory":0,"spread":0.22,"slippage":0.21,"impact":0,"total":1.13},
"position_after":129,"cash_after":47188.32,"realized_pnl":0,"trades_closed":[],
"trades_opened":[{"symbol":"SPY","side":"long","qty":9,"entry_ts":"2026-11-20T15:12:02.250Z","entry_px":449.4975,
"exit_ts":"2026-11-24T20:59:00.000Z","exit_px":494.45,"fees":1.4,"pnl":403.17,"return":0.0997,"mae":-0.01,"mfe":0.1,
"entry_confidence":0.7134,"exit_reason":"take_profit","strategy":"momentum"}],
"exit_reason":"take_profit","children":[]}
""".replace("\n", "")

ACTORS: Final = """{"schema":"tradingd.actors/1","rows":[
{"name":"root","parent":"","state":"running","restarts":0,"since":1795189200000000000,"last_error":""},
{"name":"market","parent":"root","state":"running","restarts":2,"since":1795189202500000000,
"last_error":"reset by peer"},
{"name":"playback","parent":"market","state":"running","restarts":2,"since":1795189202500000000,"last_error":""},
{"name":"outreach","parent":"root","state":"degraded","restarts":0,"since":1795189201000000000,"last_error":""}]}
""".replace("\n", "")

SIGNALS: Final = """{"schema":"tradingd.signals/1","as_of_seq":9,"more":true,"rows":[
{"ts":"2026-11-20T15:11:58.000Z","strategy":"momentum","decision":17,"symbol":"SPY","score":0.713412345,
"confidence":0.713412345,"p_up":null,"horizon":"1d","reason":"20-day high"},
{"ts":"2026-11-20T15:11:58.000Z","strategy":"momentum","decision":17,"symbol":"MSFT","score":-0.2,"confidence":0.2,
"p_up":null,"horizon":"1d","reason":""}]}
""".replace("\n", "")

PREDICTIONS: Final = """{"schema":"tradingd.predictions/1","as_of_seq":9,"more":false,"rows":[
{"ts":"2026-11-20T15:11:58.000Z","symbol":"SPY","model":"momentum@3","horizon":"1d","prediction":"BUY",
"score":0.7134,"confidence":0.7134,"p_up":0.61,"price":449.8,"target_price":455.1,"realized":0.0123,
"realized_tradable":0.0119,"hit":true}]}
""".replace("\n", "")

RISK: Final = """{"schema":"tradingd.risk/1","rows":[{"portfolio":"main","trading_state":"active","equity":101234.56,
"cash":51234.5,"reserved":4495.35,"available":46739.15,"gross":64231.06,"net":50000.06,"gross_exposure":0.634478,
"net_exposure":0.493904,"leverage":0.634478,"positions":3,"largest_symbol":"SPY","largest_weight":0.1432,
"daily_pnl":-412.4,"drawdown":-0.0123,"entries_blocked":false},
{"portfolio":"second","trading_state":"active","equity":50000,"cash":-12000.5,"reserved":0,"available":0,
"initial_margin":31000,"maintenance_margin":15500,"margin_excess":34500,"buying_power":38000,"gross":62000.5,
"net":62000.5,"gross_exposure":1.24001,"net_exposure":1.24001,"leverage":1.24001,"positions":2,"largest_symbol":"NVDA",
"largest_weight":0.81,"daily_pnl":120,"drawdown":0,"entries_blocked":true,"heat":0.0371,"slippage":0.0007,
"fill_rate":0.96,"beta":1.4012,"correlation":0.8123,"sharpe_30":-0.41,"sessions":252,"market":"SPY",
"closest":{"symbols":["NVDA","AMD"],"correlation":0.7612},
"tails":[{"method":"historical","level":0.95,"horizon":1,"var":0.0312,"es":0.0451,"n":252,"scaling":"nothing scaled"},
{"method":"historical","level":0.99,"horizon":1,"var":0.0561,"es":0.0623,"n":252,"scaling":"nothing scaled"},
{"method":"historical","level":0.95,"horizon":10,"var":0.0912,"es":0.1051,"n":25,"scaling":"overlapping windows"},
{"method":"historical","level":0.99,"horizon":10,"var":null,"es":null,"n":25,"scaling":"overlapping windows"},
{"method":"montecarlo","level":0.95,"horizon":1,"var":0.0302,"es":0.0391,"n":252,"scaling":"nothing scaled"},
{"method":"montecarlo","level":0.99,"horizon":1,"var":0.0432,"es":0.0501,"n":252,"scaling":"nothing scaled"}],
"components":[{"symbol":"NVDA","weight":0.81,"var":0.0281,"es":0.0402,"marginal":0.0347,"var_normal":0.0279},
{"symbol":"AMD","weight":0.43001,"var":0.0031,"es":0.0049,"marginal":0.0072,"var_normal":0.003}],
"sectors":[{"sector":"Technology","gross":1.24001,"net":1.24001}],
"stress":[{"scenario":"crisis-2008","title":"Financial crisis 2007-2009","loss":0.612,"worst":"NVDA","worst_loss":0.41,
"sector":null,"assumed_betas":0},{"scenario":"correlation-one","title":"All correlations go to 1","loss":null,
"worst":null,"worst_loss":null,"sector":null,"assumed_betas":0}]}]}
""".replace("\n", "")

BREAKERS: Final = """{"schema":"tradingd.breakers/1","rows":[
{"portfolio":"main","breaker":"daily_loss","state":"latched","value":0.051,"limit":0.05,"baseline":101646.96,
"equity":96462.96,"entries_blocked":true},
{"portfolio":"main","breaker":"drawdown","state":"armed","value":0.0123,"limit":null,"baseline":102500,
"equity":101234.56,"entries_blocked":false},
{"portfolio":"main","breaker":"slippage","state":"cooling","value":0.0124,"limit":0.01,"unit":"share","action":"block",
"reset":"cooling","subject":"AMD","cause":"a fill of AMD cost 1.24% in its price","since":"2026-11-20T15:02:11.000Z",
"until":null,"sessions_left":1},
{"portfolio":null,"breaker":"connectivity","state":"tripped","value":31.2,"limit":30,"unit":"seconds","action":"reduce",
"reset":"cooling","subject":"alpaca","cause":"the feed alpaca is lost since 2026-11-20T15:00:00Z",
"since":"2026-11-20T15:00:31.200Z"},
{"portfolio":null,"breaker":"order_rate","state":"armed","value":null,"limit":500,"unit":"count","action":"halt",
"reset":"operator"},
{"portfolio":"main","breaker":"exposure","state":"armed","value":0.6345,"limit":1.5,"unit":"multiple",
"action":"deleverage","reset":"cooling"}],
"locks":[{"portfolio":"main","symbol":"TSLA","rule":"cooldown","until":"2026-11-20T16:00:00.000Z","sessions_left":null,
"reason":"TSLA was closed at a loss of 412.5 and rests"},
{"portfolio":"main","symbol":null,"rule":"stop_guard","until":null,"sessions_left":2,
"reason":"3 stops within 5 sessions lock the entries of main"}],
"restricted":[{"symbol":"GME","reason":"earnings, by uid 1000 pid 4242"}]}
""".replace("\n", "")

HEALTH: Final = """{"schema":"tradingd.health/1","rows":[
{"name":"core","state":"running","restarts":0,"ok":true,"detail":""},
{"name":"predictor","state":"running","restarts":0,"ok":false,"detail":"momentum is off (overruns)"},
{"name":"feed:playback","state":"live","ok":true,"detail":"","last_event_age_s":0.212}]}
""".replace("\n", "")

CONFIG: Final = """{"schema":"tradingd.config/1","rows":[
{"key":"risk.max_position","value":"0.2","default":"0.2","bounds":"0.01 to 0.5","origin":"default",
"meaning":"Largest position as a fraction of equity.","reloadable":true},
{"key":"feed.playback.bars","value":"[\\"bars.csv\\"]","default":"[]","bounds":"","origin":"tradingd.toml",
"meaning":"Recorded bars.","reloadable":false}]}
""".replace("\n", "")

CHECK: Final = """{"schema":"tradingd.config_check/1","ok":true,"changes":[{"key":"risk.max_position","old":"0.2",
"new":"0.15"}]}
""".replace("\n", "")

MODEL: Final = """{"schema":"tradingd.model/1","rows":[{"model":"price_5d@c6996cf2ed5d","strategy":"price_model",
"state":"active","horizon":"5d","kind":"table","served_by_host":41},{"model":"finbert@0123456789ab","state":"active",
"kind":"text","served_by_host":null}],"pool":{"pool":"host","breaker":"open","reason":"the inference host is silent",
"opened":2,"queue":3,"answered":41,"degraded":7,"unavailable":1,"late":2,"p50_ms":1.25,"p99_ms":31.5,
"headline_cache":{"hit_rate":0.75,"hits":30,"misses":10,"size":10},"host":{"backend":"ray","state":"unreachable",
"workers":2,"busy":1,"queue":0,"served":41,"failed":1,"late":0,"restarts":1,"p50_ms":0.8,"p99_ms":20.0},
"refused":[{"model_id":"finbert@0123456789ab","reason":"there is no text model 'finbert'","here":false}]}}
""".replace("\n", "")

MODELS: Final = """{"schema":"tradingd.models/1","rows":[{"model":"momentum@3","strategy":"momentum","state":"active",
"horizon":"1d","trained_from":"2015-01-02","trained_to":"2025-12-31"}]}
""".replace("\n", "")

RESULTS: Final[dict[str, str]] = {
    "halt": '{"schema":"tradingd.trading_state/1","trading_state":"halted","reason":"news","changed":true,'
    '"canceled":["momentum-SPY-17","momentum-MSFT-17"]}',
    "reduce": '{"schema":"tradingd.trading_state/1","trading_state":"reducing","reason":"",'
    '"changed":false,"canceled":[]}',
    "unlatch": '{"schema":"tradingd.trading_state/1","trading_state":"halted","reason":"found","changed":true,'
    '"canceled":[],"breakers_reset":[{"portfolio":"main","breaker":"daily_loss"}]}',
    "resume": '{"schema":"tradingd.trading_state/1","trading_state":"active","reason":"ok",'
    '"changed":true,"canceled":[]}',
    "order.submit": '{"schema":"tradingd.order/1","order_id":"o-1","client_order_id":"op-1","status":"new","qty":10,'
    '"reserved":4510.35}',
    "order.submit-flip": '{"schema":"tradingd.order/1","order_id":"o-1","client_order_id":"op-1","status":"filled",'
    '"cum_qty":10,"avg_px":450.1,"orders":[{"order_id":"o-1","client_order_id":"op-1","status":"filled"},'
    '{"order_id":"o-2","client_order_id":"op-1-open","status":"new"}]}',
    "order.submit-denied": '{"schema":"tradingd.order/1","order_id":null,"client_order_id":"op-1","status":"denied",'
    '"code":"MAX_ORDER_VALUE","reason":"the order is worth more than the limit","remedy":"split it",'
    '"value":"60000","limit":"50000"}',
    "order.cancel": '{"schema":"tradingd.order/1","order_id":"o-1","client_order_id":"op-1","status":"canceled",'
    '"cum_qty":4,"reason":"operator"}',
    "cash.deposit": '{"schema":"tradingd.cash/1","portfolio":"main","amount":10000,"cash":61234.5,"equity":111234.56}',
    "breaker.reset": '{"schema":"tradingd.breaker/1","portfolio":"main","breaker":"daily_loss","state":"armed",'
    '"changed":true,"trading_state":"halted"}',
    "breaker.reset-none": '{"schema":"tradingd.breaker/1","portfolio":"","breaker":"connectivity","state":"armed",'
    '"changed":false,"detail":"no breaker connectivity (here) has tripped, so there was none to reset",'
    '"trading_state":"active"}',
    "strategy.enable": '{"schema":"tradingd.strategy/1","strategy":"momentum","enabled":true,"changed":false}',
    "strategy.disable": '{"schema":"tradingd.strategy/1","strategy":"momentum","enabled":false,"changed":true}',
    "alert.ack": '{"schema":"tradingd.alert/1","alert_id":"9f3c","state":"acknowledged"}',
    "limits.set": '{"schema":"tradingd.limits_set/1","changed":true,"changes":[{"key":"risk.max_order_qty","old":"0",'
    '"new":"500"},{"key":"risk.symbols.AAPL.max_position","old":"0","new":"0.1"}]}',
    "limits.set-unchanged": '{"schema":"tradingd.limits_set/1","changed":false,"changes":[]}',
    "restricted.add": '{"schema":"tradingd.restricted/1","symbol":"AAPL","restricted":true,"changed":true}',
    "restricted.remove": '{"schema":"tradingd.restricted/1","symbol":"AAPL","restricted":false,"changed":false}',
    "reload": '{"schema":"tradingd.reload/1","digest":"7c9e",'
    '"changes":[{"key":"risk.max_position","old":"0.2","new":"0.15"}]}',
    "snapshot": '{"schema":"tradingd.snapshot/1","seq":184229}',
    "log.level": '{"schema":"tradingd.log_level/1","level":"debug"}',
    "shutdown": '{"schema":"tradingd.shutdown/1","stopping":true,"positions":2,"open_orders":1,'
    '"detail":"the daemon ends; 2 positions and 1 working order stay as they are"}',
    "backup": '{"schema":"tradingd.backup/1","path":"/b/x.tar","bytes":8396800,"sha256":"a477","manifest":{"seq":2906,'
    '"latch":"clear","files":[{"name":"ledger.db","bytes":163840,"sha256":"a5c0"},'
    '{"name":"tape/20190102.tape","bytes":1081,"sha256":"1f73"}]}}',
}
"""Method, or method and what is special, -> the answer of a command."""

_HEAD: Final = '{"subscription":1,"seq":184230,"n":0,"ts":"2026-11-20T15:12:02.250Z","type":'
EVENTS: Final = (
    _HEAD + '"OrderAccepted","order_id":"o-1042","order":{"client_order_id":"momentum-SPY-17","portfolio":"main",'
    '"symbol":"SPY","side":1,"qty":10,"type":"limit","tif":"day","limit_px":449.5,"stop_px":null,"strategy":"momentum",'
    '"reason":"signal","symbol_text":"","exempt":false},"reserved":4495.35,"ts":"2026-11-20T15:12:02.250Z"}',
    _HEAD + '"OrderPartiallyFilled","order_id":"o-1042","client_order_id":"momentum-SPY-17","exec_id":"o-1042-1",'
    '"portfolio":"main","symbol":"SPY","side":1,"last_qty":4,"last_px":449.4975,"ref_px":449.45,"cum_qty":4,'
    '"leaves_qty":6,"avg_px":449.4975,"commission":0.35,"px_source":"quote","strategy":"momentum","reason":"signal"}',
    _HEAD + '"OrderDenied","order":{"client_order_id":"op-1","symbol":"MSFT","side":-1,"qty":1000},"code":"MAX_QTY",'
    '"reason":"too large","value":"1000","limit":"500"}',
    _HEAD + '"TradingStateChanged","old":"active","new":"halted","reason":"daily loss","by":"breaker","latched":true}',
    _HEAD + '"SignalsReady","strategy":"momentum","decision":17,"horizon":"1d","ids":["SPY","MSFT","AAPL","KO"],'
    '"score":[0.7,-0.91234,0.1,0.2],"confidence":[0.7,0.9,0.1,0.2],"p_up":null,"price":[449,410,200,60]}',
    _HEAD + '"EquityMarked","portfolio":"main","equity":101234.56,"cash":51234.5,"gross":64231.06,"net":50000.06}',
    _HEAD
    + '"AlertRaised","alert_id":"9f3c","severity":"critical","title":"Daily loss 1.9 %","facts":[["loss","1.9 %"]]}',
)

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
    "actors": ACTORS,
    "signals": SIGNALS,
    "predictions": PREDICTIONS,
    "risk": RISK,
    "breakers": BREAKERS,
    "health": HEALTH,
    "config.show": CONFIG,
    "config.check": CHECK,
    "model": MODEL,
    "model.list": MODELS,
    "subscribe": '{"schema":"tradingd.subscription/1","subscription":1}',
}
