"""A checkpoint made ready to answer: parameters on the mesh, with the vocabulary they speak."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from flan_t5x.checkpoint.initial import load_initial, locate, place_params
from flan_t5x.checkpoint.leaves import params_fingerprint
from flan_t5x.data.vocabulary import Vocabulary, resolve_vocabulary
from flan_t5x.model.config import T5Config
from flan_t5x.model.model import Model, Params
from flan_t5x.parallel.mesh import make_mesh
from flan_t5x.parallel.rules import Rules, param_shardings, resolve_rules


@dataclass(frozen=True)
class LoadedModel:
    """What answers prompts.

    Attributes:
        model: gives logits from parameters.
        params: on the mesh.
        config: the sizes.
        mesh: the devices.
        shardings: of `params`.
        rules: sharding rules.
        vocabulary: of prompts and answers.
        checkpoint: where the parameters came from, a model_dir resolved to its best step.
        fingerprint: hex digest of the parameters' names, shapes and first values: tells
            another checkpoint at the same place.
    """

    model: Model
    params: Params
    config: T5Config
    mesh: Mesh
    shardings: Any
    rules: Rules
    vocabulary: Vocabulary
    checkpoint: str
    fingerprint: str

    def reload(self, checkpoint_path: str) -> LoadedModel:
        """The same with the parameters of another checkpoint; what is compiled stays of use.

        Raises:
            UserError: as `load_model`.
        """
        checkpoint = locate(checkpoint_path)
        params = load_initial(
            checkpoint,
            self.model.abstract_params,
            vocabulary=self.vocabulary.fingerprint(),
            config=self.config,
        )
        return dataclasses.replace(
            self,
            params=place_params(params, self.shardings),
            checkpoint=checkpoint,
            fingerprint=params_fingerprint(params),
        )


def load_model(
    checkpoint_path: str,
    config: T5Config,
    *,
    vocabulary: str,
    mesh: Mapping[str, int] | None = None,
    rules: str | Rules = "data_parallel",
) -> LoadedModel:
    """Reads a checkpoint onto the devices.

    Args:
        checkpoint_path: a model_dir (its best step), a checkpoint folder, a base checkpoint
            file (``.npz``) or "mini_base".
        config: the sizes it must have.
        vocabulary: "mini" or the path of a SentencePiece model.
        mesh: sizes of the mesh axes, default all devices on "data".
        rules: sharding rules, a preset of `flan_t5x.parallel.rules` or a list.

    Raises:
        UserError: no checkpoint, one of other sizes or of another vocabulary, a mesh that does
            not fit the devices.
    """
    device_mesh = make_mesh(mesh or {"data": -1})
    found = resolve_vocabulary(vocabulary)
    config.check_vocabulary(found.size, name=vocabulary)
    model = Model(config.for_mesh(device_mesh))
    rules = resolve_rules(rules)
    shardings = param_shardings(
        model.abstract_params, model.logical_axes, rules=rules, mesh=device_mesh
    )
    empty = LoadedModel(model, {}, config, device_mesh, shardings, rules, found, "", "")
    return empty.reload(checkpoint_path)
