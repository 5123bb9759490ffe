//! MB/s of each function by each implementation, one thread:
//! `cargo run --release -p berth-hash --example speed`.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{hint::black_box, time::Instant};

use berth_hash::{Hasher, Implementation, Kind};

fn main() {
    // As an upload meets it: pieces that come out of a socket's buffer, more than the caches hold.
    let input = vec![0x5a_u8; 64 << 20];
    for kind in [Kind::Sha256, Kind::Sha512] {
        for implementation in Implementation::ALL {
            let mut rates: Vec<f64> = (0..7)
                .map(|_| {
                    let begin = Instant::now();
                    let mut hasher = Hasher::with(kind, implementation);
                    input.chunks(256 << 10).for_each(|piece| hasher.update(piece));
                    black_box(hasher.finish());
                    input.len() as f64 / 1e6 / begin.elapsed().as_secs_f64()
                })
                .collect();
            rates.sort_by(f64::total_cmp);
            let (least, median, most) = (rates[0], rates[3], rates[6]);
            let name = format!("{kind:?} by {implementation:?}");
            println!("{name:<18} {median:>6.0} MB/s (least {least:.0}, most {most:.0})");
        }
        let begin = Instant::now();
        let chosen = Hasher::implementation(kind);
        println!("{kind:?} runs on {chosen:?}, chosen in {:?}", begin.elapsed());
    }
}
