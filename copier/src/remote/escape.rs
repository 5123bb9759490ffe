//! Texts of servers, before people see them (C12).

/// The most that a server's text may add to an error, in bytes.
pub(super) const MAX_TEXT: usize = 4096;

/// The text with control characters, and characters that turn the direction of writing, spelt out; at most `limit`
/// bytes, and `…` where it was cut.
pub(super) fn escaped(text: &str, limit: usize) -> String {
    const CUT: &str = "…";
    let mut out = String::new();
    for c in text.chars() {
        let before = out.len();
        if is_harmless(c) {
            out.push(c)
        } else {
            out.extend(c.escape_unicode())
        }
        if out.len() > limit.saturating_sub(CUT.len()) {
            out.truncate(before);
            out.push_str(CUT);
            break;
        }
    }
    out
}

fn is_harmless(c: char) -> bool {
    // Control characters; marks that reorder text; separators that end a line in some terminals; the byte order mark.
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c12_a_terminal_sees_no_control_character() {
        assert_eq!(escaped("a\x1b[2Jb\r\nc\u{202e}d", 4096), r"a\u{1b}[2Jb\u{d}\u{a}c\u{202e}d");
        assert_eq!(escaped("häßlich", 4096), "häßlich");
    }

    proptest! {
        #[test]
        fn c12_no_text_is_longer_than_its_limit(text in any::<String>(), limit in 3_usize..64) {
            let out = escaped(&text, limit);
            prop_assert!(out.len() <= limit);
            prop_assert!(out.chars().all(|c| !c.is_control()));
        }
    }
}
