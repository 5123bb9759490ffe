//! F24: the program is killed at any moment of what changes the store, and the store is whole.

use std::{process::Stdio, time::Instant};

use berth_conformance::harness::require_root;

use super::{
    Machine, containers, done, files,
    layout::{Layer, Layout, tar},
};
use crate::program::Runner;

const NAME: &str = "test.example/image:1";

/// What is half made: staging and folders on their way out among the layers, files that were not renamed yet.
fn half_made(runner: &Runner) -> Vec<String> {
    let store = runner.store();
    let layers = std::fs::read_dir(store.join("layers")).map(|entries| {
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    });
    let images = files(&store.join("images")).into_iter().map(|path| path.display().to_string());
    let images = images.filter(|path| path.contains("/."));
    let layers = layers.unwrap_or_default().into_iter().filter(|name| name.starts_with('.'));
    layers.chain(images).collect()
}

/// What the last line of `check` counts: layers, objects, damaged, unused.
fn check(runner: &Runner, round: u64) -> [u64; 4] {
    let output = runner.run(&["check"]);
    assert!(output.status.success(), "round {round}: {output:?}");
    let text = super::stdout(&output);
    let counts: Vec<u64> =
        text.lines().last().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
    counts.try_into().unwrap_or_else(|_| panic!("round {round}: {text}"))
}

#[test]
fn f24_kills_at_any_moment_of_any_verb_leave_a_whole_store() {
    if !require_root() {
        return;
    }
    let rounds: u64 = std::env::var("BERTH_SOAK_ROUNDS").map_or(100, |rounds| rounds.parse().unwrap());
    let machine = Machine(Runner::new());
    let runner = &machine.0;
    let noise: Vec<u8> = (0..500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let many: Vec<(String, &[u8])> =
        (0..300_usize).map(|n| (format!("d{}/f{n}", n % 7), &noise[n..n + n * 40])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let layout = Layout::of(&[
        containers::layer(),
        Layer::gzip(&tar(&[("large", &noise), ("a", b"a")])),
        Layer::zstd(&tar(&many)),
    ]);
    let name = layout.name();
    let pull = ["pull", "-q", &name];
    let run = ["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", NAME, "/bin/true"];
    let prune = ["image", "prune", "--all", "--force"];
    // In this order each finds what it needs.
    let verbs: [&[&str]; 4] = [&pull, &["rmi", "-f", NAME], &run, &prune];
    // How long each takes here and now: kills are spread over all of it.
    let mut lasts = Vec::new();
    for words in verbs {
        if words[0] == "run" {
            done(runner, &pull);
        }
        let begun = Instant::now();
        done(runner, words);
        lasts.push(begun.elapsed());
    }
    let (mut killed, mut halves) = (0, 0);
    for round in 0..rounds {
        let kind = usize::try_from(round % 4).unwrap();
        let words = verbs[kind];
        let command = &mut runner.command(words);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moment is what is tried out, no condition is waited for: one after another, each far from the last.
        let part = (round / 4 * 381 + round) % 997;
        std::thread::sleep(lasts[kind] * u32::try_from(part).unwrap() / 997);
        let _ended_already = child.kill();
        killed += u64::from(child.wait().unwrap().code().is_none());

        if words[0] == "run" {
            done(runner, &["rm", "--all", "--force", "--time", "0"]);
        }
        halves += u64::from(!half_made(runner).is_empty());
        check(runner, round);
        // Whoever wants the image next has it.
        done(runner, &pull);
        if kind == 3 {
            done(runner, &prune);
            // What is left of containers is swept with containers.
            done(runner, &["container", "prune", "--force"]);
            assert_eq!(half_made(runner), Vec::<String>::new(), "round {round}");
            assert_eq!(check(runner, round), [0; 4], "round {round}: nobody has an image");
        }
    }
    assert!(rounds < 100 || killed > rounds / 3, "{killed} of {rounds} were killed before their end");
    assert!(rounds < 100 || halves > 0, "no kill met anything half made");
}
