//! Values as Go's flag packages read them, since scripts write them so.

use std::time::Duration;

/// Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("\"{text}\" is neither true nor false")),
    }
}

/// Go's `time.ParseDuration`: numbers with units one after the other, `1m30s`, `1.5h`, `300ms`. What is negative counts
/// as zero, since both places that take a duration read zero and less as "none".
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let fault =
        |reason: String| format!("{reason} in duration \"{text}\"; write it like 90s, 1m30s or 500ms");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(fault("no number".to_owned()));
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| fault("no number".to_owned()))?;
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        total += number * seconds(unit).map_err(fault)?;
        rest = behind;
    }
    match Duration::try_from_secs_f64(total) {
        Ok(_) if negative => Ok(Duration::ZERO),
        // 290 years are all that Go's type holds.
        Ok(duration) if total < 9_223_372_036.0 => Ok(duration),
        _ => Err(fault("a number too large".to_owned())),
    }
}

fn seconds(unit: &str) -> Result<f64, String> {
    Ok(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err("missing unit".to_owned()),
        other => return Err(format!("unknown unit \"{other}\"")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("0", 0),
            ("1s", 1_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("+2s", 2_000),
            (".5s", 500),
            ("1h2m3s4ms", 3_723_004),
            ("1500us", 1),
            ("-5s", 0),
        ] {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
        }
        for text in ["", "5", "x", "5x", "s", "1m5", "1..5s", "+", "--1s", "1e9s", "99999999999h", "1 s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean("0"), Ok(false));
        for text in ["", "yes", "no", "tRue", "2"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_duration_panic(text in "\\PC{0,24}|[0-9.hmsnuµ+-]{0,24}") {
            let _read = duration(&text);
        }
    }
}
