//! Errors in words for people. Decides nothing about what becomes of them.

/// An error with its causes, in one line, each said once.
pub fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::words;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Said {
        text: &'static str,
        source: Option<Box<Said>>,
    }

    fn said(text: &'static str, source: Option<Said>) -> Said {
        Said { text, source: source.map(Box::new) }
    }

    #[test]
    fn every_cause_is_said_once_and_in_one_line() {
        let error = said("cannot connect", Some(said("no\nroute", Some(said("route", None)))));
        assert_eq!(words(&error), "cannot connect: no route");
    }
}
