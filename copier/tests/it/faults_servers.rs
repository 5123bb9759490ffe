//! Registries that die in the middle of a copy, and connections that break.

use std::time::Duration;

use berth_conformance::harness::{DockerRegistry, Scratch, require};

use crate::{
    faults_cell::{ALL, Image, LAYER, LAYERS, Running, Server, TALK, User, present, tagged},
    faults_valve::{Valve, Way},
};

/// Which side dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dies {
    Source,
    Destination,
}

/// One server is killed in mid-copy and started again: the copy goes on and ends well.
fn killed_and_restarted(mut source: Server, mut target: Server, dies: Dies) {
    let scratch = Scratch::new("servers").unwrap();
    let image = Image::big(&scratch);
    let user = User { scratch: &scratch };
    user.copy(&[], &image.name, &format!("docker://{}/big:1", source.host()));
    let upstream = if dies == Dies::Source { source.host() } else { target.host() };
    let valve = Valve::start(&upstream);
    let (from, to, way) = match dies {
        Dies::Source => (valve.host(), target.host(), Way::Down),
        Dies::Destination => (source.host(), valve.host(), Way::Up),
    };
    valve.hold_after(way, ALL * 45 / 100);
    let copy = user.start_copy(&[], &format!("docker://{from}/big:1"), &format!("docker://{to}/copy:1"));
    valve.held();
    let server = if dies == Dies::Source { &mut source } else { &mut target };
    server.kill();
    valve.open();
    server.restart();
    ended(copy, &target, &image);
    let moved = if dies == Dies::Source { valve.received() } else { valve.sent() };
    // What was in its middle at most goes again, and no more.
    let most = ALL + 2 * LAYER as u64 + 4 * TALK;
    assert!(moved < most, "{moved} bytes for {ALL}");
}

fn ended(copy: Running, target: &Server, image: &Image) {
    let (status, log) = copy.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(tagged(target.port(), "copy", "1"));
    assert_eq!(present(target.port(), "copy", &image.blobs), LAYERS + 1);
}

#[test]
fn a_copy_outlives_the_death_of_berth_as_its_destination() {
    killed_and_restarted(Server::berth(), Server::berth(), Dies::Destination);
}

#[test]
fn a_copy_outlives_the_death_of_docker_registry_as_its_destination() {
    if require(DockerRegistry::TOOLS) {
        killed_and_restarted(Server::berth(), Server::docker(), Dies::Destination);
    }
}

#[test]
fn a_copy_outlives_the_death_of_berth_as_its_source() {
    killed_and_restarted(Server::berth(), Server::berth(), Dies::Source);
}

#[test]
fn a_copy_outlives_the_death_of_docker_registry_as_its_source() {
    if require(DockerRegistry::TOOLS) {
        killed_and_restarted(Server::docker(), Server::berth(), Dies::Source);
    }
}

#[test]
fn a_registry_that_stays_dead_is_a_clear_error_and_a_second_copy_ends_well() {
    let (source, mut target) = (Server::berth(), Server::berth());
    let scratch = Scratch::new("servers").unwrap();
    let image = Image::big(&scratch);
    let user = User { scratch: &scratch };
    let from = format!("docker://{}/big:1", source.host());
    user.copy(&[], &image.name, &from);
    let valve = Valve::start(&target.host());
    let to = format!("docker://{}/copy:1", valve.host());
    valve.hold_after(Way::Up, ALL * 45 / 100);
    let copy = user.start_copy(&[], &from, &to);
    valve.held();
    target.kill();
    valve.open();
    let begun = std::time::Instant::now();
    let (status, log) = copy.end();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("level=fatal") && log.contains(&valve.host()), "{log}");
    target.restart();
    assert!(!tagged(target.port(), "copy", "1"));
    ended(user.start_copy(&[], &from, &to), &target, &image);
}

/// Connections are cut in the middle of blobs, four times: the copy goes on at the byte where it was.
fn cut(target: Server, way: Way, keeps_parts: bool) {
    let scratch = Scratch::new("cut").unwrap();
    let image = Image::big(&scratch);
    let user = User { scratch: &scratch };
    let source = Server::berth();
    user.copy(&[], &image.name, &format!("docker://{}/big:1", source.host()));
    let valve = Valve::start(&if way == Way::Down { source.host() } else { target.host() });
    let (from, to) = match way {
        Way::Down => (valve.host(), target.host()),
        Way::Up => (source.host(), valve.host()),
    };
    valve.cut_after(way, 3 << 20, 4);
    let copy = user.start_copy(&[], &format!("docker://{from}/big:1"), &format!("docker://{to}/copy:1"));
    ended(copy, &target, &image);
    assert_eq!(valve.cuts(), 4);
    let moved = if way == Way::Down { valve.received() } else { valve.sent() };
    // What a cut loses on its way through buffers is less than half of what the connection carried.
    let lost = if keeps_parts { 3 << 19 } else { 4 << 20 };
    assert!(moved < ALL + 4 * lost + TALK, "{moved} bytes for {ALL}");
}

#[test]
fn a_download_that_is_cut_goes_on_by_range() {
    cut(Server::berth(), Way::Down, true);
}

#[test]
fn an_upload_to_berth_that_is_cut_goes_on_where_the_session_stands() {
    cut(Server::berth(), Way::Up, true);
}

#[test]
fn an_upload_to_docker_registry_that_is_cut_is_sent_again() {
    if require(DockerRegistry::TOOLS) {
        cut(Server::docker(), Way::Up, false);
    }
}
