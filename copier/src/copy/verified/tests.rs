use std::sync::atomic::{AtomicU64, Ordering};

use berth_oci::{Algorithm, Digest, MediaType, VerifyError};
use futures_util::TryStreamExt;

use super::*;

/// Gives out `bytes` in pieces, and counts what it gave.
struct Plain {
    bytes: Bytes,
    piece: usize,
    seekable: bool,
    read: Arc<AtomicU64>,
}

#[async_trait]
impl Content for Plain {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        if from > 0 && !self.seekable {
            return Err(Error::NotSeekable);
        }
        let rest = self.bytes.slice(usize::try_from(from).unwrap()..);
        let read = Arc::clone(&self.read);
        let pieces: Vec<Bytes> = rest.chunks(self.piece).map(Bytes::copy_from_slice).collect();
        Ok(stream::iter(pieces)
            .map(move |piece| {
                read.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(piece)
            })
            .boxed())
    }
}

fn descriptor(content: &[u8]) -> Descriptor {
    let digest = Digest::of(Algorithm::Sha256, content);
    Descriptor::new(MediaType::new("application/octet-stream"), digest, content.len() as u64)
}

fn verified(served: &[u8], expected: &[u8], piece: usize) -> (Verified, Arc<AtomicU64>) {
    let read = Arc::new(AtomicU64::new(0));
    let plain =
        Plain { bytes: Bytes::copy_from_slice(served), piece, seekable: true, read: Arc::clone(&read) };
    (Verified::new(Box::new(plain), descriptor(expected), None), read)
}

/// What came out, and how it ended.
async fn drain(content: &Verified, from: u64) -> (Vec<u8>, Result<()>) {
    let mut out = Vec::new();
    let mut stream = content.open(from).await.unwrap();
    loop {
        match stream.try_next().await {
            Ok(Some(piece)) => out.extend_from_slice(&piece),
            Ok(None) => return (out, Ok(())),
            Err(error) => return (out, Err(error)),
        }
    }
}

#[tokio::test]
async fn right_content_goes_through_from_any_offset() {
    let content = b"some content";
    for piece in 1..=content.len() {
        let (verified, _) = verified(content, content, piece);
        for from in 0..=content.len() {
            let (out, end) = drain(&verified, from as u64).await;
            assert_eq!((out.as_slice(), end.is_ok()), (&content[from..], true), "{piece} {from}");
        }
        assert!(verified.fault().is_none());
    }
}

#[tokio::test]
async fn c6_content_that_lies_is_never_whole() {
    let right = b"some content";
    for served in [&b"s0me content"[..], b"some conten", b"some content and more", b""] {
        for piece in 1..=served.len().max(1) {
            let (verified, _) = verified(served, right, piece);
            for from in [0, 3, 12] {
                let (out, end) = drain(&verified, from).await;
                assert!(matches!(end, Err(Error::Verify(_))), "{served:?}");
                assert!(from == 12 || out.len() < right.len() - usize::try_from(from).unwrap(), "{out:?}");
                assert!(matches!(verified.fault(), Some(Error::Verify(_))));
            }
        }
    }
}

#[tokio::test]
async fn c6_the_source_is_not_read_beyond_one_piece_too_many() {
    let (verified, read) = verified(&[7; 1000], &[7; 100], 10);
    let (_, end) = drain(&verified, 0).await;
    assert!(matches!(end, Err(Error::Verify(VerifyError::TooLong { .. }))));
    assert_eq!(read.load(Ordering::Relaxed), 110);
}

#[tokio::test]
async fn content_of_no_bytes_is_content() {
    let (verified, _) = verified(b"", b"", 1);
    assert_eq!(drain(&verified, 0).await.0, b"");
    assert!(drain(&verified, 0).await.1.is_ok());
}

#[tokio::test]
async fn a_second_opening_reads_from_the_nearest_state_only() {
    let size = usize::try_from(STRIDE).unwrap() * 3 + 5;
    let content: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let (verified, read) = verified(&content, &content, 1 << 20);
    drop(drain(&verified, 0).await);
    read.store(0, Ordering::Relaxed);
    let from = STRIDE * 2 + 77;
    let (out, end) = drain(&verified, from).await;
    assert!(end.is_ok() && out == content[usize::try_from(from).unwrap()..]);
    assert_eq!(read.load(Ordering::Relaxed), size as u64 - STRIDE * 2);
}

#[tokio::test]
async fn content_that_cannot_seek_is_read_again_from_its_beginning() {
    let content = vec![3; usize::try_from(STRIDE).unwrap() + 9];
    let plain =
        Plain { bytes: content.clone().into(), piece: 1 << 20, seekable: false, read: Arc::default() };
    let verified = Verified::new(Box::new(plain), descriptor(&content), None);
    drop(drain(&verified, 0).await);
    assert_eq!(drain(&verified, STRIDE + 1).await.0.len(), 8);
}

#[tokio::test]
async fn bytes_are_counted_once_however_often_they_are_read() {
    let (tally, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let plain =
        Plain { bytes: Bytes::from_static(b"0123456789"), piece: 3, seekable: true, read: Arc::default() };
    let verified = Verified::new(Box::new(plain), descriptor(b"0123456789"), Some(tally));
    for from in [0, 4, 0] {
        drop(drain(&verified, from).await);
    }
    drop(verified);
    let mut sum = 0;
    while let Some(bytes) = counted.recv().await {
        sum += bytes;
    }
    assert_eq!(sum, 10);
}
