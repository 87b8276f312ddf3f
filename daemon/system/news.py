"""News by what a configuration says of them: which text model is asked, and what a core makes of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.predictor.sentiment.params import SentimentParams
from actors.values.time import HOUR_NS
from config.settings import Settings
from daemon.kernel.errors import OperatorError
from daemon.system.composition import CoreSpec

if TYPE_CHECKING:
    from actors.predictor.pool.texts import Load, Scorer

DIGEST: Final = "text model "
"""In a manifest's digests, what stands before the id of the text model a run asked."""
_MISSING: Final = "NO_MODEL"


def sentiment_params(settings: Settings, *, news: bool) -> SentimentParams | None:
    """Return what a core makes of headlines; None where none are given, or they are switched off.

    Args:
        settings: with ``[predictor.sentiment]``.
        news: whether there are any.

    Raises:
        OperatorError: the model is not installed and nothing may judge in its place, or its manifest does not hold.
    """
    return _params(settings, _model_id(settings)) if news and settings.predictor.sentiment.model else None


def _params(settings: Settings, model_id: str) -> SentimentParams:
    chosen = settings.predictor.sentiment
    return SentimentParams(
        model_id=model_id,
        half_life_ns=int(chosen.half_life_hours * HOUR_NS),
        window_ns=int(chosen.window_hours * HOUR_NS),
        min_items=chosen.min_items,
        weights=tuple((name.strip().lower(), float(weight)) for name, weight in sorted(chosen.source_weights.items())),
    )


def text_models(settings: Settings, params: SentimentParams | None) -> dict[str, Load]:
    """Return what loads the text model that a core asks, by its id; nothing is loaded here."""
    if params is None:
        return {}
    if _is_lexicon(params.model_id):
        return {params.model_id: _load_lexicon}
    model_id = params.model_id

    def load() -> Scorer:
        from actors.predictor.text.model import load_text_model  # noqa: PLC0415 - onnxruntime comes with the first text

        return load_text_model(_store(settings).find(model_id))

    return {model_id: load}


def news_notices(settings: Settings, spec: CoreSpec, given_by: str) -> list[str]:
    """Return what the operator should know of who judges the headlines, and who asks for them in vain.

    Args:
        settings: with the model that is wanted.
        spec: with the one that is asked, and the strategies.
        given_by: what would give headlines.
    """
    wanted, params = settings.predictor.sentiment.model, spec.sentiment
    if params is None:
        deaf = ", ".join(binding.name for binding in spec.bindings if binding.spec.news)
        off = f"give {given_by}" if wanted else "predictor.sentiment.model is empty"
        return [f"there are no news for what asks for them: {deaf}; {off}"] if deaf else []
    if not _is_lexicon(params.model_id) or _is_lexicon(wanted):
        return []
    words = f"headlines are judged by {params.model_id}, a list of words; see tradingd model list"
    return [f"the text model {wanted} is not installed: {words}"]


def damaged_text_model(settings: Settings, params: SentimentParams | None) -> list[str]:
    """Return why the text model of a run could not be loaded, if a file of it is not what its manifest says.

    A daemon starts all the same, for it has more to do than to read the news; a replay loads the model and refuses.
    """
    if params is None or _is_lexicon(params.model_id):
        return []
    from actors.predictor.text.checks import read_verified  # noqa: PLC0415 - only who has news needs them
    from actors.predictor.text.manifest import read_text_manifest  # noqa: PLC0415

    try:
        folder = _store(settings).find(params.model_id)
        for name, digest in read_text_manifest(folder).files.items():
            read_verified(folder, name, digest)
    except OperatorError as error:
        return [f"headlines would have no scores, for the text model {params.model_id} cannot be used: {error}"]
    return []


def text_digests(params: SentimentParams | None) -> dict[str, str]:
    """Return the text model of a run for its manifest."""
    return {} if params is None else {f"{DIGEST}{params.model_id}": params.model_id.partition("@")[2]}


def recorded_model(manifest: Mapping[str, Any]) -> str:
    """Return the id of the text model a recorded run asked; "" where it followed no news."""
    return next((name.removeprefix(DIGEST) for name in manifest["digests"] if name.startswith(DIGEST)), "")


def recorded_params(settings: Settings, manifest: Mapping[str, Any]) -> SentimentParams | None:
    """Return what a recorded run made of headlines, with the model it asked, whether or not that is still here."""
    model_id = recorded_model(manifest)
    return _params(settings, model_id) if model_id else None


def _model_id(settings: Settings) -> str:
    chosen = settings.predictor.sentiment
    if _is_lexicon(chosen.model):
        return _load_lexicon().model_id
    from actors.predictor.text.manifest import read_text_manifest  # noqa: PLC0415 - only who has news needs it

    try:
        folder = _store(settings).find(chosen.model)
    except OperatorError as error:
        if error.code != _MISSING or not chosen.fallback:
            raise
        return _load_lexicon().model_id
    return read_text_manifest(folder).model_id  # one that is there and cannot be read is not replaced


def _is_lexicon(model: str) -> bool:
    return model.partition("@")[0] == "lexicon"


def _load_lexicon() -> Scorer:
    from actors.predictor.text.lexicon import Lexicon  # noqa: PLC0415 - only who has news needs it

    return Lexicon()


def _store(settings: Settings) -> Any:
    from actors.predictor.text.store import ModelStore  # noqa: PLC0415 - only who has news needs it

    return ModelStore(Path(settings.paths.state_dir).expanduser())
