//! Durations.

use super::Parsed;

/// Milliseconds of `1h30m`, `2m`, `30s`, `250ms`, `1.5s`; a number alone is seconds.
pub(crate) fn milliseconds(text: &str) -> Parsed<u64> {
    let wrong = || format!("{text:?} is no duration: numbers with h, m, s or ms, as in 1m30s");
    if let Ok(seconds) = text.parse::<u64>() {
        // As far as any other way to say it goes: what is added to a clock later stays far from its end.
        return seconds.checked_mul(1_000_000).map(|micros| micros / 1000).ok_or_else(wrong);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        // In microseconds, so that `500us` is not nothing twice over.
        let micros = match unit {
            "us" | "µs" => 1_u64,
            "ms" => 1000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return Err(wrong()),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole = whole.parse::<u64>().map_err(|_| wrong())?.checked_mul(micros).ok_or_else(wrong)?;
        let millionths = format!("{part:0<6.6}").parse::<u64>().map_err(|_| wrong())?;
        let part = u128::from(millionths) * u128::from(micros) / 1_000_000;
        let part = u64::try_from(part).map_err(|_| wrong())?;
        total = total.checked_add(whole).and_then(|total| total.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total / 1000) }
}
