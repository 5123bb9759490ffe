//! One layout and several processes.

use std::process::Command;

use berth_conformance::harness::Scratch;

use crate::transports_carry::{carry, make_layout, top};

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
