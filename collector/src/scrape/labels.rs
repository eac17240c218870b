//! The labels that a scraped series is stored with: the target's and its own, metric relabelling, limits. Pure.

use crate::config::ScrapeJob;
use crate::config::limits::Limits;
use crate::discovery::relabel::{LabelSet, relabel};
use crate::exposition::{SeriesParts, canonical};
use crate::series::{Labels, METRIC_NAME};

/// Puts the target's labels on a series and relabels it. `None` if relabelling drops it.
///
/// # Errors
/// If a limit is exceeded, which fails the scrape.
pub(super) fn stored_labels(
    job: &ScrapeJob,
    target: &Labels,
    parts: SeriesParts<'_>,
) -> Result<Option<Labels>, String> {
    Ok(relabelled(job, target, parts)?.map(Labels::new))
}

/// Whether relabelling keeps a series, which is not to be stored.
///
/// # Errors
/// As [`stored_labels`].
pub(super) fn is_kept(job: &ScrapeJob, target: &Labels, parts: SeriesParts<'_>) -> Result<bool, String> {
    // A target that exceeds its limit may print very many of these.
    let nothing_to_ask = job.metric_relabel.is_empty() && !job.limits.judge_labels();
    Ok(nothing_to_ask || relabelled(job, target, parts)?.is_some())
}

fn relabelled(job: &ScrapeJob, target: &Labels, parts: SeriesParts<'_>) -> Result<Option<LabelSet>, String> {
    let scraped: LabelSet = parts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut labels = merged(scraped, target, job.honor_labels);
    if !relabel(&job.metric_relabel, &mut labels) || !labels.contains_key(METRIC_NAME) {
        return Ok(None);
    }
    check_limits(&job.limits, &labels)?;
    Ok(Some(labels))
}

fn merged(mut labels: LabelSet, target: &Labels, honor_labels: bool) -> LabelSet {
    if honor_labels {
        for (name, value) in target.iter() {
            labels.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        return labels;
    }
    for (name, _) in target.iter() {
        let Some(own) = labels.remove(name) else { continue };
        let mut exported = format!("exported_{name}");
        while labels.contains_key(&exported) || target.get(&exported).is_some() {
            exported.insert_str(0, "exported_");
        }
        labels.insert(exported, own);
    }
    labels.extend(target.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    labels
}

fn check_limits(limits: &Limits, labels: &LabelSet) -> Result<(), String> {
    let name = labels.get(METRIC_NAME).map_or("", String::as_str);
    let exceeded = |limit: &str, max: usize, found: usize| format!("{name}: {limit} is {max}, there are {found}");
    if let Some(max) = limits.labels.filter(|max| labels.len() > *max) {
        return Err(exceeded("label_limit", max, labels.len()));
    }
    for (label, value) in labels {
        if let Some(max) = limits.label_name_length.filter(|max| label.len() > *max) {
            return Err(exceeded("label_name_length_limit", max, label.len()));
        }
        if let Some(max) = limits.label_value_length.filter(|max| value.len() > *max) {
            return Err(exceeded("label_value_length_limit", max, value.len()));
        }
    }
    Ok(())
}

/// Writes the bound of a bucket or a quantile as Prometheus 3 stores it, whichever way a target prints it: `1` and `1.0` are
/// one series.
pub(super) fn normalize_bounds(kind: &str, parts: &mut SeriesParts<'_>) {
    let label = match kind {
        "histogram" | "gaugehistogram" => "le",
        "summary" => "quantile",
        _ => return,
    };
    if let Some((_, value)) = parts.iter_mut().find(|(name, _)| name == label)
        && let Ok(bound) = value.parse::<f64>()
    {
        let normal = canonical(bound);
        if *value != normal {
            *value = normal.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> LabelSet {
        text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect()
    }

    #[test]
    fn a_conflict_is_exported_or_honored() {
        for (scraped, target, honored, wanted) in [
            ("a=1 job=own", "job=t", false, "a=1 exported_job=own job=t"),
            ("a=1 job=own", "job=t", true, "a=1 job=own"),
            ("job=own exported_job=x", "job=t", false, "exported_exported_job=own exported_job=x job=t"),
            ("job=own", "job=t exported_job=u", false, "exported_exported_job=own exported_job=u job=t"),
            ("a=1", "job=t", true, "a=1 job=t"),
        ] {
            assert_eq!(merged(set(scraped), &Labels::new(set(target)), honored), set(wanted), "{scraped} {target}");
        }
    }

    #[test]
    fn bounds_have_one_form() {
        for (bound, wanted) in [
            ("1", "1.0"),
            ("0.50", "0.5"),
            ("+inf", "+Inf"),
            ("1000000", "1e+06"),
            ("0.00001", "1e-05"),
            ("0", "0.0"),
            ("2.5e7", "2.5e+07"),
        ] {
            let mut parts: SeriesParts<'_> = vec![("le".into(), bound.into())];
            normalize_bounds("histogram", &mut parts);
            assert_eq!(parts[0].1, wanted);
            let mut untouched: SeriesParts<'_> = vec![("le".into(), bound.into())];
            normalize_bounds("counter", &mut untouched);
            assert_eq!(untouched[0].1, bound);
        }
    }
}
