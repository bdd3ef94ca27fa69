"""orchboard completion"""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")],
    /,
) -> None:
    """Print a completion script for a shell.

    The script completes commands, options and their values. `orchboard` must be on the shell's `PATH`.

    **Examples**

    ```
    source <(orchboard completion bash)
    orchboard completion bash > ~/.local/share/bash-completion/completions/orchboard
    orchboard completion zsh > ~/.zfunc/_orchboard    # a directory of fpath
    orchboard completion fish > ~/.config/fish/completions/orchboard.fish
    ```
    """
    from orchboard.cli import make_app
    from orchboard.cli.output import write_bytes

    write_bytes(make_app().generate_completion(shell=shell).encode())
