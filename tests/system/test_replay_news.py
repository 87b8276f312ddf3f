"""``replay --news``: who judges the headlines, what folder and report say of them, and what refuses to start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from actors.predictor.text.lexicon import Lexicon
from actors.predictor.text.store import DEFAULT, ModelStore
from actors.reporter.runfolder import sealed, sha256
from actors.reporter.summary import summary_lines
from daemon.cli.tradingd import main
from daemon.kernel.errors import ConfigError, OperatorError
from daemon.system.replay import ReplayResult
from daemon.system.verify import verify_path
from tests_support import replay

BARS = "ts,symbol,open,high,low,close,volume\n" + "".join(
    f"2024-01-{day:02d},{symbol},{px},{px + 1},{px - 1},{px},100000\n"
    for day in (2, 3, 4, 5, 8, 9, 10, 11)
    for symbol, px in (("A", 100 + day % 3), ("B", 50 - day % 4))
)
NEWS = """ts,symbols,headline,source,id,time_precision
2024-01-03T15:00:00Z,A,A plunges after profit warning,wire,1,second
2024-01-03T15:00:00Z,A B,B beats estimates and raises outlook,wire,2,second
2024-01-05T00:00:00Z,B,"Day alone: B wins award, gains",blog,3,day
2024-01-08T16:00:00Z,ZZZ,Nobody of this run,wire,4,second
2024-01-08T16:00:00Z,,Everybody and nobody,wire,5,second
2024-01-09T16:00:00Z,A,,wire,6,second
"""
READS = '''from actors.api import Params, Signal, Window, strategy


@strategy(fields=("close", "sentiment", "news"), horizon=1)
def reads(w: Window, p: Params) -> Signal | None:
    """With the tone."""
    if not w.sentiment.known:
        return None
    return Signal(w.sentiment.score, reason=w.news[-1].text)
'''
LEXICON = ("predictor.sentiment.model=lexicon",)


def files(folder: Path) -> dict[str, Any]:
    """Write data and a strategy; return options that replay them."""
    folder.mkdir(exist_ok=True)
    for name, text in (("bars.csv", BARS), ("news.csv", NEWS), ("reads.py", READS)):
        (folder / name).write_text(text, "utf-8")
    return {"bars": (folder / "bars.csv",), "strategy": f"{folder / 'reads.py'}:reads", "adjustment": None}


def with_news(folder: Path, sets: tuple[str, ...] = LEXICON, **options: Any) -> ReplayResult:
    """Replay them."""
    given = files(folder) | {"news": (folder / "news.csv",)} | options
    given.pop("adjustment")
    return replay(folder / "run", sets=sets, **given)


def test_the_folder_tells_of_every_headline_and_every_session(tmp_path: Path) -> None:
    """Two symbols, three headlines: tables, metrics, report; the folder verifies, and the model is in the manifest."""
    result = with_news(tmp_path, events=True)
    found = json.loads((result.folder / "metrics.json").read_text("utf-8"))["sentiment"]
    model = Lexicon().model_id
    assert (found["headlines"], found["scored"], found["models"]) == (3, 3, [model])
    assert found["coverage"]["symbols"] == {"count": 2, "of": 2, "share": 1.0}
    assert found["coverage"]["sessions"] == {"count": 2, "of": 8, "share": 0.25}
    assert {row["name"]: row["headlines"] for row in found["by_source"]} == {"wire": 2, "blog": 1}
    lines = (result.folder / "sentiment.csv").read_text("utf-8").splitlines()
    assert [line.split(",")[1:3] for line in lines[1:4]] == [
        ["2024-01-03", "A"],
        ["2024-01-03", "B"],
        ["2024-01-04", "A"],
    ]
    report = (result.folder / "report.html").read_text("utf-8")
    assert '<section id="news">' in report
    assert '<a href="#news">' in report
    assert "a list of words and no model" in report
    (said,) = [line for line in summary_lines(result.run, 200) if line.startswith("news")]
    assert said.split(maxsplit=1)[1].startswith(f"3 headlines (3 scored by {model}) of 2 of 2 symbols; a tone at ")
    assert "weighted by source and recency (half-life 24 hours, window 120 hours)" in report
    assert "Sentiment of A by session" in report
    manifest = json.loads((result.folder / "run.json").read_text("utf-8"))
    assert manifest["data"]["digests"][f"text model {model}"] == model.partition("@")[2]
    assert {"headlines.csv", "sentiment.csv"} <= set(manifest["files"])
    assert verify_path(result.folder).ok
    events = [json.loads(line) for line in (result.folder / "events.jsonl").read_text("utf-8").splitlines()]
    seen = [event for event in events if event["type"] == "NewsSeen"]
    assert [(event["news_id"], event["symbols"]) for event in seen] == [("1", ["A"]), ("2", ["A", "B"]), ("3", ["B"])]
    scored = next(event for event in events if event["type"] == "NewsScored")
    assert (scored["symbols"], len(scored["p"])) == ([["A"], ["A", "B"]], 6)
    measured = next(event for event in events if event["type"] == "SentimentMeasured")
    assert (measured["ids"], measured["session"], measured["today"]) == (["A", "B"], 20240103, [2.0, 1.0])


def test_the_result_accounts_for_every_headline(tmp_path: Path) -> None:
    """Answers take more than an hour and count for five minutes: two are late, the third is open as the run ends."""
    options = files(tmp_path)
    late = NEWS.replace("2024-01-05T00:00:00Z,B", "2024-01-11T20:00:00Z,B").replace(",blog,3,day", ",blog,3,second")
    (tmp_path / "news.csv").write_text(late, "utf-8")
    result = replay(
        tmp_path / "run",
        sets=(*LEXICON, "predictor.latency_ms=3600001"),
        bars=options["bars"],
        strategy=options["strategy"],
        news=(tmp_path / "news.csv",),
    )
    (said,) = [line for line in summary_lines(result.run, 200) if line.startswith("news")]
    assert f"3 headlines (0 scored by {Lexicon().model_id}, 2 late, 1 waiting at the end) of" in said


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [("sentiment.csv", ",A,", ",B,"), ("headlines.csv", ",scored,", ",late,"), ("sentiment.csv", "", "")],
)
def test_tables_of_the_news_are_derived_again_from_the_ledger(tmp_path: Path, name: str, was: str, now: str) -> None:
    """One that was changed, or taken away, and sealed anew is told by its name."""
    folder = with_news(tmp_path).folder
    checks = {check.name: check.ok for check in verify_path(folder).checks}
    assert (checks["table:sentiment.csv"], checks["table:headlines.csv"]) == (True, True)
    text = (folder / name).read_text("utf-8")
    manifest = json.loads((folder / "run.json").read_text("utf-8"))
    if was:
        (folder / name).write_text(text.replace(was, now, 1), "utf-8")
        manifest["files"][name] = sha256(folder / name)
    else:
        (folder / name).unlink()
        del manifest["files"][name]
    (folder / "run.json").write_bytes(sealed(manifest))
    wrong = {check.name: check.detail for check in verify_path(folder).checks if not check.ok}
    assert list(wrong) == [f"table:{name}"]
    assert wrong[f"table:{name}"] == ("differs from what the ledger says at line 2" if was else "there is no such file")


def test_what_sources_and_headlines_say_is_no_markup_and_leaves_room_for_figures(tmp_path: Path) -> None:
    """Names of whatever length and content are text in the report; a long one is cut there and whole in the tables."""
    given = files(tmp_path)
    text = NEWS.replace(",wire,1,", ",<b>bold</b>,1,").replace(",blog,", f",{'s' * 500},")
    (tmp_path / "news.csv").write_text(text.replace("A plunges", "<script>A plunges</script>"), "utf-8")
    given.pop("adjustment")
    folder = replay(tmp_path / "run", sets=LEXICON, news=(tmp_path / "news.csv",), **given).folder
    report = (folder / "report.html").read_text("utf-8")
    assert "&lt;b&gt;bold&lt;/b&gt;" in report
    assert "<b>bold" not in report
    assert "<script>A" not in report
    assert f"<td>{'s' * 59}…</td>" in report
    assert "s" * 60 not in report
    assert "s" * 500 in (folder / "headlines.csv").read_text("utf-8")


def test_a_headline_dated_by_its_day_is_first_seen_in_the_next_session(tmp_path: Path) -> None:
    """It may have come out after the close of its day: known at midnight of New York, so Friday's counts on Monday."""
    result = with_news(tmp_path)
    rows = [line.split(",") for line in (result.folder / "sentiment.csv").read_text("utf-8").splitlines()[1:]]
    of_b = {row[1]: row[7:10] for row in rows if row[2] == "B"}
    assert of_b["2024-01-05"] == ["1", "1", "0"]  # scored, within the window, new: that of the third alone
    assert of_b["2024-01-08"] == ["1", "1", "1"]  # the third is five days old by now, Friday's is new
    headline = (result.folder / "headlines.csv").read_text("utf-8").splitlines()[3]
    assert headline.startswith("2024-01-06T05:00:00.000Z,3,blog,B,scored")


