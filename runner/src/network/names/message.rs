//! Messages of DNS (RFC 1035, RFC 6891), as far as a server of host names reads and writes them: one question, answers
//! to it. Whatever comes is somebody else's bytes: every length is looked at before it is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
const OPT: u16 = 41;
const INTERNET: u16 = 1;

const HEADER: usize = 12;
const ANSWER: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const WANTS_RECURSION: u16 = 0x0100;
const OFFERS_RECURSION: u16 = 0x0080;

/// What a datagram holds where the sender says nothing.
const PLAIN_SIZE: usize = 512;
/// What we send in one datagram at most: it fits every path without being cut into pieces.
const LARGEST: usize = 1232;
/// Seconds for which an answer may be remembered: containers come and go.
const SECONDS: u32 = 5;

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Found = 0,
    Malformed = 1,
    Failed = 2,
    Unknown = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The sender's number.
    pub(super) id: u16,
    flags: u16,
    /// The name in small letters without the last dot; `None` for one that is no host's name (bytes of all kinds).
    pub(super) name: Option<String>,
    /// The type asked for.
    pub(super) kind: u16,
    /// Whether it is of the internet's class.
    pub(super) internet: bool,
    question: Vec<u8>,
    size: Option<usize>,
}

/// An answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    Name(String),
}

fn two(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

/// The end of a name that begins at `at`; its labels are handed to `each`. Pointers end a name and are not followed.
fn name(bytes: &[u8], mut at: usize, mut each: impl FnMut(&[u8])) -> Option<(usize, bool)> {
    let start = at;
    loop {
        let length = usize::from(*bytes.get(at)?);
        match length {
            0 => return Some((at + 1, false)),
            1..=63 => {
                each(bytes.get(at + 1..at + 1 + length)?);
                at += 1 + length;
                // The whole name has 255 bytes at most (RFC 1035, 2.3.4).
                if at - start > 254 {
                    return None;
                }
            }
            192..=255 => return bytes.get(at + 1).map(|_| (at + 2, true)),
            _ => return None,
        }
    }
}

impl Query {
    /// Reads a question. What is none is `Err`: with an answer for the sender where there is one to give.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Option<Vec<u8>>> {
        let (Some(id), Some(flags), Some(questions)) = (two(bytes, 0), two(bytes, 2), two(bytes, 4)) else {
            return Err(None);
        };
        // Answers are never answered, or two servers could keep each other busy.
        if bytes.len() < HEADER || flags & ANSWER != 0 {
            return Err(None);
        }
        let refuse = |outcome: Outcome| {
            let mut answer = Vec::with_capacity(HEADER);
            for value in [id, ANSWER | flags & 0x7900 | outcome as u16, 0, 0, 0, 0] {
                answer.extend(value.to_be_bytes());
            }
            Err(Some(answer))
        };
        if flags & 0x7800 != 0 {
            return refuse(Outcome::NotImplemented);
        }
        if questions != 1 {
            return refuse(Outcome::Malformed);
        }
        Self::question(bytes, id, flags).map_or_else(|| refuse(Outcome::Malformed), Ok)
    }

    fn question(bytes: &[u8], id: u16, flags: u16) -> Option<Self> {
        let mut text = String::new();
        let mut plain = true;
        let (end, pointer) = name(bytes, HEADER, |label| {
            plain &= label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
            if !text.is_empty() {
                text.push('.');
            }
            text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        })?;
        if pointer {
            return None;
        }
        let (kind, class) = (two(bytes, end)?, two(bytes, end + 2)?);
        let question = bytes.get(HEADER..end + 4)?.to_vec();
        let size = size(bytes, end + 4);
        Some(Self {
            id,
            flags,
            name: plain.then_some(text),
            kind,
            internet: class == INTERNET,
            question,
            size,
        })
    }

    /// How many bytes a datagram for the sender may have.
    pub(super) fn datagram(&self) -> usize {
        self.size.map_or(PLAIN_SIZE, |size| size.clamp(PLAIN_SIZE, LARGEST))
    }

    /// Whether a message is an answer to this question with this number.
    pub(super) fn answered_by(&self, id: u16, message: &[u8]) -> bool {
        let theirs = message.get(HEADER..HEADER + self.question.len());
        two(message, 0) == Some(id)
            && two(message, 2).is_some_and(|flags| flags & ANSWER != 0)
            && two(message, 4) == Some(1)
            && theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(&self.question))
    }

    /// The answer, of at most `room` bytes: one that is longer says so, and the sender asks again by TCP.
    pub(super) fn answer(&self, outcome: Outcome, records: &[Record], room: usize) -> Vec<u8> {
        let whole = self.write(outcome, records, false);
        if whole.len() <= room { whole } else { self.write(outcome, &[], true) }
    }

    fn write(&self, outcome: Outcome, records: &[Record], cut: bool) -> Vec<u8> {
        let own = if outcome == Outcome::Found || outcome == Outcome::Unknown { AUTHORITATIVE } else { 0 };
        let flags = ANSWER | own | self.flags & WANTS_RECURSION | OFFERS_RECURSION | outcome as u16;
        let flags = if cut { flags | TRUNCATED } else { flags };
        let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(PLAIN_SIZE);
        for value in [self.id, flags, 1, count, 0, u16::from(self.size.is_some())] {
            bytes.extend(value.to_be_bytes());
        }
        bytes.extend(&self.question);
        for record in records.iter().take(usize::from(count)) {
            let (kind, data) = record.data();
            // The name is the question's, at byte 12.
            bytes.extend([0xc0, 12]);
            bytes.extend(kind.to_be_bytes());
            bytes.extend(INTERNET.to_be_bytes());
            bytes.extend(SECONDS.to_be_bytes());
            bytes.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
            bytes.extend(data);
        }
        if self.size.is_some() {
            bytes.push(0);
            bytes.extend(OPT.to_be_bytes());
            bytes.extend(u16::try_from(LARGEST).unwrap_or_default().to_be_bytes());
            bytes.extend([0; 6]);
        }
        bytes
    }

    /// Another server's answer as the sender gets it: under its number, cut where it does not fit.
    pub(super) fn pass(&self, message: &[u8], room: usize) -> Vec<u8> {
        if message.len() > room {
            return self.write(Outcome::Failed, &[], true);
        }
        let mut bytes = message.to_vec();
        bytes[..2].copy_from_slice(&self.id.to_be_bytes());
        bytes
    }
}

