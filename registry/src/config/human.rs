//! Times and sizes as people write them.

use std::{fmt, str::FromStr, time::Duration};

const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// A number of bytes, written `4MiB`, `10GB` or `512B`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Reads sums of `<number><unit>`: `1h30m`.
fn sum(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// Reads `30s`, `24h`, `1h30m`, `250ms`.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    sum(text, &TIMES)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a time like \"30s\" or \"24h\""))
}

/// Writes a time in the largest unit that divides it.
pub(super) fn show_time(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    show(millis, &TIMES, "s")
}

fn show(count: u64, units: &[(&str, u64)], zero: &str) -> String {
    match units.iter().find(|(_, factor)| count >= *factor && count.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", count / factor),
        None => format!("0{zero}"),
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        sum(text, &SIZES).map(Self).ok_or_else(|| format!("{text:?} is not a size like \"4MiB\" or \"10GB\""))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0, &SIZES, "B"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("30s", 30), ("24h", 86_400), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "s", "30 s", "-1s", "1.5h", "30x", "99999999999999999999s", "soon"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for millis in [0, 1, 999, 1000, 1500, 60_000, 90_000, 86_400_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(parse_time(&show_time(time)), Ok(time));
        }
        for bytes in [0, 1, 1000, 1024, 1025, 4 << 20, 5_000_000_000, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }

    #[test]
    fn sizes_know_both_kinds_of_units() {
        for (text, bytes) in
            [("4MiB", 4 << 20), ("10GB", 10_000_000_000), ("512B", 512), ("1MiB1B", (1 << 20) + 1)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["4", "4M", "4 MiB", "MiB", "99999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
