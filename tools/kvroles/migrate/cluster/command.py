"""``kubectl kv-roles``: every NIXL ``kv_both`` of a live cluster, with the side it is and where to change it.

kubectl runs it as a plugin. It asks the user's own kubectl to list objects, and writes nothing to the cluster: what is to be
changed is where an object is made, its chart, its overlay, its owner. Exit codes: 0 done; 1 with --check, something is left
or could not be read; 2 wrong usage; 4 the cluster cannot be asked.
"""

from __future__ import annotations

import argparse

from kvroles import console
from kvroles.migrate import cli
from kvroles.migrate.report import output


def parser(prog: str = "kubectl kv-roles") -> console.Parser:
    """The command line's grammar."""
    about, _, more = (__doc__ or "").partition("\n\n")
    p = console.Parser(prog=prog, allow_abbrev=False, description=about.replace("``", ""), epilog=more)
    where = p.add_argument_group("which objects, as kubectl itself takes them")
    where.add_argument("-n", "--namespace", metavar="NAME", help="default: the context's own")
    where.add_argument(
        "-A", "--all-namespaces", action="store_true", help="every namespace, and what is of the cluster"
    )
    where.add_argument("--context", metavar="NAME")
    where.add_argument("--kubeconfig", metavar="FILE")
    p.add_argument("--check", action="store_true", help="exit with 1 if anything is left to do or was not read")
    p.add_argument("--target-vllm", metavar="RELEASE", help="add what that release does with the role")
    cli.add_forms(p)
    p.set_defaults(write=False, diff=False, paths=[])
    return p


def main(argv: list[str] | None = None, prog: str = "kubectl kv-roles") -> int:
    """Run and return the exit code; a failure is one paragraph on standard error."""
    return console.guarded(parser(prog), _run, argv, interrupted="nothing was changed")


def _run(args: argparse.Namespace) -> int:
    from kvroles.migrate import settings  # lazy: --help needs none of it
    from kvroles.migrate.cluster import read  # lazy: --help needs none of it
    from kvroles.migrate.cluster.kubectl import Kubectl  # lazy: --help needs none of it
    from kvroles.migrate.search import Coverage  # lazy: --help needs none of it

    release = cli.release_of(args)
    cluster = [f"--{name}={value}" for name in ("context", "kubeconfig") if (value := getattr(args, name))]
    scope = ["--all-namespaces"] if args.all_namespaces else [f"--namespace={args.namespace}"] if args.namespace else []
    coverage = Coverage(names=args.verbose)
    coverage.unit = "object"
    options = settings.Options(settings.Settings(), release, lines=args.format == "sarif" or args.html is not None)
    output.check(args)
    results = read.cluster(Kubectl(cluster, scope), options, coverage, quiet=args.quiet)
    whole = output.report(args, results, coverage)
    return cli.exit_code(args, results, whole=whole)
