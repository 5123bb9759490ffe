//! F21, F22 and memory: what a registry may take, and how it stops.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use berth_conformance::data::random;
use berth_conformance::faults::{Client, uploads_resume};
use berth_conformance::harness::{Berth, Stack, fair, get_status, require};
use berth_oci::{Algorithm, Digest};
use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest as _, Sha256};

const MIB: u64 = 1 << 20;
/// So soon after a flood all is as before.
const RECOVERY: Duration = Duration::from_secs(5);
/// The queue at the door is full when a connection takes longer.
const CONNECT: Duration = Duration::from_millis(200);

#[test]
fn f21_an_upload_that_a_stop_cuts_goes_on_after_the_restart() {
    println!("{}", uploads_resume(Stack::Embedded, 20).unwrap());
}

#[test]
fn f21_an_upload_to_postgresql_and_s3_goes_on_after_the_restart() {
    if require(super::OUTSIDE_TOOLS) {
        println!("{}", uploads_resume(Stack::outside().unwrap(), 3).unwrap());
    }
}

#[test]
fn f22_after_a_flood_of_connections_good_clients_are_served_again() {
    if !require(&["prlimit"]) {
        return;
    }
    let mut berth = Berth::builder().wrapper(["prlimit", "--nofile=64:64"]).start().unwrap();
    for round in 0..3 {
        // As many as it takes, and a few more that wait at the door.
        let flood: Vec<_> = (0..200).map_while(|_| open(berth.port()).ok()).collect();
        assert!(flood.len() > 64, "round {round}: {} connections", flood.len());
        let descriptors = berth.stats().unwrap().descriptors().unwrap();
        assert!(descriptors < 64, "round {round}: {descriptors} descriptors");
        drop(flood);
        let begun = Instant::now();
        while !(0..20).all(|_| get_status(berth.port(), "/v2/").is_ok_and(|status| status == 200)) {
            assert!(
                begun.elapsed() < fair(RECOVERY),
                "round {round}: not served after {:?}",
                begun.elapsed()
            );
        }
        assert!(begun.elapsed() < fair(RECOVERY), "round {round}: served after {:?} only", begun.elapsed());
    }
}

/// A connection with half a request on it.
fn open(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CONNECT)?;
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: ")?;
    Ok(stream)
}

/// Many mebibytes of which none is like another, but for the price of one: a counter stands at the head of each.
struct Large {
    pattern: Bytes,
    count: u64,
}

impl Large {
    fn piece(&self, at: u64) -> Bytes {
        let mut piece = self.pattern.to_vec();
        piece[..8].copy_from_slice(&at.to_le_bytes());
        piece.into()
    }

    fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        (0..self.count).for_each(|at| hash.update(self.piece(at)));
        Digest::from_hash(Algorithm::Sha256, &hash.finalize())
    }

    async fn push(self, client: Client, digest: Digest) {
        let location = client.start("faults/large").await.unwrap().unwrap();
        let count = self.count;
        let pieces = stream::iter((0..count).map(move |at| Ok(self.piece(at))));
        assert_eq!(client.stream(&location, pieces).await.unwrap(), 202);
        assert_eq!(client.finish(&location, digest.as_str(), Bytes::new()).await.unwrap(), 201);
    }
}

fn large(count: u64) -> Large {
    Large { pattern: random(usize::try_from(MIB).unwrap()), count }
}

fn peak_of(berth: &mut Berth, pushes: impl Future<Output = ()>) -> u64 {
    let stats = berth.stats().unwrap();
    stats.reset_peak().unwrap();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(pushes);
    stats.peak_memory().unwrap()
}

#[test]
fn memory_does_not_grow_with_the_size_of_a_blob() {
    let mut berth = Berth::builder().start().unwrap();
    let client = Client::new(&berth.url()).unwrap();
    let mut peaks = Vec::new();
    for size in [1, 1024] {
        let (blob, client) = (large(size), client.clone());
        let digest = blob.digest();
        peaks.push(peak_of(&mut berth, blob.push(client, digest)));
    }
    let grown = peaks[1].saturating_sub(peaks[0]);
    println!("peak {} MiB for 1 MiB, {} MiB for 1 GiB", peaks[0] / MIB, peaks[1] / MIB);
    assert!(grown < 32 * MIB, "{} MiB more", grown / MIB);
}

#[test]
fn sixteen_pushes_at_once_stay_under_150_mib() {
    let mut berth = Berth::builder().start().unwrap();
    let client = Client::new(&berth.url()).unwrap();
    let blobs: Vec<_> = (0..16).map(|_| large(64)).map(|blob| (blob.digest(), blob)).collect();
    let peak = peak_of(&mut berth, async {
        let pushes = blobs.into_iter().map(|(digest, blob)| tokio::spawn(blob.push(client.clone(), digest)));
        for push in pushes.collect::<Vec<_>>() {
            push.await.unwrap();
        }
    });
    println!("peak {} MiB for 16 pushes of 64 MiB", peak / MIB);
    assert!(peak < 150 * MIB, "{} MiB", peak / MIB);
}
