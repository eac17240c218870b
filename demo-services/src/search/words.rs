//! Reads what a customer types into a search field: words, `"phrases"`, `+must` and `-must not`. Whatever is typed means
//! something; nothing is refused. Pure.

/// What a word does to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Makes a hit better; one of them must match.
    Should,
    Must,
    MustNot,
}

/// A word or a phrase as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed<'a> {
    pub role: Role,
    pub text: &'a str,
}

/// The words of a text in their order. A quotation mark that is never closed closes at the end.
pub fn read(text: &str) -> Vec<Typed<'_>> {
    let mut typed = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (role, after) = match rest.as_bytes()[0] {
            b'+' => (Role::Must, &rest[1..]),
            b'-' => (Role::MustNot, &rest[1..]),
            _ => (Role::Should, rest),
        };
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(after.len())),
        };
        if !text.is_empty() {
            typed.push(Typed { role, text });
        }
        rest = after.trim_start();
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_signs_are_told_apart() {
        let cases: [(&str, &[(Role, &str)]); 8] = [
            ("", &[]),
            ("red  kettle ", &[(Role::Should, "red"), (Role::Should, "kettle")]),
            ("+red -\"cast iron\"", &[(Role::Must, "red"), (Role::MustNot, "cast iron")]),
            ("\"open end", &[(Role::Should, "open end")]),
            ("tea\"pot\"", &[(Role::Should, "tea"), (Role::Should, "pot")]),
            ("- + \"\"", &[]),
            ("well-made", &[(Role::Should, "well-made")]),
            ("--odd", &[(Role::MustNot, "-odd")]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = read(text).into_iter().map(|typed| (typed.role, typed.text)).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "\\PC{0,60}") {
            for typed in read(&text) {
                proptest::prop_assert!(!typed.text.is_empty() && text.contains(typed.text));
            }
        }
    }
}
