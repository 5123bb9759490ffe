//! Stands for the crate `regex` where oci-spec asks for it (`[patch.crates-io]` in the workspace's manifest).
//!
//! oci-spec checks one field of a specification by an expression, and so every program that reads a specification would
//! carry engines, automata and tables of Unicode: half a megabyte of the runner. The small engine knows the same syntax.
//! Where people write expressions, the large one is used by its own name (`regex-automata`).

pub use regex_lite::{Captures, Error, Match, Regex, RegexBuilder};

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Process;

    #[test]
    fn a_specification_s_processors_are_checked_as_ever() {
        let read = |cpus: &str| {
            let text = format!(r#"{{"cwd":"/","user":{{}},"execCPUAffinity":{{"initial":"{cpus}"}}}}"#);
            serde_json::from_str::<Process>(&text)
        };
        for good in ["0", "0-3", "1,3-5,7"] {
            let process = read(good).unwrap();
            let affinity = process.exec_cpu_affinity().clone().unwrap();
            assert_eq!(affinity.initial().as_deref(), Some(good));
        }
        for bad in ["", "a", "1-", "1,,2", "\\u0661", "1 "] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