/// The size that the sender takes (RFC 6891), from the records behind the question.
fn size(bytes: &[u8], mut at: usize) -> Option<usize> {
    let records = usize::from(two(bytes, 6)?) + usize::from(two(bytes, 8)?) + usize::from(two(bytes, 10)?);
    // A question has one such record, some have a signature too; nobody honest sends a hundred.
    for _ in 0..records.min(8) {
        let root = bytes.get(at) == Some(&0);
        let (end, _) = name(bytes, at, |_| ())?;
        if root && two(bytes, end)? == OPT {
            return two(bytes, end + 2).map(usize::from);
        }
        at = end + 10 + usize::from(two(bytes, end + 8)?);
    }
    None
}

/// Whether an answer is cut.
pub(super) fn truncated(message: &[u8]) -> bool {
    two(message, 2).is_some_and(|flags| flags & TRUNCATED != 0)
}

/// A question under another number.
pub(super) fn renumbered(message: &[u8], id: u16) -> Vec<u8> {
    let mut bytes = message.to_vec();
    if let Some(place) = bytes.first_chunk_mut::<2>() {
        *place = id.to_be_bytes();
    }
    bytes
}

impl Record {
    fn data(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
            Self::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
            Self::Name(name) => {
                let mut bytes = Vec::with_capacity(name.len() + 2);
                for label in name.split('.').filter(|label| !label.is_empty()) {
                    // Names of containers may be longer than a label; such a one is cut.
                    let label = &label.as_bytes()[..label.len().min(63)];
                    bytes.push(u8::try_from(label.len()).unwrap_or_default());
                    bytes.extend(label);
                }
                bytes.push(0);
                (PTR, bytes)
            }
        }
    }
}

/// The address that a name of the reverse tree stands for.
pub(super) fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = rest.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [d, c, b, a] = <[u8; 4]>::try_from(parts).ok()?;
        return Some(Ipv4Addr::new(a, b, c, d).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?.split('.');
    let digits: Vec<u32> = digits
        .map(|digit| digit.chars().next().filter(|_| digit.len() == 1).and_then(|digit| digit.to_digit(16)))
        .collect::<Option<_>>()?;
    if digits.len() != 32 {
        return None;
    }
    let bits = digits.iter().rev().fold(0_u128, |bits, digit| bits << 4 | u128::from(*digit));
    Some(Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
