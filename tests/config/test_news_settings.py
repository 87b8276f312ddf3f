"""[predictor.sentiment] from every source: files, variables, --set; shown as it reads back."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from config.params import strategy_requests
from config.settings import Settings, settings_digest, settings_tree
from config.show import rows, to_toml
from config.sources import Loaded, load_settings
from daemon.kernel.errors import ConfigError
from daemon.system.news import sentiment_params


def load(tmp_path: Path, text: str = "", sets: tuple[str, ...] = (), **environ: str) -> Loaded:
    """Load a configuration of one file."""
    file = tmp_path / "c.toml"
    file.write_text(text, "utf-8")
    return load_settings(file=file, profile=None, sets=sets, environ=environ)


def test_weights_of_sources_come_from_files_variables_and_sets(tmp_path: Path) -> None:
    """The last wins, name by name; names may have dots and blanks."""
    text = '[predictor.sentiment.source_weights]\nwire = 2\n"finance.yahoo.com" = 0.5\n"A B" = 3\n'
    sets = ("predictor.sentiment.source_weights.wire=4.5", "predictor.sentiment.source_weights.a.b=1")
    loaded = load(tmp_path, text, sets, TRADINGD_PREDICTOR__SENTIMENT__SOURCE_WEIGHTS="{ blog = 0 }")
    assert loaded.settings.predictor.sentiment.source_weights == {
        "wire": Decimal("4.5"),
        "finance.yahoo.com": Decimal("0.5"),
        "A B": Decimal(3),
        "a.b": Decimal(1),
        "blog": Decimal(0),
    }


def test_a_source_is_named_once(tmp_path: Path) -> None:
    """Names count in any case of their letters: of two weights nobody could tell which holds."""
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, '[predictor.sentiment.source_weights]\nWire = 2\n" wire " = 0\n')
    assert "source_weights names one source twice: 'Wire' and ' wire '" in refused.value.message


def test_headlines_without_a_source_may_weigh_otherwise_too(tmp_path: Path) -> None:
    """Their name is empty."""
    text = '[predictor.sentiment]\nmodel = "lexicon"\n[predictor.sentiment.source_weights]\n"" = 0.5\nWire = 2\n'
    params = sentiment_params(load(tmp_path, text).settings, news=True)
    assert params is not None
    assert [params.weight(source) for source in ("", " ", "wire", "WIRE ", "other")] == [0.5, 0.5, 2.0, 2.0, 1.0]


def test_what_is_shown_reads_back(tmp_path: Path) -> None:
    """Weights and all, as a file."""
    text = '[predictor.sentiment]\nmodel = "lexicon"\nhalf_life_hours = 6.5\n'
    loaded = load(tmp_path, text + '[predictor.sentiment.source_weights]\n"A B" = 1.25\n')
    written = to_toml(loaded.settings)
    assert tomllib.loads(written)["predictor"]["sentiment"]["source_weights"] == {"A B": 1.25}
    assert load(tmp_path, written).settings == loaded.settings
    shown = {row.key: (row.value, row.origin) for row in rows(loaded)}
    assert shown["predictor.sentiment.half_life_hours"] == ("6.5", str(tmp_path / "c.toml"))
    assert "A B" in shown["predictor.sentiment.source_weights"][0]


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    """With how to write it."""
    with pytest.raises(ConfigError, match=r"predictor\.sentiment\.source_weights is a section"):
        load(tmp_path, "", ("predictor.sentiment.source_weights=3",))
    with pytest.raises(ConfigError, match=r"unknown key predictor\.sentiment\.half_life"):
        load(tmp_path, "[predictor.sentiment]\nhalf_life = 3\n")


def test_a_configuration_that_says_nothing_of_news_keeps_its_digest(tmp_path: Path) -> None:
    """Runs recorded before there were any are still those of the same configuration."""
    plain = Settings()
    assert "sentiment" not in settings_tree(plain)["predictor"]
    assert settings_digest(load(tmp_path, "[predictor.sentiment]\nmin_items = 1\n").settings) == settings_digest(plain)
    other = load(tmp_path, "[predictor.sentiment]\nmin_items = 2\n").settings
    assert settings_digest(other) != settings_digest(plain)
    assert Settings.model_validate(settings_tree(other)).predictor.sentiment == other.predictor.sentiment
    assert strategy_requests(other) == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('predictor.sentiment.model = "../x"', "is no model's name"),
        ('inference.group = "no such/group"', "is not a group's name"),
    ],
)
def test_a_name_that_is_none_is_refused_in_a_sentence(tmp_path: Path, line: str, said: str) -> None:
    """Not with a traceback."""
    section, _, rest = line.rpartition(" = ")[0].rpartition(".")
    value = line.partition(" = ")[2]
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, f"[{section}]\n{rest} = {value}\n")
