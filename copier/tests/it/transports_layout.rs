//! One layout and several processes.

use std::process::Command;

use berth_conformance::harness::Scratch;

use crate::transports_carry::{carry, gzip, make_layout, top};

const FROM: &str = "TRANSPORTS_LAYOUT_FROM";
const TO: &str = "TRANSPORTS_LAYOUT_TO";
const NAMES: usize = 12;

/// What each process does; without the environment it is nothing.
#[tokio::test]
async fn writes_where_the_environment_says() {
    let (Ok(from), Ok(to)) = (std::env::var(FROM), std::env::var(TO)) else { return };
    for number in 0..NAMES {
        carry(&from, &format!("{to}{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn processes_that_write_one_layout_lose_nothing_of_each_other() {
    let scratch = Scratch::new("transports").unwrap();
    make_layout(&scratch.join("layout"));
    let path = |name: &str| scratch.join(name).display().to_string();
    let test = "transports_layout::writes_where_the_environment_says";
    let children: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|process| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--test-threads=1"])
                .env(FROM, format!("oci:{}:multi", path("layout")))
                .env(TO, format!("oci:{}:{process}", path("shared")))
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    for process in ["a", "b", "c"] {
        for number in 0..NAMES {
            top(&format!("oci:{}:{process}{number}", path("shared"))).await.unwrap();
        }
    }
}

const STDIN: &str = "TRANSPORTS_LAYOUT_STDIN";

/// What reads its standard input; without the environment it is nothing.
#[tokio::test]
async fn reads_what_comes_in() {
    let Ok(to) = std::env::var(STDIN) else { return };
    carry("oci-archive:-", &to).await.unwrap();
}

#[tokio::test]
async fn archives_are_read_from_standard_input() {
    let scratch = Scratch::new("transports").unwrap();
    make_layout(&scratch.join("layout"));
    let path = |name: &str| scratch.join(name).display().to_string();
    carry(&format!("oci:{}:multi", path("layout")), &format!("oci-archive:{}", path("a.tar"))).await.unwrap();
    let plain = std::fs::read(scratch.join("a.tar")).unwrap();
    std::fs::write(scratch.join("a.tar.gz"), gzip(&plain)).unwrap();
    for archive in ["a.tar", "a.tar.gz"] {
        let to = format!("dir:{}", path(&format!("{archive}-dir")));
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "transports_layout::reads_what_comes_in"])
            .env(STDIN, &to)
            .stdin(std::fs::File::open(scratch.join(archive)).unwrap())
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        assert_eq!(top(&to).await.unwrap(), top(&format!("oci-archive:{}", path("a.tar"))).await.unwrap());
    }
}
