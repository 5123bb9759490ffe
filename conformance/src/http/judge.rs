//! Judging of header texts, apart from any connection.

/// N of `0-N`, the form in which a registry says how far an upload has come; -1 where it says
/// `0--1` for nothing.
#[must_use]
pub fn range_end(text: &str) -> Option<i64> {
    let end = text.strip_prefix("0-")?;
    let digits = end.strip_prefix('-').unwrap_or(end);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    end.parse().ok()
}

/// The target of the `rel="next"` link of a `Link` header (RFC 8288), as it stands there.
#[must_use]
pub fn link_next(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, behind) = rest.split_once('<')?;
        let (target, behind) = behind.split_once('>')?;
        let (parameters, after) = match behind.find('<') {
            Some(at) => behind.split_at(at),
            None => (behind, ""),
        };
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().trim_end_matches(',').trim();
            let Some((name, value)) = parameter.split_once('=') else { return false };
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        });
        if is_next {
            return Some(target);
        }
        rest = after;
    }
}

/// What is wrong with an answer's `Warning` headers (distribution-spec, "Warnings"): each is
/// `299 - "text"` without a date, all together at most 4096 bytes.
#[must_use]
pub fn warning_faults<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut total = 0;
    for value in values {
        total += value.len();
        let text = value.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
        match text {
            None => faults.push(format!("{value:?} is not 299 - \"text\"")),
            Some(text) if text.replace("\\\"", "").contains('"') => {
                faults.push(format!("{value:?} has something behind its text"));
            }
            Some(_) => {}
        }
    }
    if total > 4096 {
        faults.push(format!("warnings are {total} bytes long, more than 4096"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_range_is_zero_dash_last_byte() {
        for (text, end) in [
            ("0-0", Some(0)),
            ("0-1023", Some(1023)),
            ("0--1", Some(-1)),
            ("bytes=0-10", None),
            ("0-", None),
            ("0-+5", None),
            ("1-10", None),
            ("0-10/20", None),
        ] {
            assert_eq!(range_end(text), end, "{text}");
        }
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        assert_eq!(
            link_next("</v2/a/tags/list?n=1&last=b>; rel=\"next\""),
            Some("/v2/a/tags/list?n=1&last=b")
        );
        assert_eq!(link_next("</first>; rel=\"first\", </next>; title=\"x\"; rel=next"), Some("/next"));
        assert_eq!(link_next("</first>; rel=\"first\""), None);
        assert_eq!(link_next("/v2/a/tags/list; rel=\"next\""), None);
    }

    #[test]
    fn a_warning_is_299_without_agent_or_date() {
        assert!(warning_faults(["299 - \"soon\"", "299 - \"say \\\"now\\\"\""].into_iter()).is_empty());
        assert_eq!(warning_faults(["199 - \"soon\""].into_iter()).len(), 1);
        assert_eq!(warning_faults(["299 - \"soon\" \"Wed, 21 Oct 2015 07:28:00 GMT\""].into_iter()).len(), 1);
        let long = format!("299 - \"{}\"", "a".repeat(4096));
        assert_eq!(warning_faults([long.as_str()].into_iter()).len(), 1);
    }
}
