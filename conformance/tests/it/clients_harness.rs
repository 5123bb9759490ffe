//! The harness itself: what it starts runs, and what it drops is gone.

use std::process::Command;
use std::time::Duration;

use berth_conformance::harness::{
    Containerd, DockerRegistry, Dockerd, Nginx, Postgres, ProcessStats, S3, Scratch, get_status, require,
    require_root, until,
};

#[test]
fn a_private_postgresql_gives_each_test_a_database_and_survives_a_restart() {
    if !require(Postgres::TOOLS) {
        return;
    }
    let postgres = Postgres::shared().unwrap();
    let (one, two) = (postgres.new_database().unwrap(), postgres.new_database().unwrap());
    assert_ne!(one, two);
    postgres.sql(&one, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").unwrap();
    postgres.restart().unwrap();
    assert_eq!(postgres.sql(&one, "SELECT n FROM kept").unwrap().trim(), "7");
    assert_eq!(postgres.sql(&two, "SHOW fsync").unwrap().trim(), "on");
}

#[test]
fn a_private_s3_refuses_requests_without_a_signature() {
    if !require(S3::TOOLS) {
        return;
    }
    let s3 = S3::shared().unwrap();
    let bucket = s3.new_bucket().unwrap();
    assert!(s3.bucket_folder(&bucket).is_dir());
    assert_eq!(get_status(s3.port(), &format!("/{bucket}/absent")).unwrap(), 403);
}

#[test]
fn a_peer_registry_and_nginx_answer_and_can_be_measured() {
    if !require(DockerRegistry::TOOLS) || !require(Nginx::TOOLS) {
        return;
    }
    let mut registry = DockerRegistry::start().unwrap();
    registry.restart().unwrap();
    let stats = registry.stats().unwrap();
    assert!(stats.memory().unwrap() > 1 << 20 && stats.peak_memory() >= stats.memory());
    let nginx = Nginx::start().unwrap();
    std::fs::write(nginx.files().join("there"), "x").unwrap();
    let port = nginx.host().rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(get_status(port, "/there").unwrap(), 200);
    assert!(nginx.stats().cpu().is_some());
}

#[test]
fn a_private_containerd_and_dockerd_answer_their_clients() {
    if !require_root() || !require(Containerd::TOOLS) || !require(Dockerd::TOOLS) {
        return;
    }
    let dockerd = Dockerd::start().unwrap();
    let driver = dockerd.docker().unwrap().args(["info", "--format", "{{.Driver}}"]).run().unwrap();
    assert_eq!(driver.trim(), "vfs");
}

/// The child of this test is this same program, which starts a server and is then killed with no chance to clean up.
#[test]
fn a_server_dies_with_the_process_that_started_it() {
    if !require(DockerRegistry::TOOLS) {
        return;
    }
    const ROLE: &str = "BERTH_TEST_ORPHAN";
    if let Some(place) = std::env::var_os(ROLE) {
        let registry = DockerRegistry::start().unwrap();
        let pid = registry.stats().unwrap();
        std::fs::write(place, format!("{pid:?}")).unwrap();
        until::<()>(Duration::from_secs(60), || None);
        return;
    }
    let scratch = Scratch::new("orphan").unwrap();
    let place = scratch.join("pid");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "clients_harness::a_server_dies_with_the_process_that_started_it"])
        .env(ROLE, &place)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let written =
        until(Duration::from_secs(60), || std::fs::read_to_string(&place).ok().filter(|s| !s.is_empty()));
    child.kill().unwrap();
    child.wait().unwrap();
    let digits: String = written.unwrap().chars().filter(char::is_ascii_digit).collect();
    let server = ProcessStats::of(digits.parse().unwrap());
    assert!(until(Duration::from_secs(60), || server.memory().is_none().then_some(())).is_some());
}
