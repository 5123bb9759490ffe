//! Both implementations against published vectors, against whole libraries, and each other.

use berth_hash::{Hasher, Implementation, Kind};
use proptest::prelude::*;
use sha2::Digest as _;

const KINDS: [Kind; 2] = [Kind::Sha256, Kind::Sha512];

fn block(kind: Kind) -> usize {
    match kind {
        Kind::Sha256 => 64,
        Kind::Sha512 => 128,
    }
}

/// The same by sha2's own buffering and padding, which Berth does not use.
fn reference(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
        Kind::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// No two bytes near each other are alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 167 + i / 251).to_le_bytes()[0]).collect()
}

#[test]
fn the_vectors_of_fips_180_4_come_out() {
    let two_blocks = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
                      hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    let million = "a".repeat(1_000_000);
    for (input, sha256, sha512) in [
        (
            "",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ),
        (
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c335\
             96fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec631238ca3445",
        ),
        (
            two_blocks,
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
             501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
        ),
        (
            million.as_str(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb\
             de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
        ),
    ] {
        for (kind, expected) in KINDS.into_iter().zip([sha256, sha512]) {
            for implementation in Implementation::ALL {
                let mut hasher = Hasher::with(kind, implementation);
                hasher.update(input.as_bytes());
                assert_eq!(hex(&hasher.finish()), expected, "{kind:?} {implementation:?}");
            }
        }
    }
}

#[test]
fn every_length_and_split_around_blocks_gives_the_same_hash_and_state() {
    for kind in KINDS {
        let input = pattern(3 * block(kind) + 2);
        for len in 0..=input.len() {
            let input = &input[..len];
            let expected = reference(kind, input);
            for split in 0..=len {
                let mut saved = Vec::new();
                for implementation in Implementation::ALL {
                    let mut hasher = Hasher::with(kind, implementation);
                    hasher.update(&input[..split]);
                    saved.push(hasher.save());
                    hasher.update(&input[split..]);
                    assert_eq!(hasher.len(), len as u64);
                    assert_eq!(hasher.finish(), expected, "{kind:?} {implementation:?} {split}/{len}");
                }
                assert_eq!(saved[0], saved[1], "{kind:?} at {split}");
            }
        }
    }
}

#[test]
fn a_state_saved_by_one_is_continued_by_the_other_at_every_point() {
    for kind in KINDS {
        let input = pattern(3 * block(kind) + 2);
        let expected = reference(kind, &input);
        for split in 0..=input.len() {
            for (first, second) in [(0, 1), (1, 0)] {
                let mut hasher = Hasher::with(kind, Implementation::ALL[first]);
                hasher.update(&input[..split]);
                let saved = hasher.save();
                let mut hasher = Hasher::restore_with(kind, Implementation::ALL[second], &saved).unwrap();
                assert_eq!((hasher.kind(), hasher.len()), (kind, split as u64));
                assert_eq!(hasher.save(), saved);
                hasher.update(&input[split..]);
                assert_eq!(hasher.finish(), expected, "{kind:?} at {split}");
            }
        }
    }
}

#[test]
fn a_saved_state_has_the_documented_form() {
    let mut hasher = Hasher::new(Kind::Sha256);
    hasher.update(b"abc");
    let saved = hasher.save();
    assert_eq!(hex(&saved[..32]), "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19");
    assert_eq!(saved[32..40], 3_u64.to_be_bytes());
    assert_eq!(&saved[40..], b"abc");
    assert_eq!(Hasher::new(Kind::Sha512).save().len(), 72);
}

#[test]
fn states_that_contradict_themselves_are_refused() {
    for kind in KINDS {
        let mut hasher = Hasher::new(kind);
        hasher.update(&pattern(block(kind) + 5));
        let good = hasher.save();
        assert!(Hasher::restore(kind, &good).is_ok());
        for len in 0..good.len() {
            assert!(Hasher::restore(kind, &good[..len]).is_err(), "cut at {len}");
        }
        let mut long = good.clone();
        long.push(0);
        assert!(Hasher::restore(kind, &long).is_err());

        let words = good.len() - 5 - 8;
        let with_count = |count: u64| {
            let mut state = good.clone();
            state[words..words + 8].copy_from_slice(&count.to_be_bytes());
            Hasher::restore(kind, &state)
        };
        // The same remainder, but too many bytes for the length field, or a moved state too soon.
        assert!(with_count((1 << 61) + 5).is_err());
        assert!(with_count(5).is_err());
        assert!(with_count((1 << 61) - block(kind) as u64 + 5).is_ok());
    }
}

#[test]
fn the_largest_count_that_restores_still_updates_and_finishes() {
    let mut saved = vec![0_u8; 32];
    saved.extend_from_slice(&((1_u64 << 61) - 1).to_be_bytes());
    saved.extend_from_slice(&[7; 63]);
    let mut hasher = Hasher::restore(Kind::Sha256, &saved).unwrap();
    hasher.update(&pattern(1000));
    assert_eq!(hasher.finish().len(), 32);
}

proptest! {
    #[test]
    fn any_pieces_give_the_hash_of_the_whole(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
        sha512: bool,
    ) {
        let kind = KINDS[usize::from(sha512)];
        let whole = pieces.concat();
        for implementation in Implementation::ALL {
            let mut hasher = Hasher::with(kind, implementation);
            for piece in &pieces {
                hasher.update(piece);
                hasher = Hasher::restore(kind, &hasher.save()).unwrap();
            }
            prop_assert_eq!(hasher.len(), whole.len() as u64);
            prop_assert_eq!(hasher.finish(), reference(kind, &whole));
        }
    }

    #[test]
    fn restoring_any_bytes_never_panics_and_keeps_what_it_took(
        bytes in prop::collection::vec(any::<u8>(), 0..220), count in 0_u64..200, sha512: bool,
    ) {
        let kind = KINDS[usize::from(sha512)];
        let words = if sha512 { 64 } else { 32 };
        let mut likely = bytes.clone();
        if likely.len() >= words + 8 {
            likely[words..words + 8].copy_from_slice(&count.to_be_bytes());
        }
        for saved in [bytes, likely] {
            if let Ok(mut hasher) = Hasher::restore(kind, &saved) {
                prop_assert_eq!(hasher.save(), saved);
                hasher.update(&[1; 300]);
                prop_assert!(!hasher.finish().is_empty());
            }
        }
    }
}
