"""Materialisations that no step yields: results that were made outside Dagster, and what a step made
beside the assets that it was asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from winnow.assets.metadata import Metadata

# Tags by which Dagster knows the state of a materialisation, as its own runs write them.
_CODE = "dagster/code_version"
_DATA = "dagster/data_version"
_DATA_IS_OURS = "dagster/data_version_is_user_provided"
_INPUT_DATA = "dagster/input_data_version/"
_INPUT_EVENT = "dagster/input_event_pointer/"


@dataclass(frozen=True)
class Made:
    """One asset in a state: what names it, and the keys of the assets that it was made from."""

    key: dg.AssetKey
    reads: tuple[dg.AssetKey, ...]
    code_version: str
    data_version: str

    def is_known(self, instance: dg.DagsterInstance, since: float = float("inf")) -> bool:
        """Whether Dagster's latest materialisation is of this very state, and no run has failed to
        make the asset since; or is later than `since` (seconds since 1970)."""
        known = _latest(instance, self.key)
        if known is None:
            return False
        record, tags = known
        if record.timestamp > since:
            return True
        state, _ = self._state(instance)
        return state.items() <= tags.items() and not _failed_since(instance, self.key, record)

    def report(
        self,
        instance: dg.DagsterInstance,
        metadata: Metadata,
        description: str,
        checks: Iterable[dg.AssetCheckResult] = (),
    ) -> None:
        """Write the materialisation, and the results of the asset's checks, without a run."""
        state, pointers = self._state(instance)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                self.key,
                description=description,
                metadata=metadata,
                tags={**state, **pointers, _DATA_IS_OURS: "true"},
            )
        )
        self.report_checks(instance, checks)

    def report_checks(
        self, instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckResult]
    ) -> None:
        """Write results of the asset's checks without a run."""
        for found in checks:
            assert found.check_name is not None
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=self.key,
                    check_name=found.check_name,
                    passed=found.passed,
                    metadata=found.metadata,
                    description=found.description,
                    blocking=True,
                )
            )

    def failed_checks(self, instance: dg.DagsterInstance, names: Iterable[str]) -> set[str]:
        """Those of the asset's checks whose latest result is a failure."""
        keys = [dg.AssetCheckKey(self.key, name) for name in names]
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        return {key.name for key, record in found.items() if record.status.value == "FAILED"}

    def _state(self, instance: dg.DagsterInstance) -> tuple[dict[str, str], dict[str, str]]:
        """What names the state, and the events that its inputs come from, as tags."""
        state = {_CODE: self.code_version, _DATA: self.data_version}
        pointers: dict[str, str] = {}
        for key in self.reads:
            if found := _latest(instance, key):
                record, tags = found
                state[_INPUT_DATA + key.to_user_string()] = tags.get(_DATA, "")
                pointers[_INPUT_EVENT + key.to_user_string()] = str(record.storage_id)
        return state, pointers


def _latest(
    instance: dg.DagsterInstance, key: dg.AssetKey
) -> tuple[dg.EventLogRecord, Mapping[str, str]] | None:
    """The asset's latest materialisation and its tags."""
    records = instance.fetch_materializations(key, limit=1).records
    if not records or records[0].asset_materialization is None:
        return None
    return records[0], records[0].asset_materialization.tags or {}


def _failed_since(
    instance: dg.DagsterInstance, key: dg.AssetKey, record: dg.EventLogRecord
) -> bool:
    """Whether a run meant to make the asset after its latest materialisation, and did not."""
    [asset] = instance.get_asset_records([key])
    last = asset.asset_entry.last_run_id
    return bool(last) and last != record.run_id
