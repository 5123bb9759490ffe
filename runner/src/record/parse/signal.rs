//! Signals.

use super::Parsed;

const NAMES: [(&str, i32); 33] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("CLD", 17),
];

/// First and last real-time signal, as C libraries number them.
const REAL_TIME: (i32, i32) = (34, 64);

/// A signal by number or name, with or without `SIG`: `15`, `TERM`, `SIGRTMIN+3`.
pub(crate) fn signal(text: &str) -> Parsed<i32> {
    let wrong =
        || format!("{text:?} is no signal: a name such as TERM, or a number from 1 to {}", REAL_TIME.1);
    let legal = |number: i32| (1..=REAL_TIME.1).contains(&number).then_some(number).ok_or_else(wrong);
    if let Ok(number) = text.parse::<i32>() {
        return legal(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |rest: &str, sign: char| -> Option<i32> {
        if rest.is_empty() { Some(0) } else { rest.strip_prefix(sign)?.parse().ok() }
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest, '+').and_then(|more| REAL_TIME.0.checked_add(more)),
        (_, Some(rest)) => offset(rest, '-').and_then(|less| REAL_TIME.1.checked_sub(less)),
        (None, None) => None,
    };
    number.filter(|number| (REAL_TIME.0..=REAL_TIME.1).contains(number)).ok_or_else(wrong)
}
