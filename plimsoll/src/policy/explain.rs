//! `plimsoll policy explain WORKLOAD`: the latest decision in words, and what would have made it another.

use protocol::scaling::{Explanation, ObjectName, PolicyStatus, ResourceRecord, ScalingClient, TurningPoint};
use url::Url;

use crate::outcome::{Outcome, run_until_signal};

/// The command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workload, NAME or NAMESPACE/NAME.
    #[arg(value_name = "WORKLOAD")]
    workload: String,
    /// The autoscaler's API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9091")]
    autoscaler: Url,
}

/// Asks the autoscaler and prints its answer.
pub fn run(arguments: Arguments) -> Outcome {
    run_until_signal(|shutdown| async move {
        let client = ScalingClient::new(arguments.autoscaler);
        tokio::select! {
            outcome = explain(&client, &arguments.workload) => outcome,
            () = shutdown.cancelled() => Outcome::Done,
        }
    })
}

async fn explain(client: &ScalingClient, workload: &str) -> Outcome {
    let policies = match client.policies().await {
        Ok(policies) => policies,
        Err(error) => return Outcome::failed(format!("{error}; --autoscaler says where the autoscaler listens")),
    };
    let policy = match find(&policies, workload) {
        Ok(policy) => policy,
        Err(message) => return Outcome::bad_input(message),
    };
    match client.explanation(policy).await {
        Ok(explanation) => {
            print!("{}", words(&explanation));
            Outcome::Done
        }
        Err(error) => Outcome::failed(error),
    }
}

/// The policy that steers the workload.
fn find<'a>(policies: &'a [PolicyStatus], workload: &str) -> Result<&'a ObjectName, String> {
    let full = |name: &ObjectName| format!("{}/{}", name.namespace, name.name);
    let is_meant = |policy: &&PolicyStatus| policy.workload.name == workload || full(&policy.workload) == workload;
    let meant: Vec<&PolicyStatus> = policies.iter().filter(is_meant).collect();
    let listed = |of: &[&PolicyStatus]| of.iter().map(|policy| full(&policy.workload)).collect::<Vec<_>>().join(", ");
    match meant.as_slice() {
        [one] => Ok(&one.policy),
        [] if policies.is_empty() => Err(format!("no policy steers {workload}: the autoscaler has none")),
        [] => Err(format!(
            "no policy steers {workload}; there are some for {}",
            listed(&policies.iter().collect::<Vec<_>>())
        )),
        several => Err(format!("{workload} is the name of several workloads: say which of {}", listed(several))),
    }
}

/// The record and the counterfactual, a line each.
fn words(explanation: &Explanation) -> String {
    let Explanation { record, up, up_note, down, down_note } = explanation;
    let mut lines = vec![record.message.clone()];
    for signal in &record.signals {
        let value = signal.value.map_or_else(|| "no reading".to_owned(), |value| format!("{value}"));
        let wish = signal.wish.map_or_else(|| "cannot say".to_owned(), |wish| format!("asks for {wish}"));
        let age = signal.age_seconds.map(|age| format!(", {age:.0} s old")).unwrap_or_default();
        let note = if signal.note.is_empty() { String::new() } else { format!(" ({})", signal.note) };
        lines.push(format!("  {}: {value} of {}{age}, {wish}{note}", signal.signal, signal.target));
    }
    for guard in record.guards.iter().filter(|guard| guard.before != guard.after) {
        lines.push(format!("  {}: {} -> {}, {}", guard.guard, guard.before, guard.after, guard.note));
    }
    lines.extend(record.resources.iter().flat_map(resource_words));
    lines.push(format!("more than {}: {}", record.from, turn(up, "at least", " or ", up_note)));
    lines.push(format!("fewer than {}: {}", record.from, turn(down, "at most", " and ", down_note)));
    lines.join("\n") + "\n"
}

