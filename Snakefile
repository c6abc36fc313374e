"""The place to start: the workflow itself is workflow/Snakefile."""


include: "workflow/Snakefile"


# An included file does not set the default target.
rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
