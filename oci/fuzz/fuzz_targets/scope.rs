#![no_main]
//! Scopes: what is taken renders and parses to the same set, and sets keep their laws.

use berth_oci::auth::{Scope, Scopes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    if let Ok(scope) = texts.0.parse::<Scope>() {
        assert_eq!(scope.to_string().parse(), Ok(scope));
    }
    if let (Ok(one), Ok(two)) = (texts.0.parse::<Scopes>(), texts.1.parse::<Scopes>()) {
        assert_eq!(one.to_string().parse().as_ref(), Ok(&one));
        let both = one.intersection(&two);
        assert!(both.is_subset(&one) && both.is_subset(&two));
        assert!(one.is_subset(&one.clone().union(two)));
    }
});
