//! The lines that nearly all are: each comes where it came last time, with another number. They are gone through in one piece, each
//! looked at once, with nothing asked that is so for all of them. Every other line is left to the reader.

use super::Reader;
use crate::exposition::leading_number;
use crate::scrape::cache::Kind;
use crate::series::Sample;

impl Reader<'_, '_> {
    /// Takes the usual lines that a text begins with; gives the rest.
    pub(super) fn usual<'t>(&mut self, text: &'t str) -> &'t str {
        let taking = &mut self.taking;
        if self.customs.is_some() || taking.is_second() || taking.ended {
            return text;
        }
        let (at_ms, pass) = (taking.at_ms, &mut *taking.pass);
        let (cache, samples) = (&mut *pass.cache, &mut pass.batch.samples);
        let (mut rest, mut lines, kept_before) = (text.as_bytes(), 0, samples.len());
        while !rest.is_empty()
            && let Some((place, kind, behind)) = cache.followed(rest)
        {
            let (sample, behind) = match (kind, behind) {
                (Kind::Series(series), [b' ', number @ ..]) => {
                    let Some((value, length)) = leading_number(number) else { break };
                    (Some((series, Sample { timestamp_ms: at_ms, value })), &number[length..])
                }
                (Kind::Silent, behind) => (None, behind),
                _ => break,
            };
            let behind = match behind {
                [b'\n', behind @ ..] => behind,
                [] => behind,
                _ => break,
            };
            if !cache.touch_followed(place) {
                break;
            }
            samples.extend(sample);
            (rest, lines) = (behind, lines + 1);
        }
        let kept = samples.len() - kept_before;
        taking.found.scraped += kept;
        taking.found.kept += kept;
        self.line += lines;
        text.get(text.len() - rest.len()..).unwrap_or_default()
    }
}
