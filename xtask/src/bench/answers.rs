//! Whether two answers of the API are the same: series, times, and values to a hundred-thousandth; and the class of an error.

use serde_json::Value;

/// Two computations of one number may differ by this much of it.
const TOLERANCE: f64 = 1e-5;

/// The first difference, if there is one.
pub fn difference(ours: &[u8], theirs: &[u8]) -> Option<String> {
    let (Ok(mut ours), Ok(mut theirs)) =
        (serde_json::from_slice::<Value>(ours), serde_json::from_slice::<Value>(theirs))
    else {
        return Some("an answer is no JSON".to_owned());
    };
    for field in ["status", "errorType"] {
        if ours[field] != theirs[field] {
            return Some(format!("{field} is {} and not {}: {}", ours[field], theirs[field], quoted(&ours)));
        }
    }
    if ours["data"]["resultType"] != theirs["data"]["resultType"] {
        return Some("the type of the result differs".to_owned());
    }
    let (ours, theirs) = (sorted(ours["data"]["result"].take()), sorted(theirs["data"]["result"].take()));
    let (Value::Array(ours), Value::Array(theirs)) = (&ours, &theirs) else {
        return (ours != theirs).then(|| format!("{} and not {}", quoted(&ours), quoted(&theirs)));
    };
    if ours.len() != theirs.len() {
        return Some(format!("{} series and not {}", ours.len(), theirs.len()));
    }
    ours.iter().zip(theirs).find(|(our, their)| !same(our, their)).map(|(our, their)| first_difference(our, their))
}

/// Series by their labels; a scalar is left as it is.
fn sorted(mut result: Value) -> Value {
    if let Value::Array(series) = &mut result
        && series.first().is_some_and(Value::is_object)
    {
        series.sort_by_cached_key(|one| one["metric"].to_string());
    }
    result
}

fn first_difference(ours: &Value, theirs: &Value) -> String {
    if let (Value::Array(our), Value::Array(their)) = (&ours["values"], &theirs["values"])
        && ours["metric"] == theirs["metric"]
        && our.len() == their.len()
        && let Some((our, their)) = our.iter().zip(their).find(|(our, their)| !same(our, their))
    {
        return format!("{}: {our} and not {their}", ours["metric"]);
    }
    format!("{} and not {}", quoted(ours), quoted(theirs))
}

fn quoted(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(our, their)| same(our, their))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(name, our)| theirs.get(name).is_some_and(|their| same(our, their)))
        }
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (Value::String(ours), Value::String(theirs)) => ours == theirs || near(ours, theirs),
        _ => ours == theirs,
    }
}

/// Two values as texts; what is no number is not near.
fn near(ours: &str, theirs: &str) -> bool {
    match (ours.parse::<f64>(), theirs.parse::<f64>()) {
        (Ok(ours), Ok(theirs)) => {
            ours.is_nan() && theirs.is_nan() || (ours - theirs).abs() <= TOLERANCE * ours.abs().max(theirs.abs())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::difference;

    fn matrix(series: &str) -> Vec<u8> {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#).into_bytes()
    }

    #[test]
    fn the_order_of_series_and_the_last_digits_do_not_matter() {
        let ours = matrix(r#"{"metric":{"a":"1"},"values":[[1,"0.3"]]},{"metric":{"a":"2"},"values":[[1,"NaN"]]}"#);
        let theirs =
            matrix(r#"{"metric":{"a":"2"},"values":[[1,"NaN"]]},{"metric":{"a":"1"},"values":[[1.0,"0.30000001"]]}"#);
        assert_eq!(difference(&ours, &theirs), None);
    }

    #[test]
    fn series_times_values_and_errors_matter() {
        let one = matrix(r#"{"metric":{"a":"1"},"values":[[1,"3"]]}"#);
        for other in [
            matrix(""),
            matrix(r#"{"metric":{"a":"2"},"values":[[1,"3"]]}"#),
            matrix(r#"{"metric":{"a":"1"},"values":[[2,"3"]]}"#),
            matrix(r#"{"metric":{"a":"1"},"values":[[1,"3.1"]]}"#),
            matrix(r#"{"metric":{"a":"1"},"values":[[1,"3"],[2,"3"]]}"#),
            br#"{"status":"error","errorType":"execution"}"#.to_vec(),
            b"no".to_vec(),
        ] {
            assert!(difference(&one, &other).is_some(), "{}", String::from_utf8_lossy(&other));
        }
    }
}
