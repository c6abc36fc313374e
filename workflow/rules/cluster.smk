"""Jobs on other machines: before the first of them, check that the cluster can run them all.

Needs   nothing where all jobs run on this machine
"""

import os


onstart:
    if workflow.non_local_exec:
        try:
            cluster.check_config(config)
            if workflow.executor_plugin.name == "slurm":
                cluster.check_slurm(
                    [
                        {"name": job.rule.name, **dict(job.resources.items())}
                        for job in workflow.dag.needrun_jobs()
                        if not job.is_local
                    ],
                    workflow.executor_settings.status_command,
                    chosen_elsewhere="SNAKEMAKE_SLURM_PARTITIONS" in os.environ
                    or workflow.executor_settings.partition_config is not None,
                )
                for LEFT in cluster.cancel_left_jobs("."):
                    print(f"Cancelled job {LEFT}, which a killed run left behind.", file=sys.stderr)
        except PoseGaugeError as error:
            raise WorkflowError(str(error)) from None