/// What is planned of a resource, and every step on the way.
fn resource_words(record: &ResourceRecord) -> Vec<String> {
    let amount = |value: f64| match record.resource.as_str() {
        "memory" => format!("{:.1} MiB", value / 1_048_576.0),
        _ => format!("{:.0} millicores", value * 1000.0),
    };
    let mut lines = vec![format!("  {}", record.message)];
    for model in &record.models {
        let is_believed = record.model.as_ref() == Some(&model.model);
        let believed = if is_believed { ", is believed" } else { "" };
        lines.push(format!("    {}: {}, would have cost {:.2}{believed}", model.model, amount(model.wish), model.cost));
    }
    for guard in record.guards.iter().filter(|guard| guard.before != guard.after && !guard.note.is_empty()) {
        let (before, after) = (amount(guard.before), amount(guard.after));
        lines.push(format!("    {}: {before} -> {after}, {}", guard.guard, guard.note));
    }
    lines
}

fn turn(points: &[TurningPoint], bound: &str, between: &str, note: &str) -> String {
    let one = |point: &TurningPoint| {
        let now = point.now.map(|now| format!(" (now {now})")).unwrap_or_default();
        format!("{} {bound} {}{now}", point.signal, point.value)
    };
    let said = points.iter().map(one).collect::<Vec<_>>().join(between);
    match (said.is_empty(), note.is_empty()) {
        (true, true) => "no reading would do".to_owned(),
        (true, false) => note.to_owned(),
        (false, true) => said,
        (false, false) => format!("{said}; {note}"),
    }
}

#[cfg(test)]
mod tests {
    use protocol::scaling::{AmountGuardRecord, Mode, ModelRecord};

    use super::*;

    fn steering(namespace: &str, name: &str) -> PolicyStatus {
        let named = |name: &str| ObjectName { namespace: namespace.to_owned(), name: name.to_owned() };
        PolicyStatus {
            policy: named(&format!("{name}-policy")),
            kind: "Deployment".to_owned(),
            workload: named(name),
            mode: Mode::Auto,
            paused: false,
            min: 1,
            max: 2,
            last: None,
        }
    }

    #[test]
    fn a_workload_is_found_by_name_or_asked_for() {
        let all = [steering("shop", "order"), steering("dev", "order"), steering("shop", "cart")];
        assert_eq!(find(&all, "cart").unwrap().name, "cart-policy");
        assert_eq!(find(&all, "dev/order").unwrap().namespace, "dev");
        assert_eq!(
            find(&all, "order").unwrap_err(),
            "order is the name of several workloads: say which of shop/order, dev/order"
        );
        assert_eq!(
            find(&all, "user").unwrap_err(),
            "no policy steers user; there are some for shop/order, dev/order, shop/cart"
        );
        assert!(find(&[], "user").unwrap_err().ends_with("the autoscaler has none"));
    }

    #[test]
    fn a_resource_is_told_with_its_models_and_steps() {
        let model = |name: &str, wish, cost| ModelRecord { model: name.to_owned(), wish, cost };
        let guard = |name: &str, before, after, note: &str| AmountGuardRecord {
            guard: name.to_owned(),
            before,
            after,
            note: note.to_owned(),
        };
        let record = ResourceRecord {
            container: "order".to_owned(),
            resource: "cpu".to_owned(),
            from: Some(0.1),
            limit: None,
            hours_known: 24.0,
            models: vec![model("p90", 0.12, 0.5), model("dayMax", 0.2, 0.75)],
            model: Some("p90".to_owned()),
            unbounded: Some(0.15),
            wish: Some(0.15),
            guards: vec![guard("weeklyPeak", 0.12, 0.12, ""), guard("throttling", 0.12, 0.15, "held back")],
            applied: true,
            refused: String::new(),
            message: "cpu of order 100m -> 150m: held back".to_owned(),
        };
        let said = [
            "  cpu of order 100m -> 150m: held back",
            "    p90: 120 millicores, would have cost 0.50, is believed",
            "    dayMax: 200 millicores, would have cost 0.75",
            "    throttling: 120 millicores -> 150 millicores, held back",
        ];
        assert_eq!(resource_words(&record), said);
    }

    #[test]
    fn what_would_change_it_is_said_with_what_stands_in_the_way() {
        let point = |signal: &str, value: f64| TurningPoint { signal: signal.to_owned(), value, now: Some(65.0) };
        let points = [point("cpu utilization", 72.0), point("orders", 55.5)];
        assert_eq!(
            turn(&points, "at least", " or ", ""),
            "cpu utilization at least 72 (now 65) or orders at least 55.5 (now 65)"
        );
        assert_eq!(turn(&[], "at most", " and ", "2 are the fewest allowed"), "2 are the fewest allowed");
    }
}
