//! Texts that come from a record, made fit to be stored and shown.
//!
//! Whoever makes a call chooses some of what its record says: the user agent, the session's name, the secret that was
//! asked for. Those texts end up in e-mails, logs and terminals, so [`clean`] takes out what would steer a terminal or
//! reorder a line, and bounds the length. The limits together keep an access below what the store takes, however
//! hostile its record. Escaping for HTML, Slack or JSON is not done here: that is the business of each format.

/// ARNs, and names of secrets and principals, in bytes: IAM and Secrets Manager allow no ARN longer than this.
pub(crate) const NAME: usize = 2048;

/// Free text, in bytes: user agents and error messages. CloudTrail itself cuts user agents at 1,024.
pub(crate) const FREE: usize = 1024;

/// Everything else, in bytes: ids, event names, Regions, error codes and addresses are far shorter.
pub(crate) const SHORT: usize = 256;

/// `text` in at most `limit` bytes, a longer one with a final `…`, and without characters that act on what shows it.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    // Nearly every text; a character at a time takes ten times as long.
    if text.len() <= limit && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut kept = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        kept.push(if acts(c) { char::REPLACEMENT_CHARACTER } else { c });
        if kept.len() > limit {
            return cut(kept, limit);
        }
    }
    kept
}

fn cut(mut text: String, limit: usize) -> String {
    const MARK: char = '…';
    text.truncate(text.floor_char_boundary(limit.saturating_sub(MARK.len_utf8())));
    text.push(MARK);
    text
}

/// Control characters, and the few that break a line or turn its direction without being called that.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays() {
        for text in ["", "prod/db", "zażółć 🔑", "12345678"] {
            assert_eq!(clean(text, SHORT), text);
        }
        assert_eq!(clean("12345678", 8), "12345678");
    }

    #[test]
    fn what_acts_on_a_terminal_or_turns_a_line_is_replaced() {
        assert_eq!(
            clean("a\u{1b}[31mb\r\nc\u{9b}d\u{202e}e\u{7f}", SHORT),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}"
        );
    }

    #[test]
    fn long_text_is_cut_between_characters_and_marked() {
        assert_eq!(clean("123456789", 8), "12345…");
        assert_eq!(clean("1234ééé", 8), "1234…");
    }

    proptest! {
        #[test]
        fn never_longer_than_the_limit(text in any::<String>(), limit in 3_usize..40) {
            prop_assert!(clean(&text, limit).len() <= limit);
        }
    }
}
