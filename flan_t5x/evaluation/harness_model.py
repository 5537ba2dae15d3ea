"""The harness's model interface (`lm_eval.api.model.LM`) over a checkpoint.

An encoder reads the context, a decoder scores or writes what follows it. So `loglikelihood` is
that of the continuation as the decoder's whole text up to there (its end token is not counted,
as the harness has it), and `loglikelihood_rolling`, the likelihood of a text that follows
nothing, is refused: T5 was never trained to write without reading.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lm_eval.api.model import LM

from flan_t5x.checkpoint.convert.merge import open_plan
from flan_t5x.checkpoint.convert.read_ours import run_vocabulary
from flan_t5x.checkpoint.initial import SHIPPED, locate, shipped_file
from flan_t5x.data.vocabulary import MINI
from flan_t5x.decode.beam import BeamSearch
from flan_t5x.decode.continuations import Decoding
from flan_t5x.decode.sampling import Sampling
from flan_t5x.errors import UserError, nearest
from flan_t5x.evaluation.buckets import MAX_BATCH_TOKENS
from flan_t5x.evaluation.generation import Generator
from flan_t5x.evaluation.loaded import LoadedModel, load_model
from flan_t5x.evaluation.ranking import Ranker

_SETTINGS = (
    "until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p", "num_beams",
)  # fmt: skip
_log = logging.getLogger(__name__)


class FlanT5X(LM):
    """A checkpoint of ours, T5X's or Hugging Face's for the harness.

    Args:
        checkpoint: as for `flan-t5x eval`; the model's sizes are read from it.
        vocabulary: "mini" or the path of a SentencePiece model; default the run's own.
        max_length: tokens of a context; longer ones lose their beginning, which is said.
        max_gen_toks: tokens to generate where a task does not say.
        max_batch_tokens: see `Buckets`.
        seed: of sampling.
        batch_size: most sequences computed together; the harness gives 1 where nothing is
            asked for, so 1 and "auto" leave it to `max_batch_tokens`.
        max_batch_size: not used, nor is `device`: the harness gives them to every model.

    Raises:
        UserError: as `load_model`, or no vocabulary is known.
    """

    def __init__(
        self,
        checkpoint: str,
        vocabulary: str | None = None,
        *,
        max_length: int = 1024,
        max_gen_toks: int = 128,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        seed: int = 0,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        del max_batch_size, device
        # The harness writes 1 where the user writes nothing.
        asked = int(batch_size) if str(batch_size).isdecimal() else 1
        self._batching: dict[str, Any] = {
            "batch_size": asked if asked > 1 else 256,
            "max_input_length": max_length,
            "max_batch_tokens": max_batch_tokens,
        }
        self._max_length = max_length
        self._max_gen_toks = max_gen_toks
        self._seed = seed
        self._loaded = _load(checkpoint, vocabulary)
        self._ranker = Ranker(self._loaded.model, mesh=self._loaded.mesh, **self._batching)
        self._generators: dict[tuple[int, Decoding], Generator] = {}

    @property
    def tokenizer_name(self) -> str:
        """What the harness's request caches are keyed by."""
        return f"flan_t5x-{self._loaded.vocabulary.fingerprint()}"

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """(log-probability, whether greedy decoding begins so) of each continuation.

        A context with several continuations is encoded once.
        """
        arguments = [request.args for request in requests]
        contexts = list(dict.fromkeys(context for context, _ in arguments))
        texts: dict[str, dict[str, int]] = {context: {} for context in contexts}
        for context, continuation in arguments:
            of_context = texts[context]
            of_context.setdefault(continuation, len(of_context))
        encode = self._loaded.vocabulary.encode
        options = [
            [np.array(encode(text), np.int32) for text in texts[context]] for context in contexts
        ]
        scores = dict(
            zip(
                contexts,
                self._ranker(self._loaded.params, self._contexts(contexts), options),
                strict=True,
            )
        )
        results = []
        for context, continuation in arguments:
            number = texts[context][continuation]
            found = scores[context]
            results.append((float(found.log_probs[number]), bool(found.greedy[number])))
            self.cache_hook.add_partial("loglikelihood", (context, continuation), results[-1])
        return results

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Raises UserError: see the head of this module."""
        raise UserError(
            "loglikelihood_rolling (perplexity of a whole text) has no meaning for an "
            "encoder-decoder, which writes in answer to what it reads; choose tasks of type "
            "multiple_choice, loglikelihood or generate_until"
        )

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The answer to each context, up to the first of its "until" texts.

        A request's answer under sampling is a function of (seed, its number).
        """
        groups: dict[tuple[int, Decoding], list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(self._method(request.args[1]), []).append(number)
        texts = [""] * len(requests)
        for (length, decoding), numbers in groups.items():
            generator = self._generator(length, decoding)
            prompts = self._contexts([requests[i].args[0] for i in numbers])
            for chosen in generator.batches([len(p) for p in prompts]):
                made = generator.answer(
                    self._loaded.params,
                    [prompts[i] for i in chosen],
                    numbers=[numbers[i] for i in chosen],
                    seed=self._seed,
                )
                for i, tokens in zip(chosen, made.tokens, strict=True):
                    texts[numbers[i]] = self._loaded.vocabulary.decode(tokens.tolist())
        for number, request in enumerate(requests):
            texts[number] = until(texts[number], request.args[1].get("until"))
            self.cache_hook.add_partial("generate_until", request.args, texts[number])
        return texts

    def _contexts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Tokens with their end token. The question stands last, so the beginning is cut."""
        eos = self._loaded.vocabulary.eos_id
        room = self._max_length - 1
        encoded = self._loaded.vocabulary.encode_batch(list(texts))
        long = sum(len(ids) > room for ids in encoded)
        if long:
            _log.warning("%d of %d contexts are longer than max_length = %d and lost their "
                         "beginning", long, len(encoded), self._max_length)  # fmt: skip
        return [np.array([*ids[max(len(ids) - room, 0) :], eos], np.int32) for ids in encoded]

    def _method(self, settings: Mapping[str, Any]) -> tuple[int, Decoding]:
        """Tokens to generate and how, from a task's generation_kwargs."""
        for name in settings:
            if name not in _SETTINGS:
                hint = nearest(name, _SETTINGS) or f"known: {', '.join(_SETTINGS)}"
                raise UserError(f"generation_kwargs has {name!r}, which is not known; {hint}")
        length = int(settings.get("max_gen_toks", self._max_gen_toks))
        beams = int(settings.get("num_beams", 1))
        if beams > 1:
            return length, BeamSearch(beams=beams)
        temperature = float(settings.get("temperature", 0.0))
        if not settings.get("do_sample", temperature > 0.0):
            temperature = 0.0
        elif temperature == 0.0:
            temperature = 1.0
        top_k, top_p = int(settings.get("top_k", 0)), float(settings.get("top_p", 1.0))
        return length, Sampling(temperature=temperature, top_k=top_k, top_p=top_p)

    def _generator(self, length: int, decoding: Decoding) -> Generator:
        key = (length, decoding)
        if key not in self._generators:
            self._generators[key] = Generator(
                self._loaded.model,
                mesh=self._loaded.mesh,
                max_decode_length=length,
                decoding=decoding,
                **self._batching,
            )
        return self._generators[key]


def until(text: str, stops: str | Sequence[str] | None) -> str:
    """The text before the first of `stops`, none of which is empty."""
    for stop in [stops] if isinstance(stops, str) else stops or []:
        if stop:
            text = text.split(stop)[0]
    return text


def _load(checkpoint: str, vocabulary: str | None) -> LoadedModel:
    path = locate(checkpoint)
    file = str(shipped_file(path)) if path in SHIPPED else path
    name = vocabulary or (MINI if path in SHIPPED else run_vocabulary(path))
    if name is None:
        raise UserError(
            f"{checkpoint} does not say which vocabulary it was made with; give "
            "vocabulary=FILE.model in --model_args"
        )
    return load_model(path, open_plan(file).config, vocabulary=name)
