//! Files by pattern, as Go's `filepath.Glob` reads them: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what is meant
//! literally. As in Prometheus, only the last part of a path may hold a `*`.

use std::path::{Component, Path, PathBuf};

use regex::Regex;

/// Files that fit the pattern, in order of name; none if there is none. Folders that cannot be read are empty.
pub(super) fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    let text = |part: &Component<'_>| part.as_os_str().to_string_lossy().into_owned();
    let mut found = vec![PathBuf::new()];
    for (i, part) in parts.iter().enumerate() {
        let name = text(part);
        if !name.contains(['*', '?', '[', '\\']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        if name.contains('*') && i + 1 < parts.len() {
            return Err(format!("{} has a * in a folder's name; only the last part may have one", pattern.display()));
        }
        let regex = regex(&name).ok_or_else(|| format!("{name:?} is not a pattern; is a bracket not closed?"))?;
        found = found.iter().flat_map(|folder| fitting(folder, &regex)).collect();
    }
    found.retain(|path| path.exists());
    Ok(found)
}

fn fitting(folder: &Path, regex: &Regex) -> Vec<PathBuf> {
    let read = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names =
        std::fs::read_dir(read).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| regex.is_match(name)).collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn regex(pattern: &str) -> Option<Regex> {
    let mut regex = "^(?s:".to_owned();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(&chars.next()?.to_string())),
            '[' => {
                let (set, rest) = chars.as_str().split_once(']')?;
                let (not, set) = set.strip_prefix('^').map_or(("", set), |set| ("^", set));
                let literal = |c: char| if "[&~^".contains(c) { format!("\\{c}") } else { c.to_string() };
                regex.push_str(&format!("[{not}{}]", set.chars().map(literal).collect::<String>()));
                chars = rest.chars();
            }
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex.push_str(")$");
    Regex::new(&regex).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_go() {
        for (pattern, name, fits) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "ayml", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[&a]x", "&x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a+b", "a+b", true),
        ] {
            assert_eq!(regex(pattern).unwrap().is_match(name), fits, "{pattern} {name}");
        }
        assert!(regex("[a").is_none());
    }
}
