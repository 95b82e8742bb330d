"""Encoders from and to the Hugging Face hub, or a server that speaks its few requests (``HF_ENDPOINT``).

Whatever goes wrong there becomes one line that names the repository and the server.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainnet._checks import require
from brainnet.plmodel.encoder_files import CONFIG, WEIGHTS, check_size

log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
NO_ANSWER = {
    "TransportError",
    "ConnectionError",
    "Timeout",
    "TimeoutError",
}  # classes of httpx and requests, and Python's
Token = str | bool | None


def endpoint() -> str:
    """The address of the hub: ``$HF_ENDPOINT``, else the public one."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def is_id(name: str | os.PathLike) -> bool:
    """Whether a text is a repository of a hub, "OWNER/NAME".

    >>> is_id("me/encoder"), is_id("../me/encoder"), is_id("encoder")
    (True, False, False)
    """
    return isinstance(name, str) and bool(ID.fullmatch(name)) and ".." not in name


def fetched(
    name: str, revision: str | None = None, cache_dir: str | os.PathLike | None = None, token: Token = None
) -> Path:
    """The folder, in the hub's cache, of an encoder's files; both files are of one commit.

    Args:
        name: "OWNER/NAME".
        revision: a branch, a tag or a commit; None is the newest of the main branch.
        cache_dir: of the hub; None is its own.
        token: of a private repository; None takes the one that was saved by ``hf auth login``.

    Raises:
        FileNotFoundError: no such repository or revision, or one that holds no encoder.
        ConnectionError: the hub does not answer, and the files are not in the cache.
        ValueError: a file is too large.
    """
    hub = require("huggingface_hub", "an encoder from the hub")
    common = {"cache_dir": cache_dir, "token": token, "endpoint": endpoint(), "library_name": "brainnet"}
    with _speaking_of(name, revision):
        config = _fetch(hub, name, CONFIG, revision, common)
        commit = config.parent.name  # the cache has a folder for each commit
        return _fetch(hub, name, WEIGHTS, commit, common).parent


def _fetch(hub: Any, name: str, file: str, revision: str | None, common: dict[str, Any]) -> Path:
    """A file from the cache or the hub; its size is asked for before anything of it is fetched."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    place = hub.hf_hub_url(name, file, revision=revision, endpoint=common["endpoint"])
    try:
        found = hub.get_hf_file_metadata(place, token=common["token"], timeout=10)
        check_size(found.size or 0, file, name)
    except Exception as error:
        failed = isinstance(error, HfHubHTTPError) and (_status(error) or 0) >= 500
        if not (failed or isinstance(error, OfflineModeIsEnabled) or _is_no_answer(error)):
            raise
        try:
            kept = Path(hub.hf_hub_download(name, file, revision=revision, local_files_only=True, **common))
        except LocalEntryNotFoundError:
            raise error from None
        log.warning("%s does not answer: taking the copy of %s that was fetched before.", common["endpoint"], name)
        return kept
    return Path(hub.hf_hub_download(name, file, revision=revision, **common))


def push(
    folder: str | os.PathLike,
    name: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: Token = None,
    message: str = "Encoder of brainnet",
) -> str:
    """Puts the files of an encoder into a repository of the hub, which is made where it does not exist.

    Args:
        folder: of an encoder.
        name: "OWNER/NAME".
        private: whether a new repository is; None takes the account's setting.
        revision: branch; None is the main one.
        token: that may write; None takes the one that was saved by ``hf auth login``.
        message: of the commit.

    Returns:
        The address of the repository.

    Raises:
        ValueError: no id of a repository.
        PermissionError: no token, or one that may not write there.
        ConnectionError: the hub does not answer.
    """
    hub = require("huggingface_hub", "an encoder for the hub")
    if not is_id(name):
        raise ValueError(f"a repository of the hub is OWNER/NAME, got {str(name)[:100]!r}.")
    api = hub.HfApi(endpoint=endpoint(), token=token, library_name="brainnet")
    files = sorted(path.name for path in Path(folder).iterdir() if path.is_file() and path.name[0] not in "._")
    with _speaking_of(name, revision, writes=True):
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=str(folder), allow_patterns=files, revision=revision, commit_message=message
        )
    return f"{endpoint()}/{name}"


def _status(error: Any) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_no_answer(error: BaseException) -> bool:
    """Whether a server could not be reached: versions of the hub's client ask by different libraries."""
    return any(kind.__name__ in NO_ANSWER for kind in type(error).__mro__)


@contextmanager
def _speaking_of(name: str, revision: str | None, writes: bool = False) -> Iterator[None]:
    """What the hub's client raises, in one line."""
    from huggingface_hub import errors

    host = endpoint()
    absent: Callable[[str], FileNotFoundError] = lambda what: FileNotFoundError(f"{name} on {host} {what}")  # noqa: E731
    try:
        yield
    except errors.GatedRepoError:
        raise PermissionError(
            f"{name} on {host} is open only to those who were given access: ask for it there, then run hf auth login."
        ) from None
    except errors.RepositoryNotFoundError:
        if writes:
            raise PermissionError(
                f"{name} on {host} cannot be written: run hf auth login, with a token that may write there."
            ) from None
        raise FileNotFoundError(
            f"there is no encoder {name} on {host}, or it is private: then give token=, or run hf auth login."
        ) from None
    except errors.RevisionNotFoundError:
        raise absent(f"has no revision {revision!r}.") from None
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(_unreachable(name, host, error)) from None
    except errors.EntryNotFoundError as error:
        missing = WEIGHTS if WEIGHTS in str(error) else CONFIG
        raise absent(f"has no {missing}: it is no encoder of brainnet's, or not a whole one.") from None
    except errors.HfHubHTTPError as error:
        status = _status(error)
        if status in (401, 403):
            deed = "written" if writes else "read"
            raise PermissionError(
                f"{name} on {host} cannot be {deed} (it answers {status}): run hf auth login, with a token that may."
            ) from None
        raise ConnectionError(_unreachable(name, host, f"it answers {status}")) from None
    except errors.HFValidationError as error:
        raise ValueError(f"{name!r} is no repository of a hub: {str(error).splitlines()[0]}") from None
    except Exception as error:
        if not (isinstance(error, errors.OfflineModeIsEnabled) or _is_no_answer(error)):
            raise
        raise ConnectionError(_unreachable(name, host, error)) from None


def _unreachable(name: str, host: str, error: Any) -> str:
    said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")[:200]
    return (
        f"the hub {host} does not give {name} ({said}). Where you have its folder, give the path. HF_ENDPOINT names "
        "another hub."
    )
