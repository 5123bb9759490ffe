//! Signals by number, as Linux numbers them on every architecture that we build for.

pub(crate) const HUP: i32 = 1;
pub(crate) const INT: i32 = 2;
pub(crate) const QUIT: i32 = 3;
pub(crate) const KILL: i32 = 9;
pub(crate) const TERM: i32 = 15;
pub(crate) const CHLD: i32 = 17;
pub(crate) const WINCH: i32 = 28;

<<<<<<< HEAD
/// Those that are handed on to a container in the foreground: all that a person or a service manager sends.
pub(crate) const PROXIED: [i32; 11] = [HUP, INT, QUIT, 10, 12, 14, TERM, 16, 18, 29, 30];
=======
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Those that are handed on to a container in the foreground: all that a person or a service manager sends.
pub(crate) const PROXIED: [i32; 12] = [HUP, INT, QUIT, 10, 12, 14, TERM, 16, 18, 23, 29, 30];

/// The number of `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
///
/// # Errors
/// [`RunnerError::Usage`] for what is no signal.
pub(crate) fn parse(text: &str) -> Result<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().position(|known| *known == name).and_then(|at| i32::try_from(at + 1).ok());
    let real_time = |from: &str, base: i32, sign: i32| {
        let rest = name.strip_prefix(from)?;
        if rest.is_empty() {
            return Some(base);
        }
        let number: i32 = rest.strip_prefix(if sign > 0 { '+' } else { '-' })?.parse().ok()?;
        Some(base + sign * number)
    };
    known
        .or_else(|| upper.parse().ok())
        .or_else(|| real_time("RTMIN", 34, 1))
        .or_else(|| real_time("RTMAX", 64, -1))
        .filter(|number| (1..=64).contains(number))
        .ok_or_else(|| {
            RunnerError::Usage(format!("{text:?} is no signal: write TERM, SIGTERM, 15 or RTMIN+3"))
        })
}

/// `SIGTERM`; numbers without a name as `SIGRTMIN+N`.
pub(crate) fn name(number: i32) -> String {
    match usize::try_from(number - 1).ok().and_then(|at| NAMES.get(at)) {
        Some(name) => format!("SIG{name}"),
        None if number >= 34 => format!("SIGRTMIN+{}", number - 34),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, number) in [
            ("TERM", 15),
            ("sigkill", 9),
            ("1", 1),
            ("RTMIN+3", 37),
            ("SIGRTMAX", 64),
            ("SIGRTMAX-1", 63),
            ("winch", 28),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "0", "65", "SIG", "FOO", "RTMIN-1", "RTMIN+99", "-9"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!((name(15), name(37), name(31)), ("SIGTERM".into(), "SIGRTMIN+3".into(), "SIGSYS".into()));
    }
}
>>>>>>> main
