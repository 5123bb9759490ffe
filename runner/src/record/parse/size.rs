//! Sizes.

use super::Parsed;

/// Bytes: a number with `b`, `k`, `m`, `g` or `t` (powers of 1024; `kb`, `KiB` and the like are the same).
pub(crate) fn bytes(text: &str) -> Parsed<u64> {
    let wrong = || format!("{text:?} is no size: a number with b, k, m, g or t, as in 64m");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let shift = match unit {
        "" => 0_u32,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_shl(shift).filter(|bytes| bytes >> shift == whole).ok_or_else(wrong);
    }
    let (whole, part) = number.split_once('.').ok_or_else(wrong)?;
    // Two numbers without a fraction's rounding: the part in millionths.
    let millionths = format!("{part:0<6.6}").parse::<u64>().map_err(|_| wrong())?;
    let whole = whole.parse::<u64>().map_err(|_| wrong())?;
    let whole = whole.checked_shl(shift).filter(|bytes| bytes >> shift == whole).ok_or_else(wrong)?;
    let part = (u128::from(millionths) << shift) / 1_000_000;
    u64::try_from(part).ok().and_then(|part| whole.checked_add(part)).ok_or_else(wrong)
}
