"""what a recipe takes on TPU slices you need not have: memory, FLOPs, collectives, time

Compiles the true training step for that topology (pip install 'flan-t5x[plan]'); --analytic does
without a compiler. Figures are estimates: nothing is run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from flan_t5x.cli.shared import add_run_flags, use_tasks
from flan_t5x.errors import UserError, require_count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``flan-t5x plan``."""
    parser.add_argument(
        "--tpu",
        required=True,
        metavar="NAME",
        help="v4-512, v5e-256, v5p-128, v6e-64, tpu7x-64, or with a topology: v5p-4x4x8",
    )
    parser.add_argument("--slices", type=int, default=1, metavar="N", help="how many (default 1)")
    parser.add_argument("--analytic", action="store_true", help="by arithmetic, without a compiler")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument(
        "--search",
        action="store_true",
        help="try meshes, rules, remat policies and microbatches; print the best as a gin file",
    )
    parser.add_argument(
        "--finalists", type=int, default=3, metavar="N", help="compiled by --search (default 3)"
    )
    parser.add_argument(
        "--weak_scaling",
        action="store_true",
        help="the same rows a chip on 8 to 4,096 chips of this kind, by arithmetic, as a table",
    )
    parser.add_argument(
        "--save_program",
        metavar="FILE",
        help="keep the compiled step; `flan-t5x train --gin.train.compiled_program=FILE` takes it",
    )
    add_run_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Plans, prints, and returns the exit code."""
    from flan_t5x.parallel.tpu import parse_slice

    tpu = parse_slice(options.tpu)
    require_count("--slices", options.slices)
    require_count("--finalists", options.finalists)
    if not options.gin_file:
        raise UserError("name a recipe with --gin_file, e.g. --gin_file=runs/flan_t5_xl.gin")
    # The step is compiled for devices that are not here: whatever is here stays out of it.
    os.environ["JAX_PLATFORMS"] = "cpu"
    use_tasks(options)
    from flan_t5x.cli.gin_config import load
    from flan_t5x.cli.gin_flags import parse_bindings
    from flan_t5x.plan.job import recipe_job
    from flan_t5x.plan.plan import analytic_plan, compiled_plan
    from flan_t5x.plan.report import as_gin, as_json, as_text
    from flan_t5x.plan.search import search
    from flan_t5x.plan.topology import require_libtpu

    configuration = load(
        "train",
        gin_files=options.gin_file,
        bindings=parse_bindings(options.gin_bindings),
        search_paths=options.gin_search_paths,
    )
    if not options.analytic and not options.weak_scaling:
        require_libtpu()
    job = recipe_job(
        configuration.arguments(),
        tpu=tpu,
        slices=options.slices,
        any_mesh=options.search or options.weak_scaling,
    )
    program = None if options.save_program is None else Path(options.save_program).expanduser()
    if program is not None and (options.search or options.analytic or options.weak_scaling):
        raise UserError("--save_program compiles one plan: without --search, --analytic and others")
    if options.weak_scaling:
        from flan_t5x.plan.scaling import scaling_table, weak_scaling

        print(scaling_table(weak_scaling(job)))
        return 0
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "flan_t5x" / "plans"
    if options.search:
        finalists = 0 if options.analytic else options.finalists
        job, plan = search(
            job, finalists=finalists, cache_dir=cache, say=lambda text: print(text, file=sys.stderr)
        )
    else:
        plan = (
            analytic_plan(job)
            if options.analytic
            else compiled_plan(job, cache_dir=cache, program_file=program)
        )
    if options.json:
        figures = as_json(job, plan)
        if options.search:
            figures["gin"] = as_gin(job, plan, name=", ".join(options.gin_file))
        print(json.dumps(figures, indent=2))
    elif options.search:
        report = "\n".join(f"# {line}".rstrip() for line in as_text(job, plan).splitlines())
        print(as_gin(job, plan, name=", ".join(options.gin_file)) + report)
    else:
        print(as_text(job, plan))
    return 0
