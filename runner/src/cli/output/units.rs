//! Sizes, times and ids as people read them, in podman's words.

use std::time::Duration;

use jiff::Timestamp;

use super::Value;

/// Bytes with three digits: `7.66 MB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if amount < 999.5 {
            break;
        }
        amount /= 1000.0;
        unit = next;
    }
    let places = match amount {
        _ if unit == "B" => 0,
        amount if amount < 9.995 => 2,
        amount if amount < 99.95 => 1,
        _ => 0,
    };
    let digits = format!("{amount:.places$}");
    let digits = if places > 0 { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits} {unit}")
}

/// Bytes with four digits and without a blank, as `stats` tells them: `503.8kB`.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
pub(crate) fn exact_size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if amount < 1000.0 {
            break;
        }
        amount /= 1000.0;
        unit = next;
    }
    let places = match amount {
        _ if unit == "B" => 0,
        amount if amount < 10.0 => 3,
        amount if amount < 100.0 => 2,
        _ => 1,
    };
    let digits = format!("{amount:.places$}");
    let digits = if places > 0 { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    format!("{digits}{unit}")
}

/// A time that something took, as Go writes it: `39.183311ms`, `1h2m3.5s`.
pub(crate) fn took(time: Duration) -> String {
    let trimmed = |whole: u64, fraction: u64, places: usize| {
        let digits = format!("{whole}.{fraction:0places$}");
        digits.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let nanos = u64::from(time.subsec_nanos());
    match time.as_secs() {
        0 if nanos == 0 => "0s".to_owned(),
        0 if nanos < 1000 => format!("{nanos}ns"),
        0 if nanos < 1_000_000 => format!("{}µs", trimmed(nanos / 1000, nanos % 1000, 3)),
        0 => format!("{}ms", trimmed(nanos / 1_000_000, nanos % 1_000_000, 6)),
        seconds => {
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = trimmed(seconds % 60, nanos, 9);
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, minutes) => format!("{minutes}m{rest}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

/// Seconds in one unit: `3 minutes`, `About an hour`.
pub(crate) fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        MINUTE..120 => "About a minute".to_owned(),
        120..HOUR => format!("{} minutes", seconds / MINUTE),
        HOUR..7200 => "About an hour".to_owned(),
        7200..172_800 => format!("{} hours", seconds / HOUR),
        172_800..1_209_600 => format!("{} days", seconds / DAY),
        1_209_600..5_184_000 => format!("{} weeks", seconds / (7 * DAY)),
        5_184_000..63_072_000 => format!("{} months", seconds / (30 * DAY)),
        _ => format!("{} years", seconds / (365 * DAY)),
    }
}

/// How long ago a time was: `3 minutes ago`. What lies ahead, by another machine's clock, is now.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - then.as_second()).unwrap_or_default();
    format!("{} ago", duration(seconds))
}

/// The beginning of an id or digest that people use for it: twelve characters behind the algorithm.
pub(crate) fn short_id(id: &str) -> &str {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

/// A share of a hundred: `12.34%`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

/// A time for templates and JSON, as Go writes it.
pub(crate) fn time(of: Timestamp) -> Value {
    let text = of.to_string();
    super::Time::parse(&text).map_or_else(|| Value::text(text), Value::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_tell_sizes_and_times_as_podman_does() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (503_800, "503.8kB"),
            (67_108_864, "67.11MB"),
            (8_192, "8.192kB"),
        ] {
            assert_eq!(exact_size(bytes), text);
        }
        for (micros, text) in [
            (0, "0s"),
            (5, "5µs"),
            (39_183, "39.183ms"),
            (1_000_000, "1s"),
            (61_500_000, "1m1.5s"),
            (3_600_000_000, "1h0m0s"),
        ] {
            assert_eq!(took(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1536, "1.54 kB"),
            (7_660_000, "7.66 MB"),
            (12_340_000, "12.3 MB"),
            (123_400_000, "123 MB"),
            (999_999, "1 MB"),
            (5_000_000_000, "5 GB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn durations_are_in_one_unit() {
        for (seconds, shown) in [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (90_000, "25 hours"),
            (172_800, "2 days"),
            (1_209_600, "2 weeks"),
            (5_184_000, "2 months"),
            (100_000_000, "3 years"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }

    #[test]
    fn ids_are_shortened_behind_their_algorithm() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("abc"), "abc");
    }

    #[test]
    fn a_time_ahead_is_now() {
        let now = Timestamp::from_second(1000).unwrap();
        assert_eq!(ago(Timestamp::from_second(2000).unwrap(), now), "Less than a second ago");
        assert_eq!(ago(Timestamp::from_second(880).unwrap(), now), "2 minutes ago");
    }
}
