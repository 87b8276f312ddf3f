"""What the sentiment model is trained on and measured with never meets."""

from __future__ import annotations

import gzip
import random
from collections import Counter

import pytest


@pytest.fixture(scope="module")
def data(scripts):
    """Return the module that reads and splits."""
    return scripts("sentiment_data")


def test_addresses_tickers_case_and_punctuation_make_no_new_text(data) -> None:
    """The same news about another ticker, with another short address, is the same text; another number is not."""
    assert data.key("$KRG: Compass Point cuts to Sell https://t.co/MCyfTsXc2N") == "compass point cuts to sell"
    assert data.key("$ABC - compass point  CUTS to sell!") == "compass point cuts to sell"
    assert data.key("Kenya\u2019s bank") == data.key("Kenya's bank")
    assert data.key("Up 5% to $52") == "up 5% to $52"
    assert data.key("Up 6% to $52") != data.key("Up 5% to $52")


def test_a_text_labelled_twice_counts_once_and_by_majority(data) -> None:
    """Two of three call it negative; where as many say one thing as another, nobody knows and it goes."""
    rows = [data.Example("GM cuts jobs", label) for label in (0, 0, 1)]
    rows += [data.Example("Fed meets", 1), data.Example("Fed meets!", 2), data.Example("https://t.co/x", 1)]
    assert data.unique(rows) == [("gm cuts jobs", data.Example("GM cuts jobs", 0))]


def test_near_duplicates_are_one_group_also_in_a_chain(data) -> None:
    """8 of 10 words shared is near (0.8), 6 of 12 is far (0.5); what is near to a near one belongs to it."""
    first = "a b c d e f g h i"
    second = "a b c d e f g h j"  # shares 8 of 10 with the first
    third = "a b c d e f g j k"  # shares 7 of 11 with the first, 8 of 10 with the second
    far = "a b c d e f x y z"  # shares 6 of 12 with the first
    assert data.near_groups([first, third]) == [0, 1]
    groups = data.near_groups([first, second, third, far])
    assert groups[0] == groups[1] == groups[2] != groups[3]


def texts_of_all_kinds(data, n: int = 400):
    """Return unlike texts of three labels in the proportion 1:6:3, and a near-duplicate of every tenth."""
    words = [f"w{i}" for i in range(2000)]
    rng = random.Random(7)  # noqa: S311 - texts, no secrets
    rows = []
    for i in range(n):
        text = rng.sample(words, 9)
        label = 0 if i % 10 == 0 else 2 if i % 10 < 4 else 1
        rows.append(data.Example(" ".join(text), label))
        if i % 10 == 5:
            rows.append(data.Example(" ".join([*text, "extra"]), label))
    return rows


def test_the_split_is_the_same_whatever_the_order_of_the_rows(data) -> None:
    """A hash of each text decides, not its place in the file."""
    rows = texts_of_all_kinds(data)
    again = rows[::-1]
    assert data.split(rows) == data.split(again)


def test_parts_have_their_shares_of_every_label(data) -> None:
    """15 % test, 10 % validation, and the labels 1:6:3 in each, up to the size of one group."""
    parts = data.split(texts_of_all_kinds(data))
    total = sum(map(len, parts.values()))
    assert total == 440
    for part, share in (("test", 0.15), ("validation", 0.10), ("train", 0.75)):
        count = Counter(example.label for example in parts[part])
        for label, of_label in ((0, 40), (1, 280), (2, 120)):
            assert abs(count[label] - share * of_label) <= 3, (part, label)


def test_no_near_duplicate_lies_in_two_parts(data) -> None:
    """Each text and the same text with a word more stand in one part."""
    parts = data.split(texts_of_all_kinds(data))
    where = {example.text: part for part, rows in parts.items() for example in rows}
    pairs = [text for text in where if text.endswith(" extra")]
    assert len(pairs) == 40
    assert [text for text in pairs if where[text] != where[text.removesuffix(" extra")]] == []


def test_a_file_of_another_kind_is_refused(data, tmp_path) -> None:
    """An unknown label is not silently the last one; the sentence names the file."""
    path = tmp_path / "set.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\nGM loses a bull,bearish\n"))
    with pytest.raises(SystemExit, match=r"set\.csv\.gz is not the set that is meant"):
        data.read(path)
    with pytest.raises(SystemExit, match="TRADINGD_TEST_DATA"):
        data.read(tmp_path / "none.csv.gz")


def test_parts_of_the_real_set_are_those_of_the_model_card(data, test_data) -> None:
    """9,543 rows, 9,297 different texts; nothing of a held-out part is near to anything trained on."""
    rows = data.read(test_data / data.TWITTER)
    assert len(rows) == 9543
    parts = data.split(rows)
    assert {part: len(of) for part, of in parts.items()} == {"train": 6971, "validation": 930, "test": 1396}
    keys = [(part, data.key(example.text)) for part, of in parts.items() for example in of]
    groups = data.near_groups([words for _, words in keys])
    parts_of: dict[int, set[str]] = {}
    for (part, _), group in zip(keys, groups, strict=True):
        parts_of.setdefault(group, set()).add(part)
    assert [group for group, found in parts_of.items() if len(found) > 1] == []
