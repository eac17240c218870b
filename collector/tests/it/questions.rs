//! Reads the files of questions: a line each, `#` for comments. `[[a;b]]` stands for a question with `a` and one with `b`,
//! `$N` for the time N seconds after the first sample. `~` in front: a difference that stays, for the reason above it.
//!
//!     instant TIME QUERY        ordered TIME QUERY (the order of series counts, too)
//!     range START,END,STEP QUERY        send METHOD PATH [FORM]

use url::form_urlencoded::Serializer;

/// One question, ready to be sent.
pub struct Question {
    /// As in the file, for messages.
    pub text: String,
    pub method: &'static str,
    pub path: String,
    pub form: Option<String>,
    pub ordered: bool,
    pub differs: bool,
}

impl Default for Question {
    fn default() -> Self {
        Self { text: String::new(), method: "GET", path: String::new(), form: None, ordered: false, differs: false }
    }
}

/// The questions of a file.
pub fn questions(file: &str, base: i64) -> Vec<Question> {
    let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let alternatives = lines.flat_map(alternatives);
    alternatives.enumerate().map(|(i, line)| question(&line, base, i % 2 == 1)).collect()
}

/// Writes out the first `[[a;b]]`, and those behind it.
fn alternatives(line: &str) -> Vec<String> {
    let found = line.split_once("[[").and_then(|(before, rest)| Some((before, rest.split_once("]]")?)));
    let Some((before, (choices, after))) = found else { return vec![line.to_owned()] };
    choices.split(';').flat_map(|choice| alternatives(&format!("{before}{choice}{after}"))).collect()
}

/// Puts times in the place of `$N`.
fn timed(text: &str, base: i64) -> String {
    let mut parts = text.split('$');
    let mut timed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        match number.parse::<i64>() {
            Ok(seconds) => timed.push_str(&format!("{}{rest}", base + seconds)),
            Err(_) => timed.push_str(&format!("${part}")),
        }
    }
    timed
}

fn question(line: &str, base: i64, by_form: bool) -> Question {
    let (text, differs) = line.strip_prefix('~').map_or((line, false), |text| (text, true));
    let text = timed(text, base);
    let (verb, rest) = text.split_once(' ').unwrap_or_else(|| panic!("{text}: no question"));
    let (times, query) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut parameters = Serializer::new(String::new());
    parameters.append_pair("query", query);
    let mut times = times.split(',');
    let mut next = || times.next().unwrap_or_default();
    let path = match verb {
        "instant" | "ordered" => {
            parameters.append_pair("time", next());
            "/api/v1/query"
        }
        "range" => {
            parameters.append_pair("start", next()).append_pair("end", next()).append_pair("step", next());
            "/api/v1/query_range"
        }
        "send" => return sent(&text, differs),
        _ => panic!("{text}: {verb} is no question"),
    };
    let (ordered, parameters) = (verb == "ordered", parameters.finish());
    let asked = Question { text: text.clone(), ordered, differs, ..Question::default() };
    if by_form {
        return Question { method: "POST", path: path.to_owned(), form: Some(parameters), ..asked };
    }
    Question { path: format!("{path}?{parameters}"), ..asked }
}

fn sent(text: &str, differs: bool) -> Question {
    let mut words = text.splitn(4, ' ').skip(1);
    let method = match words.next() {
        Some("GET") => "GET",
        Some("POST") => "POST",
        Some("PUT") => "PUT",
        Some("DELETE") => "DELETE",
        Some("HEAD") => "HEAD",
        other => panic!("{text}: {other:?} is no method"),
    };
    let path = words.next().unwrap_or_default().to_owned();
    Question {
        text: text.to_owned(),
        method,
        path,
        form: words.next().map(str::to_owned),
        differs,
        ..Question::default()
    }
}
