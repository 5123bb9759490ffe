//! Names for containers that were given none: two words.

use rand::RngExt;

const HOW: [&str; 48] = [
    "amber", "ample", "arctic", "autumn", "balanced", "bright", "brisk", "calm", "candid", "careful",
    "cheerful", "clear", "coastal", "copper", "crisp", "daring", "early", "eager", "fair", "frank", "gentle",
    "golden", "hardy", "humble", "keen", "light", "lively", "lucid", "mellow", "merry", "neat", "noble",
    "northern", "patient", "plain", "prompt", "quick", "quiet", "ready", "silver", "sober", "steady",
    "sunny", "swift", "tidy", "trusty", "warm", "windward",
];

const WHAT: [&str; 48] = [
    "anchor", "barge", "beacon", "binnacle", "bollard", "bow", "bridge", "buoy", "cabin", "capstan", "cleat",
    "compass", "coracle", "crane", "current", "cutter", "davit", "deck", "dinghy", "dock", "ferry", "fjord",
    "galley", "gull", "harbour", "hatch", "hawser", "helm", "hull", "jetty", "keel", "ketch", "lantern",
    "lock", "mast", "mooring", "oar", "pennant", "pier", "porthole", "quay", "rudder", "sail", "skiff",
    "sloop", "tiller", "tug", "wharf",
];

fn pick<'a>(words: &[&'a str]) -> &'a str {
    words.get(rand::rng().random_range(0..words.len())).copied().unwrap_or_default()
}

/// A name that nobody has, as far as `taken` knows.
pub(super) fn made_up(taken: impl Fn(&str) -> bool) -> String {
    let two = || format!("{}_{}", pick(&HOW), pick(&WHAT));
    let free = (0..20).map(|_| two()).find(|name| !taken(name));
    // Many containers: the words alone are too few.
    free.unwrap_or_else(|| format!("{}_{:08x}", two(), rand::rng().random::<u32>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_not_taken() {
        for _ in 0..200 {
            crate::record::check_name(&made_up(|_| false)).unwrap();
        }
        let name = made_up(|name| name.len() < 40 && name.split('_').count() == 2);
        assert_eq!(name.split('_').count(), 3, "{name}");
        let all = HOW.iter().chain(&WHAT).collect::<std::collections::HashSet<_>>();
        assert_eq!(all.len(), HOW.len() + WHAT.len());
    }
}
