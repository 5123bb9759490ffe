//! Content that streams by is checked against its descriptor before its last byte goes on.
//!
//! Whoever passes content on while it arrives (a pull-through cache, a copier) cannot take bytes
//! back. But it can keep them incomplete: content whose last bytes never came is not mistaken for
//! the whole. So the piece that completes the content is given out only once the whole matches.

use berth_hash::Hasher;
use bytes::Bytes;

use crate::{Descriptor, Digest};

/// Why content is not what its descriptor says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There are more bytes than the size.
    #[error("{digest} has more than the {expected} bytes of its descriptor")]
    TooLong {
        /// The content's expected digest.
        digest: Digest,
        /// Its expected size in bytes.
        expected: u64,
    },
    /// The content ended before the size.
    #[error("{digest} ended after {found} of the {expected} bytes of its descriptor")]
    TooShort {
        /// The content's expected digest.
        digest: Digest,
        /// Its expected size in bytes.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// The size is right and the hash is not.
    #[error("content should be {expected} and is {found}")]
    Digest {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
}

/// Checks a stream against a digest and a size.
///
/// After an error every further call gives that error again.
#[derive(Clone, Debug)]
pub struct Verifier {
    expected: Digest,
    size: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Hashing(Hasher),
    Matched,
    Failed(VerifyError),
}

impl Verifier {
    /// For content of `size` bytes that hashes to `expected`.
    #[must_use]
    pub fn new(expected: Digest, size: u64) -> Self {
        let hasher = Hasher::new(expected.algorithm().into());
        Self { expected, size, state: State::Hashing(hasher) }
    }

    /// For the content of `descriptor`.
    #[must_use]
    pub fn of(descriptor: &Descriptor) -> Self {
        Self::new(descriptor.digest.clone(), descriptor.size)
    }

    /// Takes the next piece and gives it back once it may go on: at once while more must follow;
    /// the piece that reaches the size only if the whole matches. `None` for an empty piece.
    ///
    /// # Errors
    /// As [`Self::update`]; the piece is dropped.
    pub fn push(&mut self, piece: Bytes) -> Result<Option<Bytes>, VerifyError> {
        self.update(&piece)?;
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// As [`Self::push`], for a caller that keeps the bytes itself: they may go on where this is Ok.
    ///
    /// # Errors
    /// If the bytes go beyond the size, and if they reach it and the whole does not match.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        match self.advance(bytes) {
            Ok(None) => Ok(()),
            Ok(Some(state)) => {
                self.state = state;
                Ok(())
            }
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Option<State>, VerifyError> {
        let too_long = || VerifyError::TooLong { digest: self.expected.clone(), expected: self.size };
        match &mut self.state {
            State::Failed(error) => Err(error.clone()),
            State::Matched if bytes.is_empty() => Ok(None),
            State::Matched => Err(too_long()),
            State::Hashing(hasher) => {
                let left = self.size - hasher.len();
                if bytes.len() as u64 > left {
                    return Err(too_long());
                }
                hasher.update(bytes);
                if hasher.len() < self.size {
                    return Ok(None);
                }
                let found = Digest::from_hasher(hasher.clone());
                if found == self.expected {
                    Ok(Some(State::Matched))
                } else {
                    Err(VerifyError::Digest { expected: self.expected.clone(), found })
                }
            }
        }
    }

    /// Asserts that all of the content came and matched.
    ///
    /// # Errors
    /// If bytes are missing, or an earlier call failed.
    pub fn finish(mut self) -> Result<(), VerifyError> {
        // Content of no bytes may have had no piece that reached its size.
        self.update(&[])?;
        match self.state {
            State::Matched => Ok(()),
            State::Failed(error) => Err(error),
            State::Hashing(hasher) => {
                Err(VerifyError::TooShort { digest: self.expected, expected: self.size, found: hasher.len() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    fn verifier(content: &[u8], algorithm: Algorithm) -> Verifier {
        Verifier::new(Digest::of(algorithm, content), content.len() as u64)
    }

    #[test]
    fn right_content_goes_on_in_any_pieces() {
        let content = b"some content";
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for piece in 1..=content.len() {
                let mut verifier = verifier(content, algorithm);
                let mut out = Vec::new();
                for piece in content.chunks(piece) {
                    out.extend(verifier.push(Bytes::copy_from_slice(piece)).unwrap().unwrap());
                }
                assert_eq!(out, content);
                assert_eq!(verifier.push(Bytes::new()), Ok(None));
                assert_eq!(verifier.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn wrong_content_is_never_complete() {
        let wrong = b"s0me content";
        for piece in 1..=wrong.len() {
            let mut verifier = verifier(b"some content", Algorithm::Sha256);
            let mut out = Vec::new();
            let mut failed = false;
            for piece in wrong.chunks(piece) {
                match verifier.push(Bytes::copy_from_slice(piece)) {
                    Ok(piece) => out.extend(piece.unwrap_or_default()),
                    Err(error) => failed = matches!(error, VerifyError::Digest { .. }),
                }
            }
            assert!(failed && out.len() < wrong.len());
            assert!(verifier.finish().is_err());
        }
    }

    #[test]
    fn the_first_byte_too_many_fails_and_nothing_after_it_passes() {
        let mut one_piece = verifier(b"abc", Algorithm::Sha256);
        assert!(matches!(one_piece.update(b"abcd"), Err(VerifyError::TooLong { expected: 3, .. })));
        let error = one_piece.update(b"").unwrap_err();
        assert_eq!(one_piece.finish(), Err(error));

        let mut two_pieces = verifier(b"abc", Algorithm::Sha256);
        two_pieces.update(b"abc").unwrap();
        assert!(matches!(two_pieces.update(b"d"), Err(VerifyError::TooLong { .. })));
    }

    #[test]
    fn short_content_is_told_from_whole() {
        let mut verifier = verifier(b"abc", Algorithm::Sha256);
        verifier.update(b"ab").unwrap();
        assert!(matches!(verifier.finish(), Err(VerifyError::TooShort { found: 2, expected: 3, .. })));
    }

    #[test]
    fn content_of_no_bytes_is_checked_too() {
        assert_eq!(verifier(b"", Algorithm::Sha256).finish(), Ok(()));
        let wrong = Verifier::new(Digest::of(Algorithm::Sha256, b"x"), 0);
        assert!(matches!(wrong.finish(), Err(VerifyError::Digest { .. })));
    }
}
