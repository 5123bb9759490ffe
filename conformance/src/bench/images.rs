//! Small images from several clients at once.

use std::time::Instant;

use berth_hash::{Hasher, Kind};
use berth_oci::{Algorithm, Digest};

use super::Bench;
use super::manifests::summary;
use super::peer::{CONFIG, Peer, manifest, network, push_blob, push_manifest};
use super::report::Report;
use crate::clients::digest_of;
use crate::harness::{HarnessError, Result};

const CLIENTS: usize = 16;
const LAYER: usize = 1 << 20;
const TAIL: usize = 16;

/// An image whose layer nobody has pushed before.
struct Image {
    tail: [u8; TAIL],
    digest: Digest,
    config: Vec<u8>,
}

/// Layer of 1 MiB, configuration and manifest, each new, from sixteen clients; an image is done when its manifest's
/// 201 is there.
pub(super) fn run(bench: &mut Bench, report: &mut Report) -> Result<()> {
    let base: Vec<u8> = (0..LAYER - TAIL).map(|at| at.wrapping_mul(40_503).to_le_bytes()[1]).collect();
    let mut hasher = Hasher::new(Kind::Sha256);
    hasher.update(&base);
    let prefix = hasher.save();
    for _ in 0..bench.args.rounds {
        for peer in &bench.peers {
            let mut shares: Vec<Vec<Image>> = Vec::new();
            for _ in 0..CLIENTS {
                let share = (0..bench.args.images.div_ceil(CLIENTS)).map(|_| image(&prefix));
                shares.push(share.collect::<Result<_>>()?);
            }
            let begun = Instant::now();
            let times = bench.runtime.block_on(push_all(peer, &base, shares))?;
            let load = summary(times, begun.elapsed().as_secs_f64());
            report.add("images", "1 MiB images, 16 clients", "images/s", &peer.name, load.rate);
            report.add("images", "1 MiB images, 16 clients: p50", "ms", &peer.name, load.p50);
            report.add("images", "1 MiB images, 16 clients: p99", "ms", &peer.name, load.p99);
        }
    }
    Ok(())
}

fn image(prefix: &[u8]) -> Result<Image> {
    let tail = rand::random::<[u8; TAIL]>();
    let hasher = Hasher::restore(Kind::Sha256, prefix);
    let mut hasher = hasher.map_err(|error| HarnessError::Unexpected(error.to_string()))?;
    hasher.update(&tail);
    let digest = Digest::from_hash(Algorithm::Sha256, &hasher.finish());
    let mut config = CONFIG.to_vec();
    // White space behind the value keeps it valid and makes it this image's own.
    config.extend(digest.hex().bytes().map(|byte| if byte & 1 == 0 { b' ' } else { b'\n' }));
    Ok(Image { tail, digest, config })
}

async fn push_all(peer: &Peer, base: &[u8], shares: Vec<Vec<Image>>) -> Result<Vec<std::time::Duration>> {
    let clients = shares.into_iter().enumerate().map(|(number, share)| async move {
        let (mut connection, mut times) = (peer.connect().await?, Vec::with_capacity(share.len()));
        let repository = format!("bench/small-{number}");
        for image in share {
            let begun = Instant::now();
            let digest = image.digest.as_str();
            let path = format!("/v2/{repository}/blobs/{digest}");
            // Every client asks first.
            let answer = connection.send("HEAD", &path, "", std::iter::empty()).await.map_err(network)?;
            if answer.status != 404 {
                return Err(HarnessError::Unexpected(format!(
                    "a new blob is answered with {}",
                    answer.status
                )));
            }
            let parts = [base, &image.tail];
            push_blob(&mut connection, &repository, digest, parts.iter().copied()).await?;
            let config = digest_of(&image.config);
            push_blob(&mut connection, &repository, config.as_str(), std::iter::once(&image.config[..]))
                .await?;
            let body = manifest(&image.config, (digest, LAYER), digest);
            push_manifest(&mut connection, &repository, image.digest.hex(), &body).await?;
            times.push(begun.elapsed());
        }
        Ok(times)
    });
    let finished: Vec<Result<Vec<_>>> = futures_util::future::join_all(clients).await;
    let mut times = Vec::new();
    for client in finished {
        times.extend(client?);
    }
    Ok(times)
}
