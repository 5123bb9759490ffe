//! The words of the socket: what a client asks, and what a supervisor says.

use crate::supervisor::order::Attach;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Output from now on, and input to come.
    Attach(Attach),
    /// End it: seconds until it is killed, and whether it is a person's will.
    Stop { seconds: u32, person: bool },
    /// Send it a signal, and whether it is a person's will.
    Kill { signal: i32, person: bool },
    /// Tell its end.
    Wait,
    /// Input.
    Input(Vec<u8>),
    /// Input ends.
    InputEnds,
    /// Rows and columns of the client's terminal.
    Resize(u16, u16),
    /// Check its health now.
    Check,
}

impl Request {
    /// As a message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Attach(attach) => bytes.extend([b'A', u8::from(attach.input), u8::from(attach.output)]),
            Self::Stop { seconds, person } => {
                bytes.extend([b'S', u8::from(*person)]);
                bytes.extend(seconds.to_le_bytes());
            }
            Self::Kill { signal, person } => {
                bytes.extend([b'K', u8::from(*person)]);
                bytes.extend(signal.to_le_bytes());
            }
            Self::Wait => bytes.push(b'W'),
            Self::Input(data) => {
                bytes.push(b'I');
                bytes.extend(data);
            }
            Self::InputEnds => bytes.push(b'E'),
            Self::Resize(rows, columns) => {
                bytes.push(b'R');
                bytes.extend(rows.to_le_bytes());
                bytes.extend(columns.to_le_bytes());
            }
            Self::Check => bytes.push(b'H'),
        }
        bytes
    }

    /// From a message.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, data) = bytes.split_first()?;
        let truth = |at: usize| data.get(at).map(|byte| *byte != 0);
        let number = |from: usize| <[u8; 4]>::try_from(data.get(from..)?).ok();
        Some(match kind {
            b'A' => Self::Attach(Attach { input: truth(0)?, output: truth(1)? }),
            b'S' => Self::Stop { person: truth(0)?, seconds: u32::from_le_bytes(number(1)?) },
            b'K' => Self::Kill { person: truth(0)?, signal: i32::from_le_bytes(number(1)?) },
            b'W' => Self::Wait,
            b'I' => Self::Input(data.to_vec()),
            b'E' => Self::InputEnds,
            b'R' => {
                let [a, b, c, d] = number(0)?;
                Self::Resize(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
            }
            b'H' => Self::Check,
            _ => return None,
        })
    }
}

/// For the fuzz targets: what is asked is the same when it is asked again.
pub(crate) fn fuzzed(bytes: &[u8]) {
    if let Some(request) = Request::parse(bytes) {
        assert_eq!(Request::parse(&request.message()), Some(request));
    }
}

/// What a supervisor says; each a message.
pub(crate) mod say {
    /// Done.
    pub(crate) const DONE: u8 = b'o';
    /// Not done, with the reason.
    pub(crate) const FAILED: u8 = b'e';
    /// Standard output.
    pub(crate) const OUT: u8 = b'1';
    /// Standard error.
    pub(crate) const ERR: u8 = b'2';
    /// It ended, with its number.
    pub(crate) const ENDED: u8 = b'x';
    /// The client took too little: output was left out for it.
    pub(crate) const BEHIND: u8 = b'b';
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back() {
        for request in [
            Request::Attach(Attach { input: true, output: false }),
            Request::Stop { seconds: 300, person: true },
            Request::Kill { signal: 64, person: false },
            Request::Wait,
            Request::Input(b"text".to_vec()),
            Request::InputEnds,
            Request::Resize(24, 80),
            Request::Check,
        ] {
            assert_eq!(Request::parse(&request.message()), Some(request));
        }
        for bad in [&b""[..], b"?", b"S", b"S\x01\x02", b"Kxxxxxxx", b"R\0"] {
            assert_eq!(Request::parse(bad), None, "{bad:?}");
        }
    }
}
