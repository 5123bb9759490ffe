//! Patterns of names in which `*` stands for any characters and `?` for one.

/// Whether the pattern fits the whole text. Over bytes, in time of pattern times text: on a mismatch only the last `*` takes one more.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&b) if b == b'?' || b == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                p = star + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_any_characters() {
        for (pattern, text, fits) in [
            ("v*", "v1.0", true),
            ("v*", "1.0", false),
            ("*-rc?", "1.0-rc1", true),
            ("*-rc?", "1.0-rc", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} on {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_answer_is_that_of_the_plainest_way(pattern in "[ab*?]{0,10}", text in "[ab*?]{0,14}") {
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([], text) => text.is_empty(),
                    ([b'*', rest @ ..], text) => (0..=text.len()).any(|taken| plain(rest, &text[taken..])),
                    ([b'?', rest @ ..], [_, text @ ..]) => plain(rest, text),
                    ([one, rest @ ..], [first, text @ ..]) => one == first && plain(rest, text),
                    (_, []) => false,
                }
            }
            proptest::prop_assert_eq!(matches(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
