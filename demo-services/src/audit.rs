//! Counts after a run what no order may suffer: lost, charged twice, oversold.
