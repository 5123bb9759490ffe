//! When to try again: Retry-After (RFC 9110, section 10.2.3), and growing pauses where a server says nothing.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, fmt::rfc2822};

const FIRST: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_secs(30);

/// Reads `Retry-After`: seconds, or a date. What is neither says nothing.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number holds are a wait that nobody waits.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let then: Timestamp = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let now = Timestamp::try_from(now).ok()?;
    Some(then.duration_since(now).try_into().unwrap_or(Duration::ZERO))
}

/// The pause before try number `tried + 1`: doubled each time, half of it by chance (0 up to 1).
pub(super) fn back_off(tried: u32, chance: f64) -> Duration {
    let whole = FIRST.saturating_mul(1_u32.checked_shl(tried).unwrap_or(u32::MAX)).min(LAST);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        for (text, found) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:28:05 GMT", Some(5)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), found.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after("99999999999999999999999", now), Some(Duration::MAX));
    }

    #[test]
    fn pauses_grow_and_have_an_end() {
        assert_eq!(back_off(0, 0.0), Duration::from_millis(250));
        assert_eq!(back_off(0, 1.0), Duration::from_millis(500));
        assert_eq!(back_off(1, 1.0), Duration::from_secs(1));
        assert_eq!(back_off(40, 1.0), LAST);
        assert_eq!(back_off(5, 7.0), Duration::from_secs(16));
    }
}
