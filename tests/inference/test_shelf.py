"""What a worker has at hand: models by their whole names, and nothing else of the host's disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.messages.inference import InferenceRequested, PredictionReady, PredictionUnavailable
from actors.messages.sentiment import SentimentReady, SentimentRequested
from actors.predictor.models.manifest import SHIPPED
from actors.predictor.pool.frames import Failed, ModelFact, Request
from actors.predictor.text.lexicon import Lexicon
from daemon.inference.shelf import Shelf
from daemon.kernel.errors import OperatorError
from tests.inference.support import MODEL, table

LEXICON = Lexicon().model_id


def words(model_id: str) -> SentimentRequested:
    """Return a request to score two headlines."""
    return SentimentRequested("s", model_id, ("a", "b"), ("Profit rose", "Shares plunge"), 0)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Give an empty shelf."""
    return Shelf(SHIPPED, tmp_path)


def told(shelf: Shelf, request: Request) -> str:
    """Return why there is no answer."""
    shelf.load(shelf.missing((request,)))
    (answer,) = shelf.answer((request,))
    assert isinstance(answer, PredictionUnavailable)
    assert not isinstance(answer, Failed)
    assert (answer.request_id, answer.model_id) == (request.request_id, request.model_id)
    return answer.reason


@pytest.mark.parametrize("name", [".", "..", "/etc", "./x@1", "~/models", "sentiment", "", "@", "lexicon"])
def test_a_text_model_is_asked_for_by_name_and_version(
    shelf: Shelf, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is a folder is none: a client cannot make the host read where it likes."""
    monkeypatch.chdir(tmp_path)
    assert "no text model" in told(shelf, words(name))
    assert shelf.facts() == ()


@pytest.mark.parametrize("name", ["lexicon@0", f"{LEXICON}x", "sentiment@000000000000", "nobody@1"])
def test_another_version_is_no_model_and_leaves_nothing_behind(shelf: Shelf, name: str) -> None:
    """Whoever asks for a thousand of them makes the host remember none as served."""
    assert told(shelf, words(name))
    assert shelf.facts() == ()
    assert shelf._pools == {}


def test_a_name_of_one_kind_is_none_of_the_other(shelf: Shelf) -> None:
    """Words asked of a price model and prices asked of the list of words, in either order; both still answer."""
    prices = InferenceRequested("t", LEXICON, "t", 1, table(1).ids, table(1).features, 0)
    for _ in range(2):
        assert "no text model" in told(shelf, words(MODEL.model_id))
        assert "has no model 'lexicon'" in told(shelf, prices)
        assert isinstance(shelf.answer((words(LEXICON),))[0], SentimentReady)
        assert isinstance(shelf.answer((table(1),))[0], PredictionReady)
    assert shelf.facts() == (ModelFact(LEXICON, "text", 2), ModelFact(MODEL.model_id, "table", 2))


def test_only_answers_are_served(shelf: Shelf) -> None:
    """A request of the wrong size is told so and not counted; those beside it are answered."""
    wrong = InferenceRequested("w", MODEL.model_id, "w", 1, table(2).ids, table(1).features, 0)
    answers = shelf.answer((table(2), wrong, table(3, 3)))
    assert [type(answer) for answer in answers] == [PredictionReady, PredictionUnavailable, PredictionReady]
    assert shelf.facts() == (ModelFact(MODEL.model_id, "table", 2),)


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (MemoryError(), True),
        (OperatorError("no room", code="MODEL_OUTPUT"), True),
        (OperatorError("another digest", code="MODEL_DIGEST"), False),
        (OSError(24, "Too many open files"), False),
    ],
)
def test_what_a_model_failed_at_is_told_from_what_was_never_tried(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, error: Exception, failed: bool
) -> None:
    """The one may kill whoever tries it next, the other can be computed by who has the model."""

    class Pool:
        def predict(self, request: InferenceRequested) -> PredictionReady:
            raise error

    monkeypatch.setattr(shelf, "_pool", lambda _: Pool())
    (answer,) = shelf.answer((table(1),))
    assert isinstance(answer, PredictionUnavailable)
    assert isinstance(answer, Failed) is failed


def test_what_was_tried_is_not_missing(shelf: Shelf) -> None:
    """One request for each model that was not tried yet; a model that is none is tried once."""
    first, second, nobody = table(1), words(LEXICON), words("nobody@1")
    assert shelf.missing((first, first, second, nobody)) == (first, second, nobody)
    shelf.load((first, nobody))
    assert shelf.missing((first, second, nobody)) == (second,)
