//! For the fuzz targets in `runner/fuzz`.

use std::net::IpAddr;

use super::message::{Outcome, Query, Record, renumbered, reversed, truncated};

/// Takes one part of the bytes for a question and the other for another server's answer to it.
///
/// # Panics
/// If an answer has more room than its asker, or is to another question.
pub(crate) fn message(bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.first().map_or(0, |at| usize::from(*at).min(bytes.len())));
    let _cut = (truncated(rest), renumbered(rest, 7));
    for question in [first, rest, bytes.get(1..).unwrap_or_default()] {
        let query = match Query::parse(question) {
            Ok(query) => query,
            Err(answer) => {
                assert!(answer.is_none_or(|answer| answer.len() == 12 && answer[2] & 0x80 != 0));
                continue;
            }
        };
        let room = query.datagram();
        assert!((512..=1232).contains(&room));
        let name = query.name.clone().unwrap_or_default();
        let _address = reversed(&name);
        let addresses = (0..40_u8).map(|n| Record::Address(IpAddr::from([10, 0, 0, n])));
        let records: Vec<Record> = addresses.chain([Record::Name(name)]).collect();
        for outcome in [Outcome::Found, Outcome::Unknown, Outcome::Refused] {
            let answer = query.answer(outcome, &records, room);
            assert!(answer.len() <= room, "{} bytes for {room}", answer.len());
            assert!(query.answered_by(query.id, &answer));
        }
        if query.answered_by(7, rest) {
            let passed = query.pass(rest, room);
            assert!(passed.len() <= room && passed.starts_with(&query.id.to_be_bytes()));
        }
    }
}
