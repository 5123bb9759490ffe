use std::{
    io::Write,
    process::{Command, Stdio},
};

use berth_oci::Algorithm;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;

use super::*;
use crate::copy::CompressionFormat::{Gzip, Zstd};

/// Content that comes in pieces of one size.
pub(crate) struct Pieces {
    pub(crate) bytes: Bytes,
    pub(crate) size: usize,
    pub(crate) fails_at: Option<usize>,
}

impl Pieces {
    pub(crate) fn new(bytes: impl Into<Bytes>, size: usize) -> Box<Self> {
        Box::new(Self { bytes: bytes.into(), size, fails_at: None })
    }
}

#[async_trait]
impl Content for Pieces {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let bytes = self.bytes.slice(usize::try_from(from).unwrap()..);
        let mut pieces: Vec<Result<Bytes>> = (0..bytes.len())
            .step_by(self.size)
            .map(|at| Ok(bytes.slice(at..(at + self.size).min(bytes.len()))))
            .collect();
        if let Some(at) = self.fails_at {
            pieces.truncate(at);
            pieces.push(Err(Error::Timeout));
        }
        Ok(stream::iter(pieces).boxed())
    }
}

pub(crate) async fn read(content: &dyn Content) -> Result<Vec<u8>> {
    let mut stream = content.open(0).await?;
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// Bytes that compress somewhat, the same for the same seed.
pub(crate) fn text(bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let words: Vec<Vec<u8>> =
        (0..500).map(|_| next().to_le_bytes()[..(next() % 4 + 1) as usize].to_vec()).collect();
    let mut out = Vec::with_capacity(bytes + 4);
    while out.len() < bytes {
        out.extend_from_slice(&words[next() as usize % words.len()]);
    }
    out.truncate(bytes);
    out
}

fn packing(format: CompressionFormat, level: Option<i32>) -> Recipe {
    Recipe {
        unpack: Unpack::Known(Form::Plain),
        pack: Some((format, Level::new(format, level).unwrap())),
        ..Recipe::default()
    }
}

async fn pack(bytes: &[u8], piece: usize, format: CompressionFormat, level: Option<i32>) -> (Vec<u8>, Facts) {
    let content = Recompressed::new(Pieces::new(bytes.to_vec(), piece), packing(format, level));
    let packed = read(&content).await.unwrap();
    (packed, content.facts().unwrap())
}

async fn unpack(bytes: Vec<u8>, limits: Limits) -> Result<(Vec<u8>, Facts)> {
    let content = Recompressed::new(Pieces::new(bytes, 4096), Recipe { limits, ..Recipe::default() });
    let plain = read(&content).await?;
    Ok((plain, content.facts().unwrap()))
}

/// What another program makes of bytes.
pub(crate) fn through(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}: {}", output.status);
    output.stdout
}

#[tokio::test]
async fn what_is_packed_is_unpacked_again_by_us_and_by_others() {
    for size in [0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 7] {
        let plain = text(size, 7);
        for (format, program) in [(Gzip, "gzip"), (Zstd, "zstd")] {
            for level in [None, Some(1), Some(9)] {
                let (packed, facts) = pack(&plain, 10_000, format, level).await;
                assert_eq!(facts.diff_id, Digest::of(Algorithm::Sha256, &plain));
                assert_eq!(facts.plain_size, size as u64);
                assert_eq!(through(program, &["-dc"], &packed), plain, "{program} {size} {level:?}");
                let (again, facts) = unpack(packed, Limits::default()).await.unwrap();
                assert!(again == plain, "{program} {size}");
                assert_eq!(facts.diff_id, Digest::of(Algorithm::Sha256, &plain));
            }
        }
    }
}

const BLOCK: usize = 256 << 10;

#[tokio::test]
async fn what_others_packed_is_unpacked() {
    let plain = text(700_000, 3);
    for (program, form) in [("gzip", Form::Gzip), ("zstd", Form::Zstd)] {
        let mut packed = through(program, &["-c"], &plain);
        let again = packed.clone();
        packed.extend_from_slice(&again);
        let (both, facts) = unpack(packed, Limits::default()).await.unwrap();
        assert_eq!(facts.was, form);
        assert_eq!(both, [plain.as_slice(), &plain].concat(), "two members of {program}");
    }
    // A skippable frame before, between and behind.
    let frame = through("zstd", &["-c"], &plain);
    let skipped = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let packed = [&skipped[..], &frame, &skipped, &frame, &skipped].concat();
    assert_eq!(unpack(packed, Limits::default()).await.unwrap().1.plain_size, 1_400_000);
}

#[tokio::test]
async fn the_same_bytes_come_out_however_the_plain_ones_came() {
    let plain = text(3_000_000, 11);
    for format in [Gzip, Zstd] {
        let (whole, _) = pack(&plain, usize::MAX >> 1, format, None).await;
        for piece in [997, 65_536, 1_000_000] {
            assert!(pack(&plain, piece, format, None).await.0 == whole, "{format:?} in {piece}");
        }
    }
}

#[test]
fn gzips_bytes_do_not_depend_on_the_number_of_threads() {
    let plain = text(2_000_000, 13);
    let level = Level::new(Gzip, None).unwrap();
    let one = gzip::with_threads(&plain, level, 1);
    for threads in [2, 3, 4] {
        assert!(gzip::with_threads(&plain, level, threads) == one, "{threads}");
    }
}

