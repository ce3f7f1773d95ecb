"""Runs whose processes are gone.

A UI that is killed leaves its runs as started in Dagster's records, where they hold their place in
the pool of model passes for ever. What a run had stored by then is kept; the next one goes on there.
"""

import json
import socket

import dagster as dg

# Where the run launcher writes down the server whose child a run is.
_SERVER = ".dagster/grpc_info"
_ALIVE = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark every run as failed whose server does not answer; returns their ids.

    Runs that were not started from a UI are left alone: nothing tells where they live. Places in the
    pool that finished runs hold are freed.
    """
    dead = [
        run
        for run in instance.get_runs(filters=dg.RunsFilter(statuses=_ALIVE))
        if _SERVER in run.tags and not _answers(json.loads(run.tags[_SERVER]).get("socket"))
    ]
    for run in dead:
        instance.report_run_failed(run, "The UI that ran this was stopped or killed.")
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        holder = instance.get_run_by_id(run_id)
        if holder is None or holder.is_finished:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return [run.run_id for run in dead]


def _answers(path: str | None) -> bool:
    if path is None:  # a server at a port, and no UI of ours
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
