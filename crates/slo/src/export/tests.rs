//! What is exported is imported again, and asks the same.

use std::path::Path;

use protocol::yaml::split;

use super::*;
use crate::import::import;
use crate::windows::Span;

const FILE: &str = "apiVersion: plimsoll.dev/v1alpha1\nkind: ServiceLevelObjectives\n\
    metadata: {name: shop, namespace: shop}\nspec:\n  objectives:\n\
    \x20   - {service: order, availability: 99.9%, latency: {quantile: 0.99, below: 250ms}, packing: true}\n\
    \x20   - journey: checkout\n      window: 28d\n      availability: 99.5%\n      queries:\n\
    \x20       - {name: paid, target: 99%, good: 'sum(rate(g[{{.window}}]))', total: 'sum(rate(t[{{.window}}]))'}\n\
    \x20       - {name: fresh, target: 95%, errorRatio: 'avg_over_time(stale[{{.window}}])'}\n";

fn objectives() -> Vec<Objective> {
    crate::from_documents(&split(Path::new("slo.yaml"), FILE)).unwrap()
}

#[test]
fn our_own_file_is_read_back_as_it_was() {
    let text = plimsoll(&objectives());
    assert_eq!(crate::from_documents(&split(Path::new("out.yaml"), &text)).unwrap(), objectives());
}

#[test]
fn what_openslo_and_sloth_are_given_asks_the_same() {
    for text in [openslo(&objectives()), sloth(&objectives())] {
        let imported = import(&split(Path::new("out.yaml"), &text), "shop").unwrap().objectives;
        assert_eq!(imported.len(), objectives().len());
        for (ours, theirs) in objectives().iter().zip(&imported) {
            assert_eq!(ours.target, theirs.target);
            let hour = Span::Hours1.length(ours.window);
            let bare = |query: String| query.replace("sum(", "").replace(['(', ')', ' '], "");
            assert_eq!(bare(ours.total(hour)), bare(theirs.total(hour)), "{text}");
            assert_eq!(bare(ours.bad(hour)).len() > 10, bare(theirs.bad(hour)).len() > 10);
        }
    }
}
