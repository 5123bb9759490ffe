//! The caller's terminal: raw while a container has it, and as it was on every end; keys that detach.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Result, RunnerError};

/// A raw terminal; dropped, it is as it was.
#[derive(Debug)]
pub(crate) struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Makes a terminal raw; what is no terminal is left alone.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn make(fd: impl AsFd) -> io::Result<Option<Self>> {
        if !isatty(&fd) {
            return Ok(None);
        }
        let terminal = fd.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        // What was typed before is for the program, too.
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Some(Self { terminal, before }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that was hung up cannot be set, and needs not.
        let _hung_up = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Rows and columns, of what is a terminal.
pub(crate) fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    tcgetwinsize(fd).ok().map(|size| (size.ws_row, size.ws_col)).filter(|size| *size != (0, 0))
}

/// Keys that detach, `ctrl-p,ctrl-q`, looked for in what is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// What is typed where nothing else is asked for.
    pub(crate) const DEFAULT: &'static str = "ctrl-p,ctrl-q";

    /// Reads `a`, `ctrl-X` with X one of `a` to `z`, `@`, `[`, `\`, `]`, `^`, `_`, separated by commas; nothing is none.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] for another text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let key = |name: &str| -> Option<u8> {
            match (name.strip_prefix("ctrl-"), name.as_bytes()) {
                (Some(letter), _) => match letter.as_bytes() {
                    [byte @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(byte & 0x1f),
                    _ => None,
                },
                (None, [byte]) => Some(*byte),
                (None, _) => None,
            }
        };
        let keys: Option<Vec<u8>> = text.split(',').filter(|name| !name.is_empty()).map(key).collect();
        let keys = keys.ok_or_else(|| {
            RunnerError::Usage(format!(
                "--detach-keys {text:?}: write single characters and ctrl-a to ctrl-z, ctrl-@ ctrl-[ ctrl-\\ ctrl-] \
                 ctrl-^ ctrl-_ with commas between, or nothing for none"
            ))
        })?;
        Ok(Self { keys, matched: 0 })
    }

    /// Takes what was typed: what goes on to the container, and whether the keys were typed to the end.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(typed.len());
        if self.keys.is_empty() {
            through.extend_from_slice(typed);
            return (through, false);
        }
        for byte in typed {
            if self.keys[self.matched] == *byte {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (through, true);
                }
                continue;
            }
            // What was held back was no beginning of them.
            through.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(self.keys[0] == *byte);
            if self.matched == 1 && self.keys.len() == 1 {
                self.matched = 0;
                return (through, true);
            }
            if self.matched == 0 {
                through.push(*byte);
            }
        }
        (through, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_found_over_several_reads_and_the_rest_goes_through() {
        let mut keys = DetachKeys::parse(DetachKeys::DEFAULT).unwrap();
        assert_eq!(keys.filter(b"ls\r"), (b"ls\r".to_vec(), false));
        assert_eq!(keys.filter(b"a\x10"), (b"a".to_vec(), false), "held back");
        assert_eq!(keys.filter(b"b"), (b"\x10b".to_vec(), false), "it was no beginning");
        assert_eq!(keys.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11x"), (Vec::new(), true));
    }

    #[test]
    fn keys_are_named_as_podman_names_them() {
        assert_eq!(DetachKeys::parse("ctrl-a,b,ctrl-]").unwrap().keys, [1, b'b', 0x1d]);
        assert_eq!(DetachKeys::parse("").unwrap().filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
        for bad in ["ctrl-", "ctrl-P", "ctrl-1", "abc"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }
}