def test_a_strategy_trades_on_what_it_read_and_says_so(tmp_path: Path) -> None:
    """The reason of a signal is the author's; it stands beside it in the tables."""
    result = with_news(tmp_path)
    signals = (result.folder / "signals.csv").read_text("utf-8").splitlines()
    assert signals[1].startswith("2024-01-03T21:00:00.000Z,reads,1,A,")
    assert signals[1].endswith("B beats estimates and raises outlook")
    assert any("Day alone" in line for line in signals)
    assert not any(line.startswith("2024-01-02") for line in signals)


def test_what_is_said_of_sources_and_age_decides(tmp_path: Path) -> None:
    """Another half-life, window or weight is another run, of another digest; the defaults are those of the page."""
    plain = with_news(tmp_path / "a")
    assert with_news(tmp_path / "b").digest == plain.digest
    for name, sets in (
        ("c", ("predictor.sentiment.half_life_hours=1", "predictor.sentiment.source_weights.wire=0")),
        ("d", ("predictor.sentiment.window_hours=20",)),
        ("e", ("predictor.sentiment.min_items=2",)),
    ):
        assert with_news(tmp_path / name, (*LEXICON, *sets)).digest != plain.digest
    assert with_news(tmp_path / "f", (*LEXICON, "predictor.sentiment.window_hours=120")).digest == plain.digest


