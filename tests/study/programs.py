"""Programs of Slurm's names that say what a test wants: for what a real Slurm (tests/slurm) does not do on demand."""

import os


class Programs:
    """`squeue` says the lines in `says`, one for each job; sbatch, scontrol and scancel what they are told."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        folder.mkdir()
        self.says, self.called = folder / "says", folder / "called"
        self.write("squeue", f"cat {self.says}")
        self.write("scontrol", "echo JobId=17 ExitCode=1:0")
        self.write("scancel", "true")
        self.write("sbatch", "echo Submitted batch job 17")
        self.write("srun", "true")
        self.jobs()
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(self, name, text):
        (self.folder / f".{name}").write_text(f'#!/bin/sh\necho "{name} $@" >> {self.called}\n{text}\n')
        (self.folder / f".{name}").chmod(0o755)
        (self.folder / f".{name}").replace(self.folder / name)

    def jobs(self, *lines):
        (self.folder / ".says").write_text("".join(f"{line}\n" for line in lines))
        (self.folder / ".says").replace(self.says)

    def calls(self, name):
        if not self.called.exists():
            return []
        return [line for line in self.called.read_text().splitlines() if line.startswith(f"{name} ")]
