"""``hf://org/name`` and ``hf://org/name@revision``: fetched by huggingface_hub into its cache."""

from __future__ import annotations

from pathlib import Path

from flan_t5x.errors import UserError

HUB = "hf://"
_BESIDE = ["*.json", "spiece.model"]


def download(url: str) -> Path:
    """The folder with a model's files; weights as safetensors, else as PyTorch files.

    A file that is in the cache is not fetched again; HF_HOME, HF_HUB_OFFLINE, HF_TOKEN and
    HF_ENDPOINT work as everywhere.

    Raises:
        UserError: huggingface_hub is not installed, or there is no such model or network.
    """
    name, _, revision = url.removeprefix(HUB).rstrip("/").partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UserError(
            f"{url}: write hf://organisation/model, or hf://organisation/model@revision"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(
            f"{url} needs huggingface_hub: pip install 'flan-t5x[hub]', or download the model's "
            "files and give their folder"
        ) from error
    try:
        for weights in ("model*.safetensors*", "pytorch_model*.bin*"):
            folder = Path(
                snapshot_download(
                    name, revision=revision or None, allow_patterns=[*_BESIDE, weights]
                )
            )
            if any(folder.glob(weights)):
                return folder
    except Exception as error:  # HTTP and cache errors of many kinds, OSError and ValueError
        text = " ".join(str(error).split())[:200] or repr(error)
        raise UserError(f"{url} cannot be fetched: {text}") from error
    raise UserError(f"{url} has neither safetensors nor PyTorch weights")