def test_switched_off_the_news_are_as_if_not_given(tmp_path: Path) -> None:
    """No event, no table, no section; a strategy that asks for them is told of."""
    without = replay(tmp_path / "without", **_plain(files(tmp_path)))
    off = with_news(tmp_path, ("predictor.sentiment.model=",))
    assert off.digest == without.digest
    assert not (off.folder / "sentiment.csv").exists()
    assert "sentiment" not in json.loads((off.folder / "metrics.json").read_text("utf-8"))
    assert '<section id="news">' not in (off.folder / "report.html").read_text("utf-8")
    told = "there are no news for what asks for them: reads; "
    assert told + "predictor.sentiment.model is empty" in off.notices
    assert told + "give --news FILE" in without.notices


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    given.pop("adjustment")
    return given


def test_the_model_that_ships_judges_where_nothing_else_is_said(tmp_path: Path) -> None:
    """Its id stands beside every score; it and the list of words agree on the tone of a plain sentence."""
    if not ModelStore(tmp_path).has(DEFAULT):
        pytest.skip("no text model is in the package")
    result = with_news(tmp_path, ())
    found = json.loads((result.folder / "metrics.json").read_text("utf-8"))["sentiment"]
    assert [name.partition("@")[0] for name in found["models"]] == [DEFAULT]
    rows = (result.folder / "headlines.csv").read_text("utf-8").splitlines()
    negative, _, positive = map(float, rows[1].split(",")[5:8])
    assert negative > positive
    assert not any("list of words" in notice for notice in result.notices)


def test_without_the_model_a_list_of_words_judges_and_is_named(tmp_path: Path) -> None:
    """Or nothing, where the configuration says so: then the run is refused with what to do."""
    missing = "predictor.sentiment.model=finbert"
    state = f"paths.state_dir={tmp_path / 'state'}"
    result = with_news(tmp_path / "a", (missing, state))
    model = Lexicon().model_id
    assert any(
        notice.startswith(f"the text model finbert is not installed: headlines are judged by {model}")
        for notice in result.notices
    )
    with pytest.raises(OperatorError, match="there is no text model 'finbert'") as refused:
        with_news(tmp_path / "b", (missing, state, "predictor.sentiment.fallback="))
    assert refused.value.code == "NO_MODEL"
    assert "tradingd model" in refused.value.remedy
    assert not (tmp_path / "b" / "run").exists()


