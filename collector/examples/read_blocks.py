"""Reads the collector's history without the collector: the blocks in its data folder are plain Parquet.

    pip install polars duckdb
    python collector/examples/read_blocks.py plimsoll-data/blocks http_server_request_duration_seconds_count

Prints, for each series of a metric, how many samples there are and the last value: once with Polars, once with DuckDB, and ends
with an error if they differ. The same as PromQL's `count_over_time(METRIC[15d])` and `last_over_time(METRIC[15d])` for what is
sealed: the newest two to three hours are in the collector's memory, unless `POST /api/v1/admin/tsdb/snapshot`
(`--enable-admin-api`) has written them to `snapshots/NAME/blocks` too.

A block is a folder:
  meta.json            what it holds: minTime, maxTime (milliseconds since the epoch, exclusive), stats, and what it was made from
  series.parquet       a row for each series: `series` (its number in this block), `samples`, `histograms`, `min_ms`, `max_ms`, and a
                       struct `labels` with a text for each label, null where a series has none
  samples.parquet      a row for each sample: `series`, `timestamp_ms`, `value`; sorted by series, then by time. The end of a series
                       is a NaN with the bits 0x7ff0000000000002 (Prometheus' stale marker)
  histograms.parquet   a row for each native histogram, if there are any: buckets are the lists `positive_index` and
                       `positive_count`, `negative_index` and `negative_count`
A folder whose name ends in .tmp is not a block yet. Of two blocks with the same sample, which is so only for samples that came
late until the blocks are merged, either tells the truth; `unique` and `DISTINCT ON` below take one.
"""

import sys
from pathlib import Path

import duckdb
import polars as pl

STALE = 0x7FF0000000000002


def blocks(home: str) -> list[Path]:
    return sorted(path for path in Path(home).iterdir() if (path / "meta.json").exists() and path.suffix != ".tmp")


def with_polars(home: str, metric: str) -> dict[str, tuple[int, float]]:
    """Every block by itself, as numbers of series are a block's own; only the pages of the series in question are read."""
    found = []
    for block in blocks(home):
        series = pl.read_parquet(block / "series.parquet").unnest("labels").filter(pl.col("__name__") == metric)
        if series.is_empty():
            continue
        names = [name for name in series.columns if name not in ("series", "samples", "histograms", "min_ms", "max_ms")]
        named = series.select("series", labels=pl.struct(sorted(names)).map_elements(text, return_dtype=pl.String))
        samples = pl.scan_parquet(block / "samples.parquet").filter(
            pl.col("series").is_between(series["series"].min(), series["series"].max())
        )
        found.append(samples.join(named.lazy(), on="series").select("labels", "timestamp_ms", "value"))
    if not found:
        return {}
    rows = (
        pl.concat(found)
        .filter(pl.col("value").reinterpret(dtype=pl.UInt64) != STALE)
        .unique(["labels", "timestamp_ms"])
        .group_by("labels")
        .agg(pl.len(), pl.col("value").sort_by("timestamp_ms").last())
        .collect()
    )
    return {labels: (count, last) for labels, count, last in rows.iter_rows()}


def text(labels: dict[str, str | None]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if value is not None)


def with_duckdb(home: str, metric: str) -> dict[str, tuple[int, float]]:
    """All blocks in one statement; `filename` tells them apart. Labels that only some blocks know are null in the others."""
    rows = duckdb.execute(
        """
        WITH named AS (
            SELECT parse_dirpath(filename) AS block, series, labels
            FROM read_parquet($series, union_by_name = true, filename = true) WHERE labels.__name__ = $metric
        ), samples AS (
            SELECT DISTINCT ON (labels, timestamp_ms) labels, timestamp_ms, value
            FROM read_parquet($samples, filename = true) s JOIN named n ON n.series = s.series AND n.block = parse_dirpath(s.filename)
        )
        SELECT labels, count(*), arg_max(value, timestamp_ms) FROM samples
        WHERE value::BIT <> $stale::BIT GROUP BY labels
        """,
        {
            "series": [str(block / "series.parquet") for block in blocks(home)],
            "samples": [str(block / "samples.parquet") for block in blocks(home)],
            "metric": metric,
            "stale": f"{STALE:064b}",
        },
    ).fetchall()
    return {text(labels): (count, last) for labels, count, last in rows}


def main() -> None:
    home, metric = sys.argv[1], sys.argv[2]
    polars, duck = with_polars(home, metric), with_duckdb(home, metric)
    for labels, (count, last) in sorted(polars.items()):
        print(f"{count:8} {last:20} {labels}")
    if polars != duck:
        sys.exit("Polars and DuckDB do not agree")


if __name__ == "__main__":
    main()
