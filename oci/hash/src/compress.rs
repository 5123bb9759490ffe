//! The compression functions of sha2 and of AWS-LC behind one signature, and all unsafe code of
//! this crate.

use aws_lc_sys::{SHA256_TransformBlocks, SHA512_CTX, SHA512_Update};

/// Feeds whole blocks to a state of eight words.
pub(crate) type Compress<W, const BLOCK: usize> = fn(&mut [W; 8], &[[u8; BLOCK]]);

/// SHA-256 by sha2: SHA instructions where the processor has them, portable Rust elsewhere.
pub(crate) fn sha256_sha2(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    sha2::block_api::compress256(state, blocks);
}

/// SHA-512 by sha2: AVX2 or the SHA-3 instructions where the processor has them.
pub(crate) fn sha512_sha2(state: &mut [u64; 8], blocks: &[[u8; 128]]) {
    sha2::block_api::compress512(state, blocks);
}

/// SHA-256 by AWS-LC: SHA, AVX, SSSE3 or NEON instructions, whichever the processor has.
pub(crate) fn sha256_aws_lc(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
    // AWS-LC never calls it for no blocks itself, and its assembly need not expect that.
    if blocks.is_empty() {
        return;
    }
    #[expect(unsafe_code, reason = "AWS-LC is a C library")]
    // SAFETY: the function reads and writes eight u32 behind the first pointer, which comes from
    // `&mut [u32; 8]` and so is valid, aligned and not aliased; it reads `blocks.len() * 64` bytes
    // behind the second, which is exactly the memory of the slice, and bytes need no alignment. It
    // keeps neither pointer. It takes no lock and touches nothing else but the processor's
    // capability word, which is written before `main` (or by `CRYPTO_library_init`, a no-op where
    // that is so) and only read afterwards. It returns nothing and cannot fail.
    unsafe {
        SHA256_TransformBlocks(state.as_mut_ptr(), blocks.as_ptr().cast(), blocks.len());
    }
}

/// SHA-512 by AWS-LC.
pub(crate) fn sha512_aws_lc(state: &mut [u64; 8], blocks: &[[u8; 128]]) {
    // There is no `SHA512_TransformBlocks`. A context with an empty buffer (`num` = 0) that is
    // updated by whole blocks compresses them straight from the input and leaves its buffer empty,
    // so that `h` afterwards is the state; the byte counts are ours to keep and ignored here.
    let bytes = blocks.as_flattened();
    let mut context = SHA512_CTX { h: *state, Nl: 0, Nh: 0, p: [0; 128], num: 0, md_len: 64 };
    #[expect(unsafe_code, reason = "AWS-LC is a C library")]
    // SAFETY: the first pointer is to a fully initialised context of the library's own layout
    // (generated for this target, checked by its tests), valid, aligned and not aliased for the
    // call. `num` is 0, below the 128 of the buffer `p`, which is all that the function assumes of
    // a context. The second pointer is valid for reads of `bytes.len()` bytes, and an empty input
    // returns at once. The function keeps neither pointer, and only reads the processor's
    // capability word, as above.
    let ok = unsafe { SHA512_Update(&raw mut context, bytes.as_ptr().cast(), bytes.len()) };
    // It has no path that answers anything else; a library that grew one must not go unnoticed.
    assert_eq!(ok, 1, "SHA512_Update failed");
    *state = context.h;
}

/// Makes AWS-LC look at the processor, for builds of it that do not before `main`.
pub(crate) fn initialise_aws_lc() {
    #[expect(unsafe_code, reason = "AWS-LC is a C library")]
    // SAFETY: takes nothing, may be called from any thread, any number of times.
    unsafe {
        aws_lc_sys::CRYPTO_library_init();
    }
}