def test_a_model_that_does_not_hold_is_not_replaced_by_anything(tmp_path: Path) -> None:
    """One bit of its file is another: refused before anything is scored, and no folder is left."""
    store = ModelStore(tmp_path / "state")
    if not store.has(DEFAULT):
        pytest.skip("no text model is in the package")
    with store.staging() as stage:
        for file in store.find(DEFAULT).iterdir():
            if file.is_file():
                shutil.copy(file, stage / file.name)
        manifest = json.loads((stage / "manifest.json").read_text("utf-8"))
        (stage / "manifest.json").write_text(json.dumps(manifest | {"name": "mine"}), "utf-8")
        found = store.add(stage)
    sets = ("predictor.sentiment.model=mine", f"paths.state_dir={tmp_path / 'state'}")
    assert with_news(tmp_path / "good", sets).digest
    model = found.folder / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(OperatorError, match=r"model\.onnx"):
        with_news(tmp_path / "bad", sets)
    assert not (tmp_path / "bad" / "run").exists()
    (found.folder / "manifest.json").unlink()
    with pytest.raises(OperatorError, match=r"manifest\.json cannot be read"):
        with_news(tmp_path / "none", sets)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model", "../../etc", "predictor.sentiment.model"),
        ("model", "Big", "predictor.sentiment.model"),
        ("half_life_hours", "0", "must be 0.1 to 8760"),
        ("window_hours", "-1", "must be 1 to 8760"),
        ("min_items", "0", "must be 1 to 200"),
        ("source_weights.wire", "-1", "must be 0 to 100"),
        ("source_weights.wire", "nan", "source_weights.wire"),
        ("fallback", "guess", "predictor.sentiment.fallback"),
    ],
)
def test_a_setting_out_of_bounds_is_refused(tmp_path: Path, key: str, value: str, said: str) -> None:
    """With its name and its bounds."""
    with pytest.raises(ConfigError) as refused:
        with_news(tmp_path, (f"predictor.sentiment.{key}={value}",))
    assert said in refused.value.message


def test_the_command_line_prints_what_the_news_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--json``: the metrics, with coverage and every symbol."""
    given = files(tmp_path)
    arguments = ["replay", "--bars", str(given["bars"][0]), "--news", str(tmp_path / "news.csv")]
    arguments += ["--strategy", given["strategy"], "--set", LEXICON[0], "--out", str(tmp_path / "run"), "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)["sentiment"]
    assert [row["symbol"] for row in found["by_symbol"]] == ["A", "B"]
    assert found["coverage"]["symbol_sessions"]["of"] == 16


@pytest.mark.long
def test_four_years_of_real_headlines_by_the_model_that_ships(tmp_path: Path, test_data: Path) -> None:
    """2017 to 2020: series of every symbol that was told of, by a model and not by a list of words."""
    result = replay(
        tmp_path / "run",
        bars=(test_data / "daily_ohlcv_2012_2022.parquet",),
        news=(test_data / "news_headlines.parquet",),
        strategy="buy_and_hold",
        date_from=20170101,
        date_to=20201231,
    )
    found = json.loads((result.folder / "metrics.json").read_text("utf-8"))["sentiment"]
    assert [name.partition("@")[0] for name in found["models"]] == [DEFAULT]
    assert found["headlines"] > 2_000
    assert found["scored"] > 0.95 * found["headlines"]
    assert (found["waiting"], found["unanswered"]) == (0, {})
    assert found["coverage"]["sessions"]["of"] == 1_007
    flags = {row["name"]: row["tone"] for row in found["by_flag"]}
    assert flags["upgrade"] > flags["downgrade"]
    assert (result.folder / "report.html").read_text("utf-8").count("Sentiment of ") == len(found["by_symbol"][:24])
    assert verify_path(result.folder).ok


def test_real_headlines_over_real_prices(tmp_path: Path, test_data: Path) -> None:
    """A quarter of 2019: series of many symbols as of first-seen time, coverage, and the same again to the byte."""
    options = {
        "bars": (test_data / "daily_ohlcv_2012_2022.parquet",),
        "news": (test_data / "news_headlines.parquet",),
        "strategy": "buy_and_hold",
        "date_from": 20190102,
        "date_to": 20190329,
        "sets": LEXICON,
    }
    first = replay(tmp_path / "first", **options)
    again = replay(tmp_path / "again", **options)
    assert first.digest == again.digest
    for name in ("sentiment.csv", "headlines.csv", "metrics.json", "report.html"):
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes(), name
    found = json.loads((first.folder / "metrics.json").read_text("utf-8"))["sentiment"]
    assert found["headlines"] > 100
    assert found["scored"] + found["abstained"] == found["headlines"]
    assert found["coverage"]["symbols"]["of"] == 33
    assert len(found["by_symbol"]) > 10
    rows = [line.split(",") for line in (first.folder / "sentiment.csv").read_text("utf-8").splitlines()[1:]]
    assert all(-1 <= float(row[3]) <= 1 for row in rows if row[3])
    assert {row[1] for row in rows} > {"2019-01-31", "2019-03-29"}
    stamps = [line.split(",")[0] for line in (first.folder / "headlines.csv").read_text("utf-8").splitlines()[1:]]
    assert stamps == sorted(stamps)
