//! The words of people, read: sizes, durations, signals, ports, limits. Each error names the value, the rule and an
//! example; the caller puts the flag before it.

mod duration;
mod port;
mod signal;
mod size;
mod ulimit;

pub(crate) use duration::milliseconds;
pub(crate) use port::{exposed, ports};
pub(crate) use signal::signal;
pub(crate) use size::bytes;
pub(crate) use ulimit::ulimit;

/// What is wrong with a value, without the flag that it was given to.
pub(crate) type Parsed<T> = Result<T, String>;

/// Faults of many flags, told together.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Notes one.
    pub(crate) fn add(&mut self, flag: &str, what: impl std::fmt::Display) {
        self.0.push(format!("{flag}: {what}"));
    }

    /// The value, or its fault noted.
    pub(crate) fn take<T>(&mut self, flag: &str, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|what| self.add(flag, what)).ok()
    }

    /// Nothing, or all that was noted.
    ///
    /// # Errors
    /// [`crate::error::RunnerError::Usage`].
    pub(crate) fn finish(self) -> crate::error::Result<()> {
        match self.0.as_slice() {
            [] => Ok(()),
            [one] => Err(crate::error::RunnerError::Usage(one.clone())),
            many => {
                let text = format!("{} faults:\n  {}", many.len(), many.join("\n  "));
                Err(crate::error::RunnerError::Usage(text))
            }
        }
    }
}

/// A number of digits alone: `str::parse` takes a sign before them, and the kernel does not.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `key=value`, or `key` alone with an empty value.
pub(crate) fn pair(text: &str) -> Parsed<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(format!("{text:?} has no name before its ="));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// `true`, `false` and podman's other words for them.
pub(crate) fn truth(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "on" => Ok(true),
        "false" | "0" | "f" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests;
