//! Registrable domains by the public suffix list: hosts below one belong to the same owner.

/// The list as a tree, one label a line, the last label of a name outermost. A line that ends in ` -` is no suffix
/// itself. Names are as they go over the wire, `xn--` forms included.
///
/// A table of text, read from its beginning for each question: there is one for each token service on another host,
/// and code made from the list would be six times as large.
const LIST: &str = include_str!("suffixes.txt");

/// The registrable domain of a host name: its public suffix and one label. `None` for what is a suffix itself, or no
/// name. Names are compared as they are: a URL's host is in lower case already.
pub(super) fn registrable(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels: Vec<&str> = name.rsplit('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return None;
    }
    let own = labels.get(..=suffix(&labels))?;
    let length = own.iter().map(|label| label.len() + 1).sum::<usize>() - 1;
    name.get(name.len() - length..)
}

/// How many labels the public suffix of a name has. Names that no rule speaks of end in a suffix of one.
fn suffix(labels: &[&str]) -> usize {
    let mut longest = 1;
    // Whether the latest line of each depth fits, together with those that it lies below.
    let mut fits = Vec::new();
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        let rule = line.trim_start_matches('\t');
        let depth = line.len() - rule.len();
        fits.truncate(depth);
        let (label, is_rule) = rule.strip_suffix(" -").map_or((rule, true), |label| (label, false));
        let (label, exception) = label.strip_prefix('!').map_or((label, false), |label| (label, true));
        let same = |have: &&str| label == "*" || *have == label;
        let fit = fits.last() != Some(&false) && labels.get(depth).is_some_and(same);
        fits.push(fit);
        if fit && exception {
            return depth;
        }
        if fit && is_rule {
            longest = longest.max(depth + 1);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        fmt::Write,
        fs,
        path::{Path, PathBuf},
        process::Command,
    };

    use super::*;

    /// The rules that the crate `psl` was made from.
    fn rules() -> String {
        let told = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--offline", "--locked", "--manifest-path"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .output()
            .unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        let packages = told["packages"].as_array().unwrap();
        let psl = packages.iter().find(|package| package["name"] == "psl").unwrap();
        let manifest = PathBuf::from(psl["manifest_path"].as_str().unwrap());
        fs::read_to_string(manifest.with_file_name("data").join("rules.txt")).unwrap()
    }

    fn wire(label: &str) -> String {
        let (mark, name) = label.strip_prefix('!').map_or(("", label), |name| ("!", name));
        // A number alone would be an address.
        let name =
            if name.is_ascii() { name.to_owned() } else { url::Host::parse(name).unwrap().to_string() };
        format!("{mark}{name}")
    }

    #[derive(Default)]
    struct Node {
        is_rule: bool,
        below: BTreeMap<String, Node>,
    }

    impl Node {
        fn write(&self, into: &mut String, depth: usize) {
            for (label, node) in &self.below {
                let mark = if node.is_rule { "" } else { " -" };
                writeln!(into, "{}{label}{mark}", "\t".repeat(depth)).unwrap();
                node.write(into, depth + 1);
            }
        }
    }

    #[test]
    fn the_list_is_the_one_of_the_crate_psl() {
        let mut top = Node::default();
        for rule in rules().lines().filter(|rule| !rule.is_empty()) {
            let node =
                rule.rsplit('.').fold(&mut top, |node, label| node.below.entry(wire(label)).or_default());
            node.is_rule = true;
        }
        let mut list = LIST
            .lines()
            .filter(|line| line.starts_with('#'))
            .fold(String::new(), |list, line| list + line + "\n");
        top.write(&mut list, 0);
        if LIST != list {
            let anew = std::env::temp_dir().join("suffixes.txt");
            fs::write(&anew, list).unwrap();
            panic!(
                "the list is another one by now: copy {} to copier/src/remote/suffixes.txt",
                anew.display()
            );
        }
    }

    #[test]
    fn names_below_rules_give_what_the_crate_psl_says() {
        let (mut seen, rules) = (0, rules());
        // All rules of a kind that is rare, and enough of the others.
        let rare = |rule: &str| rule.contains(['*', '!']) || !rule.is_ascii();
        let rules = rules.lines().filter(|rule| !rule.is_empty()).enumerate();
        for (_, rule) in rules.filter(|(n, rule)| n % 64 == 0 || rare(rule)) {
            let base = rule.trim_start_matches('!').replace('*', "any");
            for name in [base.clone(), format!("two.one.{base}")] {
                // That crate compares Unicode alone, a URL has the form of the wire.
                let here: Vec<String> = name.split('.').map(wire).collect();
                let here = here.join(".");
                let there = psl::domain_str(&name)
                    .map(|domain| domain.split('.').map(wire).collect::<Vec<_>>().join("."));
                assert_eq!(registrable(&here), there.as_deref(), "{name}");
                seen += 1;
            }
        }
        assert!(seen > 1_000);
    }

    #[test]
    fn names_without_a_rule_end_in_one_label() {
        for (name, domain) in [
            ("r.example", Some("r.example")),
            ("a.r.example.", Some("r.example")),
            ("example", None),
            ("", None),
            ("a..example", None),
            (".example", None),
            ("co.uk", None),
            ("a.b.co.uk", Some("b.co.uk")),
            ("x.www.ck", Some("www.ck")),
            ("a.b.ck", Some("a.b.ck")),
            ("b.ck", None),
            ("a.xn--55qx5d.cn", Some("a.xn--55qx5d.cn")),
            ("xn--55qx5d.cn", None),
        ] {
            assert_eq!(registrable(name), domain, "{name}");
        }
    }
}
