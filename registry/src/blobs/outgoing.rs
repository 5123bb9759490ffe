//! Blobs on their way out of an object store: hashed beside the socket, so that wrong bytes never make a whole blob.

use berth_oci::{Digest, Verifier};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use prometheus_client::metrics::counter::Counter;
use tracing::error;

use super::hash::IN_FLIGHT;
use crate::storage::{
    StorageError,
    lane::{Budget, Lane},
};

type Stream = BoxStream<'static, Result<bytes::Bytes, StorageError>>;

/// The same bytes, but the last piece goes on only once all of them have been seen to be those of `digest`: who waits for
/// `size` bytes never gets that many of another content. The file of a folder does not come this way: the disk's own
/// checksums, the scrub and the client's verification look after it.
pub(super) fn verified(body: Stream, digest: Digest, size: u64, budget: &Budget, wrong: Counter) -> Stream {
    let lane = Lane::new(Verifier::new(digest.clone(), size), IN_FLIGHT, budget);
    let begun = (body, lane, 0, (digest, wrong));
    stream::try_unfold(begun, move |(mut body, lane, seen, blob)| async move {
        let Some(bytes) = body.try_next().await? else {
            if seen < size {
                return Err(StorageError::Unavailable(format!("{seen} of {size} bytes came").into()));
            }
            return Ok(None);
        };
        let (piece, seen) = (bytes.clone(), seen + bytes.len() as u64);
        if seen < size {
            let update = move |verifier: &mut Verifier| {
                verifier.update(&piece).ok(); // It remembers, and tells at the end.
            };
            lane.push(bytes.len(), update).await?;
        } else if let Err(why) = lane.call(move |verifier| verifier.update(&piece)).await? {
            let (digest, wrong) = &blob;
            wrong.inc();
            error!(digest = %digest, "Storage sent other bytes than those of blob {digest}: {why}");
            return Err(StorageError::Corrupt(format!("blob {digest}: {why}")));
        }
        Ok(Some((bytes, (body, lane, seen, blob))))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use berth_oci::Algorithm;
    use bytes::Bytes;

    use super::*;

    /// What goes on of `pieces` when `content` was asked for, whether it ends well, and what was counted.
    async fn sent(content: &[u8], pieces: Vec<Bytes>) -> (Vec<u8>, bool, u64) {
        let body = stream::iter(pieces.into_iter().map(Ok)).boxed();
        let (wrong, size) = (Counter::default(), content.len() as u64);
        let digest = Digest::of(Algorithm::Sha256, content);
        let mut out = verified(body, digest, size, &Budget::new(1 << 20), wrong.clone());
        let mut seen = Vec::new();
        loop {
            match out.next().await {
                Some(Ok(bytes)) => seen.extend_from_slice(&bytes),
                Some(Err(_)) => return (seen, false, wrong.get()),
                None => return (seen, true, wrong.get()),
            }
        }
    }

    #[tokio::test]
    async fn f9_a_flipped_bit_anywhere_stops_the_stream_before_its_last_byte() {
        let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let cut = |bytes: &[u8], size| bytes.chunks(size).map(Bytes::copy_from_slice).collect::<Vec<_>>();
        for size in [1, 64, 3333, 5000, 9999, 10_000] {
            assert_eq!(sent(&content, cut(&content, size)).await, (content.clone(), true, 0));
            for at in (0..content.len()).step_by(977).chain([content.len() - 1]) {
                let mut wrong = content.clone();
                wrong[at] ^= 0x10;
                let (seen, well, counted) = sent(&content, cut(&wrong, size)).await;
                assert!(!well && counted == 1 && seen.len() < content.len(), "{at} in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn f9_more_or_fewer_bytes_than_the_blob_has_are_no_blob() {
        let content = vec![7; 1000];
        let (seen, well, counted) = sent(&content, vec![vec![7; 999].into()]).await;
        assert!(!well && seen.len() == 999 && counted == 0);
        let (seen, well, counted) = sent(&content, vec![vec![7; 500].into(), vec![7; 501].into()]).await;
        assert!(!well && seen.len() == 500 && counted == 1);
    }
}
