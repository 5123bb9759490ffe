#![no_main]
//! Folders in artifacts, unpacked for real: nothing is written beside the folder.

use berth_copier_fuzz::folder;
use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use std::{fs::File, io::Write};

fuzz_target!(|bytes: &[u8]| {
    let place = folder().join("artifact");
    let into = place.join("into");
    std::fs::create_dir_all(&into).expect("a folder");
    let (plain, packed) = (folder().join("plain"), folder().join("packed"));
    std::fs::write(&plain, bytes).expect("a file");
    let mut encoder = GzEncoder::new(File::create(&packed).expect("a file"), Compression::fast());
    encoder.write_all(bytes).expect("bytes");
    encoder.finish().expect("an end");
    for file in [&plain, &packed] {
        let _any = berth_copier::fuzzing::unpack_folder(File::open(file).expect("a file"), "into", &into);
    }
    assert_eq!(std::fs::read_dir(&place).expect("a folder").count(), 1);
    std::fs::remove_dir_all(&place).expect("a folder");
});
