"""Before the first job: check that its files can be written and, on a cluster, that it can run all jobs.

Needs   nothing where all jobs run on this machine
"""

import os


# The only one: Snakemake keeps the last `onstart` that it reads.
onstart:
    # Before the first job; data that lie ready may be read-only.
    if refused := unwritable(workflow.dag.needrun_jobs()):
        raise WorkflowError("\n".join(refused))
    if not workflow.non_local_exec:
        # Snakemake's limit of started jobs per second, which means something where jobs are submitted, makes it look
        # at all ready jobs again each second, once more for every job that ended: after some dozens half a core of
        # this machine, taken from what is measured. There is no option that leaves the limit out.
        workflow.scheduler.job_rate_limiter = None
    else:
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
