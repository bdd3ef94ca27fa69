"""The five metrics of livepeer-exporter about test streams, for all orchestrators. Shown with ORCHESTRATOR_METRICS=on."""

from collections.abc import Iterator, Sequence

from orchboard.api.exposition import Metric, Sample
from orchboard.store.raw_results.latest_transcoding import LatestTranscoding

_METRICS = {
    "success_rate": "Success rate of the latest test stream, 0 to 1.",
    "upload_time": "Seconds that the upload of the latest test stream took.",
    "download_time": "Seconds that the download of the latest test stream took.",
    "transcode_time": "Seconds that the transcoding of the latest test stream took.",
    "round_trip_time": "Seconds of the round trip of the latest test stream.",
}


def of_test_streams(streams: Sequence[LatestTranscoding]) -> Iterator[Metric]:
    """The metrics, with a sample for each orchestrator and region."""
    for measure, help_text in _METRICS.items():
        yield Metric(
            f"livepeer_orch_test_stream_{measure}",
            "gauge",
            help_text,
            [
                Sample(getattr(each, measure), (("region", each.region), ("orchestrator", each.orchestrator)))
                for each in streams
            ],
        )
