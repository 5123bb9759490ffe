use proptest::prelude::*;

use super::*;

#[test]
fn each_comparison_takes_what_its_rule_says() {
    for (constraint, fit, unfit) in [
        ("= 1.2.3", "1.2.3 v1.2.3 1.2.3+b", "1.2.4 1.2.3-rc.1 1.2"),
        ("1.2", "1.2.0 1.2.9 1.2", "1.3.0 1.1.9 2.2"),
        ("!= 1.2.3", "1.2.4 1.0", "1.2.3 1.2.4-rc"),
        ("!= 1.2.x", "1.3 2.2.1", "1.2.0 1.2.7"),
        ("> 1.2.3", "1.2.4 2", "1.2.3 1.2.2 1.3.0-rc"),
        ("> 11", "12 12.0.1", "11 11.1.0 10"),
        ("> 11.1", "11.2 12", "11.1 11.1.1"),
        (">= 3.12.0", "3.12.0 3.12.1 4.0.0", "3.11.9 3.12.0-rc1 latest"),
        ("< 2", "1.9.9 0.1", "2.0.0 2.0.0-rc 3"),
        ("<= 1.2", "1.2.9 1.2.0 1.1", "1.3 2"),
        ("<= 1", "1.9 0.3", "2"),
        (">= 1.2, < 2", "1.2 1.9", "1.1 2.0"),
        (">=1.2 <2", "1.2 1.9", "1.1 2.0"),
        (">=1.2,<2 || 3", "3.1 1.5", "2.9 4"),
        ("1.2 - 1.4.5", "1.2.0 1.4.5 1.3", "1.4.6 1.1.9"),
        ("1.2 - 1.4 || 7.x", "1.4.9 7.0.3", "1.5 8"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2"),
        ("~>2", "2.0 2.9", "3 1.9"),
        ("~1.x", "1.0 1.9.9", "2"),
        ("^1.2.3", "1.2.3 1.9", "2.0 1.2.2"),
        ("^1", "1.0 1.9", "2"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3 0.2.2"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.9 0.0", "0.1"),
        ("^0", "0.9.9 0", "1"),
        ("*", "0 1.2.3", "latest 1.0-rc"),
        (">= 1.2.3-0", "1.2.3-alpha 2.0.0-rc 1.2.3", "1.2.2"),
        ("^1.2.0-beta", "1.2.0-beta.2 1.3.0-rc 1.9", "1.2.0-alpha 2.0"),
        (">=1.0-0, <2", "1.5.0-rc 2.0.0-rc", "0.9 2.0"),
    ] {
        let read = Constraint::parse(constraint).unwrap();
        for tag in fit.split(' ') {
            assert!(read.fits(tag), "{tag} fits {constraint}");
        }
        for tag in unfit.split(' ') {
            assert!(!read.fits(tag), "{tag} does not fit {constraint}");
        }
    }
}

#[test]
fn what_is_no_constraint_is_refused() {
    let long = "1 ".repeat(600);
    for text in [
        "", " ", "||", "1 ||", ">=", "abc", "1,,2", "1,", ">1.2.3.4", "1.2 -", "- 1", "=>=1", "1.a", "~~1",
        ">=1.2<2", &long,
    ] {
        assert!(Constraint::parse(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[ 0-9x*.v~^<>=!|,+a-]{0,30}", tag in "[0-9v.+a-]{0,12}") {
        if let Ok(constraint) = Constraint::parse(&text) {
            let _either = constraint.fits(&tag);
        }
    }

    #[test]
    fn a_tilde_is_the_pair_of_bounds_that_it_stands_for(a in 0u64..4, b in 0u64..4, c in 0u64..4, v in "[0-4]\\.[0-4]\\.[0-4]") {
        let tilde = Constraint::parse(&format!("~{a}.{b}.{c}")).unwrap();
        let pair = Constraint::parse(&format!(">={a}.{b}.{c}, <{a}.{}", b + 1)).unwrap();
        prop_assert_eq!(tilde.fits(&v), pair.fits(&v));
    }
}
