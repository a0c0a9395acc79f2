"""The table of the kit's own commands: name, function and summary.

To add a command, write its module in `findna_kit/cli` and add a line here. The summary is the first paragraph of the
function's docstring; a test compares them. Nothing here imports a command.
"""

from __future__ import annotations

from findna_kit.cli.groups import CommandEntry, GroupEntry

COMMANDS: dict[str, CommandEntry | GroupEntry] = {
    "run": CommandEntry("findna_kit.cli.run:run", "Train a recipe, evaluate it and write a run folder."),
    "check": CommandEntry(
        "findna_kit.cli.check:check",
        "Validate a recipe, or every condition of a study: assemble it without allocating memory, check its files and tasks.",
    ),
    "plan": CommandEntry(
        "findna_kit.cli.plan:plan",
        "Measure a few training steps and print parameters, memory, FLOPs and run time of a recipe or a study.",
    ),
    "show": CommandEntry(
        "findna_kit.cli.show:show",
        "Print a recipe with every default filled in, or a study with what differs between its conditions.",
    ),
    "views": CommandEntry(
        "findna_kit.cli.views:views", "Draw a window and the views that training makes of it, base under base."
    ),
    "schema": CommandEntry(
        "findna_kit.cli.schema:schema", "Print the JSON Schema of recipes for editors, including the installed plugins."
    ),
    "recipes": GroupEntry(
        "List the recipes of the kit and of plugins, and copy one or a study.",
        {
            "list": CommandEntry(
                "findna_kit.cli.recipes.list:list_recipes", "List the recipes of the kit and of installed plugins."
            ),
            "copy": CommandEntry(
                "findna_kit.cli.recipes.copy:copy_recipe",
                "Copy a recipe to edit it, with the JSON Schema that editors validate it against; or copy a study.",
            ),
        },
        default="list",
    ),
    "components": CommandEntry(
        "findna_kit.cli.components:components",
        "List the components that a recipe can choose, or print one with its parameters.",
    ),
    "plugins": GroupEntry(
        "List, check, test and create plugins.",
        {
            "list": CommandEntry("findna_kit.cli.plugins.list:list_plugins", "List installed plugins without importing them."),
            "doctor": CommandEntry(
                "findna_kit.cli.plugins.doctor:doctor",
                "Import each plugin in its own process and report what it provides or why it fails.",
            ),
            "new": CommandEntry(
                "findna_kit.cli.plugins.new:new_plugin", "Create a plugin package that installs, passes its tests and runs."
            ),
            "test": CommandEntry(
                "findna_kit.cli.plugins.test:test_plugin", "Run the conformance checks on the components of a plugin."
            ),
        },
        default="list",
    ),
    "genome": CommandEntry(
        "findna_kit.cli.genome:genome",
        "Index a FASTA and report contigs, N, soft-masking, GC content and the number of windows.",
    ),
    "ablate": CommandEntry(
        "findna_kit.cli.ablate:ablate", "Run the missing cells of an ablation study and print its result."
    ),
    "runs": GroupEntry(
        "List runs, find the best one and compare several.",
        {
            "list": CommandEntry("findna_kit.cli.runs.list:list_runs", "List runs with their status, progress and scores."),
            "best": CommandEntry(
                "findna_kit.cli.runs.best:best_run", "Find the finished run with the best value of a validation metric."
            ),
            "compare": CommandEntry(
                "findna_kit.cli.runs.compare:compare_runs",
                "Compare runs: differences in recipe and versions, metrics, and scores with their controls.",
            ),
        },
        default="list",
    ),
    "evaluate": CommandEntry(
        "findna_kit.cli.evaluate:evaluate", "Score a run on labelled tasks, next to its controls."
    ),
    "finetune": CommandEntry(
        "findna_kit.cli.finetune:finetune",
        "Fine-tune a run on a labelled task, score it next to its controls, and keep the model.",
    ),
    "predict": CommandEntry(
        "findna_kit.cli.predict:predict", "Predict the sequences of a file with a fine-tuned model."
    ),
    "tasks": GroupEntry(
        "List the labelled tasks of the kit and audit tasks for leakage.",
        {
            "list": CommandEntry(
                "findna_kit.cli.tasks.list:list_tasks", "List the tasks of the kit and whether their data are present."
            ),
            "audit": CommandEntry(
                "findna_kit.cli.tasks.audit:audit_tasks",
                "Search for test sequences of a task in its other splits, in the training data of a run or in a genome.",
            ),
        },
        default="list",
    ),
    "embed": CommandEntry("findna_kit.cli.embed:embed", "Embed the sequences of a file with the frozen model of a run."),
    "variants": CommandEntry(
        "findna_kit.cli.variants:variants",
        "Compute zero-shot variant effect scores: log-likelihood ratio and embedding distance.",
    ),
    "mutagenesis": CommandEntry(
        "findna_kit.cli.mutagenesis:mutagenesis", "Score every single-base substitution of the sequences of a file."
    ),
    "report": CommandEntry(
        "findna_kit.cli.report:report", "Write an HTML report of runs and studies that works without a network."
    ),
    "export": CommandEntry(
        "findna_kit.cli.export:export", "Export one branch of a run, with a model card, to share it."
    ),
    "import": GroupEntry(
        "Import checkpoints that other projects released.",
        {
            "findna": CommandEntry(
                "findna_kit.cli.import_findna:import_findna", "Import a released FinDNA checkpoint as a run folder."
            )
        },
    ),
}  # fmt: skip
