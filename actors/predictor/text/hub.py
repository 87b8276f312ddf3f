"""Known models fetched from the hub where they are published: a pinned revision, every file by its SHA-256.

The digests stand here, in the program: neither the hub, nor who sits between, nor a later change of the model decides
what is installed. Over HTTPS only (a mirror on this very machine may speak HTTP); a redirect that leaves HTTPS is
refused. A connection that breaks is taken up where it ended, now or by the next try.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx2

from actors.predictor.text.importing import Asked
from actors.predictor.text.store import ModelStore
from daemon.kernel.errors import OperatorError

HUB: Final = "https://huggingface.co"
FILE_MAX: Final = 1024**3
"""Bytes of one file; more is not what was asked for."""
TRIES: Final = 4
SLOW_S: Final = 60.0
SLOW_BYTES: Final = 16 * 1024
"""A connection that brings less than these bytes in that many seconds is as good as broken."""
REDIRECTS_MAX: Final = 5
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=10.0)
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_PARTIAL: Final = 206
_RANGE_REFUSED: Final = 416
_AGAIN: Final = "try again; what has come so far is kept"
_ELSEWHERE: Final = (
    "try again, name a mirror with --hub, or import what tradingd model export wrote where there is a network"
)


class Known(NamedTuple):
    """A model this program knows.

    Attributes:
        repository: on the hub; revision: a commit of it, which nothing can be put behind.
        files: SHA-256 by name.
        base, licence, data, honesty: for the manifest.
    """

    repository: str
    revision: str
    files: Mapping[str, str]
    base: str
    licence: str
    data: str
    honesty: str


KNOWN: Final[Mapping[str, Known]] = {
    "finbert": Known(
        repository="ProsusAI/finbert",
        # The commit in which the hub's own converter added safetensors (refs/pr/29): the main branch has pickles only.
        revision="7db323f79b751944bcfa66298ec06977e4518306",
        files={
            "config.json": "f6449ddda85eb726207a40be59c0cd3bd4b142ccb27298d5e45f9ae3396b1abe",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            "model.safetensors": "e5897858ff819aad7629b96ce521ae5477952d03634ef5dd30ed2d76357a9f00",
        },
        base="BERT-base, uncased (Apache-2.0), trained further on Reuters TRC2",
        licence="the code of its authors is Apache-2.0; the weights carry no licence of their own and were trained on "
        "sentences under CC BY-NC-SA 3.0: ask before any commercial use",
        data="Financial PhraseBank (Araci 2019)",
        honesty="As published .86 accurate on Financial PhraseBank, on which it was trained; on other text it does "
        "worse, and nothing is said of whether a tone moves a price.",
    ),
}

Progress = Callable[[int, int], None]


def fetch_model(
    name: str,
    store: ModelStore,
    hub: str = "",
    progress: Progress | None = None,
    catalogue: Mapping[str, Known] = KNOWN,
) -> tuple[Path, Asked]:
    """Return a folder with the verified files of a known model, and how to import it.

    Args:
        name: of the model.
        store: whose disk takes the files.
        hub: address instead of ``HUB``.
        progress: is called with bytes so far and in all of the file under way.
        catalogue: the models it knows.

    Raises:
        OperatorError: ``NO_MODEL`` (unknown), ``HUB_ADDRESS``, ``HUB`` (cannot be reached or refuses),
            ``MODEL_DIGEST`` (what came is not what was pinned).
    """
    known = catalogue.get(name)
    if known is None:
        raise OperatorError(
            f"{name[:60]!r} is no model this program knows how to fetch",
            code="NO_MODEL",
            remedy=f"known are: {', '.join(catalogue)}; others come in with tradingd model import",
        )
    base = _address(hub or HUB)
    folder = fetched_folder(name, store)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(name, folder), httpx2.Client(timeout=_TIMEOUT, follow_redirects=False) as client:
        for file, digest in known.files.items():
            url = base.join(f"{base.path.rstrip('/')}/{known.repository}/resolve/{known.revision}/{file}")
            _fetch(client, url, folder / file, digest, progress)
    source = f"{base.host}/{known.repository} at {known.revision}"
    return folder, Asked(
        name=name, source=source, base=known.base, licence=known.licence, data=known.data, honesty=known.honesty
    )


def fetched_folder(name: str, store: ModelStore) -> Path:
    """Return where files of a known model are gathered."""
    return store.root / ".fetch" / name


@contextmanager
def _alone(name: str, folder: Path) -> Iterator[None]:
    """Let nobody else gather the same files: two that append to one file make neither's.

    Raises:
        OperatorError: ``HUB``, somebody does.
    """
    with folder.with_name(f".{name}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another process fetches {name} into {folder}"
            raise OperatorError(message, code="HUB", remedy="wait until it has ended") from None
        yield


def discard_fetched(name: str, store: ModelStore) -> None:
    """Remove fetched files once the model is installed."""
    shutil.rmtree(fetched_folder(name, store), ignore_errors=True)


def _fetch(client: httpx2.Client, url: httpx2.URL, path: Path, digest: str, progress: Progress | None) -> None:
    """Get one file whole and verified, going on from what an earlier try has left."""
    if path.is_file() and _digest(path) == digest:
        return
    part = path.with_name(f"{path.name}.part")
    for attempt in range(1, TRIES + 1):
        try:
            _receive(client, url, part, progress)
            break
        except httpx2.TransportError as error:
            if attempt == TRIES:
                asked = _host_of(error, url)
                reached = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                told = f"breaks off while sending {path.name}" if reached else "cannot be reached"
                raise OperatorError(
                    f"{asked} {told}: {str(error) or type(error).__name__}",
                    code="HUB",
                    remedy=_AGAIN if reached else _ELSEWHERE,
                ) from None
    found = _digest(part)
    if found != digest:
        part.unlink()
        raise OperatorError(
            f"{path.name} from {url.host} has the SHA-256 {found[:12]}… but {digest[:12]}… is pinned",
            code="MODEL_DIGEST",
            remedy="nothing was installed; fetch from the hub itself, not from a mirror",
        )
    part.replace(path)


def _receive(client: httpx2.Client, url: httpx2.URL, part: Path, progress: Progress | None) -> None:
    """Append what is still missing to a partial file."""
    for _ in range(REDIRECTS_MAX):
        have = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with client.stream("GET", url, headers=headers | {"Accept-Encoding": "identity"}) as answer:
            if answer.has_redirect_location:
                url = _address(answer.headers["Location"], url)
                continue
            if answer.status_code == _RANGE_REFUSED and have:  # it has no more: either whole or of something else
                return
            if not answer.is_success:
                raise OperatorError(
                    f"{url.host} answers {answer.status_code} to {url.path}", code="HUB", remedy="try again later"
                )
            goes_on = answer.status_code == _PARTIAL and _starts_at(answer.headers.get("Content-Range", ""), have)
            _write(answer, part, have if goes_on else 0, progress)
            return
    raise OperatorError(f"{url.host} redirects without end", code="HUB", remedy="try again later")


def _write(answer: httpx2.Response, part: Path, have: int, progress: Progress | None) -> None:
    length = answer.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else 0
    begun, came = time.monotonic(), 0
    with part.open("ab" if have else "wb") as file:
        for chunk in answer.iter_raw():  # as it comes: what a break leaves in a buffer is lost
            have += len(chunk)
            if have > FILE_MAX:
                part.unlink()  # it is not what was asked for, and nothing to go on from
                raise OperatorError(f"{answer.url.host} sends more than {FILE_MAX:,} bytes", code="HUB")
            file.write(chunk)
            came += len(chunk)
            if (now := time.monotonic()) - begun >= SLOW_S:
                if came < SLOW_BYTES:
                    file.flush()
                    raise httpx2.ReadTimeout(f"{came:,} bytes in {now - begun:.0f} s")
                begun, came = now, 0
            if progress is not None:
                progress(have, total)


def _host_of(error: httpx2.TransportError, url: httpx2.URL) -> str:
    """Return who did not answer: a redirect may have led elsewhere."""
    try:
        return error.request.url.host
    except RuntimeError:  # not the library's own
        return url.host


def _starts_at(content_range: str, offset: int) -> bool:
    return content_range.startswith(f"bytes {offset}-")


def _address(told: str, before: httpx2.URL | None = None) -> httpx2.URL:
    """Return an address, of a person or (``before``: who sends there) of a redirect, that may be asked.

    Raises:
        OperatorError: ``HUB_ADDRESS``, it is none, or leaves HTTPS.
    """
    try:
        url = httpx2.URL(told) if before is None else before.join(told)
    except (httpx2.InvalidURL, ValueError) as error:
        sent = "" if before is None else f" to which {before.host} sends"
        message = f"{told[:100]!a}{sent} is no address: {error}"
        raise OperatorError(message, code="HUB_ADDRESS", remedy="models are fetched over HTTPS only") from None
    # Plain HTTP is for a mirror on this very machine, not for whom a hub would like to have asked here.
    near = url.host in _LOOPBACK and (before is None or before.scheme == "http")
    if url.host and (url.scheme == "https" or (url.scheme == "http" and near)):
        return url
    raise OperatorError(
        f"{ascii(f'{url.scheme}://{url.host}'[:100])[1:-1]} is no HTTPS address",
        code="HUB_ADDRESS",
        remedy="models are fetched over HTTPS only",
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