#[tokio::test]
async fn u11_a_bomb_is_stopped() {
    let zeros = vec![0; 8 << 20];
    let (packed, _) = pack(&zeros, 1 << 16, Zstd, None).await;
    for limits in [
        Limits { bytes: 1 << 20, ..Limits::default() },
        Limits { ratio: 100, free: 1 << 20, ..Limits::default() },
    ] {
        let error = unpack(packed.clone(), limits).await.unwrap_err();
        assert!(matches!(error, Error::Integrity(_)), "{error}");
        assert_eq!(error.exit_code(), 4);
    }
    assert!(unpack(packed, Limits { free: 8 << 20, ..Limits::default() }).await.is_ok());
}

#[tokio::test]
async fn u11_a_window_over_128_mib_is_refused() {
    // Magic number, descriptor without content size, window descriptor 2^31.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, (31 - 10) << 3, 1, 0, 0];
    let error = unpack(frame.to_vec(), Limits::default()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
}

#[tokio::test]
async fn cut_changed_and_trailing_bytes_are_errors() {
    let plain = text(400_000, 5);
    for format in [Gzip, Zstd] {
        let (packed, _) = pack(&plain, 65_536, format, None).await;
        for keep in [3, 7, 20, packed.len() / 2, packed.len() - 9, packed.len() - 1] {
            let known = Recipe { unpack: Unpack::Known(form_for(format)), ..Recipe::default() };
            let content = Recompressed::new(Pieces::new(packed[..keep].to_vec(), 4096), known);
            let error = read(&content).await.unwrap_err();
            assert_eq!(error.exit_code(), 4, "{format:?} cut to {keep}: {error}");
            assert_eq!(content.facts(), None);
        }
        for garbage in [&b"x"[..], b"trailing garbage", &[0; 12]] {
            let error = unpack([&packed, garbage].concat(), Limits::default()).await.unwrap_err();
            assert_eq!(error.exit_code(), 4, "{format:?}: {error}");
        }
        let mut changed = packed.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let error = unpack(changed, Limits::default()).await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{format:?}: {error}");
    }
}

fn form_for(format: CompressionFormat) -> Form {
    if format == Gzip { Form::Gzip } else { Form::Zstd }
}

#[tokio::test]
async fn the_sources_error_is_the_streams_error() {
    for format in [Gzip, Zstd] {
        let content = Pieces { bytes: text(900_000, 1).into(), size: 10_000, fails_at: Some(50) };
        let content = Recompressed::new(Box::new(content), packing(format, None));
        let error = read(&content).await.unwrap_err();
        assert!(matches!(error, Error::Timeout), "{error}");
        assert_eq!(content.facts(), None);
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_the_work() {
    let content = Recompressed::new(Pieces::new(text(3_000_000, 1), 10_000), packing(Gzip, Some(1)));
    let mut stream = content.open(0).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    assert!(matches!(content.open(1).await, Err(Error::NotSeekable)));
    // The content can be read anew from its beginning.
    assert!(read(&content).await.is_ok());
}

#[tokio::test]
async fn what_the_type_says_must_be_there() {
    let recipe = Recipe { unpack: Unpack::Known(Form::Gzip), ..Recipe::default() };
    let content = Recompressed::new(Pieces::new(text(100, 1), 10), recipe);
    assert_eq!(read(&content).await.unwrap_err().exit_code(), 4);
}

#[tokio::test]
async fn magic_numbers_tell_the_form() {
    for (first, form) in [
        (&b"\x1f\x8b\x08\x00"[..], Form::Gzip),
        (b"BZh91AY", Form::Bzip2),
        (b"\xfd7zXZ\0\0", Form::Xz),
        (b"\x28\xb5\x2f\xfd\0", Form::Zstd),
        (b"\x50\x2a\x4d\x18\0", Form::Zstd),
        (b"etc/passwd", Form::Plain),
        (b"\x1f", Form::Plain),
        (b"", Form::Plain),
    ] {
        assert_eq!(detect(first), form);
        assert_eq!(sniff(&*Pieces::new(first, 1)).await.unwrap(), form);
    }
    for (media_type, form) in [
        ("application/vnd.oci.image.layer.v1.tar", Some(Form::Plain)),
        ("application/vnd.oci.image.layer.v1.tar+gzip", Some(Form::Gzip)),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Some(Form::Zstd)),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Form::Gzip)),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", None),
        ("application/vnd.oci.image.config.v1+json", None),
    ] {
        assert_eq!(form_of(&media_type.into()), form, "{media_type}");
    }
}

#[test]
fn a_level_out_of_range_is_told_with_the_range() {
    for (format, level, range) in [(Gzip, 10, "-1 to 9"), (Zstd, 0, "1 to 22"), (Zstd, 23, "1 to 22")] {
        let error = Level::new(format, Some(level)).unwrap_err();
        assert!(error.to_string().contains(range) && error.exit_code() == 2, "{error}");
    }
    assert_eq!(Level::new(Gzip, Some(-1)).unwrap(), Level::new(Gzip, None).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_content_in_any_pieces_goes_there_and_back(
        size in 0_usize..600_000, piece in 1_usize..200_000, seed: u32, level in 1..=9, zstd: bool,
    ) {
        let plain = text(size, seed);
        let format = if zstd { Zstd } else { Gzip };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (packed, facts) = pack(&plain, piece.max(size / 500), format, Some(level)).await;
            let (again, unpacked) = unpack(packed, Limits::default()).await.unwrap();
            assert!(again == plain);
            assert_eq!(facts.diff_id, unpacked.diff_id);
        });
    }

    #[test]
    fn any_bytes_behind_a_magic_number_end_with_an_answer(mut bytes: Vec<u8>, magic in 0..4_usize) {
        let magic = [&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0"][magic];
        bytes.splice(0..0, magic.iter().copied());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _either = runtime.block_on(unpack(bytes, Limits { bytes: 1 << 24, ..Limits::default() }));
    }
}
