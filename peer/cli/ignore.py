"""The verb `ignore`: what is not worth a backup."""

from __future__ import annotations

import click

from peer.cli import output, running
from peer.cli.running import Verb, Wishes, pass_wishes
from peer.service import Answer, Problem


@click.command(cls=Verb)
@click.argument("patterns", nargs=-1)
@click.option("--remove", is_flag=True, help="Back these up again.")
@click.option("--suggest", is_flag=True, help="Show what is usually not worth it, with sizes.")
@pass_wishes
def ignore(wishes: Wishes, patterns: tuple[str, ...], remove: bool, suggest: bool) -> None:
    """Show or add what nights leave out: covey ignore node_modules/ '*.tmp' ~/Videos/raw.

    Patterns are as in a .gitignore: a name anywhere below a mark, with a slash at its end for
    folders alone, or a path. What you marked yourself is never left out. Earlier nights keep what
    they have.
    """

    async def work() -> Answer:
        async with running.reach(wishes) as service:
            if suggest:
                return await service.suggest_ignore()
            before = (await service.ignore())["patterns"]
            if not patterns:
                return {"patterns": before}
            unknown = [pattern for pattern in patterns if pattern not in before]
            if remove and unknown:
                raise Problem(f"«{unknown[0]}» is not left out.", "`covey ignore` lists what is.")
            kept = [pattern for pattern in before if pattern not in patterns]
            return await service.set_ignore(kept if remove else [*kept, *patterns])

    answer = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, **answer}))
    else:
        output.say(_suggested(answer) if suggest else _listed(answer))


def _listed(answer: Answer) -> str:
    if not answer["patterns"]:
        return "Nothing is left out."
    return "\n".join(["Left out from the next night on:", *map(output.shown, answer["patterns"])])


def _suggested(answer: Answer) -> str:
    lines = [
        f"{output.size(one['bytes']):>9}  {one['topic']:<11} "
        + " ".join(map(output.shown, one["patterns"]))
        + ("  (left out)" if one["on"] else "")
        for one in answer["suggestions"]
    ]
    if not answer["whole"]:
        lines.append("There is more than was looked at.")
    return "\n".join(lines) or "Nothing of the usual sort lies below the marks."
