#![no_main]
//! zstd:chunked of any tar file: what comes out unpacks to what went in.

use berth_copier::compression::{Form, Level, Recipe, Recompressed, Unpack};
use berth_copier::copy::CompressionFormat;
use berth_copier_fuzz::{Memory, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let level = Level::new(CompressionFormat::ZstdChunked, Some(1)).expect("a level");
    let recipe = Recipe {
        unpack: Unpack::Known(Form::Plain),
        pack: Some((CompressionFormat::ZstdChunked, level)),
        ..Recipe::default()
    };
    let content = Recompressed::new(Box::new(Memory(bytes.to_vec().into())), recipe);
    if let Ok(packed) = read(&content) {
        let recipe = Recipe { unpack: Unpack::Known(Form::Zstd), ..Recipe::default() };
        let back = Recompressed::new(Box::new(Memory(packed.into())), recipe);
        assert_eq!(read(&back).expect("own form"), bytes);
    }
});
